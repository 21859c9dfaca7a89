"""The ledger against densities by scipy, and broken models that the monitor must catch."""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from oracles import (
    STRUCTURES,
    Data,
    dense,
    gaussian_log_densities,
    mixture_log_density,
    mixture_posterior,
    near_a_plane,
)
from scipy.special import xlogy
from scipy.stats import multivariate_normal
from scipy.stats import poisson as poisson_distribution
from sklearn.datasets import load_iris

from em_toolkit import ELBODecreaseError, ELBODecreaseWarning, GaussianMixture
from em_toolkit.datasets import load_faithful
from em_toolkit.engine import Fit, Rows
from em_toolkit.engine.em import em
from em_toolkit.estimators.gaussian_mixture import STRUCTURES as CLASSES
from em_toolkit.families import Gaussian, GaussianComponents, Poisson, PoissonRates
from em_toolkit.models import Mixture, MixtureParameters, PPCAParameters, ProbabilisticPCA
from em_toolkit.models.mixture import Responsibilities
from em_toolkit.priors import ScatterPrior

FAITHFUL: Data = load_faithful().data
IRIS: Data = load_iris().data


class Path:
    """Keeps the parameters of every iteration."""

    def __init__(self, start: Any) -> None:
        self.params = [start]

    def begin(self, iteration: int, bound: float) -> None:
        pass

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        self.params.append(params)
        return False


def faithful_start(structure: str = "full") -> MixtureParameters[GaussianComponents]:
    means = np.array([[3.0, 60.0], [4.0, 75.0]])
    covariances = CLASSES[structure].alike(np.cov(FAITHFUL.T), 2)
    return MixtureParameters(np.array([0.3, 0.7]), GaussianComponents(means, covariances))


# -- the ledger against independent computation ---------------------------------------------------


@dataclass
class Row:
    """One row of a ledger, computed otherwise."""

    energy: float
    entropy: float
    log_evidence: float
    kl: float
    log_prior: float = 0.0


def mixture_rows(
    log_weights: list[Data], log_densities: list[Data], sample_weight: Data, log_priors: list[float]
) -> list[Row]:
    """The ledger of a mixture from the log densities along its path.

    KL is summed as what it is, Σ q log q/p, and not as a difference of bounds.
    """

    def row(at_q: int, at_p: int) -> Row:
        q = mixture_posterior(log_weights[at_q], log_densities[at_q])
        p = mixture_posterior(log_weights[at_p], log_densities[at_p])
        joint = log_weights[at_p] + log_densities[at_p]
        evidence = mixture_log_density(log_weights[at_p], log_densities[at_p])
        terms = [
            (q * joint).sum(1),
            -xlogy(q, q).sum(1),
            evidence,
            (xlogy(q, q) - xlogy(q, p)).sum(1),
        ]
        return Row(
            *(float(np.average(term, weights=sample_weight)) for term in terms),
            log_prior=log_priors[at_p],
        )

    rows = [row(0, 0)]
    for after in range(1, len(log_densities)):
        rows += [row(after - 1, after), row(after, after)]
    return rows


def assert_ledger(fit: Fit[Any], rows: list[Row], atol: float) -> None:
    trace = fit.trace
    assert len(trace) == len(rows)
    for name in ("energy", "entropy", "log_evidence", "kl", "log_prior"):
        expected = [getattr(row, name) for row in rows]
        np.testing.assert_allclose(getattr(trace, name), expected, rtol=0, atol=atol, err_msg=name)
    elbo = [row.energy + row.entropy + row.log_prior for row in rows]
    np.testing.assert_allclose(trace.elbo, elbo, rtol=0, atol=atol)
    # The identity of the whole enterprise, between columns that were computed apart.
    np.testing.assert_allclose(
        trace.log_evidence + trace.log_prior, trace.elbo + trace.kl, rtol=0, atol=atol
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("psi", [0.0, 30.0])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_ledger_of_a_gaussian_mixture(structure: str, psi: float, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    sample_weight = rng.uniform(0.1, 4.0, 272) if weighted else np.ones(272)
    model = Mixture(Gaussian(CLASSES[structure], ScatterPrior(psi)))
    path = Path(faithful_start(structure))
    fit = em(
        model, path.params[0], Rows(FAITHFUL, sample_weight), max_iter=8, tol=0.0, listener=path
    )
    matrices = [dense(structure, p.components.covariances.public, 2, 2) for p in path.params]
    densities = [
        gaussian_log_densities(FAITHFUL, p.components.means, matrix)
        for p, matrix in zip(path.params, matrices, strict=True)
    ]
    log_priors = [
        -0.5 * psi * sum(np.trace(np.linalg.inv(m)) for m in matrix) / sample_weight.sum()
        for matrix in matrices
    ]
    log_weights = [np.log(p.weights) for p in path.params]
    # Terms of size 10 have roundings of 2e-15, and some digits go in each of the two ways.
    assert_ledger(fit, mixture_rows(log_weights, densities, sample_weight, log_priors), 1e-13)


def test_ledger_of_a_poisson_mixture() -> None:
    rng = np.random.default_rng(6)
    X = rng.poisson(rng.choice([1.0, 5.0], (200, 1)), (200, 3)).astype(float)
    sample_weight = rng.uniform(0.0, 2.0, 200)
    rates = np.array([[1.0, 1.5, 0.5], [4.0, 3.0, 6.0]])
    path = Path(MixtureParameters(np.array([0.5, 0.5]), PoissonRates(rates)))
    fit = em(
        Mixture(Poisson()), path.params[0], Rows(X, sample_weight), max_iter=8, tol=0.0,
        listener=path,
    )  # fmt: skip
    densities = [
        poisson_distribution(p.components.rates[None]).logpmf(X[:, None, :]).sum(axis=2)
        for p in path.params
    ]
    log_weights = [np.log(p.weights) for p in path.params]
    rows = mixture_rows(log_weights, densities, sample_weight, [0.0] * len(path.params))
    assert_ledger(fit, rows, 1e-13)


def test_ledger_of_ppca() -> None:
    """By the textbook's matrices: the posterior from the joint Gaussian, KL between Gaussians."""
    sample_weight = np.random.default_rng(7).uniform(0.1, 3.0, 150)
    loadings = np.random.default_rng(8).standard_normal((4, 2))
    path = Path(PPCAParameters(IRIS[0], loadings, 0.5))
    fit = em(
        ProbabilisticPCA(), path.params[0], Rows(IRIS, sample_weight), max_iter=8, tol=0.0,
        listener=path,
    )  # fmt: skip

    def posterior(params: Any) -> tuple[Data, Data]:
        W = params.loadings
        C = W @ W.T + params.noise_variance * np.eye(4)
        gain = np.linalg.solve(C, W).T
        return (IRIS - params.mean) @ gain.T, np.eye(2) - gain @ W

    def row(at_q: Any, at_p: Any) -> Row:
        m, S = posterior(at_q)
        mean, W, noise = at_p.mean, at_p.loadings, at_p.noise_variance
        errors = ((IRIS - mean - m @ W.T) ** 2).sum(1) + np.trace(W @ S @ W.T)
        energy = -0.5 * (4 * np.log(2 * np.pi * noise) + errors / noise)
        energy -= 0.5 * (2 * np.log(2 * np.pi) + (m**2).sum(1) + np.trace(S))
        entropy = multivariate_normal(np.zeros(2), S).entropy()
        C = W @ W.T + noise * np.eye(4)
        evidence = multivariate_normal(mean, C).logpdf(IRIS)
        other, T = posterior(at_p)
        apart = np.einsum("ij,ij->i", other - m, np.linalg.solve(T, (other - m).T).T)
        kl = 0.5 * (np.trace(np.linalg.solve(T, S)) - 2 + apart)
        kl += 0.5 * np.log(np.linalg.det(T) / np.linalg.det(S))
        terms = [energy, np.full(150, entropy), evidence, kl]
        return Row(*(float(np.average(term, weights=sample_weight)) for term in terms))

    rows = [row(path.params[0], path.params[0])]
    for before, after in zip(path.params[:-1], path.params[1:], strict=True):
        rows += [row(before, after), row(after, after)]
    assert_ledger(fit, rows, 1e-13)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_measured_gap_is_rounding_wherever_the_data_are(structure: str, offset: float) -> None:
    """Energy and entropy are summed apart from the evidence, and meet it to some roundings."""
    start = faithful_start(structure)
    components = GaussianComponents(start.components.means + offset, start.components.covariances)
    # At 1e8 the data are rounded; the gap is that of the rounded data.
    fit = em(
        Mixture(Gaussian(CLASSES[structure])),
        MixtureParameters(start.weights, components),
        Rows(FAITHFUL + offset),
        tol=0.0,
    )
    assert np.abs(fit.trace.kl[::2]).max() < 2e-14


# -- broken models --------------------------------------------------------------------------------


def caught(model: Any, start: Any, X: Data, weights: Data | None = None) -> ELBODecreaseError:
    """The error of a fit, whose trace must end with the row that it is about."""
    with pytest.raises(ELBODecreaseError) as info:
        em(model, start, Rows(X, weights), max_iter=1000, tol=0.0)
    error = info.value
    trace = error.trace
    assert trace.half_step[-1] == error.half_step
    assert trace.iteration[-1] == error.iteration
    assert len(trace) == 2 * error.iteration + (error.half_step == "E")
    assert np.isfinite(error.drop)
    assert error.drop > error.tolerance > 0.0
    assert f"{error.half_step}-step of iteration {error.iteration} the bound was" in str(error)
    assert "check_model" in str(error)
    assert "bound_check='warn'" in str(error)
    if error.half_step == "M":
        # Until then, nothing fell.
        assert error.drop == trace.elbo[-2] - trace.elbo[-1]
    return error


def converged(model: Any, start: Any, X: Data) -> Any:
    """A fixed point of EM, to rounding."""
    fit = em(model, start, Rows(X), max_iter=500, tol=0.0)
    assert fit.trace.kl[-2] < 1e-13
    return fit.params


class Inflated(Gaussian):
    """Its covariances are too large by a factor."""

    def __init__(self, structure: Any, factor: float) -> None:
        super().__init__(structure)
        self.factor = factor

    def maximize(self, components: Any, stats: Any) -> Any:
        new = super().maximize(components, stats)
        covariances = replace(new.covariances, values=self.factor * new.covariances.values)
        return GaussianComponents(new.means, covariances)


@pytest.mark.parametrize("factor", [1.05, 0.95, 1.0 + 1e-6])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_inflated_covariances_near_a_fixed_point(structure: str, factor: float) -> None:
    """A factor 1 + δ costs d/2 (log(1 + δ) − δ/(1 + δ)) nats a row: 5e-13 for 1e-6."""
    model = Mixture(Inflated(CLASSES[structure], factor))
    start = converged(Mixture(Gaussian(CLASSES[structure])), faithful_start(structure), FAITHFUL)
    error = caught(model, start, FAITHFUL)
    assert (error.half_step, error.iteration) == ("M", 1)
    expected = np.log1p(factor - 1.0) - (factor - 1.0) / factor
    # The bound itself has roundings of 1e-15, in both rows.
    assert error.drop == pytest.approx(expected, rel=1e-9, abs=2e-14)
    assert "maximize does not maximize" in str(error)


def plane_start(structure: str, X: Data, regularization: float = 0.0) -> Any:
    spread = np.cov(X.T) + regularization * np.eye(X.shape[1])
    covariances = CLASSES[structure].alike(spread, 3)
    return MixtureParameters(np.full(3, 1 / 3), GaussianComponents(X[:3], covariances))


def falls(model: Any, start: Any, X: Data) -> list[ELBODecreaseError]:
    """The error of a fit, or nothing."""
    try:
        em(model, start, Rows(X), max_iter=60, tol=0.0)
    except ELBODecreaseError as error:
        return [error]
    return []


def test_covariances_inflated_by_5_percent_fall_on_hard_data() -> None:
    """From an ordinary start; on easy data such a wrong step stays monotone."""
    errors = []
    for seed in range(20):
        X = near_a_plane(np.random.default_rng(seed), 60, 4, 1e-3)
        errors += falls(Mixture(Inflated(CLASSES["full"], 1.05)), plane_start("full", X), X)
    assert all(error.half_step == "M" for error in errors)
    # 0.37 of sixty other seeds.
    assert len(errors) >= 4


class AddsAfterwards(Gaussian):
    """scikit-learn's rule: maximum likelihood, then ε I, of which the bound knows nothing."""

    def __init__(self, structure: Any, epsilon: float) -> None:
        super().__init__(structure)
        self.epsilon = epsilon

    def maximize(self, components: Any, stats: Any) -> Any:
        new = super().maximize(components, stats)
        covariances = new.covariances
        # The mean of an identity matrix for each component, in the structure's shape.
        identity = type(covariances).alike(np.eye(new.means.shape[1]), new.means.shape[0])
        values = covariances.values + self.epsilon * identity.values
        return GaussianComponents(new.means, replace(covariances, values=values))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_regularization_beside_the_objective_falls_and_ours_does_not(structure: str) -> None:
    errors = []
    for seed in range(12):
        X = near_a_plane(np.random.default_rng(seed), 80, 4, 1e-3)
        # The start has it too, as scikit-learn's.
        start = plane_start(structure, X, regularization=0.1)
        errors += falls(Mixture(AddsAfterwards(CLASSES[structure], 0.1)), start, X)
        honest = Mixture(Gaussian(CLASSES[structure], ScatterPrior(0.1 * 80 / 3)))
        assert not falls(honest, start, X)
    assert all(error.half_step == "M" and error.iteration > 1 for error in errors)
    # 0.55 to 0.80 of forty other seeds, by structure.
    assert len(errors) >= 4


class ForgetsCovarianceInM(ProbabilisticPCA):
    """Its M-step takes E[z] E[z]ᵀ for E[z zᵀ]."""

    def maximize(self, params: Any, stats: Any) -> Any:
        factor, loaded = params.posterior_factor, params.loaded_factor
        latent_second = stats.latent_second - stats.count * factor @ factor.T
        return super().maximize(
            params,
            replace(
                stats,
                latent_second=latent_second,
                residual_latent=stats.residual_latent + stats.count * loaded @ factor.T,
                residual_square=stats.residual_square - stats.count * np.sum(loaded**2),
            ),
        )


class ForgetsCovariance(ProbabilisticPCA):
    """It forgets the covariance of z in the statistics themselves."""

    def statistics(self, params: Any, X: Data, posterior: Any, weights: Data) -> Any:
        stats = super().statistics(params, X, posterior, weights)
        factor, loaded = params.posterior_factor, params.loaded_factor
        return replace(
            stats,
            latent_second=stats.latent_second - stats.count * factor @ factor.T,
            residual_latent=stats.residual_latent + stats.count * loaded @ factor.T,
            residual_square=stats.residual_square - stats.count * np.sum(loaded**2),
        )


@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_a_forgotten_posterior_covariance(n_components: int) -> None:
    loadings = np.random.default_rng(9).standard_normal((4, n_components))
    start = PPCAParameters(IRIS.mean(axis=0), loadings, 0.5)
    error = caught(ForgetsCovariance(), start, IRIS)
    assert (error.half_step, error.iteration) == ("E", 0)
    # ½ tr cov[z] + ½ tr(W cov[z] Wᵀ)/σ² = ½ tr(M cov[z])/σ² = q/2.
    assert error.drop == pytest.approx(0.5 * n_components, rel=1e-12)
    assert "posterior is not the exact one" in str(error)

    best = em(ProbabilisticPCA(), start, Rows(IRIS), max_iter=20, tol=0.0).params
    error = caught(ForgetsCovarianceInM(), best, IRIS)
    assert (error.half_step, error.iteration) == ("M", 1)


class WrongSign(Gaussian):
    """Its means move away from the data."""

    def maximize(self, components: Any, stats: Any) -> Any:
        new = super().maximize(components, stats)
        return GaussianComponents(2.0 * stats.origin - new.means, new.covariances)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_wrong_sign_in_the_means(structure: str) -> None:
    error = caught(Mixture(WrongSign(CLASSES[structure])), faithful_start(structure), FAITHFUL)
    assert (error.half_step, error.iteration) == ("M", 1)
    assert error.drop > 1e-3


class Tempered(Mixture[Any]):
    """Its responsibilities are flattened, as in annealing."""

    def __init__(self, family: Any, power: float) -> None:
        super().__init__(family)
        self.power = power

    def posterior(self, params: Any, X: Data) -> Any:
        posterior, log_evidence = super().posterior(params, X)
        logs = self.power * posterior.log_responsibilities
        logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
        return Responsibilities(np.exp(logs), logs), log_evidence


@pytest.mark.parametrize("power", [0.9, 1.1, 1.0 + 1e-5])
def test_tempered_responsibilities(power: float) -> None:
    """The bound that they give is below the evidence by KL(q ‖ p): quadratic in what is wrong."""
    start = faithful_start()
    error = caught(Tempered(Gaussian(), power), start, FAITHFUL)
    assert (error.half_step, error.iteration) == ("E", 0)
    components = start.components
    densities = gaussian_log_densities(FAITHFUL, components.means, components.covariances.public)
    p = mixture_posterior(np.log(start.weights), densities)
    q = p**power / (p**power).sum(axis=1, keepdims=True)
    kl = (q * np.log(q / p)).sum(axis=1).mean()
    assert error.drop == pytest.approx(kl, rel=1e-9, abs=2e-14)


class NegativeEntropy(Mixture[Any]):
    """Its entropy has the wrong sign."""

    def posterior(self, params: Any, X: Data) -> Any:
        posterior, log_evidence = super().posterior(params, X)

        @dataclass
        class Wrong:
            responsibilities: Data
            entropy: Data

        return Wrong(posterior.responsibilities, -posterior.entropy), log_evidence


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_an_entropy_of_wrong_sign(family: str) -> None:
    rates = MixtureParameters(np.array([0.5, 0.5]), PoissonRates(np.array([[3.0, 70], [4.0, 72]])))
    cases: dict[str, tuple[Any, Any, Data]] = {
        "gaussian": (Gaussian(), faithful_start(), FAITHFUL),
        "poisson": (Poisson(), rates, np.round(FAITHFUL)),
    }
    component, start, X = cases[family]
    error = caught(NegativeEntropy(component), start, X)
    assert (error.half_step, error.iteration) == ("E", 0)
    entropy = em(Mixture(component), start, Rows(X), max_iter=0).trace.entropy[0]
    assert error.drop == pytest.approx(2.0 * entropy, rel=1e-10)


class LosesAConstant(Gaussian):
    """Its expected log density lacks d/2 log 2π: the M-step is right, the bound is not."""

    def expected_log_density(self, components: Any, stats: Any) -> float:
        constant = 0.5 * components.means.shape[1] * np.log(2.0 * np.pi) * stats.count.sum()
        return super().expected_log_density(components, stats) + float(constant)


def test_a_lost_constant() -> None:
    error = caught(Mixture(LosesAConstant()), faithful_start(), FAITHFUL)
    assert (error.half_step, error.iteration) == ("E", 0)
    assert error.drop == pytest.approx(np.log(2.0 * np.pi), rel=1e-12)


class ReportsLess(Mixture[Any]):
    """From its n-th E-step on, evidence and energy are both lower: a q of other parameters."""

    def __init__(self, family: Any, when: int, loss: float) -> None:
        super().__init__(family)
        self.when, self.loss, self.n_steps = when, loss, 0

    def expectation(self, params: Any, X: Data, weights: Data) -> Any:
        self.n_steps += 1
        expectation = super().expectation(params, X, weights)
        lost = self.loss * expectation.weight * (self.n_steps > self.when)
        return replace(
            expectation,
            log_evidence=expectation.log_evidence - lost,
            entropy=expectation.entropy - lost,
        )


def test_an_e_step_that_lowers_the_bound() -> None:
    """Evidence and bound agree, so that only the bound's own path tells."""
    best = converged(Mixture(Gaussian()), faithful_start(), FAITHFUL)
    error = caught(ReportsLess(Gaussian(), when=3, loss=1e-6), best, FAITHFUL)
    assert (error.half_step, error.iteration) == ("E", 3)
    assert error.drop == pytest.approx(1e-6, rel=1e-6)


class BadEnergy(Mixture[Any]):
    """From its n-th evaluation on, the energy is not a number."""

    def __init__(self, family: Any, when: int, value: float) -> None:
        super().__init__(family)
        self.when, self.value, self.n_calls = when, value, 0

    def expected_log_joint(self, params: Any, stats: Any) -> float:
        self.n_calls += 1
        if self.n_calls > self.when:
            return self.value
        return super().expected_log_joint(params, stats)

    def rounding_error(self, params: Any, stats: Any) -> float:
        # The statement itself stays finite: it is the bound that must be seen.
        return 1e-15 * float(stats.count.sum())


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
@pytest.mark.parametrize(
    ("when", "half_step", "iteration"), [(0, "E", 0), (1, "M", 1), (2, "E", 1), (3, "M", 2)]
)
def test_an_energy_that_is_not_finite(
    value: float, when: int, half_step: str, iteration: int
) -> None:
    with pytest.raises(ELBODecreaseError) as info:
        em(BadEnergy(Gaussian(), when, value), faithful_start(), Rows(FAITHFUL))
    error = info.value
    assert (error.half_step, error.iteration) == (half_step, iteration)
    assert not np.isfinite(error.trace.elbo[-1])
    assert np.isfinite(error.trace.elbo[:-1]).all()


class NoToleranceToSpeakOf(Mixture[Any]):
    """Its statement of the rounding error is not a number: that must switch nothing off."""

    def rounding_error(self, params: Any, stats: Any) -> float:
        return float("nan")


def test_a_tolerance_that_is_not_a_number_is_no_licence() -> None:
    with pytest.raises(ELBODecreaseError):
        em(NoToleranceToSpeakOf(WrongSign()), faithful_start(), Rows(FAITHFUL))


# -- what happens then ----------------------------------------------------------------------------


def test_warn_goes_on_and_off_says_nothing() -> None:
    broken, start = Mixture(WrongSign()), faithful_start()
    with pytest.warns(ELBODecreaseWarning) as caught_warnings:
        warned = em(broken, start, Rows(FAITHFUL), max_iter=5, tol=0.0, bound_check="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = em(broken, start, Rows(FAITHFUL), max_iter=5, tol=0.0, bound_check="off")
    assert warned.trace.n_iter == silent.trace.n_iter == 5
    np.testing.assert_array_equal(warned.trace.elbo, silent.trace.elbo)
    # One warning for each fall in the ledger, in order.
    falls = np.flatnonzero(np.diff(silent.trace.elbo) < -1e-12) + 1
    assert len(falls) > 0
    said = [str(warning.message) for warning in caught_warnings]
    assert len(said) == len(falls)
    for message, row in zip(said, falls, strict=True):
        half_step, iteration = silent.trace.half_step[row], silent.trace.iteration[row]
        assert message.startswith(f"after the {half_step}-step of iteration {iteration} the")


def test_the_error_survives_pickling() -> None:
    """Worker processes send their errors back."""
    error = caught(Mixture(WrongSign()), faithful_start(), FAITHFUL)
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(copied) is ELBODecreaseError
        assert str(copied) == str(error)
        for name in ("half_step", "iteration", "drop", "tolerance"):
            assert getattr(copied, name) == getattr(error, name)
        np.testing.assert_array_equal(copied.trace.elbo, error.trace.elbo)
        np.testing.assert_array_equal(copied.trace.half_step, error.trace.half_step)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_estimator_passes_the_choice_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("em_toolkit.estimators.gaussian_mixture.Gaussian", WrongSign)
    mixture = GaussianMixture(2, means_init=[[3, 60], [4, 75]], max_iter=3, tol=0.0)
    with pytest.raises(ELBODecreaseError) as info:
        mixture.fit(FAITHFUL)
    assert (info.value.half_step, info.value.iteration) == ("M", 1)
    with pytest.warns(ELBODecreaseWarning, match="M-step of iteration"):
        mixture.set_params(bound_check="warn").fit(FAITHFUL)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ELBODecreaseWarning)
        mixture.set_params(bound_check="off").fit(FAITHFUL)
    assert mixture.n_iter_ == 3

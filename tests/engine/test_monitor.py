"""Broken models that the monitor must catch, and what it then does."""

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
    gaussian_log_densities,
    mixture_posterior,
    near_a_plane,
)
from sklearn.datasets import load_iris
from starts import FAITHFUL, faithful_start

from em_toolkit import ELBODecreaseError, ELBODecreaseWarning, GaussianMixture
from em_toolkit.engine import Rows
from em_toolkit.engine.em import em
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import Gaussian, GaussianComponents, Poisson, PoissonRates
from em_toolkit.models import Mixture, MixtureParameters, PPCAParameters, ProbabilisticPCA
from em_toolkit.models.mixture import Responsibilities

IRIS: Data = load_iris().data


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
    covariances = CLASSES[structure].shared(spread, 3)
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
        identity = type(covariances).shared(np.eye(new.means.shape[1]), new.means.shape[0])
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
        honest = Mixture(Gaussian(CLASSES[structure], floor=0.1))
        assert not falls(honest, start, X)
    assert all(error.half_step == "M" and error.iteration > 1 for error in errors)
    # 0.55 to 0.80 of forty other seeds, by structure.
    assert len(errors) >= 4


class ForgetsCovarianceInM(ProbabilisticPCA):
    """Its M-step takes E[z] E[z]ᵀ for E[z zᵀ]."""

    def maximize(self, params: Any, stats: Any) -> Any:
        factor, loaded = params.posterior_factor, params.loadings @ params.posterior_factor
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
        factor, loaded = params.posterior_factor, params.loadings @ params.posterior_factor
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
    densities = gaussian_log_densities(
        FAITHFUL, components.means, components.covariances.sklearn_array
    )
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
            within: None = None

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

    def expectation(self, params: Any, X: Data, weights: Data, known: Any = None) -> Any:
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

"""Missing values: NaN entries as latent variables of a Gaussian mixture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import STRUCTURES, Data, clusters, dense, random_covariance
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import get_tags

from em_toolkit import GaussianMixture, PoissonMixture
from em_toolkit.covariances.patterns import Patterns
from em_toolkit.data import Block
from em_toolkit.datasets import load_faithful
from em_toolkit.engine import Rows, expect
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import (
    FullCovariances,
    Gaussian,
    GaussianComponents,
    Poisson,
    TiedCovariances,
)
from em_toolkit.initialization import INITIALIZERS, filled
from em_toolkit.kernels import choice, plan_for
from em_toolkit.kernels.incomplete_mixture import CompiledIncompleteMixture
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.testing import ModelCheckError, check_fisher_identity, check_model, check_posterior

FAITHFUL: Data = load_faithful().data

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def with_holes(X: Data, share: float, seed: int = 0) -> Data:
    """Entries missing completely at random; no column loses all of them."""
    holes = np.random.default_rng(seed).random(X.shape) < share
    holes[:, holes.all(axis=0)] = False
    return np.where(holes, np.nan, X)


def observed_log_densities(X: Data, means: Data, matrices: Data) -> Data:
    """log N(x_o; μ_o, Σ_oo) row by row by scipy, of shape (n_rows, n_components)."""
    out = np.zeros((len(X), len(means)))
    for i, row in enumerate(X):
        seen = ~np.isnan(row)
        for k, (mean, matrix) in enumerate(zip(means, matrices, strict=True)):
            if seen.any():
                density = multivariate_normal(mean[seen], matrix[np.ix_(seen, seen)])
                out[i, k] = density.logpdf(row[seen])
    return out


def matrices_of(mixture: GaussianMixture) -> Data:
    return dense(mixture.covariance_type, mixture.covariances_, *mixture.means_.shape)


# -- the density of what was observed ------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_scores_are_scipys_on_the_observed_entries(
    structure: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiled:
        monkeypatch.setattr(choice, "WORTH_COMPILING", 0)
    X = with_holes(clusters(np.random.default_rng(1), 80, 5, 3), 0.45)
    X[7] = np.nan
    mixture = GaussianMixture(3, covariance_type=structure, random_state=0).fit(X)
    joint = np.log(mixture.weights_) + observed_log_densities(
        X, mixture.means_, matrices_of(mixture)
    )
    np.testing.assert_allclose(mixture.score_samples(X), logsumexp(joint, axis=1), atol=1e-11)
    posterior = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    np.testing.assert_allclose(mixture.predict_proba(X), posterior, atol=1e-11)
    assert (mixture.predict(X) == posterior.argmax(axis=1)).all()


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_fit_to_complete_rows_takes_rows_with_holes(structure: str) -> None:
    X = clusters(np.random.default_rng(2), 60, 4, 2)
    mixture = GaussianMixture(2, covariance_type=structure, random_state=0).fit(X)
    holes = with_holes(X, 0.3)
    joint = np.log(mixture.weights_) + observed_log_densities(
        holes, mixture.means_, matrices_of(mixture)
    )
    np.testing.assert_allclose(mixture.score_samples(holes), logsumexp(joint, axis=1), atol=1e-11)


def test_the_order_of_rows_is_kept() -> None:
    X = with_holes(FAITHFUL, 0.3)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    one_by_one = [mixture.score_samples(row[None])[0] for row in X[:40]]
    np.testing.assert_allclose(mixture.score_samples(X)[:40], one_by_one, atol=1e-12)


# -- the maximum of its likelihood ------------------------------------------------------------


def unpacked(vector: Data, K: int, d: int) -> tuple[Data, Data, Data]:
    """log weights, means and covariance matrices from free coordinates."""
    logits = np.append(vector[: K - 1], 0.0)
    means = vector[K - 1 : K - 1 + K * d].reshape(K, d)
    lower = np.zeros((K, d, d))
    lower[:, *np.tril_indices(d)] = vector[K - 1 + K * d :].reshape(K, -1)
    index = np.arange(d)
    lower[:, index, index] = np.exp(lower[:, index, index])
    return logits - logsumexp(logits), means, lower @ lower.transpose(0, 2, 1)


def packed(weights: Data, means: Data, matrices: Data) -> Data:
    lower = np.linalg.cholesky(matrices)
    index = np.arange(means.shape[1])
    lower[:, index, index] = np.log(lower[:, index, index])
    below = lower[:, *np.tril_indices(means.shape[1])]
    return np.concatenate([np.log(weights[:-1] / weights[-1]), means.ravel(), below.ravel()])


def test_no_optimizer_improves_a_fit() -> None:
    X = with_holes(clusters(np.random.default_rng(3), 60, 2, 2, apart=2.0), 0.3, seed=3)
    mixture = GaussianMixture(2, random_state=0, reg_covar=0.0, tol=1e-13, max_iter=20_000).fit(X)

    def minus_log_likelihood(vector: Data) -> float:
        log_weights, means, matrices = unpacked(vector, 2, 2)
        joint = log_weights + observed_log_densities(X, means, matrices)
        return -float(logsumexp(joint, axis=1).sum())

    fitted = packed(mixture.weights_, mixture.means_, mixture.covariances_)
    reached = minus_log_likelihood(fitted)
    assert mixture.lower_bound_ * (~np.isnan(X).all(axis=1)).sum() == pytest.approx(-reached)
    best = minimize(minus_log_likelihood, fitted, method="BFGS", options={"gtol": 1e-6})
    assert best.fun > reached - 1e-6
    # From a little aside the optimizer does find its way, back to the fit.
    aside = minimize(minus_log_likelihood, fitted + 0.02, method="BFGS")
    assert minus_log_likelihood(fitted + 0.02) > reached + 1e-3
    assert aside.fun == pytest.approx(reached, abs=1e-5)


def test_one_component_with_a_closed_form() -> None:
    """A monotone pattern, of which the likelihood factors (Anderson 1957; Little & Rubin 2002,
    section 7.2): the mean and variance of the feature that is always seen, and the regression of
    the other on it where both are."""
    rng = np.random.default_rng(4)
    first = rng.normal(3.0, 2.0, 50)
    second = 1.0 - 0.7 * first + rng.normal(0.0, 0.5, 50)
    X = np.stack([first, second], axis=1)
    X[30:, 1] = np.nan
    slope, intercept = np.polyfit(first[:30], second[:30], 1)
    residual = np.mean((second[:30] - intercept - slope * first[:30]) ** 2)
    mean, variance = first.mean(), first.var()
    expected = np.array(
        [
            [variance, slope * variance],
            [slope * variance, residual + slope**2 * variance],
        ]
    )
    mixture = GaussianMixture(1, reg_covar=0.0, tol=1e-15, max_iter=5000).fit(X)
    np.testing.assert_allclose(mixture.means_[0], [mean, intercept + slope * mean], rtol=1e-7)
    np.testing.assert_allclose(mixture.covariances_[0], expected, rtol=1e-6)


def test_one_component_is_the_textbooks_em() -> None:
    """One iteration of EM for an incomplete normal sample, written out row by row with inverses
    (Little & Rubin 2002, eqs 11.4 to 11.6), from the means and variances of what is seen."""
    X = with_holes(
        np.random.default_rng(5).multivariate_normal(
            np.zeros(3), random_covariance(np.random.default_rng(5), 3), 40
        ),
        0.3,
        seed=5,
    )
    X = X[~np.isnan(X).all(axis=1)]
    mean, covariance = np.nanmean(X, axis=0), np.diag(np.nanvar(X, axis=0)) + 0.1
    precision = np.linalg.inv(covariance)[None]
    settings: dict[str, Any] = {"reg_covar": 0.0, "weights_init": [1.0], "tol": 0.0}
    ours = GaussianMixture(
        1, means_init=mean[None], precisions_init=precision, max_iter=1, **settings
    ).fit(X)

    filled_rows, correction = X.copy(), np.zeros((3, 3))
    for i, row in enumerate(X):
        m = np.isnan(row)
        inverse = np.linalg.inv(covariance[np.ix_(~m, ~m)])
        coefficients = covariance[np.ix_(m, ~m)] @ inverse
        filled_rows[i, m] = mean[m] + coefficients @ (row[~m] - mean[~m])
        correction[np.ix_(m, m)] += (
            covariance[np.ix_(m, m)] - coefficients @ covariance[np.ix_(~m, m)]
        )
    expected = np.cov(filled_rows.T, bias=True) + correction / len(X)
    np.testing.assert_allclose(ours.means_[0], filled_rows.mean(axis=0), rtol=1e-11)
    np.testing.assert_allclose(ours.covariances_[0], expected, rtol=1e-11)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_the_truth_is_recovered(share: float) -> None:
    """Entries missing completely at random, and the variances are not too small for it."""
    rng = np.random.default_rng(6)
    means = np.array([[0.0, 0.0, 0.0], [5.0, 5.0, -5.0]])
    matrices = np.stack([random_covariance(rng, 3), random_covariance(rng, 3, 4.0)])
    labels = rng.random(20_000) < 0.3
    X = np.stack([rng.multivariate_normal(means[int(k)], matrices[int(k)]) for k in labels])
    mixture = GaussianMixture(2, random_state=0, tol=1e-7, max_iter=1000).fit(with_holes(X, share))
    order = np.argsort(mixture.means_[:, 0])
    np.testing.assert_allclose(mixture.weights_[order], [0.7, 0.3], atol=0.02)
    np.testing.assert_allclose(mixture.means_[order], means, atol=0.15)
    np.testing.assert_allclose(mixture.covariances_[order], matrices, atol=0.45)
    variances = np.diagonal(mixture.covariances_[order], axis1=1, axis2=2)
    np.testing.assert_allclose(variances, np.diagonal(matrices, axis1=1, axis2=2), rtol=0.08)


def test_values_missing_at_random_do_not_bias() -> None:
    """Second values are lost where the first are large: complete rows alone would mislead."""
    rng = np.random.default_rng(7)
    X = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]], 20_000)
    X[X[:, 0] > 0.0, 1] = np.nan
    mixture = GaussianMixture(1, tol=1e-9, max_iter=1000).fit(X)
    assert abs(mixture.means_[0, 1]) < 0.05
    assert np.nanmean(X[:, 1]) < -0.5


# -- the conformance suite, and what it must catch -------------------------------------------------

WEIGHTS = np.array([0.5, 0.2, 0.3])


def case(structure: str) -> tuple[Mixture[GaussianComponents], Any, Data]:
    rng = np.random.default_rng(8)
    factors = rng.standard_normal((3, 3, 5))
    matrices = factors @ factors.transpose(0, 2, 1)
    values = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.diagonal(matrices, axis1=1, axis2=2),
        "spherical": matrices[:, 0, 0],
    }[structure]
    covariances = CLASSES[structure].from_sklearn_array(np.array(values), 3, 3)
    components = GaussianComponents(rng.standard_normal((3, 3)), covariances)
    X = with_holes(rng.standard_normal((40, 3)), 0.4, seed=8)
    assert np.isnan(X).all(axis=1).any()
    complete = Gaussian(CLASSES[structure], floor=0.7)
    return Mixture(complete), MixtureParameters(WEIGHTS, components), X


def oracle_densities(params: Any, X: Data) -> Data:
    covariances = params.components.covariances
    names = {CLASSES[name]: name for name in STRUCTURES}
    matrices = dense(
        names[type(covariances)], covariances.sklearn_array, *params.components.means.shape
    )
    return observed_log_densities(X, params.components.means, matrices)


def oracle(params: Any, X: Data) -> Data:
    return np.asarray(logsumexp(params.log_weights + oracle_densities(params, X), axis=1))


def oracle_reconstruction(params: Any, X: Data) -> Data:
    """Σ_k r_ik log p(x_o | k): what is missing is integrated out within each component."""
    densities = oracle_densities(params, X)
    return np.asarray(np.sum(softmax(params.log_weights + densities, axis=1) * densities, axis=1))


ORACLES: Any = {"log_evidence": oracle, "reconstruction": oracle_reconstruction}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_model_conforms(structure: str) -> None:
    model, params, X = case(structure)
    assert set(check_model(model, params, X, **ORACLES).values()) == {"passed"}


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_the_compiled_model_conforms(structure: str) -> None:
    model, params, X = case(structure)
    assert isinstance(model.family, Gaussian)
    compiled = CompiledIncompleteMixture(model.family)
    assert set(check_model(compiled, params, X, **ORACLES).values()) == {"passed"}


class EntropyOfComponentsAlone(Mixture[Any]):
    """The entropy of what is missing, taken for that of the component."""

    def entropy_within(self, posterior: Any, weights: Data) -> float:
        return 0.0


def test_an_entropy_that_is_taken_for_that_of_the_component_is_caught() -> None:
    model, params, X = case("full")
    with pytest.raises(ModelCheckError, match="terms: of unit"):
        check_model(EntropyOfComponentsAlone(model.family), params, X)


def test_the_evidence_is_the_integral_over_what_is_missing() -> None:
    """∫ p(x_o, x_m) dx_m on a grid, of a joint density that scipy evaluates."""
    model, params, _ = case("full")
    X = np.array([[0.3, np.nan, -1.0], [np.nan, 0.5, np.nan]])
    axis = np.arange(-25.0, 25.0, 0.1)
    for row, log_evidence in zip(X, model.posterior(params, X)[1], strict=True):
        missing = np.flatnonzero(np.isnan(row))
        grid = np.stack(np.meshgrid(*[axis] * len(missing)), axis=-1).reshape(-1, len(missing))
        rows = np.tile(row, (len(grid), 1))
        rows[:, missing] = grid
        density = sum(
            weight * multivariate_normal(mean, matrix).pdf(rows)
            for weight, mean, matrix in zip(
                params.weights,
                params.components.means,
                params.components.covariances.sklearn_array,
                strict=True,
            )
        )
        assert np.log(np.sum(density) * 0.1 ** len(missing)) == pytest.approx(log_evidence)


class ForgottenConditionalCovariance(Gaussian):
    """Expectations in the place of what is missing, as if they had been observed."""

    def statistics(
        self, components: Any, X: Data, responsibilities: Data, within: Any = None
    ) -> Any:
        stats = super().statistics(components, X, responsibilities, within)
        plain = [
            self.structure.second_moment(
                self.expected_rows(components, X, np.eye(3)[np.full(len(X), k)]),
                mean[None],
                responsibilities[:, k, None],
            )
            for k, mean in enumerate(components.means)
        ]
        return type(stats)(
            stats.count, stats.first_moment, self.structure.joined(plain), stats.origin
        )


class ForgottenEntropy(Gaussian):
    def posterior(self, components: Any, X: Data) -> Any:
        within, log_density = super().posterior(components, X)
        return replace(within, entropy=0.0 * within.entropy), log_density


class MeansForMissing(Gaussian):
    """A regression of missing entries on observed ones left out."""

    def statistics(
        self, components: Any, X: Data, responsibilities: Data, within: Any = None
    ) -> Any:
        covariances = components.covariances
        diagonal = FullCovariances(np.stack([np.diag(v) for v in covariances.variances]))
        return super().statistics(
            GaussianComponents(components.means, diagonal), X, responsibilities
        )


@pytest.mark.parametrize("broken", [ForgottenConditionalCovariance, MeansForMissing])
def test_wrong_statistics_are_caught(broken: Any) -> None:
    _, params, X = case("full")
    model = Mixture(broken())
    with pytest.raises(ModelCheckError, match="Fisher"):
        check_fisher_identity(model, params, Block(X, np.ones(len(X))))
    with pytest.raises(ModelCheckError, match="posterior"):
        check_posterior(model, params, Block(X, np.ones(len(X))), np.random.default_rng(0))


def test_a_wrong_entropy_is_caught() -> None:
    _, params, X = case("full")
    model = Mixture(ForgottenEntropy())
    with pytest.raises(ModelCheckError, match="posterior"):
        check_posterior(model, params, Block(X, np.ones(len(X))), np.random.default_rng(0))


# -- invariances ------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@settings(max_examples=100, deadline=None)
@given(
    share=st.floats(0.0, 0.6),
    structure=st.sampled_from(STRUCTURES),
    d=st.integers(1, 6),
    K=st.integers(1, 4),
    reg_covar=st.sampled_from([0.0, 1e-6, 1e-2]),
    init_params=st.sampled_from(["kmeans", "k-means++", "random", "random_from_data"]),
    acceleration=st.sampled_from([None, "squarem", "quasi_newton"]),
    weighted=st.booleans(),
    compiled=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_the_bound_never_falls(
    share: float,
    structure: str,
    d: int,
    K: int,
    reg_covar: float,
    init_params: str,
    acceleration: str | None,
    weighted: bool,
    compiled: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    X = with_holes(clusters(rng, 60, d, 3) * 10.0 ** rng.uniform(-3, 3, d), share, seed)
    weights = rng.uniform(0.0, 3.0, len(X)) if weighted else None
    mixture = GaussianMixture(
        K,
        covariance_type=structure,
        reg_covar=reg_covar,
        init_params=init_params,
        acceleration=acceleration,
        random_state=seed,
        tol=1e-9,
        max_iter=60,
    )
    with pytest.MonkeyPatch.context() as patch:
        if compiled:
            patch.setattr(choice, "WORTH_COMPILING", 0)
        try:
            mixture.fit(X, sample_weight=weights)
        except ValueError as error:
            assert "ill-defined empirical covariance" in str(error)  # noqa: PT017
            return
    trace = mixture.trace_
    # On the way to a singular covariance roundings grow, as the monitor (which raises) knows.
    stds = np.nanstd(X, axis=0)
    matrices = matrices_of(mixture) / np.outer(stds, stds)
    condition = np.linalg.cond(matrices).max() / min(
        1.0, np.linalg.norm(matrices, axis=(1, 2)).min()
    )
    scale = 1e-12 * condition * (1.0 + np.abs(trace.energy).max())
    assert (np.diff(trace.elbo) >= -scale).all()
    assert (np.abs(trace.kl[trace.half_step == "E"]) <= scale).all()
    assert np.isfinite(mixture.means_).all()
    if reg_covar == 0.0 and condition < 1e4:
        assert mixture.score(X, sample_weight=weights) == pytest.approx(
            mixture.lower_bound_, rel=1e-9, abs=1e-9
        )


def given_start(X: Data, K: int, structure: str) -> dict[str, Any]:
    rng = np.random.default_rng(9)
    means = np.nanmean(X, axis=0) + np.nanstd(X, axis=0) * rng.standard_normal((K, X.shape[1]))
    complete = GaussianMixture(K, covariance_type=structure, random_state=0, max_iter=0)
    complete.fit(rng.standard_normal((50, X.shape[1])) * np.nanstd(X, axis=0))
    return {
        "weights_init": np.full(K, 1.0 / K),
        "means_init": means,
        "precisions_init": complete.precisions_,
    }


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_order_of_rows_does_not_matter(structure: str) -> None:
    X = with_holes(clusters(np.random.default_rng(10), 90, 4, 2), 0.3)
    settings = {"covariance_type": structure, "max_iter": 15, "tol": 0.0}
    start = given_start(X, 2, structure)
    one = GaussianMixture(2, **settings, **start).fit(X)
    shuffled = X[np.random.default_rng(11).permutation(len(X))]
    other = GaussianMixture(2, **settings, **start).fit(shuffled)
    np.testing.assert_allclose(one.means_, other.means_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-11)


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_the_order_of_features_does_not_matter(structure: str) -> None:
    X = with_holes(clusters(np.random.default_rng(12), 90, 4, 2), 0.3)
    order = np.array([2, 0, 3, 1])
    start = given_start(X, 2, structure)
    turned = dict(start, means_init=start["means_init"][:, order])
    precisions = start["precisions_init"][..., order]
    turned["precisions_init"] = precisions[:, order] if structure == "full" else precisions
    settings = {"covariance_type": structure, "max_iter": 15, "tol": 0.0}
    one = GaussianMixture(2, **settings, **start).fit(X)
    other = GaussianMixture(2, **settings, **turned).fit(X[:, order])
    np.testing.assert_allclose(one.means_[:, order], other.means_, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_weights_are_repetitions(structure: str) -> None:
    X = with_holes(clusters(np.random.default_rng(13), 60, 3, 2), 0.3)
    counts = np.arange(60) % 3
    settings = {"covariance_type": structure, "max_iter": 10, "tol": 0.0}
    start = given_start(X, 2, structure)
    one = GaussianMixture(2, **settings, **start).fit(X, sample_weight=counts)
    other = GaussianMixture(2, **settings, **start).fit(np.repeat(X, counts, axis=0))
    np.testing.assert_allclose(one.means_, other.means_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-11)
    assert one.score(X, sample_weight=counts) == pytest.approx(
        other.score(np.repeat(X, counts, axis=0))
    )


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_threads_do_not_matter(n_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "WORTH_COMPILING", 0)
    X = with_holes(clusters(np.random.default_rng(14), 10_000, 3, 2), 0.3)
    fits = [GaussianMixture(2, random_state=0, max_iter=3, n_jobs=n).fit(X) for n in (1, n_jobs)]
    assert (fits[0].means_ == fits[1].means_).all()


# -- rows and columns of nothing ------------------------------------------------------------


def test_rows_of_which_all_is_missing_count_for_nothing() -> None:
    X = with_holes(FAITHFUL, 0.2, seed=1)
    kept = X[~np.isnan(X).all(axis=1)]
    more = np.insert(kept, [0, 0, 50, len(kept)], np.nan, axis=0)
    one = GaussianMixture(2, random_state=0).fit(kept)
    other = GaussianMixture(2, random_state=0).fit(more)
    assert (one.means_ == other.means_).all()
    assert other.lower_bound_ == one.lower_bound_
    assert other.score(more) == one.score(kept)
    assert other.bic(more) == one.bic(kept)
    nothing = np.full((1, 2), np.nan)
    assert abs(one.score_samples(nothing)[0]) < 1e-14
    np.testing.assert_allclose(one.predict_proba(nothing)[0], one.weights_, rtol=1e-14)
    assert one.predict(nothing)[0] == one.weights_.argmax()
    np.testing.assert_allclose(one.impute(nothing)[0], one.weights_ @ one.means_)


def test_no_row_at_all() -> None:
    mixture = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    with pytest.raises(ValueError, match="expected a row with an observed entry"):
        mixture.score(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="got none in 2 of 2: all entries of feature 0, 1 are"):
        GaussianMixture().fit(np.full((3, 2), np.nan))


def test_a_column_of_which_all_is_missing_is_named() -> None:
    X = pd.DataFrame(FAITHFUL, columns=["eruptions", "waiting"])
    X["waiting"] = np.nan
    with pytest.raises(ValueError, match="got none in 1 of 2: all entries of feature 'waiting'"):
        GaussianMixture(2).fit(X)
    with pytest.raises(ValueError, match="got none in 1 of 2: all entries of feature 1 are"):
        GaussianMixture(2).fit(X.to_numpy())
    # The only value is in a row of weight zero.
    rows = X.to_numpy().copy()
    rows[3, 1] = 70.0
    weights = np.ones(len(rows))
    weights[3] = 0.0
    with pytest.raises(ValueError, match="in the rows of positive weight"):
        GaussianMixture(2).fit(rows, sample_weight=weights)
    # To predict, any entry will do.
    assert GaussianMixture(2, random_state=0).fit(FAITHFUL).predict(rows).shape == (len(rows),)


def test_too_few_rows_are_left() -> None:
    X = np.full((5, 2), np.nan)
    X[0] = X[1] = [1.0, 2.0]
    with pytest.raises(ValueError, match="n_components = 3, n_samples = 2"):
        GaussianMixture(3).fit(X)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinities_remain_errors(value: float) -> None:
    X = with_holes(FAITHFUL, 0.1)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    X[5, 0] = value
    for act in (mixture.fit, mixture.predict, mixture.impute, mixture.sample_missing):
        with pytest.raises(ValueError, match="contains infinity"):
            act(X)


# -- what holds missing values ------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
def test_tables_of_pandas() -> None:
    X = np.round(with_holes(FAITHFUL, 0.2))
    plain = GaussianMixture(2, random_state=0).fit(X)
    table = pd.DataFrame(X, columns=["a", "b"])
    tables = [
        table,
        table.astype("Float64"),
        table.astype("Int64"),
        table.astype(object),
        table.astype("Int64").astype(object),
        table.astype({"a": "Int64"}),
        table.astype(object).where(table.notna(), None),
    ]
    assert tables[4].isna().sum().sum() > 0
    for other in tables:
        mixture = GaussianMixture(2, random_state=0).fit(other)
        np.testing.assert_array_equal(mixture.means_, plain.means_)
        np.testing.assert_array_equal(mixture.score_samples(other), plain.score_samples(X))
        np.testing.assert_array_equal(mixture.impute(other), plain.impute(X))


def test_text_is_no_missing_value() -> None:
    with pytest.raises(ValueError, match="could not convert string to float"):
        GaussianMixture(1).fit(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]}))


def test_single_precision() -> None:
    X = with_holes(FAITHFUL, 0.2)
    double = GaussianMixture(2, random_state=0).fit(X)
    mixture = GaussianMixture(2, random_state=0).fit(X.astype(np.float32))
    assert mixture.means_.dtype == np.float32
    assert mixture.impute(X.astype(np.float32)).dtype == np.float32
    assert mixture.sample_missing(X.astype(np.float32), 0).dtype == np.float32
    assert mixture.score_samples(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(mixture.means_, double.means_, rtol=1e-4)


def test_integers_are_imputed_as_they_are() -> None:
    mixture = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    rows = np.array([[2, 50], [4, 80]])
    np.testing.assert_array_equal(mixture.impute(rows), rows)


def test_tags() -> None:
    assert get_tags(GaussianMixture()).input_tags.allow_nan
    assert not get_tags(PoissonMixture()).input_tags.allow_nan
    assert Gaussian().takes_missing_entries
    assert not Poisson().takes_missing_entries


# -- starts ------------------------------------------------------------


@pytest.mark.parametrize("init_params", INITIALIZERS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_initializer(init_params: str, structure: str) -> None:
    X = with_holes(clusters(np.random.default_rng(15), 120, 4, 3, apart=6.0), 0.2)
    settings: dict[str, Any] = {"init_params": init_params, "random_state": 0, "n_init": 3}
    mixture = GaussianMixture(3, covariance_type=structure, max_iter=300, **settings).fit(X)
    assert mixture.converged_
    assert len(mixture.restarts_) == 3
    again = GaussianMixture(3, covariance_type=structure, max_iter=300, **settings).fit(X)
    assert (again.means_ == mixture.means_).all()


def test_given_responsibilities_go_with_their_rows() -> None:
    X = with_holes(FAITHFUL, 0.3)
    responsibilities = np.eye(2)[(FAITHFUL[:, 0] > 3).astype(int)]
    mixture = GaussianMixture(2, init_params=responsibilities, max_iter=0).fit(X)
    first = FAITHFUL[:, 0] > 3
    assert mixture.means_[1, 0] == pytest.approx(FAITHFUL[first, 0].mean(), abs=0.2)
    assert mixture.means_[0, 0] == pytest.approx(FAITHFUL[~first, 0].mean(), abs=0.2)


def test_a_warm_start_from_complete_rows_to_others() -> None:
    mixture = GaussianMixture(2, random_state=0, warm_start=True).fit(FAITHFUL)
    bound = mixture.fit(with_holes(FAITHFUL, 0.2)).lower_bound_
    fresh = GaussianMixture(2, random_state=0).fit(with_holes(FAITHFUL, 0.2))
    assert bound == pytest.approx(fresh.lower_bound_, abs=1e-2)


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
def test_acceleration_reaches_the_same_bound() -> None:
    X = with_holes(FAITHFUL, 0.4)
    settings: dict[str, Any] = {"random_state": 0, "tol": 1e-10, "max_iter": 5000}
    plain = GaussianMixture(3, **settings).fit(X)
    for acceleration in ("squarem", "quasi_newton"):
        fast = GaussianMixture(3, **settings, acceleration=acceleration).fit(X)
        assert fast.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-6)
        assert fast.n_passes_ < plain.n_passes_


def test_rows_are_filled_by_draws_of_their_own_likeness() -> None:
    rng = np.random.RandomState(0)
    X = np.random.default_rng(16).multivariate_normal([3.0, -2.0], [[4.0, 3.0], [3.0, 4.0]], 20_000)
    holes = with_holes(X, 0.3)
    complete = filled(holes, None, FullCovariances, rng)
    assert not np.isnan(complete).any()
    seen = ~np.isnan(holes)
    np.testing.assert_array_equal(complete[seen], holes[seen])
    np.testing.assert_allclose(complete.mean(axis=0), [3.0, -2.0], atol=0.1)
    np.testing.assert_allclose(np.cov(complete.T), [[4.0, 3.0], [3.0, 4.0]], atol=0.25)
    assert filled(X, None, FullCovariances, rng) is X


def test_a_start_needs_complete_rows() -> None:
    model = Mixture(Gaussian())
    with pytest.raises(ValueError, match=r"initialization\.filled"):
        model.from_points(np.zeros((2, 2)), Rows(with_holes(FAITHFUL, 0.2)))


# -- completed rows ------------------------------------------------------------


def test_imputed_entries_are_conditional_means() -> None:
    """Of the mixture given what is observed, as `condition` has it."""
    X = clusters(np.random.default_rng(17), 200, 3, 2)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    rows = X[:20].copy()
    rows[:10, 1] = np.nan
    rows[10:, [0, 2]] = np.nan
    imputed = mixture.impute(rows)
    for row, complete in zip(rows, imputed, strict=True):
        given = np.flatnonzero(~np.isnan(row))
        rest = mixture.condition(row[given], given)
        np.testing.assert_allclose(
            complete[np.isnan(row)], rest.weights_ @ rest.means_, rtol=1e-9, atol=1e-9
        )
        np.testing.assert_array_equal(complete[given], row[given])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_sampled_entries_have_their_posterior(structure: str) -> None:
    X = clusters(np.random.default_rng(18), 200, 3, 2)
    mixture = GaussianMixture(2, covariance_type=structure, random_state=0).fit(X)
    row = np.array([X[0, 0], np.nan, np.nan])
    n = 40_000
    draws = mixture.sample_missing(np.tile(row, (n, 1)), random_state=0)
    np.testing.assert_array_equal(draws[:, 0], np.full(n, row[0]))
    rest = mixture.condition(row[:1], [0])
    matrices = dense(rest.covariance_type, rest.covariances_, 2, 2)
    mean = rest.weights_ @ rest.means_
    spread = rest.means_ - mean
    covariance = (
        np.einsum("k,kij->ij", rest.weights_, matrices) + (rest.weights_ * spread.T) @ spread
    )
    stds = np.sqrt(np.diag(covariance))
    assert (np.abs(draws[:, 1:].mean(axis=0) - mean) < 5.0 * stds / np.sqrt(n)).all()
    np.testing.assert_allclose(
        np.cov(draws[:, 1:].T) / np.outer(stds, stds),
        covariance / np.outer(stds, stds),
        atol=0.05,
    )
    # And the quantiles of a mixture, not of one normal distribution.
    cdf = sum(
        w * norm(m[0], np.sqrt(s[0, 0])).cdf(draws[:, 1])
        for w, m, s in zip(rest.weights_, rest.means_, matrices, strict=True)
    )
    assert np.abs(np.sort(cdf) - (np.arange(n) + 0.5) / n).max() < 0.012


def test_samples_and_their_seeds() -> None:
    X = with_holes(FAITHFUL, 0.3)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    one = mixture.sample_missing(X, random_state=1)
    assert not np.isnan(one).any()
    np.testing.assert_array_equal(one, mixture.sample_missing(X, random_state=1))
    assert (one != mixture.sample_missing(X, random_state=2))[np.isnan(X)].all()
    many = np.stack([mixture.sample_missing(X, random_state=seed) for seed in range(300)])
    errors = many.mean(axis=0) - mixture.impute(X)
    assert (np.abs(errors) < 6.0 * many.std(axis=0) / np.sqrt(300) + 1e-12).all()
    complete = FAITHFUL[:5]
    np.testing.assert_array_equal(mixture.sample_missing(complete), complete)


# -- complete rows are as they were ------------------------------------------------------------


def test_complete_rows_have_the_old_model() -> None:
    mixture = Mixture(Gaussian())
    assert plan_for(mixture, FAITHFUL, 2).model is mixture


@pytest.mark.parametrize("structure", STRUCTURES)
def test_complete_rows_are_the_same_beside_incomplete_ones(structure: str) -> None:
    """Of weight zero; then all rows go the way of those with NaN entries."""
    X = clusters(np.random.default_rng(19), 200, 4, 2)
    mixture = GaussianMixture(2, covariance_type=structure, random_state=0).fit(X)
    params, model = mixture.params_, Mixture(Gaussian(CLASSES[structure]))
    beside, weights = np.vstack([X, [[np.nan, 0.0, 0.0, 0.0]]]), np.append(np.ones(len(X)), 0.0)
    one, two = expect(model, params, Rows(X)), expect(model, params, Rows(beside, weights))
    assert one.log_evidence == pytest.approx(two.log_evidence, rel=1e-13)
    assert one.entropy == pytest.approx(two.entropy, rel=1e-12)
    np.testing.assert_allclose(
        one.statistics.second_moment, two.statistics.second_moment, rtol=1e-11, atol=1e-10
    )


# -- compiled, and patterns ------------------------------------------------------------


@pytest.mark.parametrize("cls", [FullCovariances, TiedCovariances])
@pytest.mark.parametrize("d", [1, 2, 3, 6, 17])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_the_compiled_pass_is_the_plain_one(
    cls: Any, d: int, share: float, is_sorted: bool
) -> None:
    rng = np.random.default_rng(20)
    X = with_holes(clusters(rng, 700, d, 3), share)
    if is_sorted:
        X = X[Patterns.of(X).order()]
    matrices = np.stack([random_covariance(rng, d, 100.0) for _ in range(3)])
    covariances = FullCovariances(matrices) if cls is FullCovariances else cls(matrices[:1], 3)
    means = 3.0 * rng.standard_normal((3, d))
    params = MixtureParameters(WEIGHTS, GaussianComponents(means, covariances))
    weights = rng.uniform(0.1, 3.0, len(X))
    plain, compiled = (
        Mixture(Gaussian(cls)),
        CompiledIncompleteMixture(Gaussian(cls)),
    )
    one, two = (model.expectation(params, X, weights) for model in (plain, compiled))
    assert two.log_evidence == pytest.approx(one.log_evidence, rel=1e-12)
    assert two.entropy == pytest.approx(one.entropy, rel=1e-12, abs=1e-10)
    assert two.weight == pytest.approx(one.weight, rel=1e-14)
    for name in ("count", "first_moment", "second_moment"):
        ours, theirs = getattr(two.statistics, name), getattr(one.statistics, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * np.abs(theirs).max())
    (first, evidence), (second, same) = (m.posterior(params, X) for m in (plain, compiled))
    np.testing.assert_allclose(evidence, same, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(first.entropy, second.entropy, atol=1e-10)
    parts = [m.statistics(params, X, first, weights) for m in (plain, compiled)]
    scale = np.abs(parts[0].second_moment).max()
    np.testing.assert_allclose(parts[0].second_moment, parts[1].second_moment, atol=1e-11 * scale)


@pytest.mark.parametrize("n", [1, 300])
@pytest.mark.parametrize("d", [1, 8, 15, 16, 17, 32, 33, 130])
@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
def test_patterns(n: int, d: int, share: float) -> None:
    X = with_holes(np.arange(n * d, dtype=np.float64).reshape(n, d), share)
    found = Patterns.of(X)
    assert found.missing.shape == np.unique(np.isnan(X), axis=0).shape
    np.testing.assert_array_equal(found.missing[found.numbers], np.isnan(X))
    assert (np.diff(found.missing.sum(axis=1)) >= 0).all()
    # Whatever the order of the rows.
    shuffled = Patterns.of(X[np.random.default_rng(0).permutation(n)])
    np.testing.assert_array_equal(shuffled.missing, found.missing)
    order = found.order()
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    steps = np.diff(found.numbers[order])
    assert (steps >= 0).all()
    assert (np.diff(order)[steps == 0] > 0).all()


def test_the_missing_are_warned_of_by_convergence_alone() -> None:
    with pytest.warns(ConvergenceWarning):
        GaussianMixture(2, random_state=0, max_iter=1, tol=0.0).fit(with_holes(FAITHFUL, 0.1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_what_a_mask_masks_is_missing(dtype: Any) -> None:
    values = np.random.default_rng(0).integers(0, 50, (40, 3)).astype(dtype)
    mask = np.random.default_rng(1).random(values.shape) < 0.2
    holed = np.where(mask, np.nan, values.astype(dtype if dtype != np.int64 else np.float64))
    masked = np.ma.MaskedArray(values, mask)
    fit, same = (GaussianMixture(2, random_state=0).fit(rows) for rows in (masked, holed))
    np.testing.assert_array_equal(fit.means_, same.means_)
    np.testing.assert_array_equal(fit.impute(masked), same.impute(holed))
    np.testing.assert_array_equal(masked.mask, mask)


def test_pandas_na_in_an_array_of_objects_is_missing() -> None:
    rows = np.array([[1.0, 2], [2, pd.NA], [3, None], [4, 5.5], [0, 1]], dtype=object)
    holed = np.array([[1, 2], [2, np.nan], [3, np.nan], [4, 5.5], [0, 1]])
    fit, same = (GaussianMixture(1, random_state=0).fit(X) for X in (rows, holed))
    np.testing.assert_array_equal(fit.means_, same.means_)
    np.testing.assert_array_equal(fit.score_samples(rows), same.score_samples(holed))

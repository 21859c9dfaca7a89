"""`reg_covar` is a prior: the bound, its maximum and its path, against scipy's densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import (
    STRUCTURES,
    Data,
    dense,
    gaussian_log_densities,
    mixture_log_density,
    near_a_plane,
)
from sklearn.datasets import load_iris, load_wine
from sklearn.mixture import GaussianMixture as ScikitLearnMixture
from sklearn.preprocessing import StandardScaler

from em_toolkit import ELBODecreaseError, GaussianMixture
from em_toolkit.families import Gaussian

# Many fits here are cut short on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS: Data = StandardScaler().fit_transform(load_iris().data)
WINE: Data = StandardScaler().fit_transform(load_wine().data)[:, :5]
SAMPLE_WEIGHT = np.random.default_rng(0).uniform(0.1, 3.0, 150)
REG_COVAR = [0.0, 1e-6, 1e-3, 0.1]


def penalized(
    X: Data, sample_weight: Data, reg_covar: float, weights: Data, means: Data, matrices: Data
) -> float:
    """mean log density + log prior per unit of weight, −½ ε/K Σ tr Σ_k⁻¹, by scipy and inverses."""
    log_density = mixture_log_density(np.log(weights), gaussian_log_densities(X, means, matrices))
    traces = sum(np.trace(np.linalg.inv(matrix)) for matrix in matrices)
    return float(
        np.average(log_density, weights=sample_weight) - 0.5 * reg_covar / len(weights) * traces
    )


def objective_of(fit: GaussianMixture, X: Data, sample_weight: Data | None) -> float:
    matrices = dense(fit.covariance_type, fit.covariances_, *fit.means_.shape)
    unit = np.ones(X.shape[0]) if sample_weight is None else sample_weight
    return penalized(X, unit, fit.reg_covar, fit.weights_, fit.means_, matrices)


@pytest.fixture(params=STRUCTURES)
def structure(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reg_covar", REG_COVAR)
def test_the_bound_is_scipys_density_and_the_prior(
    structure: str, reg_covar: float, weighted: bool
) -> None:
    sample_weight = SAMPLE_WEIGHT if weighted else None
    for n_components, max_iter in [(1, 5), (3, 2), (3, 100), (4, 7)]:
        fit = GaussianMixture(
            n_components, covariance_type=structure, reg_covar=reg_covar, max_iter=max_iter,
            random_state=0,
        ).fit(IRIS, sample_weight=sample_weight)  # fmt: skip
        expected = objective_of(fit, IRIS, sample_weight)
        # covariances_ are inverted here: some roundings, times their condition of up to 1e2.
        assert fit.lower_bound_ == pytest.approx(expected, rel=0.0, abs=1e-13)
        assert fit.lower_bound_ == fit.trace_.bounds[-1] == fit.lower_bounds_[-1]
        assert fit.lower_bound_ == pytest.approx(fit.trace_.elbo[-1], rel=0.0, abs=1e-13)
        # score, and what the trace calls evidence, are of the plain density.
        plain = fit.score(IRIS, sample_weight=sample_weight)
        assert fit.trace_.log_evidence[-1] == pytest.approx(plain, rel=0.0, abs=1e-13)
        log_prior = fit.trace_.log_prior[-1]
        assert fit.lower_bound_ - plain == pytest.approx(log_prior, rel=0.0, abs=1e-13)
        assert (log_prior == 0.0) if reg_covar == 0.0 else (log_prior < 0.0)


def free_parameters(fit: GaussianMixture, X: Data, sample_weight: Data) -> tuple[Any, Data]:
    """The oracle's objective as a function of unconstrained coordinates, and where the fit is.

    Log ratios of weights, means, and for each matrix a lower factor L with Σ = L Lᵀ (for
    variances their logarithms); nothing of the package's own coordinates.
    """
    n_components, n_features = fit.means_.shape
    triangle = np.tril_indices(n_features)
    shape = fit.covariances_.shape
    if fit.covariance_type in ("full", "tied"):
        factors = np.linalg.cholesky(fit.covariances_.reshape(-1, n_features, n_features))
        last = factors[:, triangle[0], triangle[1]].ravel()
    else:
        last = np.log(fit.covariances_).ravel()
    ratios = np.log(fit.weights_[:-1] / fit.weights_[-1])
    vector = np.concatenate([ratios, fit.means_.ravel(), last])

    def objective(vector: Data) -> float:
        ratios, means, last = np.split(
            vector, [n_components - 1, n_components - 1 + n_components * n_features]
        )
        weights = np.exp(np.append(ratios, 0.0))
        if fit.covariance_type in ("full", "tied"):
            lower = np.zeros((last.size // triangle[0].size, n_features, n_features))
            lower[:, triangle[0], triangle[1]] = last.reshape(lower.shape[0], -1)
            values = (lower @ lower.transpose(0, 2, 1)).reshape(shape)
        else:
            values = np.exp(last).reshape(shape)
        matrices = dense(fit.covariance_type, values, n_components, n_features)
        return penalized(
            X, sample_weight, fit.reg_covar, weights / weights.sum(),
            means.reshape(n_components, n_features), matrices,
        )  # fmt: skip

    return objective, vector


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reg_covar", REG_COVAR)
def test_the_fit_is_a_maximum_of_that_objective(
    structure: str, reg_covar: float, weighted: bool
) -> None:
    X = IRIS[:, :2] if structure == "full" else IRIS[:, [0, 1, 3]]
    sample_weight = SAMPLE_WEIGHT if weighted else np.ones(150)
    fit = GaussianMixture(
        2, covariance_type=structure, reg_covar=reg_covar, tol=1e-15, max_iter=20_000,
        random_state=0,
    ).fit(X, sample_weight=sample_weight)  # fmt: skip
    assert fit.converged_
    objective, vector = free_parameters(fit, X, sample_weight)
    top = objective(vector)
    # Central differences err by the step squared (1e-8, times a third derivative of some tens),
    # and by the 1e-14 of the objective over the step.
    step = 1e-4
    slopes = np.empty(vector.size)
    for j in range(vector.size):
        up, down = (objective(vector + sign * step * np.eye(vector.size)[j]) for sign in (1, -1))
        slopes[j] = (up - down) / (2 * step)
        assert max(up, down) < top
    assert np.abs(slopes).max() < 1e-6
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(10):
            assert objective(vector + size * rng.standard_normal(vector.size)) < top


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reg_covar", REG_COVAR)
def test_one_component_gets_exactly_scikit_learns_regularization(
    structure: str, reg_covar: float, weighted: bool
) -> None:
    sample_weight = SAMPLE_WEIGHT if weighted else None
    fit = GaussianMixture(1, covariance_type=structure, reg_covar=reg_covar)
    fit.fit(IRIS, sample_weight=sample_weight)
    sample = np.cov(IRIS.T, aweights=sample_weight, ddof=0)
    expected = {
        "full": (sample + reg_covar * np.eye(4))[None],
        "tied": sample + reg_covar * np.eye(4),
        "diag": (np.diag(sample) + reg_covar)[None],
        "spherical": np.array([np.diag(sample).mean() + reg_covar]),
    }[structure]
    np.testing.assert_allclose(fit.covariances_, expected, rtol=1e-14, atol=1e-15)
    if not weighted:
        theirs = ScikitLearnMixture(1, covariance_type=structure, reg_covar=reg_covar).fit(IRIS)
        np.testing.assert_allclose(fit.covariances_, theirs.covariances_, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("reg_covar", REG_COVAR)
def test_a_tied_covariance_gets_exactly_scikit_learns(reg_covar: float) -> None:
    """Whatever the weights of the components: the whole path is theirs."""
    for max_iter in (1, 5, 50):
        parameters: dict[str, Any] = {
            "n_components": 3, "covariance_type": "tied", "reg_covar": reg_covar,
            "max_iter": max_iter, "tol": 0.0, "random_state": 0,
        }  # fmt: skip
        ours = GaussianMixture(**parameters).fit(WINE)
        theirs = ScikitLearnMixture(**parameters).fit(WINE)
        np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_the_m_step_adds_by_weight(structure: str) -> None:
    """Σ_k = S_k + ε (n/K)/N_k I: as much in all as scikit-learn, more to a small component."""
    epsilon, n, n_components = 0.05, 178, 3
    before = GaussianMixture(
        n_components, covariance_type=structure, reg_covar=epsilon, max_iter=3, tol=0.0,
        random_state=0,
    ).fit(WINE)  # fmt: skip
    after = GaussianMixture(**before.get_params()).set_params(max_iter=4).fit(WINE)
    responsibilities = before.predict_proba(WINE)
    for k, column in enumerate(responsibilities.T):
        sample = np.cov(WINE.T, aweights=column, ddof=0)
        added = epsilon * (n / n_components) / column.sum()
        expected = {
            "full": sample + added * np.eye(5),
            "diag": np.diag(sample) + added,
            "spherical": np.diag(sample).mean() + added,
        }[structure]
        np.testing.assert_allclose(after.covariances_[k], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("reg_covar", [1e-6, 0.1])
def test_no_fall_on_near_degenerate_data(structure: str, reg_covar: float) -> None:
    """bound_check="raise" is the default: a fall would be an error."""
    n_theirs = 0
    for seed in range(8):
        X = near_a_plane(np.random.default_rng(seed), 80, 4, 1e-3)
        parameters: dict[str, Any] = {
            "n_components": 3, "covariance_type": structure, "reg_covar": reg_covar,
            "max_iter": 60, "tol": 1e-15, "random_state": seed,
        }  # fmt: skip
        fit = GaussianMixture(**parameters).fit(X)
        # Some roundings of the terms, and of the matrices, in each of the two bounds.
        sizes = (
            np.abs(fit.trace_.energy) + np.abs(fit.trace_.entropy) + np.abs(fit.trace_.log_prior)
        )
        rounding = 4.0 * np.finfo(np.float64).eps * (sizes.max() + conditioning(fit))
        assert np.diff(fit.trace_.elbo).min() > -rounding
        theirs = ScikitLearnMixture(**parameters).fit(X)
        n_theirs += min(np.diff(theirs.lower_bounds_), default=0.0) < -1e-8
    # What it is for: at 0.1 scikit-learn's bound falls.
    assert n_theirs > 0 or reg_covar < 0.1


def conditioning(fit: GaussianMixture) -> float:
    """The largest Σ_j Σ_jj (Σ⁻¹)_jj: what the roundings of a matrix cost its bound."""
    matrices = dense(fit.covariance_type, fit.covariances_, *fit.means_.shape)
    return float(max(np.diag(m) @ np.diag(np.linalg.inv(m)) for m in matrices))


class PriorLeftOut(Gaussian):
    """Its M-step uses the prior, its bound does not."""

    def log_prior(self, components: Any, weights: Any) -> float:
        return 0.0


def test_a_prior_left_out_of_the_bound_is_caught(
    structure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the maximum likelihood, the next M-step walks towards the prior's maximum: downhill."""
    best = GaussianMixture(
        3, covariance_type=structure, reg_covar=0.0, tol=1e-13, max_iter=10_000, random_state=0
    ).fit(WINE)
    mixture = GaussianMixture(
        3, covariance_type=structure, reg_covar=0.1, weights_init=best.weights_,
        means_init=best.means_, precisions_init=best.precisions_,
    )  # fmt: skip
    mixture.fit(WINE)
    monkeypatch.setattr("em_toolkit.estimators.gaussian_mixture.Gaussian", PriorLeftOut)
    with pytest.raises(ELBODecreaseError) as info:
        mixture.fit(WINE)
    assert (info.value.half_step, info.value.iteration) == ("M", 1)
    assert "regularization that is no part of the objective" in str(info.value)


class HalfThePrior(Gaussian):
    """Its bound has half of the prior that its M-step uses."""

    def log_prior(self, components: Any, weights: Any) -> float:
        return 0.5 * super().log_prior(components, weights)


def test_a_prior_of_wrong_strength_is_caught(
    structure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = GaussianMixture(
        3, covariance_type=structure, reg_covar=0.1, tol=1e-13, max_iter=10_000, random_state=0
    ).fit(WINE)
    # One step from the maximum for half of the prior, which is that of half of reg_covar.
    best = GaussianMixture(**mixture.get_params()).set_params(reg_covar=0.05).fit(WINE)
    monkeypatch.setattr("em_toolkit.estimators.gaussian_mixture.Gaussian", HalfThePrior)
    mixture.set_params(
        weights_init=best.weights_, means_init=best.means_, precisions_init=best.precisions_
    )
    with pytest.raises(ELBODecreaseError) as info:
        mixture.fit(WINE)
    assert info.value.half_step == "M"

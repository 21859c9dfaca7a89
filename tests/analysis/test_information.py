"""Standard errors against numerical differentiation of scipy's densities, and by simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from differences import TIGHT, hessian
from oracles import (
    STRUCTURES,
    Data,
    clusters,
    dense,
    gaussian_log_densities,
    mixture_log_density,
)
from scipy.stats import multivariate_normal, norm, poisson
from sklearn.exceptions import ConvergenceWarning
from starts import FAITHFUL

from em_toolkit import GaussianMixture, NormalMeans, PoissonMixture


class Plain:
    """A Gaussian mixture in plain coordinates: all weights but the last, means, covariances."""

    def __init__(self, structure: str, n_components: int, n_features: int) -> None:
        self.structure, self.shape = structure, (n_components, n_features)
        self.upper = np.triu_indices(n_features)

    def pack(self, weights: Data, means: Data, covariances: Data) -> Data:
        if self.structure in ("full", "tied"):
            covariances = covariances[..., self.upper[0], self.upper[1]]
        return np.concatenate([weights[:-1], means.ravel(), covariances.ravel()])

    def unpack(self, theta: Data) -> tuple[Data, Data, Data]:
        (k, d), (rows, columns) = self.shape, self.upper
        weights, means, rest = np.split(theta, [k - 1, k - 1 + k * d])
        if self.structure in ("full", "tied"):
            matrices = np.zeros((k if self.structure == "full" else 1, d, d))
            matrices[:, rows, columns] = matrices[:, columns, rows] = rest.reshape(
                len(matrices), -1
            )
            rest = matrices if self.structure == "full" else matrices[0]
        elif self.structure == "diag":
            rest = rest.reshape(k, d)
        return np.append(weights, 1.0 - weights.sum()), means.reshape(k, d), rest

    def objective(self, X: Data, row_weights: Data | float = 1.0) -> Callable[[Data], float]:
        def value(theta: Data) -> float:
            weights, means, covariances = self.unpack(theta)
            matrices = dense(self.structure, covariances, *self.shape)
            densities = gaussian_log_densities(X, means, matrices)
            return float(np.sum(row_weights * mixture_log_density(np.log(weights), densities)))

        return value


def errors_by_differences(fit: Any, X: Data, extra: Any = None, row_weights: Any = 1.0) -> Data:
    """Standard errors of the plain coordinates; `extra` is a log prior."""
    plain = Plain(fit.covariance_type, *fit.means_.shape)
    theta = plain.pack(fit.weights_, fit.means_, fit.covariances_)
    likelihood = plain.objective(X, row_weights)

    def objective(theta: Data) -> float:
        return likelihood(theta) + (extra(*plain.unpack(theta)) if extra else 0.0)

    ours = plain.pack(
        *(
            fit.inference(X, *_given(row_weights)).standard_errors[name]
            for name in ("weights", "means", "covariances")
        )
    )
    steps = 0.001 * ours
    return np.sqrt(np.diag(np.linalg.inv(-hessian(objective, theta, steps)))) / ours


def _given(row_weights: Any) -> tuple[Any, ...]:
    return () if np.ndim(row_weights) == 0 else (row_weights,)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("n_components", [1, 2])
def test_standard_errors_are_those_of_the_differenced_likelihood(
    structure: str, n_components: int
) -> None:
    fit = GaussianMixture(n_components, covariance_type=structure, reg_covar=0.0, **TIGHT)
    ratio = errors_by_differences(fit.fit(FAITHFUL), FAITHFUL)
    np.testing.assert_allclose(ratio, 1.0, rtol=2e-5)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_of_three_overlapping_components_and_weighted_rows(structure: str) -> None:
    rng = np.random.default_rng(0)
    X = clusters(rng, 500, 2, 3, apart=3.0)
    row_weights = rng.uniform(0.2, 3.0, len(X))
    fit = GaussianMixture(3, covariance_type=structure, reg_covar=0.0, **TIGHT)
    fit.fit(X, sample_weight=row_weights)
    ratio = errors_by_differences(fit, X, row_weights=row_weights)
    np.testing.assert_allclose(ratio, 1.0, rtol=1e-4)


def test_the_conjugate_prior_and_that_of_the_weights_count() -> None:
    fit = GaussianMixture(
        2, prior="conjugate", weight_concentration=20.0, reg_covar=0.0, **TIGHT
    ).fit(FAITHFUL)
    prior = fit._model_for(FAITHFUL, None).family.prior

    def log_prior(weights: Data, means: Data, covariances: Data) -> float:
        value = 19.0 * np.log(weights).sum()
        for mean, matrix in zip(means, covariances, strict=True):
            shift = mean - prior.center
            scatter = prior.matrix(2) + prior.shrinkage * np.outer(shift, shift)
            value -= 0.5 * prior.pseudo_count * np.linalg.slogdet(matrix)[1]
            value -= 0.5 * np.trace(np.linalg.solve(matrix, scatter))
        return float(value)

    np.testing.assert_allclose(errors_by_differences(fit, FAITHFUL, log_prior), 1.0, rtol=1e-4)
    assert fit.inference(FAITHFUL).distance < 1e-3


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_a_prior_of_the_means_alone_counts(structure: str) -> None:
    """Far off and strong, so that the second order of the means is seen."""
    center, spread = np.array([0.0, 100.0]), np.array([[0.02, 0.05], [0.05, 4.0]])
    prior = NormalMeans(mean=center, covariance=spread)
    fit = GaussianMixture(2, covariance_type=structure, prior=prior, reg_covar=0.0, **TIGHT)
    fit.fit(FAITHFUL)

    def log_prior(weights: Data, means: Data, covariances: Data) -> float:
        return float(multivariate_normal(center, spread).logpdf(means).sum())

    np.testing.assert_allclose(errors_by_differences(fit, FAITHFUL, log_prior), 1.0, rtol=1e-4)
    assert fit.inference(FAITHFUL).distance < 1e-3


@pytest.mark.filterwarnings("ignore:noise=:UserWarning")
def test_beside_noise() -> None:
    """Of which the weight is estimated; it is the last one."""
    rng = np.random.default_rng(8)
    X = np.concatenate([clusters(rng, 300, 2, 2), rng.uniform(-8.0, 8.0, (60, 2))])
    fit = GaussianMixture(2, noise=256.0, reg_covar=0.0, **TIGHT).fit(X)
    found = fit.inference(X)
    assert found.distance < 1e-3
    errors = found.standard_errors
    plain = Plain("full", 2, 2)

    def objective(theta: Data) -> float:
        _, means, matrices = plain.unpack(np.delete(theta, 1))
        weights = np.append(theta[:2], 1.0 - theta[:2].sum())
        densities = gaussian_log_densities(X, means, matrices)
        densities = np.column_stack([densities, np.full(len(X), -np.log(256.0))])
        return float(mixture_log_density(np.log(weights), densities).sum())

    weights = np.append(fit.weights_, fit.noise_weight_)
    theta = np.insert(plain.pack(weights[:2], fit.means_, fit.covariances_), 1, weights[1])
    packed = plain.pack(errors["weights"][:2], errors["means"], errors["covariances"])
    ours = np.insert(packed, 1, errors["weights"][1])
    theirs = np.sqrt(np.diag(np.linalg.inv(-hessian(objective, theta, 0.001 * ours))))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_known_labels_are_information() -> None:
    """All known: each component's textbook errors; some: less than with none."""
    X = clusters(np.random.default_rng(5), 300, 2, 2, apart=1.5)
    labels = np.repeat([0, 1], 150)
    fit = GaussianMixture(2, reg_covar=0.0, **TIGHT).fit(X, sample_labels=labels)
    errors = fit.inference(X, sample_labels=labels).standard_errors
    for k in range(2):
        variances = np.diag(fit.covariances_[k])
        np.testing.assert_allclose(errors["means"][k], np.sqrt(variances / 150), rtol=1e-10)
    np.testing.assert_allclose(errors["weights"], np.sqrt(0.25 / 300), rtol=1e-10)

    rng = np.random.default_rng(6)
    rates = np.array([2.0, 5.0])
    components = rng.integers(2, size=400)
    counts = rng.poisson(rates[components])[:, None]
    some = np.where(np.arange(400) < 150, components, -1)
    fit = PoissonMixture(2, **TIGHT).fit(counts, sample_labels=some)

    def log_likelihood(theta: Data) -> float:
        log_weights = np.log([theta[0], 1.0 - theta[0]])
        joint = log_weights + np.stack([poisson(r).logpmf(counts[:, 0]) for r in theta[1:]], axis=1)
        known = joint[np.arange(150), some[:150]].sum()
        return float(known + np.logaddexp.reduce(joint[150:], axis=1).sum())

    found = fit.inference(counts, sample_labels=some).standard_errors
    ours = np.concatenate([found["weights"][:1], found["rates"].ravel()])
    theta = np.concatenate([fit.weights_[:1], fit.rates_.ravel()])
    theirs = np.sqrt(np.diag(np.linalg.inv(-hessian(log_likelihood, theta, 0.001 * ours))))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_poisson_rates() -> None:
    rng = np.random.default_rng(1)
    X = rng.poisson(np.where(rng.random((400, 1)) < 0.4, [[2.0, 5.0]], [[6.0, 3.0]]))
    fit = PoissonMixture(2, **TIGHT).fit(X)

    def log_likelihood(theta: Data) -> float:
        weights, rates = np.array([theta[0], 1.0 - theta[0]]), theta[1:].reshape(2, 2)
        densities = np.stack([poisson(rate).logpmf(X).sum(axis=1) for rate in rates], axis=1)
        return float(mixture_log_density(np.log(weights), densities).sum())

    found = fit.inference(X).standard_errors
    ours = np.concatenate([found["weights"][:1], found["rates"].ravel()])
    theta = np.concatenate([fit.weights_[:1], fit.rates_.ravel()])
    theirs = np.sqrt(np.diag(np.linalg.inv(-hessian(log_likelihood, theta, 0.001 * ours))))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_one_component_is_the_textbook() -> None:
    fit = GaussianMixture(1, reg_covar=0.0, **TIGHT).fit(FAITHFUL)
    errors, n = fit.inference(FAITHFUL).standard_errors, len(FAITHFUL)
    matrix = fit.covariances_[0]
    np.testing.assert_allclose(errors["means"][0], np.sqrt(np.diag(matrix) / n), rtol=1e-10)
    squares = matrix**2 + np.outer(np.diag(matrix), np.diag(matrix))
    np.testing.assert_allclose(errors["covariances"][0], np.sqrt(squares / n), rtol=1e-10)
    assert errors["weights"] == 0.0
    np.testing.assert_array_equal(
        fit.inference(FAITHFUL).confidence_intervals()["weights"], [[1.0, 1.0]]
    )


def test_what_is_held_fixed_has_no_error_and_the_others_less() -> None:
    free = GaussianMixture(2, reg_covar=0.0, **TIGHT).fit(FAITHFUL)
    held = GaussianMixture(
        2,
        reg_covar=0.0,
        weights_init=free.weights_,
        means_init=free.means_,
        precisions_init=free.precisions_,
        fixed={"means": [0], "covariances": [1], "weights": True},
        **TIGHT,
    ).fit(FAITHFUL)
    errors, of_free = (fit.inference(FAITHFUL).standard_errors for fit in (held, free))
    assert not errors["weights"].any()
    assert not errors["means"][0].any()
    assert not errors["covariances"][1].any()
    for name in ("means", "covariances"):
        assert (errors[name] <= of_free[name] * (1.0 + 1e-6)).all()
        assert (errors[name][1 if name == "means" else 0] > 0.0).all()


def test_the_missing_fraction_is_the_rate_of_convergence() -> None:
    fit = GaussianMixture(2, reg_covar=0.0, **{**TIGHT, "tol": 1e-10}).fit(FAITHFUL)
    assert fit.inference(FAITHFUL).missing_fraction == pytest.approx(fit.trace_.rate, abs=1e-3)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_units_and_order_of_rows(structure: str) -> None:
    """Standard errors have the units of what they are of."""
    fits = [
        GaussianMixture(2, covariance_type=structure, reg_covar=0.0, **TIGHT).fit(scale * X)
        for scale, X in ((1.0, FAITHFUL), (64.0, FAITHFUL[::-1]))
    ]
    one, other = (
        fit.inference(scale * FAITHFUL).standard_errors
        for scale, fit in zip((1.0, 64.0), fits, strict=True)
    )
    order = np.argsort(fits[0].means_[:, 1]), np.argsort(fits[1].means_[:, 1])
    for name, power in (("weights", 0), ("means", 1)):
        np.testing.assert_allclose(
            64.0**power * one[name][order[0]], other[name][order[1]], rtol=1e-4
        )


def test_the_frame_names_what_is_what() -> None:
    import pandas as pd

    table = pd.DataFrame(FAITHFUL, columns=["eruption", "waiting"])
    fit = GaussianMixture(2, **TIGHT).fit(table)
    found = fit.inference(table)
    frame = found.to_frame(level=0.9)
    assert list(frame.columns) == ["estimate", "standard_error", "lower", "upper"]
    assert len(frame) == 2 + 4 + 6
    row = frame.loc["means[1, waiting]"]
    error = found.standard_errors["means"][1, 1]
    assert row["estimate"] == fit.means_[1, 1]
    assert row["standard_error"] == error
    assert row["upper"] == pytest.approx(fit.means_[1, 1] + norm.ppf(0.95) * error, rel=1e-12)
    assert "covariances[0, eruption, waiting]" in frame.index
    assert "covariances[0, waiting, eruption]" not in frame.index
    variances = frame.loc["covariances[0, eruption, eruption]"]
    assert variances["lower"] * variances["upper"] == pytest.approx(variances["estimate"] ** 2)
    assert "means[1, waiting]" in str(found)
    means = found.covariance("means")
    np.testing.assert_allclose(
        np.sqrt(np.diag(means)).reshape(2, 2), found.standard_errors["means"]
    )
    with pytest.raises(ValueError, match="between 0 and 1"):
        found.confidence_intervals(95)


def test_intervals_of_few_rows_stay_where_they_must() -> None:
    X = clusters(np.random.default_rng(3), 25, 1, 2, apart=5.0)
    fit = GaussianMixture(2, covariance_type="spherical", **TIGHT).fit(X)
    intervals = fit.inference(X).confidence_intervals(0.9999)
    assert (intervals["weights"] > 0.0).all()
    assert (intervals["weights"] < 1.0).all()
    assert (intervals["covariances"] > 0.0).all()
    # The two weights are one: so are their intervals.
    np.testing.assert_allclose(intervals["weights"][0], 1.0 - intervals["weights"][1][::-1])


# -- where there are none -------------------------------------------------------------------------


def test_far_from_the_maximum_it_warns() -> None:
    with pytest.warns(ConvergenceWarning):
        fit = GaussianMixture(2, random_state=0, max_iter=1, init_params="random").fit(FAITHFUL)
    fit.means_ = np.array([[2.1, 55.0], [4.3, 80.5]])
    fit.weights_ = np.array([0.36, 0.64])
    best = GaussianMixture(2, **TIGHT).fit(FAITHFUL)
    order = np.argsort(best.means_[:, 0])
    fit.precisions_cholesky_ = best.precisions_cholesky_[order]
    with pytest.warns(ConvergenceWarning, match=r"standard errors away.*stopping='distance'"):
        found = fit.inference(FAITHFUL)
    assert found.distance > 1.0


def test_components_that_coincide_are_not_determined() -> None:
    fit = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    one = GaussianMixture(1).fit(FAITHFUL)
    fit.means_ = np.repeat(one.means_, 2, axis=0)
    fit.precisions_cholesky_ = np.repeat(one.precisions_cholesky_, 2, axis=0)
    with pytest.raises(ValueError, match=r"do not determine \w+\[.*fewer components"):
        fit.inference(FAITHFUL)


def test_a_component_without_data_is_named() -> None:
    """A prior of the weights keeps it alive where even complete data would know nothing of it."""
    counts = np.random.default_rng(0).poisson([[2e6, 5.0]] * 40)
    rates = PoissonMixture(2, random_state=0, weight_concentration=2.0).fit(counts)
    rates.rates_ = np.array([[2e6, 5.0], [7e6, 5.0]])
    rates.weights_ = np.array([0.98, 0.02])
    with pytest.raises(ValueError, match=r"direction of rates\[1, \d\]"):
        rates.inference(counts)
    normal = GaussianMixture(2, random_state=0, weight_concentration=2.0).fit(FAITHFUL)
    normal.means_ = np.array([[3.5, 70.0], [1e6, 1e3]])
    with pytest.raises(ValueError, match=r"direction of \w+\[1, "):
        normal.inference(FAITHFUL)


def test_a_component_of_weight_zero_is_named() -> None:
    fit = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    fit.weights_ = np.array([1.0, 0.0])
    with pytest.raises(ValueError, match="Component 1 has weight 0"):
        fit.inference(FAITHFUL)


def test_a_rate_of_zero_has_no_standard_error() -> None:
    X = np.column_stack([np.random.default_rng(0).poisson(3.0, 50), np.zeros(50)])
    with pytest.raises(ValueError, match="rate of component 0 in feature 1 is zero"):
        PoissonMixture(1).fit(X).inference(X)


# -- coverage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_intervals_hold_the_truth_as_often_as_they_say(structure: str) -> None:
    rng = np.random.default_rng(0)
    weights, means = np.array([0.4, 0.6]), np.array([[0.0, 0.0], [3.0, 1.0]])
    matrices = np.array([[[1.0, 0.3], [0.3, 1.0]]] * 2)
    if structure == "full":
        matrices[1] = [[1.5, -0.4], [-0.4, 0.5]]
    truth = {
        "weights": weights,
        "means": means,
        "covariances": matrices if structure == "full" else matrices[0],
    }
    hits = []
    for _ in range(200):
        labels = rng.choice(2, 500, p=weights)
        noise = np.einsum(
            "ijl,il->ij", np.linalg.cholesky(matrices)[labels], rng.normal(size=(500, 2))
        )
        X = means[labels] + noise
        fit = GaussianMixture(
            2,
            covariance_type=structure,
            weights_init=weights,
            means_init=means,
            tol=1e-7,
            max_iter=2000,
            stopping="distance",
        ).fit(X)
        intervals = fit.inference(X).confidence_intervals(0.9)
        hits.append(
            np.concatenate(
                [
                    ((ends[..., 0] <= truth[name]) & (truth[name] <= ends[..., 1])).ravel()
                    for name, ends in intervals.items()
                ]
            )
        )
    coverage = np.mean(hits, axis=0)
    # Four standard errors of a share of 0.9 in 200 draws; and half of that for all together.
    assert (np.abs(coverage - 0.9) < 0.085).all()
    assert abs(coverage.mean() - 0.9) < 0.03

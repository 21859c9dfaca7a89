"""Models that are known and were not fitted, and draws of one component."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import kstest, multivariate_normal, poisson
from sklearn.base import clone

from em_toolkit import PPCA, GaussianMixture, PoissonMixture
from em_toolkit.families import STRUCTURES

RNG = np.random.default_rng(3)
WEIGHTS = np.array([0.2, 0.3, 0.5])
MEANS = RNG.normal(0.0, 4.0, (3, 2))
ROWS = RNG.normal(0.0, 4.0, (50, 2))
FACTORS = RNG.normal(size=(3, 2, 2)) + 2.0 * np.eye(2)
MATRICES = FACTORS @ FACTORS.transpose(0, 2, 1)
COVARIANCES = {
    "full": (MATRICES, MATRICES),
    "tied": (MATRICES[0], MATRICES[[0, 0, 0]]),
    "diag": (
        np.array([[1.0, 2], [3, 4], [5, 6]]),
        [np.diag([1.0, 2]), np.diag([3.0, 4]), np.diag([5.0, 6])],
    ),
    "spherical": (np.array([1.0, 2, 3]), [np.eye(2), 2 * np.eye(2), 3 * np.eye(2)]),
    "VEE": (MATRICES[[0, 0, 0]] * [[[1.0]], [[2.0]], [[5.0]]],) * 2,
}


def log_joint(matrices: Any) -> Any:
    return np.column_stack(
        [
            np.log(w) + multivariate_normal(m, c).logpdf(ROWS)
            for w, m, c in zip(WEIGHTS, MEANS, matrices, strict=True)
        ]
    )


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_a_known_gaussian_mixture_predicts(covariance_type: str) -> None:
    given, matrices = COVARIANCES[covariance_type]
    gm = GaussianMixture.from_parameters(
        WEIGHTS.tolist(), MEANS.tolist(), given, covariance_type=covariance_type, random_state=0
    )
    expected = log_joint(matrices)
    assert gm.n_components == 3
    assert gm.n_features_in_ == 2
    np.testing.assert_allclose(gm.covariances_, given, rtol=1e-12)
    np.testing.assert_allclose(gm.score_samples(ROWS), logsumexp(expected, axis=1), rtol=1e-10)
    np.testing.assert_allclose(gm.predict_proba(ROWS), softmax(expected, axis=1), rtol=1e-8)
    np.testing.assert_array_equal(gm.predict(ROWS), expected.argmax(axis=1))
    assert gm.score(ROWS) == pytest.approx(logsumexp(expected, axis=1).mean(), rel=1e-10)
    again = GaussianMixture.from_json(gm.to_json())
    np.testing.assert_array_equal(again.score_samples(ROWS), gm.score_samples(ROWS))


def test_a_known_gaussian_mixture_does_what_a_fitted_one_does() -> None:
    gm = GaussianMixture.from_parameters(
        WEIGHTS, MEANS, MATRICES, feature_names=["x", "y"], random_state=0
    )
    assert gm.feature_names_in_.tolist() == ["x", "y"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arrays have no names
        n, p = len(ROWS), 2 + 6 + 9
        log_likelihood = logsumexp(log_joint(MATRICES), axis=1).sum()
        assert gm.bic(ROWS) == pytest.approx(-2 * log_likelihood + p * np.log(n))
        assert gm.aic(ROWS) == pytest.approx(-2 * log_likelihood + 2 * p)
        row = np.array([[1.0, np.nan]])
        conditional = gm.condition([1.0], [0])
        assert gm.impute(row)[0, 1] == pytest.approx(
            conditional.weights_ @ conditional.means_[:, 0]
        )
        inference = gm.inference(gm.sample(2000)[0])
        assert np.isfinite(inference.covariance("means")).all()
    marginal = gm.marginal(["y"])
    np.testing.assert_allclose(marginal.covariances_[:, 0, 0], MATRICES[:, 1, 1])
    X, labels = gm.sample(20_000)
    np.testing.assert_allclose(np.bincount(labels) / len(X), WEIGHTS, atol=0.02)
    np.testing.assert_allclose(X[labels == 2].mean(axis=0), MEANS[2], atol=0.1)
    fitted = clone(gm).set_params(means_init=MEANS).fit(X)
    np.testing.assert_allclose(fitted.means_, MEANS, atol=0.3)


@pytest.mark.parametrize("covariance_type", sorted(STRUCTURES))
def test_what_a_fit_published_is_accepted(covariance_type: str) -> None:
    X = GaussianMixture.from_parameters(WEIGHTS, MEANS, MATRICES, random_state=1).sample(400)[0]
    gm = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    known = GaussianMixture.from_parameters(
        gm.weights_, gm.means_, gm.covariances_, covariance_type=covariance_type
    )
    np.testing.assert_allclose(known.score_samples(X), gm.score_samples(X), rtol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "options", "complaint"),
    [
        (([0.5, 0.6], np.eye(2), [np.eye(2)] * 2), {}, "normalized"),
        (([1.0], np.eye(2), [np.eye(2)] * 2), {}, "weights"),
        (([0.5, 0.5], np.eye(2), np.eye(2)), {}, "covariances"),
        (([0.5, 0.5], np.eye(2), [np.eye(2), -np.eye(2)]), {}, "positive-definite"),
        (([0.5, 0.5], np.eye(2), [[[1, 2], [0, 4]]] * 2), {}, "symmetric"),
        (([0.5, 0.5], np.eye(2), [np.eye(2), 2 * np.eye(2)]), {"covariance_type": "EEV"}, "volume"),
        (([0.5, 0.5], np.eye(2), [1.0, 0.0]), {"covariance_type": "spherical"}, "positive"),
        (([0.5, 0.5], np.eye(2), [np.eye(2)] * 2), {"covariance_type": "round"}, "covariance_type"),
        (([0.5, 0.5], [[0, np.nan]] * 2, [np.eye(2)] * 2), {}, "NaN"),
        (([0.5, 0.5], np.eye(2), [np.eye(2)] * 2), {"noise": True}, "noise: expected None"),
        (([0.5, 0.5], np.eye(2), [np.eye(2)] * 2), {"tol": -1.0}, "tol"),
        (([0.5, 0.5], np.eye(2), [np.eye(2)] * 2), {"feature_names": ["x"]}, "2 strings"),
    ],
)
def test_parameters_of_no_gaussian_mixture(arguments: Any, options: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        GaussianMixture.from_parameters(*arguments, **options)


def test_a_known_poisson_mixture() -> None:
    rates = np.array([[1.0, 2.0], [8.0, 3.0], [0.0, 1.0]])
    X = RNG.poisson(3.0, (30, 2))
    pm = PoissonMixture.from_parameters(WEIGHTS, rates, feature_names=["a", "b"], random_state=0)
    expected = logsumexp(np.log(WEIGHTS) + poisson(rates).logpmf(X[:, None, :]).sum(axis=2), axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(pm.score_samples(X), expected, rtol=1e-10)
    with pytest.raises(ValueError, match="non-negative"):
        PoissonMixture.from_parameters([1.0], [[-1.0]])
    with pytest.raises(ValueError, match="weights"):
        PoissonMixture.from_parameters([0.5, 0.5], [[1.0]])


def test_a_known_ppca() -> None:
    mean, loadings, noise = np.array([1.0, 2, 3, 4]), RNG.normal(size=(4, 2)), 0.3
    ppca = PPCA.from_parameters(mean, loadings, noise, random_state=0)
    covariance = loadings @ loadings.T + noise * np.eye(4)
    X = RNG.normal(2.0, 2.0, (20, 4))
    expected = multivariate_normal(mean, covariance).logpdf(X)
    np.testing.assert_allclose(ppca.score_samples(X), expected, rtol=1e-10)
    np.testing.assert_allclose(ppca.get_covariance(), covariance, rtol=1e-10)
    variances = np.linalg.eigvalsh(covariance)[::-1][:2]
    np.testing.assert_allclose(ppca.explained_variance_, variances, rtol=1e-10)
    np.testing.assert_allclose(
        ppca.explained_variance_ratio_, variances / np.trace(covariance), rtol=1e-10
    )
    rows = ppca.sample(5)[0]
    assert rows.shape == (5, 4)
    assert ppca.transform(X).shape == (20, 2)
    again = PPCA.from_json(ppca.to_json())
    np.testing.assert_array_equal(again.transform(X), ppca.transform(X))
    for bad, complaint in [
        ((mean[:3], loadings, noise), "mean"),
        ((mean, np.eye(4), noise), "fewer columns"),
        ((mean, loadings, 0.0), "noise"),
        ((mean, loadings, -1.0), "noise"),
        ((mean, loadings, np.nan), "."),
    ]:
        with pytest.raises(ValueError, match=complaint):
            PPCA.from_parameters(*bad)


# -- draws of one component -----------------------------------------------------------------------


@pytest.mark.parametrize("component", [0, 1, np.int64(2)])
def test_a_sample_of_one_component(component: int) -> None:
    gm = GaussianMixture.from_parameters(WEIGHTS, MEANS, MATRICES, random_state=0)
    X, labels = gm.sample(3000, component=component)
    assert X.shape == (3000, 2)
    assert (labels == component).all()
    whitened = np.linalg.solve(np.linalg.cholesky(MATRICES[component]), (X - MEANS[component]).T)
    for values in whitened:
        assert kstest(values, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(whitened)[0, 1]) < 0.08


def test_a_sample_of_noise_alone() -> None:
    X = np.vstack([RNG.normal(0.0, 0.1, (100, 2)), RNG.uniform(-5.0, 5.0, (40, 2))])
    gm = GaussianMixture(1, noise=True, random_state=0).fit(X)
    rows, labels = gm.sample(500, component=-1)
    assert (labels == -1).all()
    along = (rows - gm.noise_box_.center) @ gm.noise_box_.axes.T / gm.noise_box_.lengths
    for values in along.T:
        assert kstest(values + 0.5, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("component", [3, -1, 1.0, True, "0"])
def test_there_is_no_such_component(component: Any) -> None:
    gm = GaussianMixture.from_parameters(WEIGHTS, MEANS, MATRICES)
    with pytest.raises(ValueError, match="component: expected one from 0 to 2, got"):
        gm.sample(5, component=component)


def test_a_sample_of_one_poisson_component() -> None:
    pm = PoissonMixture.from_parameters([0.5, 0.5], [[1.0], [50.0]], random_state=0)
    X, labels = pm.sample(500, component=1)
    assert (labels == 1).all()
    assert X.min() > 15

"""Mixtures with noise of constant density."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    STRUCTURES,
    Data,
    clusters,
    dense,
    gaussian_log_densities,
    random_covariance,
)
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import kstest, multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_iris

from em_toolkit import GaussianMixture
from em_toolkit.datasets import load_faithful
from em_toolkit.estimators.gaussian_mixture import STRUCTURES as CLASSES
from em_toolkit.families import box_about
from em_toolkit.statistics import IntArray

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FAITHFUL: Data = load_faithful().data
IRIS: Data = load_iris().data
STEPS = np.arange(1, 41)
# Forty points spread over a rectangle, and Old Faithful.
SPREAD = np.column_stack(
    [7.0 * (STEPS * 0.6180339887498949 % 1.0), 20.0 + 100.0 * (STEPS * 0.7548776662466927 % 1.0)]
)
X_FAITHFUL = np.vstack([FAITHFUL, SPREAD])
GROUPS = np.concatenate([(FAITHFUL[:, 0] > 3.0).astype(int), np.full(40, 2)])


def contaminated(
    seed: int, n_rows: int = 300, n_features: int = 2, n_clusters: int = 2, share: float = 0.15
) -> tuple[Data, IntArray]:
    """Clusters, and rows spread over more than the box about them: label −1."""
    rng = np.random.default_rng(seed)
    n_noise = round(share * n_rows)
    labels = rng.permutation(np.repeat([0, -1], [n_rows - n_noise, n_noise]))
    labels[labels == 0] = rng.integers(n_clusters, size=n_rows - n_noise)
    centers = 3.0 * rng.standard_normal((n_clusters, n_features))
    X = np.empty((n_rows, n_features))
    for k, center in enumerate(centers):
        factor = np.linalg.cholesky(random_covariance(rng, n_features, 5.0)) / 2.0
        noise = rng.standard_normal(((labels == k).sum(), n_features))
        X[labels == k] = center + noise @ factor.T
    signal = X[labels >= 0]
    low, high = signal.min(axis=0), signal.max(axis=0)
    margin = 0.3 * (high - low)
    X[labels == -1] = rng.uniform(low - margin, high + margin, (n_noise, n_features))
    return X, labels


def log_terms(fit: GaussianMixture, X: Data) -> Data:
    """log π_k p(x_i | k), by scipy's densities, and in a last column log ν / V."""
    matrices = dense(fit.covariance_type, fit.covariances_, *fit.means_.shape)
    signal = np.log(fit.weights_) + gaussian_log_densities(X, fit.means_, matrices)
    noise = np.full(len(X), np.log(fit.noise_weight_ / fit.noise_volume_))
    return np.column_stack([signal, noise])


# -- against mclust -------------------------------------------------------------------------------

# R 4, mclust 6.0.0:
#   i <- 1:40
#   noise <- cbind(7 * ((i * 0.6180339887498949) %% 1), 20 + 100 * ((i * 0.7548776662466927) %% 1))
#   X <- rbind(unname(as.matrix(faithful)), noise)
#   z <- unmap(c(ifelse(faithful$eruptions > 3, 2, 1), rep(3, 40)))
#   control <- emControl(tol = c(1e-14, 1e-14), itmax = c(10000, 10000))
#   f <- me(X, "VVV", z, Vinv = 1 / hypvol(X), control = control)
#   f$loglik; f$parameters$pro; f$parameters$mean
#   bic("VVV", f$loglik, 312, 2, 2, noise = TRUE)
MCLUST = {
    "VVV": (-1463.82641459, [0.30734287, 0.56384728, 0.12880985],
            [2.0036642, 54.0764709, 4.2996277, 80.1027391], -3002.311871),
    "EEE": (-1474.67192375, [0.31861745, 0.55916853, 0.12221402],
            [2.0238702, 54.3173925, 4.3075966, 80.1596334], -3006.773879),
    "VVI": (-1471.34606610, [0.30529004, 0.55632601, 0.13838395],
            [1.9977148, 54.0142361, 4.3081722, 80.2680159], -3005.865167),
    "VII": (-1883.71037303, [0.09230524, 0.29684343, 0.61085133],
            [2.0163822, 53.4224094, 4.2723050, 80.0388448], -3819.107775),
    "VEV": (-1469.80836784, [0.31109276, 0.56490995, 0.12399729],
            [2.0163182, 54.1678331, 4.3008900, 80.0890649], -3008.532774),
    "EII": (-1888.60832418, [0.12363852, 0.28645571, 0.58990577],
            [2.0818661, 53.0286953, 4.2778113, 80.0798116], -3823.160674),
}  # fmt: skip
OUR_NAMES = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}


@pytest.mark.parametrize("name", MCLUST)
def test_the_fit_is_that_of_mclust(name: str) -> None:
    structure = OUR_NAMES.get(name, name)
    if structure not in CLASSES:
        pytest.skip(f"no covariance_type {name}")
    log_likelihood, weights, means, bic = MCLUST[name]
    mixture = GaussianMixture(
        2,
        covariance_type=structure,
        reg_covar=0.0,
        noise=True,
        init_params=np.eye(3)[GROUPS],
        tol=1e-14,
        max_iter=10_000,
    ).fit(X_FAITHFUL)
    assert 312 * mixture.lower_bound_ == pytest.approx(log_likelihood, abs=1e-7)
    np.testing.assert_allclose(mixture.weights_, weights[:2], rtol=0, atol=2e-7)
    assert mixture.noise_weight_ == pytest.approx(weights[2], abs=2e-7)
    np.testing.assert_allclose(mixture.means_.ravel(), means, rtol=0, atol=2e-5)
    # mclust counts the volume as one parameter more.
    assert -mixture.bic(X_FAITHFUL) - np.log(312) == pytest.approx(bic, abs=1e-5)


def test_the_default_start_reaches_what_mclust_reaches() -> None:
    """Mclust(X, G = 2, modelNames = "VVV", initialization = list(noise = ...)), which is told
    which rows are noise: 34, 98 and 180 rows."""
    mixture = GaussianMixture(2, reg_covar=0.0, noise=True, random_state=0, tol=1e-10)
    mixture.set_params(max_iter=1000).fit(X_FAITHFUL)
    assert 312 * mixture.lower_bound_ == pytest.approx(MCLUST["VVV"][0], abs=1e-5)
    counts = np.bincount(mixture.predict(X_FAITHFUL) + 1)
    assert (counts[0], sorted(counts[1:])) == (34, [98, 180])


# hypvol(faithful), hypvol(iris[, 1:4]), hypvol(X)
@pytest.mark.parametrize(
    ("X", "volume"),
    [(FAITHFUL, 131.868801004), (IRIS, 27.2411996223), (X_FAITHFUL, 615.7114125412)],
)
def test_the_volume_is_mclusts(X: Data, volume: float) -> None:
    assert box_about(X).volume == pytest.approx(volume, rel=1e-11)
    mixture = GaussianMixture(2, noise=True, random_state=0).fit(X)
    assert mixture.noise_volume_ == box_about(X).volume


# -- the box --------------------------------------------------------------------------------------


def test_the_box_holds_the_rows_and_touches_them() -> None:
    rng = np.random.default_rng(0)
    along = rng.standard_normal((50, 3)) ** 3 * [1.0, 10.0, 100.0]
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    # Along the features for the first, along the principal directions for the second.
    for X in (rng.uniform(-1.0, 1.0, (50, 3)), along @ rotation.T + 5.0):
        box = box_about(X)
        places = (X - box.center) @ box.axes.T / box.lengths
        np.testing.assert_allclose(places.min(axis=0), -0.5, rtol=1e-10)
        np.testing.assert_allclose(places.max(axis=0), 0.5, rtol=1e-10)
        np.testing.assert_allclose(box.axes @ box.axes.T, np.eye(3), atol=1e-12)
        assert box.volume <= np.ptp(X, axis=0).prod() * (1 + 1e-12)
        assert box.sides.prod() == pytest.approx(box.volume, rel=1e-10)
        # Of the sides the proportions are those of the features.
        ratio = box.sides / np.ptp(X, axis=0)
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)
    assert np.abs(box.axes).max() < 1.0
    assert box.volume < 0.5 * np.ptp(X, axis=0).prod()


@pytest.mark.filterwarnings("ignore:noise=:UserWarning")
def test_a_given_volume() -> None:
    mixture = GaussianMixture(2, noise=1000.0, random_state=0).fit(X_FAITHFUL)
    assert mixture.noise_volume_ == pytest.approx(1000.0, rel=1e-12)
    box = mixture.noise_box_
    assert box is not None
    np.testing.assert_array_equal(box.axes, np.eye(2))
    ratio = box.lengths / np.ptp(X_FAITHFUL, axis=0)
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-12)
    # The larger the volume, the thinner the noise.
    thicker = GaussianMixture(2, noise=300.0, random_state=0).fit(X_FAITHFUL)
    assert thicker.noise_weight_ > mixture.noise_weight_


@pytest.mark.parametrize("exponents", [[0, 0, 0, 0], [-9, 0, 9, 0], [-140, 0, 100, 0], [80] * 4])
def test_volumes_of_any_units(exponents: list[int]) -> None:
    """Where the smaller box cannot be told from a flat one, it is that along the features."""
    scales = 10.0 ** np.array(exponents)
    box = box_about(IRIS * scales)
    assert box.log_volume <= np.log(scales * np.ptp(IRIS, axis=0)).sum() + 1e-9
    assert np.isfinite(box.log_volume)
    # Under one scale for all features the box is the same.
    assert box_about(IRIS * 1e-3).volume == pytest.approx(27.2411996223e-12, rel=1e-9)
    assert box_about(IRIS + 1e6).volume == pytest.approx(27.2411996223, rel=1e-7)


def test_weights_turn_the_box_as_repeated_rows_do() -> None:
    X, _ = contaminated(0, n_features=3)
    counts = np.random.default_rng(0).integers(1, 4, len(X))
    weighted, repeated = box_about(X, counts.astype(float)), box_about(np.repeat(X, counts, axis=0))
    assert weighted.log_volume == pytest.approx(repeated.log_volume, rel=1e-12)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.column_stack([IRIS, np.full(150, 3.0)]), r"volume 0: all values of feature 4 are"),
        (np.column_stack([IRIS, IRIS @ [1.0, 2.0, -1.0, 0.5]]), "linear combinations"),
        (np.column_stack([IRIS, 1e-9 * IRIS[:, 0] + 1e-9]), "linear combinations"),
        (IRIS[4:8], "linear combinations"),
    ],
    ids=["constant", "dependent", "dependent in other units", "few rows"],
)
def test_no_volume(X: Data, message: str) -> None:
    with pytest.raises(ValueError, match=f"noise: .*{message}"):
        GaussianMixture(1, noise=True).fit(X)


def test_a_constant_feature_is_named() -> None:
    frame = load_iris(as_frame=True).data.assign(same=1.0)
    with pytest.raises(ValueError, match="all values of feature 'same' are equal"):
        GaussianMixture(2, noise=10.0).fit(frame)


# -- the density ----------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_density_is_that_of_the_components_and_one_by_the_volume(structure: str) -> None:
    X, _ = contaminated(1)
    fit = GaussianMixture(2, covariance_type=structure, reg_covar=0.0, noise=True, random_state=0)
    fit.fit(X)
    # Wherever a row is.
    rows = np.vstack([X, 1e3 * X])
    terms = log_terms(fit, rows)
    log_density = logsumexp(terms, axis=1)
    np.testing.assert_allclose(fit.score_samples(rows), log_density, rtol=1e-10)
    np.testing.assert_allclose(
        fit.predict_proba(rows), np.exp(terms - log_density[:, None]), rtol=0, atol=1e-10
    )
    assert fit.predict_proba(rows).shape == (600, 3)
    np.testing.assert_array_equal(fit.predict(rows), np.array([0, 1, -1])[terms.argmax(axis=1)])
    assert (fit.predict(1e3 * X[np.abs(X).sum(axis=1) > 1]) == -1).all()
    assert fit.lower_bound_ == pytest.approx(fit.score(X), rel=1e-12)
    assert fit.weights_.sum() + fit.noise_weight_ == pytest.approx(1.0, rel=1e-12)


def test_one_parameter_more() -> None:
    X, _ = contaminated(2)
    fits = [GaussianMixture(2, noise=noise, random_state=0).fit(X) for noise in (None, True)]
    penalties = [fit.aic(X) + 2.0 * len(X) * fit.score(X) for fit in fits]
    assert penalties[1] - penalties[0] == pytest.approx(2.0)


@pytest.mark.parametrize("structure", ["full", "tied", "spherical"])
def test_no_optimizer_improves_the_fit(structure: str) -> None:
    X, _ = contaminated(3, n_rows=120)
    fit = GaussianMixture(
        2, covariance_type=structure, reg_covar=0.0, noise=True, tol=1e-13, max_iter=20_000,
        random_state=0,
    ).fit(X)  # fmt: skip
    params = fit.params_

    def loss(vector: Data) -> float:
        at = params.from_vector(vector)
        matrices = dense(structure, at.components.covariances.sklearn_array, 2, 2)
        signal = np.log(at.weights[:2]) + gaussian_log_densities(X, at.components.means, matrices)
        noise = np.full(len(X), np.log(at.weights[2] / fit.noise_volume_))
        return -float(logsumexp(np.column_stack([signal, noise]), axis=1).mean())

    start = params.to_vector()
    assert loss(start) == pytest.approx(-fit.lower_bound_, rel=1e-12)
    away = minimize(loss, start + 0.05, method="BFGS", options={"gtol": 1e-7})
    assert loss(start + 0.05) > loss(start) + 1e-3
    assert away.fun == pytest.approx(loss(start), abs=1e-8)
    assert minimize(loss, start, method="BFGS", options={"gtol": 1e-9}).fun > loss(start) - 1e-9


def test_draws() -> None:
    """Rows of the components, and rows spread evenly over the box, labelled −1."""
    X, _ = contaminated(4)
    fit = GaussianMixture(2, noise=True, random_state=0).fit(X)
    rows, labels = fit.sample(20_000)
    np.testing.assert_allclose(
        np.bincount(labels + 1) / 20_000,
        np.append(fit.noise_weight_, fit.weights_),
        rtol=0,
        atol=0.015,
    )
    np.testing.assert_allclose(rows[labels == 1].mean(axis=0), fit.means_[1], atol=0.1)
    box = fit.noise_box_
    assert box is not None
    places = (rows[labels == -1] - box.center) @ box.axes.T / box.lengths
    for column in places.T:
        assert kstest(column, "uniform", args=(-0.5, 1.0)).pvalue > 1e-4
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.1


# -- what noise is for ----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.4])
@pytest.mark.parametrize("n_features", [1, 2, 5, 10])
def test_noise_is_found(n_features: int, share: float) -> None:
    """Of ten data sets: with ten starts, the bound of the true partition in nearly all of them;
    and the components are closer to the truth than those of a mixture without noise."""
    reached, right, without = [], [], []
    for seed in range(10):
        X, labels = contaminated(seed, 400, n_features, 2, share)
        settings_: dict[str, Any] = {"noise": True, "tol": 1e-7, "max_iter": 500}
        fit = GaussianMixture(2, n_init=3, random_state=seed, **settings_).fit(X)
        start = 0.98 * np.eye(3)[labels] + 0.02 / 3.0
        from_truth = GaussianMixture(2, init_params=start, **settings_).fit(X)
        reached.append(fit.lower_bound_ > from_truth.lower_bound_ - 1e-3)
        right.append(((fit.predict(X) == -1) == (labels == -1)).mean())
        plain = GaussianMixture(2, n_init=3, random_state=seed, max_iter=500).fit(X)
        without.append(_distance(plain, X, labels) - _distance(fit, X, labels))
    assert np.mean(reached) >= 0.9
    assert np.mean(right) > (0.8 if n_features == 1 else 0.9)
    if share >= 0.1:
        assert np.mean(without) > 0.0


def _distance(fit: GaussianMixture, X: Data, labels: IntArray) -> float:
    """Of the true means from the nearest fitted ones, in all."""
    truth = np.array([X[labels == k].mean(axis=0) for k in range(2)])
    distances = np.linalg.norm(truth[:, None] - fit.means_, axis=2)
    return float(min(np.trace(distances), np.trace(distances[::-1])))


def test_large_data_start_from_a_sample() -> None:
    X, labels = contaminated(5, n_rows=60_000)
    fit = GaussianMixture(2, noise=True, random_state=0).fit(X)
    assert ((fit.predict(X) == -1) == (labels == -1)).mean() > 0.93
    assert fit.noise_weight_ == pytest.approx(0.15, abs=0.03)


@pytest.mark.parametrize(
    "init_params", ["kmeans", "k-means++", "random_from_data", "hierarchical", "random"]
)
def test_any_start(init_params: str) -> None:
    X, labels = contaminated(6, n_features=3)
    fit = GaussianMixture(2, noise=True, init_params=init_params, random_state=0, max_iter=500)
    assert ((fit.fit(X).predict(X) == -1) == (labels == -1)).mean() > 0.85


def test_given_parts_of_a_start() -> None:
    X, _ = contaminated(7)
    means, weights = X[:2], np.array([0.3, 0.6, 0.1])
    start = GaussianMixture(2, noise=True, means_init=means, weights_init=weights, max_iter=0)
    start.set_params(precisions_init=np.stack([np.eye(2)] * 2)).fit(X)
    np.testing.assert_allclose(start.weights_, weights[:2])
    assert start.noise_weight_ == pytest.approx(0.1)
    np.testing.assert_array_equal(start.means_, means)


# -- what it must not depend on -------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(STRUCTURES), st.integers(0, 2**31))
def test_whole_weights_are_repeated_rows(structure: str, seed: int) -> None:
    X, _ = contaminated(seed, n_rows=100)
    rng = np.random.default_rng(seed)
    counts, start = rng.integers(0, 4, len(X)), rng.dirichlet(np.ones(3), len(X))
    rows = np.repeat(np.arange(len(X)), counts)
    settings_: dict[str, Any] = {"covariance_type": structure, "max_iter": 8, "tol": 0.0}
    settings_["noise"] = True
    weighted = GaussianMixture(2, init_params=start, **settings_).fit(X, sample_weight=counts)
    repeated = GaussianMixture(2, init_params=start[rows], **settings_).fit(X[rows])
    for name in ("weights_", "noise_weight_", "noise_volume_", "means_", "covariances_"):
        np.testing.assert_allclose(
            getattr(weighted, name), getattr(repeated, name), rtol=1e-8, atol=1e-9, err_msg=name
        )
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=0, abs=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(STRUCTURES), st.integers(0, 2**31), st.floats(-6.0, 6.0))
def test_scale_and_origin(structure: str, seed: int, exponent: float) -> None:
    X, _ = contaminated(seed, n_rows=100)
    scale = 10.0**exponent
    settings_: dict[str, Any] = {"covariance_type": structure, "max_iter": 8, "tol": 0.0}
    settings_ |= {"noise": True, "reg_covar": 0.0}
    start = np.random.default_rng(seed).dirichlet(np.ones(3), len(X))
    fit = GaussianMixture(2, init_params=start, **settings_).fit(X)
    moved = GaussianMixture(2, init_params=start, **settings_).fit(scale * (X + 3.0))
    assert moved.noise_volume_ == pytest.approx(scale**2 * fit.noise_volume_, rel=1e-9)
    assert moved.noise_weight_ == pytest.approx(fit.noise_weight_, rel=1e-7)
    np.testing.assert_allclose(moved.means_ / scale - 3.0, fit.means_, rtol=0, atol=1e-7)
    bound = fit.lower_bound_ - 2.0 * np.log(scale)
    assert moved.lower_bound_ == pytest.approx(bound, abs=1e-9)


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.filterwarnings("ignore:noise=0.01", "ignore::sklearn.exceptions.ConvergenceWarning")
@settings(max_examples=20, deadline=None)
@given(st.sampled_from(STRUCTURES), st.integers(0, 2**31), st.sampled_from([True, 0.01, 1e4]))
def test_the_bound_never_falls(structure: str, seed: int, noise: float | bool) -> None:
    """With weights, labels, missing entries and a prior at once: the monitor would raise."""
    rng = np.random.default_rng(seed)
    X = clusters(rng, 120, 2, 3)
    X[rng.random(X.shape) < rng.choice([0.0, 0.2])] = np.nan
    labels = np.where(rng.random(120) < 0.2, rng.integers(0, 4, 120), -1)
    fit = GaussianMixture(
        3, covariance_type=structure, noise=noise, reg_covar=rng.choice([1e-6, 0.1]),
        random_state=0, max_iter=50, tol=0.0,
        acceleration=[None, "squarem", "quasi_newton"][rng.integers(3)],
    )  # fmt: skip
    fit.fit(X, sample_weight=rng.uniform(0.0, 3.0, 120), sample_labels=labels)
    assert np.isfinite([*fit.weights_, fit.noise_weight_, *fit.means_.ravel()]).all()


def test_threads_do_not_show() -> None:
    X, _ = contaminated(8, n_rows=20_000)
    fits = [
        GaussianMixture(2, noise=True, random_state=0, n_jobs=n_jobs, max_iter=5).fit(X)
        for n_jobs in (1, 3)
    ]
    np.testing.assert_array_equal(fits[0].trace_.elbo, fits[1].trace_.elbo)


@pytest.mark.parametrize("acceleration", ["squarem", "quasi_newton"])
def test_accelerated_it_ends_at_the_same_maximum(acceleration: str) -> None:
    X, _ = contaminated(9)
    settings_: dict[str, Any] = {"noise": True, "tol": 1e-12, "max_iter": 10_000}
    plain = GaussianMixture(2, random_state=0, **settings_).fit(X)
    fast = GaussianMixture(2, random_state=0, acceleration=acceleration, **settings_).fit(X)
    assert fast.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-8)
    assert fast.n_passes_ < plain.n_passes_


def test_a_row_of_weight_zero_is_absent() -> None:
    """From the box, too."""
    X, _ = contaminated(10)
    kept = np.random.default_rng(0).random(len(X)) < 0.8
    mixture = GaussianMixture(2, noise=True, random_state=0)
    whole = mixture.fit(np.where(kept[:, None], X, 1e6), sample_weight=kept)
    volume, bound = whole.noise_volume_, whole.lower_bound_
    part = mixture.fit(X[kept], sample_weight=np.ones(kept.sum()))
    assert (part.noise_volume_, part.lower_bound_) == (volume, bound)


# -- with the rest --------------------------------------------------------------------------------


def test_labels_of_noise() -> None:
    X, labels = contaminated(11)
    known = np.where(np.arange(300) < 60, np.where(labels == -1, 2, labels), -1)
    fit = GaussianMixture(2, reg_covar=0.0, noise=True, random_state=0)
    fit.fit(X, sample_labels=known)
    terms = log_terms(fit, X)
    log_evidence = np.where(known >= 0, terms[np.arange(300), known], logsumexp(terms, axis=1))
    assert fit.lower_bound_ == pytest.approx(log_evidence.mean(), rel=1e-12)
    assert (fit.predict(X) == labels).mean() > 0.9
    with pytest.raises(ValueError, match=r"from 0 to 2, .*got 3"):
        fit.fit(X, sample_labels=np.full(300, 3))
    with pytest.raises(ValueError, match=r"from 0 to 1, .*got 2"):
        GaussianMixture(2).fit(X, sample_labels=known)


def test_missing_entries() -> None:
    """Noise knows of the features that are seen: one by their sides."""
    X, _ = contaminated(12, n_features=3)
    rng = np.random.default_rng(0)
    missing = rng.random(X.shape) < 0.2
    missing[missing.all(axis=1)] = False
    X[missing] = np.nan
    fit = GaussianMixture(2, reg_covar=0.0, noise=True, random_state=0).fit(X)
    box = fit.noise_box_
    assert box is not None
    np.testing.assert_allclose(box.sides, np.nanmax(X, axis=0) - np.nanmin(X, axis=0))
    responsibilities = fit.predict_proba(X)
    total = 0.0
    for row, shares in zip(X, responsibilities, strict=True):
        seen = ~np.isnan(row)
        densities = [
            multivariate_normal(mean[seen], matrix[np.ix_(seen, seen)]).pdf(row[seen])
            for mean, matrix in zip(fit.means_, fit.covariances_, strict=True)
        ]
        terms = np.append(fit.weights_ * densities, fit.noise_weight_ / box.sides[seen].prod())
        np.testing.assert_allclose(shares, terms / terms.sum(), rtol=0, atol=1e-10)
        total += np.log(terms.sum())
    assert fit.lower_bound_ == pytest.approx(total / len(X), rel=1e-10)
    # Expected in the middle of the box, as far as a row is noise.
    imputed = fit.impute(X)
    i = int(np.flatnonzero(missing.any(axis=1) & (responsibilities[:, 2] > 0.99))[0])
    np.testing.assert_allclose(imputed[i][missing[i]], box.center[missing[i]], atol=0.2)
    assert not np.isnan(imputed).any()
    rows = np.tile(X[i], (4000, 1))
    drawn = fit.sample_missing(rows, random_state=0)[:, missing[i]]
    assert kstest(
        ((drawn - box.center[missing[i]]) / box.sides[missing[i]])[:, 0], "uniform", (-0.5, 1.0)
    ).statistic < 0.03  # fmt: skip


def test_a_warm_start_goes_on() -> None:
    X, _ = contaminated(13)
    once = GaussianMixture(2, noise=True, random_state=0, tol=0.0, max_iter=10).fit(X)
    twice = GaussianMixture(2, noise=True, random_state=0, tol=0.0, max_iter=5, warm_start=True)
    twice.fit(X).fit(X)
    np.testing.assert_allclose(twice.means_, once.means_, rtol=1e-9)
    assert twice.noise_weight_ == pytest.approx(once.noise_weight_, rel=1e-9)
    without = GaussianMixture(2, random_state=0, warm_start=True).fit(X).set_params(noise=True)
    with pytest.raises(ValueError, match="which had no noise"):
        without.fit(X)


def test_without_noise_nothing_is_left_of_it() -> None:
    X, _ = contaminated(14)
    mixture = GaussianMixture(2, noise=True, random_state=0).fit(X)
    mixture.set_params(noise=None).fit(X)
    assert (mixture.noise_weight_, mixture.noise_volume_, mixture.noise_box_) == (0.0, None, None)
    assert mixture.predict_proba(X).shape == (300, 2)
    assert mixture.weights_.sum() == pytest.approx(1.0)
    assert mixture.predict(1e3 * X).min() >= 0


def test_copies_keep_it() -> None:
    X, _ = contaminated(15)
    fit = GaussianMixture(2, noise=True, random_state=0).fit(X)
    for other in (pickle.loads(pickle.dumps(fit)), copy.deepcopy(fit)):
        np.testing.assert_array_equal(other.predict_proba(X), fit.predict_proba(X))
    assert clone(fit).noise is True
    single = GaussianMixture(2, noise=True, random_state=0).fit(X.astype(np.float32))
    assert single.weights_.dtype == np.float32
    assert single.noise_weight_ == pytest.approx(fit.noise_weight_, abs=1e-3)


@pytest.mark.parametrize("noise", [0, 0.0, -1.0, "uniform", np.nan])
def test_bad_parameters(noise: Any) -> None:
    with pytest.raises(ValueError, match="'noise' parameter"):
        GaussianMixture(2, noise=noise).fit(X_FAITHFUL)


def test_bad_starts() -> None:
    with pytest.raises(ValueError, match=r"shape of \(312, 3\), but got \(312, 2\)"):
        GaussianMixture(2, noise=True, init_params=np.full((312, 2), 0.5)).fit(X_FAITHFUL)
    with pytest.raises(ValueError, match="got noise alone"):
        GaussianMixture(2, noise=True, init_params=np.eye(3)[np.full(312, 2)]).fit(X_FAITHFUL)
    with pytest.raises(
        ValueError, match="expected 3 weights, the last one that of the noise, got 2"
    ):
        GaussianMixture(2, noise=True, weights_init=[0.5, 0.5]).fit(X_FAITHFUL)


@pytest.mark.parametrize(
    "use",
    [
        lambda fit: fit.marginal([0]),
        lambda fit: fit.condition({0: 1.0}),
        lambda fit: fit.predict_conditional(X_FAITHFUL[:, :1], given=[0]),
        lambda fit: fit.merge(X_FAITHFUL),
    ],
)
def test_what_is_not_defined_with_noise_says_so(use: Any) -> None:
    fit = GaussianMixture(2, noise=True, random_state=0).fit(X_FAITHFUL)
    with pytest.raises(ValueError, match="expected a mixture of components alone"):
        use(fit)


def test_pictures_show_noise_in_grey() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from em_toolkit import MixtureDisplay

    fit = GaussianMixture(2, noise=True, random_state=0).fit(X_FAITHFUL)
    display = MixtureDisplay.from_estimator(fit, X_FAITHFUL)
    assert display.points_ is not None
    colors = np.asarray(display.points_.get_facecolors())[:, :3]
    sure = fit.predict_proba(X_FAITHFUL)[:, 2] > 0.99
    assert sure.sum() > 10
    # Grey is where red, green and blue are alike.
    assert np.ptp(colors[sure], axis=1).max() < 0.02
    assert np.ptp(colors[fit.predict(X_FAITHFUL) >= 0], axis=1).min() > 0.02
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert f"noise: {fit.noise_weight_:.1%}" in texts
    # One feature: the terms sum to the line of the mixture, noise included.
    one = GaussianMixture(2, noise=True, random_state=0).fit(X_FAITHFUL[:, :1])
    display = MixtureDisplay.from_estimator(one, X_FAITHFUL[:, :1])
    assert display.mixture_line_ is not None
    x, density = display.mixture_line_.get_data()
    expected = np.exp(one.score_samples(np.asarray(x)[:, None]))
    np.testing.assert_allclose(np.asarray(density), expected, rtol=1e-8)


# -- what a user may say, and take back ------------------------------------------------------------


@pytest.mark.parametrize(("noise", "same"), [(False, None), (np.False_, None), (np.True_, True)])
def test_a_boolean_of_any_kind_is_one(noise: Any, same: Any) -> None:
    fit, other = (GaussianMixture(2, noise=n, random_state=0).fit(FAITHFUL) for n in (noise, same))
    assert fit.lower_bounds_ == other.lower_bounds_
    np.testing.assert_array_equal(fit.predict_proba(FAITHFUL), other.predict_proba(FAITHFUL))


def test_a_volume_less_than_that_of_the_rows_is_warned_of() -> None:
    volume = box_about(FAITHFUL).volume
    with pytest.warns(UserWarning, match=r"the rows take a box of volume .*noise=True"):
        GaussianMixture(2, noise=0.9 * volume, random_state=0).fit(FAITHFUL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianMixture(2, noise=1.1 * volume, random_state=0).fit(FAITHFUL)
        GaussianMixture(2, noise=True, random_state=0).fit(FAITHFUL)


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.filterwarnings("ignore:noise=1.0", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("acceleration", [None, "squarem", "quasi_newton"])
def test_a_bound_that_vanishes_has_not_fallen(acceleration: str | None) -> None:
    """All rows become noise of log density 0: no term of the bound is left but roundings."""
    for seed in range(12):
        X = np.random.default_rng(seed).standard_normal((60, 1))
        # The monitor raises if it falls.
        fit = GaussianMixture(noise=1.0, tol=0.0, acceleration=acceleration).fit(X)
        assert abs(fit.lower_bound_) < 0.1


@pytest.mark.parametrize(("fitted", "changed"), [(None, True), (True, None), (True, False)])
def test_noise_that_was_changed_after_the_fit_asks_for_another(fitted: Any, changed: Any) -> None:
    mixture = GaussianMixture(2, noise=fitted, random_state=0).fit(FAITHFUL)
    with pytest.raises(ValueError, match=f"noise={changed}: expected what it was in the fit"):
        mixture.set_params(noise=changed).predict(FAITHFUL)


def test_a_divergence_is_between_densities() -> None:
    noisy = GaussianMixture(2, noise=True, random_state=0).fit(FAITHFUL)
    plain = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    for one, other in [(noisy, plain), (plain, noisy)]:
        with pytest.raises(ValueError, match="kl_divergence: expected a mixture of components"):
            one.kl_divergence(other)

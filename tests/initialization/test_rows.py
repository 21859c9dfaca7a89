"""Where EM starts: the start by blocks of rows is that of all rows at once.

The oracle is the first M-step on whole arrays, in extended precision where the data are far away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import STRUCTURES, Data, clusters, dense
from sklearn.cluster import KMeans, kmeans_plusplus

from em_toolkit import GaussianMixture, PoissonMixture
from em_toolkit import initialization as starts
from em_toolkit.data import BLOCK_SIZE
from em_toolkit.engine import Rows
from em_toolkit.families import FullCovariances, Gaussian, Poisson
from em_toolkit.initialization.centroids import SMALLEST_SAMPLE
from em_toolkit.initialization.sampling import plusplus_rows, stratified_rows
from em_toolkit.models import Mixture, MixtureParameters

K = 3
SIZES = [40, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE + 1, 3 * BLOCK_SIZE]
EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
LARGE = SMALLEST_SAMPLE + 5_000


def rows(n_rows: int, n_features: int = 2) -> Data:
    return clusters(np.random.default_rng(n_rows), n_rows, n_features, K, apart=6.0)


def some_weights(n_rows: int) -> Data:
    return np.random.default_rng(n_rows + 1).uniform(0.1, 3.0, n_rows)


def m_step(X: Data, responsibilities: Data, weights: Data | None = None) -> tuple[Data, Data, Data]:
    """Weights, means and covariances from all rows at once, as arrays of long doubles.

    A component without data has the mean and covariance of all of them.
    """
    rows_ = X.astype(np.longdouble)
    weights = np.ones(len(X)) if weights is None else weights
    counts, means, covariances = [], [], []
    for column in responsibilities.T.astype(np.longdouble):
        mass = column * weights
        counts.append(mass.sum())
        used = mass if mass.sum() > 0 else weights.astype(np.longdouble)
        means.append((used[:, None] * rows_).sum(axis=0) / used.sum())
        deviations = rows_ - means[-1]
        covariances.append((used[:, None] * deviations).T @ deviations / used.sum())
    return np.array(counts) / np.sum(counts), np.array(means), np.array(covariances)


def start_of(X: Data, init_params: Any, weights: Data | None = None, **others: Any) -> Any:
    """The start that an estimator takes."""
    mixture = GaussianMixture(
        K, init_params=init_params, max_iter=0, reg_covar=0.0, random_state=0, **others
    )
    return mixture.fit(X, sample_weight=weights)


def labels_of_kmeans(X: Data, weights: Data | None = None, n_clusters: int = K) -> Data:
    source = np.random.RandomState(0)
    clusters_ = KMeans(n_clusters, n_init=1, random_state=source).fit(X, sample_weight=weights)
    return np.asarray(clusters_.labels_)


def uniform_responsibilities(n_rows: int, dtype: Any = np.float64) -> Data:
    drawn = np.random.RandomState(0).uniform(size=(n_rows, K)).astype(dtype)
    return np.asarray(drawn / drawn.sum(axis=1)[:, None])


def assert_start(
    fit: Any, X: Data, responsibilities: Data, weights: Data | None = None, **tolerance: float
) -> None:
    tolerance = tolerance or EXACT
    expected = m_step(X, responsibilities, weights)
    for got, value in zip((fit.weights_, fit.means_, fit.covariances_), expected, strict=True):
        np.testing.assert_allclose(got, value.astype(np.float64), **tolerance)


# -- one M-step, whatever the blocks ------------------------------------------------------------


@pytest.mark.parametrize("n_rows", SIZES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_kmeans_is_the_m_step_on_its_clusters(n_rows: int, weighted: bool) -> None:
    X = rows(n_rows)
    weights = some_weights(n_rows) if weighted else None
    one_hot = np.eye(K)[labels_of_kmeans(X, weights)]
    assert_start(start_of(X, "kmeans", weights), X, one_hot, weights)


@pytest.mark.parametrize("n_rows", SIZES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_random_is_the_m_step_on_what_scikit_learn_draws(n_rows: int, weighted: bool) -> None:
    X = rows(n_rows)
    weights = some_weights(n_rows) if weighted else None
    drawn = uniform_responsibilities(n_rows)
    assert_start(start_of(X, "random", weights), X, drawn, weights)


@pytest.mark.parametrize("n_rows", SIZES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_given_responsibilities_are_used_as_they_are(n_rows: int, dtype: Any) -> None:
    X, weights = rows(n_rows), some_weights(n_rows)
    given_ = uniform_responsibilities(n_rows, dtype)
    assert_start(start_of(X, given_, weights), X, given_, weights)


def test_single_precision_data_are_summed_in_double() -> None:
    X = rows(2 * BLOCK_SIZE + 1).astype(np.float32)
    one_hot = np.eye(K)[labels_of_kmeans(X)]
    fit = start_of(X, "kmeans")
    assert fit.means_.dtype == np.float32
    # What the attributes, of single precision, can hold; sums in single precision cannot.
    assert_start(fit, X, one_hot, rtol=2e-7, atol=1e-7)
    assert_start(start_of(X, "random"), X, uniform_responsibilities(len(X), np.float32), rtol=2e-7)


def test_random_responsibilities_are_as_precise_as_the_data() -> None:
    """As scikit-learn's, which are normalized in the precision of the data."""
    X = rows(2 * BLOCK_SIZE + 1).astype(np.float32)
    source = np.random.RandomState(0)
    start = starts.random(Mixture(Gaussian(FullCovariances)), X, None, K, source)
    R = uniform_responsibilities(len(X), np.float32)
    weights, means, covariances = (values.astype(np.float64) for values in m_step(X, R))
    np.testing.assert_allclose(start.weights, weights, rtol=1e-12)
    np.testing.assert_allclose(start.components.means, means, rtol=1e-12)
    np.testing.assert_allclose(start.components.covariances.values, covariances, rtol=1e-12)


@pytest.mark.parametrize("init_params", ["kmeans", "random"])
@pytest.mark.parametrize("n_rows", [40, 2 * BLOCK_SIZE + 1])
def test_far_from_zero_no_digit_of_the_covariances_is_lost(init_params: str, n_rows: int) -> None:
    X = 1e8 + rows(n_rows)
    R = uniform_responsibilities(n_rows)
    if init_params == "kmeans":
        R = np.eye(K)[labels_of_kmeans(X)]
    fit = start_of(X, init_params)
    weights, means, covariances = (values.astype(np.float64) for values in m_step(X, R))
    np.testing.assert_allclose(fit.weights_, weights, **EXACT)
    np.testing.assert_allclose(fit.means_, means, rtol=4e-16)
    np.testing.assert_allclose(fit.covariances_, covariances, **EXACT)


def test_the_first_row_may_be_far_from_all_others() -> None:
    X = rows(2 * BLOCK_SIZE + 1)
    X[0, 0] = 1e12
    R = uniform_responsibilities(len(X))
    R[0] = [1.0, 0.0, 0.0]
    fit = start_of(X, R)
    _, means, covariances = (values.astype(np.float64) for values in m_step(X, R))
    np.testing.assert_allclose(fit.means_[1:], means[1:], **EXACT)
    np.testing.assert_allclose(fit.covariances_[1:], covariances[1:], **EXACT)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_an_empty_component_has_the_mean_and_spread_of_the_data(structure: str) -> None:
    X = 1e3 + rows(BLOCK_SIZE + 1)
    R = np.zeros((len(X), K))
    R[np.arange(len(X)), np.random.default_rng(0).integers(2, size=len(X))] = 1.0
    fit = start_of(X, R, covariance_type=structure)
    weights, means, covariances = (values.astype(np.float64) for values in m_step(X, R))
    pooled = np.einsum("k,kij->ij", weights, covariances)
    expected = {
        "full": covariances,
        "tied": np.stack([pooled] * K),
        "diag": np.stack([np.diag(np.diag(matrix)) for matrix in covariances]),
        "spherical": np.stack([np.trace(matrix) / 2 * np.eye(2) for matrix in covariances]),
    }[structure]
    assert fit.weights_[2] == 0.0
    np.testing.assert_allclose(fit.means_, means, **EXACT)
    np.testing.assert_allclose(dense(structure, fit.covariances_, K, 2), expected, **EXACT)


@pytest.mark.parametrize("n_rows", [40, 2 * BLOCK_SIZE + 1])
def test_poisson_starts_are_of_all_rows_too(n_rows: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.poisson([[2.0, 30.0]], (n_rows, 2)).astype(np.float64)
    weights = some_weights(n_rows)
    R = uniform_responsibilities(n_rows)
    fit = PoissonMixture(K, init_params="random", max_iter=0, random_state=0).fit(
        X, sample_weight=weights
    )
    mass = R * weights[:, None]
    np.testing.assert_allclose(fit.weights_, mass.sum(axis=0) / mass.sum(), **EXACT)
    np.testing.assert_allclose(fit.rates_, mass.T @ X / mass.sum(axis=0)[:, None], **EXACT)

    empty = np.column_stack([R[:, :2] / R[:, :2].sum(axis=1)[:, None], np.zeros(n_rows)])
    fit = PoissonMixture(K, init_params=empty, max_iter=0).fit(X, sample_weight=weights)
    np.testing.assert_allclose(fit.rates_[2], np.average(X, axis=0, weights=weights), **EXACT)


# -- random numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [40, 2 * BLOCK_SIZE + 1])
def test_random_leaves_the_source_where_scikit_learn_leaves_it(n_rows: int) -> None:
    """A second start goes on from there."""
    ours, theirs = np.random.RandomState(3), np.random.RandomState(3)
    gaussian = Mixture(Gaussian(FullCovariances))
    starts.random(gaussian, rows(n_rows), None, K, ours)
    theirs.uniform(size=(n_rows, K))
    assert ours.uniform() == theirs.uniform()


# -- components on rows -------------------------------------------------------------------------


def on_points(fit: Any, X: Data) -> list[int]:
    """The rows on which the components are."""
    return [int(np.flatnonzero((mean == X).all(axis=1))[0]) for mean in fit.means_]


@pytest.mark.parametrize("init_params", ["k-means++", "random_from_data"])
@pytest.mark.parametrize("n_rows", [40, 2 * BLOCK_SIZE + 1])
def test_tied_components_on_points_have_the_spread_of_all_data(
    init_params: str, n_rows: int
) -> None:
    X, weights = 1e5 + rows(n_rows), some_weights(n_rows)
    fit = start_of(X, init_params, weights, covariance_type="tied")
    assert len(on_points(fit, X)) == K
    _, _, (covariance,) = m_step(X, np.ones((n_rows, 1)), weights)
    np.testing.assert_allclose(fit.covariances_, covariance.astype(np.float64), **EXACT)
    np.testing.assert_allclose(fit.weights_, 1.0 / K)


@pytest.mark.parametrize("n_rows", [150, BLOCK_SIZE, 3 * BLOCK_SIZE + 5])
@pytest.mark.parametrize("n_components", [1, 2, 7, 20])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_plusplus_chooses_what_scikit_learn_chooses(
    n_rows: int, n_components: int, weighted: bool
) -> None:
    X = rows(n_rows, 4)
    weights = some_weights(n_rows) if weighted else None
    for seed in range(3):
        ours, theirs = np.random.RandomState(seed), np.random.RandomState(seed)
        chosen = plusplus_rows(Rows(X, weights), n_components, ours)
        _, expected = kmeans_plusplus(X, n_components, sample_weight=weights, random_state=theirs)
        np.testing.assert_array_equal(chosen, expected)
        assert ours.uniform() == theirs.uniform()


def test_plusplus_does_not_depend_on_where_the_data_are() -> None:
    """On a grid that stays one when it is moved; scikit-learn's distances cancel there."""
    X = np.round(rows(BLOCK_SIZE + 5) * 32.0) / 32.0
    here, there = (plusplus_rows(Rows(Y), 10, np.random.RandomState(0)) for Y in (X, X + 1e8))
    np.testing.assert_array_equal(here, there)


def test_plusplus_finds_all_points_where_there_are_few() -> None:
    X = 1e6 + np.repeat([[0.1], [0.2], [0.7]], [6_000, 3, 2], axis=0)
    chosen = plusplus_rows(Rows(X), 5, np.random.RandomState(0))
    np.testing.assert_array_equal(np.unique(X[chosen]), np.unique(X))


# -- k-means on a sample --------------------------------------------------------------------------


def assert_same(one: MixtureParameters[Any], other: MixtureParameters[Any]) -> None:
    np.testing.assert_array_equal(one.to_vector(), other.to_vector())


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_data_no_larger_than_the_sample_are_the_sample(weighted: bool) -> None:
    for n_rows in (40, SMALLEST_SAMPLE):
        X = rows(n_rows)
        weights = some_weights(n_rows) if weighted else None
        kmeans, sample = (start_of(X, name, weights) for name in ("kmeans", "kmeans_sample"))
        for name in ("weights_", "means_", "covariances_"):
            np.testing.assert_array_equal(getattr(sample, name), getattr(kmeans, name))


@pytest.mark.parametrize("offset", [0.0, 1e5, 1e8])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_each_row_is_in_the_cluster_of_the_nearest_centre(offset: float, dtype: Any) -> None:
    """Clusters so far apart that any sample finds them, and one with a row in a hundred."""
    if np.finfo(dtype).eps * offset > 1.0:
        pytest.skip("single precision holds no such data")
    rng = np.random.default_rng(0)
    labels = rng.choice(K, LARGE, p=[0.6, 0.39, 0.01])
    places = np.array([[0.0, 0.0], [100.0, 0.0], [1000.0, 0.0]])
    X = (offset + places[labels] + rng.standard_normal((LARGE, 2))).astype(dtype)
    fit = start_of(X, "kmeans_sample", covariance_type="spherical")
    order = np.argsort(fit.weights_)[::-1]
    np.testing.assert_allclose(fit.weights_[order], np.bincount(labels) / LARGE, rtol=1e-6)
    near = fit.means_[order].astype(np.float64) - offset
    np.testing.assert_allclose(near, places, atol=np.finfo(dtype).eps * offset + 0.3)
    if offset == 0.0:
        one_hot = np.eye(K)[labels]
        _, means, _ = m_step(X, one_hot)
        np.testing.assert_allclose(fit.means_[order], means.astype(float), rtol=1e-6, atol=1e-6)


def test_data_in_order_have_all_their_parts_in_the_sample() -> None:
    n_rows, size = 100_000, 1_000
    chosen = stratified_rows(n_rows, None, size, np.random.RandomState(0))
    np.testing.assert_array_equal(chosen // 100, np.arange(size))
    assert np.unique(chosen % 100).size == 100


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 200))
def test_a_sample_of_weighted_rows_is_one_of_rows_repeated(
    seed: int, n_rows: int, size: int
) -> None:
    counts = np.random.default_rng(seed).integers(0, 4, n_rows)
    counts[0] = 1
    repeated = np.repeat(np.arange(n_rows), counts)
    weighted = stratified_rows(n_rows, counts.astype(np.float64), size, np.random.RandomState(seed))
    plain = stratified_rows(len(repeated), None, size, np.random.RandomState(seed))
    np.testing.assert_array_equal(weighted, repeated[plain])
    # As often as its weight says, to one; a weight of zero is never drawn.
    expected = size * counts / counts.sum()
    seen = np.bincount(weighted, minlength=n_rows)
    assert (np.abs(seen - expected) < 2.0).all()
    assert not seen[counts == 0].any()


@pytest.mark.parametrize("family", [Gaussian(FullCovariances), Poisson()])
def test_equal_weights_are_no_weights(family: Any) -> None:
    X = np.random.default_rng(0).poisson([[3.0, 50.0]], (LARGE, 2)).astype(np.float64)
    mixture: Mixture[Any] = Mixture(family)
    plain, weighted = (
        starts.kmeans_sample(mixture, X, weights, K, np.random.RandomState(0))
        for weights in (None, np.ones(LARGE))
    )
    assert_same(plain, weighted)


def test_a_sample_start_ends_where_kmeans_ends() -> None:
    X = rows(LARGE)
    fits = [
        GaussianMixture(K, init_params=name, tol=1e-8, random_state=0).fit(X)
        for name in ("kmeans", "kmeans_sample")
    ]
    assert fits[1].lower_bound_ == pytest.approx(fits[0].lower_bound_, abs=1e-6)

"""Starts from points: the centres of k-means, and rows that are drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from em_toolkit.data import Block, Rows
from em_toolkit.initialization.recent import Recent
from em_toolkit.initialization.rows import Assigned, Data, Labelling, given_labels, weights_of
from em_toolkit.initialization.sampling import plusplus_rows, stratified_rows
from em_toolkit.initialization.scaling import Scaling, singular_scaling, standardizing
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array, IntArray

# Rows in the sample of `kmeans_sample`, for each component and at least.
_SAMPLE_BY_COMPONENT = 500
SMALLEST_SAMPLE = 20_000


def kmeans(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> Labelling:
    """Cluster the rows by one k-means run.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
        By default each row has the weight 1.
    n_components : int
    random_state : RandomState

    Returns
    -------
    labelling : callable
        From a block of the rows, and the slice of the rows that are in it, to their labels.
    """
    return given_labels(_kmeans_labels(X, sample_weight, n_components, random_state))


def kmeans_sample(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> Labelling:
    """Cluster a sample of the rows by one k-means run; each row is in the nearest cluster.

    The sample is stratified along the rows and in proportion to their weights. Its size depends on
    the number of components alone; data of no more rows are their own sample.

    Parameters
    ----------
    X, sample_weight, n_components, random_state
        As in `kmeans`.
    """
    size = sample_size(n_components)
    if X.shape[0] <= size:
        return kmeans(X, sample_weight, n_components, random_state)
    sample = X[stratified_rows(X.shape[0], sample_weight, size, random_state)]
    return _nearest(_fitted(sample, None, n_components, random_state), None)


def kmeans_standardized(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> Labelling:
    """Cluster the columns in their standard deviations by one k-means run.

    This is for features in unlike units, of which the largest would have all the say. Data of more
    rows than the sample of `kmeans_sample` are clustered by such a sample.

    Parameters
    ----------
    X, sample_weight, n_components, random_state
        As in `kmeans`.
    """
    return _kmeans_scaled(standardizing, X, sample_weight, n_components, random_state)


def kmeans_principal(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> Labelling:
    """Cluster principal directions, scaled as for "hierarchical", by one k-means run.

    The distances are halfway between those of standardized columns and Mahalanobis distances. Data
    of more rows than the sample of `kmeans_sample` are clustered by such a sample.

    Parameters
    ----------
    X, sample_weight, n_components, random_state
        As in `kmeans`.
    """
    return _kmeans_scaled(singular_scaling, X, sample_weight, n_components, random_state)


def _kmeans_scaled(
    scaling_of: Callable[[Data, Array | None], Scaling],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> Labelling:
    size = sample_size(n_components)
    if X.shape[0] <= size:
        scaled, weights = scaling_of(X, sample_weight).rounded(X), weights_of(X, sample_weight)
        _, before, *place = cast(tuple[Any, ...], random_state.get_state(legacy=True))
        labels, state = _RECENT.get(
            (n_components, place),
            (scaled, weights, before),
            lambda: _labels_and_state(scaled, sample_weight, n_components, random_state),
        )
        random_state.set_state(state)
        return given_labels(labels)
    sample = X[stratified_rows(X.shape[0], sample_weight, size, random_state)]
    scaling = scaling_of(sample, None)
    return _nearest(_fitted(scaling.rounded(sample), None, n_components, random_state), scaling)


# Those of all rows, and of each of ten folds.
_RECENT: Recent[tuple[IntArray, Any]] = Recent(16)


def _labels_and_state(
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> tuple[IntArray, Any]:
    """Return the labels, and the random state after they were found."""
    labels = _kmeans_labels(X, sample_weight, n_components, random_state)
    return labels, random_state.get_state(legacy=True)


def _kmeans_labels(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> IntArray:
    """Return the labels of one k-means run."""
    clusters = _fitted(X, sample_weight, n_components, random_state)
    return np.asarray(clusters.labels_, dtype=np.int64)


def sample_size(n_components: int) -> int:
    """Return the number of rows that are enough for the clusters of k-means."""
    return max(SMALLEST_SAMPLE, _SAMPLE_BY_COMPONENT * n_components)


def _fitted(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> KMeans:
    clusters = KMeans(n_clusters=n_components, n_init=1, random_state=random_state)
    return clusters.fit(X, sample_weight=sample_weight)


def _nearest(clusters: KMeans, scaling: Scaling | None) -> Labelling:
    """Return the labelling of rows by the nearest centre."""
    centers = np.asarray(clusters.cluster_centers_, dtype=np.float64)
    middle = centers.mean(axis=0)
    centers -= middle
    half_squares = 0.5 * np.square(centers).sum(axis=1)

    def nearest(X: Array, _: slice) -> IntArray:
        scaled = X if scaling is None else scaling(X)
        closeness = (scaled - middle) @ centers.T - half_squares
        return np.asarray(closeness.argmax(axis=1))

    return nearest


def random(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """Start from responsibilities drawn uniformly and normalized.

    Parameters
    ----------
    mixture : Mixture
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
        By default each row has the weight 1.
    n_components : int
    random_state : RandomState
    """
    beginning = random_state.get_state(legacy=False)

    def drawn(block: Block, rows: slice) -> Array:
        if rows.start == 0:
            # Each reading draws the same numbers, and the last leaves the source behind them, as
            # if all had been drawn at once.
            random_state.set_state(beginning)
        shape = (len(block.X), n_components)
        responsibilities = random_state.uniform(size=shape).astype(X.dtype)
        responsibilities /= responsibilities.sum(axis=1)[:, np.newaxis]
        return np.asarray(responsibilities, dtype=np.float64)

    return mixture.from_responsibilities(Assigned(Rows(X, sample_weight), drawn))


def random_from_data(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """Start from components on rows drawn without replacement, in proportion to their weights.

    Parameters
    ----------
    mixture, X, sample_weight, n_components, random_state
        As in `random`.
    """
    chances = None if sample_weight is None else sample_weight / sample_weight.sum()
    points = random_state.choice(X.shape[0], size=n_components, replace=False, p=chances)
    return _from_points(mixture, X, sample_weight, points)


def k_means_plusplus(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """Start from components on rows chosen by k-means++ (Arthur & Vassilvitskii 2007).

    Parameters
    ----------
    mixture, X, sample_weight, n_components, random_state
        As in `random`.
    """
    points = plusplus_rows(Rows(X, sample_weight), n_components, random_state)
    return _from_points(mixture, X, sample_weight, points)


def _from_points(
    mixture: Mixture[Any], X: Data, sample_weight: Array | None, points: IntArray
) -> MixtureParameters[Any]:
    centers = np.asarray(X[points], dtype=np.float64)
    return mixture.from_points(centers, Rows(X, sample_weight))


def near_random_rows(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> Labelling:
    """Cluster around rows drawn at random: each row is with the nearest, in standardized columns.

    Unlike components on single rows, such clusters have a spread.

    Parameters
    ----------
    X, sample_weight, n_components, random_state
        As in `kmeans`.
    """
    scaling = standardizing(X, sample_weight)
    chances = None if sample_weight is None else sample_weight / sample_weight.sum()
    drawn = random_state.choice(X.shape[0], size=n_components, replace=False, p=chances)
    centers = scaling(X[drawn])

    def nearest(block: Array, _: slice) -> IntArray:
        return np.asarray(cdist(scaling(block), centers, "sqeuclidean").argmin(axis=1))

    return nearest

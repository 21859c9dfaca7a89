"""A race of many starts: all run for a few iterations of EM, the better half goes on, and so on."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from em_toolkit.covariances.axis_aligned import EIICovariances, SphericalCovariances
from em_toolkit.covariances.matrix import MatrixCovariances
from em_toolkit.families import Covariances, Gaussian
from em_toolkit.initialization.replicas import Axes, CovarianceKind, Matrix, Replicas, Sphere
from em_toolkit.initialization.rows import Data, weights_of
from em_toolkit.initialization.sampling import stratified_rows
from em_toolkit.initialization.scaling import in_one_unit, standardizing
from em_toolkit.models.mixture import Mixture
from em_toolkit.statistics import Array, IntArray

# How many start, and how many may win; fewer starters than these make no race.
_STARTERS, _WINNERS = 100, 3
_FEWEST = 25
# Iterations, and the share that goes on after them.
_ROUNDS = ((3, 1 / 2), (3, 1 / 4), (6, 1 / 8), (12, 1 / 8))
# Multiplications in an iteration of all starters: so many take a few milliseconds.
_WORK = 12_000_000
# Rows that are enough to tell the better half.
_ENOUGH_ROWS, _ROWS_BY_PARAMETER = 2_000, 10
# In nats: what are nearer are bounds of one mixture.
_SAME = 0.01


def winners(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> list[Array]:
    """Return responsibilities, of shape (n_rows, n_components) each, of the winners of a race.

    The starters are the `plusplus_partitions` of the rows in standardized columns. They run as
    `Replicas`, whose covariances come as near as these can to those of the mixture, and which know
    nothing of its priors: of what wins, the mixture itself should choose. Of more rows than are
    enough, a sample is run on.

    Parameters
    ----------
    mixture : Mixture
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
        By default each row has the weight 1.
    n_components : int
    random_state : RandomState

    Returns
    -------
    winners : list of ndarray
        The best first. None for components that are not normal, for rows that are all equal or
        whose squares overflow, where a race would be too much work, and where rounding ends it
        (as with weights of unlike powers of ten).
    """
    family = mixture.family
    n_rows, n_features = X.shape
    if n_components == 1:
        return [np.ones((n_rows, 1))]
    if not isinstance(family, Gaussian):
        return []
    kind = _kind_of(family.structure)
    n_starters, n_drawn = _sizes(n_rows, n_features, n_components, kind)
    if n_starters < _FEWEST:
        return []
    scaled = (in_one_unit if kind is Sphere else standardizing)(X, sample_weight)(X)
    shared = family.structure.shares_all(n_components, n_features)
    covariance = kind(scaled.shape[1], shared, family.structure.shares_volume())
    rows, weights = scaled, weights_of(X, sample_weight)
    if n_drawn < n_rows:
        rows = scaled[stratified_rows(n_rows, sample_weight, n_drawn, random_state)]
        weights = np.ones(n_drawn)
    # What a prior of so many rows is beside the data does not depend on the unit of the weights.
    weights = weights / weights.mean()
    # Less than one if no column varies; NaN if the squares overflow.
    if not np.average(np.square(rows).sum(axis=1), weights=weights) > 0.5:
        return []
    labels = plusplus_partitions(rows, weights, n_starters, n_components, random_state)
    replicas = Replicas(rows, weights, covariance)
    try:
        natural = run_race(replicas, labels, n_components)
    except np.linalg.LinAlgError:
        return []
    posterior, _ = replicas.posterior(natural, replicas.terms_of(scaled))
    return list(posterior.transpose(0, 2, 1))


def _sizes(
    n_rows: int, n_features: int, n_components: int, kind: type[CovarianceKind]
) -> tuple[int, int]:
    """Return the largest number of starters, and the number of rows that they run on."""
    n_terms = 1 + n_features + kind.n_entries(n_features)
    n_drawn = min(n_rows, max(_ENOUGH_ROWS, _ROWS_BY_PARAMETER * n_components * n_terms))
    # An exponential costs as much as some twenty multiplications.
    work = n_drawn * n_components * (n_terms + 20)
    return min(_STARTERS, _WORK // work), n_drawn


def _kind_of(structure: type[Covariances]) -> type[CovarianceKind]:
    if issubclass(structure, MatrixCovariances):
        return Matrix
    return Sphere if issubclass(structure, SphericalCovariances | EIICovariances) else Axes


def run_race(replicas: Replicas, labels: IntArray, n_components: int) -> Array:
    """Return the natural parameters of the winners, the best first.

    Parameters
    ----------
    replicas : Replicas
    labels : ndarray of int of shape (n_starters, n_rows)
        The partition that each starter begins with.
    n_components : int

    Returns
    -------
    natural : ndarray of shape (n_winners, n_components, n_terms)
        For `Replicas.posterior`.
    """
    responsibilities = (labels[:, None, :] == np.arange(n_components)[:, None]).astype(np.float64)
    bounds = np.zeros(len(labels))
    for n_iter, share in _ROUNDS:
        for _ in range(n_iter):
            responsibilities, bounds = replicas.iterate(responsibilities)
        collapsed = replicas.collapsed(responsibilities)
        best = np.lexsort([-bounds, collapsed])[: max(_WINNERS, int(share * len(labels)))]
        # What has collapsed has a likelihood without bound: it goes on only where all has.
        best = best[collapsed[best] == collapsed[best[0]]]
        responsibilities, bounds = responsibilities[best], bounds[best]
        if bounds[0] - bounds[-1] < _SAME:
            break
    unlike = np.append(True, bounds[:-1] - bounds[1:] > _SAME)
    natural, _ = replicas.maximize(responsibilities[unlike][:_WINNERS])
    return natural


def plusplus_partitions(
    X: Array,
    sample_weight: Array,
    n_partitions: int,
    n_components: int,
    random_state: np.random.RandomState,
) -> IntArray:
    """Return partitions into the rows nearest to each of K rows, drawn one after the other.

    Each is drawn in proportion to the squared distance from the nearest before it, as in k-means++
    (Arthur & Vassilvitskii 2007), and to its weight. Where fewer than K rows differ, some
    components have none.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,)
    n_partitions, n_components : int
    random_state : RandomState

    Returns
    -------
    labels : ndarray of int of shape (n_partitions, n_rows)
    """
    n_rows = X.shape[0]
    labels = np.zeros((n_partitions, n_rows), dtype=np.int64)
    closest = np.full((n_partitions, n_rows), np.inf)
    chances = np.broadcast_to(sample_weight, closest.shape)
    for component in range(n_components):
        masses = np.cumsum(chances, axis=1)
        places = random_state.uniform(size=(n_partitions, 1)) * masses[:, -1:]
        drawn = np.minimum((masses <= places).sum(axis=1), n_rows - 1)
        distances = cdist(X[drawn], X, "sqeuclidean")
        labels[distances < closest] = component
        np.minimum(closest, distances, out=closest)
        chances = sample_weight * closest
    return labels

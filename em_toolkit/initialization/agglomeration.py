"""Agglomerative clustering: again and again, the two clusters whose union costs least are merged.

The clusters' terms are those of the classification likelihood of Gaussian components, maximized
over their parameters (Banfield & Raftery 1993; Fraley 1998), so that a merge costs the logarithm
of likelihood that it loses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from em_toolkit.statistics import EPS, Array, BoolArray, IntArray


class Criterion(ABC):
    """The sum over clusters, W_k their scatter matrices, that a partition should make small.

    Parameters
    ----------
    mean_variance : float
        α, the total scatter of the data by row and feature: it stands in for the spread of
        clusters that have none.
    """

    #: Whether the determinants of scatter matrices are asked for, and not their traces alone.
    uses_determinants = False

    def __init__(self, mean_variance: float) -> None:
        self.mean_variance = max(mean_variance, EPS)

    @abstractmethod
    def terms(self, count: Array, traces: Array, determinants: Array | float) -> Array:
        """The terms of clusters of n_k rows, from tr W_k and |W_k / n_k|."""


class Ward(Criterion):
    """Equal spherical covariances, "EII": Σ_k tr W_k, Ward's sum of squares."""

    def terms(self, count: Array, traces: Array, determinants: Array | float) -> Array:
        return traces


class Spherical(Criterion):
    """Spherical covariances, "VII": Σ_k n_k log((tr W_k + α) / n_k)."""

    def terms(self, count: Array, traces: Array, determinants: Array | float) -> Array:
        return np.asarray(count * np.log((traces + self.mean_variance) / count))


class Unconstrained(Criterion):
    """Any covariances, "VVV": Σ_k n_k log(|W_k / n_k| + (tr W_k + α) / n_k).

    The determinant of p rows or fewer, where p is the number of features, is zero.
    """

    uses_determinants = True

    def terms(self, count: Array, traces: Array, determinants: Array | float) -> Array:
        return np.asarray(count * np.log(determinants + (traces + self.mean_variance) / count))


class Clusters:
    """What a merge needs to know of clusters, which are the last axis of each array.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_features)
        Different rows.
    weights : ndarray of shape (n_points,)
        How often each is there.
    labels : ndarray of shape (n_points,)
        The cluster of each, from 0 on, none empty.
    with_scatter : bool
        Whether to keep scatter matrices, and not their traces alone.
    """

    def __init__(self, points: Array, weights: Array, labels: IntArray, with_scatter: bool) -> None:
        n_clusters, n_features = int(labels.max()) + 1, points.shape[1]
        self.count = sums_by(labels, weights)
        self.n_points = sums_by(labels, np.ones(len(labels)))
        sums = [sums_by(labels, weights * column) for column in points.T]
        self.means = np.array(sums) / self.count
        deviations = np.sqrt(weights) * (points.T - self.means[:, labels])
        self.traces = sums_by(labels, np.square(deviations).sum(axis=0))
        self.scatter = np.zeros((n_features, n_features, n_clusters)) if with_scatter else None
        if self.scatter is not None:
            for i in range(n_features):
                for j in range(n_features):
                    self.scatter[i, j] = sums_by(labels, deviations[i] * deviations[j])

    def __len__(self) -> int:
        return int(self.count.shape[0])

    def keep(self, which: BoolArray) -> None:
        """Keep some of the clusters, and forget the others."""
        for name, values in list(vars(self).items()):
            if values is not None:
                setattr(self, name, np.ascontiguousarray(values[..., which]))

    def terms(self, criterion: Criterion) -> Array:
        """The term of each cluster in the criterion."""
        determinants: Array | float = 0.0
        if self.scatter is not None:
            solid = self.n_points > self.means.shape[0]
            determinants = np.zeros(len(self))
            determinants[solid] = _determinants(self.scatter[..., solid] / self.count[solid])
        return criterion.terms(self.count, self.traces, determinants)

    def terms_of_unions(self, cluster: int, others: slice, criterion: Criterion) -> Array:
        """The terms of a cluster's unions with each of others."""
        count = self.count[cluster] + self.count[others]
        shift = self.means[:, others] - self.means[:, cluster, None]
        between = self.count[cluster] * self.count[others] / count
        traces = self.traces[cluster] + self.traces[others]
        traces += between * np.einsum("ik,ik->k", shift, shift)
        if self.scatter is None:
            return criterion.terms(count, traces, 0.0)
        determinants = np.zeros(count.shape[0])
        n_points = self.n_points[cluster] + self.n_points[others]
        (solid,) = np.nonzero(n_points > self.means.shape[0])
        if solid.size:
            shift, between, size = shift[:, solid], between[solid], count[solid]
            scatter = self.scatter[..., others][..., solid] + self.scatter[..., cluster, None]
            scatter += between * shift[:, None] * shift[None]
            determinants[solid] = _determinants(scatter / size)
        return criterion.terms(count, traces, determinants)

    def merge(self, cluster: int, other: int) -> None:
        """Put the union of two clusters in the place of the first; the second is left as it is."""
        share = self.count[other] / (self.count[cluster] + self.count[other])
        shift = self.means[:, other] - self.means[:, cluster]
        between = self.count[cluster] * share
        self.traces[cluster] += self.traces[other] + between * (shift @ shift)
        if self.scatter is not None:
            self.scatter[..., cluster] += self.scatter[..., other]
            self.scatter[..., cluster] += between * np.outer(shift, shift)
        self.means[:, cluster] += share * shift
        self.count[cluster] += self.count[other]
        self.n_points[cluster] += self.n_points[other]


def sums_by(labels: IntArray, values: Array) -> Array:
    """The sum of the values of each label, from 0 on."""
    return np.asarray(np.bincount(labels, values), dtype=np.float64)


def _determinants(matrices: Array) -> Array:
    """Of positive semidefinite matrices, of shape (n_features, n_features, n_matrices).

    By elimination in all matrices at once: for the few features that there are, LAPACK would
    spend most of its time on being called.
    """
    determinants = np.ones(matrices.shape[2])
    rest = matrices
    while rest.shape[0] > 0:
        pivots = np.maximum(rest[0, 0], 0.0)
        determinants *= pivots
        ratios = rest[0, 1:] / np.where(pivots > 0.0, pivots, 1.0)
        rest = rest[1:, 1:] - rest[1:, 0][:, None] * ratios
    return determinants


def agglomerate(
    points: Array,
    weights: Array,
    n_clusters: int,
    criterion: Criterion,
    labels: IntArray | None = None,
) -> IntArray:
    """Merge clusters until so many are left.

    Memory is that of a matrix of the costs of all pairs, time that of as many determinants.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_features)
        Different rows.
    weights : ndarray of shape (n_points,)
        How often each is there.
    n_clusters : int
    criterion : Criterion
    labels : ndarray of shape (n_points,), optional
        The clusters to begin with, from 0 on, none empty; by default each point is one.

    Returns
    -------
    labels : ndarray of shape (n_points,)
        From 0 on, clusters in the order of their first points.
    """
    labels = np.arange(points.shape[0]) if labels is None else labels.copy()
    merging = _Merging(Clusters(points, weights, labels, criterion.uses_determinants), criterion)
    for _ in range(int(labels.max()) + 1 - n_clusters):
        kept, lost = merging.merge_cheapest()
        labels[labels == lost] = kept
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels]


class _Merging:
    """Clusters, the costs of merging each pair, and each cluster's cheapest partner.

    The costs that a merge changes are those of pairs with the union; the partners are looked for
    anew where one of the two was the partner, and compared with the union elsewhere.
    """

    def __init__(self, clusters: Clusters, criterion: Criterion) -> None:
        self._clusters, self._criterion = clusters, criterion
        self._terms = clusters.terms(criterion)
        self._names = np.arange(len(clusters))
        self._alive = np.ones(len(clusters), dtype=bool)
        self._costs = np.full((len(clusters), len(clusters)), np.inf)
        for cluster in range(len(clusters) - 1):
            costs = self._costs_with(cluster, slice(cluster + 1, None))
            self._costs[cluster, cluster + 1 :] = self._costs[cluster + 1 :, cluster] = costs
        self._find_partners()

    def _costs_with(self, cluster: int, others: slice) -> Array:
        unions = self._clusters.terms_of_unions(cluster, others, self._criterion)
        return np.asarray(unions - self._terms[others] - self._terms[cluster])

    def _find_partners(self) -> None:
        self._partners = self._costs.argmin(axis=1)
        self._lowest = self._costs[np.arange(len(self._partners)), self._partners]

    def merge_cheapest(self) -> tuple[int, int]:
        """Merge the cheapest pair; the names of the cluster that is now both, and of the lost."""
        cluster = int(self._lowest.argmin())
        cluster, lost = sorted((cluster, int(self._partners[cluster])))
        self._terms[cluster] += self._terms[lost] + self._costs[cluster, lost]
        self._clusters.merge(cluster, lost)
        self._alive[lost] = False

        costs = self._costs_with(cluster, slice(None))
        costs[~self._alive] = costs[cluster] = np.inf
        self._costs[cluster] = self._costs[:, cluster] = costs
        self._costs[lost] = self._costs[:, lost] = np.inf

        cheaper = costs < self._lowest
        self._partners[cheaper], self._lowest[cheaper] = cluster, costs[cheaper]
        stale = (self._partners == lost) | ((self._partners == cluster) & ~cheaper)
        stale[cluster] = True
        (stale,) = np.nonzero(stale & self._alive)
        self._partners[stale] = self._costs[stale].argmin(axis=1)
        self._lowest[stale] = self._costs[stale, self._partners[stale]]
        self._lowest[lost] = np.inf

        names = int(self._names[cluster]), int(self._names[lost])
        if 2 * self._alive.sum() < len(self._alive):
            self._forget_the_lost()
        return names

    def _forget_the_lost(self) -> None:
        alive = self._alive
        self._clusters.keep(alive)
        self._terms, self._names = self._terms[alive], self._names[alive]
        self._costs = self._costs[np.ix_(alive, alive)]
        self._alive = np.ones(len(self._clusters), dtype=bool)
        self._find_partners()

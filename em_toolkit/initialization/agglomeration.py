"""Agglomerative clustering: again and again, the two clusters whose union costs least are merged.

A partition into clusters of n_k rows, with traces of scatter matrices tr W_k, costs

    Σ_k n_k log((tr W_k + α) / n_k),

up to constants twice the negative classification log-likelihood, by feature, of spherical normal
components of unlike variances, maximized over their parameters ("VII" of Banfield & Raftery 1993
and Fraley 1998). α, the variance of the data by feature, stands in for the spread of clusters that
have none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from em_toolkit.families import Gaussian
from em_toolkit.initialization.recent import Recent
from em_toolkit.initialization.rows import (
    Data,
    Labelling,
    from_labels,
    given_labels,
    weights_of,
)
from em_toolkit.initialization.sampling import stratified_rows
from em_toolkit.initialization.scaling import singular_scaling
from em_toolkit.models.mixture import Mixture
from em_toolkit.statistics import EPS, Array, BoolArray, IntArray


class Clusters:
    """The sums of clusters that a merge needs; clusters are the last axis of each array.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_features)
    weights : ndarray of shape (n_points,)
        How often each is there.
    pseudo_trace : float
        α.
    """

    def __init__(self, points: Array, weights: Array, pseudo_trace: float) -> None:
        self.pseudo_trace = pseudo_trace
        self.count = weights.copy()
        self.means = np.array(points.T)
        self.traces = np.zeros(len(points))

    def __len__(self) -> int:
        return int(self.count.shape[0])

    def keep(self, which: BoolArray) -> None:
        """Keep some of the clusters, and forget the others."""
        self.count, self.traces = self.count[which], self.traces[which]
        self.means = np.ascontiguousarray(self.means[:, which])

    def _cost(self, count: Array, traces: Array) -> Array:
        return np.asarray(count * np.log((traces + self.pseudo_trace) / count))

    def costs(self) -> Array:
        """Return the cost of each cluster."""
        return self._cost(self.count, self.traces)

    def costs_of_unions(self, cluster: int, others: slice) -> Array:
        """Return the costs of a cluster's unions with each of others.

        Parameters
        ----------
        cluster : int
        others : slice
            Of the clusters.

        Returns
        -------
        costs : ndarray of shape (n_others,)
        """
        count = self.count[cluster] + self.count[others]
        shift = self.means[:, others] - self.means[:, cluster, None]
        between = self.count[cluster] * self.count[others] / count
        traces = self.traces[cluster] + self.traces[others]
        traces += between * np.einsum("ik,ik->k", shift, shift)
        return self._cost(count, traces)

    def merge(self, cluster: int, other: int) -> None:
        """Put the union of two clusters in the place of the first; the second is left as it is.

        Parameters
        ----------
        cluster, other : int
        """
        share = self.count[other] / (self.count[cluster] + self.count[other])
        shift = self.means[:, other] - self.means[:, cluster]
        self.traces[cluster] += self.traces[other]
        self.traces[cluster] += self.count[cluster] * share * (shift @ shift)
        self.means[:, cluster] += share * shift
        self.count[cluster] += self.count[other]


@dataclass(frozen=True)
class Tree:
    """All merges, from single points to one cluster.

    A cluster has the name of its first point.

    Parameters
    ----------
    kept, lost : ndarray of shape (n_points - 1,)
        The two that are one after each merge, by name: the former is the name of both.
    """

    kept: IntArray
    lost: IntArray

    def labels(self, n_clusters: int) -> IntArray:
        """Return the clusters when so many are left, of shape (n_points,).

        Labels count from 0 on, in the order of the clusters' first points; there are at most as
        many as points.
        """
        n_merges = max(self.lost.size + 1 - n_clusters, 0)
        cluster = np.arange(self.lost.size + 1)
        cluster[self.lost[:n_merges]] = self.kept[:n_merges]
        # What a cluster was merged into may have been merged into another.
        while not np.array_equal(cluster, further := cluster[cluster]):
            cluster = further
        return np.unique(cluster, return_inverse=True)[1]


def agglomerated(points: Array, weights: Array, mean_variance: float) -> Tree:
    """Merge clusters, from single points on.

    Memory is that of a matrix of the costs of all pairs.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_features)
        Different rows.
    weights : ndarray of shape (n_points,)
        How often each is there.
    mean_variance : float
        α.

    Returns
    -------
    Tree
    """
    merging = _Merging(Clusters(points, weights, max(mean_variance, EPS)))
    merges = [merging.merge_cheapest() for _ in range(points.shape[0] - 1)]
    kept, lost = np.array(merges, dtype=np.int64).reshape(-1, 2).T
    return Tree(kept, lost)


class _Merging:
    """Clusters, the costs of merging each pair, and each cluster's cheapest partner.

    The costs that a merge changes are those of pairs with the union; the partners are looked for
    anew where one of the two was the partner, and compared with the union elsewhere.
    """

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._alone = clusters.costs()
        self._names = np.arange(len(clusters))
        self._alive = np.ones(len(clusters), dtype=bool)
        self._costs = np.full((len(clusters), len(clusters)), np.inf)
        for cluster in range(len(clusters) - 1):
            costs = self._costs_with(cluster, slice(cluster + 1, None))
            self._costs[cluster, cluster + 1 :] = self._costs[cluster + 1 :, cluster] = costs
        self._find_partners()

    def _costs_with(self, cluster: int, others: slice) -> Array:
        unions = self._clusters.costs_of_unions(cluster, others)
        return np.asarray(unions - self._alone[others] - self._alone[cluster])

    def _find_partners(self) -> None:
        self._partners = self._costs.argmin(axis=1)
        self._lowest = self._costs[np.arange(len(self._partners)), self._partners]

    def merge_cheapest(self) -> tuple[int, int]:
        """Merge the cheapest pair; the names of the cluster that is now both, and of the lost."""
        cluster = int(self._lowest.argmin())
        cluster, lost = sorted((cluster, int(self._partners[cluster])))
        self._alone[cluster] += self._alone[lost] + self._costs[cluster, lost]
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
        self._alone, self._names = self._alone[alive], self._names[alive]
        self._costs = self._costs[np.ix_(alive, alive)]
        self._alive = np.ones(len(self._clusters), dtype=bool)
        self._find_partners()


# Rows in the sample: a matrix of the costs of all pairs is kept.
LARGEST_TREE = 2_000
# Of the variance of the data: the least that covariances have when others are classified by them,
# and where all rows are one.
_SHARE_OF_VARIANCE, _SMALLEST_FLOOR = 1e-3, 1e-290


def hierarchical(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> Labelling:
    r"""Cluster the rows by model-based agglomeration.

    Clusters are merged, from single rows on, so as to lose the least of the likelihood of a
    classification into spherical normal components with variances of their own (Banfield & Raftery
    1993; Fraley 1998): each merge is the one after which

    .. math:: \sum_k n_k \log \frac{\operatorname{tr} W_k + \alpha}{n_k}, \qquad
              \alpha = \frac{\operatorname{tr} W}{n p},

    is the least; W_k are the scatter matrices, W that of all n rows of p features, and α lets
    clusters of a few rows be compared. The rows are first transformed to their principal
    directions ("SVD" of Scrucca & Raftery 2015), in which groups are rounder. This finds the
    clusters of ``hc(X, "VVV", use="SVD")`` of R's mclust, by which ``Mclust`` starts: the
    determinants that its criterion adds to the traces are next to nothing in these units, and its
    "VII" has the same clusters. No random numbers are drawn for 2,000 rows or fewer.

    Of more rows, a stratified sample of 2,000 is clustered, and all rows are classified by the
    normal components that its clusters are.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
        One each if None.
    n_components : int
    random_state : RandomState
    """
    if X.shape[0] <= LARGEST_TREE:
        return given_labels(tree_labels(X, sample_weight, n_components))
    rows = stratified_rows(X.shape[0], sample_weight, LARGEST_TREE, random_state)
    sample = np.asarray(X[rows], dtype=np.float64)
    return _classifying(sample, tree_labels(sample, None, n_components), n_components)


def tree_labels(X: Data, sample_weight: Array | None, n_components: int) -> IntArray:
    """Return the clusters, of shape (n_rows,); at most `n_components`, from 0 on.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
    n_components : int
    """
    weights = weights_of(X, sample_weight)
    scaled = singular_scaling(X, sample_weight).rounded(X)
    # Equal rows are one cluster from the start.
    _, first, inverse = np.unique(X, axis=0, return_index=True, return_inverse=True)
    counts = np.bincount(inverse, weights).astype(np.float64)
    total = float(np.sum(weights[:, None] * np.square(scaled)))
    mean_variance = total / (weights.sum() * scaled.shape[1])
    points = scaled[first]
    tree = _RECENT.get(
        mean_variance, (points, counts), lambda: agglomerated(points, counts, mean_variance)
    )
    return tree.labels(n_components)[inverse]


# Of all rows and of those outside of each of ten folds, and some to spare.
_RECENT: Recent[Tree] = Recent(16)


def _classifying(sample: Array, labels: IntArray, n_components: int) -> Labelling:
    """Return the labelling of rows by the most probable of normal components, the clusters."""
    scaling = singular_scaling(sample, None)
    scaled = scaling(sample)
    floor = _SHARE_OF_VARIANCE * float(np.square(scaled).mean()) if scaled.size else 0.0
    mixture = Mixture(Gaussian(floor=max(floor, _SMALLEST_FLOOR)))
    params = from_labels(mixture, scaled, None, labels, n_components)

    def classify(X: Array, _: slice) -> IntArray:
        return np.asarray(mixture.log_joint(params, scaling(X)).argmax(axis=1))

    return classify

"""Components merged into clusters: a cluster that is not normal may take several of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr, xlogy

from em_toolkit.statistics import Array, IntArray

_WHOLE = 1e-6


class TwoLines(NamedTuple):
    """Two straight lines, by least squares, that both include the point where they change.

    Parameters
    ----------
    n_clusters : int
        The number of clusters at the change.
    slopes, intercepts : tuple of float
        Of the line up to the change, and of the line from it on.
    """

    n_clusters: int
    slopes: tuple[float, float]
    intercepts: tuple[float, float]


@dataclass(frozen=True, eq=False)
class ComponentMerging:
    r"""The clusters that K components form, for every number of clusters from K down to 1.

    With the posterior p(k | x_i) of the components, a cluster has the sum of those of its
    components, and the uncertainty of a clustering into G clusters is the entropy

    .. math:: \mathrm{Ent}(G) = -\sum_i w_i \sum_{g=1}^G t_{ig} \log t_{ig}, \qquad
              t_{ig} = \sum_{k \in g} p(k \mid x_i)

    From G clusters to G − 1, those two are merged whose merging lowers the entropy most (Baudry,
    Raftery, Celeux, Lo & Gottardo 2010, J. Comput. Graph. Statist. 19, section 2). The density is
    the same throughout. Where components overlap, merging them lowers the entropy by much; once
    the clusters are apart it hardly falls any more. The number of clusters at which the two lines
    of a piecewise linear fit to the entropies meet is the one suggested (their section 4).

    `merge_components` makes one.

    Parameters
    ----------
    merges : ndarray of int of shape (n_components − 1, 2)
        The clusters merged in each step, from K clusters to K − 1 and so on, as numbered before
        the step: by their first components. The merged cluster keeps the lower number.
    entropies : ndarray of shape (n_components,)
        The entropy of 1, 2, ..., K clusters, summed over the rows, in nats.
    n_merged : ndarray of shape (n_components − 1,)
        How many rows (by weight) are in the two clusters whose merging leaves 1, 2, ..., K − 1.

    Examples
    --------
    Four components, of which the last two can hardly be told apart:

    >>> import numpy as np
    >>> from em_toolkit.analysis.merging import merge_components
    >>> responsibilities = np.array(
    ...     [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5], [0.0, 0.1, 0.5, 0.4]]
    ... )
    >>> merging = merge_components(responsibilities)
    >>> merging.suggested_n_clusters
    3
    >>> merging.clusters(3)
    array([0, 1, 2, 2])
    >>> merging.entropies.round(3)
    array([0.   , 0.   , 0.325, 1.636])
    """

    merges: IntArray
    entropies: Array
    n_merged: Array

    @property
    def n_components(self) -> int:
        """K."""
        return self.entropies.shape[0]

    @property
    def n_clusters(self) -> IntArray:
        """1, 2, ..., K: the numbers of clusters to which `entropies` belong."""
        return np.arange(1, self.n_components + 1)

    @property
    def cumulative_merged(self) -> Array:
        """The rows merged on the way to one cluster: 0 for one, the sum of all for K.

        Against it instead of the number of clusters, a merging that concerns few rows does not
        look like a small one.
        """
        return np.concatenate([[0.0], np.cumsum(self.n_merged)])

    def clusters(self, n_clusters: int | None = None) -> IntArray:
        """Return the cluster of each component, of shape (n_components,).

        Parameters
        ----------
        n_clusters : int, default=None
            From 1 to the number of components; the number suggested by default.
        """
        clusters = np.arange(self.n_components)
        for low, high in self.merges[: self.n_components - self._checked(n_clusters)]:
            clusters[clusters == high] = low
            clusters[clusters > high] -= 1
        return clusters

    def combine(self, responsibilities: npt.ArrayLike, n_clusters: int | None = None) -> Array:
        """Return the posterior of the clusters, from that of the components.

        Parameters
        ----------
        responsibilities : array-like of shape (n_rows, n_components)
        n_clusters : int, default=None
            As in `clusters`.

        Returns
        -------
        posterior : ndarray of shape (n_rows, n_clusters)
        """
        given = np.asarray(responsibilities)
        if given.ndim != 2 or given.shape[1] != self.n_components:
            raise ValueError(
                f"responsibilities: expected shape (n_rows, {self.n_components}), a column for "
                f"each component, got {given.shape}."
            )
        clusters = self.clusters(n_clusters)
        return given @ np.eye(clusters.max() + 1, dtype=given.dtype)[clusters]

    def _checked(self, n_clusters: int | None) -> int:
        if n_clusters is None:
            return self.suggested_n_clusters
        if not 1 <= n_clusters <= self.n_components:
            raise ValueError(
                f"n_clusters: expected 1 to {self.n_components}, the number of components, got "
                f"{n_clusters}."
            )
        return n_clusters

    @cached_property
    def suggested_n_clusters(self) -> int:
        """The number of clusters from which on the entropy rises steeply."""
        return self.change_point().n_clusters

    def change_point(self, *, by_rows: bool = False) -> TwoLines:
        """Return the two lines that fit the entropies best.

        Parameters
        ----------
        by_rows : bool, default=False
            Fit them by `cumulative_merged` instead of the number of clusters.

        Returns
        -------
        lines : TwoLines
            For fewer than three components there is nothing to change: a line through all, up to
            the number of components.
        """
        x = self.cumulative_merged if by_rows else self.n_clusters.astype(np.float64)
        last = self.n_components - 1
        if last < 2:
            slope, intercept, _ = _line(x, self.entropies)
            return TwoLines(self.n_components, (slope, slope), (intercept, intercept))
        fits = []
        for change in range(1, last):
            below = _line(x[: change + 1], self.entropies[: change + 1])
            above = _line(x[change:], self.entropies[change:])
            lines = TwoLines(change + 1, (below[0], above[0]), (below[1], above[1]))
            fits.append((below[2] + above[2], lines))
        return min(fits, key=lambda fit: fit[0])[1]


def _line(x: Array, y: Array) -> tuple[float, float, float]:
    """Slope, intercept and sum of squares of the line by least squares."""
    centered, spread = x - x.mean(), float(np.sum(np.square(x - x.mean())))
    # All at one place: no rows were merged between them.
    slope = float(centered @ (y - y.mean())) / spread if spread > 0.0 else 0.0
    intercept = float(y.mean() - slope * x.mean())
    return slope, intercept, float(np.sum(np.square(y - y.mean() - slope * centered)))


def merge_components(
    responsibilities: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> ComponentMerging:
    """Merge components by entropy, step by step, until one cluster is left.

    Parameters
    ----------
    responsibilities : array-like of shape (n_rows, n_components)
        The posterior p(k | x_i) of the components.
    weights : array-like of shape (n_rows,), optional
        How many times each row counts; once by default.

    Returns
    -------
    merging : ComponentMerging

    Raises
    ------
    ValueError
        For responsibilities that are not probabilities, or weights that are negative or not as
        many as the rows.
    """
    columns = _Columns.of(*_checked(responsibilities, weights))
    merges, entropies, n_merged = [], [columns.entropy], []
    while columns.n_clusters > 1:
        pair = columns.best_pair()
        merges.append(pair)
        n_merged.append(columns.rows_in(pair))
        columns.merge(*pair)
        entropies.append(columns.entropy)
    return ComponentMerging(
        merges=np.array(merges, dtype=np.int64).reshape(-1, 2),
        entropies=np.array(entropies[::-1]),
        n_merged=np.array(n_merged[::-1]),
    )


def _checked(responsibilities: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Array, Array]:
    posterior = np.asarray(responsibilities, dtype=np.float64)
    if posterior.ndim != 2 or 0 in posterior.shape:
        raise ValueError(
            "responsibilities: expected shape (n_rows, n_components), of a row and a component "
            f"at least, got {posterior.shape}."
        )
    totals = posterior.sum(axis=1)
    if not (posterior.min() >= 0.0 and np.allclose(totals, 1.0, rtol=0.0, atol=_WHOLE)):
        raise ValueError(
            "responsibilities: expected non-negative numbers that sum to 1 in each row, got min "
            f"value {posterior.min():.5f} and row sums from {totals.min():.5f} to "
            f"{totals.max():.5f}."
        )
    if weights is None:
        return posterior, np.ones(posterior.shape[0])
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != totals.shape or not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise ValueError(
            f"weights: expected {totals.shape[0]} non-negative numbers, one for each row, got "
            f"shape {weights.shape}" + (f" and min value {weights.min()}." if weights.size else ".")
        )
    return posterior, weights


class _Columns:
    """The posterior of the clusters at one step, and what each merging would bring.

    Attributes
    ----------
    posterior : ndarray of shape (n_clusters, n_rows)
    gains : ndarray of shape (n_clusters, n_clusters)
        By how much the entropy falls if two clusters are merged, above the diagonal; −inf else.
    """

    posterior: Array
    weights: Array
    gains: Array

    @classmethod
    def of(cls, responsibilities: Array, weights: Array) -> Self:
        columns = cls()
        columns.posterior = np.ascontiguousarray(responsibilities.T)
        columns.weights = weights
        columns.gains = np.full((columns.n_clusters, columns.n_clusters), -np.inf)
        for i in range(columns.n_clusters):
            columns._measure(i, range(i + 1, columns.n_clusters))
        return columns

    @property
    def n_clusters(self) -> int:
        return self.posterior.shape[0]

    @property
    def entropy(self) -> float:
        return max(0.0, -float(np.sum(xlogy(self.posterior, self.posterior) @ self.weights)))

    def _measure(self, i: int, others: range) -> None:
        for j in others:
            total = self.posterior[i] + self.posterior[j]
            # No term is positive: nothing cancels, where the difference of entropies would.
            fall = rel_entr(self.posterior[i], total) + rel_entr(self.posterior[j], total)
            self.gains[min(i, j), max(i, j)] = -np.sum(self.weights * fall)

    def best_pair(self) -> tuple[int, int]:
        low, high = np.unravel_index(np.argmax(self.gains), self.gains.shape)
        return int(low), int(high)

    def rows_in(self, pair: tuple[int, int]) -> float:
        return float(self.weights[np.isin(self.posterior.argmax(axis=0), pair)].sum())

    def merge(self, low: int, high: int) -> None:
        self.posterior[low] += self.posterior[high]
        self.posterior = np.delete(self.posterior, high, axis=0)
        self.gains = np.delete(np.delete(self.gains, high, axis=0), high, axis=1)
        self._measure(low, range(low))
        self._measure(low, range(low + 1, self.n_clusters))

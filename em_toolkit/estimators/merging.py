"""Components of a fitted mixture merged into clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from em_toolkit.analysis.merging import ComponentMerging, merge_components
from em_toolkit.estimators.base import Data
from em_toolkit.estimators.noise import refuse_noise
from em_toolkit.statistics import IntArray


@dataclass(frozen=True, eq=False, repr=False)
class MixtureMerging(ComponentMerging):
    """The clusters that the components of a fitted mixture form, and the rows in them.

    `MergingMixin.merge` makes one.

    Parameters
    ----------
    merges, entropies, n_merged : ndarray
        As in `ComponentMerging`.
    mixture : estimator
        The fitted mixture.
    """

    mixture: Any

    def __repr__(self) -> str:
        return (
            f"<MixtureMerging of {len(self.entropies)} components: "
            f"{self.suggested_n_clusters} clusters suggested>"
        )

    def predict_proba(self, X: npt.ArrayLike, n_clusters: int | None = None) -> Data:
        """Return the posterior of the clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_clusters : int, default=None
            From 1 to the number of components; the number suggested by default.

        Returns
        -------
        posterior : ndarray of shape (n_samples, n_clusters)
        """
        return self.combine(self.mixture.predict_proba(X), n_clusters)

    def labels(self, X: npt.ArrayLike, n_clusters: int | None = None) -> IntArray:
        """Return the most probable cluster of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_clusters : int, default=None
            As in `predict_proba`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        return np.asarray(self.predict_proba(X, n_clusters).argmax(axis=1), dtype=np.int64)


class MergingMixin:
    """The method `merge`, for an estimator with `predict_proba`."""

    def merge(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> MixtureMerging:
        """Merge overlapping components into clusters, step by step, by the entropy of the rows.

        A cluster that does not have the shape of a component takes several components. BIC counts
        components; merging turns them into clusters, and leaves the density as it is. See
        `em_toolkit.analysis.merging.ComponentMerging` (Baudry et al. 2010).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows whose entropy counts, such as those of the fit; rows without any entry are
            left out.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts.

        Returns
        -------
        merging : MixtureMerging
            For each number of clusters the map from components to ``clusters(n)``, the
            ``entropies``, and ``labels(X, n)`` and ``predict_proba(X, n)``; of the
            ``suggested_n_clusters`` by default.

        Examples
        --------
        Three components for two clusters, one of which is a cross:

        >>> import numpy as np
        >>> from em_toolkit import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> noise = rng.standard_normal((300, 2))
        >>> X = np.vstack([noise[:100] * [3, 0.3], noise[100:200] * [0.3, 3], noise[200:] + 9])
        >>> begin = np.repeat(np.eye(3), 100, axis=0)
        >>> gm = GaussianMixture(n_components=3, init_params=begin).fit(X)
        >>> merging = gm.merge(X)
        >>> merging.suggested_n_clusters
        2
        >>> merging.clusters()
        array([0, 0, 1])
        >>> np.bincount(merging.labels(X))
        array([200, 100])
        """
        estimator: Any = self
        refuse_noise(self, "merging")
        rows, weights = estimator._rows_that_count(X, sample_weight)
        merging = merge_components(estimator._responsibilities(rows), weights)
        return MixtureMerging(merging.merges, merging.entropies, merging.n_merged, self)

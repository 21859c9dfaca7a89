"""Components of a fitted mixture merged into clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from em_toolkit.analysis.merging import ComponentMerging
from em_toolkit.estimators.rows import Data
from em_toolkit.statistics import IntArray


@dataclass(frozen=True, eq=False, repr=False)
class MixtureMerging(ComponentMerging):
    """The clusters that the components of a fitted mixture form, and the rows in them.

    The method ``merge`` of a mixture makes one.

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

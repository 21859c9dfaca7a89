"""Which means and covariances of normal components are held fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from em_toolkit.covariances.base import Covariances
from em_toolkit.statistics import Array, BoolArray


@dataclass(frozen=True, eq=False)
class FixedComponents:
    """Means and covariances that stay what they are at the start.

    Parameters
    ----------
    means : ndarray of bool of shape (n_components,), optional
        The components whose means are fixed; by default none.
    covariances : ndarray of bool of shape (n_components,), optional
        The components whose covariances are fixed; all or none, where components share a part of
        theirs.
    """

    means: BoolArray | None = None
    covariances: BoolArray | None = None

    def unless_fixed(self, chosen: BoolArray) -> BoolArray:
        """Return which of the chosen components have covariances that are free."""
        return chosen if self.covariances is None else chosen & ~self.covariances

    def hold_means(self, means: Array, at: Array) -> Array:
        """Return the means, the fixed ones as they are in `at`.

        Parameters
        ----------
        means, at : ndarray of shape (n_components, n_features)
        """
        return means if self.means is None else np.where(self.means[:, None], at, means)

    def hold_covariances(self, covariances: Covariances, at: Covariances) -> Covariances:
        """Return the covariances, the fixed ones as they are in `at`.

        Parameters
        ----------
        covariances, at : Covariances
        """
        if self.covariances is None:
            return covariances
        return covariances.or_previous(np.ones_like(self.covariances), ~self.covariances, at)

    def n_parameters(self, means: Array, covariances: Covariances) -> int:
        """Return the number of free parameters in means and covariances.

        Parameters
        ----------
        means : ndarray of shape (n_components, n_features)
        covariances : Covariances
        """
        n_means, n_covariances = means.size, covariances.n_parameters
        if self.means is not None:
            n_means -= int(self.means.sum()) * means.shape[1]
        if self.covariances is not None:
            n_free = int((~self.covariances).sum())
            n_covariances = n_covariances * n_free // self.covariances.shape[0]
        return n_means + n_covariances

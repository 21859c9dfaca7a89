"""Linear maps of the rows, after which distances mean something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from em_toolkit.covariances.rules import RESOLUTION
from em_toolkit.initialization.rows import Data, weights_of
from em_toolkit.statistics import EPS, Array

# Scaled rows are of size one. Digits after these are roundings, and would decide between clusters
# that are equally near, as there are many among repeated values: without them, X + 1 and 1000 X
# have the clusters of X.
_DECIMALS = 9


@dataclass(frozen=True)
class Scaling:
    """The map x ↦ (x − o) A.

    Parameters
    ----------
    origin : ndarray of shape (n_features,)
    matrix : ndarray of shape (n_features, n_directions)
    """

    origin: Array
    matrix: Array

    def __call__(self, X: Data) -> Array:
        return np.asarray((X - self.origin) @ self.matrix)

    def rounded(self, X: Data) -> Array:
        """Return the scaled rows, without digits that depend on the location and the unit of X."""
        return np.round(self(X), _DECIMALS)


def standardizing(X: Data, sample_weight: Array | None) -> Scaling:
    """Return the map to columns in their standard deviations.

    Constant columns are left out, unless all are constant.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
        By default each row has the weight 1.
    """
    weights = weights_of(X, sample_weight)
    mean = np.average(X, axis=0, weights=weights).astype(np.float64)
    variances = np.average(np.square(X - mean), axis=0, weights=weights)
    stds = np.sqrt(variances)
    varies = stds > RESOLUTION * EPS * np.abs(mean)
    if not varies.any():
        return Scaling(mean, np.eye(mean.shape[0]))
    return Scaling(mean, np.diag(1.0 / np.where(varies, stds, 1.0))[:, varies])


def in_one_unit(X: Data, sample_weight: Array | None) -> Scaling:
    """Return the map to columns in the root of their mean variance, unless none varies.

    Parameters
    ----------
    X, sample_weight
        As in `standardizing`.
    """
    weights = weights_of(X, sample_weight)
    mean = np.average(X, axis=0, weights=weights).astype(np.float64)
    std = np.sqrt(np.average(np.square(X - mean), axis=0, weights=weights).mean())
    varies = std > RESOLUTION * EPS * np.abs(mean).max()
    return Scaling(mean, np.eye(mean.shape[0]) / (std if varies else 1.0))


def singular_scaling(X: Data, sample_weight: Array | None) -> Scaling:
    """Return the map to principal directions, divided by the roots of singular values.

    The directions are those of the standardized rows. The map is halfway between standardizing and
    the Mahalanobis distance: the transformation "SVD" of Scrucca & Raftery (2015, Adv. Data Anal.
    Classif. 9), which they find the best for model-based hierarchical clustering.

    Parameters
    ----------
    X, sample_weight
        As in `standardizing`.
    """
    scaling = standardizing(X, sample_weight)
    roots = np.sqrt(weights_of(X, sample_weight))
    _, lengths, directions = np.linalg.svd(roots[:, None] * scaling(X), full_matrices=False)
    if not lengths.any():
        return scaling
    # What is left of directions in which the rows do not vary is rounding.
    varies = lengths > 1e-10 * lengths.max()
    directions = directions[varies].T / np.sqrt(lengths[varies])
    return Scaling(scaling.origin, scaling.matrix @ directions)

"""Hyperparameters that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from em_toolkit.covariances.rules import RESOLUTION
from em_toolkit.statistics import EPS, Array, IntArray

# The share of the largest loading from which a feature is part of a linear combination.
_PART = 0.1


def center_of(mean: Any, n_features: int) -> Array:
    """Return the mean of a prior as an array; raise ValueError if it cannot be one.

    Parameters
    ----------
    mean : array-like of shape (n_features,)
        What a user gave.
    n_features : int

    Returns
    -------
    center : ndarray of shape (n_features,)
    """
    center = np.asarray(mean, dtype=np.float64)
    if center.shape != (n_features,) or not np.isfinite(center).all():
        raise ValueError(
            f"prior: expected a mean of {n_features} finite numbers, one for each feature, got "
            f"{mean!r}."
        )
    return center


def matrix_of(given: Any, name: str, n_features: int) -> Array:
    """Return a positive-definite matrix, from itself or a number; raise ValueError for another.

    Parameters
    ----------
    given : float or array-like of shape (n_features, n_features)
        What a user gave; a number is that multiple of the identity.
    name : str
        Of the hyperparameter, for the message.
    n_features : int

    Returns
    -------
    matrix : ndarray of shape (n_features, n_features)
    """
    matrix = np.asarray(given, dtype=np.float64)
    if matrix.ndim == 0:
        matrix = matrix * np.eye(n_features)
    if matrix.shape != (n_features, n_features) or not is_positive_definite(matrix):
        raise ValueError(
            f"prior: expected as {name} a positive number or a symmetric, positive-definite "
            f"matrix of shape {(n_features, n_features)}, got {given!r}."
        )
    return matrix


def is_positive_definite(matrix: Array) -> bool:
    """Return whether a matrix is finite, symmetric and, beyond rounding, positive definite."""
    diagonal = np.diagonal(matrix)
    if not np.isfinite(matrix).all() or not (diagonal > 0.0).all():
        return False
    correlations = _correlations(matrix)
    return np.allclose(correlations, correlations.T) and not dependent_features(matrix).size


def dependent_features(covariance: Array) -> IntArray:
    """Return the features that have a part in linear combinations without variance.

    There are none if the covariance has full rank. An eigenvalue of the correlation matrix is
    zero if it is no more than the roundings of that matrix, so that neither the order nor the units
    of the features have a say in it.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
        Of positive variances.
    """
    eigenvalues, vectors = np.linalg.eigh(_correlations(covariance))
    least = RESOLUTION * len(eigenvalues) * EPS * eigenvalues[-1]
    loadings = np.linalg.norm(vectors[:, ~(eigenvalues > least)], axis=1)
    return np.flatnonzero(loadings > _PART * loadings.max())


def _correlations(covariance: Array) -> Array:
    scale = np.sqrt(np.diagonal(covariance))
    return np.asarray(covariance / scale[:, None] / scale)

"""Hyperparameters that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from em_toolkit.statistics import Array


def center_of(mean: Any, n_features: int) -> Array:
    """Return the mean of a prior, of shape (n_features,).

    Parameters
    ----------
    mean : float or array-like of shape (n_features,)
    n_features : int
    """
    center = np.asarray(mean, dtype=np.float64)
    if center.shape != (n_features,) or not np.isfinite(center).all():
        raise ValueError(
            f"prior: expected a mean of {n_features} finite numbers, one for each feature, got "
            f"{mean!r}."
        )
    return center


def matrix_of(given: Any, name: str, n_features: int) -> Array:
    """Return a positive-definite matrix of shape (n_features, n_features), from itself or a number.

    Parameters
    ----------
    given : float or array-like of shape (n_features, n_features)
        A number is that multiple of the identity.
    name : str
        The parameter, for the error.
    n_features : int
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
    """Return whether a matrix is finite, symmetric and positive definite."""
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
        return False
    return bool((np.linalg.eigvalsh(matrix) > 0.0).all())

"""The spectral decomposition of covariance matrices, with the digits of small eigenvalues kept."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from em_toolkit.statistics import Array

# Rows of a factor whose sizes differ by more than this are in unlike units.
_UNLIKE = 1e3


def principal_axes(matrices: Array) -> tuple[Array, Array]:
    """Return the eigenvectors and eigenvalues of positive semidefinite matrices, largest first.

    They are found by singular values of a triangular factor, so that small eigenvalues keep all
    digits but those of the square root of the condition.

    Parameters
    ----------
    matrices : ndarray of shape (n_matrices, n_features, n_features)

    Returns
    -------
    axes : ndarray of shape (n_matrices, n_features, n_features)
        In columns.
    eigenvalues : ndarray of shape (n_matrices, n_features)
    """
    return axes_of_factors(np.stack([_root(matrix) for matrix in matrices]))


def axes_of_factors(factors: Array) -> tuple[Array, Array]:
    """Return the eigenvectors and eigenvalues of R Rᵀ, largest first, for factors R.

    Parameters
    ----------
    factors : ndarray of shape (n_matrices, n_features, n_features)

    Returns
    -------
    axes : ndarray of shape (n_matrices, n_features, n_features)
        In columns.
    eigenvalues : ndarray of shape (n_matrices, n_features)
    """
    sizes = np.abs(factors).max(axis=-1, initial=0.0)
    smallest = np.where(sizes > 0.0, sizes, np.inf).min(axis=-1, initial=np.inf)
    if (sizes.max(initial=0.0, axis=-1) <= _UNLIKE * smallest).all():
        axes, singular_values, _ = np.linalg.svd(factors)
    else:
        pairs = [_singular_values_in_unlike_units(factor) for factor in factors]
        axes, singular_values = (np.stack(parts) for parts in zip(*pairs, strict=True))
    return axes, np.square(singular_values)


def _singular_values_in_unlike_units(factor: Array) -> tuple[Array, Array]:
    """Return the left singular vectors and the singular values, largest first.

    By Jacobi's rotations from one side, which lose no digit to the units of the rows (Drmač &
    Veselić 2008, SIAM J. Matrix Anal. Appl. 29); other algorithms leave a small one as many as it
    has beside the largest.
    """
    values, axes, _, scales, _, failed = lapack.dgejsv(factor, joba=2, jobu=0, jobv=3)
    if failed:
        axes, singular_values, _ = np.linalg.svd(factor)
        return axes, singular_values
    return axes, values * (scales[0] / scales[1])


def variances_along(axes: Array, matrices: Array) -> Array:
    """Return diag D_kᵀ A_k D_k.

    Parameters
    ----------
    axes : ndarray of shape (..., n_features, n_features)
        D_k in columns; one for all, or one for each matrix.
    matrices : ndarray of shape (n_components, n_features, n_features)
        A_k, positive semidefinite.

    Returns
    -------
    variances : ndarray of shape (n_components, n_features)
    """
    return np.maximum(np.sum(axes * (matrices @ axes), axis=1), 0.0)


def composed(axes: Array, variances: Array) -> tuple[Array, Array]:
    """Return the matrices D_k V_k D_kᵀ and their lower Cholesky factors.

    The factors come from the decomposition itself: to factor the product would lose as many digits
    as the matrix is ill-conditioned.

    Parameters
    ----------
    axes : ndarray of shape (..., n_features, n_features)
        D_k in columns; one for all, or one for each component.
    variances : ndarray of shape (n_components, n_features)
        The diagonals of V_k.

    Returns
    -------
    matrices, factors : ndarray of shape (n_components, n_features, n_features)
    """
    roots = axes * np.sqrt(variances)[:, None, :]
    products = roots @ roots.transpose(0, 2, 1)
    upper = np.linalg.qr(roots.transpose(0, 2, 1), mode="r")
    signs = np.where(np.diagonal(upper, axis1=1, axis2=2) < 0.0, -1.0, 1.0)
    factors = (signs[:, :, None] * upper).transpose(0, 2, 1)
    return 0.5 * (products + products.transpose(0, 2, 1)), factors


def _root(matrix: Array) -> Array:
    """Return R with R Rᵀ = A, by Cholesky's algorithm with pivots, on the scale of the diagonal."""
    diagonal = np.diagonal(matrix)
    scale = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    lower, pivots, rank, _ = lapack.dpstrf(matrix / np.outer(scale, scale), lower=1)
    lower = np.tril(lower)
    lower[:, rank:] = 0.0
    root = np.empty_like(lower)
    root[pivots - 1] = lower
    return np.asarray(scale[:, None] * root)

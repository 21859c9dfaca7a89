"""Spectral decompositions keep the digits of small eigenvalues, whatever the units."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from em_toolkit.linalg.spectral import axes_of_factors, principal_axes


def exact_eigenvalues(factor: np.ndarray) -> np.ndarray:
    """Those of R Rᵀ, in a hundred digits, largest first."""
    with mpmath.workdps(100):
        matrix = mpmath.matrix(factor.tolist())
        values, _ = mpmath.eigsy(matrix * matrix.T)
        return np.sort([float(value) for value in values])[::-1]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("decades", [0.0, 2.0, 7.0, 12.0])
def test_small_eigenvalues_keep_their_digits_in_unlike_units(seed: int, decades: float) -> None:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-decades, decades, 5)
    factor = np.tril(scale[:, None] * rng.standard_normal((5, 5)))
    axes, variances = (part[0] for part in axes_of_factors(factor[None]))
    np.testing.assert_allclose(variances, exact_eigenvalues(factor), rtol=1e-12)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-14)


@pytest.mark.parametrize("size", [1e-150, 1.0, 1e140])
def test_singular_matrices(size: float) -> None:
    matrices = size * np.stack([np.zeros((3, 3)), np.diag([1e12, 1.0, 0.0]), np.ones((3, 3))])
    axes, variances = principal_axes(matrices)
    np.testing.assert_allclose(axes.transpose(0, 2, 1) @ axes, [np.eye(3)] * 3, atol=1e-14)
    np.testing.assert_allclose(variances[:2] / size, [[0, 0, 0], [1e12, 1, 0]], rtol=1e-12)
    np.testing.assert_allclose(variances[2] / size, [3, 0, 0], atol=1e-14)

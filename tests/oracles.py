"""Densities by scipy and dense matrices, and data: what the tests measure the package against.

Nothing here uses the package.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

Data = npt.NDArray[Any]

STRUCTURES = ["full", "tied", "diag", "spherical"]


def dense(structure: str, covariances: Any, n_components: int, n_features: int) -> Data:
    """Covariances in scikit-learn's shape as K matrices."""
    values = np.asarray(covariances, dtype=np.float64)
    identity = np.eye(n_features)
    if structure == "full":
        matrices = values
    elif structure == "tied":
        matrices = np.stack([values] * n_components)
    elif structure == "diag":
        matrices = np.stack([np.diag(variances) for variances in values])
    else:
        matrices = np.stack([variance * identity for variance in values])
    assert matrices.shape == (n_components, n_features, n_features)
    return matrices


def gaussian_log_densities(X: Data, means: Data, matrices: Data) -> Data:
    """log N(x_i; μ_k, Σ_k), of shape (n_rows, n_components)."""
    columns = [
        np.atleast_1d(multivariate_normal(mean, matrix).logpdf(X))
        for mean, matrix in zip(means, matrices, strict=True)
    ]
    return np.stack(columns, axis=1)


def mixture_log_density(log_weights: Data, log_densities: Data) -> Data:
    """log Σ_k π_k p(x_i | k), of shape (n_rows,)."""
    return np.asarray(logsumexp(log_weights + log_densities, axis=1))


def mixture_posterior(log_weights: Data, log_densities: Data) -> Data:
    """p(k | x_i), of shape (n_rows, n_components)."""
    joint = log_weights + log_densities
    return np.asarray(np.exp(joint - logsumexp(joint, axis=1, keepdims=True)))


def random_covariance(rng: np.random.Generator, n_features: int, condition: float = 10.0) -> Data:
    """A matrix with random axes and eigenvalues from 1 to `condition`."""
    axes = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    eigenvalues = np.geomspace(1.0, condition, n_features)
    matrix = (axes * eigenvalues) @ axes.T
    return np.asarray(0.5 * (matrix + matrix.T))


def clusters(
    rng: np.random.Generator, n_rows: int, n_features: int, n_components: int, apart: float = 3.0
) -> Data:
    """Rows from correlated normal clusters, whose centres have standard deviation `apart`."""
    centers = apart * rng.standard_normal((n_components, n_features))
    shapes = rng.standard_normal((n_components, n_features, n_features)) / np.sqrt(n_features)
    labels = rng.integers(n_components, size=n_rows)
    noise = rng.standard_normal((n_rows, n_features))
    spread = np.einsum("ijk,ik->ij", shapes[labels], noise)
    return np.asarray(centers[labels] + spread + 0.3 * rng.standard_normal(noise.shape))


def near_a_plane(rng: np.random.Generator, n_rows: int, n_features: int, noise: float) -> Data:
    """Rows near a random subspace of half the dimension: covariances near singular ones."""
    factors = rng.standard_normal((n_rows, max(1, n_features // 2)))
    plane = factors @ rng.standard_normal((factors.shape[1], n_features))
    return np.asarray(plane + noise * rng.standard_normal((n_rows, n_features)))


def matrices_of(name: str, public: Data, n_components: int, n_features: int) -> Data:
    """Published covariances as K matrices, from what the docstring says of their shape."""
    values = np.asarray(public, dtype=np.float64)
    if name.endswith("II"):
        assert values.shape == (n_components,)
        return values[:, None, None] * np.eye(n_features)
    if name.endswith("I"):
        assert values.shape == (n_components, n_features)
        return values[:, :, None] * np.eye(n_features)
    if name == "EEE":
        assert values.shape == (n_features, n_features)
        return np.stack([values] * n_components)
    assert values.shape == (n_components, n_features, n_features)
    return values


def reduced(name: str, scatters: Data) -> Data:
    """K dense scatters as the structure keeps them."""
    if name.endswith("II"):
        return np.trace(scatters, axis1=1, axis2=2)[:, None]
    if name.endswith("I"):
        return np.diagonal(scatters, axis1=1, axis2=2)
    return scatters.sum(axis=0)[None] if name == "EEE" else scatters

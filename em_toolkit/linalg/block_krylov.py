r"""The leading principal axes of many features, by products of the rows with a few vectors.

A random block Ω of q + 10 vectors (rows, here) spans with its images under the covariance S the
Krylov space [Ω, S Ω, S² Ω, ...], within which the axes are sought (Musco & Musco 2015; in its last
block alone, Halko, Martinsson & Tropp 2011). An image costs one pass over the data and
4 n d (q + 10) operations, where S itself costs n d² and its eigenvectors d³.

What the axes leave over needs no small eigenvalue: it is the sum of squares less the leading ones.
Within a larger space the maximum of the likelihood is larger, and the search ends when an image
raises it by less than a tolerance: the rule of EM.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh, qr

from em_toolkit.linalg.principal_axes import OVERFLOW, ROUNDING, PrincipalAxes
from em_toolkit.linalg.weighted_rows import WeightedRows
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import EPS, Array, RandomSource

# Vectors beside those that are sought (Halko, Martinsson & Tropp 2011, § 4.2).
_OVERSAMPLING = 10
# The space starts anew, from its best vectors, when it is so many blocks large.
_MOST_BLOCKS = 10


def krylov_axes(
    rows: WeightedRows, n_axes: int, rng: RandomSource, *, tol: float, max_iter: int
) -> tuple[PrincipalAxes, int, bool]:
    """Return the leading principal axes, as near as the likelihood of probabilistic PCA can tell.

    Parameters
    ----------
    rows : WeightedRows
    n_axes : int
        How many are wanted; fewer than features.
    rng : RandomState or Generator
        Gives the first vectors.
    tol : float
        Ends the search when an image raises the evidence by less, in nats per sample.
    max_iter : int
        The largest number of images.

    Returns
    -------
    axes : PrincipalAxes
    n_images : int
    converged : bool

    Raises
    ------
    CollapseError
        If the sum of squares overflows.
    """
    n_features = rows.n_features
    with np.errstate(over="ignore", invalid="ignore"):
        mean, total, scale = rows.moments()
    if not np.isfinite(total):
        raise CollapseError(OVERFLOW)
    size = min(n_axes + _OVERSAMPLING, n_features)
    basis = np.empty((0, n_features))
    block = _orthonormal(rng.standard_normal(size=(size, n_features)), basis)
    quotient = np.empty((0, 0))
    evidence, converged, n_images = -np.inf, False, 0
    while True:
        image = _image(rows, mean, block)
        n_images += 1
        basis = np.vstack([basis, block])
        quotient = _bordered(quotient, basis @ image.T)
        variances, vectors = eigh(quotient)
        variances, vectors = variances[::-1], vectors[:, ::-1]
        previous, evidence = evidence, _evidence(variances[:n_axes], total, n_features)
        exhausted = basis.shape[0] == n_features
        # Two spaces that leave no noise are alike: inf - inf is not a gain.
        converged = exhausted or not evidence - previous >= tol
        if converged or n_images >= max_iter:
            break
        block = _orthonormal(image[: n_features - basis.shape[0]], basis)
        if basis.shape[0] + size > _MOST_BLOCKS * size:
            # The next block holds what S leads out of the space; the best vectors keep the rest.
            basis = vectors[:, :size].T @ basis
            quotient = np.diag(variances[:size])
    leading = np.maximum(variances[:n_axes], 0.0)
    axes = PrincipalAxes(
        weight=rows.weight,
        mean=mean,
        axes=vectors[:, :n_axes].T @ basis,
        variances=leading,
        rest=max(total - float(leading.sum()), 0.0),
        error=ROUNDING * EPS * scale,
        n_passes=n_images + 1,
    )
    return axes, n_images, converged


def _image(rows: WeightedRows, mean: Array, block: Array) -> Array:
    """Return the covariance times each vector of a block."""
    image = np.zeros(block.shape)
    for deviations, _ in rows.about(mean, rows.block_size):
        image += (deviations @ block.T).T @ deviations
    return image / rows.weight


def _bordered(quotient: Array, columns: Array) -> Array:
    """Return a symmetric matrix with further columns, and the same rows."""
    old = quotient.shape[0]
    return np.block([[quotient, columns[:old]], [columns[:old].T, columns[old:]]])


def _orthonormal(block: Array, basis: Array) -> Array:
    """Orthonormal vectors that span a block, at right angles to a basis."""
    for _ in range(2):  # once is not enough (Golub & Van Loan 2013, § 5.2.9)
        block = block - (block @ basis.T) @ basis
        columns, _ = qr(block.T, mode="economic", check_finite=False)
        block = columns.T
    return block


def _evidence(variances: Array, total: float, n_features: int) -> float:
    """Return the largest log evidence with these axes, less a constant, in nats per sample."""
    left = n_features - variances.shape[0]
    noise_variance = (total - float(variances.sum())) / left
    if not noise_variance > 0.0:
        return np.inf
    explained = np.maximum(variances, noise_variance)
    quadratic = np.sum(variances / explained) + left
    return -0.5 * float(np.log(explained).sum() + left * np.log(noise_variance) + quadratic)

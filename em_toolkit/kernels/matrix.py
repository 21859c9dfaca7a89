"""The pass over the data for full covariance matrices, or one matrix for all components."""

from __future__ import annotations

import numpy as np

from em_toolkit.kernels import plane
from em_toolkit.kernels.compiling import INTEGER, MATRICES, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load,
    load_responsibilities,
    load_weights,
    mirror,
    unload,
    weigh,
)
from em_toolkit.kernels.tiles import add_outer_products, squared_norms
from em_toolkit.kernels.vectorized import softmax
from em_toolkit.statistics import Array, IntArray

# Rows that are left of a panel are filled up to a multiple of this.
_LANES = 16


@summing
def set_log_joint(
    panel: Array,
    means: Array,
    factors: Array,
    constants: Array,
    tile: int,
    deviations: Array,
    scratch: Array,
    log_joint: Array,
) -> None:
    """log p(x_i, k) = c_k − ½ |L_k⁻¹ (x_i − μ_k)|², of shape (n_components, width)."""
    for k in range(means.shape[0]):
        if panel.shape[0] == 2:
            factor = factors[k % factors.shape[0]]
            plane.set_log_densities(panel, means[k], factor, constants[k], log_joint[k])
            continue
        for j in range(panel.shape[0]):
            mean, column, deviation = means[k, j], panel[j], deviations[j]
            for i in range(column.shape[0]):
                deviation[i] = column[i] - mean
        row = log_joint[k]
        squared_norms(factors[k % factors.shape[0]], tile, deviations, scratch, row)
        for i in range(row.shape[0]):
            row[i] = constants[k] - 0.5 * row[i]


@summing
def rows_with_share(share: Array, indices: IntArray) -> int:
    """How many rows of a panel to take moments over; `indices` says which, if not all.

    Where components are apart, most of a panel is no part of a component: its rows are then left
    out. Their moments are exactly zero.
    """
    width, present = share.shape[0], 0
    for i in range(width):
        present += share[i] != 0.0
    if 2 * present > width:
        return width
    position = 0
    for i in range(width):
        if share[i] != 0.0:
            indices[position] = i
            position += 1
    return position


@summing
def add_moments(
    panel: Array,
    mean: Array,
    share: Array,
    tile: int,
    deviations: Array,
    weighted: Array,
    indices: IntArray,
    first: Array,
    second: Array,
) -> None:
    """Add Σ_i r_i (x_i − μ) and the lower triangle of Σ_i r_i (x_i − μ)(x_i − μ)ᵀ.

    `deviations` and `weighted` are scratch, of shape (n_features * width,).
    """
    n_features, width = panel.shape
    if n_features == 2:
        plane.add_moments(panel, mean, share, first, second)
        return
    n_rows = rows_with_share(share, indices)
    if n_rows == 0:
        return
    padded = (n_rows + _LANES - 1) // _LANES * _LANES
    left = weighted[: n_features * padded].reshape((n_features, padded))
    right = deviations[: n_features * padded].reshape((n_features, padded))
    for j in range(n_features):
        center, column, u, x = mean[j], panel[j], left[j], right[j]
        total = 0.0
        if n_rows == width:
            for i in range(width):
                x[i] = column[i] - center
                u[i] = share[i] * x[i]
                total += u[i]
        else:
            for position in range(n_rows):
                i = indices[position]
                x[position] = column[i] - center
                u[position] = share[i] * x[position]
                total += u[position]
            for position in range(n_rows, padded):
                x[position] = 0.0
                u[position] = 0.0
        first[j] += total
    add_outer_products(tile, left, right, second)


@kernel(MATRIX, VECTOR, MATRIX, MATRICES, VECTOR, INTEGER, INTEGER)
def expectation(
    X: Array,
    weights: Array,
    means: Array,
    factors: Array,
    constants: Array,
    tile: int,
    width: int,
) -> Array:
    """The sums of the E-step over a block of rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means : ndarray of shape (n_components, n_padded)
        n_padded is a multiple of the tile; the padding is zero.
    factors : ndarray of shape (n_matrices, n_padded, n_padded)
        L_k⁻¹, lower triangular; one for each component, or one for all.
    constants : ndarray of shape (n_components,)
        log π_k − ½ (d log 2π + log |Σ_k|).
    tile : {2, 4}
    width : int
        Rows in a panel, a multiple of 16.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence and weight; the count of each component; first moments as `means`;
        second moments as `factors`.
    """
    n_components, n_features = means.shape
    panel, panel_weights = np.zeros((n_features, width)), np.empty(width)
    log_joint, shares = np.empty((n_components, width)), np.empty((n_components, width))
    log_evidence, entropy, scratch = np.empty(width), np.empty(width), np.empty((4, width))
    deviations, weighted = np.empty(n_features * width), np.empty(n_features * width)
    indices = np.empty(width, np.int64)

    a, b = 3 + n_components, 3 + n_components + means.size
    run, total = np.zeros(b + factors.size), np.zeros(b + factors.size)
    rows, count = run[:3], run[3:a]
    first, second = run[a:b].reshape(means.shape), run[b:].reshape(factors.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_weights(weights, number * width, panel_weights)
        set_log_joint(
            panel,
            means,
            factors,
            constants,
            tile,
            deviations.reshape(panel.shape),
            scratch,
            log_joint,
        )
        softmax(log_joint, shares, log_evidence, entropy, scratch)
        weigh(shares, panel_weights, log_evidence, entropy, rows)
        add_totals(shares, count)
        for k in range(n_components):
            add_moments(
                panel,
                means[k],
                shares[k],
                tile,
                deviations,
                weighted,
                indices,
                first[k],
                second[k % factors.shape[0]],
            )
        end_of_run(number, n_panels, run, total)
    mirror(total[b:].reshape(factors.shape))
    return total


@kernel(MATRIX, MATRIX, MATRIX, INTEGER, INTEGER, INTEGER)
def moments(
    X: Array, responsibilities: Array, means: Array, n_matrices: int, tile: int, width: int
) -> Array:
    """Moments of a block for given responsibilities.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    responsibilities : ndarray of shape (n_rows, n_components)
    means : ndarray of shape (n_components, n_padded)
    n_matrices : int
        The number of components, or 1.
    tile, width : int
        As in `expectation`.

    Returns
    -------
    sums : ndarray
        Counts, first moments and second moments, as in `expectation`.
    """
    n_components, n_features = means.shape
    panel, shares = np.zeros((n_features, width)), np.empty((n_components, width))
    deviations, weighted = np.empty(n_features * width), np.empty(n_features * width)
    indices = np.empty(width, np.int64)

    a = n_components + means.size
    run, total = np.zeros(a + n_matrices * n_features**2), np.zeros(a + n_matrices * n_features**2)
    count, first = run[:n_components], run[n_components:a].reshape(means.shape)
    second = run[a:].reshape((n_matrices, n_features, n_features))
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_responsibilities(responsibilities, number * width, shares)
        add_totals(shares, count)
        for k in range(n_components):
            add_moments(
                panel,
                means[k],
                shares[k],
                tile,
                deviations,
                weighted,
                indices,
                first[k],
                second[k % n_matrices],
            )
        end_of_run(number, n_panels, run, total)
    mirror(total[a:].reshape((n_matrices, n_features, n_features)))
    return total


@kernel(MATRIX, MATRIX, MATRICES, VECTOR, INTEGER, INTEGER)
def log_joint(
    X: Array, means: Array, factors: Array, constants: Array, tile: int, width: int
) -> Array:
    """log p(x_i, k), of shape (n_rows, n_components); arguments as in `expectation`."""
    n_components, n_features = means.shape
    panel, scratch = np.zeros((n_features, width)), np.empty((4, width))
    deviations, values = np.empty((n_features, width)), np.empty((n_components, width))
    out = np.empty((X.shape[0], n_components))
    for start in range(0, X.shape[0], width):
        n_rows = load(X, start, panel)
        set_log_joint(panel, means, factors, constants, tile, deviations, scratch, values)
        unload(values, start, n_rows, out)
    return out

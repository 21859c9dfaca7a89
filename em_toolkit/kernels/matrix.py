"""The pass over the data for full covariance matrices, or one matrix for all components."""

from __future__ import annotations

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRICES, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.instructions import LANES
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load,
    load_responsibilities,
    load_weights,
    mirror,
    new_panel,
    set_constant,
    unload,
)
from em_toolkit.kernels.products import add_moments, set_log_densities
from em_toolkit.kernels.vectorized import add_posterior
from em_toolkit.statistics import Array, IntArray


@summing
def set_log_joint(
    panel: Array, means: Array, factors: Array, constants: Array, log_joint: Array
) -> None:
    """Set log p(x_i, k) = c_k − ½ |L_k⁻¹ (x_i − μ_k)|² of the rows of a panel.

    A component without a mean, such as noise, has the constant alone.

    Parameters
    ----------
    panel : ndarray of shape (n_padded, width)
    means, factors, constants
        As in `expectation`.
    log_joint : ndarray of shape (n_constants, width)
        Set.
    """
    for k in range(means.shape[0]):
        factor = factors[k % factors.shape[0]]
        set_log_densities(factor, means[k], panel, constants, k, log_joint[k])
    set_constant(constants, means.shape[0], log_joint)


@summing
def _rows_with_share(share: Array, indices: IntArray) -> int:
    """Return the number of rows of a panel to take moments over, and list them if they are not all.

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
def _gather(values: Array, indices: IntArray, n_rows: int, out: Array) -> None:
    """Set `out` to the values of some rows, and to zeros behind them."""
    for position in range(n_rows):
        out[position] = values[indices[position]]
    for position in range(n_rows, out.shape[0]):
        out[position] = 0.0


@summing
def add_moments_of_some(
    panel: Array,
    mean: Array,
    share: Array,
    scratch: Array,
    indices: IntArray,
    first: Array,
    second: Array,
) -> None:
    """Do what `add_moments` does, with the rows alone that have a share.

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
    mean : ndarray of shape (n_features,)
    share : ndarray of shape (width,)
        The r_i.
    scratch : ndarray of shape ((n_features + 5) * width,)
    indices : ndarray of int of shape (width,)
        Scratch.
    first : ndarray of shape (n_features,)
        Σ_i r_i (x_i − μ), added to.
    second : ndarray of shape (n_features, n_features)
        The lower triangle of Σ_i r_i (x_i − μ)(x_i − μ)ᵀ, added to.
    """
    n_features, width = panel.shape
    n_rows = _rows_with_share(share, indices)
    if n_rows == 0:
        return
    if n_rows == width:
        strip = scratch[: 4 * width].reshape((4, width))
        add_moments(panel, mean, share, strip, first, second)
        return
    length = (n_rows + LANES - 1) // LANES * LANES
    strip = scratch[: 4 * length].reshape((4, length))
    shares = scratch[4 * length : 5 * length]
    some = scratch[5 * length : (5 + n_features) * length].reshape((n_features, length))
    _gather(share, indices, n_rows, shares)
    for j in range(n_features):
        _gather(panel[j], indices, n_rows, some[j])
    add_moments(some, mean, shares, strip, first, second)


@summing
def _add_moments_of_each(
    panel: Array,
    means: Array,
    shares: Array,
    scratch: Array,
    indices: IntArray,
    first: Array,
    second: Array,
) -> None:
    """Do what `add_moments_of_some` does for each component, about its mean.

    `second` has a matrix for each, or one to which all are added.
    """
    for k in range(means.shape[0]):
        matrix = second[k % second.shape[0]]
        add_moments_of_some(panel, means[k], shares[k], scratch, indices, first[k], matrix)


@kernel(MATRIX, VECTOR, MATRIX, MATRICES, VECTOR, INTEGER)
def expectation(
    X: Array,
    weights: Array,
    means: Array,
    factors: Array,
    constants: Array,
    width: int,
) -> Array:
    """Return the sums of the E-step over a block of rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means : ndarray of shape (n_components, n_padded)
        n_padded is even; the padding is zero.
    factors : ndarray of shape (n_matrices, n_padded, n_padded)
        L_k⁻¹, lower triangular; one for each component, or one for all.
    constants : ndarray of shape (n_constants,)
        log π_k − ½ (d log 2π + log |Σ_k|); and of components of constant density, which have no
        mean, log π_k and the logarithm of that.
    width : int
        Rows in a panel, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence and weight; the count for each constant; first moments as `means`;
        second moments as `factors`.
    """
    n_components, n_features = constants.shape[0], means.shape[1]
    panel, panel_weights = new_panel(n_features, width), new_panel(1, width)[0]
    log_joint, shares = new_panel(n_components, width), new_panel(n_components, width)
    strips = new_panel(n_features + 5, width).reshape(-1)
    indices = np.empty(width, np.int64)

    a, b = 3 + n_components, 3 + n_components + means.size
    run, total = np.zeros(b + factors.size), np.zeros(b + factors.size)
    rows, count = run[:3], run[3:a]
    first, second = run[a:b].reshape(means.shape), run[b:].reshape(factors.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_weights(weights, number * width, panel_weights)
        set_log_joint(panel, means, factors, constants, log_joint)
        add_posterior(log_joint, panel_weights, shares, rows)
        add_totals(shares, count)
        _add_moments_of_each(panel, means, shares, strips, indices, first, second)
        end_of_run(number, n_panels, run, total)
    mirror(total[b:].reshape(factors.shape))
    return total


@kernel(MATRIX, MATRIX, MATRIX, INTEGER, INTEGER)
def moments(X: Array, responsibilities: Array, means: Array, n_matrices: int, width: int) -> Array:
    """Return moments of a block for given responsibilities.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    responsibilities : ndarray of shape (n_rows, n_components)
    means : ndarray of shape (n_components, n_padded)
    n_matrices : int
        The number of components, or 1.
    width : int
        As in `expectation`.

    Returns
    -------
    sums : ndarray
        Counts, first moments and second moments, as in `expectation`.
    """
    n_components, n_features = means.shape
    panel, shares = new_panel(n_features, width), new_panel(n_components, width)
    strips = new_panel(n_features + 5, width).reshape(-1)
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
        _add_moments_of_each(panel, means, shares, strips, indices, first, second)
        end_of_run(number, n_panels, run, total)
    mirror(total[a:].reshape((n_matrices, n_features, n_features)))
    return total


@kernel(MATRIX, MATRIX, MATRICES, VECTOR, INTEGER)
def log_joint(X: Array, means: Array, factors: Array, constants: Array, width: int) -> Array:
    """Return log p(x_i, k) of a block of rows.

    Parameters
    ----------
    X, means, factors, constants, width
        As in `expectation`.

    Returns
    -------
    log_joint : ndarray of shape (n_rows, n_constants)
    """
    panel, values = new_panel(means.shape[1], width), new_panel(constants.shape[0], width)
    out = np.empty((X.shape[0], constants.shape[0]))
    for start in range(0, X.shape[0], width):
        n_rows = load(X, start, panel)
        set_log_joint(panel, means, factors, constants, values)
        unload(values, start, n_rows, out)
    return out

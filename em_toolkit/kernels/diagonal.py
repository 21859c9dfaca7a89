"""The pass over the data for diagonal covariances."""

from __future__ import annotations

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.distances import add_moments, set_weighted_log_densities
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load,
    load_responsibilities,
    load_weights,
    new_panel,
    set_constant,
    unload,
)
from em_toolkit.kernels.vectorized import add_posterior
from em_toolkit.statistics import Array


@summing
def set_log_joint(
    panel: Array, means: Array, precisions: Array, constants: Array, log_joint: Array
) -> None:
    """Set log p(x_i, k) = c_k − ½ Σ_j (x_ij − μ_kj)² / σ_kj² of the rows of a panel.

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
    means, precisions, constants
        As in `expectation`.
    log_joint : ndarray of shape (n_constants, width)
        Set.
    """
    set_weighted_log_densities(panel, means, precisions, constants, log_joint)
    set_constant(constants, means.shape[0], log_joint)


@kernel(MATRIX, VECTOR, MATRIX, MATRIX, VECTOR, INTEGER)
def expectation(
    X: Array, weights: Array, means: Array, precisions: Array, constants: Array, width: int
) -> Array:
    """Return the sums of the E-step over a block of rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means, precisions : ndarray of shape (n_components, n_features)
    constants : ndarray of shape (n_constants,)
        As in `matrix.expectation`.
    width : int
        Rows in a panel, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence and weight; the count for each constant; first moments and second
        moments as `means`.
    """
    n_components, n_features = constants.shape[0], means.shape[1]
    panel, panel_weights = new_panel(n_features, width), new_panel(1, width)[0]
    log_joint, shares = new_panel(n_components, width), new_panel(n_components, width)

    a, b = 3 + n_components, 3 + n_components + means.size
    run, total = np.zeros(b + means.size), np.zeros(b + means.size)
    rows, count = run[:3], run[3:a]
    first, second = run[a:b].reshape(means.shape), run[b:].reshape(means.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_weights(weights, number * width, panel_weights)
        set_log_joint(panel, means, precisions, constants, log_joint)
        add_posterior(log_joint, panel_weights, shares, rows)
        add_totals(shares, count)
        add_moments(panel, means, shares, first, second)
        end_of_run(number, n_panels, run, total)
    return total


@kernel(MATRIX, MATRIX, MATRIX, INTEGER)
def moments(X: Array, responsibilities: Array, means: Array, width: int) -> Array:
    """Return moments of a block for given responsibilities.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    responsibilities : ndarray of shape (n_rows, n_components)
    means : ndarray of shape (n_components, n_features)
    width : int
        Rows in a panel, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Counts, first moments and second moments, as in `expectation`.
    """
    n_components, n_features = responsibilities.shape[1], means.shape[1]
    panel, shares = new_panel(n_features, width), new_panel(n_components, width)
    a = n_components + means.size
    run, total = np.zeros(a + means.size), np.zeros(a + means.size)
    count, first = run[:n_components], run[n_components:a].reshape(means.shape)
    second = run[a:].reshape(means.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_responsibilities(responsibilities, number * width, shares)
        add_totals(shares, count)
        add_moments(panel, means, shares, first, second)
        end_of_run(number, n_panels, run, total)
    return total


@kernel(MATRIX, MATRIX, MATRIX, VECTOR, INTEGER)
def log_joint(X: Array, means: Array, precisions: Array, constants: Array, width: int) -> Array:
    """Return log p(x_i, k) of a block of rows.

    Parameters
    ----------
    X, means, precisions, constants, width
        As in `expectation`.

    Returns
    -------
    log_joint : ndarray of shape (n_rows, n_constants)
    """
    panel, values = new_panel(means.shape[1], width), new_panel(constants.shape[0], width)
    out = np.empty((X.shape[0], constants.shape[0]))
    for start in range(0, X.shape[0], width):
        n_rows = load(X, start, panel)
        set_log_joint(panel, means, precisions, constants, values)
        unload(values, start, n_rows, out)
    return out

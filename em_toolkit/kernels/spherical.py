"""The pass over the data for spherical covariances."""

from __future__ import annotations

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.distances import add_first_moments, set_squared_distances
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load,
    load_weights,
    new_panel,
    set_constant,
    unload,
)
from em_toolkit.kernels.vectorized import add_posterior
from em_toolkit.statistics import Array


@summing
def set_log_joint(
    panel: Array,
    means: Array,
    precisions: Array,
    constants: Array,
    distances: Array,
    log_joint: Array,
) -> None:
    """Set log p(x_i, k) = c_k − |x_i − μ_k|² / 2σ_k² and |x_i − μ_k|² of the rows of a panel.

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
    means, precisions, constants
        As in `expectation`.
    distances : ndarray of shape (n_components, width)
        Set: |x_i − μ_k|².
    log_joint : ndarray of shape (n_constants, width)
        Set.
    """
    set_squared_distances(panel, means, distances)
    for k in range(means.shape[0]):
        row, distance = log_joint[k], distances[k]
        half_precision = 0.5 * precisions[k]
        for i in range(row.shape[0]):
            row[i] = constants[k] - half_precision * distance[i]
    set_constant(constants, means.shape[0], log_joint)


@kernel(MATRIX, VECTOR, MATRIX, VECTOR, VECTOR, INTEGER)
def expectation(
    X: Array, weights: Array, means: Array, precisions: Array, constants: Array, width: int
) -> Array:
    """Return the sums of the E-step over a block of rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means : ndarray of shape (n_components, n_features)
    precisions : ndarray of shape (n_components,)
        1/σ_k².
    constants : ndarray of shape (n_constants,)
        As in `matrix.expectation`.
    width : int
        Rows in a panel, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence and weight; the count for each constant; first moments as `means`;
        Σ_i r_ik |x_i − μ_k|² of each component.
    """
    n_components, n_features = constants.shape[0], means.shape[1]
    panel, panel_weights = new_panel(n_features, width), new_panel(1, width)[0]
    log_joint, shares = new_panel(n_components, width), new_panel(n_components, width)
    distances = new_panel(means.shape[0], width)

    a, b = 3 + n_components, 3 + n_components + means.size
    run, total = np.zeros(b + means.shape[0]), np.zeros(b + means.shape[0])
    rows, count = run[:3], run[3:a]
    first, second = run[a:b].reshape(means.shape), run[b:]
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_weights(weights, number * width, panel_weights)
        set_log_joint(panel, means, precisions, constants, distances, log_joint)
        add_posterior(log_joint, panel_weights, shares, rows)
        add_totals(shares, count)
        add_first_moments(panel, means, shares, first)
        for k in range(means.shape[0]):
            moment, share, distance = 0.0, shares[k], distances[k]
            for i in range(width):
                moment += share[i] * distance[i]
            second[k] += moment
        end_of_run(number, n_panels, run, total)
    return total


@kernel(MATRIX, MATRIX, VECTOR, VECTOR, INTEGER)
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
    n_components = constants.shape[0]
    panel, distances = new_panel(means.shape[1], width), new_panel(means.shape[0], width)
    values, out = new_panel(n_components, width), np.empty((X.shape[0], n_components))
    for start in range(0, X.shape[0], width):
        n_rows = load(X, start, panel)
        set_log_joint(panel, means, precisions, constants, distances, values)
        unload(values, start, n_rows, out)
    return out

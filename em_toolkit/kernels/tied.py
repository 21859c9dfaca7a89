"""The pass over the data for one covariance matrix, at a cost that K hardly multiplies.

Each row is whitened once, about a centre c, and not about each mean:
z_i = L⁻¹ (x_i − c), and the distances are those from L⁻¹ (μ_k − c).

The scatter about the means o_k is what is left of that about c. With o_k measured from c, too, and
f_k = Σ_i r_ik (x_i − o_k), for responsibilities whose sum over these components is w_i,

    Σ_ik r_ik (x_i − o_k)(x_i − o_k)ᵀ
        = Σ_i w_i x_i x_iᵀ − Σ_k [o_k f_kᵀ + f_k o_kᵀ + N_k o_k o_kᵀ].

What both cost are the digits in which x_i and the means are larger about c than about their own
mean: `em_toolkit.kernels.gaussian_mixture` bounds them, and takes the other way (`matrix`) where
they are many.
"""

from __future__ import annotations

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.distances import add_first_moments, set_log_densities
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load,
    load_weights,
    mirror,
    new_panel,
    set_constant,
    unload,
)
from em_toolkit.kernels.products import add_moments, set_lower_products
from em_toolkit.kernels.vectorized import add_posterior
from em_toolkit.statistics import Array


@summing
def set_log_joint(
    panel: Array,
    center: Array,
    whitened_means: Array,
    factor: Array,
    constants: Array,
    whitened: Array,
    log_joint: Array,
) -> None:
    """Set log p(x_i, k) = c_k − ½ |L⁻¹ (x_i − c) − L⁻¹ (μ_k − c)|² of the rows of a panel.

    Parameters
    ----------
    panel : ndarray of shape (n_padded, width)
    center, whitened_means, factor, constants
        As in `expectation`.
    whitened : ndarray of shape (n_padded, width)
        Set: L⁻¹ (x_i − c).
    log_joint : ndarray of shape (n_constants, width)
        Set.
    """
    set_lower_products(factor, center, panel, whitened)
    set_log_densities(whitened, whitened_means, constants, log_joint)
    set_constant(constants, whitened_means.shape[0], log_joint)


@summing
def _set_sums_of_shares(shares: Array, n_components: int, out: Array) -> None:
    """Set `out` to Σ_k r_ik over the first components."""
    for i in range(out.shape[0]):
        out[i] = 0.0
    for k in range(n_components):
        share = shares[k]
        for i in range(out.shape[0]):
            out[i] += share[i]


@summing
def subtract_scatter_of_means(
    means: Array, center: Array, count: Array, first: Array, scatter: Array
) -> None:
    """Take the lower triangle of Σ_k [o_k f_kᵀ + f_k o_kᵀ + N_k o_k o_kᵀ] from the scatter.

    Parameters
    ----------
    means : ndarray of shape (n_components, n_features)
        Of which o_k is what they are from the centre.
    center : ndarray of shape (n_features,)
    count : ndarray of shape (n_components,)
        N_k.
    first : ndarray of shape (n_components, n_features)
        f_k.
    scatter : ndarray of shape (n_features, n_features)
    """
    for k in range(count.shape[0]):
        mean, moment = means[k], first[k]
        for j in range(mean.shape[0]):
            row, left = scatter[j], mean[j] - center[j]
            right = moment[j] + count[k] * left
            for i in range(j + 1):
                row[i] -= left * moment[i] + right * (mean[i] - center[i])


@kernel(MATRIX, VECTOR, MATRIX, VECTOR, MATRIX, MATRIX, VECTOR, INTEGER)
def expectation(
    X: Array,
    weights: Array,
    means: Array,
    center: Array,
    whitened_means: Array,
    factor: Array,
    constants: Array,
    width: int,
) -> Array:
    """Return the sums of the E-step over a block of rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means : ndarray of shape (n_components, n_padded)
        n_padded is even, and what pads an array is zero.
    center : ndarray of shape (n_padded,)
        c.
    whitened_means : ndarray of shape (n_components, n_padded)
        L⁻¹ (μ_k − c).
    factor : ndarray of shape (n_padded, n_padded)
        L⁻¹, lower triangular.
    constants : ndarray of shape (n_constants,)
        As in `matrix.expectation`.
    width : int
        Rows in a panel, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence and weight; the count for each constant; first moments as `means`;
        the second moment as `factor`.
    """
    n_components, n_features = constants.shape[0], means.shape[1]
    panel, panel_weights = new_panel(n_features, width), new_panel(1, width)[0]
    whitened, strip = new_panel(n_features, width), new_panel(4, width)
    ignored = np.empty(n_features)
    log_joint, shares = new_panel(n_components, width), new_panel(n_components, width)

    a, b = 3 + n_components, 3 + n_components + means.size
    run, total = np.zeros(b + factor.size), np.zeros(b + factor.size)
    rows, count, first = run[:3], run[3:a], run[a:b].reshape(means.shape)
    second = run[b:].reshape(factor.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_weights(weights, number * width, panel_weights)
        set_log_joint(panel, center, whitened_means, factor, constants, whitened, log_joint)
        add_posterior(log_joint, panel_weights, shares, rows)
        add_totals(shares, count)
        add_first_moments(panel, means, shares, first)
        if n_components > means.shape[0]:
            # Not what is left of the weight, of which a small rest would be a rounding.
            _set_sums_of_shares(shares, means.shape[0], panel_weights)
        add_moments(panel, center, panel_weights, strip, ignored, second)
        end_of_run(number, n_panels, run, total)
    scatter = total[b:].reshape(factor.shape)
    n_means = means.shape[0]
    subtract_scatter_of_means(
        means, center, total[3 : 3 + n_means], total[a:b].reshape(means.shape), scatter
    )
    mirror(scatter.reshape((1, n_features, n_features)))
    return total


@kernel(MATRIX, VECTOR, MATRIX, MATRIX, VECTOR, INTEGER)
def log_joint(
    X: Array,
    center: Array,
    whitened_means: Array,
    factor: Array,
    constants: Array,
    width: int,
) -> Array:
    """Return log p(x_i, k) of a block of rows.

    Parameters
    ----------
    X, center, whitened_means, factor, constants, width
        As in `expectation`.

    Returns
    -------
    log_joint : ndarray of shape (n_rows, n_constants)
    """
    n_components, n_features = constants.shape[0], whitened_means.shape[1]
    panel, whitened = new_panel(n_features, width), new_panel(n_features, width)
    values, out = new_panel(n_components, width), np.empty((X.shape[0], n_components))
    for start in range(0, X.shape[0], width):
        n_rows = load(X, start, panel)
        set_log_joint(panel, center, whitened_means, factor, constants, whitened, values)
        unload(values, start, n_rows, out)
    return out

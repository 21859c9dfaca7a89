"""The pass over the data for one covariance matrix, at a cost that K hardly multiplies.

Each row is whitened once, about a centre c, and not about each mean:
z_i = L⁻¹ (x_i − c), and the distances are those from L⁻¹ (μ_k − c).

The scatter about the means o_k is split, row by row, at the mean of the means with the
responsibilities of the row, m_i = Σ_k r_ik o_k. For responsibilities that sum to one,

    Σ_k r_ik (x_i − o_k)(x_i − o_k)ᵀ
        = (x_i − m_i)(x_i − m_i)ᵀ + Σ_{k<l} r_ik r_il (o_k − o_l)(o_k − o_l)ᵀ,

where nothing is subtracted from a larger sum; the second term needs of the data the
Σ_i r_ik r_il alone.

What it costs are the digits in which x_i and the means are larger about c than about their own
mean: `em_toolkit.kernels.gaussian_mixture` bounds them, and takes the other way (`matrix`) where
they are many.
"""

from __future__ import annotations

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.distances import add_first_moments, set_squared_distances
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load,
    load_weights,
    mirror,
    unload,
    weigh,
)
from em_toolkit.kernels.products import add_moments, set_lower_products, set_products
from em_toolkit.kernels.vectorized import softmax
from em_toolkit.statistics import Array


@summing
def set_log_joint(
    centred: Array,
    whitened_means: Array,
    factor: Array,
    constants: Array,
    whitened: Array,
    log_joint: Array,
) -> None:
    """log p(x_i, k) = c_k − ½ |z_i − L⁻¹ (μ_k − c)|², of shape (n_components, width)."""
    set_lower_products(factor, centred, whitened)
    set_squared_distances(whitened, whitened_means, log_joint)
    for k in range(constants.shape[0]):
        row = log_joint[k]
        for i in range(row.shape[0]):
            row[i] = constants[k] - 0.5 * row[i]


@summing
def subtract(center: Array, panel: Array) -> None:
    """Take the centre from the columns of a panel."""
    for j in range(panel.shape[0]):
        column = panel[j]
        for i in range(column.shape[0]):
            column[i] -= center[j]


@summing
def add_scatter_between(together: Array, means: Array, scatter: Array) -> None:
    """Add the lower triangle of Σ_{k<l} c_kl (o_k − o_l)(o_k − o_l)ᵀ.

    It is Σ_k (o_k − c) g_kᵀ with g_k = Σ_l c_kl (o_k − o_l).

    Parameters
    ----------
    together : ndarray of shape (n_multiple, n_multiple)
        c_kl in the lower triangle.
    means : ndarray of shape (n_multiple, n_features)
        o_k − c.
    scatter : ndarray of shape (n_features, n_features)
    """
    pulls = np.zeros(means.shape)
    for k in range(means.shape[0]):
        for m in range(k):
            weight, mine, theirs = together[k, m], means[k], means[m]
            pull, counterpull = pulls[k], pulls[m]
            for j in range(mine.shape[0]):
                difference = weight * (mine[j] - theirs[j])
                pull[j] += difference
                counterpull[j] -= difference
    for k in range(means.shape[0]):
        mean, pull = means[k], pulls[k]
        for j in range(mean.shape[0]):
            row, factor = scatter[j], mean[j]
            for i in range(j + 1):
                row[i] += factor * pull[i]


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
    """The sums of the E-step over a block of rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means : ndarray of shape (n_multiple, n_padded)
        μ_k − c; n_multiple and n_padded are multiples of 4, and the padding of all arrays is zero.
    center : ndarray of shape (n_padded,)
        c.
    whitened_means : ndarray of shape (n_multiple, n_padded)
        L⁻¹ (μ_k − c).
    factor : ndarray of shape (n_padded, n_padded)
        L⁻¹, lower triangular.
    constants : ndarray of shape (n_components,)
        log π_k − ½ (d log 2π + log |Σ|).
    width : int
        Rows in a panel, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence and weight; the count of each component; first moments as `means`;
        the second moment as `factor`.
    """
    n_components, n_multiple, n_features = constants.shape[0], means.shape[0], means.shape[1]
    panel, panel_weights = np.zeros((n_features, width)), np.empty(width)
    whitened, strip = np.empty((n_features, width)), np.empty((4, width))
    length = max(n_features, n_multiple)
    zeros, ignored = np.zeros(length), np.empty(length)
    log_joint = np.zeros((n_multiple, width))
    posterior, shares = np.zeros((n_multiple, width)), np.zeros((n_multiple, width))
    alive = posterior[:n_components]
    log_evidence, entropy, scratch = np.empty(width), np.empty(width), np.empty((3, width))
    columns = means.T.copy()

    a, b = 3 + n_components, 3 + n_components + means.size
    c = b + factor.size
    run, total = np.zeros(c + n_multiple**2), np.zeros(c + n_multiple**2)
    rows, count, first = run[:3], run[3:a], run[a:b].reshape(means.shape)
    second, together = run[b:c].reshape(factor.shape), run[c:].reshape((n_multiple, n_multiple))
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_weights(weights, number * width, panel_weights)
        subtract(center, panel)
        set_log_joint(panel, whitened_means, factor, constants, whitened, log_joint)
        softmax(log_joint[:n_components], alive, log_evidence, entropy, scratch)
        shares[:n_components] = alive
        weigh(shares[:n_components], panel_weights, log_evidence, entropy, rows)
        add_totals(shares[:n_components], count)
        add_first_moments(panel, means, shares, first)
        add_moments(posterior, zeros, panel_weights, strip, ignored, together)
        # The panel becomes x_i − m_i; what was whitened is no longer needed.
        set_products(columns, posterior, whitened)
        for j in range(n_features):
            column, mixed = panel[j], whitened[j]
            for i in range(width):
                column[i] -= mixed[i]
        add_moments(panel, zeros, panel_weights, strip, ignored, second)
        end_of_run(number, n_panels, run, total)
    add_scatter_between(total[c:].reshape(together.shape), means, total[b:c].reshape(factor.shape))
    mirror(total[b:c].reshape((1, n_features, n_features)))
    return total[:c]


@kernel(MATRIX, VECTOR, MATRIX, MATRIX, VECTOR, INTEGER)
def log_joint(
    X: Array,
    center: Array,
    whitened_means: Array,
    factor: Array,
    constants: Array,
    width: int,
) -> Array:
    """log p(x_i, k), of shape (n_rows, n_components); arguments as in `expectation`."""
    n_multiple, n_features = whitened_means.shape
    panel, whitened = np.zeros((n_features, width)), np.empty((n_features, width))
    values, out = np.empty((n_multiple, width)), np.empty((X.shape[0], constants.shape[0]))
    for start in range(0, X.shape[0], width):
        n_rows = load(X, start, panel)
        subtract(center, panel)
        set_log_joint(panel, whitened_means, factor, constants, whitened, values)
        unload(values, start, n_rows, out)
    return out

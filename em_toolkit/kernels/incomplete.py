"""The pass over rows with missing entries, for covariance matrices of any structure."""

from __future__ import annotations

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRICES, MATRIX, NUMBER, VECTOR, kernel, summing
from em_toolkit.kernels.completed_panel import (
    Space,
    entropy_of_missing,
    set_log_joint,
    space_for,
)
from em_toolkit.kernels.conditional import add_conditional_covariances
from em_toolkit.kernels.instructions import LANES
from em_toolkit.kernels.matrix import add_moments_of_some
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load,
    load_responsibilities,
    load_weights,
    mirror,
    new_panel,
    unload,
)
from em_toolkit.kernels.vectorized import add_posterior
from em_toolkit.statistics import Array, IntArray


@summing
def add_moments(
    space: Space,
    n_lanes: int,
    shares: Array,
    strips: Array,
    indices: IntArray,
    totals: Array,
    first: Array,
    second: Array,
    of_missing: Array,
) -> None:
    """Add Σ_i r_ik (x̂ − μ_k), and of x̂ and of what is missing the second moments about μ_k.

    Parameters
    ----------
    space : Space
    n_lanes : int
    shares : ndarray of shape (>= n_components, width)
    strips, indices : ndarray
        Scratch, as in `add_moments_of_some`.
    totals : ndarray of shape (width,)
        Scratch.
    first : ndarray of shape (n_components, n_padded)
    second : ndarray of shape (n_matrices, n_padded, n_padded)
    of_missing : ndarray of shape (n_matrices, n_padded + 1, n_padded + 1)
    """
    n_padded, n_matrices = second.shape[1], second.shape[0]
    n_groups = (n_lanes + LANES - 1) // LANES
    for k in range(first.shape[0]):
        share, matrix = shares[k], k % n_matrices
        add_moments_of_some(
            space.expected[k, :n_padded],
            space.center,
            share,
            strips,
            indices,
            first[k],
            second[matrix],
        )
    for matrix in range(n_matrices):
        for group in range(n_groups):
            lane, largest = group * LANES, 0.0
            if space.most[group] == 0:
                continue
            for place in range(lane, lane + LANES):
                totals[place] = 0.0
            for k in range(matrix, first.shape[0], n_matrices):
                for place in range(lane, min(lane + LANES, n_lanes)):
                    share, total = shares[k, space.starts[place] : space.stops[place]], 0.0
                    for i in range(share.shape[0]):
                        total += share[i]
                    totals[place] += total
                    largest = max(largest, total)
            if largest > 0.0:
                add_conditional_covariances(
                    space.covariances[matrix],
                    space.missing,
                    totals,
                    of_missing[matrix],
                    lane,
                    group,
                    space.most[group],
                )


@summing
def _add_of_missing(of_missing: Array, second: Array) -> None:
    """Add to `second`, and mirror it; leave out the feature that does not exist."""
    for matrix in range(second.shape[0]):
        for j in range(second.shape[1]):
            for m in range(j + 1):
                second[matrix, j, m] += of_missing[matrix, j, m]
    mirror(second)


@kernel(MATRIX, VECTOR, MATRIX, MATRICES, MATRICES, MATRIX, VECTOR, NUMBER, INTEGER)
def expectation(
    X: Array,
    weights: Array,
    means: Array,
    factors: Array,
    precisions: Array,
    log_sides: Array,
    constants: Array,
    largest_inflation: float,
    widest: int,
) -> Array:
    """Return the sums of the E-step over a block of rows with NaN entries.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means : ndarray of shape (n_components, n_padded)
        n_padded is even; the padding is zero.
    factors : ndarray of shape (n_matrices, n_padded, n_padded)
        L_k⁻¹, lower triangular; one for each component, or one for all.
    precisions : ndarray of shape (n_matrices, n_padded + 1, n_padded + 1)
        L_k⁻ᵀ L_k⁻¹, and zeros behind it for a feature that does not exist.
    log_sides : ndarray of shape (n_unlike, n_features)
        Of each component of constant density, the logarithms of the sides of its box.
    constants : ndarray of shape (n_components + n_unlike,)
        log π_k − ½ (d log 2π + log |Σ_k|); then log π_k and the logarithm of the density.
    largest_inflation : float
        Of the variances of missing entries, as others are missing too, beyond which columns of
        L_k⁻¹ are orthogonalized and not multiplied.
    widest : int
        Rows in a panel at most, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence, weight and the entropy of what is missing; the count for each
        constant; first moments as `means`; second moments as `factors`.
    """
    n_components, n_padded, n_features = constants.shape[0], means.shape[1], X.shape[1]
    space = space_for(X, means, precisions, log_sides, widest)
    width = space.panel.shape[1]
    panel_weights = new_panel(1, width)[0]
    log_joint, shares = new_panel(n_components, width), new_panel(n_components, width)
    strips = new_panel(n_padded + 5, width).reshape(-1)
    indices = np.empty(width, np.int64)
    totals = np.empty(width)

    a, b = 4 + n_components, 4 + n_components + means.size
    c = b + factors.size
    run, total = np.zeros(c + precisions.size), np.zeros(c + precisions.size)
    rows, count = run[:4], run[4:a]
    first, second = run[a:b].reshape(means.shape), run[b:c].reshape(factors.shape)
    of_missing = run[c:].reshape(precisions.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, space.panel)
        load_weights(weights, number * width, panel_weights)
        n_lanes = set_log_joint(
            space,
            number * width,
            n_features,
            means,
            factors,
            precisions,
            log_sides,
            constants,
            largest_inflation,
            log_joint,
        )
        add_posterior(log_joint, panel_weights, shares, rows)
        of_entries = entropy_of_missing(space, shares)
        rows[0] += of_entries
        rows[3] += of_entries
        add_totals(shares, count)
        add_moments(space, n_lanes, shares, strips, indices, totals, first, second, of_missing)
        end_of_run(number, n_panels, run, total)
    _add_of_missing(total[c:].reshape(precisions.shape), total[b:c].reshape(factors.shape))
    return total[:c]


@kernel(MATRIX, MATRIX, MATRIX, MATRICES, MATRICES, NUMBER, INTEGER)
def moments(
    X: Array,
    responsibilities: Array,
    means: Array,
    factors: Array,
    precisions: Array,
    largest_inflation: float,
    widest: int,
) -> Array:
    """Return moments of a block for given responsibilities.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    responsibilities : ndarray of shape (n_rows, n_components)
    means, factors, precisions, largest_inflation, widest
        As in `expectation`.

    Returns
    -------
    sums : ndarray
        Counts, first moments and second moments, as in `expectation`.
    """
    (n_components, n_padded), n_features = means.shape, X.shape[1]
    log_sides = np.empty((0, n_features))
    space = space_for(X, means, precisions, log_sides, widest)
    width = space.panel.shape[1]
    log_joint, shares = new_panel(n_components, width), new_panel(n_components, width)
    strips = new_panel(n_padded + 5, width).reshape(-1)
    indices = np.empty(width, np.int64)
    totals, constants = np.empty(width), np.zeros(n_components)

    a = n_components + means.size
    b = a + factors.size
    run, total = np.zeros(b + precisions.size), np.zeros(b + precisions.size)
    count, first = run[:n_components], run[n_components:a].reshape(means.shape)
    second, of_missing = run[a:b].reshape(factors.shape), run[b:].reshape(precisions.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, space.panel)
        load_responsibilities(responsibilities, number * width, shares)
        n_lanes = set_log_joint(
            space,
            number * width,
            n_features,
            means,
            factors,
            precisions,
            log_sides,
            constants,
            largest_inflation,
            log_joint,
        )
        add_totals(shares, count)
        add_moments(space, n_lanes, shares, strips, indices, totals, first, second, of_missing)
        end_of_run(number, n_panels, run, total)
    _add_of_missing(total[b:].reshape(precisions.shape), total[a:b].reshape(factors.shape))
    return total[:b]


@kernel(MATRIX, MATRIX, MATRICES, MATRICES, VECTOR, NUMBER, INTEGER)
def log_joint_and_entropy(
    X: Array,
    means: Array,
    factors: Array,
    precisions: Array,
    constants: Array,
    largest_inflation: float,
    widest: int,
) -> Array:
    """Return log p(x_o, k) and the entropy of x_m given x_o and k, without noise.

    Parameters
    ----------
    X, means, factors, precisions, constants, largest_inflation, widest
        As in `expectation`, without components of constant density.

    Returns
    -------
    log_joint_and_entropy : ndarray of shape (2, n_rows, n_components)
    """
    n_components, n_features = means.shape[0], X.shape[1]
    log_sides = np.empty((0, n_features))
    space = space_for(X, means, precisions, log_sides, widest)
    width = space.panel.shape[1]
    values, out = new_panel(n_components, width), np.empty((2, X.shape[0], n_components))
    for start in range(0, X.shape[0], width):
        n_rows = load(X, start, space.panel)
        set_log_joint(
            space,
            start,
            n_features,
            means,
            factors,
            precisions,
            log_sides,
            constants,
            largest_inflation,
            values,
        )
        unload(values, start, n_rows, out[0])
        for k in range(n_components):
            volumes = space.log_volumes[k % factors.shape[0]]
            for i in range(n_rows):
                out[1, start + i, k] = volumes[i] + space.half_missing[i]
    return out

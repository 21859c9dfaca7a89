"""The pass over rows with missing entries, for covariance matrices of any structure.

The mathematics and the names are those of `em_toolkit.families.completion`. Rows of one pattern
of missing entries are neighbours in a run; what belongs to a pattern is found anew for each run in
a panel. A factor T whose missing features come last is made from the Cholesky factor of Σ by
moving one missing feature after the other behind the others: the feature's row goes to the end,
and rotations of neighbouring columns make the matrix triangular again (Golub & Van Loan 2013,
section 6.5.2). That is as accurate as it can be, and takes fewer products than a factorization as
long as fewer than half of the entries are missing.
"""

from __future__ import annotations

import math

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRICES, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.matrix import add_moments_of_some
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load_responsibilities,
    load_weights,
    mirror,
    unload,
    weigh,
)
from em_toolkit.kernels.vectorized import softmax
from em_toolkit.statistics import Array, IntArray

_LOG_2_PI = math.log(2.0 * math.pi)
# Rows of a run from which on loops over rows are faster than loops over features.
_TOGETHER = 6


@summing
def order_features(row: Array, order: IntArray) -> int:
    """The observed features of a row, then its missing ones; returns how many are observed."""
    n_features, n_observed = row.shape[0], 0
    for j in range(n_features):
        n_observed += not math.isnan(row[j])
    before, behind = 0, n_observed
    for j in range(n_features):
        if math.isnan(row[j]):
            order[behind] = j
            behind += 1
        else:
            order[before] = j
            before += 1
    return n_observed


@summing
def end_of_pattern(X: Array, start: int, stop: int) -> int:
    """Up to which row, and no further than `stop`, those from `start` on miss the same entries."""
    for i in range(start + 1, stop):
        for j in range(X.shape[1]):
            if math.isnan(X[i, j]) != math.isnan(X[start, j]):
                return i
    return stop


@summing
def triangularize(upper: Array, order: IntArray, n_observed: int, out: Array) -> None:
    """Tᵀ for the features in a new order, from Lᵀ for the natural one.

    Parameters
    ----------
    upper : ndarray of shape (n_features, n_features)
        Lᵀ, a column for each feature.
    order : ndarray of shape (n_features,)
        The observed features ascending, then the missing ones ascending.
    n_observed : int
    out : ndarray of shape (n_features, n_features)
    """
    n_features = order.shape[0]
    for row in range(n_features):
        for j in range(n_features):
            out[row, j] = upper[row, j]
    for number in range(n_features - n_observed):
        # Missing features from the last on, each to the place before those moved already.
        place, end = order[n_features - 1 - number], n_features - 1 - number
        if place == end:
            continue
        for row in range(n_features):
            moved = out[row, place]
            for j in range(place, end):
                out[row, j] = out[row, j + 1]
            out[row, end] = moved
        for row in range(place, end):
            upper_row, lower_row = out[row], out[row + 1]
            a, b = upper_row[row], lower_row[row]
            length = math.sqrt(a * a + b * b)
            c, s = a / length, b / length
            upper_row[row], lower_row[row] = length, 0.0
            for j in range(row + 1, n_features):
                left, right = upper_row[j], lower_row[j]
                upper_row[j] = c * left + s * right
                lower_row[j] = c * right - s * left


@summing
def log_determinant(triangle: Array, start: int, stop: int) -> float:
    """2 Σ log |T_jj| of some features."""
    total = 0.0
    for j in range(start, stop):
        total += math.log(abs(triangle[j, j]))
    return 2.0 * total


@summing
def fill_one_by_one(
    X: Array,
    first: int,
    place: int,
    n_rows: int,
    mean: Array,
    triangle: Array,
    order: IntArray,
    n_observed: int,
    scratch: Array,
    expected: Array,
    distances: Array,
) -> None:
    """`fill_together`, for few rows."""
    n_features = order.shape[0]
    rest = scratch.reshape(scratch.size)[:n_features]
    for i in range(n_rows):
        row, distance = X[first + i], 0.0
        for j in range(n_observed):
            deviation = row[order[j]] - mean[order[j]]
            rest[j] = deviation
            expected[order[j], place + i] = deviation
        for j in range(n_observed, n_features):
            rest[j] = 0.0
        for m in range(n_observed):
            factors = triangle[m]
            whitened = rest[m] / factors[m]
            distance += whitened * whitened
            for j in range(m + 1, n_features):
                rest[j] -= factors[j] * whitened
        for j in range(n_observed, n_features):
            expected[order[j], place + i] = -rest[j]
        distances[place + i] = distance


@summing
def fill_together(
    X: Array,
    first: int,
    place: int,
    n_rows: int,
    mean: Array,
    triangle: Array,
    order: IntArray,
    n_observed: int,
    scratch: Array,
    expected: Array,
    distances: Array,
) -> None:
    """x − μ with the expectation of what is missing, and the squared distances of what is not.

    Substitution in T, column after column, leaves what the observed features so far say of the
    others: of missing features, minus their expectation.

    Parameters
    ----------
    X : ndarray of shape (n_rows_of_the_block, n_features)
    first, place, n_rows : int
        The first row in X, its place in the panel, and how many there are.
    mean : ndarray of shape (>= n_features,)
    triangle : ndarray of shape (n_features, n_features)
        Tᵀ.
    order : ndarray of shape (n_features,)
    n_observed : int
    scratch : ndarray of shape (>= n_features, width)
    expected : ndarray of shape (>= n_features, width)
    distances : ndarray of shape (width,)
    """
    n_features = order.shape[0]
    for i in range(n_rows):
        distances[place + i] = 0.0
    for j in range(n_observed):
        feature, rest = order[j], scratch[j]
        filled, center = expected[feature], mean[feature]
        for i in range(n_rows):
            deviation = X[first + i, feature] - center
            rest[i] = deviation
            filled[place + i] = deviation
    for j in range(n_observed, n_features):
        rest = scratch[j]
        for i in range(n_rows):
            rest[i] = 0.0
    for m in range(n_observed):
        factors, whitened = triangle[m], scratch[m]
        inverse = 1.0 / factors[m]
        for i in range(n_rows):
            whitened[i] *= inverse
            distances[place + i] += whitened[i] * whitened[i]
        for j in range(m + 1, n_features):
            factor, rest = factors[j], scratch[j]
            for i in range(n_rows):
                rest[i] -= factor * whitened[i]
    for j in range(n_observed, n_features):
        rest, filled = scratch[j], expected[order[j]]
        for i in range(n_rows):
            filled[place + i] = -rest[i]


@summing
def complete_panel(
    X: Array,
    start: int,
    n_rows: int,
    means: Array,
    uppers: Array,
    scratch: Array,
    bounds: IntArray,
    n_observed: IntArray,
    orders: IntArray,
    triangles: Array,
    entropies: Array,
    expected: Array,
    log_densities: Array,
) -> int:
    """What the rows of a panel say of their missing entries; returns how many runs there are.

    Parameters
    ----------
    X : ndarray of shape (n_rows_of_the_block, n_features)
    start, n_rows : int
    means : ndarray of shape (n_components, >= n_features)
    uppers : ndarray of shape (n_matrices, n_features, n_features)
        Lᵀ for the features in their natural order.
    scratch : ndarray of shape (>= n_features, width)
    bounds : ndarray of shape (width + 1,)
        The runs in the panel.
    n_observed : ndarray of shape (width,)
        By run, as are the next three.
    orders : ndarray of shape (width, n_features)
    triangles : ndarray of shape (width, n_matrices, n_features, n_features)
    entropies : ndarray of shape (width, n_matrices)
        Of the missing entries of a row.
    expected : ndarray of shape (n_components, >= n_features, width)
    log_densities : ndarray of shape (n_components, width)
    """
    n_features, n_matrices = X.shape[1], uppers.shape[0]
    run, place = 0, 0
    while place < n_rows:
        first = start + place
        stop = end_of_pattern(X, first, start + n_rows)
        length = stop - first
        order = orders[run]
        observed = order_features(X[first], order)
        bounds[run], n_observed[run] = place, observed
        n_missing = n_features - observed
        for matrix in range(n_matrices):
            triangle = triangles[run, matrix]
            triangularize(uppers[matrix], order, observed, triangle)
            of_missing = log_determinant(triangle, observed, n_features)
            entropies[run, matrix] = 0.5 * (n_missing * (1.0 + _LOG_2_PI) + of_missing)
        for k in range(means.shape[0]):
            triangle = triangles[run, k % n_matrices]
            constant = observed * _LOG_2_PI + log_determinant(triangle, 0, observed)
            values = log_densities[k]
            if length >= _TOGETHER:
                fill_together(
                    X,
                    first,
                    place,
                    length,
                    means[k],
                    triangle,
                    order,
                    observed,
                    scratch,
                    expected[k],
                    values,
                )
            else:
                fill_one_by_one(
                    X,
                    first,
                    place,
                    length,
                    means[k],
                    triangle,
                    order,
                    observed,
                    scratch,
                    expected[k],
                    values,
                )
            for i in range(place, place + length):
                values[i] = -0.5 * (constant + values[i])
        run += 1
        place += length
    bounds[run] = n_rows
    return run


@summing
def add_conditional_covariances(
    n_runs: int,
    bounds: IntArray,
    n_observed: IntArray,
    orders: IntArray,
    triangles: Array,
    entropies: Array,
    shares: Array,
    second: Array,
) -> float:
    """Add Σ_i r_ik Cov[x_m | x_o, k] to the lower triangles of `second`.

    Returns Σ_i r_ik times the entropy of the missing entries.

    Parameters
    ----------
    n_runs : int
    bounds, n_observed, orders, triangles, entropies : ndarray
        As in `complete_panel`.
    shares : ndarray of shape (n_components, width)
    second : ndarray of shape (n_components, >= n_features, >= n_features)
    """
    n_features, n_matrices, entropy = orders.shape[1], triangles.shape[1], 0.0
    for run in range(n_runs):
        observed, order = n_observed[run], orders[run]
        if observed == n_features:
            continue
        for k in range(shares.shape[0]):
            total, share = 0.0, shares[k]
            for i in range(bounds[run], bounds[run + 1]):
                total += share[i]
            if total == 0.0:
                continue
            entropy += total * entropies[run, k % n_matrices]
            triangle = triangles[run, k % n_matrices]
            for j in range(observed, n_features):
                for m in range(observed, j + 1):
                    product = 0.0
                    for row in range(observed, m + 1):
                        product += triangle[row, j] * triangle[row, m]
                    second[k, order[j], order[m]] += total * product
    return entropy


@kernel(MATRIX, VECTOR, MATRIX, MATRICES, VECTOR, INTEGER)
def expectation(
    X: Array, weights: Array, means: Array, uppers: Array, log_weights: Array, width: int
) -> Array:
    """The sums of the E-step over a block of rows with NaN entries.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means : ndarray of shape (n_components, n_padded)
        n_padded is even; the padding is zero.
    uppers : ndarray of shape (n_matrices, n_features, n_features)
        L_kᵀ of Σ_k = L_k L_kᵀ; one for each component, or one for all.
    log_weights : ndarray of shape (n_components,)
    width : int
        Rows in a panel, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence and weight; the count of each component; first moments as `means`;
        second moments of shape (n_components, n_padded, n_padded).
    """
    (n_components, n_padded), n_features = means.shape, X.shape[1]
    panel_weights = np.empty(width)
    log_joint, shares = np.zeros((n_components, width)), np.empty((n_components, width))
    log_evidence, entropy, scratch = np.empty(width), np.empty(width), np.empty((2, width))
    strips, indices = np.empty((n_padded + 5) * width), np.empty(width, np.int64)
    rest, center = np.empty((n_padded, width)), np.zeros(n_padded)
    bounds, n_observed = np.empty(width + 1, np.int64), np.empty(width, np.int64)
    orders = np.empty((width, n_features), np.int64)
    triangles = np.empty((width, uppers.shape[0], n_features, n_features))
    entropies = np.empty((width, uppers.shape[0]))
    expected = np.zeros((n_components, n_padded, width))

    a, b = 3 + n_components, 3 + n_components + means.size
    size = n_components * n_padded**2
    run, total = np.zeros(b + size), np.zeros(b + size)
    rows, count = run[:3], run[3:a]
    first, second = (
        run[a:b].reshape(means.shape),
        run[b:].reshape((n_components, n_padded, n_padded)),
    )
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        start = number * width
        n_rows = min(width, X.shape[0] - start)
        n_runs = complete_panel(
            X,
            start,
            n_rows,
            means,
            uppers,
            rest,
            bounds,
            n_observed,
            orders,
            triangles,
            entropies,
            expected,
            log_joint,
        )
        for k in range(n_components):
            for i in range(n_rows):
                log_joint[k, i] += log_weights[k]
        load_weights(weights, start, panel_weights)
        softmax(log_joint, shares, log_evidence, entropy, scratch)
        weigh(shares, panel_weights, log_evidence, entropy, rows)
        add_totals(shares, count)
        rows[0] += add_conditional_covariances(
            n_runs, bounds, n_observed, orders, triangles, entropies, shares, second
        )
        for k in range(n_components):
            add_moments_of_some(
                expected[k], center, shares[k], strips, indices, first[k], second[k]
            )
        end_of_run(number, n_panels, run, total)
    mirror(total[b:].reshape((n_components, n_padded, n_padded)))
    return total


@kernel(MATRIX, MATRIX, MATRIX, MATRICES, INTEGER)
def moments(X: Array, responsibilities: Array, means: Array, uppers: Array, width: int) -> Array:
    """Moments of a block for given responsibilities.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    responsibilities : ndarray of shape (n_rows, n_components)
    means, uppers, width
        As in `expectation`.

    Returns
    -------
    sums : ndarray
        Counts, first moments and second moments, as in `expectation`.
    """
    (n_components, n_padded), n_features = means.shape, X.shape[1]
    log_densities, shares = np.zeros((n_components, width)), np.empty((n_components, width))
    strips, indices = np.empty((n_padded + 5) * width), np.empty(width, np.int64)
    rest, center = np.empty((n_padded, width)), np.zeros(n_padded)
    bounds, n_observed = np.empty(width + 1, np.int64), np.empty(width, np.int64)
    orders = np.empty((width, n_features), np.int64)
    triangles = np.empty((width, uppers.shape[0], n_features, n_features))
    entropies = np.empty((width, uppers.shape[0]))
    expected = np.zeros((n_components, n_padded, width))

    a, size = n_components + means.size, n_components * n_padded**2
    run, total = np.zeros(a + size), np.zeros(a + size)
    count, first = run[:n_components], run[n_components:a].reshape(means.shape)
    second = run[a:].reshape((n_components, n_padded, n_padded))
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        start = number * width
        n_runs = complete_panel(
            X,
            start,
            min(width, X.shape[0] - start),
            means,
            uppers,
            rest,
            bounds,
            n_observed,
            orders,
            triangles,
            entropies,
            expected,
            log_densities,
        )
        load_responsibilities(responsibilities, start, shares)
        add_totals(shares, count)
        add_conditional_covariances(
            n_runs, bounds, n_observed, orders, triangles, entropies, shares, second
        )
        for k in range(n_components):
            add_moments_of_some(
                expected[k], center, shares[k], strips, indices, first[k], second[k]
            )
        end_of_run(number, n_panels, run, total)
    mirror(total[a:].reshape((n_components, n_padded, n_padded)))
    return total


@kernel(MATRIX, MATRIX, MATRICES, INTEGER)
def densities(X: Array, means: Array, uppers: Array, width: int) -> Array:
    """log p(x_o | k) and the entropy of x_m, of shape (2, n_rows, n_components).

    Arguments as in `expectation`.
    """
    (n_components, n_padded), n_features = means.shape, X.shape[1]
    values, rest = np.empty((n_components, width)), np.empty((n_padded, width))
    bounds, n_observed = np.empty(width + 1, np.int64), np.empty(width, np.int64)
    orders = np.empty((width, n_features), np.int64)
    triangles = np.empty((width, uppers.shape[0], n_features, n_features))
    entropies = np.empty((width, uppers.shape[0]))
    expected = np.empty((n_components, n_padded, width))
    out = np.empty((2, X.shape[0], n_components))
    for start in range(0, X.shape[0], width):
        n_rows = min(width, X.shape[0] - start)
        n_runs = complete_panel(
            X,
            start,
            n_rows,
            means,
            uppers,
            rest,
            bounds,
            n_observed,
            orders,
            triangles,
            entropies,
            expected,
            values,
        )
        unload(values, start, n_rows, out[0])
        for run in range(n_runs):
            for i in range(bounds[run], bounds[run + 1]):
                for k in range(n_components):
                    out[1, start + i, k] = entropies[run, k % uppers.shape[0]]
    return out

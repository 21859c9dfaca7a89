"""The pass over rows with missing entries, for covariance matrices of any structure.

The mathematics and the names are those of `em_toolkit.families.completion`. Rows of one pattern
of missing entries are neighbours in a run; what belongs to a pattern is found anew for each run in
a panel. A factor T whose missing features come last is made from the Cholesky factor of Σ: its rows
are put in the new order, and rotations of neighbouring columns make the matrix triangular again
(Golub & Van Loan 2013, section 6.5.2). That is as accurate as it can be, and takes fewer products
than a factorization where few entries are missing.
"""

from __future__ import annotations

import math

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRICES, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.instructions import ROWS_AT_ONCE
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
from em_toolkit.kernels.products import set_squared_norms
from em_toolkit.kernels.vectorized import softmax
from em_toolkit.statistics import Array, IntArray

_LOG_2_PI = math.log(2.0 * math.pi)
# Rows of a run from which on loops over rows are faster than loops over features,
_TOGETHER = 6
# and from which on the run has panels of its own, of its observed features alone.
_LONG = 16


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
        source, target = upper[row], out[row]
        for column in range(n_features):
            # Zeros below the diagonal of the natural order come along.
            target[column] = source[order[column]]
    for column in range(n_observed):
        # A column reaches down to its old place. As it shrinks to its new one, from below, those
        # of missing features that are crossed grow by a row: in the end by one for each observed
        # feature behind them.
        for row in range(order[column] - 1, column - 1, -1):
            upper_row, lower_row = out[row], out[row + 1]
            a, b = upper_row[column], lower_row[column]
            length = math.sqrt(a * a + b * b)
            inverse = 1.0 / length
            c, s = a * inverse, b * inverse
            upper_row[column], lower_row[column] = length, 0.0
            for k in range(column + 1, n_features):
                left, right = upper_row[k], lower_row[k]
                upper_row[k] = c * left + s * right
                lower_row[k] = c * right - s * left


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


@summing
def end_of_short_runs(X: Array, start: int, stop: int) -> int:
    """Up to which row, and no further than `stop`, runs from `start` on are short."""
    while start < stop:
        end = end_of_pattern(X, start, min(start + _LONG, X.shape[0]))
        if end - start >= _LONG:
            return start
        start = end
    return stop


@summing
def load_some(X: Array, start: int, n_rows: int, features: IntArray, panel: Array) -> None:
    """Some features of rows as the rows of a panel, filled up with the last of them.

    Parameters
    ----------
    X : ndarray of shape (n_rows_of_the_block, n_features)
    start, n_rows : int
    features : ndarray of shape (n_chosen,)
    panel : ndarray of shape (>= n_chosen, >= n_rows)
        Rows beyond the chosen features become zero.
    """
    for j in range(panel.shape[0]):
        row = panel[j]
        if j < features.shape[0]:
            feature = features[j]
            for i in range(n_rows):
                row[i] = X[start + i, feature]
            for i in range(n_rows, panel.shape[1]):
                row[i] = row[n_rows - 1]
        else:
            for i in range(panel.shape[1]):
                row[i] = 0.0


@summing
def gather_mean(mean: Array, features: IntArray, out: Array) -> None:
    """The mean of some features, and zeros behind it."""
    for j in range(features.shape[0]):
        out[j] = mean[features[j]]
    for j in range(features.shape[0], out.shape[0]):
        out[j] = 0.0


@summing
def invert_triangle(triangle: Array, n_observed: int, inverse: Array) -> None:
    """T_oo⁻¹, lower triangular, from Tᵀ; what lies beyond becomes zero."""
    for j in range(inverse.shape[0]):
        for m in range(inverse.shape[1]):
            inverse[j, m] = 0.0
    for j in range(n_observed):
        row, pivot = inverse[j], 1.0 / triangle[j, j]
        for m in range(j):
            factor, above = triangle[m, j], inverse[m]
            for column in range(m + 1):
                row[column] -= factor * above[column]
        for column in range(j):
            row[column] *= pivot
        row[j] = pivot


@summing
def set_regression(triangle: Array, n_observed: int, inverse: Array, out: Array) -> None:
    """T_mo T_oo⁻¹, of shape (>= n_missing, >= n_observed)."""
    for number in range(triangle.shape[0] - n_observed):
        row = out[number]
        for column in range(n_observed):
            row[column] = 0.0
        for m in range(n_observed):
            factor, above = triangle[m, n_observed + number], inverse[m]
            for column in range(m + 1):
                row[column] += factor * above[column]


@summing
def add_regressed_moments(
    order: IntArray,
    n_observed: int,
    regression: Array,
    first: Array,
    second: Array,
    products: Array,
    all_first: Array,
    all_second: Array,
) -> None:
    """Moments of complete rows, from those of the observed features o: with R = T_mo T_oo⁻¹,

    those of x_m are R times those of x_o.

    Parameters
    ----------
    order : ndarray of shape (n_features,)
    n_observed : int
    regression : ndarray of shape (>= n_missing, >= n_observed)
    first, second : ndarray of shape (>= n_observed,) and (>= n_observed, >= n_observed)
        Of the observed features; of `second` the lower triangle.
    products : ndarray of shape (>= n_missing, >= n_observed)
        Scratch.
    all_first, all_second : ndarray of shape (>= n_features,) and (>= n_features, >= n_features)
        Added to; of `all_second` the lower triangle.
    """
    n_missing = order.shape[0] - n_observed
    for j in range(n_observed):
        all_first[order[j]] += first[j]
        for m in range(j + 1):
            # The observed features ascend.
            all_second[order[j], order[m]] += second[j, m]
            second[m, j] = second[j, m]
    for number in range(n_missing):
        feature, coefficients, row = (
            order[n_observed + number],
            regression[number],
            products[number],
        )
        total = 0.0
        for m in range(n_observed):
            total += coefficients[m] * first[m]
            row[m] = 0.0
        all_first[feature] += total
        for m in range(n_observed):
            coefficient, moment = coefficients[m], second[m]
            for column in range(n_observed):
                row[column] += coefficient * moment[column]
        for m in range(n_observed):
            all_second[max(feature, order[m]), min(feature, order[m])] += row[m]
        for other in range(number + 1):
            product, coefficients = 0.0, regression[other]
            for m in range(n_observed):
                product += row[m] * coefficients[m]
            all_second[feature, order[n_observed + other]] += product


@kernel(MATRIX, VECTOR, MATRIX, MATRICES, VECTOR, INTEGER, INTEGER)
def expectation(
    X: Array,
    weights: Array,
    means: Array,
    uppers: Array,
    log_weights: Array,
    width: int,
    longest: int,
) -> Array:
    """The sums of the E-step over a block of rows with NaN entries.

    A long run has panels of its own, which hold its observed features alone: its rows then cost
    what complete rows of so many features do. Short runs share panels.

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
        Rows in a panel of short runs, a multiple of `ROWS_AT_ONCE`.
    longest : int
        Rows in a panel of one run, a multiple of `ROWS_AT_ONCE` and no fewer than `width`.

    Returns
    -------
    sums : ndarray
        Entropy, log evidence and weight; the count of each component; first moments as `means`;
        second moments of shape (n_components, n_padded, n_padded).
    """
    (n_components, n_padded), n_features = means.shape, X.shape[1]
    n_matrices = uppers.shape[0]
    numbers = np.zeros(2 * n_components * longest)
    panel_weights, log_evidence, entropy = np.empty(longest), np.empty(longest), np.empty(longest)
    scratch = np.empty((2, longest))
    strips, indices = np.empty((n_padded + 5) * longest), np.empty(longest, np.int64)
    rest, center = np.empty((n_padded, longest)), np.zeros(n_padded)
    bounds, n_observed = np.empty(width + 1, np.int64), np.empty(width, np.int64)
    orders = np.empty((width, n_features), np.int64)
    triangles = np.empty((width, n_matrices, n_features, n_features))
    entropies = np.empty((width, n_matrices))
    expected = np.zeros((n_components, n_padded, width))
    of_observed = np.empty(n_padded)
    inverses = np.empty(n_matrices * n_padded**2)
    moment, products = np.empty(n_padded**2), np.empty((n_features, n_padded))
    regression, first_moment = np.empty((n_features, n_padded)), np.empty(n_padded)

    a, b = 3 + n_components, 3 + n_components + means.size
    size = n_components * n_padded**2
    run, total = np.zeros(b + size), np.zeros(b + size)
    rows, count = run[:3], run[3:a]
    first, second = (
        run[a:b].reshape(means.shape),
        run[b:].reshape((n_components, n_padded, n_padded)),
    )
    start, number = 0, 0
    while start < X.shape[0]:
        stop = end_of_short_runs(X, start, min(start + width, X.shape[0]))
        is_long = stop == start
        if is_long:
            stop = end_of_pattern(X, start, min(start + longest, X.shape[0]))
        n_rows = stop - start
        # A long run's panel is as narrow as it can be.
        n_columns = -(-n_rows // ROWS_AT_ONCE) * ROWS_AT_ONCE if is_long else width
        log_joint = numbers[: n_components * n_columns].reshape((n_components, n_columns))
        shares = numbers[numbers.size // 2 :][: n_components * n_columns].reshape(
            (n_components, n_columns)
        )
        observed = order_features(X[start], orders[0])
        even = observed + observed % 2
        panel = strips[:0].reshape((0, n_columns))
        inverse = inverses[: n_matrices * even**2].reshape((n_matrices, even, even))
        n_runs = 1
        if is_long:
            bounds[0], bounds[1], n_observed[0] = 0, n_rows, observed
            panel = rest.reshape(rest.size)[: even * n_columns].reshape((even, n_columns))
            load_some(X, start, n_rows, orders[0, :observed], panel)
            for matrix in range(n_matrices):
                triangle = triangles[0, matrix]
                triangularize(uppers[matrix], orders[0], observed, triangle)
                invert_triangle(triangle, observed, inverse[matrix])
                of_missing = log_determinant(triangle, observed, n_features)
                n_missing = n_features - observed
                entropies[0, matrix] = 0.5 * (n_missing * (1.0 + _LOG_2_PI) + of_missing)
            for k in range(n_components):
                matrix = k % n_matrices
                gather_mean(means[k], orders[0, :observed], of_observed)
                set_squared_norms(inverse[matrix], of_observed[:even], panel, log_joint[k])
                constant = observed * _LOG_2_PI + log_determinant(triangles[0, matrix], 0, observed)
                for i in range(n_columns):
                    log_joint[k, i] = log_weights[k] - 0.5 * (constant + log_joint[k, i])
        else:
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
                for i in range(n_rows, n_columns):
                    log_joint[k, i] = log_joint[k, n_rows - 1]
        load_weights(weights[:stop], start, panel_weights[:n_columns])
        softmax(
            log_joint, shares, log_evidence[:n_columns], entropy[:n_columns], scratch[:, :n_columns]
        )
        weigh(
            shares,
            panel_weights[:n_columns],
            log_evidence[:n_columns],
            entropy[:n_columns],
            rows,
        )
        add_totals(shares, count)
        rows[0] += add_conditional_covariances(
            n_runs, bounds, n_observed, orders, triangles, entropies, shares, second
        )
        for k in range(n_components):
            if not is_long:
                add_moments_of_some(
                    expected[k], center, shares[k], strips, indices, first[k], second[k]
                )
                continue
            matrix = k % n_matrices
            gather_mean(means[k], orders[0, :observed], of_observed)
            of_moment = moment[: even**2].reshape((even, even))
            of_moment[:] = 0.0
            first_moment[:] = 0.0
            add_moments_of_some(
                panel,
                of_observed[:even],
                shares[k],
                strips,
                indices,
                first_moment[:even],
                of_moment,
            )
            set_regression(triangles[0, matrix], observed, inverse[matrix], regression)
            add_regressed_moments(
                orders[0],
                observed,
                regression,
                first_moment,
                of_moment,
                products,
                first[k],
                second[k],
            )
        start, number = stop, number + 1
        end_of_run(number - 1, number if start == X.shape[0] else number + 1, run, total)
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

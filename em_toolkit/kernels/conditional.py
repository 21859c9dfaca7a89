"""Missing entries given the rest, of as many patterns at a time as a register holds numbers.

With P = Σ⁻¹, m what a pattern misses and o the rest, the conditional covariance is C = P_mm⁻¹, and

    log |Σ_oo| = log |Σ| + log |P_mm|,    E[x_m | x_o] − μ_m = −C P_mo (x_o − μ_o).

Where few entries of a row are missing these are small problems, one for each pattern and matrix.
Each lane of a vector holds that of another pattern, so that all of a register works however few
the entries are. C grows by a feature at a time, which is the sweep operator (Goodnight 1979, The
American Statistician 33; Little & Rubin 2002, section 7.4.3), and the pivots on the way multiply
to |P_mm|.

Lanes whose pattern misses fewer entries than another's are filled up with a feature that does not
exist, at the end of P: independent of all others and of itself, and of variance one.
"""

from __future__ import annotations

import math
from typing import Any

from em_toolkit.kernels.compiling import summing
from em_toolkit.kernels.instructions import (
    DEPTH,
    LANES,
    ROWS_AT_ONCE,
    Code,
    Sum,
    Value,
    Vectors,
    emitted,
)
from em_toolkit.statistics import Array, IntArray


@emitted
def set_conditional_covariances(
    code: Code,
    precision: Vectors,
    diagonal: Vectors,
    log_diagonal: Vectors,
    missing: Vectors,
    covariances: Vectors,
    inflations: Vectors,
    scratch: Vectors,
    lane: Value,
    group: Value,
    count: Value,
) -> None:
    """Set C of the patterns in the lanes from `lane` on, and three numbers of each lane.

    The first is Σ_a (C_aa P_aa)²: C_aa P_aa is by how much the variance of a missing entry is
    inflated because others are missing too, and at most so many times a few roundings is the
    relative error of C. The others are Π_a P_aa / pivot_a and Σ_a log P_aa, whose difference in
    logarithms is log |P_mm|.

    Parameters
    ----------
    code : Code
    precision : Vectors of shape (n_padded + 1, n_padded + 1)
        P, and zeros behind it for the feature that does not exist.
    diagonal, log_diagonal : Vectors of shape (n_padded + 1,)
        The diagonal of P, one for the feature that does not exist, and its logarithms.
    missing : Vectors of int64 of shape (> count, n_slots)
        The features that each lane misses, as `list_missing` sets them.
    covariances : Vectors of shape (n_slots / LANES, >= count, >= count, LANES)
        C of each lane is set.
    inflations : Vectors of shape (3, n_slots)
        The three numbers of each lane are set.
    scratch : Vectors of shape (3, >= count, LANES)
    lane, group : int64
        The first lane, and its number divided by `LANES`.
    count : int64
        How many features each of these lanes misses, with those that fill it up.
    """
    lanes = code.after(lane, LANES)
    inflation, shrinkage, log_squares = Sum(code), Sum(code), Sum(code)
    shrinkage.add(code.one)
    with code.steps(count, 1) as k:
        features = missing.numbers(k, lanes)
        row = precision.multiples(features)
        square, pivot = diagonal.gathered(features), Sum(code)
        pivot.add(square)
        log_squares.add(log_diagonal.gathered(features))
        scratch.set_vector(square, code.index(2), k, code.index(0))
        with code.steps(k, 1) as c:
            entry = precision.gathered(code.sums(row, missing.numbers(c, lanes)))
            scratch.set_vector(entry, code.index(0), c, code.index(0))
        with code.steps(k, 1) as a:
            total = Sum(code)
            with code.steps(k, 1) as c:
                entry = scratch.vector(code.index(0), c, code.index(0))
                total.add_product(covariances.vector(group, a, c, code.index(0)), entry)
            coefficient = code.negative(total.value)
            scratch.set_vector(coefficient, code.index(1), a, code.index(0))
            entry = scratch.vector(code.index(0), a, code.index(0))
            pivot.add_product(coefficient, entry)
        variance = code.divide(code.one, pivot.value)
        shrinkage.multiply(code.multiply(square, variance))
        covariances.set_vector(variance, group, k, k, code.index(0))
        with code.steps(k, 1) as a:
            coefficient = scratch.vector(code.index(1), a, code.index(0))
            covariance = code.multiply(coefficient, variance)
            covariances.set_vector(covariance, group, a, k, code.index(0))
            covariances.set_vector(covariance, group, k, a, code.index(0))
            with code.steps(code.after(a, 2)[1], 1) as c:
                other = scratch.vector(code.index(1), c, code.index(0))
                old = covariances.vector(group, a, c, code.index(0))
                new = code.add(old, code.multiply(covariance, other))
                covariances.set_vector(new, group, a, c, code.index(0))
                covariances.set_vector(new, group, c, a, code.index(0))
    with code.steps(count, 1) as a:
        variance = covariances.vector(group, a, a, code.index(0))
        square = scratch.vector(code.index(2), a, code.index(0))
        factor = code.multiply(variance, square)
        inflation.add_product(factor, factor)
    for number, total in enumerate([inflation, shrinkage, log_squares]):
        inflations.set_vector(total.value, code.index(number), lane)


@emitted
def set_expectations(
    code: Code,
    products: Vectors,
    missing: Vectors,
    rows: Vectors,
    covariances: Vectors,
    expected: Vectors,
    scratch: Vectors,
    lane: Value,
    group: Value,
    count: Value,
) -> None:
    """Set −C P_mo (x_o − μ_o) of the row of each lane from `lane` on.

    Parameters
    ----------
    code : Code
    products : Vectors of shape (n_padded + 1, width)
        P (x − μ), with zero in the place of x − μ where x misses.
    missing, covariances, lane, group, count
        As in `set_conditional_covariances`.
    rows : Vectors of int64 of shape (n_slots,)
        The row of each lane, counted from the first of the panel.
    expected : Vectors of shape (n_padded + 1, width)
        The missing entries of these rows are set.
    scratch : Vectors of shape (>= 1, >= count, LANES)
    """
    lanes = code.after(lane, LANES)
    columns = rows.at(lanes)
    with code.steps(count, 1) as b:
        places = code.sums(products.multiples(missing.numbers(b, lanes)), columns)
        scratch.set_vector(products.gathered(places), code.index(0), b, code.index(0))
    with code.steps(count, 1) as a:
        total = Sum(code)
        with code.steps(count, 1) as b:
            entry = scratch.vector(code.index(0), b, code.index(0))
            total.add_product(covariances.vector(group, a, b, code.index(0)), entry)
        places = code.sums(expected.multiples(missing.numbers(a, lanes)), columns)
        expected.scatter(code.negative(total.value), places)


def _set_regressions(depth: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        coefficients: Vectors,
        sources: Vectors,
        targets: Vectors,
        deviations: Vectors,
        count: Value,
        a: Value,
        i: Value,
    ) -> None:
        """δ_ti = Σ_j B_aj δ_ji for the targets t of two a, some sources j and some rows i."""
        numbers, rows = code.after(a, 2), code.registers(i, depth)
        sums = [[Sum(code) for _ in rows] for _ in numbers]
        with code.steps(count, 1) as j:
            source = sources.number(j)
            columns = [deviations.vector(source, row) for row in rows]
            for number, totals in zip(numbers, sums, strict=True):
                coefficient = coefficients.broadcast(number, j)
                for total, column in zip(totals, columns, strict=True):
                    total.add_product(coefficient, column)
        for number, totals in zip(numbers, sums, strict=True):
            feature = targets.number(number)
            for total, row in zip(totals, rows, strict=True):
                deviations.set_vector(total.value, feature, row)

    return _emit


_set_regressions_of_registers, _set_regressions_of_one = (
    _set_regressions(DEPTH),
    _set_regressions(1),
)


@summing
def set_regressions(
    coefficients: Array,
    sources: IntArray,
    n_sources: int,
    targets: IntArray,
    n_targets: int,
    start: int,
    stop: int,
    deviations: Array,
) -> None:
    """Set some features of rows to linear functions of others.

    Parameters
    ----------
    coefficients : ndarray of shape (> n_targets, >= n_sources)
    sources : ndarray of int of shape (>= n_sources,)
        The features that are known.
    n_sources : int
    targets : ndarray of int of shape (> n_targets,)
        The features to set. What is behind the last is overwritten.
    n_targets : int
    start, stop : int
        The rows; `LANES` or more.
    deviations : ndarray of shape (n_features + 1, width)
        The last feature, which does not exist, is overwritten.
    """
    if n_targets % 2 == 1:
        targets[n_targets] = deviations.shape[0] - 1
        for j in range(n_sources):
            coefficients[n_targets, j] = 0.0
    # The last rows are those before the end, be some of them done already.
    if stop - start >= ROWS_AT_ONCE:
        for i in range(start, stop, ROWS_AT_ONCE):
            row = min(i, stop - ROWS_AT_ONCE)
            for a in range(0, n_targets, 2):
                _set_regressions_of_registers(
                    coefficients, sources, targets, deviations, n_sources, a, row
                )
    else:
        for i in range(start, stop, LANES):
            row = min(i, stop - LANES)
            for a in range(0, n_targets, 2):
                _set_regressions_of_one(
                    coefficients, sources, targets, deviations, n_sources, a, row
                )


@emitted
def add_conditional_covariances(
    code: Code,
    covariances: Vectors,
    missing: Vectors,
    shares: Vectors,
    second: Vectors,
    lane: Value,
    group: Value,
    count: Value,
) -> None:
    """Add r C of each lane from `lane` on to S_mm, in its lower triangle.

    Parameters
    ----------
    code : Code
    covariances, missing, lane, group, count
        As in `set_conditional_covariances`.
    shares : Vectors of shape (>= n_slots,)
        r, the sum of the shares of each lane's rows.
    second : Vectors of shape (n_padded + 1, n_padded + 1)
        S; added to.
    """
    lanes = code.after(lane, LANES)
    share = shares.vector(lane)
    with code.steps(count, 1) as a:
        # The features of a pattern ascend.
        row = second.multiples(missing.numbers(a, lanes))
        with code.steps(code.after(a, 2)[1], 1) as c:
            term = code.multiply(share, covariances.vector(group, a, c, code.index(0)))
            second.add_scattered(term, code.sums(row, missing.numbers(c, lanes)))


@summing
def orthogonalize(
    factor: Array,
    missing: IntArray,
    lane: int,
    count: int,
    most: int,
    columns: Array,
    triangle: Array,
    covariances: Array,
) -> float:
    """C of one lane by orthogonalization of columns of L⁻¹; returns log |P_mm|.

    With L⁻¹_m = Q R, P_mm = RᵀR: no product is formed, which would square how ill-conditioned the
    columns are (modified Gram-Schmidt: Golub & Van Loan 2013, section 5.2.8).

    Parameters
    ----------
    factor : ndarray of shape (n_features, n_features)
        L⁻¹.
    missing : ndarray of shape (>= count, n_slots)
    lane : int
    count, most : int
        How many features the lane misses, and with what fills it up.
    columns : ndarray of shape (>= count, n_features)
        Scratch.
    triangle : ndarray of shape (>= count, >= count)
        Scratch.
    covariances : ndarray of shape (n_slots / LANES, >= count, >= count, LANES)
        C of the lane is set.
    """
    n_features, log_determinant = factor.shape[0], 0.0
    for a in range(count):
        for j in range(n_features):
            columns[a, j] = factor[j, missing[a, lane]]
    for a in range(count):
        squares = 0.0
        for j in range(n_features):
            squares += columns[a, j] ** 2
        length = math.sqrt(squares)
        log_determinant += 2.0 * math.log(length)
        triangle[a, a] = length
        for j in range(n_features):
            columns[a, j] /= length
        for c in range(a + 1, count):
            product = 0.0
            for j in range(n_features):
                product += columns[a, j] * columns[c, j]
            triangle[a, c] = product
            for j in range(n_features):
                columns[c, j] -= product * columns[a, j]
    # R⁻¹ in the place of R, column after column.
    for c in range(count):
        pivot = 1.0 / triangle[c, c]
        for a in range(c):
            total = 0.0
            for b in range(a, c):
                total += triangle[a, b] * triangle[b, c]
            triangle[a, c] = -total * pivot
        triangle[c, c] = pivot
    group, place = lane // LANES, lane % LANES
    for a in range(count, most):
        for c in range(a):
            covariances[group, a, c, place] = covariances[group, c, a, place] = 0.0
    for a in range(count):
        for c in range(a + 1):
            product = 0.0
            for b in range(a, count):
                product += triangle[a, b] * triangle[c, b]
            covariances[group, a, c, place] = covariances[group, c, a, place] = product
    return log_determinant

"""Panels of rows with missing entries, completed given each component.

The mathematics is that of `em_toolkit.covariances.completion`, in terms of P = Σ⁻¹ (`conditional`).
Given a component, a row is completed by the expectation of what it misses, which is where the
squared distance |L⁻¹ (x − μ)|² is least: and that least distance is the one of the observed
entries alone. So completed rows are whitened, and their moments taken, as complete ones are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from em_toolkit.kernels.compiling import allocating, summing
from em_toolkit.kernels.conditional import (
    orthogonalize,
    set_conditional_covariances,
    set_expectations,
    set_regressions,
)
from em_toolkit.kernels.instructions import LANES, ROWS_AT_ONCE
from em_toolkit.kernels.lanes import deal, list_missing, most_lanes, survey
from em_toolkit.kernels.panels import new_panel
from em_toolkit.kernels.products import set_log_densities, set_products
from em_toolkit.kernels.vectorized import subtract_logarithms
from em_toolkit.statistics import Array, BoolArray, IntArray

_LOG_2_PI = math.log(2.0 * math.pi)
# Numbers to work on at a time: what the caches hold.
_NUMBERS = 2**18
_LARGEST_PRODUCT = 1e300


class Space(NamedTuple):
    """A panel, and what is found of it."""

    # The rows, of shape (n_padded, width), and the deviations from each mean with expectations in
    # the place of what is missing; behind the features, one that does not exist.
    panel: Array
    expected: Array
    products: Array
    # Which rows of the block miss other entries than the one before.
    changes: BoolArray
    # The lanes: their rows, and what they miss.
    starts: IntArray
    stops: IntArray
    missing: IntArray
    n_missing: IntArray
    most: IntArray
    # By matrix and lane.
    covariances: Array
    inflations: Array
    is_orthogonalized: IntArray
    # By matrix and row: ½ (|m| log 2π + log |C|), and |m|/2.
    log_volumes: Array
    half_missing: Array
    # By component of constant density and row: the logarithms of the sides that x misses.
    log_sides: Array
    # The diagonals of P, by matrix, and their logarithms.
    diagonals: Array
    log_diagonals: Array
    scratch: Array
    entries: Array
    columns: Array
    triangle: Array
    sources: IntArray
    targets: IntArray
    center: Array


@allocating
def space_for(X: Array, means: Array, precisions: Array, log_sides: Array, widest: int) -> Space:
    """Return the space for panels of as many rows as the caches hold.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        The block, NaN where an entry is missing.
    means : ndarray of shape (n_components, n_padded)
    precisions : ndarray of shape (n_matrices, n_padded + 1, n_padded + 1)
    log_sides : ndarray of shape (n_unlike, n_features)
        The last two as in `incomplete.expectation`.
    widest : int
        Rows in a panel at most, a multiple of `ROWS_AT_ONCE`.
    """
    n_components, n_padded = means.shape
    n_matrices, changes = precisions.shape[0], np.empty(X.shape[0], np.bool_)
    most = survey(X, changes)
    width = widest
    n_slots = -(-most_lanes(changes, width) // LANES) * LANES
    while (
        n_matrices * n_slots * most * most + n_components * n_padded * width > _NUMBERS
        and width > ROWS_AT_ONCE
    ):
        width = -(-width // (2 * ROWS_AT_ONCE)) * ROWS_AT_ONCE
        n_slots = -(-most_lanes(changes, width) // LANES) * LANES
    diagonals = np.ones((n_matrices, n_padded + 1))
    for matrix in range(n_matrices):
        for j in range(X.shape[1]):
            diagonals[matrix, j] = precisions[matrix, j, j]
    return Space(
        new_panel(n_padded, width),
        new_panel(n_components * (n_padded + 1), width).reshape(
            (n_components, n_padded + 1, width)
        ),
        new_panel(n_padded + 1, width),
        changes,
        np.zeros(n_slots, np.int64),
        np.zeros(n_slots, np.int64),
        np.empty((most + 1, n_slots), np.int64),
        np.zeros(n_slots, np.int64),
        np.zeros(n_slots // LANES, np.int64),
        np.empty((n_matrices, n_slots // LANES, most, most, LANES)),
        np.empty((3, n_slots)),
        np.zeros((n_matrices, n_slots), np.int64),
        new_panel(n_matrices, width),
        np.empty(width),
        new_panel(log_sides.shape[0], width),
        diagonals,
        np.log(diagonals),
        np.empty((3, most, LANES)),
        np.empty((most + 1, n_padded)),
        np.empty((most + 1, n_padded)),
        np.empty((most, most)),
        np.empty(n_padded, np.int64),
        np.empty(most + 1, np.int64),
        np.zeros(n_padded),
    )


@summing
def set_patterns(
    space: Space,
    start: int,
    n_features: int,
    factors: Array,
    precisions: Array,
    largest_inflation: float,
) -> int:
    """Set what the patterns of a panel say of their missing entries; return the number of lanes.

    Parameters
    ----------
    space : Space
    start : int
        The first row of the panel.
    n_features : int
    factors : ndarray of shape (n_matrices, n_padded, n_padded)
        L⁻¹.
    precisions : ndarray of shape (n_matrices, n_padded + 1, n_padded + 1)
        L⁻ᵀ L⁻¹, and zeros behind it.
    largest_inflation : float
        Of the variances of a pattern, beyond which its columns of L⁻¹ are orthogonalized.
    """
    panel, missing, n_missing = space.panel[:n_features], space.missing, space.n_missing
    starts, stops = space.starts, space.stops
    n_lanes = deal(space.changes, start, panel.shape[1], starts, stops)
    none = precisions.shape[1] - 1
    list_missing(panel, none, n_lanes, starts, missing, n_missing, space.most)
    for lane in range(n_lanes):
        space.half_missing[starts[lane] : stops[lane]] = 0.5 * n_missing[lane]
    n_groups = (n_lanes + LANES - 1) // LANES
    inflations, shrinkages, log_squares = (
        space.inflations[0],
        space.inflations[1],
        space.inflations[2],
    )
    for matrix in range(factors.shape[0]):
        covariances, volumes = space.covariances[matrix], space.log_volumes[matrix]
        for group in range(n_groups):
            set_conditional_covariances(
                precisions[matrix],
                space.diagonals[matrix],
                space.log_diagonals[matrix],
                missing,
                covariances,
                space.inflations,
                space.scratch,
                group * LANES,
                group,
                space.most[group],
            )
        for group in range(n_groups):
            subtract_logarithms(shrinkages, log_squares, group * LANES)
        for lane in range(n_lanes):
            log_determinant, most = log_squares[lane], space.most[lane // LANES]
            is_bad = not inflations[lane] <= most + largest_inflation**2
            # Of many hundred factors, each of them sound.
            is_bad |= not shrinkages[lane] <= _LARGEST_PRODUCT
            space.is_orthogonalized[matrix, lane] = is_bad
            if is_bad:
                log_determinant = orthogonalize(
                    factors[matrix],
                    missing,
                    lane,
                    n_missing[lane],
                    most,
                    space.columns,
                    space.triangle,
                    covariances,
                )
            volume = 0.5 * (n_missing[lane] * _LOG_2_PI - log_determinant)
            volumes[starts[lane] : stops[lane]] = volume
    return n_lanes


@summing
def _set_deviations(panel: Array, mean: Array, out: Array) -> None:
    """Set `out` to x − μ, zero where x is NaN."""
    for j in range(panel.shape[0]):
        feature, deviations, center = panel[j], out[j], mean[j]
        for i in range(panel.shape[1]):
            deviation = feature[i] - center
            deviations[i] = deviation if deviation == deviation else 0.0


@summing
def _complete_run(
    space: Space, lane: int, factor: Array, precision: Array, matrix: int, expected: Array
) -> None:
    """Set the rows of one lane to x̂ − μ, by coefficients B = −C P_mo found once for all."""
    covariances, count = space.covariances[matrix], space.n_missing[lane]
    sources, targets, coefficients = space.sources, space.targets, space.columns
    group, place, n_sources = lane // LANES, lane % LANES, 0
    for j in range(factor.shape[0]):
        known = j - n_sources
        if known < count and space.missing[known, lane] == j:
            targets[known] = j
        else:
            sources[n_sources] = j
            n_sources += 1
    for b in range(count):
        row, entries = precision[targets[b]], space.entries[b]
        for j in range(n_sources):
            entries[j] = row[sources[j]]
    for a in range(count):
        of_a = coefficients[a]
        for j in range(n_sources):
            of_a[j] = 0.0
        for b in range(count):
            covariance, entries = covariances[group, a, b, place], space.entries[b]
            for j in range(n_sources):
                of_a[j] -= covariance * entries[j]
    if space.is_orthogonalized[matrix, lane]:
        _refine_coefficients(space, lane, n_sources, factor, covariances)
    set_regressions(
        coefficients,
        sources,
        n_sources,
        targets,
        count,
        space.starts[lane],
        space.stops[lane],
        expected,
    )


@summing
def _refine_coefficients(
    space: Space, lane: int, n_sources: int, factor: Array, covariances: Array
) -> None:
    """Refine what each observed feature adds to the expectations of a lane, as `_refine` does."""
    whitened, gradient, coefficients = space.entries[0], space.triangle[0], space.columns
    count, n_features = space.n_missing[lane], factor.shape[0]
    group, place = lane // LANES, lane % LANES
    for j in range(n_sources):
        for row in range(n_features):
            total = factor[row, space.sources[j]]
            for a in range(count):
                total += factor[row, space.targets[a]] * coefficients[a, j]
            whitened[row] = total
        for a in range(count):
            total = 0.0
            for row in range(n_features):
                total += factor[row, space.targets[a]] * whitened[row]
            gradient[a] = total
        for a in range(count):
            for b in range(count):
                coefficients[a, j] -= covariances[group, a, b, place] * gradient[b]


@summing
def _refine(space: Space, lane: int, factor: Array, covariances: Array, expected: Array) -> None:
    """Correct the expectations of one row by L⁻¹: δ_m − C (L⁻¹_m)ᵀ L⁻¹ δ.

    Where the columns L⁻¹_m are ill-conditioned that brings back the digits that their product lost
    (corrected seminormal equations: Björck 1987, Linear Algebra Appl. 88).
    """
    whitened, gradient = space.columns[0], space.triangle[0]
    count, i = space.n_missing[lane], space.starts[lane]
    group, place = lane // LANES, lane % LANES
    for j in range(factor.shape[0]):
        total = 0.0
        for m in range(j + 1):
            total += factor[j, m] * expected[m, i]
        whitened[j] = total
    for a in range(count):
        total = 0.0
        for j in range(factor.shape[0]):
            total += factor[j, space.missing[a, lane]] * whitened[j]
        gradient[a] = total
    for a in range(count):
        for b in range(count):
            correction = covariances[group, a, b, place] * gradient[b]
            expected[space.missing[a, lane], i] -= correction


@summing
def complete(
    space: Space,
    n_lanes: int,
    n_features: int,
    mean: Array,
    factor: Array,
    precision: Array,
    matrix: int,
    expected: Array,
) -> None:
    """Set `expected` to x − μ with the expectation of what is missing, for one component.

    Parameters
    ----------
    space : Space
    n_lanes, n_features : int
    mean : ndarray of shape (n_padded,)
    factor, precision : ndarray
        Those of the component, as in `set_patterns`.
    matrix : int
        Their number.
    expected : ndarray of shape (n_padded + 1, width)
    """
    n_padded = mean.shape[0]
    covariances = space.covariances[matrix]
    deviations = expected[:n_padded]
    _set_deviations(space.panel, mean, deviations)
    done, n_groups = 0, (n_lanes + LANES - 1) // LANES
    for group in range(n_groups):
        first, last = group * LANES, min(group * LANES + LANES, n_lanes)
        if space.most[group] == 0:
            continue
        is_single = False
        for lane in range(first, last):
            is_single |= space.stops[lane] == space.starts[lane] + 1
        if is_single:
            # Products of a few rows at a time, for those of which there are lanes.
            begin = max(done, space.starts[first] // ROWS_AT_ONCE * ROWS_AT_ONCE)
            for i in range(begin, space.stops[last - 1], ROWS_AT_ONCE):
                set_products(precision, deviations, i, space.products[:n_padded])
                done = i + ROWS_AT_ONCE
            set_expectations(
                space.products,
                space.missing,
                space.starts,
                covariances,
                expected,
                space.scratch,
                first,
                group,
                space.most[group],
            )
        for lane in range(first, last):
            if space.stops[lane] > space.starts[lane] + 1:
                _complete_run(space, lane, factor, precision, matrix, expected)
            elif space.is_orthogonalized[matrix, lane]:
                _refine(space, lane, factor, covariances, expected)


@summing
def set_log_joint(
    space: Space,
    start: int,
    n_features: int,
    means: Array,
    factors: Array,
    precisions: Array,
    log_sides: Array,
    constants: Array,
    largest_inflation: float,
    log_joint: Array,
) -> int:
    """Set the log joint density of a loaded panel; return the number of its lanes.

    log p(x_o, k) = c_k + ½ (|m| log 2π + log |C|) − ½ |L_k⁻¹ (x̂ − μ_k)|². The completed rows
    x̂ − μ_k are left in the space. A component without a mean, such as noise, has its constant and
    the sides that x misses.

    Parameters
    ----------
    space : Space
    start : int
        The first row of the panel.
    n_features : int
    means, factors, precisions, log_sides, constants, largest_inflation
        As in `incomplete.expectation`.
    log_joint : ndarray of shape (n_components + n_unlike, width)
        Set.
    """
    n_padded, n_matrices = means.shape[1], factors.shape[0]
    n_lanes = set_patterns(space, start, n_features, factors, precisions, largest_inflation)
    for k in range(means.shape[0]):
        matrix, values = k % n_matrices, log_joint[k]
        factor, expected, volumes = factors[matrix], space.expected[k], space.log_volumes[matrix]
        complete(space, n_lanes, n_features, means[k], factor, precisions[matrix], matrix, expected)
        set_log_densities(factor, space.center, expected[:n_padded], constants, k, values)
        for i in range(values.shape[0]):
            values[i] += volumes[i]
    for unlike in range(log_sides.shape[0]):
        sides, values = space.log_sides[unlike], log_joint[means.shape[0] + unlike]
        for i in range(values.shape[0]):
            sides[i] = 0.0
        for j in range(n_features):
            feature, side = space.panel[j], log_sides[unlike, j]
            for i in range(values.shape[0]):
                sides[i] += side if math.isnan(feature[i]) else 0.0
        for i in range(values.shape[0]):
            values[i] = constants[means.shape[0] + unlike] + sides[i]
    return n_lanes


@summing
def entropy_of_missing(space: Space, shares: Array) -> float:
    """Return Σ_ik r_ik ½ (|m| log 2πe + log |C_k|), and of a constant density the sides.

    Parameters
    ----------
    space : Space
        As `set_log_joint` leaves it.
    shares : ndarray of shape (n_components + n_unlike, width)
        The r_ik, times the weights of the rows.
    """
    total, n_components = 0.0, space.expected.shape[0]
    for k in range(n_components):
        share, volumes = shares[k], space.log_volumes[k % space.log_volumes.shape[0]]
        for i in range(share.shape[0]):
            total += share[i] * (volumes[i] + space.half_missing[i])
    for unlike in range(space.log_sides.shape[0]):
        share, sides = shares[n_components + unlike], space.log_sides[unlike]
        for i in range(share.shape[0]):
            total += share[i] * sides[i]
    return total

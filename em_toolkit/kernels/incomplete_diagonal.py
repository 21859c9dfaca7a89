"""The pass over rows with missing entries, for diagonal and spherical covariances.

What is observed of independent features says nothing of what is missing: a missing entry counts for
nothing in a distance, is expected at the mean, and has the variance of its feature. So no patterns
are needed, only whether an entry is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from em_toolkit.kernels.compiling import INTEGER, MATRIX, VECTOR, kernel, summing
from em_toolkit.kernels.instructions import ROWS_AT_ONCE, Code, Sum, Value, Vectors, emitted
from em_toolkit.kernels.panels import (
    add_totals,
    end_of_run,
    load,
    load_responsibilities,
    load_weights,
    new_panel,
    unload,
)
from em_toolkit.kernels.vectorized import add_posterior
from em_toolkit.statistics import Array


def _set_terms(tile: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        panel: Vectors,
        means: Vectors,
        precisions: Vectors,
        logs: Vectors,
        out: Vectors,
        k: Value,
        i: Value,
    ) -> None:
        """Σ_j p_(k+t)j (x_ji − μ_(k+t)j)² + l_(k+t)j of what is not NaN, t < tile, for some i."""
        components, rows = code.after(k, tile), code.registers(i)
        sums = [[Sum(code) for _ in rows] for _ in components]
        with code.steps(panel.length(0), 1) as j:
            columns = [panel.vector(j, row) for row in rows]
            missing = [code.is_missing(column) for column in columns]
            for component, totals in zip(components, sums, strict=True):
                center = means.broadcast(component, j)
                precision = precisions.broadcast(component, j)
                log = logs.broadcast(component, j)
                for total, column, unknown in zip(totals, columns, missing, strict=True):
                    deviation = code.subtract(column, center)
                    square = code.multiply(deviation, deviation)
                    term = code.add(code.multiply(precision, square), log)
                    total.add(code.select(unknown, code.zero, term))
        for component, totals in zip(components, sums, strict=True):
            for total, row in zip(totals, rows, strict=True):
                out.set_vector(total.value, component, row)

    return _emit


def _add_moments(tile: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        panel: Vectors,
        mean: Vectors,
        share: Vectors,
        first: Vectors,
        second: Vectors,
        missing: Vectors,
        j: Value,
    ) -> None:
        """Sums of r δ and r δ² where x is not NaN, and of r where it is, of features j + t."""
        features = code.after(j, tile)
        centers = [mean.broadcast(feature) for feature in features]
        sums = [(Sum(code), Sum(code), Sum(code)) for _ in features]
        with code.rows(panel) as i:
            weight = share.vector(i)
            for feature, center, (one, two, none) in zip(features, centers, sums, strict=True):
                column = panel.vector(feature, i)
                unknown = code.is_missing(column)
                deviation = code.subtract(column, center)
                deviation = code.select(unknown, code.zero, deviation)
                weighted = code.multiply(weight, deviation)
                one.add(weighted)
                two.add_product(weighted, deviation)
                none.add(code.select(unknown, weight, code.zero))
        for feature, (one, two, none) in zip(features, sums, strict=True):
            first.add_total(one.value, feature)
            second.add_total(two.value, feature)
            missing.add_total(none.value, feature)

    return _emit


_set_terms_4, _set_terms_1 = _set_terms(4), _set_terms(1)
_add_moments_2, _add_moments_1 = _add_moments(2), _add_moments(1)


@summing
def set_log_joint(
    panel: Array,
    means: Array,
    precisions: Array,
    logs: Array,
    log_weights: Array,
    log_joint: Array,
) -> None:
    """Set log π_k − ½ Σ_j [(x_ij − μ_kj)² / σ_kj² + log 2πσ_kj²] over what is observed.

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
        NaN where an entry is missing.
    means, precisions, logs, log_weights
        As in `expectation`.
    log_joint : ndarray of shape (n_components, width)
        Set.
    """
    n_components = means.shape[0]
    fours = n_components // 4 * 4
    for i in range(0, panel.shape[1], ROWS_AT_ONCE):
        for k in range(0, fours, 4):
            _set_terms_4(panel, means, precisions, logs, log_joint, k, i)
        for k in range(fours, n_components):
            _set_terms_1(panel, means, precisions, logs, log_joint, k, i)
    for k in range(n_components):
        row = log_joint[k]
        for i in range(row.shape[0]):
            row[i] = log_weights[k] - 0.5 * row[i]


@summing
def add_moments(
    panel: Array, means: Array, shares: Array, first: Array, second: Array, missing: Array
) -> None:
    """Add the moments about the means of what is observed, and the weight of what is not.

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
        NaN where an entry is missing.
    means : ndarray of shape (n_components, n_features)
    shares : ndarray of shape (n_components, width)
        The r_ik.
    first, second, missing : ndarray of shape (n_components, n_features)
        Sums of r_ik δ, of r_ik δ² with δ = x_ij − μ_kj, and of r_ik; added to.
    """
    n_components, n_features = means.shape
    twos = n_features // 2 * 2
    # A few features at a time of all components: those stay in the nearest cache.
    for j in range(0, twos, 2):
        for k in range(n_components):
            _add_moments_2(panel, means[k], shares[k], first[k], second[k], missing[k], j)
    for j in range(twos, n_features):
        for k in range(n_components):
            _add_moments_1(panel, means[k], shares[k], first[k], second[k], missing[k], j)


@kernel(MATRIX, VECTOR, MATRIX, MATRIX, MATRIX, VECTOR, INTEGER)
def expectation(
    X: Array,
    weights: Array,
    means: Array,
    precisions: Array,
    logs: Array,
    log_weights: Array,
    width: int,
) -> Array:
    """Return the sums of the E-step over a block of rows with NaN entries.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,)
    means, precisions, logs : ndarray of shape (n_components, n_features)
        μ, 1/σ² and log 2πσ².
    log_weights : ndarray of shape (n_components,)
    width : int
        Rows in a panel, a multiple of `ROWS_AT_ONCE`.

    Returns
    -------
    sums : ndarray
        Entropy of the components, log evidence and weight; the count of each component; of the
        shape of the means first and second moments of what is observed, and Σ_i r_ik over the rows
        that miss the feature.
    """
    n_components, n_features = means.shape
    panel, panel_weights = new_panel(n_features, width), new_panel(1, width)[0]
    log_joint, shares = new_panel(n_components, width), new_panel(n_components, width)

    a, size = 3 + n_components, means.size
    run, total = np.zeros(a + 3 * size), np.zeros(a + 3 * size)
    rows, count, first = run[:3], run[3:a], run[a : a + size].reshape(means.shape)
    second = run[a + size : a + 2 * size].reshape(means.shape)
    missing = run[a + 2 * size :].reshape(means.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_weights(weights, number * width, panel_weights)
        set_log_joint(panel, means, precisions, logs, log_weights, log_joint)
        add_posterior(log_joint, panel_weights, shares, rows)
        add_totals(shares, count)
        add_moments(panel, means, shares, first, second, missing)
        end_of_run(number, n_panels, run, total)
    return total


@kernel(MATRIX, MATRIX, MATRIX, INTEGER)
def moments(X: Array, responsibilities: Array, means: Array, width: int) -> Array:
    """Return moments of a block for given responsibilities.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    responsibilities : ndarray of shape (n_rows, n_components)
    means, width
        As in `expectation`.

    Returns
    -------
    sums : ndarray
        As in `expectation`, from the counts on.
    """
    n_components, n_features = means.shape
    panel, shares = new_panel(n_features, width), new_panel(n_components, width)
    a, size = n_components, means.size
    run, total = np.zeros(a + 3 * size), np.zeros(a + 3 * size)
    count, first = run[:a], run[a : a + size].reshape(means.shape)
    second = run[a + size : a + 2 * size].reshape(means.shape)
    missing = run[a + 2 * size :].reshape(means.shape)
    n_panels = (X.shape[0] + width - 1) // width
    for number in range(n_panels):
        load(X, number * width, panel)
        load_responsibilities(responsibilities, number * width, shares)
        add_totals(shares, count)
        add_moments(panel, means, shares, first, second, missing)
        end_of_run(number, n_panels, run, total)
    return total


@kernel(MATRIX, MATRIX, MATRIX, MATRIX, VECTOR, INTEGER)
def log_joint(
    X: Array, means: Array, precisions: Array, logs: Array, log_weights: Array, width: int
) -> Array:
    """Return log p(x_o, k) of a block of rows with NaN entries.

    Parameters
    ----------
    X, means, precisions, logs, log_weights, width
        As in `expectation`.

    Returns
    -------
    log_joint : ndarray of shape (n_rows, n_components)
    """
    panel, values = new_panel(means.shape[1], width), new_panel(means.shape[0], width)
    out = np.empty((X.shape[0], means.shape[0]))
    for start in range(0, X.shape[0], width):
        n_rows = load(X, start, panel)
        set_log_joint(panel, means, precisions, logs, log_weights, values)
        unload(values, start, n_rows, out)
    return out

"""Distances and moments of a panel along the axes.

A panel has a feature in each row of memory, and a width that is a multiple of `ROWS_AT_ONCE`.
"""

from __future__ import annotations

from typing import Any

from em_toolkit.kernels.compiling import summing
from em_toolkit.kernels.instructions import ROWS_AT_ONCE, Code, Sum, Value, Vectors, emitted
from em_toolkit.statistics import Array


def _squared_distances(
    code: Code, panel: Vectors, means: Vectors, components: list[Value], rows: list[Value]
) -> list[list[Sum]]:
    """Σ_j (x_ji − μ_kj)² of some components k and rows i of the data."""
    sums = [[Sum(code) for _ in rows] for _ in components]
    with code.steps(panel.length(0), 1) as j:
        columns = [panel.vector(j, row) for row in rows]
        for component, totals in zip(components, sums, strict=True):
            center = means.broadcast(component, j)
            for total, column in zip(totals, columns, strict=True):
                deviation = code.subtract(column, center)
                total.add_product(deviation, deviation)
    return sums


def _weighted_squared_distances(
    code: Code,
    panel: Vectors,
    means: Vectors,
    precisions: Vectors,
    components: list[Value],
    rows: list[Value],
) -> list[list[Sum]]:
    """Σ_j p_kj (x_ji − μ_kj)² of some components k and rows i of the data."""
    sums = [[Sum(code) for _ in rows] for _ in components]
    with code.steps(panel.length(0), 1) as j:
        columns = [panel.vector(j, row) for row in rows]
        for component, totals in zip(components, sums, strict=True):
            center = means.broadcast(component, j)
            precision = precisions.broadcast(component, j)
            for total, column in zip(totals, columns, strict=True):
                deviation = code.subtract(column, center)
                total.add_product(precision, code.multiply(deviation, deviation))
    return sums


def _set_log_densities_of(
    code: Code,
    constants: Vectors,
    distances: list[list[Sum]],
    components: list[Value],
    rows: list[Value],
    out: Vectors,
) -> None:
    """c_k − ½ d_ki from the distances."""
    half = code.constant(0.5)
    for component, totals in zip(components, distances, strict=True):
        constant = constants.broadcast(component)
        for total, row in zip(totals, rows, strict=True):
            value = code.subtract(constant, code.multiply(half, total.value))
            out.set_vector(value, component, row)


def _set_weighted_log_densities(tile: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        panel: Vectors,
        means: Vectors,
        precisions: Vectors,
        constants: Vectors,
        out: Vectors,
        k: Value,
        i: Value,
    ) -> None:
        """c_(k+t) − ½ Σ_j p_(k+t)j (x_ji − μ_(k+t)j)², t < tile, for some rows i of the data."""
        components, rows = code.after(k, tile), code.registers(i)
        sums = _weighted_squared_distances(code, panel, means, precisions, components, rows)
        _set_log_densities_of(code, constants, sums, components, rows, out)

    return _emit


def _set_log_densities(tile: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        panel: Vectors,
        means: Vectors,
        constants: Vectors,
        out: Vectors,
        k: Value,
        i: Value,
    ) -> None:
        """c_(k+t) − ½ Σ_j (x_ji − μ_(k+t)j)², t < tile, for some rows i of the data."""
        components, rows = code.after(k, tile), code.registers(i)
        sums = _squared_distances(code, panel, means, components, rows)
        _set_log_densities_of(code, constants, sums, components, rows, out)

    return _emit


def _set_distances(tile: int) -> Any:
    @emitted
    def _emit(code: Code, panel: Vectors, means: Vectors, out: Vectors, k: Value, i: Value) -> None:
        """Σ_j (x_ji − μ_(k+t)j)², t < tile, for some rows i of the data."""
        components, rows = code.after(k, tile), code.registers(i)
        sums = _squared_distances(code, panel, means, components, rows)
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
        j: Value,
    ) -> None:
        """f_(j+t) += Σ_i u_ti, s_(j+t) += Σ_i u_ti δ_ti; u = r_i δ, δ_ti = x_(j+t)i − μ_(j+t)."""
        features = code.after(j, tile)
        centers = [mean.broadcast(feature) for feature in features]
        firsts, seconds = [Sum(code) for _ in features], [Sum(code) for _ in features]
        with code.rows(panel) as i:
            weight = share.vector(i)
            for t, feature in enumerate(features):
                deviation = code.subtract(panel.vector(feature, i), centers[t])
                weighted = code.multiply(weight, deviation)
                firsts[t].add(weighted)
                seconds[t].add_product(weighted, deviation)
        for t, feature in enumerate(features):
            first.add_total(firsts[t].value, feature)
            second.add_total(seconds[t].value, feature)

    return _emit


def _add_first_moments(n_components: int, n_features: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        panel: Vectors,
        means: Vectors,
        shares: Vectors,
        first: Vectors,
        k: Value,
        j: Value,
    ) -> None:
        """f_(k+s)(j+t) += Σ_i r_(k+s)i (x_(j+t)i − μ_(k+s)(j+t))."""
        components, features = code.after(k, n_components), code.after(j, n_features)
        tile = [(component, feature) for component in components for feature in features]
        centers = [means.broadcast(*place) for place in tile]
        sums = [Sum(code) for _ in tile]
        with code.rows(panel) as i:
            columns = [panel.vector(feature, i) for feature in features]
            weights = [shares.vector(component, i) for component in components]
            for number, (total, center) in enumerate(zip(sums, centers, strict=True)):
                s, t = divmod(number, n_features)
                total.add_product(weights[s], code.subtract(columns[t], center))
        for total, place in zip(sums, tile, strict=True):
            first.add_total(total.value, *place)

    return _emit


_set_weighted_log_densities_4 = _set_weighted_log_densities(4)
_set_weighted_log_densities_1 = _set_weighted_log_densities(1)
_set_log_densities_4, _set_log_densities_1 = _set_log_densities(4), _set_log_densities(1)
_set_distances_4, _set_distances_1 = _set_distances(4), _set_distances(1)
_add_moments_4, _add_moments_1 = _add_moments(4), _add_moments(1)
_add_first_moments_2_4, _add_first_moments_2_1 = _add_first_moments(2, 4), _add_first_moments(2, 1)
_add_first_moments_1_4, _add_first_moments_1_1 = _add_first_moments(1, 4), _add_first_moments(1, 1)


@summing
def set_weighted_log_densities(
    panel: Array, means: Array, precisions: Array, constants: Array, out: Array
) -> None:
    """Set c_k − ½ Σ_j p_kj (x_ij − μ_kj)² of the components that have a mean.

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
    means, precisions : ndarray of shape (n_components, n_features)
        μ_kj and p_kj = 1/σ_kj².
    constants : ndarray of shape (>= n_components,)
        c_k.
    out : ndarray of shape (>= n_components, width)
        A row for each component, set.
    """
    n_components = means.shape[0]
    fours = n_components // 4 * 4
    for i in range(0, panel.shape[1], ROWS_AT_ONCE):
        for k in range(0, fours, 4):
            _set_weighted_log_densities_4(panel, means, precisions, constants, out, k, i)
        for k in range(fours, n_components):
            _set_weighted_log_densities_1(panel, means, precisions, constants, out, k, i)


@summing
def set_log_densities(panel: Array, means: Array, constants: Array, out: Array) -> None:
    """Set c_k − ½ Σ_j (x_ij − μ_kj)² of the components that have a mean.

    Parameters
    ----------
    panel, means, constants, out
        As in `set_weighted_log_densities`.
    """
    n_components = means.shape[0]
    fours = n_components // 4 * 4
    for i in range(0, panel.shape[1], ROWS_AT_ONCE):
        for k in range(0, fours, 4):
            _set_log_densities_4(panel, means, constants, out, k, i)
        for k in range(fours, n_components):
            _set_log_densities_1(panel, means, constants, out, k, i)


@summing
def set_squared_distances(panel: Array, means: Array, out: Array) -> None:
    """Set `out` to Σ_j (x_ij − μ_kj)².

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
    means : ndarray of shape (n_components, n_features)
    out : ndarray of shape (n_components, width)
    """
    n_components = means.shape[0]
    fours = n_components // 4 * 4
    for i in range(0, panel.shape[1], ROWS_AT_ONCE):
        for k in range(0, fours, 4):
            _set_distances_4(panel, means, out, k, i)
        for k in range(fours, n_components):
            _set_distances_1(panel, means, out, k, i)


@summing
def add_moments(panel: Array, means: Array, shares: Array, first: Array, second: Array) -> None:
    """Add Σ_i r_ik (x_ij − μ_kj) and Σ_i r_ik (x_ij − μ_kj)².

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
    means : ndarray of shape (n_components, n_features)
    shares : ndarray of shape (>= n_components, width)
        The r_ik.
    first, second : ndarray of shape (n_components, n_features)
        The two sums, added to.
    """
    n_components, n_features = means.shape
    fours = n_features // 4 * 4
    # A few features at a time of all components: those stay in the nearest cache.
    for j in range(0, fours, 4):
        for k in range(n_components):
            _add_moments_4(panel, means[k], shares[k], first[k], second[k], j)
    for j in range(fours, n_features):
        for k in range(n_components):
            _add_moments_1(panel, means[k], shares[k], first[k], second[k], j)


@summing
def add_first_moments(panel: Array, means: Array, shares: Array, first: Array) -> None:
    """Add Σ_i r_ik (x_ij − μ_kj).

    Parameters
    ----------
    panel, means, shares
        As in `add_moments`.
    first : ndarray of shape (n_components, n_features)
        The sum, added to.
    """
    n_components, n_features = means.shape
    pairs, fours = n_components // 2 * 2, n_features // 4 * 4
    for j in range(0, fours, 4):
        for k in range(0, pairs, 2):
            _add_first_moments_2_4(panel, means, shares, first, k, j)
        for k in range(pairs, n_components):
            _add_first_moments_1_4(panel, means, shares, first, k, j)
    for j in range(fours, n_features):
        for k in range(0, pairs, 2):
            _add_first_moments_2_1(panel, means, shares, first, k, j)
        for k in range(pairs, n_components):
            _add_first_moments_1_1(panel, means, shares, first, k, j)

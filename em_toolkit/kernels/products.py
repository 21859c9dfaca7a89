"""Products of small matrices with panels: whitened rows, and moments of second order.

A panel has a feature in each row of memory. Its width is a multiple of `ROWS_AT_ONCE` where the
loops are over features, and of `LANES` where they are over rows; the number of features is even.
"""

from __future__ import annotations

from typing import Any

from em_toolkit.kernels.compiling import summing
from em_toolkit.kernels.instructions import ROWS_AT_ONCE, Code, Sum, Value, Vectors, emitted
from em_toolkit.statistics import Array


def _lower_products(
    code: Code,
    lower: Vectors,
    origin: Vectors,
    panel: Vectors,
    j: Value,
    tile: int,
    rows: list[Value],
) -> list[list[Sum]]:
    """Σ_m L[j+t, m] (x_mi − o_m), m ≤ j + t and t < tile, of some rows i of the data."""
    features = code.after(j, tile)
    sums = [[Sum(code) for _ in rows] for _ in features]

    def add_feature(m: Value, first: int) -> None:
        place = origin.broadcast(m)
        deviations = [code.subtract(panel.vector(m, row), place) for row in rows]
        for t in range(first, tile):
            coefficient = lower.broadcast(features[t], m)
            for total, deviation in zip(sums[t], deviations, strict=True):
                total.add_product(coefficient, deviation)

    with code.steps(j, 1) as m:
        add_feature(m, 0)
    for t, feature in enumerate(features):
        add_feature(feature, t)
    return sums


@emitted
def _set_log_densities(
    code: Code,
    lower: Vectors,
    mean: Vectors,
    panel: Vectors,
    constants: Vectors,
    k: Value,
    out: Vectors,
    i: Value,
) -> None:
    """c_k − ½ Σ_j (Σ_m L[j, m] (x_mi − μ_m))² for some rows i of the data."""
    rows = code.registers(i)
    norms = [Sum(code) for _ in rows]

    def add_squares(j: Value, tile: int) -> None:
        for sums in _lower_products(code, lower, mean, panel, j, tile, rows):
            for norm, total in zip(norms, sums, strict=True):
                norm.add_product(total.value, total.value)

    fours = code.multiple_below(panel.length(0), 4)
    with code.steps(fours, 4) as j:
        add_squares(j, 4)
    with code.is_below(fours, panel.length(0)):
        add_squares(fours, 2)
    constant, half = constants.broadcast(k), code.constant(0.5)
    for norm, row in zip(norms, rows, strict=True):
        out.set_vector(code.subtract(constant, code.multiply(half, norm.value)), row)


def _set_lower_products(tile: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        lower: Vectors,
        center: Vectors,
        panel: Vectors,
        out: Vectors,
        j: Value,
        i: Value,
    ) -> None:
        """y_(j+t)i = Σ_m L[j+t, m] (x_mi − c_m), t < tile, for some rows i of the data."""
        rows = code.registers(i)
        products = _lower_products(code, lower, center, panel, j, tile, rows)
        for feature, sums in zip(code.after(j, tile), products, strict=True):
            for total, row in zip(sums, rows, strict=True):
                out.set_vector(total.value, feature, row)

    return _emit


def _set_products(tile: int) -> Any:
    @emitted
    def _emit(
        code: Code, matrix: Vectors, panel: Vectors, out: Vectors, j: Value, i: Value
    ) -> None:
        """y_(j+t)i = Σ_m A[j+t, m] x_mi, t < tile, for some rows i of the data."""
        features, rows = code.after(j, tile), code.registers(i)
        sums = [[Sum(code) for _ in rows] for _ in features]
        with code.steps(panel.length(0), 1) as m:
            columns = [panel.vector(m, row) for row in rows]
            for t, feature in enumerate(features):
                coefficient = matrix.broadcast(feature, m)
                for total, column in zip(sums[t], columns, strict=True):
                    total.add_product(coefficient, column)
        for t, feature in enumerate(features):
            for total, row in zip(sums[t], rows, strict=True):
                out.set_vector(total.value, feature, row)

    return _emit


def _begin_moments(tile: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        panel: Vectors,
        mean: Vectors,
        share: Vectors,
        strip: Vectors,
        first_moment: Vectors,
        moment: Vectors,
        j: Value,
    ) -> None:
        """u_si = r_i δ_si, f_(j+s) += Σ_i u_si and S[j+s, j+t] += Σ_i u_si δ_ti, t ≤ s < tile.

        δ_si = x_(j+s)i − μ_(j+s).
        """
        features = code.after(j, tile)
        centers = [mean.broadcast(feature) for feature in features]
        triangle = [(s, t) for s in range(tile) for t in range(s + 1)]
        firsts, seconds = [Sum(code) for _ in features], {place: Sum(code) for place in triangle}
        with code.rows(panel) as i:
            weight = share.vector(i)
            deviations = [
                code.subtract(panel.vector(feature, i), center)
                for feature, center in zip(features, centers, strict=True)
            ]
            weighted = [code.multiply(weight, deviation) for deviation in deviations]
            for s in range(tile):
                strip.set_vector(weighted[s], code.index(s), i)
                firsts[s].add(weighted[s])
            for s, t in triangle:
                seconds[s, t].add_product(weighted[s], deviations[t])
        for s, feature in enumerate(features):
            first_moment.add_total(firsts[s].value, feature)
        for s, t in triangle:
            moment.add_total(seconds[s, t].value, features[s], features[t])

    return _emit


def _add_products(n_left: int, n_right: int) -> Any:
    @emitted
    def _emit(
        code: Code,
        strip: Vectors,
        panel: Vectors,
        mean: Vectors,
        moment: Vectors,
        j: Value,
        m: Value,
    ) -> None:
        """S[j+s, m+t] += Σ_i u_si (x_(m+t)i − μ_(m+t)), s < n_left and t < n_right."""
        left_features, right_features = code.after(j, n_left), code.after(m, n_right)
        centers = [mean.broadcast(feature) for feature in right_features]
        tile = [(s, t) for s in range(n_left) for t in range(n_right)]
        sums = {place: Sum(code) for place in tile}
        with code.rows(panel) as i:
            left = [strip.vector(code.index(s), i) for s in range(n_left)]
            right = [
                code.subtract(panel.vector(feature, i), center)
                for feature, center in zip(right_features, centers, strict=True)
            ]
            for s, t in tile:
                sums[s, t].add_product(left[s], right[t])
        for s, t in tile:
            moment.add_total(sums[s, t].value, left_features[s], right_features[t])

    return _emit


_set_lower_products_4, _set_lower_products_2 = _set_lower_products(4), _set_lower_products(2)
_set_products_4, _set_products_2 = _set_products(4), _set_products(2)
_begin_moments_4, _begin_moments_2 = _begin_moments(4), _begin_moments(2)
_add_products_4_4, _add_products_2_4 = _add_products(4, 4), _add_products(2, 4)


@summing
def set_log_densities(
    lower: Array, mean: Array, panel: Array, constants: Array, k: int, out: Array
) -> None:
    """Set c_k − ½ |L (x_i − μ)|² for lower triangular L, of one component.

    Parameters
    ----------
    lower : ndarray of shape (n_features, n_features)
        L.
    mean : ndarray of shape (n_features,)
    panel : ndarray of shape (n_features, width)
    constants : ndarray of shape (> k,)
    k : int
        The number of the component, for its constant.
    out : ndarray of shape (width,)
        Set.
    """
    for i in range(0, out.shape[0], ROWS_AT_ONCE):
        _set_log_densities(lower, mean, panel, constants, k, out, i)


@summing
def set_lower_products(lower: Array, center: Array, panel: Array, out: Array) -> None:
    """Set L (x_i − c) for lower triangular L.

    Parameters
    ----------
    lower : ndarray of shape (n_features, n_features)
        L; n_features is even.
    center : ndarray of shape (n_features,)
        c.
    panel, out : ndarray of shape (n_features, width)
        The x_i, and the panel that is set.
    """
    fours = panel.shape[0] // 4 * 4
    for i in range(0, panel.shape[1], ROWS_AT_ONCE):
        for j in range(0, fours, 4):
            _set_lower_products_4(lower, center, panel, out, j, i)
        if fours < panel.shape[0]:
            _set_lower_products_2(lower, center, panel, out, fours, i)


@summing
def set_products(matrix: Array, panel: Array, i: int, out: Array) -> None:
    """Set A x of `ROWS_AT_ONCE` rows of a panel.

    Parameters
    ----------
    matrix : ndarray of shape (>= n_features, >= n_features)
        A; n_features is even.
    panel : ndarray of shape (n_features, width)
        The x.
    i : int
        The first of these rows.
    out : ndarray of shape (n_features, width)
        Set in the columns of these rows.
    """
    n_features = panel.shape[0]
    fours = n_features // 4 * 4
    for j in range(0, fours, 4):
        _set_products_4(matrix, panel, out, j, i)
    if fours < n_features:
        _set_products_2(matrix, panel, out, fours, i)


@summing
def add_moments(
    panel: Array, mean: Array, share: Array, strip: Array, first: Array, second: Array
) -> None:
    """Add Σ_i r_i (x_i − μ) and the lower triangle of Σ_i r_i (x_i − μ)(x_i − μ)ᵀ.

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
    mean : ndarray of shape (n_features,)
    share : ndarray of shape (width,)
        The r_i.
    strip : ndarray of shape (4, width)
        Scratch.
    first : ndarray of shape (n_features,)
    second : ndarray of shape (n_features, n_features)
    """
    fours = panel.shape[0] // 4 * 4
    for j in range(0, fours, 4):
        _begin_moments_4(panel, mean, share, strip, first, second, j)
        for m in range(0, j, 4):
            _add_products_4_4(strip, panel, mean, second, j, m)
    if fours < panel.shape[0]:
        _begin_moments_2(panel, mean, share, strip, first, second, fours)
        for m in range(0, fours, 4):
            _add_products_2_4(strip, panel, mean, second, fours, m)

"""Products of small matrices with panels: whitened rows, and moments of second order.

A panel has a feature in each row of memory. Its width is a multiple of `ROWS_AT_ONCE` where the
loops are over features, and of `LANES` where they are over rows; the number of features is even.
"""

from __future__ import annotations

from typing import Any

from em_toolkit.kernels.compiling import summing
from em_toolkit.kernels.instructions import ROWS_AT_ONCE, Code, Sum, Value, Vectors, emitted
from em_toolkit.statistics import Array


def _add_norms(tile: int) -> Any:
    @emitted
    def emit(
        code: Code,
        lower: Vectors,
        mean: Vectors,
        panel: Vectors,
        norms: Vectors,
        j: Value,
        i: Value,
    ) -> None:
        """n_i += Σ_t (Σ_m L[j+t, m] (x_mi − μ_m))², t < tile, for some rows i of the data."""
        features, rows = code.after(j, tile), code.registers(i)
        sums = [[Sum(code) for _ in rows] for _ in features]

        def add_feature(m: Value, first: int) -> None:
            center = mean.broadcast(m)
            deviations = [code.subtract(panel.vector(m, row), center) for row in rows]
            for t in range(first, tile):
                coefficient = lower.broadcast(features[t], m)
                for total, deviation in zip(sums[t], deviations, strict=True):
                    total.add_product(coefficient, deviation)

        with code.steps(j, 1) as m:
            add_feature(m, 0)
        for t, feature in enumerate(features):
            add_feature(feature, t)
        for depth, row in enumerate(rows):
            norm = norms.vector(row)
            for t in range(tile):
                whitened = sums[t][depth].value
                norm = code.add(norm, code.multiply(whitened, whitened))
            norms.set_vector(norm, row)

    return emit


def _set_products(tile: int) -> Any:
    @emitted
    def emit(
        code: Code, matrix: Vectors, panel: Vectors, out: Vectors, stop: Value, j: Value, i: Value
    ) -> None:
        """y_(j+t)i = Σ_m A[j+t, m] x_mi, t < tile and m < stop, for some rows i of the data."""
        features, rows = code.after(j, tile), code.registers(i)
        sums = [[Sum(code) for _ in rows] for _ in features]
        with code.steps(stop, 1) as m:
            columns = [panel.vector(m, row) for row in rows]
            for t, feature in enumerate(features):
                coefficient = matrix.broadcast(feature, m)
                for total, column in zip(sums[t], columns, strict=True):
                    total.add_product(coefficient, column)
        for t, feature in enumerate(features):
            for total, row in zip(sums[t], rows, strict=True):
                out.set_vector(total.value, feature, row)

    return emit


def _weigh(tile: int) -> Any:
    @emitted
    def emit(
        code: Code,
        panel: Vectors,
        mean: Vectors,
        share: Vectors,
        strip: Vectors,
        first_moment: Vectors,
        j: Value,
    ) -> None:
        """u_ti = r_i (x_(j+t)i − μ_(j+t)), t < tile, and f_(j+t) += Σ_i u_ti."""
        features = code.after(j, tile)
        centers = [mean.broadcast(feature) for feature in features]
        sums = [Sum(code) for _ in features]
        with code.rows(panel) as i:
            weight = share.vector(i)
            for t, feature in enumerate(features):
                deviation = code.subtract(panel.vector(feature, i), centers[t])
                weighted = code.multiply(weight, deviation)
                strip.set_vector(weighted, code.index(t), i)
                sums[t].add(weighted)
        for feature, total in zip(features, sums, strict=True):
            first_moment.add_total(total.value, feature)

    return emit


def _add_products(n_left: int, n_right: int, *, triangular: bool = False) -> Any:
    @emitted
    def emit(
        code: Code,
        strip: Vectors,
        panel: Vectors,
        mean: Vectors,
        moment: Vectors,
        j: Value,
        m: Value,
    ) -> None:
        """S[j+s, m+t] += Σ_i u_si (x_(m+t)i − μ_(m+t)); triangular: for t ≤ s alone."""
        left_features, right_features = code.after(j, n_left), code.after(m, n_right)
        centers = [mean.broadcast(feature) for feature in right_features]
        tile = [(s, t) for s in range(n_left) for t in range(s + 1 if triangular else n_right)]
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

    return emit


_add_norms_4, _add_norms_2 = _add_norms(4), _add_norms(2)
_set_products_4, _set_products_2 = _set_products(4), _set_products(2)
_weigh_4, _weigh_2 = _weigh(4), _weigh(2)
_add_products_4_4, _add_products_2_4 = _add_products(4, 4), _add_products(2, 4)
_add_triangle_4 = _add_products(4, 4, triangular=True)
_add_triangle_2 = _add_products(2, 2, triangular=True)


@summing
def set_squared_norms(lower: Array, mean: Array, panel: Array, norms: Array) -> None:
    """|L (x_i − μ)|² for lower triangular L, of shape (width,)."""
    fours = panel.shape[0] // 4 * 4
    for i in range(norms.shape[0]):
        norms[i] = 0.0
    for i in range(0, norms.shape[0], ROWS_AT_ONCE):
        for j in range(0, fours, 4):
            _add_norms_4(lower, mean, panel, norms, j, i)
        if fours < panel.shape[0]:
            _add_norms_2(lower, mean, panel, norms, fours, i)


@summing
def set_lower_products(lower: Array, panel: Array, out: Array) -> None:
    """L x_i for lower triangular L, as a panel; the features are even in number."""
    fours = panel.shape[0] // 4 * 4
    for i in range(0, panel.shape[1], ROWS_AT_ONCE):
        for j in range(0, fours, 4):
            _set_products_4(lower, panel, out, j + 4, j, i)
        if fours < panel.shape[0]:
            _set_products_2(lower, panel, out, fours + 2, fours, i)


@summing
def set_products(matrix: Array, panel: Array, i: int, out: Array) -> None:
    """A x of `ROWS_AT_ONCE` rows from row i on; the features are even in number."""
    n_features = panel.shape[0]
    fours = n_features // 4 * 4
    for j in range(0, fours, 4):
        _set_products_4(matrix, panel, out, n_features, j, i)
    if fours < n_features:
        _set_products_2(matrix, panel, out, n_features, fours, i)


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
        _weigh_4(panel, mean, share, strip, first, j)
        for m in range(0, j, 4):
            _add_products_4_4(strip, panel, mean, second, j, m)
        _add_triangle_4(strip, panel, mean, second, j, j)
    if fours < panel.shape[0]:
        _weigh_2(panel, mean, share, strip, first, fours)
        for m in range(0, fours, 4):
            _add_products_2_4(strip, panel, mean, second, fours, m)
        _add_triangle_2(strip, panel, mean, second, fours, fours)

"""Products of small matrices with panels.

The innermost loop runs over the rows of a panel, and a tile of features keeps what it needs in
registers: 4 by 4 uses all that a processor has, 2 by 2 wastes less where features are few. Numbers
of features are multiples of the tile; callers pad with zeros.
"""

from __future__ import annotations

from em_toolkit.kernels.compiling import summing
from em_toolkit.statistics import Array


@summing
def set_products_2(matrix: Array, j: int, stop: int, columns: Array, out: Array) -> None:
    """out_i = A[j:j+2, :stop] x_i, of shape (2, width), for the columns x_i of a panel."""
    y0, y1, a, b = out[0], out[1], matrix[j], matrix[j + 1]
    rest = stop % 4
    if rest == 0:
        for i in range(y0.shape[0]):
            y0[i], y1[i] = 0.0, 0.0
    else:
        a0, a1, b0, b1 = a[0], a[1], b[0], b[1]
        x0, x1 = columns[0], columns[1]
        for i in range(x0.shape[0]):
            y0[i] = a0 * x0[i] + a1 * x1[i]
            y1[i] = b0 * x0[i] + b1 * x1[i]
    for m in range(rest, stop, 4):
        a0, a1, a2, a3 = a[m], a[m + 1], a[m + 2], a[m + 3]
        b0, b1, b2, b3 = b[m], b[m + 1], b[m + 2], b[m + 3]
        x0, x1, x2, x3 = columns[m], columns[m + 1], columns[m + 2], columns[m + 3]
        for i in range(x0.shape[0]):
            y0[i] += a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + a3 * x3[i]
            y1[i] += b0 * x0[i] + b1 * x1[i] + b2 * x2[i] + b3 * x3[i]


@summing
def set_products_4(matrix: Array, j: int, stop: int, columns: Array, out: Array) -> None:
    """out_i = A[j:j+4, :stop] x_i, of shape (4, width), for the columns x_i of a panel."""
    y0, y1, y2, y3 = out[0], out[1], out[2], out[3]
    for i in range(y0.shape[0]):
        y0[i], y1[i], y2[i], y3[i] = 0.0, 0.0, 0.0, 0.0
    ra, rb, rc, rd = matrix[j], matrix[j + 1], matrix[j + 2], matrix[j + 3]
    for m in range(0, stop, 4):
        a0, a1, a2, a3 = ra[m], ra[m + 1], ra[m + 2], ra[m + 3]
        b0, b1, b2, b3 = rb[m], rb[m + 1], rb[m + 2], rb[m + 3]
        c0, c1, c2, c3 = rc[m], rc[m + 1], rc[m + 2], rc[m + 3]
        d0, d1, d2, d3 = rd[m], rd[m + 1], rd[m + 2], rd[m + 3]
        x0, x1, x2, x3 = columns[m], columns[m + 1], columns[m + 2], columns[m + 3]
        for i in range(x0.shape[0]):
            y0[i] += a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + a3 * x3[i]
            y1[i] += b0 * x0[i] + b1 * x1[i] + b2 * x2[i] + b3 * x3[i]
            y2[i] += c0 * x0[i] + c1 * x1[i] + c2 * x2[i] + c3 * x3[i]
            y3[i] += d0 * x0[i] + d1 * x1[i] + d2 * x2[i] + d3 * x3[i]


@summing
def squared_norms(lower: Array, tile: int, columns: Array, scratch: Array, norms: Array) -> None:
    """|L x_i|² for lower triangular L, of shape (width,).

    Parameters
    ----------
    lower : ndarray of shape (n_features, n_features)
    tile : {2, 4}
    columns : ndarray of shape (n_features, width)
        The x_i.
    scratch : ndarray of shape (4, width)
    norms : ndarray of shape (width,)
        The result.
    """
    for i in range(norms.shape[0]):
        norms[i] = 0.0
    y0, y1, y2, y3 = scratch[0], scratch[1], scratch[2], scratch[3]
    if tile == 4:
        for j in range(0, columns.shape[0], 4):
            set_products_4(lower, j, j + 4, columns, scratch)
            for i in range(norms.shape[0]):
                norms[i] += y0[i] * y0[i] + y1[i] * y1[i] + y2[i] * y2[i] + y3[i] * y3[i]
    else:
        for j in range(0, columns.shape[0], 2):
            set_products_2(lower, j, j + 2, columns, scratch)
            for i in range(norms.shape[0]):
                norms[i] += y0[i] * y0[i] + y1[i] * y1[i]


@summing
def add_outer_products(tile: int, left: Array, right: Array, out: Array) -> None:
    """Add the lower triangle of Σ_i left_i right_iᵀ to `out`, and some of the upper one.

    Parameters
    ----------
    tile : {2, 4}
    left, right : ndarray of shape (n_features, width)
    out : ndarray of shape (n_features, n_features)
    """
    if tile == 4:
        _add_outer_products_4(left, right, out)
    else:
        _add_outer_products_2(left, right, out)


@summing
def _add_outer_products_2(left: Array, right: Array, out: Array) -> None:
    for j in range(0, left.shape[0], 2):
        u0, u1 = left[j], left[j + 1]
        for m in range(0, j + 2, 2):
            x0, x1 = right[m], right[m + 1]
            s00, s01, s10, s11 = 0.0, 0.0, 0.0, 0.0
            for i in range(x0.shape[0]):
                s00 += u0[i] * x0[i]
                s01 += u0[i] * x1[i]
                s10 += u1[i] * x0[i]
                s11 += u1[i] * x1[i]
            out[j, m] += s00
            out[j, m + 1] += s01
            out[j + 1, m] += s10
            out[j + 1, m + 1] += s11


@summing
def _add_outer_products_4(left: Array, right: Array, out: Array) -> None:
    for j in range(0, left.shape[0], 4):
        u0, u1, u2, u3 = left[j], left[j + 1], left[j + 2], left[j + 3]
        o0, o1, o2, o3 = out[j], out[j + 1], out[j + 2], out[j + 3]
        for m in range(0, j + 4, 4):
            x0, x1, x2, x3 = right[m], right[m + 1], right[m + 2], right[m + 3]
            s00, s01, s02, s03, s10, s11, s12, s13 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            s20, s21, s22, s23, s30, s31, s32, s33 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(x0.shape[0]):
                a, b, c, d = u0[i], u1[i], u2[i], u3[i]
                w, x, y, z = x0[i], x1[i], x2[i], x3[i]
                s00 += a * w
                s01 += a * x
                s02 += a * y
                s03 += a * z
                s10 += b * w
                s11 += b * x
                s12 += b * y
                s13 += b * z
                s20 += c * w
                s21 += c * x
                s22 += c * y
                s23 += c * z
                s30 += d * w
                s31 += d * x
                s32 += d * y
                s33 += d * z
            o0[m] += s00
            o0[m + 1] += s01
            o0[m + 2] += s02
            o0[m + 3] += s03
            o1[m] += s10
            o1[m + 1] += s11
            o1[m + 2] += s12
            o1[m + 3] += s13
            o2[m] += s20
            o2[m + 1] += s21
            o2[m + 2] += s22
            o2[m + 3] += s23
            o3[m] += s30
            o3[m + 1] += s31
            o3[m + 2] += s32
            o3[m + 3] += s33

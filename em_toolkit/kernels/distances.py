"""Distances and moments of a panel along the axes.

In tiles of four features and, where it does not ask for too many registers, two components, for
which a feature is then read once. Numbers of components are even and numbers of features multiples
of 4; callers pad with zeros.
"""

from __future__ import annotations

from em_toolkit.kernels.compiling import summing
from em_toolkit.statistics import Array


@summing
def weighted_squared_distances(
    panel: Array, means: Array, precisions: Array, k: int, distances: Array
) -> None:
    """Rows k and k + 1 of Σ_j (x_ij − μ_kj)² / σ_kj², of shape (n_components, width)."""
    first, second = distances[k], distances[k + 1]
    for i in range(first.shape[0]):
        first[i], second[i] = 0.0, 0.0
    m, n, p, q = means[k], means[k + 1], precisions[k], precisions[k + 1]
    for j in range(0, panel.shape[0], 4):
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
        m0, m1, m2, m3 = m[j], m[j + 1], m[j + 2], m[j + 3]
        n0, n1, n2, n3 = n[j], n[j + 1], n[j + 2], n[j + 3]
        p0, p1, p2, p3 = p[j], p[j + 1], p[j + 2], p[j + 3]
        q0, q1, q2, q3 = q[j], q[j + 1], q[j + 2], q[j + 3]
        for i in range(first.shape[0]):
            w, x, y, z = x0[i], x1[i], x2[i], x3[i]
            a, b, c, d = w - m0, x - m1, y - m2, z - m3
            first[i] += p0 * (a * a) + p1 * (b * b) + p2 * (c * c) + p3 * (d * d)
            e, f, g, h = w - n0, x - n1, y - n2, z - n3
            second[i] += q0 * (e * e) + q1 * (f * f) + q2 * (g * g) + q3 * (h * h)


@summing
def squared_distances(panel: Array, means: Array, k: int, distances: Array) -> None:
    """Rows k and k + 1 of Σ_j (x_ij − μ_kj)², of shape (n_components, width)."""
    first, second = distances[k], distances[k + 1]
    for i in range(first.shape[0]):
        first[i], second[i] = 0.0, 0.0
    m, n = means[k], means[k + 1]
    for j in range(0, panel.shape[0], 4):
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
        m0, m1, m2, m3 = m[j], m[j + 1], m[j + 2], m[j + 3]
        n0, n1, n2, n3 = n[j], n[j + 1], n[j + 2], n[j + 3]
        for i in range(first.shape[0]):
            w, x, y, z = x0[i], x1[i], x2[i], x3[i]
            a, b, c, d = w - m0, x - m1, y - m2, z - m3
            first[i] += a * a + b * b + c * c + d * d
            e, f, g, h = w - n0, x - n1, y - n2, z - n3
            second[i] += e * e + f * f + g * g + h * h


@summing
def add_first_moments(panel: Array, means: Array, shares: Array, k: int, first: Array) -> None:
    """Add Σ_i r_ik (x_ij − μ_kj) to rows k and k + 1, of shape (n_components, n_features)."""
    r, s, m, n = shares[k], shares[k + 1], means[k], means[k + 1]
    for j in range(0, panel.shape[0], 4):
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
        m0, m1, m2, m3 = m[j], m[j + 1], m[j + 2], m[j + 3]
        n0, n1, n2, n3 = n[j], n[j + 1], n[j + 2], n[j + 3]
        f0, f1, f2, f3, g0, g1, g2, g3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(r.shape[0]):
            w, x, y, z = x0[i], x1[i], x2[i], x3[i]
            f0 += r[i] * (w - m0)
            f1 += r[i] * (x - m1)
            f2 += r[i] * (y - m2)
            f3 += r[i] * (z - m3)
            g0 += s[i] * (w - n0)
            g1 += s[i] * (x - n1)
            g2 += s[i] * (y - n2)
            g3 += s[i] * (z - n3)
        u, v = first[k], first[k + 1]
        u[j] += f0
        u[j + 1] += f1
        u[j + 2] += f2
        u[j + 3] += f3
        v[j] += g0
        v[j + 1] += g1
        v[j + 2] += g2
        v[j + 3] += g3


@summing
def add_moments(panel: Array, mean: Array, share: Array, first: Array, second: Array) -> None:
    """Add Σ_i r_i (x_ij − μ_j) and Σ_i r_i (x_ij − μ_j)², each of shape (n_features,)."""
    for j in range(0, panel.shape[0], 4):
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
        m0, m1, m2, m3 = mean[j], mean[j + 1], mean[j + 2], mean[j + 3]
        f0, f1, f2, f3, s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(share.shape[0]):
            r = share[i]
            a, b, c, d = x0[i] - m0, x1[i] - m1, x2[i] - m2, x3[i] - m3
            ra, rb, rc, rd = r * a, r * b, r * c, r * d
            f0 += ra
            f1 += rb
            f2 += rc
            f3 += rd
            s0 += ra * a
            s1 += rb * b
            s2 += rc * c
            s3 += rd * d
        first[j] += f0
        first[j + 1] += f1
        first[j + 2] += f2
        first[j + 3] += f3
        second[j] += s0
        second[j + 1] += s1
        second[j + 2] += s2
        second[j + 3] += s3

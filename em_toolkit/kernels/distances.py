"""Distances and moments of a panel along the axes, in tiles of 4 features."""

from __future__ import annotations

from em_toolkit.kernels.compiling import summing
from em_toolkit.statistics import Array


@summing
def weighted_squared_distances(
    panel: Array, mean: Array, precisions: Array, distances: Array
) -> None:
    """Σ_j (x_ij − μ_j)² / σ_j², of shape (width,)."""
    for i in range(distances.shape[0]):
        distances[i] = 0.0
    for j in range(0, panel.shape[0], 4):
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
        m0, m1, m2, m3 = mean[j], mean[j + 1], mean[j + 2], mean[j + 3]
        p0, p1, p2, p3 = precisions[j], precisions[j + 1], precisions[j + 2], precisions[j + 3]
        for i in range(distances.shape[0]):
            a, b, c, d = x0[i] - m0, x1[i] - m1, x2[i] - m2, x3[i] - m3
            distances[i] += p0 * (a * a) + p1 * (b * b) + p2 * (c * c) + p3 * (d * d)


@summing
def squared_distances(panel: Array, mean: Array, distances: Array) -> None:
    """Σ_j (x_ij − μ_j)², of shape (width,)."""
    for i in range(distances.shape[0]):
        distances[i] = 0.0
    for j in range(0, panel.shape[0], 4):
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
        m0, m1, m2, m3 = mean[j], mean[j + 1], mean[j + 2], mean[j + 3]
        for i in range(distances.shape[0]):
            a, b, c, d = x0[i] - m0, x1[i] - m1, x2[i] - m2, x3[i] - m3
            distances[i] += a * a + b * b + c * c + d * d


@summing
def add_first_moment(panel: Array, mean: Array, share: Array, first: Array) -> None:
    """Add Σ_i r_i (x_ij − μ_j), of shape (n_features,)."""
    for j in range(0, panel.shape[0], 4):
        x0, x1, x2, x3 = panel[j], panel[j + 1], panel[j + 2], panel[j + 3]
        m0, m1, m2, m3 = mean[j], mean[j + 1], mean[j + 2], mean[j + 3]
        f0, f1, f2, f3 = 0.0, 0.0, 0.0, 0.0
        for i in range(share.shape[0]):
            r = share[i]
            f0 += r * (x0[i] - m0)
            f1 += r * (x1[i] - m1)
            f2 += r * (x2[i] - m2)
            f3 += r * (x3[i] - m3)
        first[j] += f0
        first[j + 1] += f1
        first[j + 2] += f2
        first[j + 3] += f3


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

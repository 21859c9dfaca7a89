"""Full covariances of two features (or one, padded): all of a component in one loop each.

Most pictures are of two features, and what tiles need between their loops is then most of the work.
"""

from __future__ import annotations

from em_toolkit.kernels.compiling import summing
from em_toolkit.statistics import Array


@summing
def set_log_densities(
    panel: Array, mean: Array, lower: Array, constant: float, log_densities: Array
) -> None:
    """c − ½ |L⁻¹ (x_i − μ)|², of shape (width,)."""
    x, y, mean_x, mean_y = panel[0], panel[1], mean[0], mean[1]
    a, b, c = lower[0, 0], lower[1, 0], lower[1, 1]
    for i in range(x.shape[0]):
        u, v = x[i] - mean_x, y[i] - mean_y
        p, q = a * u, b * u + c * v
        log_densities[i] = constant - 0.5 * (p * p + q * q)


@summing
def add_moments(panel: Array, mean: Array, share: Array, first: Array, second: Array) -> None:
    """Add Σ_i r_i (x_i − μ) and the lower triangle of Σ_i r_i (x_i − μ)(x_i − μ)ᵀ."""
    x, y, mean_x, mean_y = panel[0], panel[1], mean[0], mean[1]
    f, g, xx, xy, yy = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(x.shape[0]):
        u, v = x[i] - mean_x, y[i] - mean_y
        p, q = share[i] * u, share[i] * v
        f += p
        g += q
        xx += p * u
        xy += p * v
        yy += q * v
    first[0] += f
    first[1] += g
    second[0, 0] += xx
    second[1, 0] += xy
    second[1, 1] += yy

r"""The volumes of K covariances that are alike but for their size.

For Σ_k = exp(x_k) C, the best C given the volumes is C = (1/n) Σ_k exp(−x_k) A_k, and what is left
of −2 Σ_k E[log p] is, but for a constant,

.. math:: h(x) = d \sum_k N_k x_k + n \log \Big| \sum_k e^{-x_k} A_k \Big|.

It is convex (a logarithm of a determinant of a sum of exponentials with positive semidefinite
coefficients; for diagonal A_k it is that of matrix balancing), and flat along x + c. With
M_k = exp(−x_k) C^{-1/2} A_k C^{-1/2} / n, which add up to the identity,

.. math:: \frac{\partial h}{\partial x_k} = d N_k - n \operatorname{tr} M_k, \qquad
          \frac{\partial^2 h}{\partial x_k \partial x_l}
          = n \big( \delta_{kl} \operatorname{tr} M_k - \operatorname{tr} M_k M_l \big).

Celeux & Govaert (1995, section 3) set each gradient to zero in turn. Newton's steps from there lead
to the same point, the only one, to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from em_toolkit.covariances.rules import RESOLUTION
from em_toolkit.statistics import EPS, Array, BoolArray

# Steps that gain less than so many nats for each row are judged by the gradient: the objective
# has roundings of some EPS, and Newton's next step leaves the square of this.
TOO_NEAR = 1e-12
# Where a gradient of more, for each row, is left when no step gains, there is no minimum.
_STATIONARY = 1e-4
_MOST_STEPS, _MOST_HALVINGS, _LONGEST_STEP = 100, 30, 20.0


class Pool(NamedTuple):
    """The sum of scatters at given volumes.

    Parameters
    ----------
    log_determinant : float
        log |Σ_k exp(−x_k) A_k|; infinite if it is singular to rounding.
    shares : ndarray of shape (n_components, n_entries)
        The entries of M_k; those of a diagonal matrix alone, if it is diagonal.
    traces : ndarray of shape (n_components,)
        tr M_k.
    rounding : float
        By how much roundings of the scatters may change the traces: more, if the sum is
        ill-conditioned.
    """

    log_determinant: float
    shares: Array
    traces: Array
    rounding: float = 0.0


def pooled_variances(scatter: Array) -> Callable[[Array], Pool]:
    """Return the pool of diagonal scatters, of shape (n_components, n_features)."""

    def at(log_volumes: Array) -> Pool:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            parts = np.exp(-log_volumes)[:, None] * scatter
            total = parts.sum(axis=0)
        if not ((total > 0.0) & np.isfinite(total)).all():
            return _no_pool(len(parts))
        shares = parts / total
        return Pool(float(np.log(total).sum()), shares, shares.sum(axis=1))

    return at


def pooled_matrices(scatter: Array) -> Callable[[Array], Pool]:
    """Return the pool of scatters of shape (n_components, n_features, n_features)."""

    def at(log_volumes: Array) -> Pool:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            parts = np.exp(-log_volumes)[:, None, None] * scatter
            total = parts.sum(axis=0)
        try:
            lower = np.linalg.cholesky(total)
        except np.linalg.LinAlgError:
            return _no_pool(len(parts))
        if not np.isfinite(lower).all():
            return _no_pool(len(parts))
        half = np.linalg.solve(lower, parts)
        shares = np.linalg.solve(lower, half.transpose(0, 2, 1))
        log_determinant = 2.0 * float(np.log(np.diagonal(lower)).sum())
        traces = np.trace(shares, axis1=1, axis2=2)
        pivots = np.square(np.diagonal(lower)) / np.diagonal(total)
        rounding = RESOLUTION * len(lower) * EPS / float(pivots.min())
        return Pool(log_determinant, shares.reshape(len(shares), -1), traces, rounding)

    return at


def _no_pool(n_components: int) -> Pool:
    """Of a sum that is singular to rounding, or no number."""
    return Pool(np.inf, np.zeros((n_components, 1)), np.zeros(n_components))


def log_volumes(
    pool_at: Callable[[Array], Pool], count: Array, free: BoolArray, start: Array, n_features: int
) -> Array | None:
    """Return the x that minimizes h, or None if h has no minimum.

    So it is for diagonal scatters if components of more than a share 1 − m/d of the rows have no
    spread in the same m features: volumes rise and variances of a shape fall without end.

    Parameters
    ----------
    pool_at : callable
        From x to the sum of the scatters.
    count : ndarray of shape (n_components,)
        N_k.
    free : ndarray of bool of shape (n_components,)
        The components whose x_k may change.
    start : ndarray of shape (n_components,)
    n_features : int

    Returns
    -------
    ndarray of shape (n_components,), or None
    """
    n, x = float(count.sum()), np.array(start)
    wanted = n_features * count[free]
    pool = pool_at(x)
    if np.isinf(pool.log_determinant):
        return None

    def objective(x: Array, pool: Pool) -> float:
        return float(wanted @ x[free]) + n * pool.log_determinant

    for _ in range(_MOST_STEPS):
        if not (pool.traces[free] > 0.0).all():
            # Scatters that have no direction in common.
            return None
        gradient = wanted - n * pool.traces[free]
        newton = _newton_step(pool, free, gradient / n)
        # One at a time, each at its best for what the others are: slower, and never far off.
        in_turn = np.log(n * pool.traces[free] / wanted)
        moves: list[Array] = []
        if -float(gradient @ newton) > TOO_NEAR * n:
            moves = [newton, in_turn, *(0.5**i * newton for i in range(1, _MOST_HALVINGS))]
        here = objective(x, pool)
        for move in moves:
            candidate = _moved(x, free, move)
            there = pool_at(candidate)
            if objective(candidate, there) < here:
                break
        else:
            # Too near for h to tell: the gradient does, of each component by its own weight.
            candidate = _moved(x, free, newton)
            there = pool_at(candidate)
            left = np.abs(wanted - n * there.traces[free]) / wanted
            if not left.max() < 0.5 * np.abs(gradient / wanted).max():
                break
        x, pool = candidate, there
    left_open = n * max(_STATIONARY, pool.rounding)
    is_stationary = (np.abs(wanted - n * pool.traces[free]) < left_open).all()
    return x if is_stationary else None


def _moved(x: Array, free: BoolArray, move: Array) -> Array:
    moved = x.copy()
    moved[free] += move * (_LONGEST_STEP / max(_LONGEST_STEP, np.abs(move).max()))
    return moved


def _newton_step(pool: Pool, free: BoolArray, gradient: Array) -> Array:
    traces, shares = pool.traces[free], pool.shares[free]
    moving = np.full(traces.shape, True)
    if free.all():
        # Volumes relative to the one that weighs most, for h is flat along them all; without it
        # no digits cancel in the differences below.
        moving[traces.argmax()] = False
    traces, shares = traces[moving], shares[moving]
    scale = 1.0 / np.sqrt(traces)
    hessian = np.eye(traces.size) - (scale[:, None] * shares) @ (scale[:, None] * shares).T
    step = np.zeros(moving.shape)
    step[moving] = scale * np.linalg.lstsq(hessian, -scale * gradient[moving])[0]
    return step

r"""The volumes and the shape of K covariances of one shape, none of their variances below one.

The variances along d axes are exp(x_k + a_j). From scatters s_kj and counts N_k the function

.. math:: f(x, a) = \sum_k N_k \Big( d x_k + \sum_j a_j \Big) + \sum_{kj} s_{kj} e^{-x_k - a_j}

is convex, and x_k + a_j ≥ 0 for all k and j is the same as x_k ≥ 0 and a_j ≥ 0: what is left free,
a number that is added to all x_k and subtracted from all a_j, changes no variance. Each x_k has its
minimum given a, and each a_j given x, in closed form; since the bounds are separate, taking these
by turns leads to the minimum (Tseng 2001, J. Optim. Theory Appl. 109). Newton's steps in the
coordinates that are not held by their bounds lead there in fewer (Bertsekas 1982, SIAM J. Control
Optim. 20).
"""

from __future__ import annotations

import numpy as np

from em_toolkit.statistics import EPS, Array

_MOST_STEPS, _MOST_HALVINGS = 100, 30
# Of a Newton step, in any logarithm: farther, a quadratic says nothing of an exponential.
_LONGEST_STEP = 4.0
# Of the curvature: what makes it definite along what changes no variance.
_RIDGE = 1e-12


def bounded_volumes_and_shape(
    scatter: Array, count: Array, volumes: Array, shape: Array
) -> tuple[Array, Array]:
    """Return the minimizer of f; f is no higher there than at the start.

    Parameters
    ----------
    scatter : ndarray of shape (n_components, n_features)
        s_kj ≥ 0, in units of the least variance.
    count : ndarray of shape (n_components,)
        N_k > 0.
    volumes : ndarray of shape (n_components,)
        x at the start, not negative.
    shape : ndarray of shape (n_features,)
        a at the start, not negative.

    Returns
    -------
    volumes, shape : ndarray
        x and a.
    """
    x, a = volumes, shape
    here = _objective(scatter, count, x, a)
    for _ in range(_MOST_STEPS):
        step_x, step_a = _newton_step(scatter, count, x, a)
        for halving in range(_MOST_HALVINGS):
            moved_x = np.maximum(x + 0.5**halving * step_x, 0.0)
            moved_a = np.maximum(a + 0.5**halving * step_a, 0.0)
            there = _objective(scatter, count, moved_x, moved_a)
            if there < here:
                break
        else:
            moved_x, moved_a = x, a
        # A turn keeps what is gained, and lets go of bounds that hold no longer.
        x, a = _turn(scatter, count, moved_a)
        there = _objective(scatter, count, x, a)
        if not there < here - EPS * (1.0 + abs(here)):
            return x, a
        here = there
    return x, a


def _objective(scatter: Array, count: Array, x: Array, a: Array) -> float:
    """Return f(x, a), divided by the sum of the counts."""
    variances = np.exp(x[:, None] + a)
    parts = float(np.sum(scatter / variances))
    of_volumes = scatter.shape[1] * float(count @ x)
    return (of_volumes + parts) / float(count.sum()) + float(a.sum())


def _turn(scatter: Array, count: Array, a: Array) -> tuple[Array, Array]:
    """Return the best x given a, and the best a given that."""
    x = _nonnegative_log((scatter * np.exp(-a)).sum(axis=1) / (scatter.shape[1] * count))
    return x, _nonnegative_log((scatter * np.exp(-x)[:, None]).sum(axis=0) / count.sum())


def _newton_step(scatter: Array, count: Array, x: Array, a: Array) -> tuple[Array, Array]:
    parts = scatter * np.exp(-x[:, None] - a) / count.sum()
    of_x, of_a = parts.sum(axis=1), parts.sum(axis=0)
    gradient = np.concatenate([scatter.shape[1] * count / count.sum() - of_x, 1.0 - of_a])
    hessian = np.block([[np.diag(of_x), parts], [parts.T, np.diag(of_a)]])
    free = ~((np.concatenate([x, a]) <= 0.0) & (gradient > 0.0))
    step = np.zeros(gradient.shape)
    ridge = _RIDGE * (1.0 + float(np.trace(hessian))) * np.eye(int(free.sum()))
    step[free] = np.linalg.solve(hessian[np.ix_(free, free)] + ridge, -gradient[free])
    step *= _LONGEST_STEP / max(_LONGEST_STEP, float(np.abs(step).max(initial=0.0)))
    return step[: x.size], step[x.size :]


def _nonnegative_log(values: Array) -> Array:
    return np.log(np.maximum(values, 1.0))

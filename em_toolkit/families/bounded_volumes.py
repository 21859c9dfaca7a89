r"""The volumes and the shape of K covariances of one shape, none of their variances below one.

The variances along d axes are exp(x_k + a_j). From scatters s_kj and counts N_k the function

.. math:: f(x, a) = \sum_k N_k \Big( d x_k + \sum_j a_j \Big) + \sum_{kj} s_{kj} e^{-x_k - a_j}

is convex, and x_k + a_j ≥ 0 for all k and j is the same as x_k ≥ 0 and a_j ≥ 0: what is left free,
a number that is added to all x_k and subtracted from all a_j, changes no variance. Each x_k has its
minimum given a, and each a_j given x, in closed form. Since the bounds are separate, taking these
by turns leads to the minimum (Tseng 2001, J. Optim. Theory Appl. 109); a quasi-Newton method leads
there in fewer steps.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from em_toolkit.statistics import Array

# Turns after the quasi-Newton steps, which leave half of the digits of a gradient.
_TURNS = 20


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
    n_components, n_features = scatter.shape
    n = float(count.sum())

    def objective(point: Array) -> tuple[float, Array]:
        x, a = point[:n_components], point[n_components:]
        parts = scatter * np.exp(-x[:, None] - a) / n
        value = float(count @ x) * n_features / n + float(a.sum()) + float(parts.sum())
        return value, np.concatenate(
            [n_features * count / n - parts.sum(axis=1), 1.0 - parts.sum(axis=0)]
        )

    start = np.concatenate([volumes, shape])
    options = {"maxiter": 1000, "maxcor": 20, "ftol": 0.0, "gtol": 1e-12}
    bounds = [(0.0, None)] * start.size
    found = minimize(objective, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    x, a = found.x[:n_components], found.x[n_components:]
    for _ in range(_TURNS):
        x = _nonnegative_log((scatter * np.exp(-a)).sum(axis=1) / (n_features * count))
        a = _nonnegative_log((scatter * np.exp(-x)[:, None]).sum(axis=0) / n)
    return x, a


def _nonnegative_log(values: Array) -> Array:
    return np.log(np.maximum(values, 1.0))

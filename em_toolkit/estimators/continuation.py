"""The fingerprint by which a warm start knows the fit that it continues."""

from __future__ import annotations

from typing import Any

import joblib
from sklearn.base import BaseEstimator

from em_toolkit.parameters import Parameters

# Parameters that say how a fit is made, and not of what. Of any other, a change is a new problem.
_OF_THE_FIT = frozenset(
    {
        "acceleration",
        "bound_check",
        "max_iter",
        "n_jobs",
        "random_state",
        "stopping",
        "tol",
        "verbose",
        "verbose_interval",
    }
)


def fingerprint(estimator: BaseEstimator, params: Parameters, *data: Any) -> str:
    """Return a hash of where a fit stands: its problem and its parameters.

    The bound of an earlier iteration says something of the next one only if both are the same: the
    data to the bit, what is maximized, what is held fixed, and the parameters reached. (Equal
    bounds would not tell: those of unlike data may be equal.)

    Parameters
    ----------
    estimator : BaseEstimator
        Its parameters say what is maximized.
    params : Parameters
        The parameters reached.
    *data : ndarray or None
        The rows, their weights and labels.
    """
    options = estimator.get_params(deep=False)
    problem = {name: value for name, value in options.items() if name not in _OF_THE_FIT}
    return str(joblib.hash((problem, params, data)))

"""Information criteria: what a fit is worth, less what its parameters cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from em_toolkit.analysis.posteriors import Data, Model, posteriors
from em_toolkit.models.mixture import Responsibilities
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import Array


@dataclass(frozen=True)
class InformationCriteria:
    r"""The criteria of a fitted model on some rows: the lower the better.

    With weights w_i, n = Σ_i w_i and p free parameters,

    .. math:: \mathrm{BIC} &= -2 \sum_i w_i \log p(x_i) + p \log n \\
              \mathrm{AIC} &= -2 \sum_i w_i \log p(x_i) + 2 p \\
              \mathrm{ICL} &= \mathrm{BIC} - 2 \sum_i w_i \log \max_k p(k \mid x_i)

    (Schwarz 1978; Akaike 1974; Biernacki, Celeux & Govaert 2000, whose integrated completed
    likelihood this is in BIC's approximation).

    Parameters
    ----------
    weight : float
        n, the total weight of the rows.
    log_likelihood : float
        Σ_i w_i log p(x_i), in nats.
    log_certainty : float
        Σ_i w_i log max_k p(k | x_i) ≤ 0: how sure it is of which component a row is. NaN for a
        model without components.
    n_parameters : int
        p.
    """

    weight: float
    log_likelihood: float
    log_certainty: float
    n_parameters: int

    @property
    def bic(self) -> float:
        """The Bayesian information criterion."""
        return -2.0 * self.log_likelihood + self.n_parameters * float(np.log(self.weight))

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return -2.0 * self.log_likelihood + 2.0 * self.n_parameters

    @property
    def icl(self) -> float:
        """The integrated completed likelihood, in BIC's approximation."""
        return self.bic - 2.0 * self.log_certainty


def log_certainty(posterior: Responsibilities) -> Array:
    """Return log max_k p(k | x_i) of each row of a block, of shape (n_rows,)."""
    return np.asarray(posterior.log_responsibilities.max(axis=1))


def information_criteria(
    model: Model,
    params: Parameters,
    X: Data,
    weights: Array | None = None,
    n_jobs: int | None = 1,
    certainty: Callable[[Any], Array] | None = None,
) -> InformationCriteria:
    """Return the criteria of a model at fitted parameters, by one pass over the rows.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,), optional
        How many times each row counts; one by default.
    n_jobs : int or None
        The number of threads.
    certainty : callable, optional
        From the posterior of a block to log max_k p(k | x_i) of each row, such as `log_certainty`.

    Returns
    -------
    InformationCriteria
    """
    weights = np.ones(X.shape[0]) if weights is None else weights
    log_likelihood, total_certainty = 0.0, np.nan if certainty is None else 0.0
    for rows, posterior, log_density in posteriors(model, params, X, n_jobs):
        log_likelihood += float(np.sum(weights[rows] * log_density))
        if certainty is not None:
            total_certainty += float(np.sum(weights[rows] * certainty(posterior)))
    weight = float(weights.sum())
    n_parameters = model.n_parameters(params)
    return InformationCriteria(weight, log_likelihood, total_certainty, n_parameters)

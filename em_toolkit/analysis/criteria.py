"""Information criteria: what a fit is worth, less what its parameters cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class InformationCriteria:
    r"""The criteria of a fitted mixture on some rows: the lower the better.

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
        Σ_i w_i log max_k p(k | x_i) ≤ 0: how sure it is of which component a row is.
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

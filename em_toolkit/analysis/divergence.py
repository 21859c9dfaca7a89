"""The Kullback-Leibler divergence of one density from another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from em_toolkit.statistics import Array


class DivergenceEstimate(NamedTuple):
    """An estimate by simulation, and how sure it is.

    Parameters
    ----------
    estimate : float
        In nats. The divergence is never negative; its estimate may be, by chance, where it is
        smaller than its standard error.
    standard_error : float
        The standard deviation of the estimate, itself estimated from the sample. NaN if the
        estimate is infinite.
    """

    estimate: float
    standard_error: float


def mean_log_ratio(log_p: Array, log_q: Array) -> DivergenceEstimate:
    r"""Return the Kullback-Leibler divergence from p to q, by simulation.

    .. math:: \mathrm{KL}(p \,\|\, q) = \mathrm E_p[\log p(x) - \log q(x)]
              \approx \frac1n \sum_i \big[ \log p(x_i) - \log q(x_i) \big],
              \qquad x_i \sim p

    Between mixtures it has no closed form (Hershey & Olsen 2007, who compare approximations and
    bounds; this one alone converges to it).

    Parameters
    ----------
    log_p, log_q : ndarray of shape (n_samples,)
        The log densities under p and q of rows drawn from p, two at least.

    Returns
    -------
    divergence : DivergenceEstimate

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> x = np.random.default_rng(0).standard_normal(10_000)
    >>> divergence = mean_log_ratio(norm.logpdf(x), norm.logpdf(x, loc=2.0))  # exactly 2 nats
    >>> abs(divergence.estimate - 2.0) < 3.0 * divergence.standard_error
    True
    """
    if np.isneginf(log_q).any():
        # q denies what p can give.
        return DivergenceEstimate(np.inf, np.nan)
    log_ratio = np.asarray(log_p - log_q, dtype=np.float64)
    error = log_ratio.std(ddof=1) / np.sqrt(log_ratio.shape[0])
    return DivergenceEstimate(float(log_ratio.mean()), float(error))

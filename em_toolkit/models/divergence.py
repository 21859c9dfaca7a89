"""How far one mixture is from another: the Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from em_toolkit.families import Gaussian
from em_toolkit.models.mixture import Mixture, MixtureParameters
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


def kl_divergence(
    p: MixtureParameters[Any],
    q: MixtureParameters[Any],
    n_samples: int = 10_000,
    random_state: int | np.random.RandomState | None = None,
    *,
    mixture: Mixture[Any] | None = None,
) -> DivergenceEstimate:
    r"""The Kullback-Leibler divergence from p to q, by simulation.

    .. math:: \mathrm{KL}(p \,\|\, q) = \mathrm E_p[\log p(x) - \log q(x)]
              \approx \frac1n \sum_i \big[ \log p(x_i) - \log q(x_i) \big],
              \qquad x_i \sim p

    Between mixtures it has no closed form (Hershey & Olsen 2007, who compare approximations and
    bounds; this one alone converges to it).

    Parameters
    ----------
    p, q : MixtureParameters
        Of as many features. They may differ in the number of components, and Gaussian ones in the
        structure of the covariances.
    n_samples : int, default=10_000
        Rows to draw from p, two at least. Four times as many halve the standard error.
    random_state : int, RandomState instance or None, default=None
    mixture : Mixture, optional
        The model whose parameters they are; a mixture of normal components by default.

    Returns
    -------
    divergence : DivergenceEstimate
        ``estimate`` in nats, and its ``standard_error``.

    Raises
    ------
    ValueError
        For parameters of unlike numbers of features, or fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit.families import DiagonalCovariances, GaussianComponents
    >>> from em_toolkit.models import MixtureParameters
    >>> def standard_normal_about(mean):
    ...     covariances = DiagonalCovariances(np.ones((1, 1)))
    ...     components = GaussianComponents(np.array([[mean]]), covariances)
    ...     return MixtureParameters(np.ones(1), components)
    >>> p, q = standard_normal_about(0.0), standard_normal_about(2.0)
    >>> divergence = kl_divergence(p, q, random_state=0)  # exactly 2 nats
    >>> abs(divergence.estimate - 2.0) < 3.0 * divergence.standard_error
    True
    """
    p.check()
    q.check()
    model = Mixture(Gaussian()) if mixture is None else mixture
    check_n_samples(n_samples)
    X, _ = model.sample(p, n_samples, check_random_state(random_state))
    n_features = _n_features(q)
    if n_features not in (None, X.shape[1]):
        raise ValueError(
            f"q: expected a density of as many features as p has, {X.shape[1]}, got {n_features}. "
            "Take marginals of the features that both have."
        )
    return mean_log_ratio(model.posterior(p, X)[1], model.posterior(q, X)[1])


def _n_features(params: MixtureParameters[Any]) -> int | None:
    means = getattr(params.components, "means", None)
    return None if means is None else int(means.shape[1])


def check_n_samples(n_samples: int) -> None:
    """Raise if a sample is too small to have a standard error."""
    if n_samples < 2:
        raise ValueError(
            f"n_samples: expected 2 at least, for there to be a standard error, got {n_samples}."
        )


def mean_log_ratio(log_p: Array, log_q: Array) -> DivergenceEstimate:
    """The estimate from the log densities under p and q of rows drawn from p.

    Parameters
    ----------
    log_p, log_q : ndarray of shape (n_samples,)
    """
    if np.isneginf(log_q).any():
        # q denies what p can give.
        return DivergenceEstimate(np.inf, np.nan)
    log_ratio = np.asarray(log_p - log_q, dtype=np.float64)
    error = log_ratio.std(ddof=1) / np.sqrt(log_ratio.shape[0])
    return DivergenceEstimate(float(log_ratio.mean()), float(error))

"""A prior of means alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from em_toolkit.covariances.base import Covariances
from em_toolkit.priors.base import FirstMoments, FlatPrior
from em_toolkit.priors.checking import center_of, is_positive_definite, matrix_of
from em_toolkit.priors.moments import Moments
from em_toolkit.statistics import Array


@dataclass(frozen=True, eq=False)
class MeansPrior(FlatPrior):
    r"""A normal prior of the means, and none of the covariances.

    .. math:: \log p(\mu) = -\tfrac12 \sum_k (\mu_k - m)^\top V^{-1} (\mu_k - m)

    For given covariances the best means solve

    .. math:: (N_k \Sigma_k^{-1} + V^{-1}) \, \mu_k = N_k \Sigma_k^{-1} \bar x_k + V^{-1} m

    and for given means the covariances are those without it: they are found by turns, each of
    which raises the posterior (Meng & Rubin 1993, ECM), until the means rest.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        m, in the units of the data.
    covariance : ndarray of shape (n_features, n_features)
        V, in squared units of the data.
    """

    mean: Array
    covariance: Array

    alternations = 100

    def log_density(self, means: Array, covariances: Covariances, weights: Array) -> float:
        deviations = (means - self.mean).T
        solved = cho_solve(cho_factor(self.covariance), deviations)
        return -0.5 * float(np.sum(deviations * solved))

    def pull_on_means(self, means: Array) -> tuple[Array, Array]:
        precision = cho_solve(cho_factor(self.covariance), np.eye(self.mean.shape[0]))
        return (self.mean - means) @ precision, precision

    def mean_shifts(self, stats: FirstMoments, covariances: Covariances) -> Array:
        covariances.check_about(stats.origin)
        of_prior = cho_solve(cho_factor(self.covariance), np.eye(self.mean.shape[0]))
        shifts = np.empty(stats.origin.shape)
        for k, origin in enumerate(stats.origin):
            whitening = covariances.whiten(np.eye(origin.shape[0]), k)
            precision = whitening @ whitening.T
            pull = precision @ stats.first_moment[k] + of_prior @ (self.mean - origin)
            shifts[k] = np.linalg.solve(stats.count[k] * precision + of_prior, pull)
        return shifts


@dataclass(frozen=True, eq=False)
class NormalMeans:
    r"""A normal prior of the means of a Gaussian mixture, whatever their covariances.

    .. math:: \mu_k \sim \mathcal N(m, V)

    Unlike that of `NormalInverseWishart` it does not scale with Σ_k, and says nothing of it.

    Parameters
    ----------
    mean : array-like of shape (n_features,), default=None
        m, in the units of the data; the mean of the data if None.
    covariance : float or array-like of shape (n_features, n_features), default=None
        V, in squared units of the data; a number is that multiple of the identity, None the
        covariance of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit import GaussianMixture, NormalMeans
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> prior = NormalMeans(mean=[2.0], covariance=0.25)
    >>> GaussianMixture(1, prior=prior, reg_covar=0).fit(X).means_.round(3)
    array([[1.786]])
    """

    mean: npt.ArrayLike | None = None
    covariance: float | npt.ArrayLike | None = None

    def for_data(
        self,
        data: Moments,
        structure: type[Covariances],
        n_components: int,
    ) -> MeansPrior:
        """Return the prior with what the data say where nothing was given.

        As `NormalInverseWishart.for_data`.

        Parameters
        ----------
        data : Moments
        structure : type of Covariances
        n_components : int
        """
        covariance = data.covariance
        if self.covariance is not None:
            covariance = matrix_of(self.covariance, "covariance", data.mean.shape[0])
        elif not is_positive_definite(covariance):
            raise ValueError(
                "prior: the covariance of the data is singular, and no prior of means follows "
                "from it. Give a covariance."
            )
        mean = data.mean if self.mean is None else center_of(self.mean, data.mean.shape[0])
        return MeansPrior(mean, covariance)

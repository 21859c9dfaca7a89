"""A prior of means alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from em_toolkit.covariances.base import Covariances
from em_toolkit.priors.base import SMALLEST_COUNT, FirstMoments, FlatPrior
from em_toolkit.priors.checking import center_of, dependent_features, matrix_of
from em_toolkit.priors.moments import Moments
from em_toolkit.statistics import EPS, Array, IntArray

_MOST_LISTED = 6
_SINGULAR = "prior: the covariance of the data is singular, and no prior of means follows from it"


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
        return -0.5 * float(np.sum(np.square(self._whitened(means - self.mean))))

    def rounding_error(self, means: Array) -> float:
        # The triangular solution z of L z = δ is exact for another L, whose rows are other by d
        # roundings of their norms, the standard deviations. Then the rounding of the means.
        whitened = self._whitened(means - self.mean)
        deviations = np.sqrt(np.diagonal(self.covariance))
        pulls = np.abs(whitened @ self._inverse_factor) @ deviations
        solved = means.shape[1] * float(np.linalg.norm(whitened, axis=1) @ pulls)
        spacing = np.square(EPS * means) @ np.square(self._inverse_factor).sum(axis=0)
        return EPS * solved + 0.5 * float(spacing.sum())

    def pull_on_means(self, means: Array) -> tuple[Array, Array]:
        inverse = self._inverse_factor
        return self._whitened(self.mean - means) @ inverse, inverse.T @ inverse

    def mean_shifts(self, stats: FirstMoments, covariances: Covariances) -> Array:
        # With μ_k = o_k + L z the equations of the means are those of least squares,
        #     √N_k Wᵀ L z = Wᵀ f_k / √N_k,   z = L⁻¹ (m − o_k),
        # for V = L Lᵀ, Σ_k⁻¹ = W Wᵀ and first moments f_k. Solved by orthogonal triangularization,
        # they lose half of the digits that their normal equations lose.
        covariances.check_about(stats.origin)
        to_center = self._whitened(self.mean - stats.origin)
        roots = np.sqrt(np.maximum(stats.count, SMALLEST_COUNT))
        shifts = np.empty(stats.origin.shape)
        for k, root in enumerate(roots):
            rows = np.vstack([root * self._factor.T, stats.first_moment[k] / root])
            *of_data, moment = covariances.whiten(rows, k)
            system = np.vstack([np.transpose(of_data), np.eye(len(moment))])
            orthogonal, upper = np.linalg.qr(system)
            right = orthogonal.T @ np.append(moment, to_center[k])
            shifts[k] = self._factor @ solve_triangular(upper, right, check_finite=False)
        return shifts

    @cached_property
    def _factor(self) -> Array:
        """L, lower triangular, with V = L Lᵀ."""
        return np.asarray(np.linalg.cholesky(self.covariance))

    @cached_property
    def _inverse_factor(self) -> Array:
        return np.asarray(solve_triangular(self._factor, np.eye(len(self.mean)), lower=True))

    def _whitened(self, deviations: Array) -> Array:
        """Return L⁻¹ δ for each row δ."""
        solved = solve_triangular(self._factor, deviations.T, lower=True, check_finite=False)
        return np.asarray(solved.T)


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
        covariance of the data, which must have full rank.

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

        Parameters
        ----------
        data, structure, n_components
            As in `NormalInverseWishart.for_data`.
        """
        n_features = data.mean.shape[0]
        mean = data.mean if self.mean is None else center_of(self.mean, n_features)
        if self.covariance is not None:
            return MeansPrior(mean, matrix_of(self.covariance, "covariance", n_features))
        data.check_weight("covariance")
        _check_rank(data)
        return MeansPrior(mean, data.covariance)


def _check_rank(data: Moments) -> None:
    """Raise a `ValueError` that names the features for which the data's covariance is singular."""
    constant = np.flatnonzero(data.constant_features)
    if constant.size:
        raise ValueError(
            f"{_SINGULAR}: no variance in {_listed(constant)}. Leave out what is constant, or give "
            "a covariance."
        )
    dependent = dependent_features(data.covariance)
    if dependent.size:
        raise ValueError(
            f"{_SINGULAR}: {_listed(dependent)} are linearly dependent, or have too few rows in "
            "common. Leave out what follows from other features, or give a covariance, such as "
            "NormalMeans(covariance=np.diag(np.nanvar(X, axis=0)))."
        )


def _listed(features: IntArray) -> str:
    """Return features in words, the first few of many."""
    if len(features) == 1:
        return f"feature {features[0]}"
    shown = [str(feature) for feature in features[:_MOST_LISTED]]
    rest = len(features) - len(shown)
    *first, last = [*shown, f"{rest} more"] if rest else shown
    return f"features {', '.join(first)} and {last}"

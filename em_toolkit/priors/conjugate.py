"""The conjugate prior of normal components: normal means, inverse-Wishart covariances."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from em_toolkit.covariances.base import Covariances
from em_toolkit.priors.base import ComponentPrior
from em_toolkit.priors.checking import center_of, matrix_of
from em_toolkit.priors.moments import Moments
from em_toolkit.statistics import Array


@dataclass(frozen=True, eq=False)
class ConjugatePrior(ComponentPrior):
    """A prior of normal components in the form of the M-step; see `ComponentPrior`.

    Components of weight 0 have it too: such a component is where the prior is highest.

    Parameters
    ----------
    pseudo_count : float
        c > 0, in units of weight.
    scale : ndarray of shape (n_features, n_features)
        Ψ, in squared units of the data times units of weight.
    shrinkage : float
        κ ≥ 0, in units of weight.
    center : ndarray of shape (n_features,)
        m, in the units of the data.
    """

    pseudo_count: float
    scale: Array
    shrinkage: float
    center: Array
    _scatters: dict[tuple[type[Covariances], int], Array] = field(
        default_factory=dict, init=False, repr=False
    )

    def matrix(self, n_features: int) -> Array:
        return self.scale

    def scatter(self, structure: type[Covariances], n_components: int, n_features: int) -> Array:
        key = structure, n_components
        if key not in self._scatters:
            self._scatters[key] = structure.scatter_of(self.scale, n_components)
        return self._scatters[key]

    def log_density(self, means: Array, covariances: Covariances, weights: Array) -> float:
        quadratic = covariances.inner_product(self.scatter_at(means, type(covariances)))
        log_determinants = float(covariances.log_determinants.sum())
        return -0.5 * (self.pseudo_count * log_determinants + quadratic)


@dataclass(frozen=True, eq=False)
class NormalInverseWishart:
    r"""The conjugate prior of the components of a Gaussian mixture.

    .. math:: \Sigma_k \sim \mathcal W^{-1}(\Lambda, \nu), \qquad
              \mu_k \mid \Sigma_k \sim \mathcal N(m, \Sigma_k / \kappa)

    so that, up to a constant,

    .. math:: \log p(\mu_k, \Sigma_k) = -\tfrac12 \Big[ (\nu + d + 2) \log |\Sigma_k|
              + \operatorname{tr} \Sigma_k^{-1} \big( \Lambda
              + \kappa (\mu_k - m)(\mu_k - m)^\top \big) \Big].

    A covariance without off-diagonal entries has inverse-gamma variances instead, of shape ν/2
    and scale ς²/2: one for each feature, ς² = Λ_jj, or, if it is spherical, one in all,
    ς² = tr Λ / d. A covariance that all components share has one prior and not K. Without
    shrinkage, κ = 0, the means have no prior, and ν + d + 2 is ν + d + 1.

    The M-step for full covariances, with W_k the scatter about the mean of the rows, is

    .. math:: \mu_k = \frac{N_k \bar x_k + \kappa m}{N_k + \kappa}, \qquad
              \Sigma_k = \frac{\Lambda + W_k + \frac{\kappa N_k}{N_k + \kappa}
              (\bar x_k - m)(\bar x_k - m)^\top}{N_k + \nu + d + 2}

    The penalized likelihood is bounded: no component can shrink onto a point. The defaults, which
    say little and are mclust's, are those of Fraley & Raftery (2007, J. Classification 24, section
    3 and tables 1 to 3).

    Parameters
    ----------
    shrinkage : float, default=0.01
        κ ≥ 0, in rows: how many the prior of a mean counts for.
    mean : array-like of shape (n_features,), default=None
        m, in the units of the data; the mean of the data if None.
    dof : float, default=None
        ν > d − 1, in rows (if diagonal or spherical, ν > 0); d + 2 if None.
    scale : float or array-like of shape (n_features, n_features), default=None
        Λ, in squared units of the data; a number is that multiple of the identity. If None, the
        covariance of the data over K^(2/d), with n − 1 in its denominator (its diagonal, if it is
        singular); without off-diagonal entries, the mean of its diagonal in each feature.

    Examples
    --------
    Of four distinct points the likelihood of two components has no maximum:

    >>> import numpy as np
    >>> from em_toolkit import GaussianMixture, NormalInverseWishart
    >>> X = np.repeat([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 8.0]], 5, axis=0)
    >>> prior = NormalInverseWishart(dof=4, scale=0.5)
    >>> gm = GaussianMixture(2, reg_covar=0, prior=prior, random_state=0).fit(X)
    >>> gm.covariances_[0].round(3)
    array([[0.039, 0.01 ],
           [0.01 , 0.176]])
    """

    shrinkage: float = 0.01
    mean: npt.ArrayLike | None = None
    dof: float | None = None
    scale: float | npt.ArrayLike | None = None

    def for_data(
        self,
        data: Moments,
        structure: type[Covariances],
        n_components: int,
    ) -> ConjugatePrior:
        """Return the prior with what the data say where nothing was given.

        Parameters
        ----------
        data : Moments
        structure : type of Covariances
        n_components : int

        Raises
        ------
        ValueError
            For hyperparameters that define no prior.
        """
        n_features = data.mean.shape[0]
        least = structure.least_dof(n_features)
        dof = n_features + 2.0 if self.dof is None else float(self.dof)
        if not least < dof < np.inf:
            raise ValueError(
                f"prior: expected dof > {least:g} for {n_features} features, got {self.dof!r}. "
                f"None is {n_features + 2}."
            )
        if not 0.0 <= self.shrinkage < np.inf:
            raise ValueError(f"prior: expected shrinkage >= 0, got {self.shrinkage!r}.")
        n_copies = 1 if structure.shares_all(n_components, n_features) else n_components
        count, matrix = structure.inverse_wishart(dof, self._scale(data, structure, n_components))
        share = n_copies / n_components
        return ConjugatePrior(
            # The normal density of each mean has its own factor |Σ_k|^(−1/2).
            share * count + float(self.shrinkage > 0.0),
            share * matrix,
            float(self.shrinkage),
            self._mean(data),
        )

    def _mean(self, data: Moments) -> Array:
        if self.mean is None:
            return data.mean
        mean = center_of(self.mean, data.mean.shape[0])
        if self.shrinkage == 0.0:
            raise ValueError(
                "prior: got a mean and shrinkage=0, with which it has no effect. Give a positive "
                "shrinkage, or leave out the mean."
            )
        return mean

    def _scale(self, data: Moments, structure: type[Covariances], n_components: int) -> Array:
        n_features = data.mean.shape[0]
        if self.scale is None:
            data.check_weight("scale")
            return structure.default_scale(data.covariance) / n_components ** (2.0 / n_features)
        return matrix_of(self.scale, "scale", n_features)

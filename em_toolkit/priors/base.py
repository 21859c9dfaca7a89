"""The contract of a prior of normal components."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np

from em_toolkit.covariances.base import Covariances
from em_toolkit.statistics import Array

# A component without data has no moment either: anything that divides it will do.
SMALLEST_COUNT = float(np.finfo(np.float64).tiny)


class FirstMoments(Protocol):
    """The moments of weighted rows that a prior of means sees.

    Attributes
    ----------
    count : ndarray of shape (n_components,)
        Σ_i r_ik.
    first_moment : ndarray of shape (n_components, n_features)
        Σ_i r_ik (x_i − o_k).
    origin : ndarray of shape (n_components, n_features)
        o_k.
    """

    @property
    def count(self) -> Array: ...

    @property
    def first_moment(self) -> Array: ...

    @property
    def origin(self) -> Array: ...


class ComponentPrior(ABC):
    r"""A prior of means and covariances under which the M-step keeps its form.

    .. math:: \log p(\mu, \Sigma) = -\tfrac12 \sum_k \Big[ c \log |\Sigma_k|
              + \operatorname{tr} \Sigma_k^{-1} \big( \Psi
              + \kappa (\mu_k - m)(\mu_k - m)^\top \big) \Big]

    up to a constant: as if each component had c more rows, of scatter Ψ, and its mean had been
    seen κ times at m. The maximum is at

    .. math:: \mu_k = \frac{N_k \bar x_k + \kappa m}{N_k + \kappa}

    and at the covariances that the structure finds for counts N_k + c and scatters about these
    means to which Ψ + κ (μ_k − m)(μ_k − m)ᵀ is added. The structure is asked for nothing else:
    what its components share, their priors share too.

    Attributes
    ----------
    pseudo_count : float
        c ≥ 0, in units of weight. If it is positive, components without data have a prior too.
    shrinkage : float
        κ ≥ 0, in units of weight.
    center : ndarray of shape (n_features,) or float
        m.
    alternations : int
        How often at most, after the first time, means and covariances are found by turns: 0 where
        the best means do not depend on the covariances, as above.
    """

    pseudo_count: float
    shrinkage: float
    center: Array | float
    alternations: int = 0

    @abstractmethod
    def matrix(self, n_features: int) -> Array:
        """Return Ψ, of shape (n_features, n_features)."""

    @abstractmethod
    def scatter(self, structure: type[Covariances], n_components: int, n_features: int) -> Array:
        """Return Ψ for each component, in the shape of the structure's scatter.

        Parameters
        ----------
        structure : type of Covariances
        n_components, n_features : int
        """

    @abstractmethod
    def log_density(self, means: Array, covariances: Covariances, weights: Array) -> float:
        """Return log p(μ, Σ) in nats, up to a constant.

        Parameters
        ----------
        means : ndarray of shape (n_components, n_features)
        covariances : Covariances
        weights : ndarray of shape (n_components,)
            Of the components; one whose weight is 0 may have no prior.
        """

    def mean_shifts(self, stats: FirstMoments, covariances: Covariances) -> Array:
        """Return the best means, less the origin of the statistics, for these covariances.

        Parameters
        ----------
        stats : FirstMoments
        covariances : Covariances
            Of the components.

        Returns
        -------
        shifts : ndarray of shape (n_components, n_features)
        """
        count, moment = stats.count[:, None], stats.first_moment
        if self.shrinkage > 0.0:
            count = count + self.shrinkage
            moment = moment + self.shrinkage * (self.center - stats.origin)
        return np.asarray(moment / np.maximum(count, SMALLEST_COUNT))

    def pull_on_means(self, means: Array) -> tuple[Array, Array]:
        """Return the derivatives of a normal density of the means that does not depend on
        covariances.

        Returns
        -------
        gradient : ndarray of shape (n_components, n_features)
        information : ndarray of shape (n_features, n_features)
            Minus the second derivative, the same for all components.
        """
        return np.zeros(means.shape), np.zeros((means.shape[1], means.shape[1]))

    def rounding_error(self, means: Array) -> float:
        """Return what rounding may cost the density of the means, in nats.

        What is added to scatters is not part of it: it is rounded as they are.
        """
        return 0.0

    def add_scatter(self, scatter: Array, means: Array, structure: type[Covariances]) -> Array:
        """Return a scatter about these means with what the prior adds to it.

        Parameters
        ----------
        scatter : ndarray, in the shape of the structure's scatter
        means : ndarray of shape (n_components, n_features)
        structure : type of Covariances
        """
        return scatter + self.scatter_at(means, structure)

    def scatter_at(self, means: Array, structure: type[Covariances]) -> Array:
        """Return Ψ + κ (μ_k − m)(μ_k − m)ᵀ, in the shape of the structure's scatter.

        Parameters
        ----------
        means : ndarray of shape (n_components, n_features)
        structure : type of Covariances
        """
        scatter = self.scatter(structure, *means.shape)
        if self.shrinkage == 0.0:
            return scatter
        deviations = means - self.center
        return scatter + self.shrinkage * structure.outer(deviations, deviations)


class FlatPrior(ComponentPrior):
    """No prior: maximum likelihood."""

    pseudo_count = 0.0
    shrinkage = 0.0
    center = 0.0

    def matrix(self, n_features: int) -> Array:
        return np.zeros((n_features, n_features))

    def scatter(self, structure: type[Covariances], n_components: int, n_features: int) -> Array:
        return structure.scatter_of(self.matrix(n_features), n_components)

    def add_scatter(self, scatter: Array, means: Array, structure: type[Covariances]) -> Array:
        # Most fits have no prior, and need not add zeros.
        return scatter

    def log_density(self, means: Array, covariances: Covariances, weights: Array) -> float:
        return 0.0

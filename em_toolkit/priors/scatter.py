"""The prior that `reg_covar` is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from em_toolkit.priors.base import ComponentPrior
from em_toolkit.statistics import Array

if TYPE_CHECKING:
    from em_toolkit.families.covariance import Covariances


@dataclass(frozen=True)
class ScatterPrior(ComponentPrior):
    r"""A penalty that keeps covariances away from singular ones.

    .. math:: \log p(\Sigma_1, \dots, \Sigma_K)
              = -\tfrac12 \psi \sum_k \operatorname{tr} \Sigma_k^{-1}

    It is the limit of an inverse-Wishart density without pseudo-observations, and enters the
    M-step as scatter ψ I added to each component's own:

    .. math:: \Sigma_k = S_k + \frac{\psi}{N_k} I

    The penalized likelihood is bounded and its maximum consistent (Ciuperca, Ridolfi & Idier
    2003; Chen & Tan 2009). scikit-learn's ``reg_covar = ε`` adds ε I to every S_k, which
    maximizes no objective; ψ = ε n / K is the prior that adds the same to a component of average
    weight, and exactly the same to a tied covariance.

    Parameters
    ----------
    pseudo_scatter : float
        ψ ≥ 0, in squared units of the data times units of weight.
    """

    pseudo_scatter: float = 0.0

    pseudo_count = 0.0
    shrinkage = 0.0
    center = 0.0

    def matrix(self, n_features: int) -> Array:
        return self.pseudo_scatter * np.eye(n_features)

    def scatter(self, structure: type[Covariances], n_components: int, n_features: int) -> Array:
        return self.pseudo_scatter * structure.identity_scatter(n_components, n_features)

    def add_scatter(self, scatter: Array, means: Array, structure: type[Covariances]) -> Array:
        # Most fits have no prior, and need not add zeros.
        if self.pseudo_scatter == 0.0:
            return scatter
        return super().add_scatter(scatter, means, structure)

    def log_density(self, means: Array, covariances: Covariances, weights: Array) -> float:
        """log p(Σ_1, ..., Σ_K) in nats, up to a constant.

        A component of weight 0 has no prior: its covariance is no parameter of the density.
        """
        if self.pseudo_scatter == 0.0:
            return 0.0
        return -0.5 * self.pseudo_scatter * covariances.sum_of_inverse_traces(weights > 0.0)

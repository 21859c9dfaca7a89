"""The weights of a mixture: their prior, and which of them are held fixed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import xlogy

from em_toolkit.statistics import Array, BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class MixingWeights:
    r"""The M-step of the weights π_k, from the counts N_k.

    With a Dirichlet prior, log p(π) = Σ_k (α_k − 1) log π_k up to a constant, and the weights in a
    set F held fixed, the M-step for the others is

    .. math:: \pi_k = \Big(1 - \sum_{l \in F} \pi_l\Big)
              \frac{N_k + \alpha_k - 1}{\sum_{l \notin F} (N_l + \alpha_l - 1)}

    (Bishop 2006, eq. 9.22 with the prior of exercise 9.5 of MacKay 2003, and a Lagrange multiplier
    for what is free).

    Parameters
    ----------
    concentration : float or ndarray of shape (n_components,)
        α_k ≥ 1; 1 is maximum likelihood. Below 1 the density has no maximum.
    fixed : ndarray of bool of shape (n_components,), optional
        The components whose weights stay what they are at the start; by default none.
    """

    concentration: float | Array = 1.0
    fixed: BoolArray | None = None

    def maximize(self, weights: Array, count: Array) -> Array:
        """Return the weights that maximize the expected log joint density and prior.

        Parameters
        ----------
        weights : ndarray of shape (n_components,)
            The old ones, of which those held fixed are kept.
        count : ndarray of shape (n_components,)
            N_k, in units of the rows' weights.

        Returns
        -------
        weights : ndarray of shape (n_components,)
        """
        pseudo_count = count + (np.asarray(self.concentration) - 1.0)
        if self.fixed is None:
            return np.asarray(pseudo_count / pseudo_count.sum())
        free = ~self.fixed
        total = pseudo_count[free].sum()
        if not total > 0.0:
            # None of the data is in a component whose weight is free: any will do.
            return weights
        return self._with_free(pseudo_count / total, weights)

    def project(self, weights: Array, onto: Array) -> Array:
        """Return the weights with the fixed ones of `onto`, and the others in proportion.

        Parameters
        ----------
        weights, onto : ndarray of shape (n_components,)
        """
        if self.fixed is None:
            return weights
        total = weights[~self.fixed].sum()
        return self._with_free(weights / total, onto) if total > 0.0 else onto

    def unfixed(self) -> MixingWeights:
        """Return these weights with none held fixed."""
        return replace(self, fixed=None)

    def _with_free(self, shares: Array, weights: Array) -> Array:
        """Return weights of which the free ones share what the fixed ones leave."""
        assert self.fixed is not None
        # Not one less the fixed: that may be zero, or less, to rounding.
        left = weights[~self.fixed].sum()
        return np.where(self.fixed, weights, left * shares)

    def log_prior(self, weights: Array) -> float:
        """Return log p(π) in nats, up to a constant."""
        if isinstance(self.concentration, int | float) and self.concentration == 1.0:
            return 0.0
        return float(xlogy(np.asarray(self.concentration) - 1.0, weights).sum())

    def outside_support(self, weights: Array) -> IntArray:
        """Return the components of weight zero to which the prior gives the density zero."""
        concentration = np.broadcast_to(self.concentration, weights.shape)
        return np.flatnonzero((weights == 0.0) & (concentration > 1.0))

    def with_noise(self) -> MixingWeights:
        """Return these weights, and one more for the noise, which is free.

        A concentration that is one number is the noise's too; of several it has none.
        """
        concentration, fixed = self.concentration, self.fixed
        if np.ndim(concentration) > 0:
            concentration = np.append(concentration, 1.0)
        return MixingWeights(concentration, None if fixed is None else np.append(fixed, False))

    def n_parameters(self, n_components: int) -> int:
        """Return the number of free weights, less one for their sum."""
        n_free = n_components if self.fixed is None else int((~self.fixed).sum())
        return max(n_free - 1, 0)

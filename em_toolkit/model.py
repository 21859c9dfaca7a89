"""The contract of a latent variable model. Read this first.

A model is a pair of densities, p(z | θ) of a latent variable and p(x | z, θ) of what is seen. For
every distribution q of the latent variable,

    log p(x | θ) = ELBO(q, θ) + KL(q ‖ p(z | x, θ)),
    ELBO(q, θ)   = E_q[log p(x, z | θ)] + H[q],

so that the bound ELBO ≤ log p(x | θ) touches when q is the posterior. Expectation-maximization
climbs the bound by turns: the E-step sets q to the posterior, the M-step maximizes the bound over
θ with q held.

A model says how to take these two steps, in four short methods that touch no state:

    posterior(params, X)                      -> posterior, log_evidence
    statistics(params, X, posterior, weights) -> statistics
    maximize(params, statistics)              -> params
    expected_log_joint(params, statistics)    -> float

The loop, the monitor, restarts, blocks of rows, the ledger of the bound and the conformance suite
(`em_toolkit.testing.check_model`) come with the toolkit. X is a block of independent units, a row
each for the models shipped here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from em_toolkit.parameters import Parameters
from em_toolkit.statistics import EPS, Array, Statistics


class Block(NamedTuple):
    """Units and their weights.

    Parameters
    ----------
    X : ndarray of shape (n_units, ...)
    weights : ndarray of shape (n_units,)
    """

    X: Array
    weights: Array


class Posterior(Protocol):
    """The distribution q of the latent variables of a block of units."""

    @property
    def entropy(self) -> Array:
        """H[q] of each unit, in nats, of shape (n_units,)."""


P = TypeVar("P", bound=Parameters)
Q = TypeVar("Q", bound=Posterior)
S = TypeVar("S", bound=Statistics)


@dataclass(frozen=True, eq=False)
class Expectation(Statistics, Generic[S]):
    """What the E-step sums over blocks; a vector space itself.

    Parameters
    ----------
    statistics : Statistics
        Expected sufficient statistics under the posterior.
    entropy : float
        Entropy of the posterior, summed over units with their weights, in nats.
    log_evidence : float
        log p(x | θ), summed over units with their weights, in nats.
    weight : float
        The sum of the weights of the units.
    """

    statistics: S
    entropy: float
    log_evidence: float
    weight: float


class LatentVariableModel(ABC, Generic[P, Q, S]):
    """The contract. `P`, `Q`, `S` are the parameters, the posterior and the statistics."""

    @abstractmethod
    def posterior(self, params: P, X: Array) -> tuple[Q, Array]:
        """The exact posterior of a block, and log p(x | θ) of each unit, of shape (n_units,)."""

    @abstractmethod
    def statistics(self, params: P, X: Array, posterior: Q, weights: Array) -> S:
        """Expected sufficient statistics of a block: Σ_i w_i E_q[t(x_i, z_i)].

        They are additive over units. Second moments belong about an origin close to the data,
        such as the means in `params`: raw moments lose all digits when the data are far from
        zero.
        """

    @abstractmethod
    def maximize(self, params: P, stats: S) -> P:
        """The parameters that maximize E_q[log p(x, z | θ)] + log p(θ).

        `params` are those of the E-step that gave `stats`: what the statistics say nothing of (a
        component with no data) keeps its old value.
        """

    @abstractmethod
    def expected_log_joint(self, params: P, stats: S) -> float:
        """E_q[log p(x, z | θ)] in nats, with *every* constant, from the statistics alone.

        It may be asked for parameters other than those of the E-step: that gives the bound after
        an M-step without a pass over the data.
        """

    def log_prior(self, params: P) -> float:
        """log p(θ) in nats, up to a constant. Zero: maximum likelihood."""
        return 0.0

    def project(self, params: P, onto: P) -> P:
        """Return the nearest parameters that meet the model's constraints.

        The loop asks for it where parameters do not come from `maximize`: at the start, and where
        steps are extrapolated.

        Parameters
        ----------
        params : Parameters
        onto : Parameters
            Parameters that meet the constraints; what is held fixed is taken from them.

        Raises
        ------
        CollapseError
            For parameters that `maximize` would not return either.
        """
        return params

    def rounding_error(self, params: P, stats: S) -> float:
        """The size of the rounding error of `expected_log_joint`, in nats.

        The monitor takes 16 times this as its tolerance. A model whose terms cancel or whose
        matrices may be ill-conditioned overrides it with what that costs.
        """
        return EPS * abs(self.expected_log_joint(params, stats))

    def expectation(self, params: P, X: Array, weights: Array) -> Expectation[S]:
        """The E-step on one block. Override it to fuse the two passes; the sums must agree."""
        posterior, log_evidence = self.posterior(params, X)
        # Pairwise sums: a dot product adds one by one, and over thousands of equal rows its
        # roundings all go one way.
        return Expectation(
            statistics=self.statistics(params, X, posterior, weights),
            entropy=float(np.sum(weights * posterior.entropy)),
            log_evidence=float(np.sum(weights * log_evidence)),
            weight=float(np.sum(weights)),
        )

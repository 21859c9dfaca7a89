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
(`em_toolkit.testing.check_model`) come with the toolkit. X holds independent units: the rows of
an array, or whatever else has a length and can be taken by indices (`em_toolkit.data`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from em_toolkit.data import Block
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import EPS, Array, RandomSource, Statistics


class Guarantee(Enum):
    """The promise of an E-step, to which the monitor holds it."""

    EXACT = "q is the posterior: the bound touches the evidence, and never falls"
    MONOTONE = "q is no worse than the one before: the bound never falls"
    STOCHASTIC = "the bound is an estimate, or a step is: it may fall"


# A sum over all blocks of data, in one pass, of what a function makes of each.
Total = Callable[[Callable[[Block], Any]], Any]


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
    """The sums of an E-step over blocks; a vector space itself.

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
    entropy_within : float
        The part of `entropy` that is of what else is latent, given z (`entropy_within` of a
        model).
    """

    statistics: S
    entropy: float
    log_evidence: float
    weight: float
    entropy_within: float = 0.0


class LatentVariableModel(ABC, Generic[P, Q, S]):
    """The contract. `P`, `Q`, `S` are the parameters, the posterior and the statistics.

    Attributes
    ----------
    guarantee : Guarantee
        The promise of the E-step. Unless it is ``EXACT``, the bound is the ELBO itself, and
        `posterior` may return NaN for an evidence that it does not know.
    """

    guarantee: ClassVar[Guarantee] = Guarantee.EXACT

    @abstractmethod
    def posterior(self, params: P, X: Any) -> tuple[Q, Array]:
        """Return the posterior of units, and their log evidence.

        Parameters
        ----------
        params : Parameters
        X : ndarray of shape (n_units, ...), or Units

        Returns
        -------
        posterior : Posterior
            q, the exact posterior if `guarantee` is ``EXACT``.
        log_evidence : ndarray of shape (n_units,)
            log p(x | θ) of each unit, in nats.
        """

    def posterior_given(self, params: P, X: Any, known: Any) -> tuple[Q, Array]:
        """Return the posterior of units whose latent variables are known in part.

        Parameters
        ----------
        params : Parameters
        X : ndarray of shape (n_units, ...), or Units
        known : object
            What is known, as `Block.known` has it.

        Returns
        -------
        posterior : Posterior
        log_evidence : ndarray of shape (n_units,)
            log p(x, known | θ) of each unit, in nats.

        Raises
        ------
        TypeError
            By default: the model knows nothing of latent variables that are known.
        """
        raise TypeError(
            f"{type(self).__name__} does not take units whose latent variables are known in part: "
            "it has no method posterior_given. Leave out what is known of them."
        )

    @abstractmethod
    def statistics(self, params: P, X: Any, posterior: Q, weights: Array) -> S:
        """Return the expected sufficient statistics of units, Σ_i w_i E_q[t(x_i, z_i)].

        They are additive over units, and taken under the posterior that is passed in. `params`
        give the origin of second moments, and nothing else: raw moments lose all digits when the
        data are far from zero.

        Parameters
        ----------
        params : Parameters
        X : ndarray of shape (n_units, ...), or Units
        posterior : Posterior
        weights : ndarray of shape (n_units,)
        """

    @abstractmethod
    def maximize(self, params: P, stats: S) -> P:
        """Return the parameters that maximize E_q[log p(x, z | θ)] + log p(θ).

        Parameters
        ----------
        params : Parameters
            Those of the E-step that gave the statistics: what these say nothing of (a component
            with no data) keeps its old value.
        stats : Statistics
        """

    @abstractmethod
    def expected_log_joint(self, params: P, stats: S) -> float:
        """Return E_q[log p(x, z | θ)] in nats, with *every* constant, from the statistics alone.

        Parameters
        ----------
        params : Parameters
            Perhaps other than those of the E-step: that gives the bound after an M-step without a
            pass over the data.
        stats : Statistics
        """

    def expected_log_likelihood(self, params: P, stats: S) -> float:
        """Return E_q[log p(x | z, θ)] in nats, from the statistics alone; NaN if it is unknown.

        It is the first term of the other form of the bound,

            ELBO(q, θ) = E_q[log p(x | z, θ)] − KL(q ‖ p(z | θ)),

        and `expected_log_joint` is this plus E_q[log p(z | θ)]. The default knows nothing of it,
        and the trace then has NaN for the two terms.

        Parameters
        ----------
        params : Parameters
        stats : Statistics
        """
        return math.nan

    def entropy_within(self, posterior: Q, weights: Array) -> float:
        """Return the entropy of what is latent beside z, given z, summed over units.

        It is for models whose density p(x | z, θ) integrates something out itself: in a mixture,
        what is latent within a component (missing entries, a scale). There
        `expected_log_likelihood` is of the density of x and of that, and with this entropy it is
        the first term of the bound; the prior of the second term is that of z alone. By default
        there is nothing of the kind.

        Parameters
        ----------
        posterior : Posterior
        weights : ndarray of shape (n_units,)
        """
        return 0.0

    def log_prior(self, params: P) -> float:
        """Return log p(θ) in nats, up to a constant. Zero: maximum likelihood.

        Where q covers parameters, too, it is −KL(q(θ) ‖ p(θ)).
        """
        return 0.0

    def about(self, params: P, stats: S) -> S:
        """Return the same statistics about the origin that parameters give.

        Statistics about unlike origins do not add; online EM, for one, moves what it has summed
        up to the origin of the next block. The default is for statistics that have no origin.

        Parameters
        ----------
        params : Parameters
        stats : Statistics
        """
        return stats

    def refine(self, params: P, total: Total) -> P:
        """Return parameters improved in what no statistics can say: the first half of an E-step.

        It is for a q with parameters of its own (an encoder), and for a θ without sufficient
        statistics (a network), which `maximize` then returns as it is given. Unless `guarantee`
        is ``STOCHASTIC``, no refinement may lower the ELBO.

        Parameters
        ----------
        params : Parameters
        total : callable
            ``total(function)`` is Σ function(block) over all blocks of the data, in one pass;
            what the function returns adds.
        """
        return params

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
        """Return the size of the rounding error of `expected_log_joint`, in nats.

        The monitor takes 16 times this as its tolerance. A model whose terms cancel or whose
        matrices may be ill-conditioned overrides it with what that costs.

        Parameters
        ----------
        params : Parameters
        stats : Statistics
        """
        return EPS * abs(self.expected_log_joint(params, stats))

    def n_parameters(self, params: P) -> int:
        """Return the number of free parameters; by default, that of the free coordinates.

        Parameters
        ----------
        params : Parameters
        """
        return int(params.to_vector().size)

    def sample(self, params: P, n_units: int, rng: RandomSource) -> tuple[Any, Any]:
        """Return units drawn from the model, and their latent variables.

        Parameters
        ----------
        params : Parameters
        n_units : int
        rng : RandomState or Generator

        Raises
        ------
        NotImplementedError
            By default: the model cannot be sampled.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method sample")

    def expectation(self, params: P, X: Any, weights: Array, known: Any = None) -> Expectation[S]:
        """Return the sums of the E-step over one block.

        Override it to fuse the posterior and the statistics; the sums must agree.

        Parameters
        ----------
        params : Parameters
        X : ndarray of shape (n_units, ...), or Units
        weights : ndarray of shape (n_units,)
        known : object, optional
            What is known of the latent variables; nothing by default.
        """
        if known is None:
            posterior, log_evidence = self.posterior(params, X)
        else:
            posterior, log_evidence = self.posterior_given(params, X, known)
        # Pairwise sums: a dot product adds one by one, and over thousands of equal rows its
        # roundings all go one way.
        return Expectation(
            statistics=self.statistics(params, X, posterior, weights),
            entropy=float(np.sum(weights * posterior.entropy)),
            log_evidence=float(np.sum(weights * log_evidence)),
            weight=float(np.sum(weights)),
            entropy_within=self.entropy_within(posterior, weights),
        )

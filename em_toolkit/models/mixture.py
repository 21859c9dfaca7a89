"""Finite mixtures of any family."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from scipy.special import xlogy

from em_toolkit.data import Block
from em_toolkit.families.base import NEGLIGIBLE_RESPONSIBILITY, Family, Within
from em_toolkit.families.box import Box
from em_toolkit.families.with_noise import WithNoise
from em_toolkit.model import Expectation, LatentVariableModel
from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.parameters import Parameters, real, simplex
from em_toolkit.statistics import EPS, Array, IntArray, RandomSource, sum_by_pairs

C = TypeVar("C", bound=Parameters)
# The label of a row of whose component nothing is known.
UNKNOWN = -1
_SMALLEST_LOG = float(np.log(np.finfo(np.float64).smallest_subnormal)) - 1.0


@dataclass(frozen=True, eq=False)
class MixtureParameters(Parameters, Generic[C]):
    """Weights and components.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
        π_k ≥ 0, summing to one.
    components : Parameters
        The parameters of the family.
    """

    weights: Array = simplex()
    components: C = real()

    @property
    def log_weights(self) -> Array:
        """log π_k, −inf for a component of weight zero."""
        with np.errstate(divide="ignore"):
            return np.log(self.weights)

    def check(self) -> None:
        self.components.check()


@dataclass(frozen=True, eq=False)
class Responsibilities:
    """The posterior of a block: p(k | x_i), of shape (n_rows, n_components).

    Parameters
    ----------
    responsibilities, log_responsibilities : ndarray of shape (n_rows, n_components)
    within : Within, optional
        The posterior, given k, of what else of a row is latent (its missing entries, its scale).
    """

    responsibilities: Array
    log_responsibilities: Array
    within: Within | None = None

    @cached_property
    def entropy(self) -> Array:
        # The logarithm of a responsibility of zero may be −inf, and 0 · −inf is not 0.
        logs = np.maximum(self.log_responsibilities, _SMALLEST_LOG)
        surprise = -logs if self.within is None else self.within.entropy - logs
        return np.einsum("ik,ik->i", self.responsibilities, surprise)


class Mixture(LatentVariableModel[MixtureParameters[C], Responsibilities, Any], Generic[C]):
    r"""A mixture of K components of one family.

    .. math:: p(x \mid \theta) = \sum_k \pi_k \, p(x \mid k)

    The E-step gives the responsibilities (Bishop 2006, eq. 9.23), the M-step the weights
    (eq. 9.22) and, by the family, the components:

    .. math:: r_{ik} = \frac{\pi_k p(x_i \mid k)}{\sum_l \pi_l p(x_i \mid l)}, \qquad
              \pi_k = \frac{1}{n} \sum_i r_{ik}

    Its statistics are those of the family: their ``count`` is all that the weights need.

    The components of some rows may be known: a block's ``known`` are then labels c_i, the index of
    the component of each row, or −1 where it is unknown.

    .. math:: \log p(x_i, c_i \mid \theta) = \begin{cases}
              \log \pi_{c_i} + \log p(x_i \mid c_i) & \text{if the label is known} \\
              \log \sum_k \pi_k \, p(x_i \mid k) & \text{if it is not} \end{cases}

    The posterior of a row with a known label is that label; the M-step stays the same (McLachlan &
    Peel 2000, Finite Mixture Models, section 2.19; O'Neill 1978). Which rows are labelled may
    depend on what is seen of them, but not on their components otherwise: the weights take the
    labelled rows for a part of the same population.

    Parameters
    ----------
    family : Family
        What a component is.
    mixing : MixingWeights, optional
        The prior of the weights, and which of them are held fixed; by default none.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit.families import Poisson, PoissonRates
    >>> from em_toolkit.models import Mixture, MixtureParameters
    >>> mixture = Mixture(Poisson())
    >>> params = MixtureParameters(np.array([0.5, 0.5]), PoissonRates(np.array([[1.0], [3.0]])))
    >>> posterior, log_evidence = mixture.posterior(params, np.array([[0.0], [9.0]]))
    >>> posterior.responsibilities.round(3)
    array([[0.881, 0.119],
           [0.   , 1.   ]])

    Of two rows alike, the second is known to be of the last component:

    >>> zeros = np.zeros((2, 1))
    >>> posterior, log_evidence = mixture.posterior_given(params, zeros, np.array([-1, 1]))
    >>> posterior.responsibilities.round(3)
    array([[0.881, 0.119],
           [0.   , 1.   ]])
    """

    def __init__(self, family: Family[C, Any], mixing: MixingWeights | None = None) -> None:
        self.family = family
        self.mixing = MixingWeights() if mixing is None else mixing

    def with_noise(self, box: Box) -> Mixture[C]:
        """Return this mixture with a component of noise in a box beside its own."""
        return Mixture(WithNoise(self.family, box), self.mixing.with_noise())

    def joint(self, params: MixtureParameters[C], X: Array) -> tuple[Within | None, Array]:
        """Return what is latent within each component, and log p(x_i, k).

        Parameters
        ----------
        params : MixtureParameters
        X : ndarray of shape (n_rows, n_features)

        Returns
        -------
        within : Within or None
        log_joint : ndarray of shape (n_rows, n_components)
            In nats.
        """
        within, log_joint = self.family.posterior(params.components, X)
        log_joint += params.log_weights
        return within, log_joint

    def log_joint(self, params: MixtureParameters[C], X: Array) -> Array:
        """Return log p(x_i, k) in nats, of shape (n_rows, n_components).

        Parameters
        ----------
        params : MixtureParameters
        X : ndarray of shape (n_rows, n_features)
        """
        return self.joint(params, X)[1]

    def posterior(self, params: MixtureParameters[C], X: Array) -> tuple[Responsibilities, Array]:
        return _posterior(params, *self.joint(params, X))

    def posterior_given(
        self, params: MixtureParameters[C], X: Array, known: IntArray
    ) -> tuple[Responsibilities, Array]:
        within, log_joint = self.joint(params, X)
        components = np.arange(log_joint.shape[1])
        log_joint[(known[:, None] != UNKNOWN) & (known[:, None] != components)] = -np.inf
        return _posterior(params, within, log_joint)

    def expectation_by_parts(
        self, params: MixtureParameters[C], X: Array, weights: Array, known: IntArray
    ) -> Expectation[Any]:
        """Return the expectation of rows of which the components of some are known.

        For a subclass that has a faster E-step for the rows of which nothing is known.

        Parameters
        ----------
        params : MixtureParameters
        X : ndarray of shape (n_rows, n_features)
        weights : ndarray of shape (n_rows,)
        known : ndarray of int of shape (n_rows,)
            Components, and −1 where they are unknown.
        """
        rest = known == UNKNOWN
        if not rest.any():
            return super().expectation(params, X, weights, known)
        expectation = self.expectation(params, np.ascontiguousarray(X[rest]), weights[rest])
        if rest.all():
            return expectation
        return expectation + super().expectation(params, X[~rest], weights[~rest], known[~rest])

    def statistics(
        self, params: MixtureParameters[C], X: Array, posterior: Responsibilities, weights: Array
    ) -> Any:
        responsibilities = posterior.responsibilities * weights[:, None]
        return self.family.statistics(params.components, X, responsibilities, posterior.within)

    def about(self, params: MixtureParameters[C], stats: Any) -> Any:
        return self.family.about(params.components, stats)

    def maximize(self, params: MixtureParameters[C], stats: Any) -> MixtureParameters[C]:
        weights = self.mixing.maximize(params.weights, stats.count)
        return MixtureParameters(weights, self.family.maximize(params.components, stats))

    def expected_log_joint(self, params: MixtureParameters[C], stats: Any) -> float:
        log_weights = float(xlogy(stats.count, params.weights).sum())
        return log_weights + self._expected_log_density(params, stats)

    def expected_log_likelihood(self, params: MixtureParameters[C], stats: Any) -> float:
        return self._expected_log_density(params, stats)

    def _expected_log_density(self, params: MixtureParameters[C], stats: Any) -> float:
        density: float = stats.kept(
            "_log_density", params.components, self.family.expected_log_density
        )
        return density

    def entropy_within(self, posterior: Responsibilities, weights: Array) -> float:
        if posterior.within is None:
            return 0.0
        of_units = np.einsum("ik,ik->i", posterior.responsibilities, posterior.within.entropy)
        return float(np.sum(weights * of_units))

    def log_prior(self, params: MixtureParameters[C]) -> float:
        prior_of_components = self.family.log_prior(params.components, params.weights)
        return self.mixing.log_prior(params.weights) + prior_of_components

    def project(
        self, params: MixtureParameters[C], onto: MixtureParameters[C]
    ) -> MixtureParameters[C]:
        weights = self.mixing.project(params.weights, onto.weights)
        components = self.family.project(params.components, onto.components)
        if weights is params.weights and components is params.components:
            return params
        return MixtureParameters(weights, components)

    def rounding_error(self, params: MixtureParameters[C], stats: Any) -> float:
        sizes = np.abs(xlogy(stats.count, params.weights)).sum()
        return EPS * float(sizes) + self.family.rounding_error(params.components, stats)

    def from_responsibilities(self, blocks: Iterable[tuple[Block, Array]]) -> MixtureParameters[C]:
        """Return the first M-step: parameters from responsibilities that no parameters gave.

        Nothing is held fixed in it: what the fit holds is what is found here. It reads the data
        twice: the means of the components first, for they are the origin about which the moments
        are taken.

        Parameters
        ----------
        blocks : iterable of (Block, ndarray of shape (n_rows, n_components))
            Rows with their weights, and the responsibilities of the rows.
        """
        family = self.family.unfixed()
        components = family.reference(self._start_moments(blocks))
        stats = sum_by_pairs(
            family.statistics(components, X, weights[:, None] * responsibilities)
            for (X, weights, _), responsibilities in blocks
        )
        n_components = stats.count.shape[0]
        weights = self.mixing.unfixed().maximize(np.full(n_components, 1.0), stats.count)
        return MixtureParameters(weights, family.maximize(components, stats))

    def from_points(self, points: Array, blocks: Iterable[Block]) -> MixtureParameters[C]:
        """Return a component on each point, of equal weights.

        Parameters
        ----------
        points : ndarray of shape (n_components, n_features)
        blocks : iterable of Block
            The data, from which the components take their spread.
        """
        n_components = points.shape[0]
        start_moments = self._start_moments((block, np.ones((len(block.X), 1))) for block in blocks)
        return MixtureParameters(
            np.full(n_components, 1.0 / n_components),
            self.family.around_points(points, start_moments),
        )

    def _start_moments(self, blocks: Iterable[tuple[Block, Array]]) -> Any:
        def parts() -> Iterator[Any]:
            origin = None
            for (X, weights, _), responsibilities in blocks:
                if origin is None:
                    # The mean of some of the data: a single row may be far from all others.
                    origin = X[0] + weights @ (X - X[0]) / (weights.sum() or 1.0)
                yield self.family.start_moments(X, weights[:, None] * responsibilities, origin)

        return sum_by_pairs(parts())

    def n_parameters(self, params: MixtureParameters[C]) -> int:
        """Return the number of free parameters."""
        n_weights = self.mixing.n_parameters(params.weights.shape[0])
        return n_weights + self.family.n_parameters(params.components)

    def sample(
        self, params: MixtureParameters[C], n_rows: int, rng: RandomSource
    ) -> tuple[Array, IntArray]:
        """Draw rows, grouped by component.

        Parameters
        ----------
        params : MixtureParameters
        n_rows : int
        rng : RandomState or Generator

        Returns
        -------
        X : ndarray of shape (n_rows, n_features)
        labels : ndarray of int of shape (n_rows,)
            The component of each row, ascending.
        """
        counts = rng.multinomial(n_rows, params.weights / params.weights.sum())
        labels = np.repeat(np.arange(counts.shape[0]), counts)
        return self.family.sample(params.components, labels, rng), labels


def _posterior(
    params: MixtureParameters[C], within: Within | None, log_joint: Array
) -> tuple[Responsibilities, Array]:
    """Return the posterior of rows whose log p(x_i, k) is known, which it overwrites.

    log p(x_i, k) is −inf where a row cannot be of a component.
    """
    highest = log_joint.max(axis=1, keepdims=True)
    impossible = np.isneginf(highest[:, 0])
    if impossible.any():
        # No component gives these rows any probability: they say nothing of z.
        log_joint[impossible] = params.log_weights
        highest = log_joint.max(axis=1, keepdims=True)
    log_joint -= highest
    responsibilities = np.exp(log_joint)
    total = responsibilities.sum(axis=1, keepdims=True)
    responsibilities /= total
    # So that products of what is left with weights and data do not underflow by halves, a
    # sum positive and its quotient zero.
    responsibilities[responsibilities < NEGLIGIBLE_RESPONSIBILITY] = 0.0
    log_total = np.log(total)
    log_joint -= log_total
    log_evidence = np.where(impossible, -np.inf, (highest + log_total)[:, 0])
    return Responsibilities(responsibilities, log_joint, within), log_evidence

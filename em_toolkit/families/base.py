"""The contract of a component family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from em_toolkit.parameters import Parameters
from em_toolkit.statistics import EPS, Array, IntArray, RandomSource, Statistics


@dataclass(frozen=True, eq=False)
class ComponentStatistics(Statistics):
    """Base of the statistics of K components.

    Parameters
    ----------
    count : ndarray of shape (n_components,)
        Weighted sum of the responsibilities of each component.
    """

    count: Array


C = TypeVar("C", bound=Parameters)
T = TypeVar("T", bound=ComponentStatistics)

# Responsibilities below this are zero: what is left may be multiplied by weights and data without
# underflow.
NEGLIGIBLE_RESPONSIBILITY = 1e-150
# How large the terms of a log density may be beside it, where a family does not say.
TERMS = 8.0


def total_responsibilities(responsibilities: Array) -> Array:
    """Σ_i r_ik, of shape (n_components,), by pairwise sums.

    NumPy sums pairwise along the rows of memory alone; down the columns it adds one by one.
    """
    return np.asarray(np.ascontiguousarray(responsibilities.T).sum(axis=1))


class Within(Protocol):
    """The posterior, given the component, of what else of a row is latent.

    That may be a scale (as in a Student-t density), or the missing entries of the row.
    """

    @property
    def entropy(self) -> Array:
        """The entropy of what is latent within, in nats, of shape (n_rows, n_components)."""


class Family(ABC, Generic[C, T]):
    """K densities p(x | k) of one family, with their parameters in one object.

    A family knows nothing of the latent structure: a mixture, or another structure, gives it
    responsibilities r_ik ≥ 0 (already multiplied by the weights of the rows).
    """

    # Components that are of another kind than the rest, and stand at the end.
    n_unlike = 0
    # Whether rows may have NaN entries, which the family integrates out.
    takes_missing_entries = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def posterior(self, components: C, X: Array) -> tuple[Within | None, Array]:
        """Return what is latent within each component, and the log densities of rows.

        Parameters
        ----------
        components : Parameters
        X : ndarray of shape (n_rows, n_features)

        Returns
        -------
        within : Within or None
            The posterior of what else of a row is latent, given the component; None if nothing
            is. Structures add its entropy to theirs, and hand it on to `statistics`.
        log_density : ndarray of shape (n_rows, n_components)
            log p(x_i | k) in nats, what is latent integrated out.
        """

    @abstractmethod
    def statistics(self, components: C, X: Array, responsibilities: Array, within: Any = None) -> T:
        """Return Σ_i r_ik E[t(x_i)], about the means in `components` where there are moments.

        Parameters
        ----------
        components : Parameters
        X : ndarray of shape (n_rows, n_features)
        responsibilities : ndarray of shape (n_rows, n_components)
            r_ik, times the weights of the rows.
        within : Within, optional
            What `posterior` found for these rows, if anything.
        """

    @abstractmethod
    def maximize(self, components: C, stats: T) -> C:
        """Return the maximizer of `expected_log_density` + `log_prior`.

        Parameters
        ----------
        components : Parameters
            Those of the E-step: components without data keep their values.
        stats : ComponentStatistics
        """

    @abstractmethod
    def expected_log_density(self, components: C, stats: T) -> float:
        """Return Σ_k Σ_i r_ik E[log p(x_i, what is latent | k)], every constant included.

        Parameters
        ----------
        components : Parameters
        stats : ComponentStatistics
        """

    def log_density(self, components: C, X: Array) -> Array:
        """Return log p(x_i | k) in nats, of shape (n_rows, n_components).

        Parameters
        ----------
        components : Parameters
        X : ndarray of shape (n_rows, n_features)
        """
        return self.posterior(components, X)[1]

    def about(self, components: C, stats: T) -> T:
        """Return the same statistics about the means of components.

        The default is for statistics that have no origin.

        Parameters
        ----------
        components : Parameters
        stats : ComponentStatistics
        """
        return stats

    def expected_rows(self, components: C, X: Array, responsibilities: Array) -> Array:
        """Return Σ_k r_ik E[x_i | what was observed, k]: rows whose NaN entries are filled in.

        It is for families that take missing entries.

        Parameters
        ----------
        components : Parameters
        X : ndarray of shape (n_rows, n_features)
        responsibilities : ndarray of shape (n_rows, n_components)
        """
        raise TypeError(f"{type(self).__name__} does not take rows with missing entries (NaN).")

    def drawn_rows(self, components: C, X: Array, labels: IntArray, noise: Array) -> Array:
        """Return rows whose NaN entries are drawn from their posterior given the component.

        It is for families that take missing entries.

        Parameters
        ----------
        components : Parameters
        X, noise : ndarray of shape (n_rows, n_features)
            The rows, and standard normal numbers for them.
        labels : ndarray of shape (n_rows,)
            The component of each row.
        """
        raise TypeError(f"{type(self).__name__} does not take rows with missing entries (NaN).")

    def log_prior(self, components: C, weights: Array) -> float:
        """Return log p(θ) in nats, up to a constant, of the components whose weight is not 0.

        Parameters
        ----------
        components : Parameters
        weights : ndarray of shape (n_components,)
            Those of the mixture.
        """
        return 0.0

    def project(self, components: C, onto: C) -> C:
        """Return the nearest components that meet the family's constraints.

        Parameters
        ----------
        components : Parameters
        onto : Parameters
            Components from which what is held fixed is taken.
        """
        return components

    def unfixed(self) -> Family[C, T]:
        """Return the family with nothing held fixed: at a start there is nothing to hold yet."""
        return self

    def rounding_error(self, components: C, stats: T) -> float:
        """Return the size of the rounding error of `expected_log_density`, in nats.

        A family whose terms cancel, or whose matrices may be ill-conditioned, overrides it.

        Parameters
        ----------
        components : Parameters
        stats : ComponentStatistics
        """
        # Log densities are sums of terms that are larger and partly cancel.
        return TERMS * EPS * abs(self.expected_log_density(components, stats))

    def n_parameters(self, components: C) -> int:
        """Return the number of free parameters; by default, that of the free coordinates.

        Parameters
        ----------
        components : Parameters
        """
        return int(components.to_vector().size)

    # -- optional: starts from responsibilities, and from points ----------------------------------

    def start_moments(self, X: Array, responsibilities: Array, origin: Array) -> T:
        """Return the sums over a block that a start needs, before there are components.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
        responsibilities : ndarray of shape (n_rows, n_components)
        origin : ndarray of shape (n_features,)
            A place among the data, for moments to be taken about.
        """
        raise NotImplementedError(
            f"{type(self).__name__} finds no start from data: give components to start from."
        )

    def reference(self, start_moments: T) -> C:
        """Return components for a first M-step: the weighted means, the spread of all data.

        A component to which no responsibility was given takes the mean of all the data.

        Parameters
        ----------
        start_moments : ComponentStatistics
        """
        raise NotImplementedError(
            f"{type(self).__name__} finds no start from data: give components to start from."
        )

    def around_points(self, points: Array, start_moments: T) -> C:
        """Return components each placed on a point.

        Parameters
        ----------
        points : ndarray of shape (n_components, n_features)
        start_moments : ComponentStatistics
            That of all the data as one component.
        """
        raise NotImplementedError(f"{type(self).__name__} has no start from points")

    # -- optional: draws ---------------------------------------------------------------------------

    def sample(self, components: C, labels: IntArray, rng: RandomSource) -> Array:
        """Return a row from the component of each label, of shape (n_rows, n_features).

        Components are drawn one after the other, in their order.

        Parameters
        ----------
        components : Parameters
        labels : ndarray of int of shape (n_rows,)
        rng : RandomState or Generator
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be sampled")

"""Rules by which the covariance matrices of the components share their entries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_toolkit.statistics import EPS, Array, BoolArray

# A standard deviation of fewer than this many spacings of floating-point numbers at the mean is
# rounding, not spread; a pivot smaller than this many roundings of its variance is no pivot.
RESOLUTION = 8.0
SMALLEST_VARIANCE = float(np.finfo(np.float64).tiny) / EPS
# Of the largest variance: of less, a floor is nothing beside the roundings of the data.
_LEAST_FLOOR = 1e-250
_LARGE_WEIGHT = 1e50
# Beyond the roundings of a user's single precision.
_ALIKE = 1e-5


class Rule(ABC):
    """A rule by which K covariance matrices share their entries, and its M-step.

    Its methods are given the class of covariances, `kind`, that says how the matrices are kept.
    The defaults are those of components that share nothing.
    """

    @abstractmethod
    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Return the number of free parameters.

        Parameters
        ----------
        n_components, n_features : int
        """

    @abstractmethod
    def from_scatter(
        self,
        kind: Any,
        scatter: Array,
        count: Array,
        n_features: int,
        previous: Any,
        floor: float,
    ) -> Any:
        r"""Return the maximizer of −½ Σ_k [N_k log |Σ_k| + tr Σ_k⁻¹ A_k] subject to Σ_k ⪰ ε I.

        A rule without a closed form iterates from the previous covariances: none that it returns
        are worse than these. It keeps what a component without data shares with no other.

        Parameters
        ----------
        kind : type of Covariances
        scatter : ndarray, of the structure's shape
            A_k, in squared units of the data times units of weight.
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        n_features : int
        previous : Covariances or None
            The covariances before; where there is a floor, none of their variances is below it.
        floor : float
            ε ≥ 0, in squared units of the data: the least variance in any direction (Hathaway
            1985; Ingrassia & Rocci 2007).
        """

    def nearest(self, covariances: Any) -> Any:
        """Return the nearest covariances that share what the rule says."""
        return covariances

    def problem(self, kind: Any, precisions: Array) -> str:
        """Return what inverse covariances should have in common and have not, "" if nothing.

        Parameters
        ----------
        kind : type of Covariances
        precisions : ndarray
            In scikit-learn's shape.
        """
        return ""

    def scatter_around_points(self, kind: Any, total: Array, n_components: int) -> Array:
        """Return the scatter of a start where each component is a point.

        A component that is a point knows nothing of its spread: zero. (A matrix shared by the
        components knows the spread of all the data.)

        Parameters
        ----------
        kind : type of Covariances
        total : ndarray of shape (n_features, n_features)
            The scatter of all the data.
        n_components : int
        """
        nothing: Array = kind.scatter_of(np.zeros_like(total), n_components)
        return nothing

    def or_previous(
        self, covariances: Any, known: BoolArray, settled: BoolArray, previous: Any
    ) -> Any:
        """Return covariances of components that hold data and have settled, else the previous.

        Parameters
        ----------
        covariances : Covariances
        known, settled : ndarray of bool of shape (n_components,)
        previous : Covariances
        """
        chosen = known & settled
        if chosen.all():
            return covariances
        mask = chosen.reshape((-1,) + (1,) * (covariances.values.ndim - 1))
        return replace(covariances, values=np.where(mask, covariances.values, previous.values))


class SharingRule(Rule):
    """A rule by which components share something, while each of their matrices is held whole.

    Free coordinates are those of K matrices on their own; `nearest` leads back from what does not
    share. They are more than the parameters, and all directions within the structure are among
    them.
    """

    sharing: str
    """What the components have in common, in words."""

    def from_scatter(
        self,
        kind: Any,
        scatter: Array,
        count: Array,
        n_features: int,
        previous: Any,
        floor: float,
    ) -> Any:
        if not np.isfinite(scatter).all():
            # The squares of the data overflowed: `check_about` says so.
            return kind.shared(np.full((n_features, n_features), np.nan), count.shape[0])
        weight = float(count.sum())
        if floor > 0.0 and weight > 0.0:
            # Scatters are divided by the floor, and the quotients must be numbers: in a unit of
            # weight that is a power of two, which changes no digit.
            floor = max(floor, _LEAST_FLOOR * (float(scatter.max()) / weight))
            if not 1.0 / _LARGE_WEIGHT < weight < _LARGE_WEIGHT:
                unit = 2.0 ** float(np.round(np.log2(weight)))
                scatter, count = scatter / unit, count / unit
        finite = _without_rounding(scatter)
        # Squares of huge numbers may be no number beside another component's volume. What then
        # comes out is none, and `check_about` says so.
        with np.errstate(over="ignore", invalid="ignore"):
            return self.from_finite_scatter(kind, finite, count, n_features, previous, floor)

    @abstractmethod
    def from_finite_scatter(
        self,
        kind: Any,
        scatter: Array,
        count: Array,
        n_features: int,
        previous: Any,
        floor: float,
    ) -> Any:
        """Return the maximizer that `from_scatter` describes, for finite scatters.

        Parameters
        ----------
        kind, scatter, count, n_features, previous, floor
            As in `from_scatter`.
        """

    def nearest(self, covariances: Any) -> Any:
        # Scatters of one row each: the maximizer is the nearest in the Kullback-Leibler
        # divergence of the normal densities, Σ_k KL(given ‖ shared). Products of factors may have
        # lost a small eigenvalue to rounding.
        count = np.ones(covariances.n_components)
        scatter = covariances.with_factors(covariances.scatter)
        return covariances.from_scatter(scatter, count, covariances.n_features)

    def problem(self, kind: Any, precisions: Array) -> str:
        n_components, n_features = precisions.shape[0], precisions.shape[-1]
        given = np.asarray(precisions, dtype=np.float64)
        nearest = kind.from_precisions(given, n_components, n_features).precisions
        error, size = (
            np.abs(values).reshape(n_components, -1).max(axis=1)
            for values in (nearest - given, given)
        )
        tolerance = max(_ALIKE, _rounding_of_what_is_shared(precisions))
        if (error <= tolerance * size).all():
            return ""
        return f"of one {self.sharing} in all components"

    def scatter_around_points(self, kind: Any, total: Array, n_components: int) -> Array:
        # Points know nothing of their spread; what is shared is that of all the data.
        spread: Array = kind.scatter_of(total / n_components, n_components)
        return spread

    def or_previous(
        self, covariances: Any, known: BoolArray, settled: BoolArray, previous: Any
    ) -> Any:
        # Components without data are `from_scatter`'s: they have a part in what is shared.
        return covariances if settled.all() else previous


def _without_rounding(scatter: Array) -> Array:
    """Return scatters that are zero in a feature where rounding has left them nothing or less."""
    if scatter.ndim == 2:
        return np.maximum(scatter, 0.0)
    none = np.diagonal(scatter, axis1=1, axis2=2) <= 0.0
    if not none.any():
        return scatter
    return np.where(none[:, :, None] | none[:, None, :], 0.0, scatter)


def _rounding_of_what_is_shared(precisions: NDArray[Any]) -> float:
    """Return the relative error of volumes, shapes and axes because entries are rounded.

    For correlations ρ_ij whose entries err by ε each, the smallest eigenvalue errs by d ε, and by
    d ε / λ_min of itself, whatever the units of the features; a determinant by as much. What is
    shared has the error of the component that knows it worst. Half of ε, the spacing of numbers in
    the precision of the entries, is their rounding; the other half is left to `with_factors`,
    which adds to the diagonal of what is published. Eigenvalues lose some spacings of double
    precision more.
    """
    spacing = float(np.finfo(precisions.dtype).eps)
    if precisions.ndim < 3:
        return spacing
    matrices = precisions.astype(np.float64)
    scale = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    eigenvalues = np.linalg.eigvalsh(matrices / (scale[:, :, None] * scale[:, None, :]))
    largest = eigenvalues[:, -1]
    smallest = np.maximum(eigenvalues[:, 0], EPS * largest)
    errors = (spacing + RESOLUTION * EPS * largest) / smallest
    return precisions.shape[-1] * float(errors.max())


def divisor(count: Array) -> Array:
    """Return counts to divide by; a component without data keeps its old covariance anyway."""
    return np.where(count > 0.0, count, 1.0)

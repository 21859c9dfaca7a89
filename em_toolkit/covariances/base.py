"""The base of all covariance structures: one class each, no names and no branches inside.

A structure is composed of a way to keep K covariance matrices and of a rule by which they share
volumes, shapes and orientations (`em_toolkit.covariances.rules`). The first says in which shape a
scatter matrix Σ_i r_i (x_i - o)(x_i - o)ᵀ is kept, and how distances are measured; the second, how
scatters become covariances. Scatters are arrays of the shape of the structure's values, and add.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from em_toolkit.covariances.completion import Completion
from em_toolkit.covariances.patterns import Runs
from em_toolkit.covariances.rules import RESOLUTION, SMALLEST_VARIANCE, Rule
from em_toolkit.parameters import CollapseError, Parameters
from em_toolkit.statistics import EPS, Array, BoolArray, RandomSource

# Of the floor: variances within it are on the floor, but for the roundings of an ill-conditioned
# matrix.
_FLOOR_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Covariances(Parameters, ABC):
    """K covariance matrices under one structure.

    A subclass says how they are kept; its `rule`, what they share.
    """

    rule: ClassVar[Rule]

    values: Array

    # -- the structure: scatters ------------------------------------------------------------

    @classmethod
    @abstractmethod
    def outer(cls, left: Array, right: Array) -> Array:
        """Return the symmetric part of left_k right_kᵀ for k = 1..K, as a scatter.

        Both arguments have shape (n_components, n_features).

        Parameters
        ----------
        left, right : ndarray of shape (n_components, n_features)
        """

    @classmethod
    @abstractmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        """Σ_i r_ik (x_i - o_k)(x_i - o_k)ᵀ for k = 1..K, as a scatter.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
        origin : ndarray of shape (n_components, n_features)
            o_k.
        responsibilities : ndarray of shape (n_rows, n_components)
        """

    @classmethod
    def joined(cls, scatters: list[Array]) -> Array:
        """Return the scatter of K components from that of each: by component, or one for all."""
        n_features = scatters[0].shape[-1]
        by_component = cls.scatter_of(np.zeros((n_features, n_features)), 2).shape[0] == 2
        return np.concatenate(scatters) if by_component else np.sum(scatters, axis=0)

    @classmethod
    def scatter_of(cls, matrix: Array, n_components: int) -> Array:
        """The scatter of one such matrix, of shape (n_features, n_features), for each component.

        Parameters
        ----------
        matrix : ndarray of shape (n_features, n_features)
        n_components : int
        """
        shape = (n_components, matrix.shape[0])
        columns = zip(matrix.T, np.eye(matrix.shape[0]), strict=True)
        parts = [
            cls.outer(np.broadcast_to(column, shape), np.broadcast_to(axis, shape))
            for column, axis in columns
        ]
        return np.asarray(sum(parts))

    @classmethod
    def from_scatter(
        cls,
        scatter: Array,
        count: Array,
        n_features: int,
        previous: Self | None = None,
        floor: float = 0.0,
    ) -> Self:
        """Return the maximizer of the M-step, which is that of the rule (`Rule.from_scatter`).

        Parameters
        ----------
        scatter : ndarray, of the structure's shape
            A_k, in squared units of the data times units of weight.
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        n_features : int
        previous : Covariances, optional
            The covariances before; where there is a floor, none of their variances is below it.
        floor : float
            ε ≥ 0, in squared units of the data: the least variance in any direction.
        """
        return cls.rule.from_scatter(cls, scatter, count, n_features, previous, floor)

    @classmethod
    def shares_all(cls, n_components: int, n_features: int) -> bool:
        """Return whether all components have the same matrix.

        Parameters
        ----------
        n_components, n_features : int
        """
        one = cls.rule.n_parameters(1, n_features)
        return cls.rule.n_parameters(n_components, n_features) == one

    @classmethod
    def shares_nothing(cls, n_components: int, n_features: int) -> bool:
        """Return whether each component may have any matrix, whatever the others have.

        Parameters
        ----------
        n_components, n_features : int
        """
        one = cls.rule.n_parameters(1, n_features)
        return cls.rule.n_parameters(n_components, n_features) == n_components * one

    @classmethod
    def shares_volume(cls) -> bool:
        """Return whether all components have the same determinant, whatever their scatters are."""
        small, large = (cls.scatter_of(size * np.eye(2), 1) for size in (1.0, 2.0))
        covariances = cls.from_scatter(cls.joined([small, large]), np.ones(2), 2)
        return bool(np.ptp(covariances.log_determinants) < 1e-6)

    # -- the structure: priors --------------------------------------------------------------

    @classmethod
    def inverse_wishart(cls, dof: float, scale: Array) -> tuple[float, Array]:
        r"""c and Ψ of the prior of a matrix, log p(Σ) = −½ [c log |Σ| + tr Σ⁻¹ Ψ].

        Parameters
        ----------
        dof : float
            ν, degrees of freedom.
        scale : ndarray of shape (n_features, n_features)
            Λ.
        """
        return dof + scale.shape[0] + 1.0, scale

    @classmethod
    def least_dof(cls, n_features: int) -> float:
        """Return the number that ν must exceed for the prior to be a density."""
        return n_features - 1.0

    @classmethod
    def default_scale(cls, covariance: Array) -> Array:
        """Λ for one component, if this is the covariance of all the data."""
        try:
            cls.shared(covariance, 1).check_rank()
        except CollapseError:
            return np.diag(np.diagonal(covariance))
        return covariance

    def from_vector(self, vector: Array) -> Self:
        return super().from_vector(vector).in_structure()

    def in_structure(self) -> Self:
        """Return the nearest covariances that share what the rule says.

        For what comes from outside: a user's matrices, or rounded ones.
        """
        return self.rule.nearest(self)

    def raised_to(self, floor: float) -> Self:
        """Return the nearest covariances of the structure with no variance below the floor.

        These themselves, if none is. The nearest are those of the least Σ_k KL(given ‖ raised)
        between the normal densities, which is the problem of `from_scatter` for components of
        weight one.

        Parameters
        ----------
        floor : float
            ε ≥ 0, in squared units of the data.
        """
        if floor == 0.0 or not np.isfinite(self.values).all() or self.is_above(floor):
            return self
        count = np.ones(self.n_components)
        return self.from_scatter(self.scatter, count, self.n_features, floor=floor)

    @property
    @abstractmethod
    def scatter(self) -> Array:
        """The scatters of components of weight one whose covariances these are."""

    @property
    @abstractmethod
    def axes(self) -> Array:
        """Orthonormal eigenvectors of Σ_k in columns, (n_components, n_features, n_features)."""

    @property
    @abstractmethod
    def along_axes(self) -> Array:
        """The variances along `axes`, of shape (n_components, n_features)."""

    def is_above(self, floor: float) -> bool:
        """Return whether no variance in any direction of any component is below the floor."""
        return bool(self.along_axes.min() >= floor)

    @classmethod
    @abstractmethod
    def shared(cls, matrix: Array, n_components: int) -> Self:
        """Return components that all have the matrix's likeness, of shape (n_features, n_features).

        Parameters
        ----------
        matrix : ndarray of shape (n_features, n_features)
        n_components : int
        """

    @classmethod
    def scatter_around_points(cls, total: Array, n_components: int) -> Array:
        """Return the scatter of a start where each component is a point.

        Parameters
        ----------
        total : ndarray of shape (n_features, n_features)
            The scatter of all the data.
        n_components : int
        """
        return cls.rule.scatter_around_points(cls, total, n_components)

    @classmethod
    @abstractmethod
    def from_sklearn_array(cls, values: Array, n_components: int, n_features: int) -> Self:
        """From an array of scikit-learn's shape.

        Parameters
        ----------
        values : ndarray
            Covariances, in scikit-learn's shape.
        n_components, n_features : int
        """

    @classmethod
    @abstractmethod
    def precisions_problem(cls, precisions: Array) -> str:
        """Return what inverse covariances, in scikit-learn's shape, should be and are not, "" if
        nothing.
        """

    @classmethod
    @abstractmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        """From inverse covariances, in scikit-learn's shape.

        Parameters
        ----------
        precisions : ndarray
            In scikit-learn's shape.
        n_components, n_features : int
        """

    @classmethod
    @abstractmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        """From factors P with P Pᵀ = Σ⁻¹, in scikit-learn's shape.

        They share what they were published to share, to rounding: see `in_structure`.

        Parameters
        ----------
        factors : ndarray
            In scikit-learn's shape.
        n_components, n_features : int
        """

    # -- K matrices ---------------------------------------------------------------------------

    @property
    @abstractmethod
    def n_components(self) -> int:
        """K."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """d."""

    @property
    def n_parameters(self) -> int:
        """The number of free parameters."""
        return self.rule.n_parameters(self.n_components, self.n_features)

    @property
    @abstractmethod
    def variances(self) -> Array:
        """The diagonals, of shape (n_components, n_features)."""

    @property
    @abstractmethod
    def inverse_diagonals(self) -> Array:
        """The diagonals of the inverses, of shape (n_components, n_features)."""

    @property
    @abstractmethod
    def log_determinants(self) -> Array:
        """log |Σ_k|, of shape (n_components,)."""

    @abstractmethod
    def whiten(self, deviations: Array, component: int) -> Array:
        """Return rows y_i with ‖y_i‖² = (x_i − μ_k)ᵀ Σ_k⁻¹ (x_i − μ_k), of rows x_i − μ_k.

        Consumes its argument, of shape (n_rows, n_features).

        Parameters
        ----------
        deviations : ndarray of shape (n_rows, n_features)
            x_i − μ_k; consumed.
        component : int
            k.
        """

    @abstractmethod
    def completion(self, runs: Runs) -> Completion:
        """Return the distribution of missing entries given the observed ones, for some runs of
        rows.
        """

    @abstractmethod
    def draw(self, n_rows: int, component: int, rng: RandomSource) -> Array:
        """Return rows of mean zero and covariance Σ_k, of shape (n_rows, n_features).

        Parameters
        ----------
        n_rows : int
        component : int
            k.
        rng : RandomState or Generator
        """

    @abstractmethod
    def inner_product(self, scatter: Array) -> float:
        """Σ_k tr Σ_k⁻¹ A_k."""

    @abstractmethod
    def check_rank(self) -> None:
        """Raise `CollapseError` for a matrix that is singular to rounding."""

    def is_singular_where(self, flat: BoolArray) -> BoolArray:
        """Return whether variances that are next to nothing make a matrix singular.

        Parameters
        ----------
        flat : ndarray of bool of shape (n_components, n_features)
            The variances that are.

        Returns
        -------
        ndarray of bool of shape (n_components,)
        """
        return np.asarray(flat.any(axis=1))

    def or_previous(self, known: BoolArray, settled: BoolArray, previous: Self) -> Self:
        """Return these where they may take the place of the previous covariances, else those.

        Parameters
        ----------
        known : ndarray of bool of shape (n_components,)
            The components that hold data.
        settled : ndarray of bool of shape (n_components,)
            Those without data, and those whose mean has settled.
        previous : Covariances
        """
        return self.rule.or_previous(self, known, settled, previous)

    @abstractmethod
    def diagonal_product(self, scatter: Array) -> float:
        """Σ_k Σ_j (A_k)_jj (Σ_k⁻¹)_jj."""

    def on_floor(self, floor: float) -> BoolArray:
        """Return which variances along `axes` are the floor, to rounding.

        Parameters
        ----------
        floor : float
            ε ≥ 0; nothing is on a floor of zero.

        Returns
        -------
        on_floor : ndarray of bool of shape (n_components, n_features)
        """
        highest = floor * (1.0 + _FLOOR_TOLERANCE)
        if floor == 0.0 or self.is_above(highest):
            return np.zeros((self.n_components, self.n_features), dtype=bool)
        return np.asarray(self.along_axes <= highest)

    # -- scikit-learn's shapes ----------------------------------------------------------------

    @property
    @abstractmethod
    def sklearn_array(self) -> Array:
        """The covariances in scikit-learn's shape."""

    @property
    @abstractmethod
    def precisions_cholesky(self) -> Array:
        """P with P Pᵀ = Σ⁻¹, in scikit-learn's shape."""

    @property
    @abstractmethod
    def precisions(self) -> Array:
        """Σ⁻¹, in scikit-learn's shape."""

    @classmethod
    def with_factors(cls, matrices: NDArray[Any]) -> NDArray[Any]:
        """Return covariances or inverses, in scikit-learn's shape, as they may be published.

        Rounded to their precision, those that are nearly singular may have no Cholesky factor:
        their diagonals grow by as many roundings as that takes.
        """
        return matrices

    # -- what follows from the above ------------------------------------------------------------

    def squared_distances(self, X: Array, means: Array) -> Array:
        """(x_i - μ_k)ᵀ Σ_k⁻¹ (x_i - μ_k), of shape (n_rows, n_components).

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
        means : ndarray of shape (n_components, n_features)
        """
        distances = np.empty((X.shape[0], means.shape[0]))
        for k, mean in enumerate(means):
            whitened = self.whiten(X - mean, k)
            distances[:, k] = np.einsum("ij,ij->i", whitened, whitened)
        return distances

    def check_about(self, means: Array) -> None:
        """Raise `CollapseError` if a component has no spread that its mean can resolve."""
        if not (np.isfinite(self.values).all() and np.isfinite(means).all()):
            raise CollapseError(
                "the parameters overflowed: the squares of the data exceed the largest number. "
                "Scale the data."
            )
        floor = np.maximum((RESOLUTION * EPS * means) ** 2, SMALLEST_VARIANCE)
        is_flat = ~(self.variances > floor)
        if is_flat.any():
            component, feature = np.argwhere(is_flat)[0].tolist()
            raise CollapseError(
                f"component {component} has variance {self.variances[component, feature]:.3g} in "
                f"feature {feature}, about a mean of {means[component, feature]:.6g}: all the "
                "rows that it holds are equal there, to rounding."
            )
        self.check_rank()

"""Covariance structures: one class each, no names and no branches inside.

A structure is a rule by which K covariance matrices share their entries. Everything that depends
on the rule is here: in which shape a scatter matrix Σ_i r_i (x_i - o)(x_i - o)ᵀ is kept, how
scatters become covariances, and how distances are measured. Scatters are arrays of the shape of
the structure's values, and add.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from scipy.linalg import lapack, rq

from em_toolkit.parameters import CollapseError, Parameters, positive, size
from em_toolkit.statistics import EPS, Array, BoolArray, RandomSource, sum_of_products

# A standard deviation of fewer than this many spacings of floating-point numbers at the mean is
# rounding, not spread; a pivot smaller than this many roundings of its variance is no pivot.
_RESOLUTION = 8.0
_SMALLEST_VARIANCE = float(np.finfo(np.float64).tiny) / EPS


@dataclass(frozen=True, eq=False)
class Covariances(Parameters, ABC):
    """K covariance matrices under one structure."""

    values: Array

    # -- the structure: scatters ------------------------------------------------------------

    @classmethod
    @abstractmethod
    def outer(cls, left: Array, right: Array) -> Array:
        """The symmetric part of left_k right_kᵀ for k = 1..K, as a scatter.

        Both arguments have shape (n_components, n_features).
        """

    @classmethod
    @abstractmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        """Σ_i r_ik (x_i - o_k)(x_i - o_k)ᵀ for k = 1..K, as a scatter."""

    @classmethod
    @abstractmethod
    def identity_scatter(cls, n_components: int, n_features: int) -> Array:
        """The scatter of one identity matrix for each component."""

    @classmethod
    @abstractmethod
    def from_scatter(cls, scatter: Array, count: Array, n_features: int) -> Self:
        """The maximizer of −½ Σ_k [N_k log |Σ_k| + tr Σ_k⁻¹ A_k] for scatters A_k."""

    @classmethod
    @abstractmethod
    def alike(cls, matrix: Array, n_components: int) -> Self:
        """Components that all have the matrix's likeness, of shape (n_features, n_features)."""

    @classmethod
    def scatter_around_points(cls, total: Array, n_components: int) -> Array:
        """The scatter of a start where each component is a point, from that of all the data.

        A component that is a point knows nothing of its spread: zero. (A matrix shared by the
        components knows the spread of all the data.)
        """
        return 0.0 * cls.identity_scatter(n_components, total.shape[0])

    @classmethod
    @abstractmethod
    def from_public(cls, values: Array, n_components: int, n_features: int) -> Self:
        """From an array of scikit-learn's shape."""

    @classmethod
    @abstractmethod
    def complaint_about_precisions(cls, precisions: Array) -> str:
        """What inverse covariances, in scikit-learn's shape, should be and are not; or nothing."""

    @classmethod
    @abstractmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        """From inverse covariances, in scikit-learn's shape."""

    @classmethod
    @abstractmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        """From factors P with P Pᵀ = Σ⁻¹, in scikit-learn's shape."""

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
    @abstractmethod
    def n_parameters(self) -> int:
        """The number of free parameters."""

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
        """Rows (x_i - μ_k) to rows y_i with |y_i|² = (x_i - μ_k)ᵀ Σ_k⁻¹ (x_i - μ_k).

        Consumes its argument, of shape (n_rows, n_features).
        """

    @abstractmethod
    def draw(self, n_rows: int, component: int, rng: RandomSource) -> Array:
        """Rows of mean zero and covariance Σ_k, of shape (n_rows, n_features)."""

    @abstractmethod
    def inner_product(self, scatter: Array) -> float:
        """Σ_k tr Σ_k⁻¹ A_k."""

    @abstractmethod
    def check_rank(self) -> None:
        """Raise `CollapseError` for a matrix that is singular to rounding."""

    def or_previous(self, known: BoolArray, settled: BoolArray, previous: Self) -> Self:
        """These for components that hold data and whose mean has settled, else the previous."""
        mask = (known & settled).reshape((-1,) + (1,) * (self.values.ndim - 1))
        return replace(self, values=np.where(mask, self.values, previous.values))

    @abstractmethod
    def diagonal_product(self, scatter: Array) -> float:
        """Σ_k Σ_j (A_k)_jj (Σ_k⁻¹)_jj."""

    def sum_of_inverse_traces(self, alive: BoolArray) -> float:
        """Σ_k tr Σ_k⁻¹ over the components that are alive."""
        return float(self.inverse_diagonals[alive].sum())

    # -- scikit-learn's shapes ----------------------------------------------------------------

    @property
    @abstractmethod
    def public(self) -> Array:
        """The covariances in scikit-learn's shape."""

    @property
    @abstractmethod
    def precisions_cholesky(self) -> Array:
        """P with P Pᵀ = Σ⁻¹, in scikit-learn's shape."""

    @property
    @abstractmethod
    def precisions(self) -> Array:
        """Σ⁻¹, in scikit-learn's shape."""

    # -- what follows from the above ------------------------------------------------------------

    def squared_distances(self, X: Array, means: Array) -> Array:
        """(x_i - μ_k)ᵀ Σ_k⁻¹ (x_i - μ_k), of shape (n_rows, n_components)."""
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
        floor = np.maximum((_RESOLUTION * EPS * means) ** 2, _SMALLEST_VARIANCE)
        flat = np.argwhere(~(self.variances > floor))
        if flat.size:
            component, feature = (int(index) for index in flat[0])
            raise CollapseError(
                f"component {component} has variance {self.variances[component, feature]:.3g} in "
                f"feature {feature}, about a mean of {means[component, feature]:.6g}: all the "
                "rows that it holds are equal there, to rounding."
            )
        self.check_rank()


class _MatrixCovariances(Covariances, ABC):
    """Symmetric matrices: values of shape (n_matrices, n_features, n_features)."""

    @property
    def n_features(self) -> int:
        return self.values.shape[-1]

    @cached_property
    def variances(self) -> Array:
        diagonals = np.diagonal(self.values, axis1=1, axis2=2)
        return np.broadcast_to(diagonals, (self.n_components, self.n_features))

    @cached_property
    def cholesky(self) -> Array:
        """Lower L_k with L_k L_kᵀ = Σ_k, of shape (n_matrices, n_features, n_features)."""
        return np.asarray(np.linalg.cholesky(self.values), dtype=np.float64)

    @cached_property
    def inverse_cholesky(self) -> Array:
        """L_k⁻¹, lower, of shape (n_matrices, n_features, n_features)."""
        return np.stack([_inverse_of_lower(lower) for lower in self.cholesky])

    @cached_property
    def inverse_diagonals(self) -> Array:
        diagonals = np.square(self.inverse_cholesky).sum(axis=1)
        return np.broadcast_to(diagonals, (self.n_components, self.n_features))

    @cached_property
    def log_determinants(self) -> Array:
        diagonals = np.diagonal(self.cholesky, axis1=1, axis2=2)
        return np.broadcast_to(2.0 * np.log(diagonals).sum(axis=1), (self.n_components,))

    def whiten(self, deviations: Array, component: int) -> Array:
        # By the inverse of the triangular factor: measured against 50 digits up to a condition of
        # 1e13 it is as accurate as substitution (the factor's own error dominates), and a product
        # of matrices is many times faster.
        inverse = self.inverse_cholesky[component % self.values.shape[0]]
        return deviations @ inverse.T

    def draw(self, n_rows: int, component: int, rng: RandomSource) -> Array:
        matrix = self.values[component % self.values.shape[0]]
        return np.asarray(rng.multivariate_normal(np.zeros(self.n_features), matrix, n_rows))

    def inner_product(self, scatter: Array) -> float:
        inverse = self.inverse_cholesky
        return float(np.sum((inverse @ scatter) * inverse))

    def diagonal_product(self, scatter: Array) -> float:
        inverse_diagonals = np.square(self.inverse_cholesky).sum(axis=1)
        return float(np.sum(np.diagonal(scatter, axis1=1, axis2=2) * inverse_diagonals))

    def check_rank(self) -> None:
        for k, matrix in enumerate(self.values):
            lower, failed = lapack.dpotrf(matrix, lower=1)
            diagonal = np.diagonal(matrix)
            lost = np.diagonal(lower) ** 2 <= _RESOLUTION * self.n_features * EPS * diagonal
            if failed or lost.any():
                feature = failed - 1 if failed else int(np.argmax(lost))
                raise CollapseError(
                    f"the covariance of component {k} is singular to rounding: within it, feature "
                    f"{feature} is a linear combination of those before it."
                )

    @classmethod
    def complaint_about_precisions(cls, precisions: Array) -> str:
        transposed = np.swapaxes(precisions, -1, -2)
        if np.allclose(precisions, transposed) and (np.linalg.eigvalsh(precisions) > 0.0).all():
            return ""
        return "symmetric, positive-definite"

    @classmethod
    def from_precisions_matrices(cls, precisions: Array, *others: int) -> Self:
        # The reversal turns the lower factor into the upper one of scikit-learn's convention.
        reversed_factors = np.linalg.cholesky(precisions[:, ::-1, ::-1])
        upper = np.asarray(reversed_factors[:, ::-1, ::-1], dtype=np.float64)
        return cls.from_factors(upper, *others)

    @classmethod
    def from_factors(cls, factors: Array, *others: int) -> Self:
        """Σ = P⁻ᵀ P⁻¹ for factors P of shape (n_matrices, n_features, n_features)."""
        lowers = []
        for factor in factors:
            upper = factor if not np.tril(factor, -1).any() else rq(factor)[0]
            lower = _inverse_of_lower(np.ascontiguousarray(upper.T))
            lowers.append(lower * np.sign(np.diagonal(lower)))
        stacked = np.stack(lowers)
        covariances = cls(stacked @ stacked.transpose(0, 2, 1), *others)
        # Kept: to factor the product again would lose as many digits as Σ is ill-conditioned.
        covariances.__dict__["cholesky"] = stacked
        return covariances

    def to_vector(self) -> Array:
        lower = self.cholesky.copy()
        index = np.arange(self.n_features)
        lower[:, index, index] = np.log(lower[:, index, index])
        rows, columns = np.tril_indices(self.n_features)
        return lower[:, rows, columns].ravel()

    def from_vector(self, vector: Array) -> Self:
        lower = np.zeros_like(self.values)
        rows, columns = np.tril_indices(self.n_features)
        lower[:, rows, columns] = np.reshape(vector, (lower.shape[0], -1))
        index = np.arange(self.n_features)
        lower[:, index, index] = np.exp(lower[:, index, index])
        return replace(self, values=lower @ lower.transpose(0, 2, 1))


def _divisor(count: Array) -> Array:
    """What to divide by; a component without data keeps its old covariance anyway."""
    return np.where(count > 0.0, count, 1.0)


def _inverse_of_lower(lower: Array) -> Array:
    inverse, failed = lapack.dtrtri(lower, lower=1)
    if failed:
        raise np.linalg.LinAlgError("singular triangular factor")
    return np.tril(inverse)


@dataclass(frozen=True, eq=False)
class FullCovariances(_MatrixCovariances):
    """Each component its own matrix: values of shape (n_components, n_features, n_features)."""

    @property
    def n_components(self) -> int:
        return self.values.shape[0]

    @property
    def n_parameters(self) -> int:
        return self.n_components * self.n_features * (self.n_features + 1) // 2

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        product = left[:, :, None] * right[:, None, :]
        return 0.5 * (product + product.transpose(0, 2, 1))

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        n_features = X.shape[1]
        moment = np.empty((origin.shape[0], n_features, n_features))
        for k, point in enumerate(origin):
            deviations = X - point
            # The square root makes the product symmetric to the bit.
            deviations *= np.sqrt(responsibilities[:, k, None])
            moment[k] = sum_of_products(deviations, deviations)
        return moment

    @classmethod
    def identity_scatter(cls, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(np.eye(n_features), (n_components, n_features, n_features))

    @classmethod
    def from_scatter(cls, scatter: Array, count: Array, n_features: int) -> Self:
        return cls(scatter / _divisor(count)[:, None, None])

    @classmethod
    def alike(cls, matrix: Array, n_components: int) -> Self:
        return cls(np.tile(matrix, (n_components, 1, 1)))

    @classmethod
    def from_public(cls, values: Array, n_components: int, n_features: int) -> Self:
        return cls(values)

    @classmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        return cls.from_precisions_matrices(precisions)

    @classmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        return cls.from_factors(factors)

    @property
    def public(self) -> Array:
        return self.values

    @property
    def precisions_cholesky(self) -> Array:
        return self.inverse_cholesky.transpose(0, 2, 1)

    @property
    def precisions(self) -> Array:
        return self.inverse_cholesky.transpose(0, 2, 1) @ self.inverse_cholesky


@dataclass(frozen=True, eq=False)
class TiedCovariances(_MatrixCovariances):
    """One matrix for all components: values of shape (1, n_features, n_features)."""

    n_tied: int = size()

    @property
    def n_components(self) -> int:
        return self.n_tied

    @property
    def n_parameters(self) -> int:
        return self.n_features * (self.n_features + 1) // 2

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        product = left.T @ right
        return 0.5 * (product + product.T)[None]

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        return FullCovariances.second_moment(X, origin, responsibilities).sum(axis=0)[None]

    @classmethod
    def identity_scatter(cls, n_components: int, n_features: int) -> Array:
        return n_components * np.eye(n_features)[None]

    @classmethod
    def from_scatter(cls, scatter: Array, count: Array, n_features: int) -> Self:
        return cls(scatter / count.sum(), count.shape[0])

    @classmethod
    def alike(cls, matrix: Array, n_components: int) -> Self:
        return cls(matrix[None], n_components)

    @classmethod
    def scatter_around_points(cls, total: Array, n_components: int) -> Array:
        return total[None]

    def or_previous(self, known: BoolArray, settled: BoolArray, previous: Self) -> Self:
        return self if settled.all() else previous

    def sum_of_inverse_traces(self, alive: BoolArray) -> float:
        # One matrix, whose prior is K-fold, however many components still hold data.
        return float(self.inverse_diagonals.sum())

    @classmethod
    def from_public(cls, values: Array, n_components: int, n_features: int) -> Self:
        return cls(values[None], n_components)

    @classmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        return cls.from_precisions_matrices(precisions[None], n_components)

    @classmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        return cls.from_factors(factors[None], n_components)

    @property
    def public(self) -> Array:
        return self.values[0]

    @property
    def precisions_cholesky(self) -> Array:
        return self.inverse_cholesky[0].T

    @property
    def precisions(self) -> Array:
        return self.inverse_cholesky[0].T @ self.inverse_cholesky[0]


class _AxisAlignedCovariances(Covariances, ABC):
    """Matrices without off-diagonal entries; the variances are all there is."""

    @property
    def n_components(self) -> int:
        return self.values.shape[0]

    @property
    def n_parameters(self) -> int:
        return self.values.size

    @cached_property
    def standard_deviations(self) -> Array:
        """Of shape (n_components, n_features)."""
        return np.sqrt(self.variances)

    @property
    def inverse_diagonals(self) -> Array:
        return 1.0 / self.variances

    @cached_property
    def log_determinants(self) -> Array:
        return np.asarray(np.log(self.variances).sum(axis=1))

    def whiten(self, deviations: Array, component: int) -> Array:
        deviations /= self.standard_deviations[component]
        return deviations

    def draw(self, n_rows: int, component: int, rng: RandomSource) -> Array:
        noise = rng.standard_normal(size=(n_rows, self.n_features))
        return np.asarray(noise * self.standard_deviations[component])

    def inner_product(self, scatter: Array) -> float:
        return float(np.sum(scatter / self.values))

    def diagonal_product(self, scatter: Array) -> float:
        return self.inner_product(scatter)

    def check_rank(self) -> None:
        """Positive variances are enough."""

    @property
    def public(self) -> Array:
        return self.values

    @property
    def precisions_cholesky(self) -> Array:
        return np.asarray(1.0 / np.sqrt(self.public))

    @property
    def precisions(self) -> Array:
        return np.asarray(1.0 / self.public)

    @classmethod
    def complaint_about_precisions(cls, precisions: Array) -> str:
        return "" if (precisions > 0.0).all() else "positive"

    @classmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        return cls.from_public(1.0 / precisions, n_components, n_features)

    @classmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        return cls.from_public(1.0 / np.square(factors), n_components, n_features)


@dataclass(frozen=True, eq=False)
class DiagonalCovariances(_AxisAlignedCovariances):
    """A variance for each component and feature: values of shape (n_components, n_features)."""

    values: Array = positive()

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    @property
    def variances(self) -> Array:
        return self.values

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        return left * right

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        moment = np.empty(origin.shape)
        for k, point in enumerate(origin):
            moment[k] = sum_of_products(responsibilities[:, k, None], np.square(X - point))[0]
        return moment

    @classmethod
    def identity_scatter(cls, n_components: int, n_features: int) -> Array:
        return np.ones((n_components, n_features))

    @classmethod
    def from_scatter(cls, scatter: Array, count: Array, n_features: int) -> Self:
        return cls(scatter / _divisor(count)[:, None])

    @classmethod
    def alike(cls, matrix: Array, n_components: int) -> Self:
        return cls(np.tile(np.diagonal(matrix), (n_components, 1)))

    @classmethod
    def from_public(cls, values: Array, n_components: int, n_features: int) -> Self:
        return cls(values)


@dataclass(frozen=True, eq=False)
class SphericalCovariances(_AxisAlignedCovariances):
    """A variance for each component: values of shape (n_components, 1)."""

    values: Array = positive()
    dimension: int = size()

    @property
    def n_features(self) -> int:
        return self.dimension

    @property
    def variances(self) -> Array:
        return np.broadcast_to(self.values, (self.n_components, self.dimension))

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        return np.sum(left * right, axis=1, keepdims=True)

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        return DiagonalCovariances.second_moment(X, origin, responsibilities).sum(
            axis=1, keepdims=True
        )

    @classmethod
    def identity_scatter(cls, n_components: int, n_features: int) -> Array:
        return np.full((n_components, 1), float(n_features))

    @classmethod
    def from_scatter(cls, scatter: Array, count: Array, n_features: int) -> Self:
        return cls(scatter / (n_features * _divisor(count)[:, None]), n_features)

    @classmethod
    def alike(cls, matrix: Array, n_components: int) -> Self:
        n_features = matrix.shape[0]
        return cls(np.full((n_components, 1), np.trace(matrix) / n_features), n_features)

    @classmethod
    def from_public(cls, values: Array, n_components: int, n_features: int) -> Self:
        return cls(values[:, None], n_features)

    @property
    def public(self) -> Array:
        return self.values[:, 0]

"""Covariance structures without off-diagonal entries: diagonal and spherical."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from em_toolkit.covariances.base import Covariances, divisor
from em_toolkit.covariances.completion import AxisAlignedCompletion, Completion
from em_toolkit.covariances.patterns import Runs
from em_toolkit.parameters import positive, size
from em_toolkit.statistics import Array, BoolArray, RandomSource, sum_of_products


class AxisAlignedCovariances(Covariances, ABC):
    """Matrices without off-diagonal entries; the variances are all there is."""

    @property
    def n_components(self) -> int:
        return self.values.shape[0]

    @property
    def axes(self) -> Array:
        d = self.n_features
        return np.broadcast_to(np.eye(d), (self.n_components, d, d))

    @property
    def along_axes(self) -> Array:
        return self.variances

    @cached_property
    def standard_deviations(self) -> Array:
        """Of shape (n_components, n_features)."""
        return np.sqrt(self.variances)

    @property
    def inverse_diagonals(self) -> Array:
        return 1.0 / self.variances

    @cached_property
    def log_determinants(self) -> Array:
        # Of a singular matrix it is −∞, and `check_about` tells.
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.variances).sum(axis=1))

    def whiten(self, deviations: Array, component: int) -> Array:
        deviations /= self.standard_deviations[component]
        return deviations

    def completion(self, runs: Runs) -> Completion:
        return AxisAlignedCompletion(self.variances, runs)

    def draw(self, n_rows: int, component: int, rng: RandomSource) -> Array:
        noise = rng.standard_normal(size=(n_rows, self.n_features))
        return np.asarray(noise * self.standard_deviations[component])

    @classmethod
    def least_dof(cls, n_features: int) -> float:
        return 0.0

    @classmethod
    def default_scale(cls, covariance: Array) -> Array:
        return np.asarray(np.diagonal(covariance).mean() * np.eye(covariance.shape[0]))

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
        if not (precisions > 0.0).all():
            return "positive"
        return cls.complaint_about_sharing(precisions)

    @classmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        return cls.from_public(1.0 / precisions, n_components, n_features)

    @classmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        return cls.from_public(1.0 / np.square(factors), n_components, n_features)


@dataclass(frozen=True, eq=False)
class VariancesByFeature(AxisAlignedCovariances, ABC):
    """A variance for each component and feature: values of shape (n_components, n_features)."""

    values: Array = positive()

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    @property
    def variances(self) -> Array:
        return self.values

    @property
    def scatter(self) -> Array:
        return self.values

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        return left * right

    @classmethod
    def inverse_wishart(cls, dof: float, scale: Array) -> tuple[float, Array]:
        """Of each variance an inverse-gamma density of shape ν/2 and scale Λ_jj/2."""
        return dof + 2.0, np.diag(np.diagonal(scale))

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        moment = np.empty(origin.shape)
        for k, point in enumerate(origin):
            moment[k] = sum_of_products(responsibilities[:, k, None], np.square(X - point))[0]
        return moment

    @classmethod
    def alike(cls, matrix: Array, n_components: int) -> Self:
        return cls(np.tile(np.diagonal(matrix), (n_components, 1)))

    @classmethod
    def from_public(cls, values: Array, n_components: int, n_features: int) -> Self:
        return cls(values).in_structure()


@dataclass(frozen=True, eq=False)
class DiagonalCovariances(VariancesByFeature):
    """Each component its own variances: mclust's VVI."""

    @property
    def n_parameters(self) -> int:
        return self.values.size

    @classmethod
    def from_scatter(
        cls,
        scatter: Array,
        count: Array,
        n_features: int,
        previous: Self | None = None,
        floor: float = 0.0,
    ) -> Self:
        return cls(np.maximum(scatter / divisor(count)[:, None], floor))


@dataclass(frozen=True, eq=False)
class VarianceByComponent(AxisAlignedCovariances, ABC):
    """A variance for each component: values of shape (n_components, 1)."""

    values: Array = positive()
    dimension: int = size()

    @property
    def n_features(self) -> int:
        return self.dimension

    @property
    def variances(self) -> Array:
        return np.broadcast_to(self.values, (self.n_components, self.dimension))

    @property
    def scatter(self) -> Array:
        return self.values * self.dimension

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        return np.sum(left * right, axis=1, keepdims=True)

    @classmethod
    def inverse_wishart(cls, dof: float, scale: Array) -> tuple[float, Array]:
        """Of the variance an inverse-gamma density of shape ν/2 and scale ς²/2, ς² = tr Λ / d."""
        d = scale.shape[0]
        return (dof + 2.0) / d, np.trace(scale) / d**2 * np.eye(d)

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        return DiagonalCovariances.second_moment(X, origin, responsibilities).sum(
            axis=1, keepdims=True
        )

    @classmethod
    def alike(cls, matrix: Array, n_components: int) -> Self:
        n_features = matrix.shape[0]
        return cls(np.full((n_components, 1), np.trace(matrix) / n_features), n_features)

    @classmethod
    def from_public(cls, values: Array, n_components: int, n_features: int) -> Self:
        return cls(values[:, None], n_features).in_structure()

    def is_singular_where(self, flat: BoolArray) -> BoolArray:
        # One variance is that of no feature alone: it is next to nothing if all of them are.
        return np.asarray(flat.all(axis=1))

    @property
    def public(self) -> Array:
        return self.values[:, 0]


@dataclass(frozen=True, eq=False)
class SphericalCovariances(VarianceByComponent):
    """Each component its own variance: mclust's VII."""

    @property
    def n_parameters(self) -> int:
        return self.values.size

    @classmethod
    def from_scatter(
        cls,
        scatter: Array,
        count: Array,
        n_features: int,
        previous: Self | None = None,
        floor: float = 0.0,
    ) -> Self:
        variances = scatter / (n_features * divisor(count)[:, None])
        return cls(np.maximum(variances, floor), n_features)

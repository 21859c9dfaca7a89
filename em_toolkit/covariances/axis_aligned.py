"""Covariances without off-diagonal entries: mclust's EII, VII, EEI, VEI, EVI and VVI."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.completion import AxisAlignedCompletion, Completion
from em_toolkit.covariances.patterns import Runs
from em_toolkit.covariances.rules import Rule, SharingRule, divisor
from em_toolkit.covariances.spectra import EQUAL, EQUAL_SHAPES, EQUAL_VOLUMES, Spectra
from em_toolkit.parameters import positive, size
from em_toolkit.statistics import Array, BoolArray, RandomSource, sum_of_products


class Columns(ABC):
    """The variances of a component that are kept: one for each feature, or one for all."""

    @abstractmethod
    def kept(self, by_feature: Array) -> Array:
        """Return sums that are given by feature, of shape (n_components, n_features), as kept."""

    @abstractmethod
    def shared(self, diagonal: Array) -> Array:
        """Return the variances, of shape (n_columns,), nearest to those of the features."""

    @abstractmethod
    def by_feature(self, values: Array, n_features: int) -> Array:
        """Return the variances of the features, of shape (n_components, n_features).

        Parameters
        ----------
        values : ndarray of shape (n_components, n_columns)
        n_features : int
        """

    @abstractmethod
    def made(self, kind: Any, values: Array, n_features: int) -> Any:
        """Return covariances of a class.

        Parameters
        ----------
        kind : type of AxisAlignedCovariances
        values : ndarray of shape (n_components, n_columns)
        n_features : int
        """

    @abstractmethod
    def inverse_wishart(self, dof: float, scale: Array) -> tuple[float, Array]:
        """Return c and Ψ of the prior of the variances, as `Covariances.inverse_wishart` does.

        Parameters
        ----------
        dof : float
        scale : ndarray of shape (n_features, n_features)
        """

    @abstractmethod
    def are_nothing(self, flat: BoolArray) -> BoolArray:
        """Return which components have a variance kept that is next to nothing.

        Parameters
        ----------
        flat : ndarray of bool of shape (n_components, n_features)
            The variances that are, by feature.
        """


class ByFeature(Columns):
    """A variance for each feature: values of shape (n_components, n_features)."""

    def kept(self, by_feature: Array) -> Array:
        return by_feature

    def shared(self, diagonal: Array) -> Array:
        return diagonal

    def by_feature(self, values: Array, n_features: int) -> Array:
        return values

    def made(self, kind: Any, values: Array, n_features: int) -> Any:
        return kind(values)

    def inverse_wishart(self, dof: float, scale: Array) -> tuple[float, Array]:
        """Of each variance an inverse-gamma density of shape ν/2 and scale Λ_jj/2.

        Parameters
        ----------
        dof : float
        scale : ndarray of shape (n_features, n_features)
        """
        return dof + 2.0, np.diag(np.diagonal(scale))

    def are_nothing(self, flat: BoolArray) -> BoolArray:
        return np.asarray(flat.any(axis=1))


class OneForAll(Columns):
    """A variance for all features: values of shape (n_components, 1)."""

    def kept(self, by_feature: Array) -> Array:
        return np.sum(by_feature, axis=1, keepdims=True)

    def shared(self, diagonal: Array) -> Array:
        return np.array([np.sum(diagonal) / diagonal.shape[0]])

    def by_feature(self, values: Array, n_features: int) -> Array:
        return np.broadcast_to(values, (values.shape[0], n_features))

    def made(self, kind: Any, values: Array, n_features: int) -> Any:
        return kind(values, n_features)

    def inverse_wishart(self, dof: float, scale: Array) -> tuple[float, Array]:
        """Of the variance an inverse-gamma density of shape ν/2 and scale ς²/2, ς² = tr Λ / d.

        Parameters
        ----------
        dof : float
        scale : ndarray of shape (n_features, n_features)
        """
        d = scale.shape[0]
        return (dof + 2.0) / d, np.trace(scale) / d**2 * np.eye(d)

    def are_nothing(self, flat: BoolArray) -> BoolArray:
        # One variance is that of no feature alone: it is next to nothing if all of them are.
        return np.asarray(flat.all(axis=1))


BY_FEATURE, ONE_FOR_ALL = ByFeature(), OneForAll()


@dataclass(frozen=True, eq=False)
class AxisAlignedCovariances(Covariances):
    """Matrices without off-diagonal entries; the variances are all there is.

    Values have the shape (n_components, n_columns), as `columns` says.
    """

    columns: ClassVar[Columns] = BY_FEATURE

    values: Array = positive()

    @property
    def n_components(self) -> int:
        return self.values.shape[0]

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    @property
    def variances(self) -> Array:
        return self.columns.by_feature(self.values, self.n_features)

    @property
    def scatter(self) -> Array:
        return self.columns.kept(self.variances)

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        return cls.columns.kept(left * right)

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        moment = np.empty(origin.shape)
        for k, point in enumerate(origin):
            moment[k] = sum_of_products(responsibilities[:, k, None], np.square(X - point))[0]
        return cls.columns.kept(moment)

    @classmethod
    def shared(cls, matrix: Array, n_components: int) -> Self:
        values = np.tile(cls.columns.shared(np.diagonal(matrix)), (n_components, 1))
        made: Self = cls.columns.made(cls, values, matrix.shape[0])
        return made

    @classmethod
    def from_sklearn_array(cls, values: Array, n_components: int, n_features: int) -> Self:
        columns = np.reshape(values, (n_components, -1))
        made: Self = cls.columns.made(cls, columns, n_features).in_structure()
        return made

    @classmethod
    def inverse_wishart(cls, dof: float, scale: Array) -> tuple[float, Array]:
        return cls.columns.inverse_wishart(dof, scale)

    def is_singular_where(self, flat: BoolArray) -> BoolArray:
        return self.columns.are_nothing(flat)

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
    def sklearn_array(self) -> Array:
        return self.values

    @property
    def precisions_cholesky(self) -> Array:
        return np.asarray(1.0 / np.sqrt(self.sklearn_array))

    @property
    def precisions(self) -> Array:
        return np.asarray(1.0 / self.sklearn_array)

    @classmethod
    def precisions_problem(cls, precisions: Array) -> str:
        if not (precisions > 0.0).all():
            return "positive"
        return cls.rule.problem(cls, precisions)

    @classmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        return cls.from_sklearn_array(1.0 / precisions, n_components, n_features)

    @classmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        return cls.from_sklearn_array(1.0 / np.square(factors), n_components, n_features)


class Separate(Rule):
    """Each component its own variances."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def from_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
        return kind(np.maximum(scatter / divisor(count)[:, None], floor))


class SeparateSpheres(Rule):
    """Each component its own variance, one for all features."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components

    def from_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
        variances = scatter / (n_features * divisor(count)[:, None])
        return kind(np.maximum(variances, floor), n_features)


class OneSphere(SharingRule):
    """One variance, for all features of all components."""

    sharing = "variance"

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return 1

    def from_finite_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
        return kind(EQUAL.maximize(scatter / n_features, count, None, floor), n_features)


class AlongFeatures(SharingRule):
    """Volumes and shapes under a rule, along axes that are those of the features.

    Parameters
    ----------
    spectra : Spectra
    """

    def __init__(self, spectra: Spectra) -> None:
        self.spectra = spectra
        self.sharing = spectra.sharing

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return self.spectra.n_parameters(n_components, n_features)

    def from_finite_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
        variances = None if previous is None else previous.values
        return kind(self.spectra.maximize(scatter, count, variances, floor))


@dataclass(frozen=True, eq=False)
class DiagonalCovariances(AxisAlignedCovariances):
    """Each component its own variances: mclust's VVI."""

    rule = Separate()


@dataclass(frozen=True, eq=False)
class EEICovariances(AxisAlignedCovariances):
    """One variance for each feature: Σ_k = λ A."""

    rule = AlongFeatures(EQUAL)


@dataclass(frozen=True, eq=False)
class VEICovariances(AxisAlignedCovariances):
    """Variances of one ratio to each other: Σ_k = λ_k A."""

    rule = AlongFeatures(EQUAL_SHAPES)


@dataclass(frozen=True, eq=False)
class EVICovariances(AxisAlignedCovariances):
    """Variances of one product: Σ_k = λ A_k."""

    rule = AlongFeatures(EQUAL_VOLUMES)


@dataclass(frozen=True, eq=False)
class SphericalCovariances(AxisAlignedCovariances):
    """Each component its own variance: mclust's VII. Values of shape (n_components, 1)."""

    columns = ONE_FOR_ALL
    rule = SeparateSpheres()

    dimension: int = size()

    @property
    def n_features(self) -> int:
        return self.dimension

    @property
    def sklearn_array(self) -> Array:
        return self.values[:, 0]


@dataclass(frozen=True, eq=False)
class EIICovariances(AxisAlignedCovariances):
    """One variance for all: Σ_k = λ I. Values of shape (n_components, 1), all alike."""

    columns = ONE_FOR_ALL
    rule = OneSphere()

    dimension: int = size()

    @property
    def n_features(self) -> int:
        return self.dimension

    @property
    def sklearn_array(self) -> Array:
        return self.values[:, 0]

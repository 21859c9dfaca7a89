"""The base of covariance structures whose components share something."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from em_toolkit.covariances.base import RESOLUTION, Covariances
from em_toolkit.statistics import EPS, Array, BoolArray

# Beyond the roundings of a user's single precision.
_ALIKE = 1e-5


class SharingCovariances(Covariances, ABC):
    """K matrices that share something, each of them held whole.

    Free coordinates are those of K matrices on their own; `in_structure` leads back from what
    does not share. They are more than the parameters, and all directions within the structure are
    among them.
    """

    sharing: ClassVar[str]
    """What the components have in common, in words."""

    @classmethod
    def from_scatter(
        cls,
        scatter: Array,
        count: Array,
        n_features: int,
        previous: Self | None = None,
        floor: float = 0.0,
    ) -> Self:
        if not np.isfinite(scatter).all():
            # The squares of the data overflowed: `check_about` says so.
            return cls.alike(np.full((n_features, n_features), np.nan), count.shape[0])
        return cls.from_finite_scatter(
            _without_rounding(scatter), count, n_features, previous, floor
        )

    @classmethod
    @abstractmethod
    def from_finite_scatter(
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None, floor: float
    ) -> Self:
        """Return the maximizer that `from_scatter` describes, for finite scatters."""

    def in_structure(self) -> Self:
        # Scatters of one row each: the maximizer is the nearest in the Kullback-Leibler
        # divergence of the normal densities, Σ_k KL(given ‖ shared). Products of factors may have
        # lost a small eigenvalue to rounding.
        count = np.ones(self.n_components)
        return self.from_scatter(self.with_factors(self.scatter), count, self.n_features)

    def from_vector(self, vector: Array) -> Self:
        return super().from_vector(vector).in_structure()

    @classmethod
    def complaint_about_sharing(cls, precisions: Array) -> str:
        n_components, n_features = precisions.shape[0], precisions.shape[-1]
        given = np.asarray(precisions, dtype=np.float64)
        nearest = cls.from_precisions(given, n_components, n_features).precisions
        error, size = (
            np.abs(values).reshape(n_components, -1).max(axis=1)
            for values in (nearest - given, given)
        )
        tolerance = np.maximum(_ALIKE, _rounding_of_what_is_shared(precisions))
        if (error <= tolerance * size).all():
            return ""
        return f"of one {cls.sharing} in all components"

    @classmethod
    def scatter_around_points(cls, total: Array, n_components: int) -> Array:
        # Points know nothing of their spread; what is shared is that of all the data.
        return cls.scatter_of(total / n_components, n_components)

    def or_previous(self, known: BoolArray, settled: BoolArray, previous: Self) -> Self:
        # Components without data are `from_scatter`'s: they have a part in what is shared.
        return self if settled.all() else previous


def _without_rounding(scatter: Array) -> Array:
    """Return scatters that are zero in a feature where rounding has left them nothing or less."""
    if scatter.ndim == 2:
        return np.maximum(scatter, 0.0)
    none = np.diagonal(scatter, axis1=1, axis2=2) <= 0.0
    if not none.any():
        return scatter
    return np.where(none[:, :, None] | none[:, None, :], 0.0, scatter)


def _rounding_of_what_is_shared(precisions: NDArray[Any]) -> float | Array:
    """By how much volumes, shapes and axes may differ because entries are rounded, relative.

    A rounding of an entry is one of the largest eigenvalue, and as many of the smallest as the
    matrix is ill-conditioned, whatever the units of the features.
    """
    rounding = RESOLUTION * float(np.finfo(precisions.dtype).eps)
    if precisions.ndim < 3:
        return rounding
    matrices = precisions.astype(np.float64)
    scale = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    eigenvalues = np.linalg.eigvalsh(matrices / (scale[:, :, None] * scale[:, None, :]))
    smallest = np.maximum(eigenvalues[:, 0], EPS * eigenvalues[:, -1])
    return np.asarray(rounding * precisions.shape[-1] * eigenvalues[:, -1] / smallest)

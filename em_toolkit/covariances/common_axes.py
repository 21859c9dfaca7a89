"""Matrices that share their axes: mclust's EVE and VVE."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from em_toolkit.covariances.axes_search import CommonAxes
from em_toolkit.covariances.base import SMALLEST_VARIANCE
from em_toolkit.covariances.oriented import OrientedCovariances
from em_toolkit.covariances.spectra import EQUAL_VOLUMES, FREE, VaryingShapes
from em_toolkit.linalg.spectral import principal_axes, variances_along
from em_toolkit.statistics import EPS, Array, present


class CommonAxesCovariances(OrientedCovariances, ABC):
    """The same axes for all components."""

    spectra: ClassVar[VaryingShapes]

    @cached_property
    def axes(self) -> Array:
        if not np.isfinite(self.values).all():
            return np.full_like(self.values, np.nan)
        return self.in_structure().axes

    @property
    def n_parameters(self) -> int:
        K, d = self.n_components, self.n_features
        return self.spectra.n_parameters(K, d) + d * (d - 1) // 2

    @classmethod
    def from_finite_scatter(
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None, floor: float
    ) -> Self:
        own, along_own = principal_axes(scatter)
        starts, known = list(own), present(count)
        kept = None
        if previous is not None:
            starts = [previous.axes[0], *own[known]]
            kept = variances_along(previous.axes, previous.values)
        least = np.maximum(SMALLEST_VARIANCE * count, EPS**2 * along_own[:, 0])
        flat = np.flatnonzero(known & ~(along_own[:, -1] > least))
        if flat.size and floor == 0.0:
            # There is no maximum: seen from this component's axes, a variance is zero, or is
            # nothing beside another.
            k = int(flat[0])
            along = variances_along(own[k], scatter)
            along[k] = along_own[k]
            return cls.turned(own[k][None], FREE.maximize(along, count, kept, floor))
        axes, variances = CommonAxes(cls.spectra, scatter, count, kept, floor).best(starts)
        found = cls.turned(axes[None], variances)
        if previous is None or not (variances > 0.0).all():
            return found
        if found.misfit(scatter, count) <= previous.misfit(scatter, count):
            return found
        # The axes cannot be told apart but by roundings, of which the variances make much.
        return previous


@dataclass(frozen=True, eq=False)
class EVECovariances(CommonAxesCovariances):
    """One volume and one orientation: Σ_k = λ D A_k Dᵀ."""

    spectra: ClassVar[VaryingShapes] = EQUAL_VOLUMES
    sharing: ClassVar[str] = "volume and orientation"


@dataclass(frozen=True, eq=False)
class VVECovariances(CommonAxesCovariances):
    """One orientation: Σ_k = λ_k D A_k Dᵀ."""

    spectra: ClassVar[VaryingShapes] = FREE
    sharing: ClassVar[str] = "orientation"

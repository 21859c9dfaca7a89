"""Matrices by their axes and the variances along them; those with axes of their own.

mclust's EEV, VEV and EVV.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from em_toolkit.covariances.base import RESOLUTION
from em_toolkit.covariances.matrix import MatrixByComponent
from em_toolkit.covariances.sharing import SharingCovariances
from em_toolkit.covariances.spectra import EQUAL, EQUAL_SHAPES, EQUAL_VOLUMES, Spectra
from em_toolkit.linalg.spectral import composed, principal_axes, variances_along
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import EPS, Array, present


class OrientedCovariances(SharingCovariances, MatrixByComponent, ABC):
    """Σ_k = D_k V_k D_kᵀ: axes D_k, and variances V_k along them under a rule."""

    spectra: ClassVar[Spectra]

    @cached_property
    def along_axes(self) -> Array:
        return variances_along(self.axes, self.values)

    @classmethod
    def turned(cls, axes: Array, along_axes: Array) -> Self:
        """Return covariances of the given axes, one for all or one for each, and variances."""
        values, factors = composed(axes, along_axes)
        covariances = cls(values).with_cholesky(factors)
        covariances.__dict__.update(axes=np.broadcast_to(axes, values.shape), along_axes=along_axes)
        return covariances

    def misfit(self, scatter: Array, count: Array) -> float:
        """Return Σ_k [N_k log |Σ_k| + tr Σ_k⁻¹ A_k], which the M-step minimizes.

        Parameters
        ----------
        scatter : ndarray of shape (n_components, n_features, n_features)
            A_k, in squared units of the data times units of weight.
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        """
        return float(count @ self.log_determinants) + self.inner_product(scatter)

    def check_rank(self) -> None:
        super().check_rank()
        smallest, largest = self.along_axes.min(axis=1), self.along_axes.max(axis=1)
        flat = np.flatnonzero(~(smallest > RESOLUTION * self.n_features * EPS * largest))
        if flat.size:
            k = int(flat[0])
            raise CollapseError(
                f"the covariance of component {k} is singular to rounding: its variances along "
                f"its axes are from {smallest[k]:.3g} to {largest[k]:.3g}. Features of unlike "
                "scales should be scaled: this structure compares axes of all directions."
            )


class OwnAxesCovariances(OrientedCovariances, ABC):
    """Each component its own axes: those of its scatter, whatever the variances.

    The trace of D V⁻¹ Dᵀ A is least where D holds the eigenvectors of A and the eigenvalues are in
    the order of V (Celeux & Govaert 1995, appendix).
    """

    @cached_property
    def axes(self) -> Array:
        return principal_axes(self.values)[0]

    @property
    def n_parameters(self) -> int:
        K, d = self.n_components, self.n_features
        return self.spectra.n_parameters(K, d) + K * d * (d - 1) // 2

    @classmethod
    def from_finite_scatter(
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None, floor: float
    ) -> Self:
        axes, along_axes = principal_axes(scatter)
        if previous is None:
            return cls.turned(axes, cls.spectra.maximize(along_axes, count, None, floor))
        known = present(count)
        axes = np.where(known[:, None, None], axes, previous.axes)
        kept = variances_along(previous.axes, scatter)
        along_axes = np.where(known[:, None], along_axes, kept)
        variances = cls.spectra.maximize(along_axes, count, previous.along_axes, floor)
        return cls.turned(axes, variances)


@dataclass(frozen=True, eq=False)
class EEVCovariances(OwnAxesCovariances):
    """One volume and one shape, in any direction: Σ_k = λ D_k A D_kᵀ."""

    spectra: ClassVar[Spectra] = EQUAL
    sharing: ClassVar[str] = spectra.sharing


@dataclass(frozen=True, eq=False)
class VEVCovariances(OwnAxesCovariances):
    """One shape, of any volume in any direction: Σ_k = λ_k D_k A D_kᵀ."""

    spectra: ClassVar[Spectra] = EQUAL_SHAPES
    sharing: ClassVar[str] = spectra.sharing


@dataclass(frozen=True, eq=False)
class EVVCovariances(OwnAxesCovariances):
    """One volume, of any shape in any direction: Σ_k = λ D_k A_k D_kᵀ.

    Only determinants are compared, so that the structure is the same in any units. It is found in
    those of the features' spread, where the axes lose no digits to a feature of large numbers.
    """

    spectra: ClassVar[Spectra] = EQUAL_VOLUMES
    sharing: ClassVar[str] = spectra.sharing

    @classmethod
    def from_finite_scatter(
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None, floor: float
    ) -> Self:
        total = np.diagonal(scatter, axis1=1, axis2=2).sum(axis=0)
        spread = np.sqrt(total / count.sum())
        unit = np.where(spread > 0.0, spread, 1.0)

        def in_units(matrices: Array) -> Array:
            # By one after the other: their product may be no number.
            return (matrices / unit[:, None]) / unit

        before = None
        if previous is not None:
            with np.errstate(over="ignore"):
                values = in_units(previous.values)
            # Beside a spread that is nothing, what was before it is no number.
            before = replace(previous, values=values) if np.isfinite(values).all() else None
        found = super().from_finite_scatter(in_units(scatter), count, n_features, before, 0.0)
        values = unit[:, None] * found.values * unit
        covariances = cls(0.5 * (values + values.transpose(0, 2, 1))).with_cholesky(
            unit[:, None] * found.cholesky
        )
        if floor == 0.0 or covariances.is_above(floor):
            return covariances
        # The floor is in the units of the data, in which the axes may lose digits.
        raised = super().from_finite_scatter(scatter, count, n_features, previous, floor)
        if previous is None or raised.misfit(scatter, count) <= previous.misfit(scatter, count):
            return raised
        return previous

    def check_rank(self) -> None:
        # The ratio of the variances along the axes depends on the units.
        MatrixByComponent.check_rank(self)

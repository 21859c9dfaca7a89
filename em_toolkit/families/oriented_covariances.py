"""Matrices by their axes and the variances along them; those with axes of their own.

mclust's EEV, VEV and EVV.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from scipy.linalg import lapack

from em_toolkit.families.base import present
from em_toolkit.families.covariance import RESOLUTION
from em_toolkit.families.matrix_covariances import MatrixByComponent
from em_toolkit.families.sharing_covariances import SharingCovariances
from em_toolkit.families.spectra import EQUAL, EQUAL_SHAPES, EQUAL_VOLUMES, Spectra
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import EPS, Array


class OrientedCovariances(SharingCovariances, MatrixByComponent, ABC):
    """Σ_k = D_k V_k D_kᵀ: axes D_k, and variances V_k along them under a rule."""

    spectra: ClassVar[Spectra]

    @property
    @abstractmethod
    def axes(self) -> Array:
        """D_k, in columns, of shape (n_components, n_features, n_features)."""

    @cached_property
    def along_axes(self) -> Array:
        """The diagonals of V_k, of shape (n_components, n_features)."""
        return variances_along(self.axes, self.values)

    @classmethod
    def turned(cls, axes: Array, along_axes: Array) -> Self:
        """From D_k, one for all or one for each component, and the variances along them."""
        roots = axes * np.sqrt(along_axes)[:, None, :]
        values = roots @ roots.transpose(0, 2, 1)
        covariances = cls(0.5 * (values + values.transpose(0, 2, 1)))
        upper = np.linalg.qr(roots.transpose(0, 2, 1), mode="r")
        signs = np.where(np.diagonal(upper, axis1=1, axis2=2) < 0.0, -1.0, 1.0)
        covariances.__dict__.update(
            # Kept: what is factored again loses as many digits as Σ is ill-conditioned.
            cholesky=(signs[:, :, None] * upper).transpose(0, 2, 1),
            axes=np.broadcast_to(axes, values.shape),
            along_axes=along_axes,
        )
        return covariances

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


def variances_along(axes: Array, matrices: Array) -> Array:
    """diag D_kᵀ A_k D_k, of shape (n_components, n_features); D may be one for all."""
    return np.maximum(np.sum(axes * (matrices @ axes), axis=1), 0.0)


def principal_axes(matrices: Array) -> tuple[Array, Array]:
    """The eigenvectors and eigenvalues of positive semidefinite matrices, largest first.

    By singular values of a triangular factor, so that small eigenvalues keep all the digits but
    those of the square root of the condition.

    Returns
    -------
    axes : ndarray of shape (n_matrices, n_features, n_features)
        In columns.
    eigenvalues : ndarray of shape (n_matrices, n_features)
    """
    axes, singular_values, _ = np.linalg.svd(np.stack([_root(matrix) for matrix in matrices]))
    return axes, np.square(singular_values)


def _root(matrix: Array) -> Array:
    """R with R Rᵀ = A, by Cholesky's algorithm with pivots, on the scale of the diagonal."""
    diagonal = np.diagonal(matrix)
    scale = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    lower, pivots, rank, _ = lapack.dpstrf(matrix / np.outer(scale, scale), lower=1)
    lower = np.tril(lower)
    lower[:, rank:] = 0.0
    root = np.empty_like(lower)
    root[pivots - 1] = lower
    return np.asarray(scale[:, None] * root)


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
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None
    ) -> Self:
        axes, along_axes = principal_axes(scatter)
        if previous is None:
            return cls.turned(axes, cls.spectra.maximize(along_axes, count, None))
        known = present(count)
        axes = np.where(known[:, None, None], axes, previous.axes)
        kept = variances_along(previous.axes, scatter)
        along_axes = np.where(known[:, None], along_axes, kept)
        return cls.turned(axes, cls.spectra.maximize(along_axes, count, previous.along_axes))


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
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None
    ) -> Self:
        spread = np.sqrt(np.diagonal(scatter, axis1=1, axis2=2).sum(axis=0) / count.sum())
        unit = np.where(spread > 0.0, spread, 1.0)
        squares = np.outer(unit, unit)
        before = None if previous is None else replace(previous, values=previous.values / squares)
        found = super().from_finite_scatter(scatter / squares, count, n_features, before)
        covariances = cls(found.values * squares)
        covariances.__dict__["cholesky"] = unit[:, None] * found.cholesky
        return covariances

    def check_rank(self) -> None:
        # The ratio of the variances along the axes depends on the units.
        MatrixByComponent.check_rank(self)

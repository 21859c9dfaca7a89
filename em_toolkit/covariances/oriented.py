"""Rules for matrices with axes of each component's own: mclust's EEV, VEV and EVV."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from em_toolkit.covariances.matrix import MatrixCovariances, MatrixRule
from em_toolkit.covariances.rules import RESOLUTION, SharingRule
from em_toolkit.covariances.spectra import EQUAL, EQUAL_SHAPES, EQUAL_VOLUMES, Spectra
from em_toolkit.linalg.spectral import principal_axes, variances_along
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import EPS, Array, present


def check_ratios(covariances: Any) -> None:
    """Raise `CollapseError` if a variance along the axes is lost beside the largest one."""
    smallest, largest = covariances.along_axes.min(axis=1), covariances.along_axes.max(axis=1)
    flat = np.flatnonzero(~(smallest > RESOLUTION * covariances.n_features * EPS * largest))
    if flat.size:
        k = int(flat[0])
        raise CollapseError(
            f"the covariance of component {k} is singular to rounding: its variances along "
            f"its axes are from {smallest[k]:.3g} to {largest[k]:.3g}. Features of unlike "
            "scales should be scaled: this structure compares axes of all directions."
        )


class OwnAxes(SharingRule, MatrixRule):
    """Σ_k = D_k V_k D_kᵀ: axes D_k of each component's own, and variances V_k under a rule.

    The axes are those of the scatter, whatever the variances: the trace of D V⁻¹ Dᵀ A is least
    where D holds the eigenvectors of A and the eigenvalues are in the order of V (Celeux & Govaert
    1995, appendix).

    Parameters
    ----------
    spectra : Spectra
        The rule for volumes and shapes.
    """

    def __init__(self, spectra: Spectra) -> None:
        self.spectra = spectra
        self.sharing = spectra.sharing

    def n_parameters(self, n_components: int, n_features: int) -> int:
        of_axes = n_components * n_features * (n_features - 1) // 2
        return self.spectra.n_parameters(n_components, n_features) + of_axes

    def spectrum(self, covariances: Any) -> tuple[Array, Array]:
        axes = principal_axes(covariances.values)[0]
        return axes, variances_along(axes, covariances.values)

    def check_axes(self, covariances: Any) -> None:
        check_ratios(covariances)

    def from_finite_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
        axes, along_axes = principal_axes(scatter)
        if previous is None:
            return kind.turned(axes, self.spectra.maximize(along_axes, count, None, floor))
        known = present(count)
        axes = np.where(known[:, None, None], axes, previous.axes)
        kept = variances_along(previous.axes, scatter)
        along_axes = np.where(known[:, None], along_axes, kept)
        variances = self.spectra.maximize(along_axes, count, previous.along_axes, floor)
        return kind.turned(axes, variances)


class OwnAxesInAnyUnits(SharingRule, MatrixRule):
    """Axes of each component's own, where determinants alone are compared.

    The structure is then the same in any units of the features. It is found in those of their
    spread, where the axes lose no digits to a feature of large numbers; and the ratio of the
    variances along the axes, which depends on the units, is no matter.

    Parameters
    ----------
    own_axes : OwnAxes
        The rule in given units.
    """

    def __init__(self, own_axes: OwnAxes) -> None:
        self.own_axes = own_axes
        self.sharing = own_axes.sharing

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return self.own_axes.n_parameters(n_components, n_features)

    def spectrum(self, covariances: Any) -> tuple[Array, Array]:
        return self.own_axes.spectrum(covariances)

    def from_finite_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
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
        found = self.own_axes.from_finite_scatter(
            kind, in_units(scatter), count, n_features, before, 0.0
        )
        values = unit[:, None] * found.values * unit
        covariances = kind(0.5 * (values + values.transpose(0, 2, 1))).with_cholesky(
            unit[:, None] * found.cholesky
        )
        if floor == 0.0 or covariances.is_above(floor):
            return covariances
        # The floor is in the units of the data, in which the axes may lose digits.
        raised = self.own_axes.from_finite_scatter(
            kind, scatter, count, n_features, previous, floor
        )
        if previous is None or raised.misfit(scatter, count) <= previous.misfit(scatter, count):
            return raised
        return previous


@dataclass(frozen=True, eq=False)
class EEVCovariances(MatrixCovariances):
    """One volume and one shape, in any direction: Σ_k = λ D_k A D_kᵀ."""

    rule = OwnAxes(EQUAL)


@dataclass(frozen=True, eq=False)
class VEVCovariances(MatrixCovariances):
    """One shape, of any volume in any direction: Σ_k = λ_k D_k A D_kᵀ."""

    rule = OwnAxes(EQUAL_SHAPES)


@dataclass(frozen=True, eq=False)
class EVVCovariances(MatrixCovariances):
    """One volume, of any shape in any direction: Σ_k = λ D_k A_k D_kᵀ."""

    rule = OwnAxesInAnyUnits(OwnAxes(EQUAL_VOLUMES))

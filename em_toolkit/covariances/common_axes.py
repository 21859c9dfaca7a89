"""Rules for matrices that share their axes: mclust's EVE and VVE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from em_toolkit.covariances.axes_search import AxesSearch
from em_toolkit.covariances.matrix import MatrixCovariances, MatrixRule
from em_toolkit.covariances.oriented import check_ratios
from em_toolkit.covariances.rules import SMALLEST_VARIANCE, SharingRule
from em_toolkit.covariances.spectra import EQUAL_VOLUMES, FREE, VaryingShapes
from em_toolkit.linalg.spectral import principal_axes, variances_along
from em_toolkit.statistics import EPS, Array, present


class CommonAxes(SharingRule, MatrixRule):
    """Σ_k = D V_k Dᵀ: the same axes D for all components, and variances V_k under a rule.

    Parameters
    ----------
    spectra : VaryingShapes
        The rule for volumes and shapes.
    sharing : str
        What the components have in common, in words.
    """

    def __init__(self, spectra: VaryingShapes, sharing: str) -> None:
        self.spectra = spectra
        self.sharing = sharing

    def n_parameters(self, n_components: int, n_features: int) -> int:
        of_axes = n_features * (n_features - 1) // 2
        return self.spectra.n_parameters(n_components, n_features) + of_axes

    def spectrum(self, covariances: Any) -> tuple[Array, Array]:
        values = covariances.values
        is_finite = np.isfinite(values).all()
        axes = covariances.in_structure().axes if is_finite else np.full_like(values, np.nan)
        return axes, variances_along(axes, values)

    def check_axes(self, covariances: Any) -> None:
        check_ratios(covariances)

    def from_finite_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
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
            return kind.turned(own[k][None], FREE.maximize(along, count, kept, floor))
        axes, variances = AxesSearch(self.spectra, scatter, count, kept, floor).best(starts)
        found = kind.turned(axes[None], variances)
        if previous is None or not (variances > 0.0).all():
            return found
        if found.misfit(scatter, count) <= previous.misfit(scatter, count):
            return found
        # The axes cannot be told apart but by roundings, of which the variances make much.
        return previous


@dataclass(frozen=True, eq=False)
class EVECovariances(MatrixCovariances):
    """One volume and one orientation: Σ_k = λ D A_k Dᵀ."""

    rule = CommonAxes(EQUAL_VOLUMES, "volume and orientation")


@dataclass(frozen=True, eq=False)
class VVECovariances(MatrixCovariances):
    """One orientation: Σ_k = λ_k D A_k Dᵀ."""

    rule = CommonAxes(FREE, "orientation")

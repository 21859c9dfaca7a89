"""The rule for matrices that are alike but for their size: mclust's VEE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from em_toolkit.covariances.matrix import MatrixCovariances, MatrixRule
from em_toolkit.covariances.rules import SMALLEST_VARIANCE, SharingRule, divisor
from em_toolkit.covariances.spectra import EQUAL_SHAPES
from em_toolkit.covariances.volumes import log_volumes, pooled_matrices
from em_toolkit.linalg.spectral import composed, principal_axes, variances_along
from em_toolkit.statistics import EPS, Array, BoolArray, present

_MOST_TURNS = 200


class Proportional(SharingRule, MatrixRule):
    """Σ_k = λ_k C: one matrix, in any size.

    The volumes are those of `em_toolkit.covariances.volumes`, and C is the pool at these.
    """

    sharing = "shape and orientation"

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components - 1 + n_features * (n_features + 1) // 2

    def from_finite_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
        if floor == 0.0:
            return self._without_floor(kind, scatter, count, n_features, previous)
        # Where there is no maximum without the floor, it overflows on its way.
        with np.errstate(all="ignore"):
            found = self._without_floor(kind, scatter, count, n_features, previous)
        if np.isfinite(found.values).all() and found.is_above(floor):
            return found
        return self._with_floor(kind, scatter, count, previous, floor)

    def _without_floor(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any
    ) -> Any:
        known, sizes = present(count), np.trace(scatter, axis1=1, axis2=2) / divisor(count)
        unshared = scatter / divisor(count)[:, None, None]
        if previous is not None:
            unshared = np.where(known[:, None, None], unshared, previous.values)
        if not (sizes[known] > SMALLEST_VARIANCE).all():
            return kind(unshared)
        # Of a trace: the determinant of a start may be zero.
        start = np.log(sizes if previous is None else previous.variances.sum(axis=1))
        x = log_volumes(pooled_matrices(scatter), count, known, start, n_features)
        if x is None:
            return kind(_flat(unshared, known))
        shape = np.sum(np.exp(-x)[:, None, None] * scatter, axis=0) / count.sum()
        try:
            lower = np.linalg.cholesky(shape)
        except np.linalg.LinAlgError:
            # Even the sum of the scatters is singular, and so is each.
            return kind(unshared)
        covariances = kind(np.exp(x)[:, None, None] * shape)
        # Exactly those of one shape.
        return covariances.with_cholesky(np.exp(0.5 * x)[:, None, None] * lower)

    def _with_floor(
        self, kind: Any, scatter: Array, count: Array, previous: Any, floor: float
    ) -> Any:
        """Return the maximizer of which some variances are the floor.

        For given axes, volumes and shape are those of `em_toolkit.covariances.spectra`; for given
        volumes, C is the pool at these with its eigenvalues raised. The two take turns, of which
        none lowers the objective, until the axes are still.
        """
        known = present(count)
        if previous is None:
            axes, pooled = principal_axes(scatter.sum(axis=0)[None] / count.sum())
            variances = np.tile(np.maximum(pooled, floor), (count.size, 1))
        else:
            axes, variances = previous.axes[:1], np.maximum(previous.along_axes, floor)
        lowest = np.inf
        for _ in range(_MOST_TURNS):
            along = variances_along(axes, scatter)
            variances = EQUAL_SHAPES.with_floor(along, count, variances, floor)
            objective = float(count @ np.log(variances).sum(axis=1) + np.sum(along / variances))
            if objective >= lowest - EPS * abs(objective):
                break
            lowest = objective
            volumes = variances.min(axis=1) / floor
            pool = np.sum(scatter[known] / volumes[known, None, None], axis=0) / count[known].sum()
            axes, pooled = principal_axes(pool[None])
            variances = volumes[:, None] * np.maximum(pooled, floor)
        matrices, factors = composed(axes, variances)
        return kind(matrices).with_cholesky(factors)


def _flat(matrices: Array, known: BoolArray) -> Array:
    """Return the matrices, that of the smallest eigenvalue made singular by leaving it out."""
    eigenvalues, axes = np.linalg.eigh(matrices)
    largest = np.where(known, eigenvalues[:, -1], 1.0)
    smallest = np.where(known, eigenvalues[:, 0] / largest, np.inf)
    component = int(smallest.argmin())
    kept = axes[component, :, 1:]
    flattened = matrices.copy()
    flattened[component] = (kept * eigenvalues[component, 1:]) @ kept.T
    return flattened


@dataclass(frozen=True, eq=False)
class VEECovariances(MatrixCovariances):
    """One shape and one orientation, of any volume: Σ_k = λ_k C."""

    rule = Proportional()

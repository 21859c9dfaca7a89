"""Matrices that are alike but for their size: mclust's VEE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from em_toolkit.families.base import present
from em_toolkit.families.covariance import SMALLEST_VARIANCE, divisor
from em_toolkit.families.matrix_covariances import MatrixByComponent
from em_toolkit.families.sharing_covariances import SharingCovariances
from em_toolkit.families.volumes import log_volumes, pooled_matrices
from em_toolkit.statistics import Array, BoolArray


@dataclass(frozen=True, eq=False)
class VEECovariances(SharingCovariances, MatrixByComponent):
    """One shape and one orientation, of any volume: Σ_k = λ_k C.

    The volumes are those of `em_toolkit.families.volumes`, and C is the pool at these.
    """

    sharing: ClassVar[str] = "shape and orientation"

    @property
    def n_parameters(self) -> int:
        return self.n_components - 1 + self.n_features * (self.n_features + 1) // 2

    @classmethod
    def from_finite_scatter(
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None
    ) -> Self:
        known, sizes = present(count), np.trace(scatter, axis1=1, axis2=2) / divisor(count)
        unshared = scatter / divisor(count)[:, None, None]
        if previous is not None:
            unshared = np.where(known[:, None, None], unshared, previous.values)
        if not (sizes[known] > SMALLEST_VARIANCE).all():
            return cls(unshared)
        # Of a trace: the determinant of a start may be zero.
        start = np.log(sizes if previous is None else previous.variances.sum(axis=1))
        x = log_volumes(pooled_matrices(scatter), count, known, start, n_features)
        if x is None:
            return cls(_flat(unshared, known))
        shape = np.sum(np.exp(-x)[:, None, None] * scatter, axis=0) / count.sum()
        try:
            lower = np.linalg.cholesky(shape)
        except np.linalg.LinAlgError:
            # Even the sum of the scatters is singular, and so is each.
            return cls(unshared)
        covariances = cls(np.exp(x)[:, None, None] * shape)
        # Kept: exactly those of one shape.
        covariances.__dict__["cholesky"] = np.exp(0.5 * x)[:, None, None] * lower
        return covariances


def _flat(matrices: Array, known: BoolArray) -> Array:
    """The matrices, that of the smallest eigenvalue made singular by leaving it out."""
    eigenvalues, axes = np.linalg.eigh(matrices)
    largest = np.where(known, eigenvalues[:, -1], 1.0)
    smallest = np.where(known, eigenvalues[:, 0] / largest, np.inf)
    component = int(smallest.argmin())
    kept = axes[component, :, 1:]
    flattened = matrices.copy()
    flattened[component] = (kept * eigenvalues[component, 1:]) @ kept.T
    return flattened

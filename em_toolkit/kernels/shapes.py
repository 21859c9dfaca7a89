"""The shapes of covariances that the kernels know, and the work that they take."""

from __future__ import annotations

from em_toolkit.covariances import (
    STRUCTURES,
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    SphericalCovariances,
)
from em_toolkit.covariances.axis_aligned import VarianceByComponent, VariancesByFeature
from em_toolkit.covariances.matrix import MatrixByComponent


def products_when_tied(n_features: int, n_components: int) -> int:
    """Products for a row if it is whitened once for all components."""
    return n_features**2 + 2 * n_components * n_features


def _of_the_same_shape(structure: type[Covariances]) -> type[Covariances]:
    if issubclass(structure, MatrixByComponent):
        return FullCovariances
    if issubclass(structure, VariancesByFeature):
        return DiagonalCovariances
    if issubclass(structure, VarianceByComponent):
        return SphericalCovariances
    return structure


# Which of these a structure is. A subclass of one's own may do something else in any method.
SHAPES = {structure: _of_the_same_shape(structure) for structure in STRUCTURES.values()}

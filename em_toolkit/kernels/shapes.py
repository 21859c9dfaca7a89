"""The shapes of covariances that the kernels know, and the work that they take."""

from __future__ import annotations

from em_toolkit.covariances import (
    STRUCTURES,
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    SphericalCovariances,
    TiedCovariances,
)
from em_toolkit.covariances.axis_aligned import EIICovariances
from em_toolkit.covariances.matrix import MatrixCovariances


def products_when_tied(n_features: int, n_components: int) -> int:
    """Return the number of products for a row if it is whitened once for all components.

    Parameters
    ----------
    n_features, n_components : int
    """
    return n_features**2 + 2 * n_components * n_features


def _of_the_same_shape(structure: type[Covariances]) -> type[Covariances]:
    if issubclass(structure, TiedCovariances):
        return TiedCovariances
    if issubclass(structure, MatrixCovariances):
        return FullCovariances
    is_spherical = issubclass(structure, SphericalCovariances | EIICovariances)
    return SphericalCovariances if is_spherical else DiagonalCovariances


# Which of these a structure is. A subclass of one's own may do something else in any method.
SHAPES = {structure: _of_the_same_shape(structure) for structure in STRUCTURES.values()}

"""Covariance structures: how the covariance matrices of the components share their entries."""

from em_toolkit.covariances.axis_aligned import DiagonalCovariances, SphericalCovariances
from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.matrix import FullCovariances, TiedCovariances
from em_toolkit.covariances.structures import (
    MCLUST_STRUCTURES,
    SCIKIT_LEARN_STRUCTURES,
    STRUCTURES,
)

__all__ = [
    "MCLUST_STRUCTURES",
    "SCIKIT_LEARN_STRUCTURES",
    "STRUCTURES",
    "Covariances",
    "DiagonalCovariances",
    "FullCovariances",
    "SphericalCovariances",
    "TiedCovariances",
]

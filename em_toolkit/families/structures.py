"""The names of the covariance structures."""

from __future__ import annotations

from em_toolkit.families.axis_aligned_covariances import DiagonalCovariances, SphericalCovariances
from em_toolkit.families.common_axes_covariances import EVECovariances, VVECovariances
from em_toolkit.families.covariance import Covariances
from em_toolkit.families.matrix_covariances import FullCovariances, TiedCovariances
from em_toolkit.families.oriented_covariances import EEVCovariances, EVVCovariances, VEVCovariances
from em_toolkit.families.proportional_covariances import VEECovariances
from em_toolkit.families.sharing_variances import (
    EEICovariances,
    EIICovariances,
    EVICovariances,
    VEICovariances,
)
from em_toolkit.options import CovarianceType

SCIKIT_LEARN_STRUCTURES: dict[CovarianceType, type[Covariances]] = {
    "full": FullCovariances,
    "tied": TiedCovariances,
    "diag": DiagonalCovariances,
    "spherical": SphericalCovariances,
}

# In mclust's order, from one variance for all to a matrix for each component. The letters say
# whether volume, shape and orientation are equal, varying or (I) none.
MCLUST_STRUCTURES: dict[CovarianceType, type[Covariances]] = {
    "EII": EIICovariances,
    "VII": SphericalCovariances,
    "EEI": EEICovariances,
    "VEI": VEICovariances,
    "EVI": EVICovariances,
    "VVI": DiagonalCovariances,
    "EEE": TiedCovariances,
    "VEE": VEECovariances,
    "EVE": EVECovariances,
    "VVE": VVECovariances,
    "EEV": EEVCovariances,
    "VEV": VEVCovariances,
    "EVV": EVVCovariances,
    "VVV": FullCovariances,
}

STRUCTURES: dict[CovarianceType, type[Covariances]] = SCIKIT_LEARN_STRUCTURES | MCLUST_STRUCTURES

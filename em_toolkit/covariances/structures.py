"""The names of the covariance structures.

scikit-learn's names: "full" is a matrix for each component, "tied" one matrix for all, "diag" a
variance for each component and feature, and "spherical" a variance for each component.

mclust's names: a covariance is a volume λ, a shape A (a diagonal matrix of determinant 1) and an
orientation D (orthogonal), Σ = λ D A Dᵀ. A letter for each, in this order, says whether it is equal
in all components (E) or varies (V). An I as second letter means spheres, and as third letter axes
that are those of the features:

- "EII", "VII" (the same as "spherical"): spheres, of one size or of any.
- "EEI", "VEI", "EVI", "VVI" (the same as "diag"): axes along the features.
- "EEE" (the same as "tied"), "VEE", "EVE", "VVE": axes in common.
- "EEV", "VEV", "EVV", "VVV" (the same as "full"): axes of each component's own.

The M-step is that of Celeux & Govaert (1995): in closed form, or by Newton's method where there is
no closed form (VEI, VEE, VEV, EVE, VVE). Axes are compared across all features, so features should
be on one scale where the orientation is shared or the shape is turned.

References
----------
Banfield & Raftery (1993), Biometrics 49. Celeux & Govaert (1995), Pattern Recognition 28.
"""

from __future__ import annotations

from em_toolkit.covariances.axis_aligned import (
    DiagonalCovariances,
    EEICovariances,
    EIICovariances,
    EVICovariances,
    SphericalCovariances,
    VEICovariances,
)
from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.common_axes import EVECovariances, VVECovariances
from em_toolkit.covariances.matrix import FullCovariances, TiedCovariances
from em_toolkit.covariances.oriented import EEVCovariances, EVVCovariances, VEVCovariances
from em_toolkit.covariances.proportional import VEECovariances
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

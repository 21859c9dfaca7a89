"""Families of components: a density, its statistics and its maximizer."""

from em_toolkit.covariances.axis_aligned import DiagonalCovariances, SphericalCovariances
from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.matrix import FullCovariances, TiedCovariances
from em_toolkit.covariances.structures import (
    MCLUST_STRUCTURES,
    SCIKIT_LEARN_STRUCTURES,
    STRUCTURES,
)
from em_toolkit.families.base import Family
from em_toolkit.families.box import Box, box_about
from em_toolkit.families.fixed import FixedComponents
from em_toolkit.families.gaussian import Gaussian, GaussianComponents, GaussianStatistics
from em_toolkit.families.poisson import Poisson, PoissonRates, PoissonStatistics
from em_toolkit.families.resolution import Resolution
from em_toolkit.families.with_noise import NoisyStatistics, WithNoise

__all__ = [
    "MCLUST_STRUCTURES",
    "SCIKIT_LEARN_STRUCTURES",
    "STRUCTURES",
    "Box",
    "Covariances",
    "DiagonalCovariances",
    "Family",
    "FixedComponents",
    "FullCovariances",
    "Gaussian",
    "GaussianComponents",
    "GaussianStatistics",
    "NoisyStatistics",
    "Poisson",
    "PoissonRates",
    "PoissonStatistics",
    "Resolution",
    "SphericalCovariances",
    "TiedCovariances",
    "WithNoise",
    "box_about",
]

"""Priors: what they add to the M-step, and the log density that the bound includes."""

from em_toolkit.priors.base import ComponentPrior, FlatPrior
from em_toolkit.priors.conjugate import ConjugatePrior, NormalInverseWishart
from em_toolkit.priors.moments import Moments
from em_toolkit.priors.normal_means import MeansPrior, NormalMeans

__all__ = [
    "ComponentPrior",
    "ConjugatePrior",
    "FlatPrior",
    "MeansPrior",
    "Moments",
    "NormalInverseWishart",
    "NormalMeans",
]

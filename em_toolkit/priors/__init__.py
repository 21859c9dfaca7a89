"""Priors: what they add to the M-step, and the log density that the bound includes."""

from em_toolkit.priors.base import ComponentPrior
from em_toolkit.priors.conjugate import ConjugatePrior, NormalInverseWishart
from em_toolkit.priors.moments import Moments
from em_toolkit.priors.normal_means import MeansPrior, NormalMeans
from em_toolkit.priors.scatter import ScatterPrior

__all__ = [
    "ComponentPrior",
    "ConjugatePrior",
    "MeansPrior",
    "Moments",
    "NormalInverseWishart",
    "NormalMeans",
    "ScatterPrior",
]

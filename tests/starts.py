"""Old Faithful, and where fits of it begin in the tests of the engine."""

from __future__ import annotations

import numpy as np
from oracles import Data

from em_toolkit.datasets import load_faithful
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import Gaussian, GaussianComponents, PoissonRates
from em_toolkit.models import Mixture, MixtureParameters

FAITHFUL: Data = load_faithful().data


def faithful_start(structure: str = "full") -> MixtureParameters[GaussianComponents]:
    """Two components: far from the maximum, so that there is a way to go."""
    covariances = CLASSES[structure].shared(np.cov(FAITHFUL.T), 2)
    means = np.array([[3.0, 60.0], [4.0, 75.0]])
    return MixtureParameters(np.array([0.3, 0.7]), GaussianComponents(means, covariances))


def gaussian_mixture(structure: str = "full") -> Mixture[GaussianComponents]:
    return Mixture(Gaussian(CLASSES[structure]))


def poisson(weights: list[float], rates: list[list[float]]) -> MixtureParameters[PoissonRates]:
    return MixtureParameters(np.array(weights), PoissonRates(np.array(rates)))

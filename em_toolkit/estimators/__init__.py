"""scikit-learn estimators: parameters, validation, attributes; no mathematics."""

from em_toolkit.estimators.gaussian_mixture import GaussianMixture
from em_toolkit.estimators.poisson_mixture import PoissonMixture

__all__ = ["GaussianMixture", "PoissonMixture"]

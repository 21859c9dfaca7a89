"""scikit-learn estimators: parameters, validation, attributes; no mathematics."""

from em_toolkit.estimators.finite_mixture import FiniteMixture
from em_toolkit.estimators.gaussian_mixture import GaussianMixture
from em_toolkit.estimators.poisson_mixture import PoissonMixture
from em_toolkit.estimators.ppca import PPCA

__all__ = ["PPCA", "FiniteMixture", "GaussianMixture", "PoissonMixture"]

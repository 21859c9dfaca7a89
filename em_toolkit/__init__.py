"""Expectation-maximization for latent variable models, with the bound in full view."""

from em_toolkit.engine import (
    ELBODecreaseError,
    ELBODecreaseWarning,
    Restart,
    Status,
    Trace,
)
from em_toolkit.estimators import PPCA, GaussianMixture, PoissonMixture

__version__ = "0.1.0"

__all__ = [
    "PPCA",
    "ELBODecreaseError",
    "ELBODecreaseWarning",
    "GaussianMixture",
    "PoissonMixture",
    "Restart",
    "Status",
    "Trace",
]

"""The names that `import em_toolkit` offers."""

from em_toolkit.analysis.inference import Inference
from em_toolkit.displays import ELBODisplay, MixtureDisplay, ModelSelectionDisplay
from em_toolkit.engine import (
    ELBODecreaseError,
    ELBODecreaseWarning,
    Fit,
    Restart,
    Rows,
    Status,
    Trace,
)
from em_toolkit.engine.em import em
from em_toolkit.estimators import PPCA, FiniteMixture, GaussianMixture, PoissonMixture
from em_toolkit.estimators.floor import VarianceFloorWarning
from em_toolkit.model import LatentVariableModel
from em_toolkit.parameters import Parameters
from em_toolkit.priors import NormalInverseWishart, NormalMeans
from em_toolkit.selection import MixtureSelection, select_mixture
from em_toolkit.statistics import Statistics
from em_toolkit.testing import check_family, check_model

__all__ = [
    "PPCA",
    "ELBODecreaseError",
    "ELBODecreaseWarning",
    "ELBODisplay",
    "FiniteMixture",
    "Fit",
    "GaussianMixture",
    "Inference",
    "LatentVariableModel",
    "MixtureDisplay",
    "MixtureSelection",
    "ModelSelectionDisplay",
    "NormalInverseWishart",
    "NormalMeans",
    "Parameters",
    "PoissonMixture",
    "Restart",
    "Rows",
    "Statistics",
    "Status",
    "Trace",
    "VarianceFloorWarning",
    "check_family",
    "check_model",
    "em",
    "select_mixture",
]

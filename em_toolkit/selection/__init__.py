"""The choice of the number of components and of their covariances: all combinations, compared."""

from em_toolkit.selection.candidate import Candidate
from em_toolkit.selection.combinations import default_covariance_types
from em_toolkit.selection.criteria import CRITERIA, Criterion
from em_toolkit.selection.result import MixtureSelection
from em_toolkit.selection.search import select_mixture

__all__ = [
    "CRITERIA",
    "Candidate",
    "Criterion",
    "MixtureSelection",
    "default_covariance_types",
    "select_mixture",
]

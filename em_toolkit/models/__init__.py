"""Latent structures; each works with every family for which it makes sense."""

from em_toolkit.models.components_of import ComponentsOf, Several
from em_toolkit.models.mixture import Mixture, MixtureParameters, Responsibilities
from em_toolkit.models.probabilistic_pca import PPCAParameters, ProbabilisticPCA

__all__ = [
    "ComponentsOf",
    "Mixture",
    "MixtureParameters",
    "PPCAParameters",
    "ProbabilisticPCA",
    "Responsibilities",
    "Several",
]

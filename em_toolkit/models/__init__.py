"""What the latent structure can be; each works with every family it makes sense for."""

from em_toolkit.models.mixture import Mixture, MixtureParameters, Responsibilities
from em_toolkit.models.probabilistic_pca import PPCAParameters, ProbabilisticPCA

__all__ = [
    "Mixture",
    "MixtureParameters",
    "PPCAParameters",
    "ProbabilisticPCA",
    "Responsibilities",
]

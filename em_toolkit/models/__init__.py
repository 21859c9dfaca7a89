"""What the latent structure can be; each works with every family it makes sense for."""

from em_toolkit.models.mixture import Mixture, MixtureParameters, Responsibilities
from em_toolkit.models.partly_labelled import LabelledRows, PartlyLabelled, with_labels
from em_toolkit.models.probabilistic_pca import PPCAParameters, ProbabilisticPCA

__all__ = [
    "LabelledRows",
    "Mixture",
    "MixtureParameters",
    "PPCAParameters",
    "PartlyLabelled",
    "ProbabilisticPCA",
    "Responsibilities",
    "with_labels",
]

"""What the latent structure can be; each works with every family it makes sense for."""

from em_toolkit.models.mixture import Mixture, MixtureParameters, Responsibilities

__all__ = ["Mixture", "MixtureParameters", "Responsibilities"]

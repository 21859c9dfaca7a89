"""Pictures of fits, in scikit-learn's Display style; matplotlib is imported when one is drawn."""

from em_toolkit.displays.elbo import ELBODisplay
from em_toolkit.displays.mixture import MixtureDisplay
from em_toolkit.displays.model_selection import ModelSelectionDisplay

__all__ = ["ELBODisplay", "MixtureDisplay", "ModelSelectionDisplay"]

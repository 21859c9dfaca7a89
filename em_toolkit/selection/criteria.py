"""The criteria by which mixtures are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from em_toolkit.statistics import Array


@dataclass(frozen=True)
class Criterion:
    """A criterion by which mixtures are compared.

    Parameters
    ----------
    label : str
        What to call it.
    greater_is_better : bool
    decimals : int
        After the point, to read the differences that matter.
    """

    label: str
    greater_is_better: bool = False
    decimals: int = 3

    @property
    def direction(self) -> str:
        """Which values are good, in words."""
        return "higher is better" if self.greater_is_better else "lower is better"

    def losses(self, scores: npt.ArrayLike) -> Array:
        """Return the scores, of which the lowest is now the best."""
        losses = np.asarray(scores, dtype=np.float64)
        return -losses if self.greater_is_better else losses


CRITERIA = {
    "bic": Criterion("BIC"),
    "icl": Criterion("ICL"),
    "aic": Criterion("AIC"),
    "cv": Criterion("held-out log density by row", greater_is_better=True, decimals=5),
}

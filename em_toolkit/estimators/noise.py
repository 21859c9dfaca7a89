"""A component of noise beside those of a mixture, as estimators have it."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval, Options

from em_toolkit.estimators.base import Data
from em_toolkit.families import Box, box_about
from em_toolkit.models.mixture import MixtureParameters
from em_toolkit.statistics import Array


def refuse_noise(estimator: Any, what: str) -> None:
    """Raise if the mixture has noise, of which something is not defined."""
    if estimator.noise is not None:
        raise ValueError(
            f"{what}: expected a mixture of components alone, got one with noise={estimator.noise},"
            " whose density is constant wherever a row is. Leave out the rows that predict labels "
            "-1, and fit the others with noise=None."
        )


class NoiseMixin:
    """The parameter `noise` of a mixture, and the attributes that belong to it.

    Attributes
    ----------
    noise_weight_ : float
    noise_volume_ : float or None
    noise_box_ : Box or None
    """

    _noise_constraints: ClassVar[dict[str, list[Any]]] = {
        "noise": [None, Options(bool, {True}), Interval(Real, 0.0, None, closed="neither")]
    }

    noise: bool | float | None

    def _box_about(self, X: Data, weights: Array | None) -> Box | None:
        if self.noise is None:
            return None
        volume = None if isinstance(self.noise, bool | np.bool_) else float(self.noise)
        return box_about(X, weights, volume, names=getattr(self, "feature_names_in_", None))

    def _all_attributes_of(
        self, params: MixtureParameters[Any], box: Box | None, dtype: npt.DTypeLike
    ) -> dict[str, Any]:
        estimator: Any = super()
        attributes: dict[str, Any] = estimator._all_attributes_of(params, box, dtype)
        # Without noise too, so that nothing is left of an earlier fit.
        noise: dict[str, Any] = {"noise_weight_": 0.0, "noise_volume_": None, "noise_box_": None}
        if box is not None:
            noise = {
                "noise_weight_": float(params.weights[-1]),
                "noise_volume_": box.volume,
                "noise_box_": box,
            }
        return attributes | noise

"""A component of noise beside those of a mixture, as estimators have it.

Its density is 1/V wherever a row is (Banfield & Raftery 1993). ``noise=True`` takes for V what R's
mclust takes: the smaller of the volumes of two boxes about the data, one along the features and one
along the principal directions. A number is V itself, in units of the data to the power of
n_features. Outside of the box 1/V is no density: ``score_samples`` is a log density within it.

``predict`` labels noise -1, ``predict_proba`` has a last column for it, and so have `weights_init`
and the responsibilities of `init_params`. The start takes those rows for noise in whose
neighbourhood the density is less than 1/V. ``bic`` counts the weight of the noise as a parameter;
mclust also counts V.

References
----------
Banfield & Raftery (1993), Biometrics 49.
"""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval

from em_toolkit.estimators.base import Data
from em_toolkit.families import Box, box_about
from em_toolkit.models.mixture import MixtureParameters
from em_toolkit.statistics import Array


def refuse_noise(estimator: Any, what: str) -> None:
    """Raise a `ValueError` if the mixture has noise, for what is not defined then."""
    if getattr(estimator, "noise_box_", None) is not None:
        raise ValueError(
            f"{what}: expected a mixture of components alone, got one with noise={estimator.noise},"
            " whose density is constant wherever a row is. Leave out the rows that predict labels "
            "-1, and fit the others with noise=None."
        )


def _volume_about(X: Data, weights: Array | None) -> float:
    """Return the volume of the box that ``noise=True`` takes; 0 for rows in a plane."""
    try:
        return box_about(X, weights).volume
    except ValueError:
        return 0.0


class NoiseMixin:
    """The parameter `noise` of a mixture, and the attributes that belong to it.

    Attributes
    ----------
    noise_weight_ : float
    noise_volume_ : float or None
    noise_box_ : Box or None
    """

    _noise_constraints: ClassVar[dict[str, list[Any]]] = {
        "noise": [None, "boolean", Interval(Real, 0.0, None, closed="neither")]
    }

    noise: bool | float | None
    noise_weight_: float
    noise_volume_: float | None
    noise_box_: Box | None
    _has_noise: bool

    def _box_about(self, X: Data, weights: Array | None) -> Box | None:
        if not self._has_noise:
            return None
        names = getattr(self, "feature_names_in_", None)
        if self.noise is None or isinstance(self.noise, bool | np.bool_):
            return box_about(X, weights, names=names)
        volume = float(self.noise)
        box = box_about(X, weights, volume, names=names)
        lowest = _volume_about(X, weights)
        if volume < lowest:
            warnings.warn(
                f"noise={self.noise}: the rows take a box of volume {lowest:.4g}, and in a smaller "
                "one the density 1/V is too large for that of noise among them: score and bic are "
                "no measure of the fit. noise=True takes the volume of the box.",
                UserWarning,
                stacklevel=4,
            )
        return box

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

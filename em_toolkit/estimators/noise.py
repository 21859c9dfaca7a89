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
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from em_toolkit.estimators.rows import Data
from em_toolkit.families import Box, box_about
from em_toolkit.statistics import Array

CONSTRAINTS: list[Any] = [None, "boolean", Interval(Real, 0.0, None, closed="neither")]


def refuse_noise(estimator: Any, what: str) -> None:
    """Raise a `ValueError` if the mixture has noise, for what is not defined then.

    Parameters
    ----------
    estimator : estimator
        A fitted density.
    what : str
        What is not defined, for the error.
    """
    if getattr(estimator, "noise_box_", None) is not None:
        raise ValueError(
            f"{what}: expected a mixture of components alone, got one with noise={estimator.noise},"
            " whose density is constant wherever a row is. Leave out the rows that predict labels "
            "-1, and fit the others with noise=None."
        )


def noise_box(
    noise: bool | float, X: Data, weights: Array | None, names: Any, stacklevel: int
) -> Box:
    """Return the box that holds the noise, as the parameter `noise` asks for it.

    Parameters
    ----------
    noise : bool or float
        True for the smaller of two boxes about the rows; a number for a volume.
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,) or None
    names : sequence of str or None
        The names of the features.
    stacklevel : int
        Of the warning about a volume that is too small for the rows.
    """
    if isinstance(noise, bool | np.bool_):
        return box_about(X, weights, names=names)
    box = box_about(X, weights, float(noise), names=names)
    lowest = _volume_about(X, weights)
    if float(noise) < lowest:
        warnings.warn(
            f"noise={noise}: the rows take a box of volume {lowest:.4g}, and in a smaller "
            "one the density 1/V is too large for that of noise among them: score and bic are "
            "no measure of the fit. noise=True takes the volume of the box.",
            UserWarning,
            stacklevel=stacklevel,
        )
    return box


def _volume_about(X: Data, weights: Array | None) -> float:
    """Return the volume of the box that ``noise=True`` takes; 0 for rows in a plane."""
    try:
        return box_about(X, weights).volume
    except ValueError:
        return 0.0

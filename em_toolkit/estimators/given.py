"""Parts of a start as a user gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from em_toolkit.estimators.base import Data


def check_shape(array: Data, shape: tuple[int, ...], name: str) -> None:
    """Raise scikit-learn's error for a parameter of a wrong shape."""
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )


def check_weights(weights: Any, n_components: int) -> Data:
    """Return the checked weights of a start: one for each component, in [0, 1], of sum one."""
    weights = check_array(weights, dtype=[np.float64, np.float32], ensure_2d=False)
    check_shape(weights, (n_components,), "weights")
    if (weights < 0.0).any() or (weights > 1.0).any():
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{weights.min():.5f}, min value {weights.max():.5f}"
        )
    tolerance = 1e-6 if weights.dtype == np.float32 else 1e-8
    if abs(1.0 - float(weights.sum())) > tolerance:
        raise ValueError(
            "The parameter 'weights' should be normalized, but got sum(weights) = "
            f"{weights.sum():.5f}"
        )
    # What is left to a sum of one is a fall of the bound when the first M-step takes it away.
    doubles = np.asarray(weights, dtype=np.float64)
    return np.asarray(doubles / doubles.sum())

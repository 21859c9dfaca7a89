"""The sizes of numbers that a fit can work with, checked once, before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from em_toolkit.covariances.base import RESOLUTION
from em_toolkit.estimators.base import Data
from em_toolkit.statistics import EPS, Array

# Of weights: sums and products with squares of the data stay within floating-point numbers.
_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-280, 1e300
# Beyond it float64 does not know every integer.
_LARGEST_INTEGER = 2.0**53


def check_weight_sizes(weights: Array | None) -> None:
    """Raise a ValueError for positive weights of which no sums can be made.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,) or None
    """
    if weights is None or not weights.size:
        return
    largest = float(weights.max())
    if not _LEAST_WEIGHT <= largest <= _LARGEST_WEIGHT / weights.size:
        raise ValueError(
            f"sample_weight: expected weights whose largest is from {_LEAST_WEIGHT:.0e} to "
            f"{_LARGEST_WEIGHT:.0e} by the number of rows, got {largest:.3g}: sums of others are "
            "rounded to zero or infinity. Divide all weights by their mean."
        )


def check_sizes(X: Data, weights: Array | None, names: Sequence[Any] | None = None) -> None:
    """Raise a ValueError for data of which no variances can be computed.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Entries may be missing (NaN).
    weights : ndarray of shape (n_rows,) or None
        Positive.
    names : sequence, optional
        The names of the features.
    """
    check_weight_sizes(weights)
    if not X.size:
        return
    total = max(float(X.shape[0]), 0.0 if weights is None else float(weights.sum()))
    # Squares of differences, summed over all entries; and fitted attributes in the data's dtype.
    largest = float(np.sqrt(float(np.finfo(X.dtype).max) / 16.0 / total / X.shape[1]))
    low = np.fmin.reduce(X, axis=0).astype(np.float64)
    high = np.fmax.reduce(X, axis=0).astype(np.float64)
    sizes = np.maximum(np.abs(low), np.abs(high))

    def label(feature: int) -> str:
        return repr(feature if names is None else names[feature])

    too_large = np.flatnonzero(sizes > largest)
    if too_large.size:
        j = int(too_large[0])
        raise ValueError(
            f"X: expected entries of at most {largest:.3g} in size, whose squares {X.dtype} can "
            f"sum, got {sizes[j]:.3g} in feature {label(j)}. Divide the feature by a constant"
            + (", or pass the data as float64." if X.dtype != np.float64 else ".")
        )
    nearest_zero = np.where((low > 0.0) | (high < 0.0), np.minimum(np.abs(low), np.abs(high)), 0.0)
    spread = high - low
    unresolved = (spread <= 2.0 * RESOLUTION * EPS * nearest_zero) & (
        (spread > 0.0) | (sizes > _LARGEST_INTEGER)
    )
    if unresolved.any():
        j = int(np.flatnonzero(unresolved)[0])
        raise ValueError(
            f"X: expected features that vary by more than rounding, got feature {label(j)} with "
            f"values from {low[j]:.17g} to {high[j]:.17g}, where floating-point numbers are "
            f"{np.spacing(sizes[j]):.3g} apart. Subtract an offset from the feature first, in "
            "integers or in the precision in which it was measured."
        )

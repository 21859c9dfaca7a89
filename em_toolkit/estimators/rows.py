"""The rows of X as estimators take them: arrays of numbers, their weights, what is missing.

A NaN entry is a missing value where the model integrates it out (`em_toolkit.analysis.imputation`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import _check_sample_weight, validate_data

from em_toolkit.covariances.patterns import Patterns, has_missing
from em_toolkit.covariances.rules import RESOLUTION
from em_toolkit.statistics import EPS, Array, IntArray

Data = npt.NDArray[Any]

# Of weights: sums and products with squares of the data stay within floating-point numbers.
_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-280, 1e300
# Beyond it float64 does not know every integer.
_LARGEST_INTEGER = 2.0**53


@dataclass(frozen=True, eq=False)
class FitData:
    """The data of a fit, validated: the rows of positive weight, and what belongs to them.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Without rows of which all entries are missing; those that miss the same are neighbours.
    weights : ndarray of shape (n_rows,) or None
        How many times each row counts; one each if None.
    task : dict
        All of the data as callbacks receive them: X, y and metadata.
    responsibilities : ndarray of shape (n_rows, n_components) or None
        The responsibilities from which to start, where they are given.
    labels : ndarray of int of shape (n_rows,) or None
        The components of rows for which they are known, -1 for the others.
    given : dict
        Parts of the start that are given, by name.
    """

    X: Data
    weights: Array | None
    task: dict[str, Any]
    responsibilities: Data | None = None
    labels: IntArray | None = None
    given: dict[str, Any] = field(default_factory=dict)


def validated(estimator: Any, X: Any, how_to_fill: str, **checks: Any) -> Data:
    """Return X as `validate_data` of scikit-learn does; the error for NaN tells how to fill it.

    Parameters
    ----------
    estimator : EMEstimator
    X : array-like
    how_to_fill : str
        A sentence: how missing entries can be filled for this estimator.
    **checks
        Passed to `validate_data`.
    """
    try:
        return np.asarray(validate_data(estimator, X, **checks))
    except (TypeError, ValueError) as error:
        others = _columns_without_numbers(X)
        if others and "NaN" not in str(error):
            cause = f"{error}. " if isinstance(error, ValueError) else ""
            raise ValueError(
                f"{cause}X: expected columns of numbers, got others in {', '.join(others)}: leave "
                "them out, or turn them into numbers."
            ) from None
        if isinstance(error, TypeError):
            raise
        # scikit-learn goes on with advice on estimators that have nothing to do with this one.
        problem, advice, _ = str(error).partition(
            f"{type(estimator).__name__} does not accept missing values"
        )
        if not advice:
            raise
        raise ValueError(f"{problem}{advice} (NaN). {how_to_fill}") from None


def _columns_without_numbers(X: Any) -> list[str]:
    """Return the names of the columns of a DataFrame that are neither numbers nor truth values."""
    if not hasattr(X, "columns") or not hasattr(X, "dtypes"):
        return []
    kinds = {name: str(kind).lower() for name, kind in zip(X.columns, X.dtypes, strict=True)}
    return [
        repr(name)
        for name, kind in kinds.items()
        if not kind.startswith(("int", "uint", "float", "bool"))
    ]


def callback_task(X: Data, y: Any, **metadata: Any) -> dict[str, Any]:
    """Return the data as callbacks receive them: all rows, including those of weight zero.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    y : object
    **metadata
        Such as sample_weight; what is None is left out.
    """
    given = {name: value for name, value in metadata.items() if value is not None}
    return {"X": X, "y": y, "metadata": given or None}


def rows_with_weight(
    X: Data, sample_weight: Any, *others: Data | None
) -> tuple[Data, Array | None, tuple[Data | None, ...]]:
    """Return the rows whose weight is not zero, their validated weights, and what goes with them.

    A row of weight zero is a row left out, also of the start.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : array-like of shape (n_rows,) or None
    *others : ndarray of shape (n_rows, ...) or None
        What goes with the rows.
    """
    if sample_weight is None:
        return X, None, others
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if (weights == 1.0).all():
        return X, None, others
    kept = weights > 0.0
    if kept.all():
        return X, weights, others
    return X[kept], weights[kept], tuple(None if o is None else o[kept] for o in others)


def with_nan(X: Any) -> Any:
    """Return rows with NaN in the place of every missing entry.

    Masked entries of a masked array are missing, and None and NA of pandas and object arrays.
    """
    if isinstance(X, np.ma.MaskedArray):
        kind = X.dtype if np.issubdtype(X.dtype, np.floating) else np.float64
        return np.ma.filled(X.astype(kind), np.nan)
    if isinstance(X, np.ndarray) and X.dtype == object and "pandas" in sys.modules:
        return np.where(sys.modules["pandas"].isna(X), np.nan, X)
    if hasattr(X, "isna") and any(dtype == np.dtype(object) for dtype in np.atleast_1d(X.dtypes)):
        return X.astype(object).where(X.notna(), np.nan)
    return X


def rows_with_entries(
    X: Data, weights: Array | None, *others: Data | None
) -> tuple[Data, Array | None, tuple[Data | None, ...]]:
    """Return the rows that have any observed entry; the others have no information.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,) or None
    *others : ndarray of shape (n_rows, ...) or None
        What goes with the rows.
    """
    if not has_missing(X):
        return X, weights, others
    nothing = np.isnan(X).all(axis=1)
    if not nothing.any():
        return X, weights, others
    return _some_rows(np.flatnonzero(~nothing), X, weights, others)


def rows_that_count(X: Data, sample_weight: Any) -> tuple[Data, Array | None]:
    """Return the rows of positive weight that have any entry, and their weights.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : array-like of shape (n_rows,) or None

    Raises
    ------
    ValueError
        If there are none.
    """
    rows, weights, _ = rows_with_entries(*rows_with_weight(X, sample_weight)[:2])
    if len(rows) == 0:
        raise ValueError(
            "X: expected a row with an observed entry and positive weight, got none: all "
            "entries are missing (NaN)."
        )
    return rows, weights


def rows_by_pattern(
    X: Data,
    weights: Array | None,
    *others: Data | None,
    names: Iterable[Any] | None = None,
) -> tuple[Data, Array | None, tuple[Data | None, ...]]:
    """Return the rows that have any observed entry, sorted by pattern of missing entries.

    If nothing is missing, the rows are returned as they are.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,) or None
    *others : ndarray of shape (n_rows, ...) or None
        What goes with the rows.
    names : iterable, optional
        The names of the features.

    Raises
    ------
    ValueError
        If no row has a value of some feature.
    """
    if len(X) and not has_missing(X):
        return X, weights, others
    patterns = Patterns.of(X)
    never = np.flatnonzero(patterns.missing.all(axis=0))
    if len(never):
        labels = list(range(X.shape[1])) if names is None else list(names)
        missing = ", ".join(repr(labels[feature]) for feature in never[:10])
        missing += ", ..." if len(never) > 10 else ""
        raise ValueError(
            f"Expected an observed value in each feature, got none in {len(never)} of "
            f"{X.shape[1]}: all entries of feature {missing} are missing (NaN) in the rows of "
            "positive weight. Leave such features out."
        )
    # Rows without any entry come last.
    n_blank = int((patterns.numbers == len(patterns.missing) - 1).sum())
    order = patterns.order()[: len(X) - n_blank * bool(patterns.missing[-1].all())]
    return _some_rows(order, X, weights, others)


def _some_rows(
    chosen: IntArray, X: Data, weights: Array | None, others: tuple[Data | None, ...]
) -> tuple[Data, Array | None, tuple[Data | None, ...]]:
    return (
        np.take(X, chosen, axis=0),
        None if weights is None else weights[chosen],
        tuple(None if other is None else other[chosen] for other in others),
    )


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

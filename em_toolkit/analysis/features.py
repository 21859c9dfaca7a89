"""Which features are meant: indices, names or a mask."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from em_toolkit.options import did_you_mean
from em_toolkit.statistics import IntArray


def feature_indices(
    features: Any,
    n_features: int,
    *,
    names: npt.NDArray[Any] | None = None,
    argument: str = "features",
) -> IntArray:
    """Return the indices of features, in the order in which they are named.

    Parameters
    ----------
    features : int, str, or array-like of int, str or bool
        Indices from 0 to n_features − 1, names, or a mask of shape (n_features,).
    n_features : int
    names : ndarray of shape (n_features,), optional
        What the features are called, where they have names.
    argument : str
        What the features are called in an error.

    Returns
    -------
    indices : ndarray of shape (n_chosen,)

    Raises
    ------
    ValueError
        For no features, a feature twice, or one that there is not.

    Examples
    --------
    >>> from em_toolkit.analysis.features import feature_indices
    >>> feature_indices([2, 0], 3)
    array([2, 0])
    >>> feature_indices("width", 2, names=np.array(["length", "width"]))
    array([1])
    """
    is_single = isinstance(features, str | Integral)
    chosen = [features] if is_single else list(features)
    if chosen and all(isinstance(feature, bool | np.bool_) for feature in chosen):
        if is_single or len(chosen) != n_features:
            raise ValueError(
                f"{argument}: expected a mask of {n_features} entries, one for each feature, got "
                f"{len(chosen)}. Give indices to choose by position."
            )
        chosen = np.flatnonzero(chosen).tolist()
    indices = [_index_of(feature, n_features, names, argument) for feature in chosen]
    if not indices:
        raise ValueError(f"{argument}: expected at least one feature, got none.")
    repeated = sorted({index for index in indices if indices.count(index) > 1})
    if repeated:
        raise ValueError(
            f"{argument}: expected each feature at most once, got feature {repeated[0]} "
            f"{indices.count(repeated[0])} times. Leave the repetitions out."
        )
    return np.array(indices, dtype=np.int64)


def _index_of(feature: Any, n_features: int, names: npt.NDArray[Any] | None, argument: str) -> int:
    if isinstance(feature, str):
        return _index_of_name(feature, names, argument)
    if isinstance(feature, bool | np.bool_) or not isinstance(feature, Integral):
        raise ValueError(
            f"{argument}: expected indices or names of features, got {feature!r} of type "
            f"{type(feature).__name__}."
        )
    index = int(feature)
    if not 0 <= index < n_features:
        raise ValueError(
            f"{argument}: expected indices from 0 to {n_features - 1}, as there are {n_features} "
            f"features, got {feature}."
        )
    return index


def _index_of_name(name: str, names: npt.NDArray[Any] | None, argument: str) -> int:
    if names is None:
        raise ValueError(
            f"{argument}: expected indices, as the features have no names, got {name!r}. To use "
            "names, fit a DataFrame."
        )
    known = names.tolist()
    if name not in known:
        raise ValueError(
            f"{argument}: expected some of {known}, got {name!r}.{did_you_mean(name, known)}"
        )
    return known.index(name)


def other_features(n_features: int, *features: IntArray) -> IntArray:
    """Return the indices of all features but these, ascending.

    Parameters
    ----------
    n_features : int
    *features : ndarray of int
        Indices.
    """
    return np.setdiff1d(np.arange(n_features), np.concatenate(features))


def targets_given(given: IntArray, targets: IntArray | None, n_features: int) -> IntArray:
    """Return the targets, by default all features not given; raise ValueError if one is both.

    Parameters
    ----------
    given : ndarray of int
        Indices of features.
    targets : ndarray of int or None
        Indices of features.
    n_features : int
        Of the data.
    """
    if targets is None:
        targets = other_features(n_features, given)
    if not targets.size:
        raise ValueError(
            f"given: expected fewer features than there are, got all {n_features}: none is left "
            "to say anything of. Leave out those that are to be told from the others."
        )
    both = np.intersect1d(given, targets)
    if both.size:
        raise ValueError(
            f"targets: expected features that are not given, got feature {both[0]}, which is in "
            "both. Leave it out of one."
        )
    return targets

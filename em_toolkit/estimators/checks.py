"""Checks of what a user gives for a mixture: parts of a start, what is held, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _num_samples, check_consistent_length

from em_toolkit.estimators.rows import Data
from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.models.mixture import UNKNOWN
from em_toolkit.options import did_you_mean
from em_toolkit.statistics import Array, BoolArray, IntArray


def check_shape(array: Data, shape: tuple[int, ...], name: str) -> None:
    """Raise scikit-learn's error for a parameter of a wrong shape.

    Parameters
    ----------
    array : ndarray
    shape : tuple of int
        The shape to expect.
    name : str
        The parameter.
    """
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )


def check_weights(weights: Any, n_components: int, n_of_noise: int = 0) -> Data:
    """Return the checked weights of a start: one for each component, in [0, 1], of sum one.

    Parameters
    ----------
    weights : array-like of shape (n_components,)
    n_components : int
    n_of_noise : int
        How many of the components are noise; they come last.
    """
    weights = check_array(weights, dtype=[np.float64, np.float32], ensure_2d=False)
    if n_of_noise and weights.shape == (n_components - n_of_noise,):
        raise ValueError(
            f"weights_init: expected {n_components} weights, the last one that of the noise, got "
            f"{weights.shape[0]}: give the noise a weight, too."
        )
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


def check_responsibilities(given: Any, shape: tuple[int, int]) -> Data:
    """Return the checked responsibilities of a start, of shape (n_samples, n_components).

    Parameters
    ----------
    given : array-like of shape (n_samples, n_components)
    shape : tuple of int
        The shape to expect.
    """
    responsibilities = check_array(given, dtype=[np.float64, np.float32])
    check_shape(responsibilities, shape, "init_params")
    lowest = responsibilities.min()
    totals = responsibilities.sum(axis=1, dtype=np.float64)
    if lowest < 0.0 or not np.allclose(totals, 1.0, rtol=0.0, atol=1e-6):
        raise ValueError(
            "The responsibilities in 'init_params' should be non-negative and sum to 1 in "
            f"each row, but got min value {lowest:.5f} and row sums from "
            f"{totals.min():.5f} to {totals.max():.5f}"
        )
    return np.asarray(responsibilities)


def check_concentration(concentration: Any, n_components: int) -> float | Array:
    """Return the checked concentration of a Dirichlet prior: one number, or one by component.

    Parameters
    ----------
    concentration : float or array-like of shape (n_components,)
    n_components : int
    """
    values = np.asarray(concentration, dtype=np.float64)
    if values.shape not in ((), (n_components,)) or not (np.isfinite(values) & (values >= 1)).all():
        raise ValueError(
            "weight_concentration: expected a number, or one for each of the "
            f"{n_components} components, of at least 1, got {concentration!r}. (Below 1 the "
            "density of the weights is infinite where one is zero, and has no maximum.)"
        )
    return values if values.ndim else float(values)


def check_support(weights: Array, mixing: MixingWeights, name: str) -> None:
    """Raise ValueError if a fit would start at weights that their prior rules out.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
        The weights to start with.
    mixing : MixingWeights
        Their prior.
    name : str
        The parameter or attribute that holds them.
    """
    zero = mixing.outside_support(weights)
    if zero.size:
        raise ValueError(
            f"{name}: expected positive weights with weight_concentration="
            f"{np.asarray(mixing.concentration).tolist()}, got 0 for component {zero[0]}. A "
            "concentration above 1 gives a weight of zero the density zero: start with a small "
            "positive weight, or leave the concentration of that component at 1."
        )


def check_fixed(
    fixed: Mapping[str, Any] | None, parts: Sequence[str], n_components: int
) -> dict[str, BoolArray | None]:
    """Return for each part a mask of the components that are held fixed, or None.

    Parameters
    ----------
    fixed : mapping or None
        From some of the parts to True (all components), False (none), indices of components, or a
        mask of them.
    parts : sequence of str
        The parts that may be fixed.
    n_components : int
    """
    if fixed is None:
        return dict.fromkeys(parts)
    given = dict(fixed)
    unknown = [name for name in given if name not in parts]
    if unknown:
        raise ValueError(
            f"fixed: expected some of {list(parts)} as keys, got {unknown[0]!r}."
            f"{did_you_mean(unknown[0], parts)}"
        )
    return {name: _mask(name, given.get(name, False), n_components) for name in parts}


def _mask(name: str, components: Any, n_components: int) -> BoolArray | None:
    chosen = np.asarray(components)
    if chosen.size == 0:
        return None
    mask = np.zeros(n_components, dtype=np.bool_)
    if chosen.dtype == np.bool_ and chosen.shape in ((), (n_components,)):
        mask |= chosen
    elif _are_indices(chosen, n_components):
        mask[chosen] = True
    else:
        raise ValueError(
            f"fixed[{name!r}]: expected True, indices of components from 0 to "
            f"{n_components - 1}, or a mask of shape {(n_components,)}, got {components!r}."
        )
    return mask if mask.any() else None


def _are_indices(chosen: np.ndarray[Any, Any], n_components: int) -> bool:
    if not np.issubdtype(chosen.dtype, np.integer) or chosen.ndim > 1:
        return False
    return bool(((chosen >= 0) & (chosen < n_components)).all())


def check_sample_labels(sample_labels: Any, X: Any, n_labels: int) -> IntArray:
    """Return labels as integers, one for each row: a component, or −1 if it is unknown.

    A label is unknown if it is −1 or missing.

    Parameters
    ----------
    sample_labels : array-like of shape (n_samples,)
    X : array of n_samples rows
    n_labels : int
        Labels are below it.

    Raises
    ------
    ValueError
        If there is not one for each row, or one is no whole number from −1 to ``n_labels − 1``.
    """
    expected = (
        f"sample_labels: expected the index of a component, from 0 to {n_labels - 1}, for each row "
        "whose component is known, and -1 (or NaN) for the others"
    )
    # As pandas has it, what is not known is missing.
    labels = np.asarray(
        sample_labels.fillna(UNKNOWN) if hasattr(sample_labels, "fillna") else sample_labels
    )
    if np.issubdtype(labels.dtype, np.floating):
        labels = np.where(np.isnan(labels), UNKNOWN, labels)
    if labels.ndim != 1:
        raise ValueError(f"{expected}, got an array of shape {labels.shape}.")
    if len(labels) != _num_samples(X):
        check_consistent_length(X, labels)
    if not (np.issubdtype(labels.dtype, np.integer) or np.issubdtype(labels.dtype, np.floating)):
        raise ValueError(
            f"{expected}, got {_some(labels)}. Number the classes first: "
            "sklearn.preprocessing.LabelEncoder does, or numpy.unique with return_inverse=True."
        )
    good = (labels >= UNKNOWN) & (labels < n_labels) & (labels == np.round(labels))
    if not good.all():
        raise ValueError(f"{expected}, got {_some(labels[~good])}.")
    return labels.astype(np.int64)


def _some(values: Any, most: int = 5) -> str:
    # By what is written: a NaN equals no other.
    distinct = list(dict.fromkeys(map(repr, values.tolist())))
    return ", ".join(distinct[:most]) + (", ..." if len(distinct) > most else "")

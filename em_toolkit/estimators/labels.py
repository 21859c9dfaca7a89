"""Checks of `sample_labels`, the known labels of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples, check_consistent_length

from em_toolkit.models.mixture import UNKNOWN
from em_toolkit.statistics import IntArray


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

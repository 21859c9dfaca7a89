"""Starts that know the components of some rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from em_toolkit.data import Block, Rows
from em_toolkit.initialization.rows import Assigned, Data
from em_toolkit.models.mixture import UNKNOWN, Mixture, MixtureParameters
from em_toolkit.statistics import Array, IntArray

# What a row costs that a component gives no probability.
_IMPOSSIBLE = -1e100


def in_their_components(responsibilities: Data, labels: IntArray) -> Data:
    """Return the responsibilities, with one-hot labels in the place of those of labelled rows.

    Parameters
    ----------
    responsibilities : ndarray of shape (n_rows, n_components)
    labels : ndarray of int of shape (n_rows,)
        Components, and −1 where they are unknown.
    """
    known = labels != UNKNOWN
    fixed = responsibilities.copy()
    fixed[known] = np.eye(responsibilities.shape[1])[labels[known]]
    return fixed


def named_by_labels(
    mixture: Mixture[Any],
    start: MixtureParameters[Any],
    X: Data,
    sample_weight: Array | None,
    labels: IntArray,
) -> MixtureParameters[Any]:
    """Return the start whose components have the names, and the rows, that the labels give them.

    A start of unlabelled rows has its components in any order. Of all orders this takes the one in
    which the labelled rows have the greatest likelihood (Kuhn's assignment), and then the M-step
    on the posterior of the start, in which each labelled row belongs to its component. A
    component without labelled rows takes what the others leave.

    On real and simulated data this led to bounds and labels as good as k-means that is seeded by
    the labelled means; it serves every kind of start.

    Parameters
    ----------
    mixture : Mixture
    start : MixtureParameters
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
    labels : ndarray of int of shape (n_rows,)
        Components, and −1 where they are unknown.

    Raises
    ------
    CollapseError
        If no density belongs to `start`.
    """
    start.check()
    data = Rows(X, sample_weight)
    n_components = start.weights.shape[0]
    likelihoods = np.zeros((n_components, n_components))
    for rows, block in data.with_place():
        known = labels[rows] != UNKNOWN
        if known.any():
            log_joint = mixture.log_joint(start, np.ascontiguousarray(block.X[known]))
            log_joint = np.maximum(log_joint, _IMPOSSIBLE) * block.weights[known, None]
            np.add.at(likelihoods, labels[rows][known], log_joint)
    # Components that are not of the family's kind, at the end, have their places.
    n_alike = n_components - mixture.family.n_unlike
    order = np.arange(n_components)
    order[:n_alike] = linear_sum_assignment(likelihoods[:n_alike, :n_alike], maximize=True)[1]

    def assign(block: Block, rows: slice) -> Array:
        posterior, _ = mixture.posterior(start, block.X)
        return in_their_components(posterior.responsibilities[:, order], labels[rows])

    return mixture.from_responsibilities(Assigned(data, assign))

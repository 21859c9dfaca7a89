"""From responsibilities or labels of rows to parameters, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from em_toolkit.data import Block, Rows
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array, IntArray

Data = npt.NDArray[Any]
Initializer = Callable[
    [Mixture[Any], Data, Array | None, int, np.random.RandomState], MixtureParameters[Any]
]
# From a block, and the slice of the rows that are in it, to their labels;
Labelling = Callable[[Array, slice], IntArray]
# found from rows, their weights, the number of components and a random state.
Labeller = Callable[[Data, Array | None, int, np.random.RandomState], Labelling]


class Assigned:
    """Blocks of rows with their responsibilities, which are made anew at each reading.

    Parameters
    ----------
    data : Rows
    assign : callable
        From a block, and the slice of the rows that are in it, to their responsibilities.
    """

    def __init__(self, data: Rows, assign: Callable[[Block, slice], Array]) -> None:
        self.data = data
        self.assign = assign

    def __iter__(self) -> Iterator[tuple[Block, Array]]:
        for rows, block in self.data.with_place():
            yield block, self.assign(block, rows)


def from_responsibilities(
    mixture: Mixture[Any], X: Data, sample_weight: Array | None, responsibilities: Data
) -> MixtureParameters[Any]:
    """Return the parameters of the M-step on given responsibilities.

    Parameters
    ----------
    mixture : Mixture
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
        By default each row has the weight 1.
    responsibilities : ndarray of shape (n_rows, n_components)
    """

    def given(_: Block, rows: slice) -> Array:
        return np.asarray(responsibilities[rows], dtype=np.float64)

    return mixture.from_responsibilities(Assigned(Rows(X, sample_weight), given))


def from_labels(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    labels: IntArray,
    n_components: int,
) -> MixtureParameters[Any]:
    """Return the parameters of the M-step on a partition.

    Parameters
    ----------
    mixture : Mixture
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
    labels : ndarray of int of shape (n_rows,)
        The component of each row.
    n_components : int
    """
    return _from_labelling(mixture, Rows(X, sample_weight), given_labels(labels), n_components)


def given_labels(labels: IntArray) -> Labelling:
    """Return the labelling of rows whose labels are known."""
    return lambda _, rows: labels[rows]


def start_by(labeller: Labeller) -> Initializer:
    """Return the initializer that is the M-step on a partition, of which no labels are kept."""

    def initialize(
        mixture: Mixture[Any],
        X: Data,
        sample_weight: Array | None,
        n_components: int,
        random_state: np.random.RandomState,
    ) -> MixtureParameters[Any]:
        labelling = labeller(X, sample_weight, n_components, random_state)
        return _from_labelling(mixture, Rows(X, sample_weight), labelling, n_components)

    # An initializer has other arguments than a labeller.
    initialize.__doc__ = (labeller.__doc__ or "").partition("Parameters\n")[0]
    return initialize


def _from_labelling(
    mixture: Mixture[Any], data: Rows, labelling: Labelling, n_components: int
) -> MixtureParameters[Any]:
    one_hot = np.eye(n_components)

    def assign(block: Block, rows: slice) -> Array:
        return np.asarray(one_hot[labelling(block.X, rows)])

    return mixture.from_responsibilities(Assigned(data, assign))


def weights_of(X: Data, sample_weight: Array | None) -> Array:
    """Return the weights of the rows, one each by default.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
    """
    return np.ones(X.shape[0]) if sample_weight is None else sample_weight

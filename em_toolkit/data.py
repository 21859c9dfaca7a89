"""Data as models see them: blocks of independent units.

A unit is whatever is independent of the others: a row of an array, a whole sequence, a row of a
table with columns of several kinds. Models take any data that have a length and can be taken by
indices, as arrays and `Sequences` can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, Self, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from em_toolkit.statistics import Array, IntArray

# Units of a block: enough to amortize the calls, few enough for the cache; and short sums round
# less than long ones.
BLOCK_SIZE = 4096


@runtime_checkable
class Units(Protocol):
    """Independent units that are not the rows of an array: sequences, graphs, rows of a table."""

    def __len__(self) -> int:
        """Return the number of units."""

    def take(self, indices: IntArray) -> Self:
        """Return the units of these indices, in their order."""


class Block(NamedTuple):
    """Units, their weights, and what is known of their latent variables.

    Parameters
    ----------
    X : ndarray of shape (n_units, ...), or Units
    weights : ndarray of shape (n_units,)
    known : ndarray of shape (n_units, ...), or Units, optional
        What is known of the latent variable of each unit, in a form that the model understands (a
        mixture takes labels); nothing by default.
    """

    X: Any
    weights: Array
    known: Any = None


# Data are anything that gives the same blocks, in the same order, each time it is asked.
Blocks = Iterable[Block]


def taken(units: Any, indices: IntArray) -> Any:
    """Return the units of these indices.

    Parameters
    ----------
    units : ndarray of shape (n_units, ...), or Units
    indices : ndarray of int
    """
    return units[indices] if isinstance(units, np.ndarray) else units.take(indices)


class Rows:
    """The rows of an array as blocks, computed in float64 whatever the array holds.

    No copy of the array is made: a `numpy.memmap` may be larger than memory.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
    weights : array-like of shape (n_rows,), optional
        One each by default.
    block_size : int
        Rows in a block.
    known : ndarray of shape (n_rows, ...), optional
        What is known of the latent variables of the rows; nothing by default.

    Raises
    ------
    ValueError
        If the weights are not one for each row, or are negative.
    """

    def __init__(
        self,
        X: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        block_size: int = BLOCK_SIZE,
        known: npt.NDArray[Any] | None = None,
    ) -> None:
        self.X = np.asarray(X)
        n_rows = self.X.shape[0]
        self.weights = _checked_weights(weights, n_rows, "row of X")
        self.known = known
        self.block_size = block_size
        # Weights of one take no memory for each row, and no time in each pass.
        self._ones = np.ones(min(block_size, n_rows)) if weights is None else None

    def __len__(self) -> int:
        """Return the number of blocks."""
        return -(-self.X.shape[0] // self.block_size)

    def __iter__(self) -> Iterator[Block]:
        return (block for _, block in self.with_place())

    def with_place(self) -> Iterator[tuple[slice, Block]]:
        """Yield each block and the slice of its rows."""
        n_rows = self.X.shape[0]
        for start in range(0, n_rows, self.block_size):
            rows = slice(start, min(start + self.block_size, n_rows))
            X = np.ascontiguousarray(self.X[rows], dtype=np.float64)
            if self._ones is None:
                weights = np.ascontiguousarray(self.weights[rows], dtype=np.float64)
            else:
                weights = self._ones[: len(X)]
            yield rows, Block(X, weights, None if self.known is None else self.known[rows])


class UnitBlocks:
    """Units of any kind as blocks.

    Parameters
    ----------
    X : ndarray of shape (n_units, ...), or Units
    weights : array-like of shape (n_units,), optional
        One each by default.
    block_size : int
        Units in a block.
    known : ndarray of shape (n_units, ...), or Units, optional
        What is known of the latent variables of the units; nothing by default.

    Raises
    ------
    ValueError
        If the weights are not one for each unit, or are negative.
    """

    def __init__(
        self,
        X: Any,
        weights: npt.ArrayLike | None = None,
        block_size: int = 64,
        known: Any = None,
    ) -> None:
        self.X, self.known, self.block_size = X, known, block_size
        self.weights = np.asarray(_checked_weights(weights, len(X), "unit"), dtype=np.float64)

    def __len__(self) -> int:
        """Return the number of blocks."""
        return -(-len(self.X) // self.block_size)

    def __iter__(self) -> Iterator[Block]:
        for start in range(0, len(self.X), self.block_size):
            indices = np.arange(start, min(start + self.block_size, len(self.X)))
            known = None if self.known is None else taken(self.known, indices)
            yield Block(taken(self.X, indices), self.weights[indices], known)


def is_array_like(data: Any) -> TypeGuard[npt.ArrayLike]:
    """Return whether data become an array by NumPy's protocol, as arrays and data frames do."""
    return hasattr(data, "__array__")


def blocks_of(data: Blocks | Units | Array) -> Blocks:
    """Return data as blocks: those that they are, or blocks of rows or other units of weight one.

    Parameters
    ----------
    data : iterable of Block, Units, or array
        A data frame counts as an array.

    Raises
    ------
    TypeError
        For a list of what is no block.
    """
    if is_array_like(data):
        return Rows(data)
    if isinstance(data, Units):
        return UnitBlocks(data)
    if isinstance(data, list | tuple):
        for item in data:
            if not isinstance(item, tuple):
                raise TypeError(
                    f"expected blocks of data, got a {type(data).__name__} of "
                    f"{type(item).__name__}. Give an array, whose rows are units; "
                    "em_toolkit.data.Sequences([...]) for sequences; or Rows(X, weights) or "
                    "UnitBlocks(units, weights) for units with weights."
                )
    return data


class Sequences:
    """Sequences of rows, of unequal lengths: each sequence is a unit.

    Parameters
    ----------
    sequences : iterable of array-like of shape (length, n_features)
    """

    def __init__(self, sequences: Iterable[npt.ArrayLike]) -> None:
        self._sequences = [np.asarray(sequence, dtype=np.float64) for sequence in sequences]

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self._sequences)

    def __getitem__(self, index: int) -> Array:
        return self._sequences[index]

    def __iter__(self) -> Iterator[Array]:
        return iter(self._sequences)

    def take(self, indices: IntArray) -> Sequences:
        """Return the sequences of these indices.

        Parameters
        ----------
        indices : ndarray of int
        """
        return Sequences([self._sequences[index] for index in indices])


def _checked_weights(weights: npt.ArrayLike | None, n_units: int, of_each: str) -> Any:
    if weights is None:
        return np.broadcast_to(1.0, n_units)
    weights = np.asarray(weights)
    if weights.shape != (n_units,) or not (weights >= 0.0).all():
        raise ValueError(
            f"expected {n_units} non-negative weights, one for each {of_each}, got weights of "
            f"shape {weights.shape} and minimum {weights.min(initial=np.inf):.5g}."
        )
    return weights

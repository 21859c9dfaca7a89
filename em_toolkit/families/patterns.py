"""Patterns of missing entries: which entries of a row are NaN, and rows that are alike in this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from em_toolkit.statistics import Array, BoolArray, IntArray


def has_missing(X: npt.NDArray[np.generic]) -> bool:
    """Whether an entry is NaN; in one pass that takes no memory."""
    return bool(X.size > 0 and np.isnan(X.min()))


def pattern_of_each(X: npt.NDArray[np.generic]) -> IntArray:
    """The number of the pattern of each row, of shape (n_rows,).

    They are numbered from 0 on, in an order that depends on the patterns alone, in which rows
    without missing entries come first.
    """
    bits = np.packbits(np.isnan(X), axis=1)
    words = np.zeros((X.shape[0], -(-max(bits.shape[1], 1) // 8)), dtype=np.uint64)
    words.view(np.uint8)[:, : bits.shape[1]] = bits
    # Numbers sort much faster than rows of them.
    keys, axis = (words[:, 0], None) if words.shape[1] == 1 else (words, 0)
    _, numbers = np.unique(keys, axis=axis, return_inverse=True)
    return np.asarray(numbers, dtype=np.int64).reshape(-1)


@dataclass(frozen=True)
class Runs:
    """Neighbouring rows that are alike in what they miss.

    Parameters
    ----------
    bounds : ndarray of shape (n_runs + 1,)
        Run g has the rows from bounds[g] to before bounds[g + 1].
    observed : ndarray of bool of shape (n_runs, n_features)
    """

    bounds: IntArray
    observed: BoolArray

    @classmethod
    def of(cls, X: Array) -> Runs:
        """The runs of a block of rows."""
        observed = ~np.isnan(X)
        changes = np.flatnonzero((observed[1:] != observed[:-1]).any(axis=1)) + 1
        bounds = np.concatenate([[0], changes, [X.shape[0]]]).astype(np.int64)
        return cls(bounds, observed[bounds[:-1]])

    @property
    def lengths(self) -> IntArray:
        """How many rows each run has, of shape (n_runs,)."""
        return np.diff(self.bounds)

    def parts(self, n_at_once: int) -> Iterator[tuple[slice, Runs]]:
        """A few runs after the other, and the rows that they are."""
        n_runs = self.observed.shape[0]
        for first in range(0, n_runs, n_at_once):
            last = min(first + n_at_once, n_runs)
            bounds = self.bounds[first : last + 1]
            yield (
                slice(int(bounds[0]), int(bounds[-1])),
                Runs(bounds - bounds[0], self.observed[first:last]),
            )

    def sums(self, values: Array) -> Array:
        """Sums of the rows of each run, of shape (n_runs, ...)."""
        return np.asarray(np.add.reduceat(values, self.bounds[:-1], axis=0))

"""Patterns of missing entries: which entries of a row are NaN, and rows that are alike in this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from em_toolkit.statistics import Array, BoolArray, IntArray


def has_missing(X: npt.NDArray[np.generic]) -> bool:
    """Return whether an entry is NaN; in one pass that takes no memory."""
    return bool(X.size > 0 and np.isnan(X.min()))


@dataclass(frozen=True)
class Patterns:
    """The different patterns of missing entries, by how many entries they miss.

    Parameters
    ----------
    missing : ndarray of bool of shape (n_patterns, n_features)
    numbers : ndarray of shape (n_rows,)
        The number of the pattern of each row.
    """

    missing: BoolArray
    numbers: IntArray

    @classmethod
    def of(cls, X: npt.NDArray[np.generic]) -> Patterns:
        """Return those of the rows of X, of which there are some.

        Their order depends on the patterns alone.
        """
        n_rows, n_features = X.shape
        n_digits = -(-n_features // 16)
        padded = np.zeros((n_rows, 16 * n_digits), dtype=bool)
        padded[:, :n_features] = np.isnan(X)
        # Numbers of 16 bits are sorted by their digits, ten times faster than longer ones.
        digits = np.packbits(padded.ravel()).view(np.uint16).reshape(n_rows, n_digits)
        order = np.lexsort(digits.T)
        ordered = digits[order]
        is_first = np.ones(n_rows, dtype=bool)
        is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        missing = padded[order[is_first], :n_features]
        by_number_missing = np.argsort(missing.sum(axis=1), kind="stable")
        ranks = np.empty_like(by_number_missing)
        ranks[by_number_missing] = np.arange(len(ranks))
        numbers = np.empty(n_rows, dtype=np.int64)
        numbers[order] = ranks[np.cumsum(is_first) - 1]
        return cls(missing[by_number_missing], numbers)

    def order(self) -> IntArray:
        """Return an order of the rows by their patterns, in which those alike stay as they are."""
        kind = np.min_scalar_type(len(self.missing))
        return np.argsort(self.numbers.astype(kind), kind="stable")


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
        """Return the runs of a block of rows."""
        observed = ~np.isnan(X)
        changes = np.flatnonzero((observed[1:] != observed[:-1]).any(axis=1)) + 1
        bounds = np.concatenate([[0], changes, [X.shape[0]]]).astype(np.int64)
        return cls(bounds, observed[bounds[:-1]])

    @property
    def lengths(self) -> IntArray:
        """The number of rows in each run, of shape (n_runs,)."""
        return np.diff(self.bounds)

    def parts(self, n_at_once: int) -> Iterator[tuple[slice, Runs]]:
        """Return a few runs after the other, and the rows that they are."""
        n_runs = self.observed.shape[0]
        for first in range(0, n_runs, n_at_once):
            last = min(first + n_at_once, n_runs)
            bounds = self.bounds[first : last + 1]
            yield (
                slice(int(bounds[0]), int(bounds[-1])),
                Runs(bounds - bounds[0], self.observed[first:last]),
            )

    def sums(self, values: Array) -> Array:
        """Return sums of the rows of each run, of shape (n_runs, ...)."""
        return np.asarray(np.add.reduceat(values, self.bounds[:-1], axis=0))


def order_by_pattern(X: npt.NDArray[np.generic]) -> IntArray | slice:
    """Return an order of the rows in which those that miss the same entries are neighbours."""
    return Patterns.of(X).order() if has_missing(X) else slice(None)

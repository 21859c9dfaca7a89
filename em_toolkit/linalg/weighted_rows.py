"""Weighted rows about an origin, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from em_toolkit.statistics import Array

# Few enough for the cache, enough for a product of matrices.
_BLOCK_BYTES = 1 << 19
_SMALLEST_BLOCK = 128
_NARROW = 64
_SAMPLE = 64


class WeightedRows:
    """An array that is read in blocks of rows, computed in float64 whatever it holds.

    No copy of it is ever made: a `numpy.memmap` may be larger than memory.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Of float32 or float64.
    weights : ndarray of shape (n_rows,), optional
        Positive; one each by default.
    """

    def __init__(self, X: npt.NDArray[Any], weights: Array | None = None) -> None:
        self.X = X
        self.weights = weights
        self.n_rows, self.n_features = X.shape
        self.weight = float(self.n_rows if weights is None else weights.sum())

    @property
    def _is_narrow(self) -> bool:
        return self.n_features < _NARROW

    @property
    def block_size(self) -> int:
        """Rows in a block that suits the cache."""
        # As much again for the origin, where it is repeated.
        arrays = 2 if self._is_narrow else 1
        return max(_SMALLEST_BLOCK, _BLOCK_BYTES // (8 * self.n_features * arrays))

    def near(self) -> Array:
        """Return a point near the rows: the mean of some that are spread over all, or zero.

        Zero is near enough when it is no farther from their mean than they are; and about it the
        rows need not be copied.
        """
        sample = self.X[:: max(1, self.n_rows // _SAMPLE)]
        mean = np.asarray(sample.mean(axis=0, dtype=np.float64))
        spread = np.square(sample - mean).sum(axis=1).mean()
        return np.zeros_like(mean) if mean @ mean <= spread else mean

    def about(self, origin: Array, block_size: int) -> Iterator[tuple[Array, Array]]:
        """Blocks of √w_i (x_i − o), and of √w_i.

        A block is for reading, and until the next one is asked for, which takes its place in
        memory: it may be a part of the data themselves.

        Parameters
        ----------
        origin : ndarray of shape (n_features,)
        block_size : int
            Rows in a block.
        """
        size = min(block_size, self.n_rows)
        ones = np.ones(size)
        if self.weights is None and self.X.dtype == np.float64 and not origin.any():
            for start in range(0, self.n_rows, size):
                rows = np.asarray(self.X[start : start + size])
                yield rows, ones[: rows.shape[0]]
            return
        shape = (size, self.n_features)
        buffer = np.empty(shape, order="F" if self.X.flags.fnc else "C")
        # Over a few features numpy broadcasts at half the speed of a plain subtraction.
        origins = np.tile(origin, (size, 1)) if self._is_narrow else np.broadcast_to(origin, shape)
        for start in range(0, self.n_rows, size):
            rows = self.X[start : start + size]
            n_rows = rows.shape[0]
            deviations = np.subtract(rows, origins[:n_rows], out=buffer[:n_rows])
            roots = ones[:n_rows]
            if self.weights is not None:
                roots = np.sqrt(self.weights[start : start + size])
                deviations *= roots[:, None]
            yield deviations, roots

    def moments(self) -> tuple[Array, float, float]:
        """Return the mean and the trace of the covariance (divided by the weight), in one pass.

        Returns
        -------
        mean : ndarray of shape (n_features,)
        total_variance : float
        size : float
            Of the numbers whose difference the total variance is: of its rounding, in ε.
        """
        origin = self.near()
        first, second = np.zeros(self.n_features), 0.0
        for deviations, roots in self.about(origin, self.block_size):
            first += roots @ deviations
            second += float(np.einsum("ij,ij->", deviations, deviations))
        shift, square = first / self.weight, second / self.weight
        moved = float(shift @ shift)
        return origin + shift, square - moved, square + moved

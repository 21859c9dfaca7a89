"""The E-step over blocks of units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from em_toolkit.engine.workers import SERIAL, Workers
from em_toolkit.model import Block, Expectation, LatentVariableModel
from em_toolkit.statistics import PairwiseSum

# Rows of a block: enough to amortize the calls, few enough for the cache; and short sums round
# less than long ones.
BLOCK_SIZE = 4096


# Data are anything that gives the same blocks, in the same order, each time it is asked.
Blocks = Iterable[Block]


class Rows:
    """The rows of an array as blocks, computed in float64 whatever the array holds.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
    weights : array-like of shape (n_rows,), optional
        One each by default.
    block_size : int
        Rows in a block.
    """

    def __init__(
        self,
        X: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self.X = np.asarray(X)
        n_rows = self.X.shape[0]
        self.weights = np.broadcast_to(1.0, n_rows) if weights is None else np.asarray(weights)
        if self.weights.shape != (n_rows,) or not (self.weights >= 0.0).all():
            raise ValueError(
                f"Rows expects {n_rows} non-negative weights, one for each row of X, got weights "
                f"of shape {self.weights.shape} and minimum {self.weights.min():.5g}."
            )
        self.block_size = block_size
        # Weights of one take no memory for each row, and no time in each pass.
        self._ones = np.ones(min(block_size, n_rows)) if weights is None else None

    def __len__(self) -> int:
        """The number of blocks."""
        return -(-self.X.shape[0] // self.block_size)

    def __iter__(self) -> Iterator[Block]:
        for start in range(0, self.X.shape[0], self.block_size):
            rows = slice(start, start + self.block_size)
            X = np.ascontiguousarray(self.X[rows], dtype=np.float64)
            if self._ones is None:
                yield Block(X, np.ascontiguousarray(self.weights[rows], dtype=np.float64))
            else:
                yield Block(X, self._ones[: len(X)])


def expect(
    model: LatentVariableModel[Any, Any, Any],
    params: Any,
    blocks: Blocks,
    workers: Workers = SERIAL,
) -> Expectation[Any]:
    """Statistics, entropy and log evidence at `params`: one pass, in an order that is fixed."""
    total: PairwiseSum[Expectation[Any]] = PairwiseSum()
    workers.for_each(
        lambda index, block: total.add(index, model.expectation(params, *block)), blocks
    )
    return total.total()

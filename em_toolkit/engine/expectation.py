"""The E-step over blocks of units."""

from __future__ import annotations

from typing import Any

from em_toolkit.data import Blocks
from em_toolkit.engine.workers import SERIAL, Workers
from em_toolkit.model import Expectation, LatentVariableModel


def expect(
    model: LatentVariableModel[Any, Any, Any],
    params: Any,
    blocks: Blocks,
    workers: Workers = SERIAL,
) -> Expectation[Any]:
    """Return statistics, entropy and log evidence at parameters, in one pass over the data.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    blocks : iterable of Block
    workers : Workers
        The threads to which the blocks are dealt out; the sums are the same for any number.
    """
    return workers.sum(lambda block: model.expectation(params, *block), blocks)

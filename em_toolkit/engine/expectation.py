"""The E-step over blocks of units."""

from __future__ import annotations

from typing import Any

from em_toolkit.data import Blocks, Units, blocks_of
from em_toolkit.engine.executors import SERIAL, Executor
from em_toolkit.model import Expectation, LatentVariableModel
from em_toolkit.statistics import Array


def expect(
    model: LatentVariableModel[Any, Any, Any],
    params: Any,
    blocks: Blocks | Units | Array,
    executor: Executor = SERIAL,
) -> Expectation[Any]:
    """Return statistics, entropy and log evidence at parameters, in one pass over the data.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    blocks : iterable of Block, Units, or ndarray
        The rows of an array, and other units without blocks, are of weight one.
    executor : Executor
        The place where the pass is computed: by default the calling thread.
    """
    return executor.sum(lambda block: model.expectation(params, *block), blocks_of(blocks))

"""Several starts, the best result; failures are kept, not swallowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from em_toolkit.engine.em import Fit
from em_toolkit.engine.status import Status
from em_toolkit.engine.workers import SERIAL, Workers
from em_toolkit.parameters import CollapseError, Parameters

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Restart:
    """What became of one start.

    Parameters
    ----------
    bound : float
        The bound reached, in nats per unit of weight; NaN for a start that failed.
    n_iter : int
        Iterations.
    status : Status
        Why it stopped.
    cause : str
        What failed or collapsed, in words; empty otherwise.
    """

    bound: float
    n_iter: int
    status: Status
    cause: str = ""


def best_of(
    starts: Iterable[Callable[[], P]], run: Callable[[P], Fit[P]], workers: Workers = SERIAL
) -> tuple[Fit[P], list[Restart]]:
    """Run EM from every start and keep the best result.

    A fit that ended in a collapse ranks below all that did not, whatever its bound: near a
    singularity of the likelihood the bound grows without limit and means nothing.

    Parameters
    ----------
    starts : iterable of callables
        Each gives the parameters of a start; called one after the other, by this thread.
    run : callable
        Runs EM from given parameters.
    workers : Workers
        The threads to which the runs are dealt out. The result does not depend on their number.

    Returns
    -------
    best : Fit
    account : list of Restart
        One for each start, in order.

    Raises
    ------
    CollapseError
        If every start failed; it gives the first cause.
    """
    best: Fit[P] | None = None
    account: list[Restart] = []
    failures: list[CollapseError] = []

    def attempt(start: P | CollapseError) -> Fit[P] | CollapseError:
        try:
            return start if isinstance(start, CollapseError) else run(start)
        except CollapseError as error:
            return error

    try:
        with closing(workers.map(attempt, _made(starts))) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, CollapseError):
                    failures.append(outcome)
                    account.append(Restart(np.nan, 0, Status.FAILED, str(outcome)))
                    continue
                bound = float(outcome.trace.bounds[-1])
                account.append(Restart(bound, outcome.trace.n_iter, outcome.status, outcome.cause))
                if best is None or _rank(outcome) > _rank(best):
                    best = outcome
                if outcome.status is Status.INTERRUPTED:
                    break
    except KeyboardInterrupt:
        if best is None:
            raise
        account.append(Restart(np.nan, 0, Status.INTERRUPTED))
    if best is None:
        raise failures[0]
    return best, account


def _made(starts: Iterable[Callable[[], P]]) -> Iterator[P | CollapseError]:
    for start in starts:
        try:
            yield start()
        except CollapseError as error:
            yield error


def _rank(fit: Fit[P]) -> tuple[bool, float]:
    return fit.status is not Status.COLLAPSED, float(fit.trace.bounds[-1])

"""Several starts, the best result; failures are kept, not swallowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from em_toolkit.data import Blocks
from em_toolkit.engine.em import Fit, em
from em_toolkit.engine.executors import SERIAL, Threads
from em_toolkit.engine.status import Status
from em_toolkit.model import LatentVariableModel
from em_toolkit.parameters import CollapseError, Parameters

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Restart:
    """The outcome of one start.

    Parameters
    ----------
    bound : float
        The bound reached, in nats per sample; NaN for a start that failed.
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
    starts: Iterable[Callable[[], P]], run: Callable[[P], Fit[P]], executor: Threads = SERIAL
) -> tuple[Fit[P], list[Restart]]:
    """Run EM from every start and keep the best result.

    An interrupt from the keyboard ends the series, with the best until then; it is raised if there
    is none. A fit that ended in a collapse ranks below all that did not, whatever its bound: near a
    singularity of the likelihood the bound grows without limit and means nothing.

    Parameters
    ----------
    starts : iterable of callables
        Each gives the parameters of a start; called one after the other, by this thread.
    run : callable
        Runs EM from given parameters.
    executor : Threads
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
        with closing(executor.map(attempt, _made(starts, executor))) as outcomes:
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


def preliminary(
    model: LatentVariableModel[P, Any, Any],
    starts: Iterable[Callable[[], P]],
    blocks: Blocks,
    *,
    max_iter: int,
    tol: float = 0.0,
) -> P:
    """Return the best parameters that a few iterations of EM find, as a step within a larger fit.

    Whatever runs EM on the way to a fit runs it here. An interrupt from the keyboard, which `em`
    takes for the end of a fit, is raised: it is the larger fit that is to end. A fall of the bound
    is let pass: it will show in the fit that begins with these parameters, which knows what its
    user wants to be done about it.

    Parameters
    ----------
    model : LatentVariableModel
    starts : iterable of callables
        Each gives the parameters of a start.
    blocks : iterable of Block
        The data.
    max_iter : int
        The number of M-steps from each start, at most.
    tol : float
        The gain of an iteration that ends a run, in nats per sample.

    Returns
    -------
    params : Parameters

    Raises
    ------
    CollapseError
        If every start failed.
    KeyboardInterrupt
        If one arrived.
    """

    def run(start: P) -> Fit[P]:
        return em(model, start, blocks, max_iter=max_iter, tol=tol, bound_check="off")

    best, account = best_of(starts, run)
    if account[-1].status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return best.params


def _made(starts: Iterable[Callable[[], P]], executor: Threads) -> Iterator[P | CollapseError]:
    for start in starts:
        made: P | CollapseError
        try:
            # k-means within a start sets the threads of BLAS, too, and would restore what it finds.
            with executor.blas():
                made = start()
        except CollapseError as error:
            made = error
        yield made


def _rank(fit: Fit[P]) -> tuple[bool, float]:
    return fit.status is not Status.COLLAPSED, float(fit.trace.bounds[-1])

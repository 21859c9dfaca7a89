"""EM from each start of an estimator, reported to scikit-learn's callbacks and by ``verbose``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from time import perf_counter
from typing import Any

import numpy as np

from em_toolkit.engine import Blocks, Fit, Restart, Status, best_of
from em_toolkit.engine.em import em
from em_toolkit.engine.executors import SERIAL, Executor, Threads
from em_toolkit.model import LatentVariableModel
from em_toolkit.parameters import CollapseError

# From parameters to the fitted attributes that hold them.
Attributes = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Run:
    """The outcome of EM from all starts.

    Parameters
    ----------
    fit : Fit
        The best.
    restarts : list of Restart
        The outcome of each start.
    attributes : callable
        From parameters to fitted attributes.
    reporter : FitReporter
    """

    fit: Fit[Any]
    restarts: list[Restart]
    attributes: Attributes
    reporter: FitReporter

    @property
    def is_interrupted(self) -> bool:
        """Whether an interrupt ended a start, the best one or another."""
        return self.restarts[-1].status is Status.INTERRUPTED


def run_starts(
    estimator: Any,
    model: LatentVariableModel[Any, Any, Any],
    starts: Sequence[Callable[[], Any]],
    blocks: Blocks,
    task: dict[str, Any],
    attributes: Attributes,
    *,
    max_iter: int,
    previous_bound: float = -np.inf,
    executor: Executor = SERIAL,
    executor_on_starts: Threads = SERIAL,
) -> Run:
    """Run EM from each start, as the parameters of an estimator say.

    Parameters
    ----------
    estimator : EMEstimator
    model : LatentVariableModel
    starts : sequence of callables
        Each gives the parameters of a start.
    blocks : iterable of Block
        The data.
    task : dict
        The data as callbacks receive them: X, y and metadata.
    attributes : callable
        From parameters to the fitted attributes that hold them.
    max_iter : int
    previous_bound : float
        The bound before the last iteration of an earlier fit that is continued.
    executor : Executor
        The threads of the E-step.
    executor_on_starts : Threads
        The threads that take a start each. One of `executor` and these is a single thread.

    Returns
    -------
    Run

    Raises
    ------
    CollapseError
        If every start failed.
    """
    reporter = FitReporter(estimator, task, len(starts), max_iter, attributes)

    # Nobody may be listening, and there may be no other start to end after an error.
    is_heard = estimator._is_watched or len(starts) > 1

    def run(start: Any) -> Fit[Any]:
        listener = reporter.start(previous_bound) if is_heard else None
        try:
            fit = em(
                model,
                start,
                blocks,
                max_iter=max_iter,
                tol=estimator.tol,
                stopping=estimator.stopping,
                acceleration=estimator.acceleration,
                bound_check=estimator.bound_check,
                previous_bound=previous_bound,
                listener=listener,
                executor=executor,
            )
        except CollapseError:
            raise
        except Exception:
            # Starts in other threads need not be finished for the error to be raised.
            reporter.is_over = True
            raise
        if listener is None:
            return fit
        try:
            listener.finish(fit)
        except KeyboardInterrupt:
            return replace(fit, status=Status.INTERRUPTED)
        return fit

    try:
        wanted = takewhile(lambda _: not reporter.stopped, starts)
        fit, restarts = best_of(wanted, run, executor_on_starts)
    finally:
        reporter.is_over = True
    return Run(fit, restarts, attributes, reporter)


class StartReporter:
    """The reporter of the iterations of one start, an `em_toolkit.engine.Listener`."""

    def __init__(self, report: FitReporter, context: Any, previous_bound: float) -> None:
        self._report = report
        self._context = context
        self._iteration_context: Any = None
        self._bound = previous_bound
        self._change = 0.0
        self._began = self._last = perf_counter()

    def begin(self, iteration: int, bound: float) -> None:
        # The change that is compared with tol: the one that the last two E-steps saw.
        self._change, self._bound = bound - self._bound, bound
        self._iteration_context = self._context.subcontext(task_name="iteration")
        self._iteration_context.call_on_fit_task_begin(**self._report.task)

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        report = self._report
        if iteration % report.interval == 0:
            now = perf_counter()
            report.say(
                f"  Iteration {iteration}",
                f"\t time lapse {now - self._last:.5f}s\t ll change {self._change:.5f}",
            )
            self._last = now
        # Callbacks find the bound there: scikit-learn's hooks have no argument for it.
        self._iteration_context.bound = bound
        wants_to_stop = self._iteration_context.call_on_fit_task_end(
            **report.task, reconstruction_attributes=lambda: report.attributes(params)
        )
        return bool(wants_to_stop) or report.is_over

    def finish(self, fit: Fit[Any]) -> None:
        """Report how the start ended."""
        report = self._report
        if report.max_iter > 0:
            outcome = "converged" if fit.status.converged else "did not converge"
            seconds = perf_counter() - self._began
            report.say(
                f"Initialization {outcome}.",
                f" time lapse {seconds:.5f}s\t lower bound {fit.trace.bounds[-1]:.5f}.",
            )
        report.stopped = bool(
            self._context.call_on_fit_task_end(
                **report.task, reconstruction_attributes=lambda: report.attributes(fit.params)
            )
        )


class FitReporter:
    """The reporter of a whole fit.

    Parameters
    ----------
    estimator : EMEstimator
    task : dict
        The data as callbacks receive them: X, y and metadata.
    n_starts, max_iter : int
    attributes : callable
        From parameters to the fitted attributes that make an estimator ready to predict.

    Attributes
    ----------
    stopped : bool
        Whether a callback asked for no more starts.
    is_over : bool
        Whether starts that still run in other threads are to end.
    """

    def __init__(
        self,
        estimator: Any,
        task: dict[str, Any],
        n_starts: int,
        max_iter: int,
        attributes: Attributes,
    ) -> None:
        self.task = {"estimator": estimator} | task
        self.attributes = attributes
        self.interval: int = estimator.verbose_interval
        self._verbose = int(estimator.verbose)
        self.max_iter = max_iter
        self.stopped = False
        self.is_over = False
        self._n_begun = 0
        self._root = estimator._init_callback_context(max_subtasks=n_starts)
        self._root.call_on_fit_task_begin(**self.task)

    def say(self, message: str, details: str) -> None:
        """Print what ``verbose`` asks for.

        Parameters
        ----------
        message : str
            For ``verbose=1``.
        details : str
            What follows it for ``verbose=2``.
        """
        if self._verbose == 1:
            print(message)
        elif self._verbose >= 2:
            print(message + details)

    def start(self, previous_bound: float) -> StartReporter:
        """Return the reporter of the next start, which may continue from an earlier bound."""
        self.say(f"Initialization {self._n_begun}", "")
        self._n_begun += 1
        context = self._root.subcontext(task_name="start", max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(**self.task)
        return StartReporter(self, context, previous_bound)

    def finish(self, params: Any) -> None:
        """Report that the fit is over."""
        self._root.call_on_fit_task_end(
            **self.task, reconstruction_attributes=lambda: self.attributes(params)
        )

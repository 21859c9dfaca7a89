"""Reports of each iteration, to scikit-learn's callbacks and as the lines of ``verbose``."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from em_toolkit.engine import Fit


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
            outcome = "converged" if report.converged(fit) else "did not converge"
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
        The data as scikit-learn's callback hooks receive them: estimator, X, y, metadata.
    n_starts, max_iter : int
    attributes : callable
        From parameters to the fitted attributes that make an estimator ready to predict.
    converged : callable
        Whether a fit converged.

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
        attributes: Callable[[Any], dict[str, Any]],
        converged: Callable[[Fit[Any]], bool],
    ) -> None:
        self.task = task
        self.attributes = attributes
        self.converged = converged
        self.interval: int = estimator.verbose_interval
        self._verbose = int(estimator.verbose)
        self.max_iter = max_iter
        self.stopped = False
        self.is_over = False
        self._n_begun = 0
        self._root = estimator._init_callback_context(max_subtasks=n_starts)
        self._root.call_on_fit_task_begin(**task)

    def say(self, message: str, details: str) -> None:
        """Print what ``verbose`` asks for."""
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

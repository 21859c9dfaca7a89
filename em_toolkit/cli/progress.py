"""The progress of a long command: a moving line on a terminal, else a line now and then."""

from __future__ import annotations

import io
import math
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from itertools import pairwise
from time import perf_counter
from typing import Any, TextIO

from rich.console import Console
from rich.status import Status as Spinner

# The first line comes after so many seconds, and the pauses double up to a minute.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
# A terminal is written to so often, in seconds; and gains of so many iterations make a forecast.
_BLINK, _RECENT = 0.1, 6


class NowAndThen(io.TextIOBase):
    """A text stream that passes on a line now and then, and drops the others.

    Parameters
    ----------
    stream : text stream
        Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pause = FIRST_PAUSE
        self._last = perf_counter()
        self._line = ""

    @property
    def is_due(self) -> bool:
        """Whether a line would be passed on now."""
        return perf_counter() - self._last >= self._pause

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if self.is_due:
                print(line, file=self._stream, flush=True)
                self._last = perf_counter()
                self._pause = min(2.0 * self._pause, LONGEST_PAUSE)
        return len(text)


@contextmanager
def lines_now_and_then() -> Iterator[None]:
    """Let the lines that the block prints on stderr through now and then, unless on a terminal."""
    if Console(stderr=True).is_terminal:
        yield
        return
    with redirect_stderr(NowAndThen(sys.stderr)):
        yield


class FitProgress:
    """A scikit-learn callback that tells the iteration, the bound and the time left.

    Parameters
    ----------
    spinner : rich.status.Status, optional
        A moving line on a terminal.
    lines : NowAndThen, optional
        Where to write lines if there is no terminal.
    """

    def __init__(self, spinner: Spinner | None, lines: NowAndThen | None) -> None:
        self._spinner = spinner
        self._lines = lines
        self._last = self._began = perf_counter()
        self._bounds: deque[float] = deque(maxlen=_RECENT)

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing; a part of scikit-learn's protocol.

        Parameters
        ----------
        estimator : estimator
        context : object
            Scikit-learn's account of the task.
        """

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing; a part of scikit-learn's protocol.

        Parameters
        ----------
        estimator, context
            As in `setup`.
        """

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Begin anew with each start.

        Parameters
        ----------
        estimator, context
            As in `setup`.
        """
        if context.task_name == "start":
            self._bounds.clear()
            self._began = perf_counter()

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Tell of an iteration.

        Parameters
        ----------
        estimator, context
            As in `setup`.

        Returns
        -------
        stop : bool
            False: the fit goes on.
        """
        if context.task_name == "iteration":
            self._bounds.append(context.bound)
            if self._spinner is not None and perf_counter() - self._last >= _BLINK:
                self._last = perf_counter()
                self._spinner.update(self._account(estimator, context))
            if self._lines is not None and self._lines.is_due:
                self._lines.write(f"em-toolkit: {self._account(estimator, context)}\n")
        return False

    def _account(self, estimator: Any, context: Any) -> str:
        start, iteration = context.parent, context.task_id + 1
        n_starts = start.parent.max_subtasks or 1
        words = f"iteration {iteration}, bound {self._bounds[-1]:.6f} nats a row"
        if n_starts > 1:
            words = f"start {start.task_id + 1} of {n_starts}, {words}"
        left = iterations_left(self._bounds, estimator.tol)
        most = start.max_subtasks - iteration
        pace = (perf_counter() - self._began) / iteration
        if left is None or left >= most:
            return f"{words}, at most {in_words(most * pace)} left"
        return f"{words}, about {in_words(left * pace)} left"


def iterations_left(bounds: Sequence[float], tol: float) -> int | None:
    """Return how many iterations are left until one gains less than `tol`; None if unknown.

    The gains of EM fall by the same factor from step to step in the end (Dempster, Laird & Rubin
    1977); the factor is that of the iterations given.

    Parameters
    ----------
    bounds : sequence of float
        The last bounds, in order.
    tol : float
        In the units of the bounds.
    """
    values = list(bounds)
    gains = [after - before for before, after in pairwise(values)]
    if len(gains) < 2 or min(gains[0], gains[-1], tol) <= 0.0:
        return None
    if gains[-1] < tol:
        return 0
    factor = (gains[-1] / gains[0]) ** (1.0 / (len(gains) - 1))
    return math.ceil(math.log(tol / gains[-1]) / math.log(factor)) if factor < 1.0 else None


def in_words(seconds: float) -> str:
    """Return a duration for people, such as "3 min"."""
    if seconds < 100.0:
        return f"{max(seconds, 1.0):.0f} s"
    minutes = seconds / 60.0
    return f"{minutes:.0f} min" if minutes < 100.0 else f"{minutes / 60.0:.1f} h"


@contextmanager
def fit_progress() -> Iterator[FitProgress]:
    """Give the callback for a fit, with a spinner if stderr is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield FitProgress(None, NowAndThen(sys.stderr))
        return
    with console.status("Fitting ...") as spinner:
        yield FitProgress(spinner, None)

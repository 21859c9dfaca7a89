"""The one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from em_toolkit.data import Block, Blocks, Units, blocks_of
from em_toolkit.engine.acceleration import Accelerator, accelerator_of
from em_toolkit.engine.executors import SERIAL, Executor
from em_toolkit.engine.monitor import Monitor
from em_toolkit.engine.status import Status
from em_toolkit.engine.stopping import stopping_rule
from em_toolkit.engine.trace import Trace
from em_toolkit.model import Expectation, Guarantee, LatentVariableModel
from em_toolkit.notebook import html_table
from em_toolkit.options import Acceleration, BoundCheck, Stopping
from em_toolkit.parameters import CollapseError, Parameters
from em_toolkit.statistics import Array

if TYPE_CHECKING:
    import pandas as pd

P = TypeVar("P", bound=Parameters)
# Parameters with more are shown by their shape.
_MOST_NUMBERS = 9


class Listener(Protocol):
    """An observer of each iteration, which may end the fit."""

    def begin(self, iteration: int, bound: float) -> None:
        """Begin an iteration, from parameters with this bound.

        Parameters
        ----------
        iteration : int
            Counted from 1.
        bound : float
            In nats per sample.
        """

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        """End an iteration, which found `params`; true stops the fit here.

        Parameters
        ----------
        iteration : int
            Counted from 1.
        params : Parameters
        bound : float
            Theirs, in nats per sample.
        """


class Silence:
    """A listener that does nothing."""

    def begin(self, iteration: int, bound: float) -> None:
        pass

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        return False


@dataclass(frozen=True, repr=False)
class Fit(Generic[P]):
    """The result of one run of EM.

    Parameters
    ----------
    params : Parameters
        The parameters, whose own evidence is in the last row of the trace.
    trace : Trace
    status : Status
    cause : str
        What collapsed, in words; empty otherwise.
    n_passes : int
        Passes over the data: one for each E-step, those that were of no use included.
    iterations_to_go : int or None
        How many more iterations of plain EM the stopping rule is predicted to ask for; None if
        there is no saying, and for accelerated fits.
    """

    params: P
    trace: Trace
    status: Status
    cause: str = ""
    n_passes: int = 0
    iterations_to_go: int | None = None

    def __repr__(self) -> str:
        return (
            f"<Fit of {type(self.params).__name__}: {self.trace.n_iter} iterations, bound "
            f"{self.trace.bounds[-1]:.6g}, {self.status.name.lower()}>"
        )

    def _repr_html_(self) -> str | None:
        return html_table(self._parameters_by_name, str(self), header=False)

    def __str__(self) -> str:
        cause = f" ({self.cause})" if self.cause else ""
        return f"{self.trace}\npasses over the data: {self.n_passes}\n{self.status}{cause}"

    def _parameters_by_name(self) -> pd.DataFrame:
        """Return the parameters: numbers as they are, arrays that are large by their shape."""
        import pandas as pd

        return pd.Series(dict(_by_name(self.params))).to_frame()


def _by_name(params: Parameters, prefix: str = "") -> Iterator[tuple[str, str]]:
    for item in fields(params):
        value, name = getattr(params, item.name), prefix + item.name
        if isinstance(value, Parameters):
            yield from _by_name(value, f"{name}.")
        elif np.size(value) <= _MOST_NUMBERS:
            yield name, np.array2string(np.asarray(value), precision=4, separator=", ")
        else:
            yield name, f"array of shape {np.shape(value)}"


def em(
    model: LatentVariableModel[P, Any, Any],
    start: P,
    blocks: Blocks | Units | Array,
    *,
    max_iter: int = 100,
    tol: float = 1e-3,
    stopping: Stopping = "step",
    acceleration: Acceleration | Accelerator | None = None,
    bound_check: BoundCheck = "raise",
    previous_bound: float = -np.inf,
    listener: Listener | None = None,
    executor: Executor = SERIAL,
) -> Fit[P]:
    """Expectation-maximization from `start`.

    An interrupt from the keyboard ends the fit with the last complete iteration (and
    `Status.INTERRUPTED`); it is not raised again.

    Parameters
    ----------
    model : LatentVariableModel
    start : Parameters
    blocks : iterable of Block, Units, or ndarray
        The data; iterated over once for each E-step. The rows of an array, and units such as
        `em_toolkit.data.Sequences`, are of weight one.
    max_iter : int
        The largest number of M-steps.
    tol : float
        The tolerance of the stopping rule, in nats per sample. Samples count by their weight.
    stopping : {"step", "distance"}
        What is held against `tol` (`em_toolkit.engine.stopping`).

        - "step": iteration t is the last one if the two E-steps before its M-step found bounds
          that differ by less (scikit-learn's rule). Accelerated, an iteration gains at least what
          its M-step guarantees: here too a small gain means that EM has little left to gain, and
          not that a proposal happened to be bad.
        - "distance": iteration t is the last one if the bound before it is predicted to be nearer
          than that to the one it leads to.
    acceleration : {None, "squarem", "quasi_newton"} or Accelerator
        The source of proposals beyond the points that the M-steps find
        (`em_toolkit.engine.acceleration`); None is plain EM. A proposal whose bound is lower than
        what the M-step is known to reach costs a pass over the data, and nothing else.
    bound_check : {"raise", "warn", "off"}
        What to do if the bound falls.
    previous_bound : float
        The bound before `start`, where `start` continues an earlier fit.
    listener : Listener, optional
    executor : Executor
        The place where a pass over the blocks is computed: by default the calling thread.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If the prior of `start` has no density there.
    CollapseError
        If no density belongs to `start`, or it gives a unit no probability. (A later collapse
        ends the fit with the last good parameters.)
    ELBODecreaseError
        If the bound falls by more than rounding explains and `bound_check` is ``"raise"``.
    """
    blocks = blocks_of(blocks)
    if isinstance(blocks, Iterator):
        raise TypeError(
            "em reads the blocks once for each E-step, got an iterator that can be read once. "
            "Give a list, or an object whose __iter__ begins anew."
        )
    listener = Silence() if listener is None else listener
    monitor, e_step = Monitor(model, bound_check), _EStep(model, blocks, executor)
    accelerator = None if acceleration is None else accelerator_of(acceleration)
    rule = stopping_rule(stopping, tol, previous_bound)
    start = model.project(start, start)
    start.check()
    log_prior = model.log_prior(start)
    if not np.isfinite(log_prior):
        raise ValueError(
            f"the start has the log prior {log_prior}: it lies where the prior has no density, and "
            "no bound is defined there. Start elsewhere, or change the prior."
        )
    with executor.blas():
        params, expectation = e_step(start)
    if not np.isfinite(log_prior / expectation.weight):
        raise ValueError(
            f"the start has the log prior {log_prior:.3g}, and the data have the weight "
            f"{expectation.weight:.3g}: the bound per sample exceeds the largest number. Divide "
            "the weights by their mean."
        )
    monitor.after_e_step(0, params, expectation)
    status = Status.MAX_ITER if max_iter > 0 else Status.START
    cause, recorded = "", len(monitor)
    try:
        for iteration in range(1, max_iter + 1):
            listener.begin(iteration, monitor.bound)
            is_last = rule.is_met(monitor)

            with executor.blas():
                maximizer = model.maximize(params, expectation.statistics)
                maximizer.check()
                monitor.after_m_step(iteration, maximizer, expectation)
                reached, expectation, extrapolated = _extrapolate_or_step(
                    accelerator, model, params, maximizer, e_step, monitor
                )
            monitor.after_e_step(iteration, reached, expectation, extrapolated)

            params, recorded = reached, len(monitor)
            if listener.end(iteration, params, monitor.bound):
                status = Status.STOPPED
                break
            if is_last:
                status = rule.status
                break
    except CollapseError as error:
        status, cause = Status.COLLAPSED, str(error)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    # An iteration that was cut off leaves rows in the ledger that belong to no result.
    trace = monitor.trace_of(recorded)
    is_cut = status is Status.MAX_ITER and not trace.extrapolated.any()
    to_go = rule.iterations_to_go(trace.forecast) if is_cut else None
    return Fit(params, trace, status, cause, e_step.n_passes, to_go)


def _extrapolate_or_step(
    accelerator: Accelerator | None,
    model: LatentVariableModel[P, Any, Any],
    params: P,
    maximizer: P,
    e_step: _EStep,
    monitor: Monitor,
) -> tuple[P, Expectation[Any], bool]:
    """Take the E-step where the accelerator proposes, if that is no worse, or at the maximizer.

    The last of what is returned says whether it was taken at the proposal.
    """
    if accelerator is None:
        return *e_step(maximizer), False
    proposal = None
    # A proposal may go too far for the floating-point numbers: it is then no proposal.
    with suppress(ArithmeticError, ValueError), np.errstate(all="ignore"):
        proposal = accelerator.propose(params, maximizer)
        if proposal is not None:
            proposal = model.project(proposal, maximizer)
            reached, expectation = e_step(proposal)
            if monitor.accepts(reached, expectation):
                return reached, expectation, True
    if proposal is not None:
        accelerator.reject()
    return *e_step(maximizer), False


class _EStep:
    """The E-step, and how often it was taken: each is a pass over the data."""

    def __init__(
        self, model: LatentVariableModel[Any, Any, Any], blocks: Blocks, executor: Executor
    ) -> None:
        self._model = model
        self._blocks = blocks
        self._executor = executor
        self.n_passes = 0

    def __call__(self, params: Any) -> tuple[Any, Expectation[Any]]:
        """Return the parameters, refined, and the expectation at them."""
        model = self._model
        params = model.refine(params, self._total)
        expectation = self._total(lambda block: model.expectation(params, *block))
        is_known = model.guarantee is Guarantee.EXACT
        if is_known and not np.isfinite(expectation.log_evidence):
            raise CollapseError(
                "the parameters give some unit of the data no probability "
                f"(log evidence {expectation.log_evidence})."
            )
        return params, expectation

    def _total(self, function: Callable[[Block], Any]) -> Any:
        self.n_passes += 1
        return self._executor.sum(function, self._blocks)

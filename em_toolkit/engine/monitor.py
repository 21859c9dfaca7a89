"""The monitor: measures the bound after every half-step, and says so when it falls."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

from em_toolkit.engine.forecast import Gains
from em_toolkit.engine.trace import Trace, TraceBuilder
from em_toolkit.model import Expectation, Guarantee, LatentVariableModel
from em_toolkit.options import BoundCheck, check_option
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import EPS

# Rounding errors as the models state them, times this. On a thousand hostile fits the largest
# error was 3.9 times the statement (python -m benchmarks.hostile). What the monitor cannot see is
# an M-step with a fixed point of its own: em_toolkit.testing.check_model is there for that.
SAFETY = 16.0

_CAUSES = {
    "E": (
        "the posterior is not the exact one, or its entropy, the evidence and "
        "expected_log_joint do not describe the same density"
    ),
    "M": (
        "maximize does not maximize expected_log_joint + log_prior: a wrong formula, or a "
        "regularization that is no part of the objective"
    ),
}


class ELBODecreaseError(RuntimeError):
    """The bound fell, which EM cannot do: the model (or the toolkit) is wrong.

    Attributes
    ----------
    half_step : {"E", "M"}
        The half-step after which it was seen.
    iteration : int
        The iteration; 0 is the start.
    drop : float
        By how much the bound fell (or, after an E-step, missed the evidence), in nats per
        sample.
    tolerance : float
        The rounding error that was allowed for, in the same units.
    trace : Trace
        The ledger up to and with the offending row.
    """

    def __init__(
        self, half_step: str, iteration: int, drop: float, tolerance: float, trace: Trace
    ) -> None:
        self.half_step = half_step
        self.iteration = iteration
        self.drop = drop
        self.tolerance = tolerance
        self.trace = trace
        super().__init__(
            f"after the {half_step}-step of iteration {iteration} the bound was {drop:.3g} nats "
            f"per sample too low, where rounding explains {tolerance:.1g}. Probable cause: "
            f"{_CAUSES[half_step]}. em_toolkit.testing.check_model finds which; "
            "bound_check='warn' continues with a warning."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.half_step, self.iteration, self.drop, self.tolerance, self.trace)
        return type(self), fields


class ELBODecreaseWarning(RuntimeWarning):
    """The bound fell, and ``bound_check="warn"`` let the fit go on."""


def _raise(error: ELBODecreaseError) -> None:
    raise error


def _warn(error: ELBODecreaseError) -> None:
    warnings.warn(str(error), ELBODecreaseWarning, stacklevel=2)


def _ignore(error: ELBODecreaseError) -> None:
    """``bound_check="off"``."""


BOUND_CHECKS: dict[BoundCheck, Callable[[ELBODecreaseError], None]] = {
    "raise": _raise,
    "warn": _warn,
    "off": _ignore,
}


class Monitor:
    """Keeps the ledger and checks it row by row.

    It costs no pass over the data: the energy at any parameters follows from the statistics of
    the last E-step.

    Parameters
    ----------
    model : LatentVariableModel
    bound_check : {"raise", "warn", "off"}
        What to do when the bound falls.

    Attributes
    ----------
    bound : float
        The bound at the parameters of the last E-step, in nats per sample; as in `Trace.bounds`.
    """

    def __init__(
        self, model: LatentVariableModel[Any, Any, Any], bound_check: BoundCheck = "raise"
    ) -> None:
        self._model = model
        check_option("bound_check", bound_check, BOUND_CHECKS)
        self._report = BOUND_CHECKS[bound_check]
        self._is_exact = model.guarantee is Guarantee.EXACT
        self._may_fall = model.guarantee is Guarantee.STOCHASTIC
        self._builder = TraceBuilder(self._is_exact)
        self._began = perf_counter()
        self._elbo = self.bound = -math.inf
        self._prior: tuple[Any, float] = None, 0.0
        self._tolerance: Callable[[], float] = lambda: 0.0

    def __len__(self) -> int:
        return len(self._builder.rows)

    @property
    def trace(self) -> Trace:
        """The ledger so far."""
        return self.trace_of(len(self))

    def trace_of(self, n_rows: int) -> Trace:
        """Return the first rows of the ledger."""
        return self._builder.build(n_rows)

    @property
    def gains(self) -> Gains | None:
        """The gains of the last iteration; None at the start."""
        return self._builder.gains

    def after_e_step(
        self,
        iteration: int,
        params: Any,
        expectation: Expectation[Any],
        extrapolated: bool = False,
    ) -> None:
        """Record an E-step, and check it: the bound must not have fallen, nor miss the evidence.

        The bound of an exact posterior touches the evidence; any other is below it.

        Parameters
        ----------
        iteration : int
        params : Parameters
            Where the E-step was taken.
        expectation : Expectation
            The sums that it gave.
        extrapolated : bool
            Whether the E-step was taken beyond the parameters that the M-step before it found.
        """
        log_evidence = expectation.log_evidence / expectation.weight
        if iteration > 0:
            self._close_row(math.nan if extrapolated else log_evidence, extrapolated)
        kl = self._record("E", iteration, params, expectation, log_evidence)
        row = self._builder.rows[-1]
        self.bound = log_evidence + row["log_prior"] if self._is_exact else row["elbo"]
        missed = abs(kl) if self._is_exact else -kl
        # Mostly within a rounding of the energy: then the errors need not be summed up.
        if missed <= SAFETY * EPS * abs(row["energy"]) or (math.isnan(kl) and not self._is_exact):
            return
        tolerance = self._tolerance()
        if not missed <= tolerance:
            self._report(ELBODecreaseError("E", iteration, missed, tolerance, self.trace))

    def _bound_at(self, params: Any, expectation: Expectation[Any]) -> float:
        bound = expectation.log_evidence
        if not self._is_exact:
            bound = self._model.expected_log_joint(params, expectation.statistics)
            bound += expectation.entropy
        return float(bound + self._log_prior(params)) / expectation.weight

    def _log_prior(self, params: Any) -> float:
        """Return log p(θ), computed once for the M-step that finds θ and the E-step at it."""
        if self._prior[0] is not params:
            self._prior = params, self._model.log_prior(params)
        return self._prior[1]

    def after_m_step(self, iteration: int, params: Any, expectation: Expectation[Any]) -> None:
        """Record an M-step to `params`, from the sums of the E-step before it.

        Parameters
        ----------
        iteration : int
        params : Parameters
        expectation : Expectation
        """
        self._record("M", iteration, params, expectation, math.nan)

    def accepts(self, params: Any, expectation: Expectation[Any]) -> bool:
        """Return whether an E-step finds a bound as high as the M-step before it made it.

        If so the ledger rises by it as by a step of plain EM, though `params` are no maximizer.

        Parameters
        ----------
        params : Parameters
        expectation : Expectation
            The sums of the E-step there.
        """
        return self._bound_at(params, expectation) >= max(self._elbo, self.bound)

    def _record(
        self,
        half_step: str,
        iteration: int,
        params: Any,
        expectation: Expectation[Any],
        log_evidence: float,
    ) -> float:
        model, weight = self._model, expectation.weight
        energy = model.expected_log_joint(params, expectation.statistics) / weight
        entropy = expectation.entropy / weight
        reconstruction = model.expected_log_likelihood(params, expectation.statistics)
        reconstruction = (reconstruction + expectation.entropy_within) / weight
        log_prior = self._log_prior(params) / weight
        elbo = energy + entropy + log_prior
        # Independently of the sum above, so that rounding is measured and not cancelled.
        kl = (log_evidence - energy) - entropy
        self._builder.rows.append(
            {
                "iteration": iteration,
                "half_step": half_step,
                "elbo": elbo,
                "log_evidence": log_evidence,
                "kl": kl,
                "energy": energy,
                "entropy": entropy,
                "reconstruction": reconstruction,
                "kl_to_prior": (reconstruction - energy) - entropy,
                "log_prior": log_prior,
                "extrapolated": False,
                "seconds": perf_counter() - self._began,
            }
        )

        def tolerance() -> float:
            # At least one: responsibilities are rounded, whatever the logarithms that they weigh.
            sizes = max(1.0, abs(energy) + abs(entropy) + abs(log_prior))
            rounding = model.rounding_error(params, expectation.statistics) / weight
            return SAFETY * (EPS * sizes + rounding)

        # A bound that is not lower, as most are, asks for no tolerance.
        if not self._may_fall and not (math.isfinite(elbo) and elbo >= self._elbo):
            allowed = max(tolerance(), self._tolerance())
            if math.isfinite(log_evidence) and math.isinf(
                model.rounding_error(params, expectation.statistics)
            ):
                # The model says itself that its terms overflow.
                raise CollapseError(
                    f"the bound after the {half_step}-step of iteration {iteration} is {elbo}: its "
                    "terms exceed the largest number. Scale the data, or divide the weights by "
                    "their mean."
                )
            if not (math.isfinite(elbo) and elbo >= self._elbo - allowed):
                self._report(
                    ELBODecreaseError(half_step, iteration, self._elbo - elbo, allowed, self.trace)
                )
        self._elbo, self._tolerance = elbo, tolerance
        return kl

    def _close_row(self, log_evidence: float, extrapolated: bool) -> None:
        row = self._builder.rows[-1]
        row["extrapolated"] = extrapolated
        row["log_evidence"] = log_evidence
        row["kl"] = (log_evidence - row["energy"]) - row["entropy"]

"""When to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from em_toolkit.engine.forecast import ConvergenceForecast
from em_toolkit.engine.status import Status
from em_toolkit.options import Stopping, check_option

if TYPE_CHECKING:
    from em_toolkit.engine.monitor import Monitor


class StoppingRule(Protocol):
    """A rule that says which iteration is the last."""

    status: Status

    def is_met(self, monitor: Monitor) -> bool:
        """Asked once before each M-step: whether that one should be the last."""

    def iterations_to_go(self, forecast: ConvergenceForecast) -> int | None:
        """Return the number of iterations of plain EM that would meet the rule; None if it is
        unknown.
        """


class SmallStep:
    """The last two bounds differ by less than `tol`: scikit-learn's rule, and its count.

    A small step is not nearness: where components overlap, and the steps shrink by a thousandth
    from one to the next, what is left is five hundred times the last one.

    Parameters
    ----------
    tol : float
        In nats per sample.
    previous_bound : float
        The bound before the start, where an earlier fit is continued.
    """

    status = Status.CONVERGED

    def __init__(self, tol: float, previous_bound: float = -math.inf) -> None:
        self._tol = tol
        self._bound = previous_bound

    def is_met(self, monitor: Monitor) -> bool:
        change, self._bound = monitor.bound - self._bound, monitor.bound
        return abs(change) < self._tol

    def iterations_to_go(self, forecast: ConvergenceForecast) -> int | None:
        # Of what is left, an iteration gains the share 1 − λ².
        share = 1.0 - forecast.rate**2
        return forecast.iterations_to(self._tol / share) if share > 0.0 else None


class PredictedDistance:
    """The bound is predicted to lie within `tol` of the one it leads to.

    `em_toolkit.engine.forecast` says how. The bound to which EM leads may be that of a local
    maximum. In the first iterations there is no prediction, and on a plateau mostly one of an end
    that is far; but slow directions that have not emerged yet are in none.

    Parameters
    ----------
    tol : float
        In nats per sample.
    previous_bound : float
        Of no use here: a prediction needs the halves of an iteration.
    """

    status = Status.NEAR

    def __init__(self, tol: float, previous_bound: float = -math.inf) -> None:
        self._tol = tol
        self._forecast = ConvergenceForecast()

    def is_met(self, monitor: Monitor) -> bool:
        gains = monitor.gains
        if gains is not None:
            self._forecast.update(gains)
        return self._forecast.distance < self._tol

    def iterations_to_go(self, forecast: ConvergenceForecast) -> int | None:
        return forecast.iterations_to(self._tol)


STOPPING_RULES: dict[Stopping, Callable[[float, float], StoppingRule]] = {
    "step": SmallStep,
    "distance": PredictedDistance,
}


def stopping_rule(name: Stopping, tol: float, previous_bound: float) -> StoppingRule:
    """Return a new rule of this name.

    Parameters
    ----------
    name : {"step", "distance"}
    tol : float
        In nats per sample.
    previous_bound : float
        The bound before the start, or −inf.
    """
    check_option("stopping", name, STOPPING_RULES)
    return STOPPING_RULES[name](tol, previous_bound)

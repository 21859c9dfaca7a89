"""Why a fit stopped."""

from __future__ import annotations

from enum import Enum
from typing import Any


class Status(Enum):
    """The reason for which a fit stopped; the value says it in words.

    Files refer to a status by its name, `Status("CONVERGED")`: the words may change.
    """

    CONVERGED = "converged: the bound rose by less than tol in an iteration"
    NEAR = "converged: the bound is predicted to lie within tol of the one it leads to"
    CLOSED_FORM = "solved in closed form: no iteration was needed"
    START = "no iteration was asked for (max_iter=0): these are the parameters of the start"
    MAX_ITER = (
        "max_iter iterations were not enough for tol: increase max_iter or tol, or start elsewhere"
    )
    COLLAPSED = (
        "collapsed: the next parameters define no density, and these are the last that do; take "
        "a smaller model, more regularization, or another start"
    )
    FAILED = "failed at the start, for which no density is defined: start elsewhere"
    INTERRUPTED = "interrupted from the keyboard: these are the best parameters found so far"
    STOPPED = "stopped by a callback"

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        return cls.__members__.get(value) if isinstance(value, str) else None

    # For pickle, which asks for the second, and skops, which asks for the first: its calls of
    # __new__ without arguments make no member of an enumeration.
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    @property
    def converged(self) -> bool:
        """Whether the rule by which a fit should stop was met."""
        return self in (Status.CONVERGED, Status.NEAR)

"""Why a fit stopped."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """Why a fit stopped; the value is what to tell a person."""

    CONVERGED = "converged: the bound rose by less than tol in an iteration"
    NEAR = "converged: the bound is predicted to lie within tol of the one it leads to"
    CLOSED_FORM = "solved in closed form: no iteration was needed"
    START = "no iteration was asked for (max_iter=0): these are the parameters of the start"
    MAX_ITER = (
        "max_iter iterations were not enough for tol: increase max_iter or tol, or start elsewhere"
    )
    COLLAPSED = (
        "a component collapsed, and these are the last parameters before that: use fewer "
        "components, more regularization (reg_covar), or another start"
    )
    FAILED = "failed at the start, for which no density is defined: start elsewhere"
    INTERRUPTED = "interrupted from the keyboard: these are the best parameters until then"
    STOPPED = "stopped by a callback"

    def __str__(self) -> str:
        return str(self.value)

    @property
    def converged(self) -> bool:
        """Whether the rule by which a fit should stop was met."""
        return self in (Status.CONVERGED, Status.NEAR)

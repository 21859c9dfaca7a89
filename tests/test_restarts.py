"""Several starts: the best result is kept, and what became of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from em_toolkit import Status, Trace
from em_toolkit.engine import Fit, Restart, best_of
from em_toolkit.parameters import CollapseError, Parameters


def some_fit(bound: float, status: Status = Status.CONVERGED) -> Fit[Any]:
    columns = {item.name: np.array([bound]) for item in fields(Trace)}
    columns["iteration"], columns["half_step"] = np.array([4]), np.array(["E"])
    columns["log_prior"] = np.zeros(1)
    return Fit(Parameters(), Trace(**columns), status)


def run_all(outcomes: list[Fit[Any] | BaseException]) -> tuple[Fit[Any], list[Restart], list[int]]:
    """Restarts that end as told; and in which order they were started and run."""
    order: list[int] = []

    def start(index: int) -> Callable[[], Any]:
        def begin() -> Any:
            order.append(index)
            return index

        return begin

    def run(index: Any) -> Fit[Any]:
        order.append(index)
        outcome = outcomes[index]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    best, account = best_of((start(i) for i in range(len(outcomes))), run)
    return best, account, order


def test_the_best_start_is_kept_and_all_are_told_of() -> None:
    fits: list[Any] = [some_fit(-3.0), some_fit(-1.0, Status.MAX_ITER), some_fit(-2.0)]
    best, account, order = run_all(fits)
    assert best is fits[1]
    assert [restart.bound for restart in account] == [-3.0, -1.0, -2.0]
    assert [restart.status for restart in account] == [fit.status for fit in fits]
    assert [restart.n_iter for restart in account] == [4, 4, 4]
    # A start is not made before its turn.
    assert order == [0, 0, 1, 1, 2, 2]


def test_of_equal_starts_the_first_is_kept() -> None:
    fits: list[Any] = [some_fit(-1.0), some_fit(-1.0)]
    assert run_all(fits)[0] is fits[0]


@pytest.mark.parametrize("first", [True, False])
def test_a_collapsed_fit_is_never_preferred(first: bool) -> None:
    """Near a singularity the bound is as high as one likes."""
    good, collapsed = some_fit(-5.0), some_fit(100.0, Status.COLLAPSED)
    best, account, _ = run_all([collapsed, good] if first else [good, collapsed])
    assert best is good
    assert 100.0 in [restart.bound for restart in account]


def test_of_collapsed_fits_the_best_is_kept() -> None:
    fits: list[Any] = [some_fit(b, Status.COLLAPSED) for b in (1.0, 3.0, 2.0)]
    assert run_all(fits)[0] is fits[1]


def test_failed_starts_are_recorded() -> None:
    good = some_fit(-1.0)
    best, account, _ = run_all([CollapseError("component 7 is flat"), good])
    assert best is good
    assert np.isnan(account[0].bound)
    assert account[0].status is Status.FAILED
    assert account[0].cause == "component 7 is flat"
    assert account[1].bound == -1.0


def test_if_all_starts_fail_the_first_cause_is_raised() -> None:
    with pytest.raises(CollapseError, match="the first"):
        run_all([CollapseError("the first"), CollapseError("the second")])


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        run_all([some_fit(-1.0), ZeroDivisionError()])


def test_an_interrupted_start_is_the_last() -> None:
    fits: list[Any] = [some_fit(-1.0), some_fit(-2.0, Status.INTERRUPTED), some_fit(5.0)]
    best, account, order = run_all(fits)
    assert best is fits[0]
    assert len(account) == 2
    assert 2 not in order


def test_an_interruption_between_starts_keeps_the_best() -> None:
    fits: list[Any] = [some_fit(-1.0), KeyboardInterrupt(), some_fit(5.0)]
    best, account, order = run_all(fits)
    assert best is fits[0]
    assert account[1].status is Status.INTERRUPTED
    assert np.isnan(account[1].bound)
    assert 2 not in order
    with pytest.raises(KeyboardInterrupt):
        run_all([KeyboardInterrupt(), some_fit(5.0)])

"""Several starts: the best result is kept, and what became of each."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from oracles import clusters
from recorder import Recorder
from sklearn.exceptions import ConvergenceWarning

from em_toolkit import GaussianMixture, Status, Trace
from em_toolkit.engine import Fit, Restart, Threads, best_of
from em_toolkit.parameters import CollapseError, Parameters


def some_fit(bound: float, status: Status = Status.CONVERGED) -> Fit[Any]:
    columns = {item.name: np.array([bound]) for item in fields(Trace)}
    columns["iteration"], columns["half_step"] = np.array([4]), np.array(["E"])
    columns["log_prior"], columns["extrapolated"] = np.zeros(1), np.zeros(1, dtype=bool)
    columns["is_exact"] = True
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


# -- in threads -----------------------------------------------------------------------------------


def test_threads_change_nothing() -> None:
    outcomes: list[Any] = [
        some_fit(-3.0),
        CollapseError("component 7 is flat"),
        some_fit(100.0, Status.COLLAPSED),
        *(some_fit(-1.0, Status.MAX_ITER) for _ in range(20)),
    ]

    def run(index: Any) -> Any:
        time.sleep(0.001 * (index % 3))
        if isinstance(outcomes[index], CollapseError):
            raise outcomes[index]
        return outcomes[index]

    starts = [lambda i=i: i for i in range(len(outcomes))]
    best, account = best_of(starts, run)
    assert best is outcomes[3]
    for n_threads in (2, 5):
        with Threads(n_threads) as executor:
            again, other = best_of(starts, run, executor)
        assert again is best
        assert [repr(restart) for restart in other] == [repr(restart) for restart in account]


def test_a_start_is_made_by_the_thread_that_asks() -> None:
    """And in order: random numbers come from one source."""
    made: list[tuple[int, threading.Thread]] = []
    ran: set[threading.Thread] = set()

    def start(index: int) -> Any:
        made.append((index, threading.current_thread()))
        return index

    def run(index: Any) -> Any:
        ran.add(threading.current_thread())
        time.sleep(0.01)
        return some_fit(-1.0)

    with Threads(3) as executor:
        best_of([lambda i=i: start(i) for i in range(9)], run, executor)
    assert made == [(i, threading.current_thread()) for i in range(9)]
    assert len(ran) == 3
    assert threading.current_thread() not in ran


LARGE = clusters(np.random.default_rng(0), 3000, 4, 3)


def several(n_jobs: int, **others: Any) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(
            3, n_init=5, init_params="random", max_iter=12, random_state=0, n_jobs=n_jobs, **others
        )
        return mixture.fit(LARGE)


def threads_of(monkeypatch: pytest.MonkeyPatch, mixture: GaussianMixture) -> set[str]:
    """The threads that take M-steps."""
    from em_toolkit.models import Mixture

    seen: set[str] = set()
    maximize = Mixture.maximize

    def watched(*arguments: Any) -> Any:
        seen.add(threading.current_thread().name)
        return maximize(*arguments)

    with monkeypatch.context() as patch, warnings.catch_warnings():
        patch.setattr(Mixture, "maximize", watched)
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(LARGE)
    return seen - {threading.current_thread().name}


def test_fits_in_threads_have_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = several(1)
    for n_jobs in (2, 4):
        together = several(n_jobs)
        for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
        assert together.restarts_ == alone.restarts_
        assert len(alone.restarts_) == 5
        assert 2 <= len(threads_of(monkeypatch, several(n_jobs))) <= n_jobs
    assert not threads_of(monkeypatch, alone)


def test_who_is_told_of_starts_is_told_of_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not threads_of(monkeypatch, several(4, verbose=1))
    quiet = several(4).set_callbacks(Recorder())
    assert not threads_of(monkeypatch, quiet)
    lines = capsys.readouterr().out.splitlines()
    order = [line for line in lines if line.startswith("Initialization")]
    assert order[::2][:5] == [f"Initialization {i}" for i in range(5)]


def test_an_error_ends_the_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would go on for a million iterations."""
    from em_toolkit.models import Mixture

    n_calls, lock, maximize = [0], threading.Lock(), Mixture.maximize

    def broken(*arguments: Any) -> Any:
        with lock:
            n_calls[0] += 1
            if n_calls[0] == 40:
                raise ZeroDivisionError
        return maximize(*arguments)

    monkeypatch.setattr(Mixture, "maximize", broken)
    mixture = GaussianMixture(
        3, n_init=4, init_params="random", max_iter=10**6, tol=0.0, random_state=0, n_jobs=2
    )
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        mixture.fit(LARGE)
    assert time.monotonic() - began < 30.0

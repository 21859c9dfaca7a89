"""Threads that share the E-step: the same bits for any number, in order, and none left behind."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import joblib
import numpy as np
import pytest
from blas_threads import blas_threads, set_blas_threads
from hypothesis import given
from hypothesis import strategies as st
from oracles import STRUCTURES, Data, clusters
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from em_toolkit import GaussianMixture, PoissonMixture, Status
from em_toolkit.engine import Rows, Threads, blas, number_of_threads
from em_toolkit.engine.blas import one_blas_thread
from em_toolkit.engine.em import em
from em_toolkit.engine.expectation import expect
from em_toolkit.families import FullCovariances, Gaussian, GaussianComponents
from em_toolkit.kernels import choice
from em_toolkit.kernels.gaussian_mixture import CompiledGaussianMixture
from em_toolkit.model import Block, Expectation
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.statistics import PairwiseSum, Statistics, sum_by_pairs

R = TypeVar("R")

N_THREADS = [1, 2, 3, 8]
# No test waits so long; one whose threads wait for each other fails instead of hanging.
SECONDS = 30.0

# -- the same bits --------------------------------------------------------------------------------


@pytest.fixture(params=["compiled", "plain"])
def many_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that there are many."""
    compiled = request.param == "compiled"
    monkeypatch.setattr(choice, "WORTH_COMPILING", 0 if compiled else 10**30)
    monkeypatch.setattr(choice, "_BLOCK_WORK", 1)
    monkeypatch.setattr(choice, "_SMALLEST_BLOCK", 64)
    monkeypatch.setattr(choice, "BLOCK_SIZE", 64)


@pytest.fixture(scope="module")
def rows() -> Data:
    return clusters(np.random.default_rng(0), 5000, 5, 5)


def fit_to_the_end(mixture: Any, X: Data) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X)


def assert_same_bits(one: Any, other: Any, names: list[str]) -> None:
    for name in names:
        assert (
            np.asarray(getattr(one, name)).tobytes() == np.asarray(getattr(other, name)).tobytes()
        )
    for column, values in one.trace_.to_frame().items():
        if column != "seconds":
            np.testing.assert_array_equal(other.trace_.to_frame()[column], values)


class Used:
    """The threads that the E-steps of mixtures ran in, and how many did at a time."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.most_at_once = self._now = 0
        self._lock = threading.Lock()

    def clear(self) -> None:
        self.names.clear()
        self.most_at_once = 0

    def count(self, change: int) -> None:
        with self._lock:
            self._now += change
            self.most_at_once = max(self.most_at_once, self._now)
            self.names.add(threading.current_thread().name)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> Used:
    threads = Used()
    for model in (Mixture, CompiledGaussianMixture):

        def expectation(
            self: Any, *arguments: Any, original: Any = model.expectation
        ) -> Expectation[Any]:
            threads.count(1)
            try:
                found: Expectation[Any] = original(self, *arguments)
                return found
            finally:
                threads.count(-1)

        monkeypatch.setattr(model, "expectation", expectation)
    return threads


@pytest.mark.usefixtures("many_blocks")
@pytest.mark.parametrize("structure", STRUCTURES)
def test_gaussian_mixtures_are_the_same_to_the_bit(structure: str, rows: Data, used: Used) -> None:
    """Of every parameter, and of every number in the ledger."""

    def fit(n_jobs: int | None) -> GaussianMixture:
        mixture = GaussianMixture(
            5, covariance_type=structure, tol=0.0, max_iter=6, random_state=0, n_jobs=n_jobs
        )
        fitted: GaussianMixture = fit_to_the_end(mixture, rows)
        return fitted

    alone = fit(1)
    assert used.names == {"MainThread"}
    for n_jobs in (*N_THREADS[1:], -1, None):
        used.clear()
        names = ["weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bounds_"]
        assert_same_bits(alone, fit(n_jobs), names)
        if n_jobs is not None and n_jobs > 1:
            assert 1 <= used.most_at_once <= n_jobs


@pytest.mark.usefixtures("many_blocks")
def test_poisson_mixtures_are_the_same_to_the_bit(rows: Data) -> None:
    counts = np.round(np.abs(4.0 * rows))

    def fit(n_jobs: int) -> PoissonMixture:
        mixture = PoissonMixture(3, tol=0.0, max_iter=6, random_state=0, n_jobs=n_jobs)
        fitted: PoissonMixture = fit_to_the_end(mixture, counts)
        return fitted

    alone = fit(1)
    for n_jobs in (*N_THREADS[1:], -1):
        assert_same_bits(alone, fit(n_jobs), ["weights_", "rates_", "lower_bounds_"])


class Finished(Mixture[GaussianComponents]):
    """A mixture whose first block is the last to be done."""

    def __init__(self, n_others: int) -> None:
        super().__init__(Gaussian(FullCovariances))
        self.others = threading.Semaphore(0)
        self.n_others = n_others

    def expectation(
        self, params: Any, X: Data, weights: Data, known: Any = None
    ) -> Expectation[Any]:
        found = super().expectation(params, X, weights)
        if X[0, 0] == 0.0:
            for _ in range(self.n_others):
                assert self.others.acquire(timeout=SECONDS)
        else:
            self.others.release()
        return found


@pytest.mark.parametrize("n_threads", N_THREADS[1:])
def test_sums_do_not_depend_on_who_is_done_first(n_threads: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3)) * 10.0 ** rng.uniform(-5.0, 5.0, (300, 1))
    X[0] = 0.0
    params = MixtureParameters(
        np.array([0.5, 0.5]),
        GaussianComponents(rng.standard_normal((2, 3)), FullCovariances(np.stack([np.eye(3)] * 2))),
    )
    blocks = list(Rows(X, block_size=30))
    expected = expect(Mixture(Gaussian()), params, blocks)
    with Threads(n_threads) as executor:
        found = expect(Finished(len(blocks) - 1), params, blocks, executor)
    np.testing.assert_array_equal(found.log_evidence, expected.log_evidence)
    for name in ("count", "first_moment", "second_moment"):
        np.testing.assert_array_equal(
            getattr(found.statistics, name), getattr(expected.statistics, name)
        )


def test_the_order_of_a_sum_shows_in_its_last_bits() -> None:
    """So the tests above can fail."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3)) * 10.0 ** rng.uniform(-5.0, 5.0, (300, 1))
    params = MixtureParameters(
        np.array([1.0]), GaussianComponents(np.zeros((1, 3)), FullCovariances(np.eye(3)[None]))
    )
    blocks: list[Block] = list(Rows(X, block_size=30))
    one, other = (expect(Mixture(Gaussian()), params, order) for order in (blocks, blocks[::-1]))
    assert (one.statistics.second_moment != other.statistics.second_moment).any()


# -- map ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_map_keeps_the_order(n_threads: int) -> None:
    with Threads(n_threads) as executor:
        assert list(executor.map(lambda item: item**2, range(50))) == [i**2 for i in range(50)]
        assert list(executor.map(str, iter(()))) == []
        # The threads serve one pass after the other.
        assert list(executor.map(str, range(3))) == ["0", "1", "2"]


def test_map_keeps_the_order_though_later_items_are_done_first() -> None:
    done = [threading.Event() for _ in range(4)]

    def wait_for_the_next(item: int) -> int:
        if item % 2 == 0:
            assert done[item + 1].wait(SECONDS)
        done[item].set()
        return item

    with Threads(2) as executor:
        assert list(executor.map(wait_for_the_next, range(4))) == [0, 1, 2, 3]


def test_map_works_in_as_many_threads_as_it_says() -> None:
    together = threading.Barrier(3)

    def meet(_: int) -> str:
        together.wait(SECONDS)
        return threading.current_thread().name

    with Threads(3) as executor:
        assert len(set(executor.map(meet, range(3)))) == 3


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_map_holds_few_items(n_threads: int) -> None:
    """Data that do not fit in memory come one block after the other."""
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(1000):
            taken += 1
            yield item

    held = 1 if n_threads == 1 else n_threads + 1
    with Threads(n_threads) as executor:
        results = executor.map(lambda item: item, items())
        assert taken == 0
        for position, _ in enumerate(results):
            assert taken - position <= held
        assert taken == 1000


class Unreadable(Exception):
    """What a source of blocks, or a model, may raise."""


def pool_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name}


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_map_passes_exceptions_on(n_threads: int) -> None:
    before = pool_threads()

    def fail(item: int) -> int:
        if item == 7:
            raise Unreadable(item)
        return item

    seen: list[int] = []
    with Threads(n_threads) as executor:
        with pytest.raises(Unreadable, match="7"):
            seen.extend(executor.map(fail, range(100)))
        assert list(executor.map(str, [1])) == ["1"]
    assert seen == list(range(7))
    assert pool_threads() == before


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_map_passes_exceptions_of_the_source_on(n_threads: int) -> None:
    before = pool_threads()

    def items() -> Iterator[int]:
        yield from range(5)
        raise Unreadable("block 5")

    with Threads(n_threads) as executor, pytest.raises(Unreadable, match="block 5"):
        list(executor.map(str, items()))
    assert pool_threads() == before


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_an_interrupt_leaves_no_thread() -> None:
    """Ctrl-C reaches the main thread, which waits for the others: what is dealt out is dropped."""
    before, begun = pool_threads(), []
    interrupted = threading.Event()
    main = threading.main_thread().ident or 0

    def main_thread_waits() -> bool:
        return sys._current_frames()[main].f_code is threading.Condition.wait.__code__

    def interrupt(item: int) -> None:
        begun.append(item)
        if item == 1:
            # Not while it starts a thread: an interrupt there leaves the thread to end by itself.
            while len(begun) < 2 or taken < 3 or not main_thread_waits():
                assert not interrupted.wait(0.001)
            signal.pthread_kill(main, signal.SIGINT)
        # No result may end the wait for the interrupt.
        assert interrupted.wait(SECONDS)

    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    def run() -> None:
        with Threads(2) as executor:
            try:
                list(executor.map(interrupt, items()))
            finally:
                interrupted.set()

    with pytest.raises(KeyboardInterrupt):
        run()
    assert pool_threads() == before
    # A thread may have taken up the next one in the moment of the interrupt; no other is begun.
    assert sorted(begun) == [0, 1]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
@pytest.mark.usefixtures("many_blocks")
def test_an_interrupted_fit_has_a_result(rows: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    before, calls = pool_threads(), itertools.count(1)
    for model in (CompiledGaussianMixture, Mixture):

        def expectation(
            self: Any, *arguments: Any, original: Any = model.expectation
        ) -> Expectation[Any]:
            if next(calls) == 200:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return original(self, *arguments)

        monkeypatch.setattr(model, "expectation", expectation)
    mixture = GaussianMixture(5, tol=0.0, max_iter=1000, random_state=0, n_jobs=2)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        mixture.fit(rows)
    assert mixture.status_ is Status.INTERRUPTED
    assert np.isfinite(mixture.means_).all()
    assert pool_threads() == before


# -- sum ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_sum_does_each_item_once(n_threads: int) -> None:
    with Threads(n_threads) as executor:
        for n_items in (1, 2, 50):
            assert executor.sum(lambda item: 10**item, iter(range(n_items))) == int("1" * n_items)


def test_sum_works_in_as_many_threads_as_it_says() -> None:
    """And the calling thread is one of them."""
    together, names = threading.Barrier(3), set()

    def meet(item: int) -> int:
        together.wait(SECONDS)
        names.add(threading.current_thread().name)
        return 1

    with Threads(3) as executor:
        assert executor.sum(meet, range(3)) == 3
    assert len(names) == 3
    assert threading.current_thread().name in names


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_sum_holds_few_items(n_threads: int) -> None:
    lock, counts = threading.Lock(), {"taken": 0, "done": 0}

    def items() -> Iterator[int]:
        for item in range(1000):
            counts["taken"] += 1
            assert counts["taken"] - counts["done"] <= n_threads
            yield item

    def count(_: int) -> int:
        with lock:
            counts["done"] += 1
        return 1

    with Threads(n_threads) as executor:
        assert executor.sum(count, items()) == 1000
    assert counts == {"taken": 1000, "done": 1000}


@pytest.mark.parametrize(("n_threads", "in_caller"), [(1, True), (2, True), (2, False), (8, False)])
def test_sum_passes_exceptions_on(n_threads: int, in_caller: bool) -> None:
    """Of whichever thread; the others begin no more items."""
    before, caller = pool_threads(), threading.current_thread()
    failed, begun = threading.Event(), []

    def fail(item: int) -> int:
        begun.append(item)
        if (threading.current_thread() is caller) is in_caller:
            failed.set()
            raise Unreadable(item)
        assert failed.wait(SECONDS)
        time.sleep(0.01)
        return 1

    with Threads(n_threads) as executor:
        with pytest.raises(Unreadable):
            executor.sum(fail, range(1000))
        assert len(begun) < 1000
        assert executor.sum(lambda item: item, [-1]) == -1
    assert pool_threads() == before


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_sum_passes_exceptions_of_the_source_on(n_threads: int) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise Unreadable("block 5")

    with Threads(n_threads) as executor, pytest.raises(Unreadable, match="block 5"):
        executor.sum(lambda item: item, items())


@dataclass(frozen=True, eq=False)
class Sum(Statistics):
    """Two numbers."""

    one: float
    other: float


@given(st.permutations(range(11)), st.integers(1, 11))
def test_a_sum_by_pairs_is_the_same_in_any_order_of_arrival(order: list[int], n: int) -> None:
    rng = np.random.default_rng(0)
    parts = [Sum(*(rng.standard_normal(2) * 10.0 ** rng.uniform(-8.0, 8.0))) for _ in range(n)]
    total: PairwiseSum[Sum] = PairwiseSum()
    for index in order:
        if index < n:
            total.add(index, parts[index])
    expected = sum_by_pairs(parts)
    assert (total.total().one, total.total().other) == (expected.one, expected.other)
    assert expected.one == pytest.approx(sum(part.one for part in parts), rel=1e-9, abs=1e-6)


# -- threads of linear algebra --------------------------------------------------------------------


@pytest.fixture
def two_blas_threads() -> Iterator[None]:
    set_blas_threads(2)
    if blas_threads() != {2}:
        pytest.skip("needs a BLAS whose threads can be set")
    yield
    set_blas_threads(1)


needs_threads_of_blas = pytest.mark.usefixtures("two_blas_threads")


def in_a_thread(function: Callable[[], R]) -> R:
    """The result of a function that is called in a new thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=SECONDS)


def limited_to(n_threads: int) -> set[int]:
    """The threads of BLAS within a limit that the calling thread sets."""
    with threadpool_limits(n_threads, user_api="blas"):
        return blas_threads()


class Watch(Mixture[Any]):
    """A mixture that notes how many threads of BLAS its steps find."""

    def __init__(self) -> None:
        super().__init__(Gaussian())
        self.seen: list[set[int]] = []

    def expectation(self, *arguments: Any) -> Any:
        self.seen.append(blas_threads())
        return super().expectation(*arguments)

    def maximize(self, *arguments: Any) -> Any:
        self.seen.append(blas_threads())
        return super().maximize(*arguments)


class Between:
    """A listener that notes the same between iterations."""

    def __init__(self) -> None:
        self.seen: list[set[int]] = []

    def begin(self, iteration: int, bound: float) -> None:
        self.seen.append(blas_threads())

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        self.seen.append(blas_threads())
        return False


def some_start() -> MixtureParameters[GaussianComponents]:
    covariances = FullCovariances(np.stack([np.eye(3)] * 2))
    return MixtureParameters(
        np.array([0.5, 0.5]), GaussianComponents(np.repeat([[0.0], [1.0]], 3, axis=1), covariances)
    )


SOME_ROWS = np.random.default_rng(0).normal(size=(200, 3)) + np.arange(200)[:, None] % 2


@needs_threads_of_blas
@pytest.mark.parametrize("n_threads", N_THREADS)
def test_linear_algebra_has_one_thread_in_iterations_and_its_own_between(n_threads: int) -> None:
    model, listener, blocks = Watch(), Between(), Rows(SOME_ROWS, block_size=20)
    with Threads(n_threads) as executor:
        em(model, some_start(), blocks, max_iter=3, tol=0.0, listener=listener, executor=executor)
    assert model.seen == [{1}] * (4 * 10 + 3)
    assert listener.seen == [{2}] * 6
    assert blas_threads() == {2}


@needs_threads_of_blas
def test_by_itself_em_leaves_linear_algebra_alone() -> None:
    model = Watch()
    em(model, some_start(), SOME_ROWS, max_iter=2, tol=0.0)
    assert model.seen == [{2}] * (3 + 2)


@needs_threads_of_blas
def test_linear_algebra_has_its_threads_back_after_an_error() -> None:
    with pytest.raises(Unreadable), one_blas_thread():
        raise Unreadable
    assert blas_threads() == {2}


@needs_threads_of_blas
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("where", ["_set_one_thread", "_restore", "_give_up_control"])
def test_linear_algebra_has_its_threads_back_after_an_interrupt(
    where: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while the setting is made, or taken back."""
    function = getattr(blas, where)

    def interrupted(*arguments: Any) -> None:
        monkeypatch.undo()
        if when == "after":
            function(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(blas, where, interrupted)
    with pytest.raises(KeyboardInterrupt), one_blas_thread():
        pass
    assert in_a_thread(blas_threads) == {2}
    assert in_a_thread(lambda: limited_to(1)) == {1}
    with one_blas_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {2}


@needs_threads_of_blas
@pytest.mark.parametrize("first_to_end", [0, 1])
def test_linear_algebra_has_its_threads_back_after_passes_that_overlap(first_to_end: int) -> None:
    """Each in a thread of its own; either may be the last."""
    begun = [threading.Event(), threading.Event()]
    end = [threading.Event(), threading.Event()]

    def do_a_pass(number: int) -> None:
        with one_blas_thread():
            begun[number].set()
            assert end[number].wait(SECONDS)

    with ThreadPoolExecutor(2) as pool:
        passes = []
        for number in (0, 1):
            passes.append(pool.submit(do_a_pass, number))
            assert begun[number].wait(SECONDS)
        for number in (first_to_end, 1 - first_to_end):
            assert blas_threads() == {1}
            end[number].set()
            passes[number].result(timeout=SECONDS)
        assert blas_threads() == {2}


@needs_threads_of_blas
def test_fits_that_overlap_give_linear_algebra_its_threads_back(rows: Data) -> None:
    """As in threads of a user: with k-means in their starts, which sets the threads, too."""
    together = threading.Barrier(4)

    def fit(seed: int) -> None:
        together.wait(SECONDS)
        for n_init in (1, 3):
            settings = {"max_iter": 4, "n_init": n_init, "n_jobs": 2, "random_state": seed}
            mixture = GaussianMixture(3, **settings)
            mixture.fit(rows[:900] if seed % 2 else rows)
            mixture.predict(rows)

    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)
        list(pool.map(fit, range(4)))
    assert blas_threads() == {2}


@needs_threads_of_blas
def test_after_a_fit_any_thread_may_limit_linear_algebra(rows: Data) -> None:
    """The thread of the fit does not stay in control of it, nor does any other."""
    assert in_a_thread(lambda: limited_to(1)) == {1}
    fit_to_the_end(GaussianMixture(2, max_iter=3), rows)
    assert in_a_thread(lambda: limited_to(1)) == {1}
    assert limited_to(1) == {1}
    assert blas_threads() == {2}


@needs_threads_of_blas
def test_between_iterations_any_thread_may_limit_linear_algebra() -> None:
    class Other(Between):
        def end(self, iteration: int, params: Any, bound: float) -> bool:
            self.seen.append(in_a_thread(lambda: limited_to(1)))
            return False

    listener = Other()
    with Threads(1) as executor:
        em(
            Watch(),
            some_start(),
            SOME_ROWS,
            max_iter=2,
            tol=0.0,
            listener=listener,
            executor=executor,
        )
    assert listener.seen == [{2}, {1}] * 2


@needs_threads_of_blas
@pytest.mark.parametrize("n_threads", N_THREADS)
def test_within_a_limit_of_the_users_own(n_threads: int) -> None:
    """The user's thread is in control then: it sets the number, and takes it back."""
    model, blocks = Watch(), Rows(SOME_ROWS, block_size=20)
    with threadpool_limits(3, user_api="blas"):
        mine = blas_threads()
        with Threads(n_threads) as executor:
            em(model, some_start(), blocks, max_iter=3, tol=0.0, executor=executor)
        assert blas_threads() == mine
    assert model.seen == [{1}] * (4 * 10 + 3)
    assert blas_threads() == {2}


@needs_threads_of_blas
def test_a_limit_that_another_thread_has_set_stays_and_goes_with_it() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with threadpool_limits(1, user_api="blas"):
            entered.set()
            assert leave.wait(SECONDS)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert entered.wait(SECONDS)
        with one_blas_thread():
            leave.set()
            held.result(timeout=SECONDS)
    assert blas_threads() == {2}


@needs_threads_of_blas
def test_a_fit_gives_linear_algebra_its_threads_back(rows: Data) -> None:
    fit_to_the_end(GaussianMixture(2, max_iter=1), rows)
    assert blas_threads() == {2}


@needs_threads_of_blas
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_passes_of_its_own() -> None:
    with one_blas_thread():
        pass
    child = multiprocessing.get_context("fork").Process(target=one_blas_thread().__enter__)
    child.start()
    child.join(SECONDS)
    assert child.exitcode == 0


# -- how many -------------------------------------------------------------------------------------


def test_no_thread_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="n_jobs expects a number of threads"):
        GaussianMixture(n_jobs=0).fit(np.eye(4))


def test_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 6)
    asked = [None, 1, 3, 100, -1, -2, -6, -7]
    assert [number_of_threads(n_jobs) for n_jobs in asked] == [6, 1, 3, 100, 6, 5, 1, 1]


def test_none_is_what_joblib_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 6)
    for told, expected in [(1, 1), (3, 3), (-1, 6), (-2, 5), (None, 6)]:
        with joblib.parallel_config(n_jobs=told):
            assert number_of_threads(None) == expected
            assert number_of_threads(2) == 2
    assert number_of_threads(None) == 6


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_worker_of_joblib_has_one_core(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is one thread there; a number is that number."""
    run = joblib.Parallel(n_jobs=2, backend=backend)
    assert run(joblib.delayed(number_of_threads)(None) for _ in range(4)) == [1] * 4
    assert run(joblib.delayed(number_of_threads)(3) for _ in range(4)) == [3] * 4
    # Outside of it again all cores are free.
    monkeypatch.setattr(joblib, "cpu_count", lambda: 6)
    assert number_of_threads(None) == 6


class Probe(BaseEstimator):
    """An estimator whose score is the number of threads that it would use."""

    def __init__(self, parameter: int = 0) -> None:
        self.parameter = parameter

    def fit(self, X: Data, y: None = None) -> Self:
        self.n_threads_ = number_of_threads(None)
        return self

    def score(self, X: Data, y: None = None) -> float:
        return float(self.n_threads_)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_parallel_search_has_one_thread_for_each_fit(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda *_, **__: 6)
    with joblib.parallel_config(backend):
        search = GridSearchCV(Probe(), {"parameter": [0, 1]}, cv=2, n_jobs=2)
        search.fit(np.zeros((10, 1)))
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], 1.0)
    # The best is fitted again by itself, outside of the workers of joblib.
    assert search.best_estimator_.n_threads_ == 6


def test_there_are_no_more_threads_than_blocks(rows: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Watched(Threads):
        def __init__(self, n_threads: int = 1, *others: Any) -> None:
            asked.append(n_threads)
            super().__init__(n_threads, *others)

    monkeypatch.setattr("em_toolkit.estimators.mixture.Threads", Watched)
    monkeypatch.setattr(choice, "WORTH_COMPILING", 10**30)
    for size in (1000, 10_000):
        monkeypatch.setattr(choice, "BLOCK_SIZE", size)
        fit_to_the_end(GaussianMixture(2, max_iter=1, n_jobs=8), rows)
    # On blocks, and on starts; of which there is one.
    assert asked == [5, 1, 1, 1]

"""Executors: where the sums over the blocks of the data are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, nullcontext
from contextvars import copy_context
from threading import Lock
from typing import Generic, Protocol, Self, TypeVar

import joblib
from joblib.parallel import get_active_backend

from em_toolkit.engine.blas import one_blas_thread
from em_toolkit.statistics import PairwiseSum, Statistics, sum_by_pairs

S = TypeVar("S", bound=Statistics)
T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """A way to sum over the blocks of the data: all that a fit asks of the machine it runs on."""

    def sum(self, function: Callable[[T], S], items: Iterable[T]) -> S:
        """Return the sum of function(item) over items, in an order that is fixed.

        Parameters
        ----------
        function : callable
            Its results add, as `Statistics` do.
        items : iterable
            Blocks of data, for example.
        """

    def blas(self) -> AbstractContextManager[None]:
        """Return the context in which the linear algebra of an iteration is done."""


class Threads:
    """An executor with a number of threads, which take the blocks of a pass by turns.

    The order of a sum is that of the blocks, so that sums are the same to the bit for any number
    of threads. The end of the context ends the threads.

    Parameters
    ----------
    n_threads : int
        1 works in the calling thread.
    blas : callable
        The context in which linear algebra is to be done: an iteration, or what makes a start. By
        default BLAS has one thread there, so that its threads are no more than there are cores,
        and no last bit depends on `n_threads`.
    """

    def __init__(
        self,
        n_threads: int = 1,
        blas: Callable[[], AbstractContextManager[None]] = one_blas_thread,
    ) -> None:
        self.n_threads = n_threads
        self.blas = blas
        self._context = ExitStack()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._context.close()
        self._pool = None

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
        """Yield function(item) of each item, in order; few items are held at a time.

        Parameters
        ----------
        function : callable
        items : iterable
        """
        if self.n_threads == 1:
            yield from map(function, items)
            return
        pool = self._started_pool()
        running: deque[Future[R]] = deque()
        try:
            for item in items:
                # In a copy of the context: numpy's errstate is part of it.
                running.append(pool.submit(copy_context().run, function, item))
                if len(running) > self.n_threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()

    def sum(self, function: Callable[[T], S], items: Iterable[T]) -> S:
        """Return the sum of function(item) over items, in an order that is fixed.

        Items are taken in order, each by a thread that is free. After an error in a thread, the
        others begin no more items, and it is raised.

        Parameters
        ----------
        function : callable
            Its results add, as `Statistics` do.
        items : iterable
            Blocks of data, for example.
        """
        if self.n_threads == 1:
            return sum_by_pairs(map(function, items))
        total: PairwiseSum[S] = PairwiseSum()
        source = _Shared(enumerate(items))

        def drain() -> None:
            try:
                for index, item in source:
                    total.add(index, function(item))
            except BaseException:
                source.close()
                raise

        def help_out() -> None:
            with self.blas():
                drain()

        pool = self._started_pool()
        running = [pool.submit(copy_context().run, help_out) for _ in range(self.n_threads - 1)]
        try:
            # The calling thread is one of them.
            drain()
        finally:
            # What the source holds matters no more if an error ended this thread.
            source.close()
            wait(running)
        for future in running:
            future.result()
        return total.total()

    def _started_pool(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = self._context.enter_context(ThreadPoolExecutor(self.n_threads))
        return self._pool


class _Shared(Generic[T]):
    """An iterator for several threads, which may be closed."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._lock = Lock()
        self._is_open = True

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            if self._is_open:
                return next(self._items)
            raise StopIteration

    def close(self) -> None:
        """There are no more items."""
        self._is_open = False


# The calling thread, which leaves the threads of linear algebra as they are.
SERIAL = Threads(blas=nullcontext)


def number_of_threads(n_jobs: int | None) -> int:
    """Return the number of threads to use.

    Parameters
    ----------
    n_jobs : int or None
        None for what ``joblib.parallel_config`` says, and if it says nothing all cores that the
        process may use; but one inside a worker of joblib, which has a core to itself. −1 for all
        cores, −2 for all but one; a positive number for itself.

    Raises
    ------
    ValueError
        For 0.
    """
    if n_jobs == 0:
        raise ValueError(
            "n_jobs expects a number of threads, -1 for one on each core, or None, got 0."
        )
    if n_jobs is None:
        backend, configured = get_active_backend()
        if (backend.nesting_level or 0) > 0:
            return 1
        n_jobs = -1 if configured is None else configured
    n_cores: int = joblib.cpu_count()
    return n_jobs if n_jobs > 0 else max(1, n_cores + 1 + n_jobs)

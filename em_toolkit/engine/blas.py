"""Linear algebra (BLAS) in one thread, for as long as a pass takes.

For each of our threads to start threads of BLAS would be slower, and their number would show in
the last bits. But their number is mostly a setting of the process, which others set and restore
too. threadpoolctl lets one thread at a time do so, and ignores the others: whoever restores it from
another thread than the one that set it, or while somebody else relies on it, leaves it wrong for
good. So it is set and restored by a single thread that does nothing else, and held while any
thread is in a pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

# Multiplications in a pass. A product of fewer than these BLAS does not deal out to threads
# (OpenBLAS from 2^18 on); and in the time that they take, holding it to one would show.
_FEW_PRODUCTS = 2**17


class _Keeper:
    """The thread that holds the setting of the process while any pass is open."""

    def __init__(self) -> None:
        self._begin_anew()
        # A forked child has no keeper, and none of the passes that are open in its parent.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock = Lock()
        self._n_open = 0
        self._is_needed = False
        self._limits = ExitStack()
        self._thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> None:
        with self._lock:
            # Where BLAS has one thread anyway, which none of ours has seen to, there is no need.
            if self._n_open == 0 and _has_threads(_libraries()[0]):
                self._is_needed = True
                if self._thread is None:
                    self._thread = ThreadPoolExecutor(1, thread_name_prefix="em_toolkit-blas")
                try:
                    self._thread.submit(self._set).result()
                except BaseException:  # an interrupt, which does not reach the thread
                    self._thread.submit(self._restore).result()
                    raise
            self._n_open += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._n_open -= 1
            if self._n_open == 0 and self._is_needed and self._thread is not None:
                self._is_needed = False
                self._thread.submit(self._restore).result()

    def _set(self) -> None:
        _set_one_thread(_libraries()[0], self._limits)

    def _restore(self) -> None:
        self._limits.close()


_KEEPER = _Keeper()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold linear algebra to one thread, for the calling thread at least.

    It may be nested, and entered by several threads at once. Within a limit that the calling
    thread has set itself, with threadpoolctl, that thread sets this one, too; one that another
    thread has set stays what it is.
    """
    with ExitStack() as limits:
        limits.enter_context(_KEEPER)
        for libraries in _libraries():
            _set_one_thread(libraries, limits)
        yield


def blas_for(n_products: int) -> Callable[[], AbstractContextManager[None]]:
    """Return the context for a pass of so many multiplications: none if they are few."""
    return one_blas_thread if n_products >= _FEW_PRODUCTS else nullcontext


def _set_one_thread(libraries: ThreadpoolController, limits: ExitStack) -> None:
    """Limit libraries to one thread, if the calling thread can, until the end of a context."""
    # Of what is one already nothing is to be restored: it may be one for a shorter time than this.
    if not _has_threads(libraries):
        return
    limit = ExitStack()
    limit.enter_context(libraries.limit(limits=1, user_api="blas"))
    if _has_threads(libraries):
        # In vain: another thread is in control. What it sets is no longer ours to restore later.
        limit.close()
    limits.push(limit)


def _has_threads(libraries: ThreadpoolController) -> bool:
    return not {library.num_threads for library in libraries.lib_controllers} <= {1, None}


@cache
def _libraries() -> tuple[ThreadpoolController, ThreadpoolController]:
    """Return the libraries whose threads are the process's, and those with threads by caller."""
    blas = ThreadpoolController().select(user_api="blas")
    by_caller = [
        library["filepath"]
        for library in blas.info()
        # As threadpoolctl says of them. (None of the others has numbers of threads by caller.)
        if library["internal_api"] == "openblas" and library.get("threading_layer") == "openmp"
    ]
    shared = [path for path in (one["filepath"] for one in blas.info()) if path not in by_caller]
    return blas.select(filepath=shared), blas.select(filepath=by_caller)

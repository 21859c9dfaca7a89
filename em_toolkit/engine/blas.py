"""Linear algebra (BLAS) in one thread, for as long as a pass takes.

If each of our threads started threads of BLAS, a pass would be slower, and their number would show
in the last bits. That number is mostly one for the whole process, and others set and restore it
too: scikit-learn's k-means, or the user. threadpoolctl therefore lets one thread at a time change
it, and ignores all others until that thread gives up its control.

So the first pass to begin sets the number to one, the last to end restores it, each from its own
thread, and every thread gives up its control when its pass ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from threading import Lock

import threadpoolctl
from threadpoolctl import LibController, ThreadpoolController

# Multiplications in a pass. A product of fewer than these BLAS does not deal out to threads
# (OpenBLAS from 2^18 on).
_FEW_PRODUCTS = 2**17

Numbers = list[tuple[LibController, int]]


class _SharedNumber:
    """The number of threads of the libraries that have one for the whole process.

    Both methods may be repeated, for a pass that an interrupt has cut off in the middle of one.
    """

    def __init__(self) -> None:
        self._before: Numbers = []
        self._begin_anew()
        # None of the passes that are open in its parent is open in a forked child.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock = Lock()
        self._passes: set[object] = set()

    def hold(self, one_pass: object) -> None:
        """Set the number to one, unless another pass has."""
        with self._lock:
            self._passes.add(one_pass)
            if not self._before:
                _set_one_thread(_libraries()[0], self._before)

    def release(self, one_pass: object) -> None:
        """Restore the number, unless another pass is still open."""
        with self._lock:
            self._passes.discard(one_pass)
            if not self._passes:
                _restore(self._before)
            _give_up_control()


_SHARED_NUMBER = _SharedNumber()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold linear algebra to one thread, for the calling thread at least.

    It may be nested, and entered by several threads at once. A limit that another thread has set
    with threadpoolctl stays what it is.
    """
    one_pass = object()
    own: Numbers = []
    try:
        _SHARED_NUMBER.hold(one_pass)
        _set_one_thread(_libraries()[1], own)
        yield
    finally:
        try:
            _end(one_pass, own)
        except KeyboardInterrupt:
            _end(one_pass, own)
            raise


def _end(one_pass: object, own: Numbers) -> None:
    _restore(own)
    _SHARED_NUMBER.release(one_pass)


def blas_for(n_products: int) -> Callable[[], AbstractContextManager[None]]:
    """Return the context for a pass of so many multiplications: none if they are few."""
    return one_blas_thread if n_products >= _FEW_PRODUCTS else nullcontext


def _set_one_thread(libraries: list[LibController], before: Numbers) -> None:
    """Set each number above one to one, and note before what it was.

    Another thread may be in control of a library. Its number stays, and is not noted: it is not
    ours to restore.
    """
    for library in libraries:
        number = library.num_threads
        if number is None or number <= 1:
            continue
        before.append((library, number))
        library.set_num_threads(1)
        if library.num_threads != 1:
            before.pop()


def _restore(before: Numbers) -> None:
    while before:
        library, number = before[-1]
        library.set_num_threads(number)
        before.pop()


def _give_up_control() -> None:
    """Let any thread set numbers again, if the calling thread is in control of them."""
    # Before version 3.8 of threadpoolctl every thread may set them at any time.
    if hasattr(threadpoolctl.OpenBLASController, "clear_controlling_thread"):
        threadpoolctl.OpenBLASController.clear_controlling_thread()


@cache
def _libraries() -> tuple[list[LibController], list[LibController]]:
    """Return the libraries whose threads are the process's, and those with threads by caller."""
    blas = ThreadpoolController().select(user_api="blas").lib_controllers
    # As threadpoolctl says of them. (None of the others has numbers of threads by caller.)
    by_caller = [
        library
        for library in blas
        if library.internal_api == "openblas"
        and getattr(library, "threading_layer", None) == "openmp"
    ]
    return [library for library in blas if library not in by_caller], by_caller

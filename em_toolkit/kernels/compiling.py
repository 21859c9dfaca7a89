"""The compilation of the inner loops."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from threading import Event, Lock
from typing import Any, TypeVar

from numba import njit, types

from em_toolkit.kernels.internals import UNCOUNTED

_COMPILING = Lock()
# The functions whose compiled code cannot be kept on the disk.
_uncached: list[str] = []

F = TypeVar("F", bound=Callable[..., Any])

# What kernels are given: arrays that they only read, so that those of a user who forbids writing
# need no compilation of their own.
VECTOR, MATRIX, MATRICES = (
    types.Array(types.float64, n_dimensions, "C", readonly=True) for n_dimensions in (1, 2, 3)
)
INTEGER, NUMBER = types.int64, types.float64


def _compiler(fastmath: set[str], **more: bool) -> Callable[[F], Any]:
    # Division by zero gives what IEEE 754 says: a check would keep a loop from vectorizing.
    options = {"fastmath": fastmath, "error_model": "numpy", "nogil": True, **more}

    def compiled(function: F) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:
            # No folder in which to keep the result can be written: compile in every process.
            _uncached.append(function.__name__)
            return njit(**options)(function)

    return compiled


def _say_what_is_not_kept() -> None:
    """Warn, once in a process, that each process will compile anew."""
    if _uncached:
        _uncached.clear()
        warnings.warn(
            "The compiled loops of em_toolkit cannot be kept on the disk, so each process compiles "
            "them anew, which takes some ten seconds: neither the folder of the package nor the "
            "cache folder of the user can be written. Set the environment variable "
            "NUMBA_CACHE_DIR to a folder that can be, and that lasts, before Python starts.",
            UserWarning,
            stacklevel=3,
        )


# Infinities and NaN keep their meaning, and products may be fused with sums. Sums may be taken in
# any order: that is what lets a loop over rows add in lanes. (What `instructions` writes keeps its
# order, wherever it is used.)
_ANY_ORDER = {"contract", "nsz", "reassoc"}
summing = _compiler(_ANY_ORDER, **UNCOUNTED)
# For what makes the arrays that the others work on, such as what is called from Python.
allocating = _compiler(_ANY_ORDER)


def kernel(*arguments: Any) -> Callable[[F], F]:
    """Declare a function that is called from Python, with arguments of these types.

    It is compiled, or read from the disk, when it is first called.
    """

    def declared(function: F) -> F:
        dispatcher, ready = allocating(function), Event()

        @wraps(function)
        def call(*values: Any) -> Any:
            if not ready.is_set():
                with _COMPILING:
                    if not ready.is_set():
                        _say_what_is_not_kept()
                        dispatcher.compile(arguments)
                        dispatcher.disable_compile()
                        ready.set()
            return dispatcher(*values)

        return call  # type: ignore[return-value]

    return declared

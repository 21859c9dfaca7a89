"""A memory of one."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Latest(Generic[K, V]):
    """A memory of what a function made of the last object.

    For what all blocks of a pass share: their parameters are the same object, and frozen. Of the
    threads that begin a pass at once, one makes it, and the others wait. A copy begins empty.

    Parameters
    ----------
    make : callable
        What to make of an object.
    """

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._latest: tuple[K, V] | None = None

    def __call__(self, key: K) -> V:
        with self._lock:
            if self._latest is None or self._latest[0] is not key:
                self._latest = key, self._make(key)
            return self._latest[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"_make": self._make}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

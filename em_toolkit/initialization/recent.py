"""A memory of what was found of the last data, by their contents."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

V = TypeVar("V")


class Recent(Generic[V]):
    """The last results of a computation that fits of the same data have in common.

    A search for the number of components and their covariance begins many fits from one clustering,
    and would spend nine tenths of its time on finding it anew.

    Parameters
    ----------
    most : int
        How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[bytes, V] = OrderedDict()
        self._lock = Lock()

    def get(
        self, settings: object, arrays: Sequence[npt.NDArray[Any]], compute: Callable[[], V]
    ) -> V:
        """Return what was computed of the same settings and arrays, or compute it.

        Parameters
        ----------
        settings : object
            Whatever its ``repr`` says.
        arrays : sequence of ndarray
        compute : callable
        """
        digest = blake2b(repr((settings, [values.shape for values in arrays])).encode())
        for values in arrays:
            digest.update(np.ascontiguousarray(values).data)
        key = digest.digest()
        with self._lock:
            found = self._found.pop(key, None)
        result = compute() if found is None else found
        with self._lock:
            self._found[key] = result
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return result

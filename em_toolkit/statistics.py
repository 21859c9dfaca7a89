"""Expected sufficient statistics: a frozen vector space.

Statistics of independent units add, and may be multiplied by a number. Blocks of rows, threads,
data on disk and machines of a cluster are therefore one operation: a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import cache, reduce
from operator import add
from threading import Lock
from typing import Any, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

P = TypeVar("P")
R = TypeVar("R")
Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
RandomSource = np.random.RandomState | np.random.Generator

EPS = float(np.finfo(np.float64).eps)


def origin() -> Any:
    """Declare a field that holds the origin about which moments are taken.

    An origin is a label of the vector space, not a coordinate in it: it is carried along by sums
    and products, and statistics about unlike origins refuse to add.
    """
    return field(metadata={"origin": True})


def fields_of(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name: all of it but what it keeps of computations."""
    return {item.name: getattr(record, item.name) for item in fields(record)}


@dataclass(frozen=True, eq=False)
class Statistics:
    """Base of all statistics: fields that add, and origins that must agree.

    A subclass is a frozen dataclass whose fields are floats, arrays, other `Statistics`, or tuples
    of these, which add element by element. A copy or a pickle takes the fields alone, not what was
    computed of them and kept.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> from em_toolkit.statistics import Array, Statistics, origin
    >>> @dataclass(frozen=True, eq=False)
    ... class Moments(Statistics):
    ...     count: float
    ...     first_moment: Array
    ...     origin: Array = origin()
    >>> a = Moments(2.0, np.array([1.0, 0.0]), np.zeros(2))
    >>> (a + 3 * a).count
    8.0
    """

    def __getstate__(self) -> dict[str, Any]:
        return fields_of(self)

    def kept(self, name: str, params: P, function: Callable[[P, Any], R]) -> R:
        """Return function(params, self), computed once as long as the parameters are the same.

        Parameters
        ----------
        name : str
            The name under which the last result is kept.
        params : object
            The parameters, which are compared by identity.
        function : callable
        """
        last: tuple[P, R] | None = self.__dict__.get(name)
        if last is None or last[0] is not params:
            last = params, function(params, self)
            self.__dict__[name] = last
        return last[1]

    def __add__(self, other: Self) -> Self:
        return self._combine(lambda mine, theirs: mine + theirs, other)

    def __mul__(self, factor: float) -> Self:
        return self._combine(lambda mine, _: factor * mine, self)

    __rmul__ = __mul__

    def _combine(self, operation: Callable[[Any, Any], Any], other: Self) -> Self:
        values: dict[str, Any] = {}
        kind: Any = type(self)
        for name, is_origin in _layout(kind):
            mine, theirs = getattr(self, name), getattr(other, name)
            if is_origin:
                if mine is not theirs and not np.array_equal(mine, theirs):
                    raise ValueError(
                        f"{type(self).__name__}: expected statistics about one origin, got two "
                        "unlike ones. Moments about different origins do not add: take both "
                        "about the same one."
                    )
                values[name] = mine
            else:
                values[name] = _elementwise(operation, mine, theirs)
        return kind(**values)


def _elementwise(operation: Callable[[Any, Any], Any], mine: Any, theirs: Any) -> Any:
    if isinstance(mine, tuple):
        pairs = zip(mine, theirs, strict=True)
        return tuple(_elementwise(operation, one, other) for one, other in pairs)
    return operation(mine, theirs)


@cache
def _layout(kind: type[Statistics]) -> tuple[tuple[str, bool], ...]:
    """Return the names of the fields, and which are origins."""
    return tuple((item.name, item.metadata.get("origin", False)) for item in fields(kind))


S = TypeVar("S", bound=Statistics)


class PairwiseSum(Generic[S]):
    """A sum whose order is fixed, whoever is done first: by pairs, pairs of pairs, and so on.

    A long sum one by one would round in one direction. Parts may come from several threads; if
    they come about in order, no more are kept at a time than there are binary digits in their
    number, and threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # By the level of the tree, and the place within it.
        self._waiting: dict[tuple[int, int], S] = {}

    def add(self, index: int, part: S) -> None:
        """Add a part.

        Parameters
        ----------
        index : int
            The number of the part, counted from 0.
        part : Statistics
        """
        level = 0
        while True:
            with self._lock:
                sibling = self._waiting.pop((level, index ^ 1), None)
                if sibling is None:
                    self._waiting[level, index] = part
                    return
            part = sibling + part if index % 2 else part + sibling
            level, index = level + 1, index // 2

    def total(self) -> S:
        """Return the sum, once all parts are there."""
        # Of the subtrees that found no sibling, later ones are smaller.
        return reduce(add, map(self._waiting.__getitem__, sorted(self._waiting)))


def sum_by_pairs(parts: Iterable[S]) -> S:
    """Return the sum of statistics in an order that is fixed: that of `PairwiseSum`."""
    total = PairwiseSum[S]()
    for index, part in enumerate(parts):
        total.add(index, part)
    return total.total()


def present(count: Array) -> BoolArray:
    """Return which components hold enough of the data to be estimated.

    One that holds less than a rounding of it keeps its old parameters: a step that cannot lower
    the bound.

    Parameters
    ----------
    count : ndarray of shape (n_components,)
        The weight that each component holds.
    """
    return np.asarray(count > EPS * count.sum())


# Rows that a product of matrices adds one by one. Over thousands of equal rows (counts, rounded
# or repeated data) the roundings of a longer run all go one way.
_RUN = 128
# Numbers in the products that are held at a time.
_AT_ONCE = 2**20


def sum_of_products(left: Array, right: Array) -> Array:
    """Σ_i left_i right_iᵀ, of shape (left.shape[1], right.shape[1]), in short runs.

    Parameters
    ----------
    left, right : ndarray of shape (n_rows, ...)
    """
    whole = left.shape[0] // _RUN * _RUN
    total = left[whole:].T @ right[whole:]
    if whole == 0:
        return total
    left_runs = left[:whole].reshape(-1, _RUN, left.shape[1]).transpose(0, 2, 1)
    right_runs = right[:whole].reshape(-1, _RUN, right.shape[1])
    at_once = max(1, _AT_ONCE // total.size)
    for start in range(0, right_runs.shape[0], at_once):
        runs = slice(start, start + at_once)
        total = total + (left_runs[runs] @ right_runs[runs]).sum(axis=0)
    return total

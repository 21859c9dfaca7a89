"""Parameter objects: frozen, with read-only arrays and a map to unconstrained coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from scipy.special import expit, logit, softmax

from em_toolkit.statistics import Array, BoolArray, fields_of


class CollapseError(ValueError):
    """Parameters that no longer define a density, with the cause in words.

    The likelihood of many mixtures has no maximum: a component that shrinks onto one point raises
    it without limit. The engine ends such a fit with the last parameters that were good.
    """


@dataclass(frozen=True)
class Constraint:
    """A one-to-one map between a constrained array and one that may take any value.

    Parameters
    ----------
    to_free : callable
        From values to their free coordinates, an array of any shape.
    from_free : callable
        From free coordinates, a vector, and values for which they stand to new values.
    """

    to_free: Callable[[Array], Array]
    from_free: Callable[[Array, Array], Array]


def _elementwise(
    to_free: Callable[[Array], Array], from_free: Callable[[Array], Array]
) -> Constraint:
    """Return the constraint of an array whose elements are constrained one by one."""
    return Constraint(to_free, lambda free, values: np.reshape(from_free(free), values.shape))


def _others(values: Array) -> BoolArray:
    """Return a mask of all elements but the last one of each vector that is not zero.

    Log ratios refer to that one. Were it zero, all of them would be infinite.
    """
    n_elements = values.shape[-1]
    last = n_elements - 1 - np.argmax(values[..., ::-1] > 0.0, axis=-1)
    return np.arange(n_elements) != last[..., None]


def _log_ratios(values: Array) -> Array:
    others = _others(values)
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    return np.asarray((logs - logs[~others].reshape(*values.shape[:-1], 1))[others])


def _from_log_ratios(free: Array, values: Array) -> Array:
    ratios = np.zeros(values.shape)
    ratios[_others(values)] = free
    return np.asarray(softmax(ratios, axis=-1))


_REAL = _elementwise(lambda values: values, lambda free: free)
_POSITIVE = _elementwise(np.log, np.exp)
_PROBABILITY = _elementwise(logit, expit)
_SIMPLEX = Constraint(_log_ratios, _from_log_ratios)


def real() -> Any:
    """Declare a field of any real values (as is a field that declares nothing)."""
    return field(metadata={"constraint": _REAL})


def positive() -> Any:
    """Declare a field of positive values; its free coordinates are logarithms."""
    return field(metadata={"constraint": _POSITIVE})


def probability() -> Any:
    """Declare a field of values in (0, 1); its free coordinates are log odds."""
    return field(metadata={"constraint": _PROBABILITY})


def simplex() -> Any:
    """Declare an array of vectors, along its last axis, that are positive and sum to one.

    The free coordinates are log ratios to the last element of each vector that is not zero. An
    element that is zero has the coordinate −inf, and stays zero; the others are as free as they
    would be without it.
    """
    return field(metadata={"constraint": _SIMPLEX})


def size() -> Any:
    """Declare an integer that is a size, and no parameter."""
    return field(metadata={"size": True})


@dataclass(frozen=True, eq=False)
class Parameters:
    """Base of all parameter objects.

    A subclass is a frozen dataclass of floats, arrays, other `Parameters`, and tuples of these.
    Arrays are copied and made read-only, so that what is derived from them (Cholesky factors and
    the like) can be kept as a cached property; a copy or a pickle takes the fields alone. A field
    says how it is constrained, by `positive`, `probability` or `simplex`; that gives the parameters
    free coordinates, in which they may be perturbed and extrapolated.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from em_toolkit.parameters import Parameters, positive, simplex
    >>> @dataclass(frozen=True, eq=False)
    ... class Rates(Parameters):
    ...     weights: Array = simplex()
    ...     rate: float = positive()
    >>> params = Rates(np.array([0.5, 0.25, 0.25]), 1.0)
    >>> params.to_vector()
    array([0.69314718, 0.        , 0.        ])
    >>> params.from_vector(np.zeros(3)).weights.round(3)
    array([0.333, 0.333, 0.333])
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray | tuple):
                object.__setattr__(self, item.name, _frozen(value))

    def __getstate__(self) -> dict[str, Any]:
        return fields_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def to_vector(self) -> Array:
        """Return the free coordinates, of shape (n_coordinates,)."""
        return np.concatenate([_to_free(getattr(self, f.name), f.metadata) for f in fields(self)])

    def from_vector(self, vector: Array) -> Self:
        """Return parameters like these, of the given coordinates: the inverse of `to_vector`."""
        values: dict[str, Any] = {}
        for item in fields(self):
            template = getattr(self, item.name)
            size = _to_free(template, item.metadata).shape[0]
            values[item.name] = _from_free(vector[:size], template, item.metadata)
            vector = vector[size:]
        return type(self)(**values)

    def check(self) -> None:
        """Raise `CollapseError` with the cause if these parameters define no density."""

    def allclose(self, other: Self, *, rtol: float = 1e-9, atol: float = 1e-12) -> bool:
        """Return whether all fields agree, ``|a - b| <= atol + rtol |b|``.

        Parameters
        ----------
        other : Parameters
            Of the same type, with the fields b.
        rtol, atol : float
        """

        def close(mine: Any, theirs: Any) -> bool:
            if isinstance(mine, tuple):
                return len(mine) == len(theirs) and all(map(close, mine, theirs))
            if isinstance(mine, Parameters):
                return type(mine) is type(theirs) and mine.allclose(theirs, rtol=rtol, atol=atol)
            return np.shape(mine) == np.shape(theirs) and bool(
                np.allclose(mine, theirs, rtol=rtol, atol=atol)
            )

        return all(
            close(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)
        )


def _frozen(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_frozen(element) for element in value)
    if isinstance(value, np.ndarray):
        value = np.array(value, dtype=np.float64)
        value.setflags(write=False)
    return value


def _to_free(value: Any, metadata: Mapping[str, Any]) -> Array:
    if isinstance(value, Parameters):
        return value.to_vector()
    if isinstance(value, tuple):
        return np.concatenate([np.empty(0), *(_to_free(element, metadata) for element in value)])
    if metadata.get("size", False):
        return np.empty(0)
    constraint: Constraint = metadata.get("constraint", _REAL)
    return np.ravel(constraint.to_free(np.asarray(value, dtype=np.float64)))


def _from_free(free: Array, template: Any, metadata: Mapping[str, Any]) -> Any:
    if isinstance(template, Parameters):
        return template.from_vector(free)
    if isinstance(template, tuple):
        sizes = [_to_free(element, metadata).shape[0] for element in template]
        parts = np.split(free, np.cumsum(sizes)[:-1])
        return tuple(
            _from_free(part, element, metadata)
            for part, element in zip(parts, template, strict=True)
        )
    if metadata.get("size", False):
        return template
    constraint: Constraint = metadata.get("constraint", _REAL)
    values = constraint.from_free(free, np.asarray(template, dtype=np.float64))
    return values if np.ndim(template) else float(values)

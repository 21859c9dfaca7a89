"""Parameter objects: frozen, with read-only arrays and a map to unconstrained coordinates."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from em_toolkit.statistics import Array


class CollapseError(ValueError):
    """Parameters that no longer define a density, with the cause in words.

    The likelihood of many mixtures has no maximum: a component that shrinks onto one point raises
    it without limit. The engine ends such a fit with the last parameters that were good.
    """


@dataclass(frozen=True, eq=False)
class Parameters:
    """Base of all parameter objects.

    A subclass is a frozen dataclass of floats, arrays and other `Parameters`. Arrays are copied
    and made read-only, so that what is derived from them (Cholesky factors and the like) can be
    kept as a cached property.
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                frozen = np.array(value, dtype=np.float64)
                frozen.setflags(write=False)
                object.__setattr__(self, item.name, frozen)

    def to_vector(self) -> Array:
        """Coordinates without constraints, of shape (n_free_parameters,)."""
        raise TypeError(
            f"{type(self).__name__} has no unconstrained coordinates: define to_vector and "
            "from_vector to have them (the checks by perturbation need them)."
        )

    def from_vector(self, vector: Array) -> Self:
        """Parameters like these, of the given coordinates: the inverse of `to_vector`."""
        raise TypeError(
            f"{type(self).__name__} has no unconstrained coordinates: define to_vector and "
            "from_vector to have them (the checks by perturbation need them)."
        )

    def check(self) -> None:
        """Raise `CollapseError` with the cause if these parameters define no density."""

    def allclose(self, other: Self, *, rtol: float = 1e-9, atol: float = 1e-12) -> bool:
        """Whether all fields agree, ``|a - b| <= atol + rtol |b|``."""

        def close(mine: Any, theirs: Any) -> bool:
            if isinstance(mine, Parameters):
                return type(mine) is type(theirs) and mine.allclose(theirs, rtol=rtol, atol=atol)
            return np.shape(mine) == np.shape(theirs) and bool(
                np.allclose(mine, theirs, rtol=rtol, atol=atol)
            )

        return all(
            close(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)
        )

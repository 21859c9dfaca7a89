"""Checks of `weight_concentration` and `fixed`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.options import did_you_mean
from em_toolkit.statistics import Array, BoolArray


def check_concentration(concentration: Any, n_components: int) -> float | Array:
    """Return the checked concentration of a Dirichlet prior: one number, or one by component."""
    values = np.asarray(concentration, dtype=np.float64)
    if values.shape not in ((), (n_components,)) or not (np.isfinite(values) & (values >= 1)).all():
        raise ValueError(
            "weight_concentration: expected a number, or one for each of the "
            f"{n_components} components, of at least 1, got {concentration!r}. (Below 1 the "
            "density of the weights is infinite where one is zero, and has no maximum.)"
        )
    return values if values.ndim else float(values)


def check_support(weights: Array, mixing: MixingWeights, name: str) -> None:
    """Raise ValueError if a fit would start at weights that their prior rules out.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
        The weights to start with.
    mixing : MixingWeights
        Their prior.
    name : str
        The parameter or attribute that holds them.
    """
    zero = mixing.outside_support(weights)
    if zero.size:
        raise ValueError(
            f"{name}: expected positive weights with weight_concentration="
            f"{np.asarray(mixing.concentration).tolist()}, got 0 for component {zero[0]}. A "
            "concentration above 1 gives a weight of zero the density zero: start with a small "
            "positive weight, or leave the concentration of that component at 1."
        )


def check_fixed(
    fixed: Mapping[str, Any] | None, parts: Sequence[str], n_components: int
) -> dict[str, BoolArray | None]:
    """Return for each part a mask of the components that are held fixed, or None.

    Parameters
    ----------
    fixed : mapping or None
        From some of the parts to True (all components), False (none), indices of components, or a
        mask of them.
    parts : sequence of str
        The parts that may be fixed.
    n_components : int
    """
    given = {} if fixed is None else dict(fixed)
    unknown = [name for name in given if name not in parts]
    if unknown:
        raise ValueError(
            f"fixed: expected some of {list(parts)} as keys, got {unknown[0]!r}."
            f"{did_you_mean(unknown[0], parts)}"
        )
    return {name: _mask(name, given.get(name, False), n_components) for name in parts}


def _mask(name: str, components: Any, n_components: int) -> BoolArray | None:
    chosen = np.asarray(components)
    if chosen.size == 0:
        return None
    mask = np.zeros(n_components, dtype=np.bool_)
    if chosen.dtype == np.bool_ and chosen.shape in ((), (n_components,)):
        mask |= chosen
    elif _are_indices(chosen, n_components):
        mask[chosen] = True
    else:
        raise ValueError(
            f"fixed[{name!r}]: expected True, indices of components from 0 to "
            f"{n_components - 1}, or a mask of shape {(n_components,)}, got {components!r}."
        )
    return mask if mask.any() else None


def _are_indices(chosen: np.ndarray[Any, Any], n_components: int) -> bool:
    if not np.issubdtype(chosen.dtype, np.integer) or chosen.ndim > 1:
        return False
    return bool(((chosen >= 0) & (chosen < n_components)).all())

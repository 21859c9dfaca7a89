"""Remarks on a fit that `reg_covar`, the least variance in any direction, holds up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from em_toolkit.families import GaussianComponents
from em_toolkit.priors import Moments
from em_toolkit.statistics import Array, BoolArray

# A variance this near to the floor belongs to a feature without spread of its own; and the share
# of the largest loading from which a feature is named in a combination.
_NEAR, _NAMED = 1e-3, 0.1
_MOST_NAMES = 4


class VarianceFloorWarning(UserWarning):
    """A component has no more variance in some direction than `reg_covar` leaves it."""


def floor_remarks(
    components: GaussianComponents, floor: float, data: Moments, names: Sequence[str]
) -> list[str]:
    """Return a sentence for each kind of direction in which components lie on the floor.

    Parameters
    ----------
    components : GaussianComponents
    floor : float
        `reg_covar`, in squared units of the data.
    data : Moments
        Of the rows that were fitted.
    names : sequence of str
        The names of the features, in quotation marks or as they are to be read.

    Returns
    -------
    remarks : list of str
        Empty, if no component is on the floor.
    """
    covariances = components.covariances
    on_floor = covariances.on_floor(floor)
    if not on_floor.any():
        return []
    flat = covariances.variances <= floor * (1.0 + _NEAR)
    variances = np.diagonal(data.covariance)
    constant = data.constant_features
    small = ~constant & (variances < floor)
    held = f"held at reg_covar={floor:g}"
    remarks = []
    if (constant & flat.any(axis=0)).any():
        listed, is_many = _listed(names, constant & flat.any(axis=0))
        is_constant, them = ("are constant", "them") if is_many else ("is constant", "it")
        remarks.append(f"{listed} {is_constant}, and {held}: leave {them} out")
    if (small & flat.any(axis=0)).any():
        listed, _ = _listed(names, small & flat.any(axis=0))
        remarks.append(
            f"the data have a variance of {variances[small & flat.any(axis=0)].min():.2g} in "
            f"{listed}, less than reg_covar={floor:g}: scale the data, or lower reg_covar"
        )
    for where, group in _by_features(flat & ~constant & ~small, names).items():
        remarks.append(
            f"{_subject(group, len(flat))} no spread in {where}: {held}. Where rows repeat one "
            "value, no density has a maximum: take prior='conjugate', or fewer components; where "
            "they are merely close, scale the data or lower reg_covar"
        )
    tilted = [
        _tilted(axes[:, low], own, variances)
        for axes, low, own in zip(covariances.axes, on_floor, flat, strict=True)
    ]
    for where, group in _by_features(np.array(tilted), names).items():
        remarks.append(
            f"{_subject(group, len(flat))} no spread along a combination of {where}: {held}. Leave "
            "out one of these features, which are linearly dependent there"
        )
    return remarks


def _by_features(chosen: BoolArray, names: Sequence[str]) -> dict[str, list[int]]:
    """Return the components by the features that are chosen of them, in words."""
    groups: dict[str, list[int]] = {}
    for k in np.flatnonzero(chosen.any(axis=1)).tolist():
        groups.setdefault(_listed(names, chosen[k])[0], []).append(k)
    return groups


def _subject(group: list[int], n_components: int) -> str:
    if len(group) == n_components > 1:
        return "all components have"
    which = ", ".join(map(str, group[:_MOST_NAMES])) + (", ..." if len(group) > _MOST_NAMES else "")
    return f"component {which} has" if len(group) == 1 else f"components {which} have"


def _tilted(axes: Array, flat: BoolArray, variances: Array) -> BoolArray:
    """Return the features of a direction on the floor that is no single feature's."""
    if axes.shape[1] <= flat.sum():
        return np.zeros(flat.shape, dtype=bool)
    loadings = np.where(flat, 0.0, np.linalg.norm(axes, axis=1) * np.sqrt(variances))
    return np.asarray(loadings > _NAMED * loadings.max())


def _listed(names: Sequence[str], chosen: BoolArray) -> tuple[str, bool]:
    """Return the names of the chosen features in words, and whether they are several."""
    found = [names[j] for j in np.flatnonzero(chosen).tolist()]
    if len(found) == 1:
        return f"feature {found[0]}", False
    if len(found) > _MOST_NAMES:
        found = [*found[: _MOST_NAMES - 1], f"{len(found) - _MOST_NAMES + 1} more"]
    return f"features {', '.join(found[:-1])} and {found[-1]}", True

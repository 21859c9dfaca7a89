r"""The directions in which the covariances of each structure may move.

The letters of mclust's names say whether volume, shape and orientation are equal (one for all),
varying (one for each component) or none. Around given covariances, with F Fᵀ = Σ,

.. math:: \Sigma_k(c) = F_k \, e^{W} e^{T} e^{W^\top} F_k^\top, \qquad
          T = \sum_j c_j T_j, \quad W = \sum_j c_j W_j

with symmetric T_j, of which the volume has the identity, the shape the diagonal matrices of trace
zero, and an orientation that is shared as the shape is (or varies with it) all the others: then
Σ_k is any matrix of its volume. An orientation that goes its own way turns the axes. With
Σ = D V Dᵀ and F = D V^{1/2} a skew-symmetric S turns them to D e^S, which is
W = V^{-1/2} S V^{1/2}. Volumes are determinants, for tr W = 0: |Σ_k(c)| = |Σ_k| exp(tr T).

Inverse covariances, which are natural parameters, are Ω = F⁻ᵀ (I − B + C) F⁻¹ with

.. math:: B = T + W + W^\top, \qquad
          C = \tfrac12 T^2 + \tfrac12 (W^2 + W^{\top 2}) + W^\top W + T W + W^\top T

to first and second order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import helmert, null_space

from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.structures import MCLUST_STRUCTURES
from em_toolkit.statistics import Array, BoolArray, IntArray

_NAMES = {structure: name for name, structure in MCLUST_STRUCTURES.items()}
# Of variances along two axes, relative: nearer ones are equal to rounding.
_EQUAL = 1e-7


@dataclass(frozen=True, eq=False)
class Deformation:
    """The directions in which the covariance of one component may move.

    Parameters
    ----------
    columns : ndarray of shape (n_columns,)
        Its coordinates, of those of all the covariances.
    frame, inverse : ndarray of shape (n_features, n_features)
        F, and F⁻¹.
    stretches, turns : ndarray of shape (n_columns, n_features, n_features)
        T_j and W_j.
    """

    columns: IntArray
    frame: Array
    inverse: Array
    stretches: Array
    turns: Array

    @property
    def directions(self) -> Array:
        """B_j, symmetric: Σ moves by F B_j Fᵀ."""
        return self.stretches + self._turned

    @property
    def _turned(self) -> Array:
        return self.turns + self.turns.transpose(0, 2, 1)

    def curvature(self, gradient: Array) -> Array:
        """2 tr G C, as a bilinear form of shape (n_columns, n_columns).

        Parameters
        ----------
        gradient : ndarray of shape (n_features, n_features)
            G, symmetric: the objective changes by tr G B.
        """

        def traces(left: Array, right: Array) -> Array:
            # tr G L_i R_j.
            n = len(left)
            return (gradient @ left).reshape(n, -1) @ right.transpose(0, 2, 1).reshape(n, -1).T

        form = traces(self.stretches, self.stretches + 4.0 * self.turns)
        form = form + 2.0 * traces(self._turned, self.turns)
        return np.asarray(0.5 * (form + form.T))


def deformations(covariances: Covariances, on_floor: BoolArray) -> list[Deformation]:
    """Return the deformations of each component.

    Where a variance is on the floor, axes are turned also in the structures of any matrices:
    there the variances along them are the coordinates that the floor holds.

    Parameters
    ----------
    covariances : Covariances
    on_floor : ndarray of bool of shape (n_components, n_features)
        Which variances along the axes are on the floor.

    Raises
    ------
    ValueError
        For a structure that has no name, and where axes are turned whose variances are equal.
    """
    name = _NAMES.get(type(covariances))
    if name is None:
        raise ValueError(
            "Standard errors are known of the covariance types of scikit-learn and mclust, got "
            f"{type(covariances).__name__}. Take the bootstrap: fit again to rows drawn with "
            "replacement."
        )
    shape = covariances.n_components, covariances.n_features
    parts, found = _parts(name, *shape, turned=bool(on_floor.any())), []
    for k, (axes, variances) in enumerate(
        zip(covariances.axes, covariances.along_axes, strict=True)
    ):
        frame, inverse = axes * np.sqrt(variances), (axes / np.sqrt(variances)).T
        start, columns = 0, []
        for part in parts:
            columns.append(start + (k % part.n_copies) * part.size + np.arange(part.size))
            start += part.n_copies * part.size
        roots = np.linalg.norm(frame, axis=0)
        found.append(
            Deformation(
                np.concatenate(columns),
                frame,
                inverse,
                np.concatenate([part.stretches for part in parts]),
                np.concatenate([part.skew for part in parts]) * roots / roots[:, None],
            )
        )
    _check_axes(name, found, on_floor)
    return found


def free_directions(found: list[Deformation], on_floor: BoolArray, n_columns: int) -> Array:
    """Return a basis of the directions that leave all variances on the floor as they are.

    Parameters
    ----------
    found : list of Deformation
    on_floor : ndarray of bool of shape (n_components, n_features)
    n_columns : int
        The number of coordinates of all the covariances.

    Returns
    -------
    basis : ndarray of shape (n_columns, n_free)
        The identity, if nothing is on the floor.
    """
    if not on_floor.any():
        return np.eye(n_columns)
    held, moved = [], np.zeros(n_columns, dtype=bool)
    for one, low in zip(found, on_floor, strict=True):
        # How the logarithms of the variances along the axes follow the coordinates.
        logs = np.zeros((low.size, n_columns))
        logs[:, one.columns] = np.diagonal(one.stretches, axis1=1, axis2=2).T
        held.append(logs[low])
        # Turns within the axes on the floor move no covariance.
        sizes = np.abs(one.directions)
        moved[one.columns] |= sizes.max(axis=(1, 2)) > _EQUAL
    still = np.eye(n_columns)[~moved]
    return np.asarray(null_space(np.vstack([*held, still])))


class _Part(NamedTuple):
    """The coordinates of volume, shape or orientation.

    Parameters
    ----------
    n_copies : int
        How often they are there: once, or once for each component.
    stretches, skew : ndarray of shape (n_columns, n_features, n_features)
        T_j and S_j.
    """

    n_copies: int
    stretches: Array
    skew: Array

    @property
    def size(self) -> int:
        return len(self.stretches)


def _parts(name: str, n_components: int, n_features: int, turned: bool) -> list[_Part]:
    volume, shape, orientation = ({"E": 1, "V": n_components, "I": 0}[letter] for letter in name)
    diagonals = np.sqrt(2.0) * helmert(n_features, full=True)[:, None, :] * np.eye(n_features)
    none = np.zeros_like(diagonals)
    parts = [_Part(volume, diagonals[:1], none[:1]), _Part(shape, diagonals[1:], none[1:])]
    if orientation > 0:
        rows, columns = np.triu_indices(n_features, 1)
        above = np.zeros((rows.size, n_features, n_features))
        above[np.arange(rows.size), rows, columns] = 1.0
        below, none = above.transpose(0, 2, 1), np.zeros_like(above)
        if orientation == shape and not turned:
            parts.append(_Part(orientation, above + below, none))
        else:
            parts.append(_Part(orientation, none, above - below))
    return [part for part in parts if part.n_copies > 0]


def _check_axes(name: str, found: list[Deformation], on_floor: BoolArray) -> None:
    """Raise an error for axes whose turning moves no covariance, but for those on the floor."""
    sizes = np.zeros(1 + max(int(one.columns.max()) for one in found))
    for one, low in zip(found, on_floor, strict=True):
        largest = np.abs(one.directions).max(axis=(1, 2))
        largest[(one.turns[:, np.outer(low, low)] != 0.0).any(axis=1)] = np.inf
        sizes[one.columns] = np.maximum(sizes[one.columns], largest)
    for k, one in enumerate(found):
        still = np.flatnonzero(~(sizes[one.columns] > _EQUAL))
        if still.size:
            i, j = np.argwhere(np.triu(one.turns[still[0]]))[0]
            raise ValueError(
                f"The data do not determine the directions of axes {i} and {j} of component {k}: "
                f"the variances along them are equal, and covariance_type={name!r} turns them. "
                "Take one that does not, such as 'full', 'tied', 'VEE', 'EVV' or one that ends "
                "in 'I'."
            )

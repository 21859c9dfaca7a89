"""The box in which noise lies, and how to find it about the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack
from sklearn.utils import gen_batches

from em_toolkit.covariances.rules import RESOLUTION
from em_toolkit.statistics import EPS, Array, RandomSource

# Rows to read at a time.
_BLOCK_SIZE = 4096
# The digits that the directions of axes must have: else they are chance, and no axes of a box.
_DIRECTION_ERROR = 1e-7


@dataclass(frozen=True, eq=False)
class Box:
    """A box of d dimensions.

    Parameters
    ----------
    center : ndarray of shape (n_features,)
    axes : ndarray of shape (n_features, n_features)
        The directions of its edges, a row each, of length one.
    lengths : ndarray of shape (n_features,)
        The lengths of its edges, in the units of the data.
    sides : ndarray of shape (n_features,)
        The edges of a box of the same volume along the features: what a row is measured by of
        which entries are missing.
    """

    center: Array
    axes: Array
    lengths: Array
    sides: Array

    @property
    def log_volume(self) -> float:
        """log V, V in units of the data to the power d."""
        return float(np.log(self.lengths).sum())

    @property
    def volume(self) -> float:
        """V, which may exceed the floating-point numbers where `log_volume` does not."""
        with np.errstate(over="ignore", under="ignore"):
            return float(np.exp(self.log_volume))

    def draw(self, n_rows: int, rng: RandomSource) -> Array:
        """Return rows drawn uniformly, of shape (n_rows, n_features).

        Parameters
        ----------
        n_rows : int
        rng : RandomState or Generator
        """
        places = rng.uniform(-0.5, 0.5, (n_rows, self.center.shape[0]))
        return np.asarray(self.center + (places * self.lengths) @ self.axes)


def box_about(
    X: Any,
    weights: Array | None = None,
    volume: float | None = None,
    *,
    names: Sequence[Any] | None = None,
) -> Box:
    """Return the smaller of two boxes about the rows: along features, or principal directions.

    That is the hypervolume that R's mclust takes for noise. Principal directions are those of the
    weighted covariance. How far the rows reach does not depend on their weights, nor whether they
    lie in a plane. Where entries are missing, or rounding hides the directions (two of the
    variances along them are equal, or one is carried by rows of next to no weight alone), the box
    lies along the features.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        NaN where an entry is missing.
    weights : ndarray of shape (n_rows,), optional
        Positive; one each by default.
    volume : float, optional
        The volume to give to the box along the features, by a change of scale.
    names : sequence, optional
        The names of the features.

    Raises
    ------
    ValueError
        For rows that lie in a plane, about which no box has a volume.
    """
    d = X.shape[1]
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    has_missing = False
    for rows in _blocks(X):
        low = np.fmin(low, np.fmin.reduce(rows, axis=0))
        high = np.fmax(high, np.fmax.reduce(rows, axis=0))
        has_missing = has_missing or bool(np.isnan(rows).any())
    sides, center = high - low, low + 0.5 * (high - low)
    spacing = RESOLUTION * EPS * np.maximum(np.abs(low), np.abs(high))
    constant = np.flatnonzero(~(sides > spacing)).tolist()
    if constant:
        labels = [repr(j if names is None else names[j]) for j in constant[:10]]
        raise ValueError(
            "noise: expected rows that differ in each feature, got a box about them of volume 0: "
            f"all values of feature {', '.join(labels)} are equal. Leave such features out."
        )
    if volume is not None:
        sides = sides * np.exp((np.log(volume) - np.log(sides).sum()) / d)
    along_features = Box(center, np.eye(d), sides, sides)
    if volume is not None or has_missing:
        return along_features
    # In units of the sides a direction in which the rows do not vary is one in which features are
    # combinations of each other, whatever their units.
    rows_alone = _Spread(X, None, center, sides)
    reach = rows_alone.reach(rows_alone.principal_directions().T)
    if not (np.ptp(reach, axis=0) > d * (RESOLUTION * EPS + (spacing / sides).max())).all():
        raise ValueError(
            "noise: expected rows that fill a box, got a box about them of volume 0 to rounding: "
            "features are linear combinations of others. Leave such features out."
        )
    spread = rows_alone if weights is None else _Spread(X, weights, center, sides)
    turned = spread.principal_box()
    if turned is None:
        return along_features
    shrinkage = float(np.log(turned.lengths).sum() - np.log(sides).sum())
    if not shrinkage < 0.0:
        return along_features
    return Box(turned.center, turned.axes, turned.lengths, sides * np.exp(shrinkage / d))


class _Spread:
    """Rows in units of the sides of their box, and the triangular factor of their covariance.

    The factor R is that of rows x̃ about their mean, by orthogonal triangularization: products
    would take half of the digits of what is small.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,) or None
    center, sides : ndarray of shape (n_features,)
        Of the box along the features.
    """

    def __init__(self, X: Any, weights: Array | None, center: Array, sides: Array) -> None:
        self._X, self._center, self._sides = X, center, sides
        roots = np.ones(len(X)) if weights is None else np.sqrt(weights / weights.max())
        moment, total = np.zeros(len(sides)), 0.0
        for rows, part in zip(self._standardized(), _blocks(roots), strict=True):
            moment += np.square(part) @ rows
            total += float(np.square(part).sum())
        self._mean = moment / total
        self.factor = np.zeros((0, len(sides)))
        for rows, part in zip(self._standardized(), _blocks(roots), strict=True):
            weighted = part[:, None] * (rows - self._mean)
            self.factor = np.asarray(np.linalg.qr(np.vstack([self.factor, weighted]), mode="r"))
        if len(self.factor) < len(sides):
            missing = len(sides) - len(self.factor)
            self.factor = np.vstack([self.factor, np.zeros((missing, len(sides)))])

    def _standardized(self) -> Iterator[Array]:
        for rows in _blocks(self._X):
            yield (rows - self._center) / self._sides

    def principal_directions(self) -> Array:
        """Return the principal directions of the rows in units of the sides, a row each."""
        return np.asarray(np.linalg.svd(self.factor)[2])

    def reach(self, matrix: Array) -> Array:
        """Return the least and the greatest entries of (x̃ − mean) M, of shape (2, n_columns)."""
        low, high = np.full(matrix.shape[1], np.inf), np.full(matrix.shape[1], -np.inf)
        for rows in self._standardized():
            along = (rows - self._mean) @ matrix
            low, high = np.minimum(low, along.min(axis=0)), np.maximum(high, along.max(axis=0))
        return np.stack([low, high])

    def principal_box(self) -> Box | None:
        """Return the box in principal directions; None where rounding hides these.

        With the units S of the features, R S = U Σ Vᵀ and rows x = x̃ S go along V by

            (x − mean) V = (x̃ − mean) R⁻¹ U Σ.

        Features of unlike units make V a matrix of large and small entries, in whose products with
        rows digits cancel. R⁻¹ U is one of entries of a size, and Jacobi's method (Drmač & Veselić
        2008) gives U and Σ with as many digits as R has, whatever S.
        """
        largest = self._sides.max()
        units = self._sides / largest
        stretches = np.linalg.svd(self.factor, compute_uv=False)
        if not stretches[-1] > EPS * stretches[0]:
            return None
        left, directions, lengths = _jacobi_svd(self.factor * units)
        variances = np.square(lengths)
        gap = np.min((variances[:-1] - variances[1:]) / variances[:-1], initial=1.0)
        if not EPS * stretches[0] / stretches[-1] < _DIRECTION_ERROR * gap:
            return None
        low, high = self.reach(np.asarray(np.linalg.solve(self.factor, left))) * lengths
        middle = directions @ (0.5 * (low + high))
        center = self._center + self._sides * self._mean + largest * middle
        return Box(center, directions.T, largest * (high - low), self._sides)


def _jacobi_svd(matrix: Array) -> tuple[Array, Array, Array]:
    """U, V and the diagonal of Σ, largest first."""
    values, left, right, work, _, failed = lapack.dgejsv(matrix, joba=2)
    if failed:
        raise np.linalg.LinAlgError("the singular values did not converge")
    return np.asarray(left), np.asarray(right), np.asarray(values * (work[0] / work[1]))


def _blocks(X: Any) -> Iterator[Array]:
    """Yield the rows, a few at a time, in float64."""
    for rows in gen_batches(len(X), _BLOCK_SIZE):
        yield np.asarray(X[rows], dtype=np.float64)

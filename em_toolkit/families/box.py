"""The box in which noise lies, and how to find it about the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from em_toolkit.families.covariance import RESOLUTION
from em_toolkit.statistics import EPS, Array, RandomSource, sum_of_products

# Rows to read at a time.
_BLOCK_SIZE = 4096


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
        """Rows drawn uniformly, of shape (n_rows, n_features)."""
        places = rng.uniform(-0.5, 0.5, (n_rows, self.center.shape[0]))
        return np.asarray(self.center + (places * self.lengths) @ self.axes)


def box_about(
    X: Any,
    weights: Array | None = None,
    volume: float | None = None,
    *,
    names: Sequence[Any] | None = None,
) -> Box:
    """The smaller of two boxes about the rows: along the features, and along principal directions.

    That is the hypervolume that R's mclust takes for noise. Principal directions are those of the
    covariance; where entries are missing, or rounding hides how far the rows reach in some
    direction, the box lies along the features.

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
    blocks = _Blocks(X, weights)
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    for rows, _ in blocks:
        low = np.fmin(low, np.fmin.reduce(rows, axis=0))
        high = np.fmax(high, np.fmax.reduce(rows, axis=0))
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
    if volume is not None or blocks.has_missing:
        return along_features
    # In units of the sides a direction in which the rows do not vary is one in which features are
    # combinations of each other, whatever their units.
    lengths = _principal_box(blocks, center, sides)[2]
    if not (lengths > d * (RESOLUTION * EPS + (spacing / sides).max())).all():
        raise ValueError(
            "noise: expected rows that fill a box, got a box about them of volume 0 to rounding: "
            "features are linear combinations of others. Leave such features out."
        )
    largest = sides.max()
    middle, axes, lengths = _principal_box(blocks, center, np.full(d, largest))
    resolved = (lengths > d * (RESOLUTION * EPS + spacing.max() / largest)).all()
    shrinkage = np.log(lengths / (sides / largest)).sum() if resolved else np.inf
    if not shrinkage < 0.0:
        return along_features
    return Box(center + largest * middle, axes, largest * lengths, sides * np.exp(shrinkage / d))


class _Blocks:
    """Rows and their weights, a block at a time, in float64."""

    def __init__(self, X: Any, weights: Array | None) -> None:
        self.X = X
        self.weights = weights

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(self.X), _BLOCK_SIZE):
            block = slice(start, start + _BLOCK_SIZE)
            rows = np.asarray(self.X[block], dtype=np.float64)
            yield rows, np.ones(len(rows)) if self.weights is None else self.weights[block]

    @property
    def has_missing(self) -> bool:
        return any(np.isnan(rows).any() for rows, _ in self)


def _principal_box(blocks: _Blocks, origin: Array, units: Array) -> tuple[Array, Array, Array]:
    """The middle, from the origin, the axes and the lengths of the box in principal directions.

    In the given units of the features.
    """
    d = len(units)
    total, first, second = 0.0, np.zeros(d), np.zeros((d, d))
    for rows, weights in blocks:
        deviations = (rows - origin) / units
        total += weights.sum()
        first += weights @ deviations
        second += sum_of_products(weights[:, None] * deviations, deviations)
    scatter = second - np.outer(first, first) / total
    axes = np.linalg.eigh(0.5 * (scatter + scatter.T))[1].T
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    for rows, _ in blocks:
        along = ((rows - origin) / units) @ axes.T
        low, high = np.minimum(low, along.min(axis=0)), np.maximum(high, along.max(axis=0))
    return 0.5 * (low + high) @ axes, axes, high - low

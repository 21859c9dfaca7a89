"""Parameter and statistics objects: free coordinates, and what a copy takes along."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from em_toolkit.families import FullCovariances, GaussianStatistics
from em_toolkit.parameters import Parameters, simplex
from em_toolkit.statistics import Array, Statistics

Data = npt.NDArray[Any]

COPIES = pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))],
    ids=["copy", "deepcopy", "pickle"],
)


@dataclass(frozen=True, eq=False)
class Weights(Parameters):
    weights: Array = simplex()


# -- simplex --------------------------------------------------------------------------------------

VECTORS = [
    [0.2, 0.3, 0.5],
    [0.5, 0.5, 0.0],
    [0.5, 0.0, 0.5],
    [0.0, 1.0, 0.0],
    [0.0, 0.0, 1.0],
    [1e-300, 1.0, 0.0],
]


@pytest.mark.parametrize("weights", VECTORS)
def test_coordinates_of_weights_and_back(weights: list[float]) -> None:
    params = Weights(np.array(weights))
    vector = params.to_vector()
    assert vector.shape == (2,)
    # One infinite coordinate for each zero, and no more.
    np.testing.assert_array_equal(np.isneginf(vector).sum(), weights.count(0.0))
    assert not np.isnan(vector).any()
    np.testing.assert_allclose(params.from_vector(vector).weights, weights, rtol=1e-12)


@pytest.mark.parametrize("weights", VECTORS)
def test_zero_stays_zero_and_the_others_move_as_if_it_were_not_there(weights: list[float]) -> None:
    array = np.array(weights)
    there = array > 0.0
    params, alone = Weights(array), Weights(array[there])
    vector = params.to_vector()
    finite = np.isfinite(vector)
    np.testing.assert_array_equal(vector[finite], alone.to_vector())
    step = np.array([0.7, -0.4])
    vector[finite] += step[: finite.sum()]
    moved = params.from_vector(vector).weights
    np.testing.assert_array_equal(moved[~there], 0.0)
    expected = alone.from_vector(alone.to_vector() + step[: finite.sum()]).weights
    np.testing.assert_allclose(moved[there], expected, rtol=1e-15)


def test_simplices_lie_along_the_last_axis() -> None:
    """A transition matrix, say: each row has free coordinates of its own."""
    rows = np.array([[0.2, 0.3, 0.5], [0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [0.1, 0.0, 0.9]])
    params = Weights(rows)
    each = np.concatenate([Weights(row).to_vector() for row in rows])
    np.testing.assert_array_equal(params.to_vector(), each)
    vector = each + np.where(np.isfinite(each), np.linspace(-1.0, 1.0, each.size), 0.0)
    moved = params.from_vector(vector).weights
    np.testing.assert_allclose(moved.sum(axis=1), 1.0, rtol=1e-15)
    for row, part, new in zip(rows, np.split(vector, 4), moved, strict=True):
        np.testing.assert_allclose(new, Weights(row).from_vector(part).weights, rtol=1e-15)
    cube = Weights(np.stack([rows, rows[::-1]]))
    np.testing.assert_allclose(cube.from_vector(cube.to_vector()).weights, cube.weights, rtol=1e-15)


# -- what is kept of computations -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sized(Parameters):
    values: Array

    @cached_property
    def doubled(self) -> Array:
        return 2.0 * self.values


@dataclass(frozen=True, eq=False)
class Counted(Statistics):
    values: Array

    @cached_property
    def doubled(self) -> Array:
        return 2.0 * self.values


@COPIES
@pytest.mark.parametrize("kind", [Sized, Counted])
def test_caches_stay_behind(copied: Callable[[Any], Any], kind: Any) -> None:
    record = kind(np.arange(1000.0))
    size = len(pickle.dumps(record))
    np.testing.assert_array_equal(record.doubled, 2.0 * record.values)
    assert len(pickle.dumps(record)) == size
    other = copied(record)
    assert set(vars(other)) == {"values"}
    np.testing.assert_array_equal(other.values, record.values)
    np.testing.assert_array_equal(other.doubled, record.doubled)


@COPIES
def test_scatter_that_was_asked_for_stays_behind(copied: Callable[[Any], Any]) -> None:
    stats = GaussianStatistics(
        count=np.ones(2),
        first_moment=np.ones((2, 3)),
        second_moment=np.stack([np.eye(3)] * 2),
        origin=np.zeros((2, 3)),
    )
    stats.scatter_about(np.ones((2, 3)), FullCovariances)
    assert set(vars(copied(stats))) == {"count", "first_moment", "second_moment", "origin"}


@COPIES
def test_factor_that_is_known_goes_along(copied: Callable[[Any], Any]) -> None:
    """It has digits that the product has lost: it is no cache."""
    factor = np.array([[[1.0, 0.3, 0.7], [0.0, 3e5, 0.1], [0.0, 0.0, 7e-6]]])
    covariances = FullCovariances.from_factors(factor)
    other = copied(covariances)
    np.testing.assert_array_equal(other.cholesky, covariances.cholesky)
    again = np.linalg.cholesky(covariances.values)
    assert not np.array_equal(again, covariances.cholesky)

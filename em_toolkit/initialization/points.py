"""Starts that chance alone finds: responsibilities drawn at random, and components on rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from em_toolkit.data import Block, Rows
from em_toolkit.initialization.rows import Assigned, Data, Labelling
from em_toolkit.initialization.sampling import plusplus_rows
from em_toolkit.initialization.scaling import standardizing
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array, IntArray


def random(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """Responsibilities drawn uniformly and normalized."""
    beginning = random_state.get_state(legacy=False)

    def drawn(block: Block, rows: slice) -> Array:
        if rows.start == 0:
            # Each reading draws the same numbers, and the last leaves the source behind them, as
            # if all had been drawn at once.
            random_state.set_state(beginning)
        shape = (len(block.X), n_components)
        responsibilities = random_state.uniform(size=shape).astype(X.dtype)
        responsibilities /= responsibilities.sum(axis=1)[:, np.newaxis]
        return np.asarray(responsibilities, dtype=np.float64)

    return mixture.from_responsibilities(Assigned(Rows(X, sample_weight), drawn))


def random_from_data(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """Components on rows drawn without replacement, in proportion to their weights."""
    chances = None if sample_weight is None else sample_weight / sample_weight.sum()
    points = random_state.choice(X.shape[0], size=n_components, replace=False, p=chances)
    return _from_points(mixture, X, sample_weight, points)


def k_means_plusplus(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """Components on rows chosen by k-means++ (Arthur & Vassilvitskii 2007)."""
    points = plusplus_rows(Rows(X, sample_weight), n_components, random_state)
    return _from_points(mixture, X, sample_weight, points)


def _from_points(
    mixture: Mixture[Any], X: Data, sample_weight: Array | None, points: IntArray
) -> MixtureParameters[Any]:
    centers = np.asarray(X[points], dtype=np.float64)
    return mixture.from_points(centers, Rows(X, sample_weight))


def near_random_rows(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> Labelling:
    """Clusters around rows drawn at random: each row is with the nearest, in standardized columns.

    Unlike components on single rows, such clusters have a spread.
    """
    scaling = standardizing(X, sample_weight)
    chances = None if sample_weight is None else sample_weight / sample_weight.sum()
    drawn = random_state.choice(X.shape[0], size=n_components, replace=False, p=chances)
    centers = scaling(X[drawn])

    def nearest(block: Array, _: slice) -> IntArray:
        return np.asarray(cdist(scaling(block), centers, "sqeuclidean").argmin(axis=1))

    return nearest

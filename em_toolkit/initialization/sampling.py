"""Samples of the rows, and the rows chosen by k-means++."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from em_toolkit.data import Block, Rows
from em_toolkit.statistics import Array, IntArray


def stratified_rows(
    n_rows: int, sample_weight: Array | None, size: int, random_state: np.random.RandomState
) -> IntArray:
    """Return rows, ascending, one from each of `size` stretches of equal weight.

    Each row is drawn in proportion to its weight, as in independent draws, but the parts of data
    that are in some order have their share.

    Parameters
    ----------
    n_rows : int
        Of the data.
    sample_weight : ndarray of shape (n_rows,) or None
        By default each row has the weight 1.
    size : int
        How many rows are drawn.
    random_state : RandomState

    Returns
    -------
    rows : ndarray of int of shape (size,)
    """
    places = (np.arange(size) + random_state.uniform(size=size)) / size
    if sample_weight is None:
        rows = (places * n_rows).astype(np.int64)
    else:
        cumulative = np.cumsum(sample_weight)
        rows = np.searchsorted(cumulative, places * cumulative[-1], side="right")
    return np.minimum(rows, n_rows - 1)


def plusplus_rows(data: Rows, n_components: int, random_state: np.random.RandomState) -> IntArray:
    """Return rows chosen by greedy k-means++, each the best of a few candidates.

    The algorithm and the random numbers are those of scikit-learn's ``kmeans_plusplus``, which
    keeps the distances of all rows from all candidates. Here the squared distance of each row
    from the nearest chosen one is all that is kept, and it does not cancel where the data are far
    from zero.

    Parameters
    ----------
    data : Rows
    n_components : int
        How many rows are chosen.
    random_state : RandomState

    Returns
    -------
    rows : ndarray of int of shape (n_components,)
    """
    n_rows = data.X.shape[0]
    n_candidates = 2 + int(np.log(n_components))
    closest = np.full(n_rows, np.inf)
    chosen = [random_state.choice(n_rows, p=data.weights / data.weights.sum())]
    while True:
        masses = []
        for rows, block in data.with_place():
            (distances,) = _squared_distances(data, chosen[-1:], block)
            np.minimum(closest[rows], distances, out=closest[rows])
            masses.append(np.sum(block.weights * closest[rows]))
        if len(chosen) == n_components:
            return np.array(chosen, dtype=np.int64)
        cumulative = np.cumsum(masses)
        places = random_state.uniform(size=n_candidates) * cumulative[-1]
        candidates = [_row_at(place, data, closest, cumulative) for place in places]
        potentials = np.zeros(n_candidates)
        for rows, block in data.with_place():
            distances = _squared_distances(data, candidates, block)
            np.minimum(distances, closest[rows], out=distances)
            potentials += np.sum(block.weights * distances, axis=1)
        chosen.append(candidates[int(np.argmin(potentials))])


def _squared_distances(data: Rows, rows: list[int], block: Block) -> Array:
    points = np.asarray(data.X[rows], dtype=np.float64)
    return np.asarray(cdist(points, block.X, "sqeuclidean"))


def _row_at(place: float, data: Rows, closest: Array, cumulative: Array) -> int:
    """The first row up to which the sum of weights times squared distances reaches `place`."""
    block = min(int(np.searchsorted(cumulative, place)), cumulative.shape[0] - 1)
    start = block * data.block_size
    rows = slice(start, start + data.block_size)
    within = np.cumsum(data.weights[rows] * closest[rows])
    before = cumulative[block - 1] if block else 0.0
    return start + min(int(np.searchsorted(within, place - before)), within.shape[0] - 1)

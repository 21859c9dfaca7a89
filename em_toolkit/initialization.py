"""Where EM starts.

Each function takes a mixture, the data, their weights, the number of components and a random
state, and returns parameters. They draw random numbers as scikit-learn's ``GaussianMixture``
does, so that one seed gives one start in both. They read the data in blocks of rows; only
scikit-learn's k-means, behind "kmeans", works on a copy of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from em_toolkit.engine.expectation import Rows
from em_toolkit.model import Block
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array, IntArray

Data = npt.NDArray[Any]
Initializer = Callable[
    [Mixture[Any], Data, Array | None, int, np.random.RandomState], MixtureParameters[Any]
]


class _Assigned:
    """Blocks of rows with their responsibilities, which are made anew at each reading.

    Parameters
    ----------
    data : Rows
    assign : callable
        From a block, and the slice of the rows that are in it, to their responsibilities.
    """

    def __init__(self, data: Rows, assign: Callable[[Block, slice], Array]) -> None:
        self.data = data
        self.assign = assign

    def __iter__(self) -> Iterator[tuple[Block, Array]]:
        for block, rows in _blocks_with_place(self.data):
            yield block, self.assign(block, rows)


def _blocks_with_place(data: Rows) -> Iterator[tuple[Block, slice]]:
    start = 0
    for block in data:
        rows = slice(start, start + len(block.X))
        yield block, rows
        start = rows.stop


def from_responsibilities(
    mixture: Mixture[Any], X: Data, sample_weight: Array | None, responsibilities: Data
) -> MixtureParameters[Any]:
    """The M-step on given responsibilities of shape (n_rows, n_components)."""

    def given(_: Block, rows: slice) -> Array:
        return np.asarray(responsibilities[rows], dtype=np.float64)

    return mixture.from_responsibilities(_Assigned(Rows(X, sample_weight), given))


def kmeans(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """The clusters of one k-means run."""
    clusters = KMeans(n_clusters=n_components, n_init=1, random_state=random_state)
    labels = clusters.fit(X, sample_weight=sample_weight).labels_
    one_hot = np.eye(n_components)

    def of_clusters(_: Block, rows: slice) -> Array:
        return np.asarray(one_hot[labels[rows]])

    return mixture.from_responsibilities(_Assigned(Rows(X, sample_weight), of_clusters))


# Rows in the sample of `kmeans_sample`, for each component and at least.
_SAMPLE_BY_COMPONENT = 500
_SMALLEST_SAMPLE = 20_000


def kmeans_sample(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """The clusters of one k-means run on a sample of the rows, each row in the nearest.

    The sample is stratified along the rows and in proportion to their weights. Its size depends on
    the number of components alone; data of no more rows are their own sample.
    """
    size = max(_SMALLEST_SAMPLE, _SAMPLE_BY_COMPONENT * n_components)
    if X.shape[0] <= size:
        return kmeans(mixture, X, sample_weight, n_components, random_state)
    sample = X[_stratified_rows(X.shape[0], sample_weight, size, random_state)]
    clusters = KMeans(n_clusters=n_components, n_init=1, random_state=random_state).fit(sample)
    centers = np.asarray(clusters.cluster_centers_, dtype=np.float64)
    middle = centers.mean(axis=0)
    centers -= middle
    half_squares = 0.5 * np.square(centers).sum(axis=1)
    one_hot = np.eye(n_components)

    def nearest(block: Block, _: slice) -> Array:
        closeness = (block.X - middle) @ centers.T - half_squares
        return np.asarray(one_hot[closeness.argmax(axis=1)])

    return mixture.from_responsibilities(_Assigned(Rows(X, sample_weight), nearest))


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

    return mixture.from_responsibilities(_Assigned(Rows(X, sample_weight), drawn))


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
    points = _plusplus_rows(Rows(X, sample_weight), n_components, random_state)
    return _from_points(mixture, X, sample_weight, points)


INITIALIZERS: dict[str, Initializer] = {
    "kmeans": kmeans,
    "kmeans_sample": kmeans_sample,
    "k-means++": k_means_plusplus,
    "random": random,
    "random_from_data": random_from_data,
}


def _from_points(
    mixture: Mixture[Any], X: Data, sample_weight: Array | None, points: IntArray
) -> MixtureParameters[Any]:
    centers = np.asarray(X[points], dtype=np.float64)
    return mixture.from_points(centers, Rows(X, sample_weight))


def _stratified_rows(
    n_rows: int, sample_weight: Array | None, size: int, random_state: np.random.RandomState
) -> IntArray:
    """Rows, ascending, one from each of `size` stretches of equal weight.

    Each row is drawn in proportion to its weight, as in independent draws, but the parts of data
    that are in some order have their share.
    """
    places = (np.arange(size) + random_state.uniform(size=size)) / size
    if sample_weight is None:
        rows = (places * n_rows).astype(np.int64)
    else:
        cumulative = np.cumsum(sample_weight)
        rows = np.searchsorted(cumulative, places * cumulative[-1], side="right")
    return np.minimum(rows, n_rows - 1)


def _plusplus_rows(data: Rows, n_components: int, random_state: np.random.RandomState) -> IntArray:
    """Rows chosen by greedy k-means++, each the best of a few candidates.

    The algorithm and the random numbers are those of scikit-learn's ``kmeans_plusplus``, which
    keeps the distances of all rows from all candidates. Here the squared distance of each row
    from the nearest chosen one is all that is kept, and it does not cancel where the data are far
    from zero.
    """
    n_rows = data.X.shape[0]
    n_candidates = 2 + int(np.log(n_components))
    closest = np.full(n_rows, np.inf)
    chosen = [random_state.choice(n_rows, p=data.weights / data.weights.sum())]
    while True:
        masses = []
        for block, rows in _blocks_with_place(data):
            (distances,) = _squared_distances(data, chosen[-1:], block)
            np.minimum(closest[rows], distances, out=closest[rows])
            masses.append(np.sum(block.weights * closest[rows]))
        if len(chosen) == n_components:
            return np.array(chosen, dtype=np.int64)
        cumulative = np.cumsum(masses)
        places = random_state.uniform(size=n_candidates) * cumulative[-1]
        candidates = [_row_at(place, data, closest, cumulative) for place in places]
        potentials = np.zeros(n_candidates)
        for block, rows in _blocks_with_place(data):
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

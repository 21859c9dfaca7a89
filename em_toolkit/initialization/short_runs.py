"""Starts by short runs of EM from several places, of which the best is continued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from em_toolkit.engine import Rows, preliminary
from em_toolkit.initialization import centroids
from em_toolkit.initialization.race import winners
from em_toolkit.initialization.rows import Data, Initializer, from_responsibilities, start_by
from em_toolkit.initialization.sampling import stratified_rows
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array

# Rows in the sample, for each component and at least.
_SAMPLE_BY_COMPONENT = 250
SMALLEST_SAMPLE = 5_000


Start = Callable[[], MixtureParameters[Any]]
# As an initializer, to starts that are yet to be made.
Beginnings = Callable[
    [Mixture[Any], Data, Array | None, int, np.random.RandomState], Sequence[Start]
]


def by_short_runs(beginnings: Beginnings, n_iter: int, doc: str) -> Initializer:
    """Return the initializer that starts by short runs of EM.

    Of more rows than suffice to compare starts, a sample is used, stratified along the rows and
    in proportion to their weights; its rows share the weight of all, so that a prior weighs as
    much beside them.

    Parameters
    ----------
    beginnings : callable
        From an initializer's arguments to the starts of the runs.
    n_iter : int
        Iterations of each.
    doc : str
        The docstring of the start.
    """

    def initialize(
        mixture: Mixture[Any],
        X: Data,
        sample_weight: Array | None,
        n_components: int,
        random_state: np.random.RandomState,
    ) -> MixtureParameters[Any]:
        size = max(SMALLEST_SAMPLE, _SAMPLE_BY_COMPONENT * n_components)
        if X.shape[0] > size:
            total = X.shape[0] if sample_weight is None else sample_weight.sum()
            X = X[stratified_rows(X.shape[0], sample_weight, size, random_state)]
            sample_weight = np.full(size, total / size)
        starts = beginnings(mixture, X, sample_weight, n_components, random_state)
        return preliminary(mixture, starts, Rows(X, sample_weight), max_iter=n_iter)

    initialize.__doc__ = doc
    return initialize


def _repeated(begin: Initializer, n_starts: int) -> Beginnings:
    """One start after the other, each with random numbers of its own."""

    def beginnings(*problem: Any) -> Sequence[Start]:
        return [partial(begin, *problem)] * n_starts

    return beginnings


def _from_race(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> Sequence[Start]:
    """Return the winners of a race as starts; where none is run, three partitions by k-means."""
    problem = mixture, X, sample_weight, n_components, random_state
    starts = [
        partial(from_responsibilities, mixture, X, sample_weight, responsibilities)
        for responsibilities in winners(*problem)
    ]
    return starts or [partial(_best_of_three, *problem)]


short_em = by_short_runs(
    _repeated(start_by(centroids.near_random_rows), 10),
    5,
    """The best of ten runs of five iterations from random rows (emEM).

    Each begins with the clusters that rows near one of K random rows are. "Short" is after
    Biernacki, Celeux & Govaert (2003, Comput. Statist. Data Anal. 41), who stop the short runs
    by their gain: with as many iterations each, bounds are compared that cost the same.
    """,
)
_best_of_three = by_short_runs(
    _repeated(start_by(centroids.kmeans_principal), 3),
    3,
    """The best of three runs of three iterations from k-means on scaled principal directions.

    A single iteration would not do to compare the runs: a partition may be good for k-means and
    its bound low.
    """,
)
auto = by_short_runs(
    _from_race,
    1,
    """The best, after an iteration, of the winners of a race of a hundred starts.

    Where components overlap, a start may lead to the best optimum in one case of ten, or of
    thirty, so that many are needed. They run side by side (`Replicas`), from partitions around
    rows that k-means++ draws, and after 3, 6 and 12 iterations the better half goes on. Of the
    last ones, after 24 (or before, if they have become one), the mixture itself chooses among the
    three best that differ. (Other points
    to begin from lead to the best optimum as often. But clusters of k-means are not to be among
    them: with bounds that are high at once they oust, in a race, what would end higher.)

    Components that are not normal, and mixtures that are too much work for a race, have the best
    of three runs of three iterations from k-means on scaled principal directions instead.
    """,
)

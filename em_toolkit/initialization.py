"""Where EM starts.

Each function takes a mixture, the data, their weights, the number of components and a random
state, and returns parameters. They draw random numbers as scikit-learn's ``GaussianMixture``
does, so that one seed gives one start in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans, kmeans_plusplus

from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array

Data = npt.NDArray[Any]
Initializer = Callable[
    [Mixture[Any], Data, Array | None, int, np.random.RandomState], MixtureParameters[Any]
]


def from_responsibilities(
    mixture: Mixture[Any], X: Data, sample_weight: Array | None, responsibilities: Array
) -> MixtureParameters[Any]:
    """The M-step on given responsibilities of shape (n_rows, n_components)."""
    return mixture.from_responsibilities(
        _double(X), _double(responsibilities), _weights(X, sample_weight)
    )


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
    return from_responsibilities(mixture, X, sample_weight, np.eye(n_components)[labels])


def random(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """Responsibilities drawn uniformly and normalized."""
    responsibilities = random_state.uniform(size=(X.shape[0], n_components)).astype(X.dtype)
    responsibilities /= responsibilities.sum(axis=1)[:, np.newaxis]
    return from_responsibilities(mixture, X, sample_weight, responsibilities)


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
    return mixture.from_points(_double(X), points, _weights(X, sample_weight))


def k_means_plusplus(
    mixture: Mixture[Any],
    X: Data,
    sample_weight: Array | None,
    n_components: int,
    random_state: np.random.RandomState,
) -> MixtureParameters[Any]:
    """Components on rows chosen by k-means++ (Arthur & Vassilvitskii 2007)."""
    _, points = kmeans_plusplus(
        X, n_components, sample_weight=sample_weight, random_state=random_state
    )
    return mixture.from_points(_double(X), points, _weights(X, sample_weight))


INITIALIZERS: dict[str, Initializer] = {
    "kmeans": kmeans,
    "k-means++": k_means_plusplus,
    "random": random,
    "random_from_data": random_from_data,
}


def _double(X: Data) -> Array:
    return np.asarray(X, dtype=np.float64)


def _weights(X: Data, sample_weight: Array | None) -> Array:
    return np.ones(X.shape[0]) if sample_weight is None else sample_weight

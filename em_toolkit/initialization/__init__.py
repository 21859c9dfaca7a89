"""Where EM starts.

Each function takes a mixture, the data, their weights, the number of components and a random
state, and returns parameters. "kmeans", "k-means++", "random" and "random_from_data" draw random
numbers as scikit-learn's ``GaussianMixture`` does, so that one seed gives one start in both. All
read the data in blocks of rows; only scikit-learn's k-means, behind "kmeans", works on a copy of
them.

Rows with missing entries are completed first, by `filled`.

"short_em" and "auto" compare runs of EM, on a sample if the rows are many, and "hierarchical"
clusters a sample; their other passes are no passes over large data, and count in no ``n_passes_``.
"""

from __future__ import annotations

from em_toolkit.initialization import centroids, trees
from em_toolkit.initialization.filling import filled
from em_toolkit.initialization.labelled import in_their_components, named_by_labels
from em_toolkit.initialization.noise import beside_noise
from em_toolkit.initialization.points import k_means_plusplus, random, random_from_data
from em_toolkit.initialization.rows import (
    Data,
    Initializer,
    from_labels,
    from_responsibilities,
    start_by,
)
from em_toolkit.initialization.short_runs import auto, short_em
from em_toolkit.options import InitParams

kmeans = start_by(centroids.kmeans)
kmeans_sample = start_by(centroids.kmeans_sample)
kmeans_standardized = start_by(centroids.kmeans_standardized)
hierarchical = start_by(trees.hierarchical)

INITIALIZERS: dict[InitParams, Initializer] = {
    "kmeans": kmeans,
    "kmeans_sample": kmeans_sample,
    "kmeans_standardized": kmeans_standardized,
    "k-means++": k_means_plusplus,
    "random": random,
    "random_from_data": random_from_data,
    "hierarchical": hierarchical,
    "short_em": short_em,
    "auto": auto,
}
__all__ = [
    "INITIALIZERS",
    "Data",
    "Initializer",
    "auto",
    "beside_noise",
    "filled",
    "from_labels",
    "from_responsibilities",
    "hierarchical",
    "in_their_components",
    "k_means_plusplus",
    "kmeans",
    "kmeans_sample",
    "kmeans_standardized",
    "named_by_labels",
    "random",
    "random_from_data",
    "short_em",
]

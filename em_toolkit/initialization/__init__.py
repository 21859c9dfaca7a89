"""Starts of EM.

What the names in `INITIALIZERS` mean:

- "kmeans": the clusters of scikit-learn's k-means. It copies the data, and with many rows it may
  take longer than EM.
- "kmeans_sample": the same on a random sample of 500 rows for each component, but at least 20,000;
  all rows then go to the nearest centre. It suits a million rows, and data that do not fit in
  memory. With no more rows than the sample has, it is "kmeans".
- "kmeans_standardized": k-means on columns divided by their standard deviations, for features in
  different units.
- "k-means++", "random_from_data": components of equal weight, at rows that k-means++ chooses or
  that are drawn at random.
- "random": responsibilities drawn at random.
- "hierarchical": the clusters of model-based agglomeration, as mclust starts; of a sample of 2,000
  rows if there are more. It takes a second, and draws no random number (but for the sample).
- "short_em": the best of ten short runs of EM from random rows (Biernacki, Celeux & Govaert 2003).
- "auto": for Gaussian mixtures the winner of a race of a hundred starts, at one to three times the
  cost of a fit from "kmeans"; it nearly always leads to the best known optimum where components
  are few and have enough rows. Where a race is too much work (as for ten components in ten
  dimensions), and for other mixtures, it is the best of three short runs from k-means on scaled
  principal directions.

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

from em_toolkit.initialization import agglomeration, centroids
from em_toolkit.initialization.centroids import k_means_plusplus, random, random_from_data
from em_toolkit.initialization.filling import filled
from em_toolkit.initialization.labelled import in_their_components, named_by_labels
from em_toolkit.initialization.noise import beside_noise
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
hierarchical = start_by(agglomeration.hierarchical)

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

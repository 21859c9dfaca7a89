"""Model-based hierarchical clustering."""

from __future__ import annotations

import numpy as np

from em_toolkit.families import Gaussian
from em_toolkit.initialization.agglomeration import Tree, agglomerated
from em_toolkit.initialization.recent import Recent
from em_toolkit.initialization.rows import (
    Data,
    Labelling,
    from_labels,
    given_labels,
    weights_of,
)
from em_toolkit.initialization.sampling import stratified_rows
from em_toolkit.initialization.scaling import singular_scaling
from em_toolkit.models.mixture import Mixture
from em_toolkit.statistics import Array, IntArray

# Rows in the sample: a matrix of the costs of all pairs is kept.
LARGEST_TREE = 2_000
# Of the variance of the data: the least that covariances have when others are classified by them,
# and where all rows are one.
_SHARE_OF_VARIANCE, _SMALLEST_FLOOR = 1e-3, 1e-290


def hierarchical(
    X: Data, sample_weight: Array | None, n_components: int, random_state: np.random.RandomState
) -> Labelling:
    r"""The clusters of model-based agglomeration.

    Clusters are merged, from single rows on, so as to lose the least of the likelihood of a
    classification into spherical normal components with variances of their own (Banfield & Raftery
    1993; Fraley 1998): each merge is the one after which

    .. math:: \sum_k n_k \log \frac{\operatorname{tr} W_k + \alpha}{n_k}, \qquad
              \alpha = \frac{\operatorname{tr} W}{n p},

    is the least; W_k are the scatter matrices, W that of all n rows of p features, and α lets
    clusters of a few rows be compared. The rows are first transformed to their principal
    directions ("SVD" of Scrucca & Raftery 2015), in which groups are rounder. This finds the
    clusters of ``hc(X, "VVV", use="SVD")`` of R's mclust, by which ``Mclust`` starts: the
    determinants that its criterion adds to the traces are next to nothing in these units, and its
    "VII" has the same clusters. No random numbers are drawn for 2,000 rows or fewer.

    Of more rows, a stratified sample of 2,000 is clustered, and all rows are classified by the
    normal components that its clusters are.
    """
    if X.shape[0] <= LARGEST_TREE:
        return given_labels(tree_labels(X, sample_weight, n_components))
    rows = stratified_rows(X.shape[0], sample_weight, LARGEST_TREE, random_state)
    sample = np.asarray(X[rows], dtype=np.float64)
    return classifying(sample, tree_labels(sample, None, n_components), n_components)


def tree_labels(X: Data, sample_weight: Array | None, n_components: int) -> IntArray:
    """The clusters, of shape (n_rows,); at most `n_components`, from 0 on.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    sample_weight : ndarray of shape (n_rows,) or None
    n_components : int
    """
    weights = weights_of(X, sample_weight)
    scaled = singular_scaling(X, sample_weight).rounded(X)
    # Equal rows are one cluster from the start.
    _, first, inverse = np.unique(X, axis=0, return_index=True, return_inverse=True)
    counts = np.bincount(inverse, weights).astype(np.float64)
    total = float(np.sum(weights[:, None] * np.square(scaled)))
    mean_variance = total / (weights.sum() * scaled.shape[1])
    points = scaled[first]
    tree = _RECENT.get(
        mean_variance, (points, counts), lambda: agglomerated(points, counts, mean_variance)
    )
    return tree.labels(n_components)[inverse]


# Of all rows and of those outside of each of ten folds, and some to spare.
_RECENT: Recent[Tree] = Recent(16)


def classifying(sample: Array, labels: IntArray, n_components: int) -> Labelling:
    """Rows have the label of the most probable of the normal components that clusters are."""
    scaling = singular_scaling(sample, None)
    scaled = scaling(sample)
    floor = _SHARE_OF_VARIANCE * float(np.square(scaled).mean()) if scaled.size else 0.0
    mixture = Mixture(Gaussian(floor=max(floor, _SMALLEST_FLOOR)))
    params = from_labels(mixture, scaled, None, labels, n_components)

    def classify(X: Array, _: slice) -> IntArray:
        return np.asarray(mixture.log_joint(params, scaling(X)).argmax(axis=1))

    return classify

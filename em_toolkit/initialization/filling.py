"""Complete rows to start from, where entries are missing."""

from __future__ import annotations

import numpy as np

from em_toolkit.engine.em import em
from em_toolkit.engine.expectation import Rows
from em_toolkit.families import Covariances, Gaussian, GaussianComponents, IncompleteGaussian
from em_toolkit.families.patterns import has_missing
from em_toolkit.initialization.rows import Data, blocks_with_place, weights_of
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array

# Of the variances: the least in any direction, where few rows tell of correlations.
_RIDGE = 0.01
_ITERATIONS = 10


def filled(
    X: Data,
    sample_weight: Array | None,
    structure: type[Covariances],
    random_state: np.random.RandomState,
) -> Data:
    """The rows with a draw in the place of each missing entry; X itself if none is missing.

    The draws are from one normal distribution, fitted to all rows by a few iterations of EM, given
    what is observed of a row. Where the structure of the covariances knows no correlations, the
    distribution has none either. (Expectations in the place of draws would make clusters flat in
    the features that they miss most.)

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Each column with an entry that is observed.
    sample_weight : ndarray of shape (n_rows,) or None
    structure : type of Covariances
    random_state : RandomState
    """
    if not has_missing(X):
        return X
    weights = weights_of(X, sample_weight)
    means, stds = _observed_moments(X, weights)
    standardized = (X - means) / stds
    family = IncompleteGaussian(Gaussian(structure, floor=_RIDGE))
    n_features = X.shape[1]
    components = GaussianComponents(
        np.zeros((1, n_features)), structure.alike(np.eye(n_features), 1)
    )
    start = MixtureParameters(np.ones(1), components)
    rows = Rows(standardized, weights)
    fitted = em(Mixture(family), start, rows, max_iter=_ITERATIONS).params.components
    complete = X.copy()
    for block, place in blocks_with_place(rows):
        noise = random_state.standard_normal(block.X.shape)
        drawn = family.drawn_rows(fitted, block.X, np.zeros(len(block.X), dtype=np.int64), noise)
        complete[place] = np.where(np.isnan(X[place]), means + stds * drawn, X[place])
    return complete


def _observed_moments(X: Data, weights: Array) -> tuple[Array, Array]:
    """Means and standard deviations of what is observed; 1 for a column that does not vary."""
    observed = ~np.isnan(X)
    shares = weights[:, None] * observed
    shares /= shares.sum(axis=0)
    origin = np.nanmin(X, axis=0).astype(np.float64)
    deviations = np.where(observed, X - origin, 0.0)
    shifts = np.sum(shares * deviations, axis=0)
    variances = np.sum(shares * np.square(deviations - shifts), axis=0)
    return origin + shifts, np.where(variances > 0.0, np.sqrt(variances), 1.0)

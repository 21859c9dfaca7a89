"""The divergence of one fitted density from another, estimators of any kind."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from em_toolkit.analysis.divergence import DivergenceEstimate, mean_log_ratio
from em_toolkit.analysis.features import feature_indices
from em_toolkit.estimators.noise import refuse_noise
from em_toolkit.estimators.rows import Data
from em_toolkit.statistics import IntArray


def divergence_between(
    estimator: Any, other: Any, n_samples: int, rng: np.random.RandomState
) -> DivergenceEstimate:
    """Return the divergence from one fitted density to another, by simulation.

    Parameters
    ----------
    estimator : EMEstimator
        The density from which rows are drawn.
    other : estimator
        A fitted density of the same features with ``score_samples``.
    n_samples : int
        Rows to draw, two at least.
    rng : RandomState

    Returns
    -------
    DivergenceEstimate

    Raises
    ------
    ValueError
        For too few rows, other features, and mixtures with noise.
    """
    check_is_fitted(estimator)
    check_is_fitted(other)
    if n_samples < 2:
        raise ValueError(
            f"n_samples: expected 2 at least, for there to be a standard error, got {n_samples}."
        )
    for density in (estimator, other):
        refuse_noise(density, "kl_divergence")
    columns = _columns_of(other, estimator)
    X, _ = estimator._draw(n_samples, rng)
    return mean_log_ratio(_log_density(estimator, X), _log_density(other, X[:, columns]))


def _columns_of(other: Any, estimator: Any) -> IntArray:
    """Return the features of an estimator in the order in which another has them."""
    mine: Any = getattr(estimator, "feature_names_in_", None)
    theirs: Any = getattr(other, "feature_names_in_", None)
    n_mine = estimator.n_features_in_
    n_features = getattr(other, "n_features_in_", n_mine)
    are_named = mine is not None and theirs is not None
    if n_features != n_mine or (are_named and set(mine) != set(theirs)):
        raise ValueError(
            "other: expected a density of the same features, "
            f"{n_mine if mine is None else mine.tolist()}, got one of "
            f"{n_features if theirs is None else theirs.tolist()}. Take marginals of the "
            "features that both have."
        )
    if not are_named:
        return np.arange(n_features)
    return feature_indices(theirs, n_features, names=mine, argument="other")


def _log_density(estimator: Any, X: Data) -> Data:
    with warnings.catch_warnings():
        # The columns are in order: rows drawn here have no need of names.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        return np.asarray(estimator.score_samples(X), dtype=np.float64)

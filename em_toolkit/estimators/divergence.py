"""The divergence of one fitted density from another."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from em_toolkit.analysis.divergence import DivergenceEstimate, mean_log_ratio
from em_toolkit.analysis.features import feature_indices
from em_toolkit.estimators.base import Data
from em_toolkit.estimators.noise import refuse_noise
from em_toolkit.statistics import IntArray


class DivergenceMixin:
    """The method `kl_divergence`, for an estimator with `score_samples` and draws."""

    n_features_in_: int

    @abstractmethod
    def _draw(self, n_samples: int, rng: np.random.RandomState) -> Data:
        """Draw rows of the fitted density."""

    def kl_divergence(
        self,
        other: Any,
        n_samples: int = 10_000,
        random_state: int | np.random.RandomState | None = None,
    ) -> DivergenceEstimate:
        """Estimate the Kullback-Leibler divergence from this density to another, by simulation.

        It is the mean difference of the log densities over rows drawn from this density.

        Parameters
        ----------
        other : estimator
            Any fitted density of the same features with ``score_samples``: of another number of
            components or ``covariance_type``, or of another kind.
        n_samples : int, default=10_000
            Rows to draw, at least two. Four times as many halve the standard error.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        divergence : DivergenceEstimate
            ``estimate`` in nats, and its ``standard_error``.

        Raises
        ------
        ValueError
            For a density of other features, and for a mixture with noise, which is no density
            outside of its box.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from em_toolkit import GaussianMixture
        >>> X = load_iris().data
        >>> three, one = (GaussianMixture(k, random_state=0).fit(X) for k in (3, 1))
        >>> estimate, standard_error = three.kl_divergence(one, random_state=0)
        >>> estimate > 10 * standard_error
        True
        """
        check_is_fitted(self)
        check_is_fitted(other)
        if n_samples < 2:
            raise ValueError(
                "n_samples: expected 2 at least, for there to be a standard error, got "
                f"{n_samples}."
            )
        for density in (self, other):
            refuse_noise(density, "kl_divergence")
        columns = self._columns_of(other)
        X = self._draw(n_samples, check_random_state(random_state))
        return mean_log_ratio(_log_density(self, X), _log_density(other, X[:, columns]))

    def _columns_of(self, other: Any) -> IntArray:
        """Return the features of this density in the order of the other."""
        mine: Any = getattr(self, "feature_names_in_", None)
        theirs: Any = getattr(other, "feature_names_in_", None)
        n_features = getattr(other, "n_features_in_", self.n_features_in_)
        are_named = mine is not None and theirs is not None
        if n_features != self.n_features_in_ or (are_named and set(mine) != set(theirs)):
            raise ValueError(
                "other: expected a density of the same features, "
                f"{self.n_features_in_ if mine is None else mine.tolist()}, got one of "
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

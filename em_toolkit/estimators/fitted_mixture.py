"""The methods of a fitted mixture: labels, densities, draws and criteria."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from em_toolkit.analysis.criteria import InformationCriteria
from em_toolkit.data import Block
from em_toolkit.engine import Rows, Workers, number_of_threads
from em_toolkit.engine.blas import blas_for
from em_toolkit.estimators.base import Data, rows_with_weight
from em_toolkit.estimators.missing import order_by_pattern, rows_with_entries
from em_toolkit.kernels import plan_for
from em_toolkit.models.mixture import Mixture, MixtureParameters, Responsibilities
from em_toolkit.statistics import Array, IntArray

# What predict calls noise.
NOISE = -1


class FittedMixture:
    """The methods of a fitted mixture, as scikit-learn has them; a subclass fits it."""

    n_jobs: int | None
    random_state: int | np.random.RandomState | None
    weights_: Data

    @property
    @abstractmethod
    def _has_noise(self) -> bool:
        """Whether there is a component of noise."""

    @abstractmethod
    def _validate_rows(self, X: Any, *, reset: bool) -> Data:
        """X as an array."""

    @abstractmethod
    def _fitted_mixture(self) -> Mixture[Any]:
        """Return the mixture that was fitted."""

    @abstractmethod
    def _fitted_parameters(self) -> MixtureParameters[Any]:
        """Return its parameters, including those of the noise."""

    @abstractmethod
    def _parameters_to_sample(self) -> MixtureParameters[Any]:
        """Return the parameters that `sample` draws from."""

    def _posteriors(self, X: Data) -> Iterator[tuple[slice | IntArray, Responsibilities, Array]]:
        """Yield blocks of rows: which rows they are, their posterior and their log density."""
        params = self._fitted_parameters()
        order = order_by_pattern(X)
        X = X if isinstance(order, slice) else np.take(X, order, axis=0)
        model, _ = plan_for(self._fitted_mixture(), X, self.weights_.shape[0])
        blocks, start = Rows(X), 0
        n_threads = min(number_of_threads(self.n_jobs), len(blocks))
        blas = blas_for(X.size * max(X.shape[1], self.weights_.shape[0]))
        with Workers(n_threads, blas) as workers:

            def posterior_of(block: Block) -> tuple[Responsibilities, Array]:
                with workers.blas():
                    return model.posterior(params, block.X)

            for result in workers.map(posterior_of, blocks):
                posterior, log_density = result
                rows = slice(start, start + len(log_density))
                yield rows if isinstance(order, slice) else order[rows], posterior, log_density
                start = rows.stop

    def _precision(self, X: Data) -> np.dtype[Any]:
        """Return the dtype of results: as precise as X and the fit."""
        return np.result_type(X, self.weights_)

    def _log_density(self, X: Data) -> Data:
        log_densities = np.empty(X.shape[0], self._precision(X))
        for rows, _, log_density in self._posteriors(X):
            log_densities[rows] = log_density
        return log_densities

    def _fitted_rows(self, X: Any) -> Data:
        check_is_fitted(self)
        return self._validate_rows(X, reset=False)

    def _rows_that_count(
        self, X: Any, sample_weight: npt.ArrayLike | None
    ) -> tuple[Data, Array | None]:
        """Return the rows of positive weight that have any entry, and their weights."""
        rows, weights, _ = rows_with_weight(self._fitted_rows(X), sample_weight)
        rows, weights, _ = rows_with_entries(rows, weights)
        if len(rows) == 0:
            raise ValueError(
                "X: expected a row with an observed entry and positive weight, got none: all "
                "entries are missing (NaN)."
            )
        return rows, weights

    def predict(self, X: npt.ArrayLike) -> IntArray:
        """Return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            -1 for noise, if the mixture has it.
        """
        X = self._fitted_rows(X)
        labels = np.empty(X.shape[0], dtype=np.int64)
        for rows, posterior, _ in self._posteriors(X):
            labels[rows] = posterior.log_responsibilities.argmax(axis=1)
        return self._public_labels(labels)

    def predict_proba(self, X: npt.ArrayLike) -> Data:
        """Return the responsibilities p(k | x_i).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            If the mixture has noise, a further column for it comes last.
        """
        return self._responsibilities(self._fitted_rows(X))

    def _responsibilities(self, X: Data) -> Data:
        n_columns = self.weights_.shape[0] + self._has_noise
        responsibilities = np.empty((X.shape[0], n_columns), self._precision(X))
        for rows, posterior, _ in self._posteriors(X):
            responsibilities[rows] = posterior.responsibilities
        return responsibilities

    def score_samples(self, X: npt.ArrayLike) -> Data:
        """Return the log density log p(x_i) of each row, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
        """
        return self._log_density(self._fitted_rows(X))

    def score(
        self, X: npt.ArrayLike, y: None = None, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return the mean log density of the rows, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the mean.

        Returns
        -------
        score : float
        """
        rows, weights = self._rows_that_count(X, sample_weight)
        return float(np.average(self._log_density(rows), weights=weights))

    def sample(self, n_samples: int = 1, component: int | None = None) -> tuple[Data, IntArray]:
        """Draw from the fitted mixture, or from one of its components.

        Parameters
        ----------
        n_samples : int, default=1
        component : int, default=None
            The component that all rows are drawn from, -1 for noise. By default each is drawn from
            the mixture: from a component that is drawn by the weights.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The rows, grouped by component.
        labels : ndarray of shape (n_samples,)
            The component of each row; -1 for noise.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least "
                "one sample."
            )
        rng = check_random_state(self.random_state)
        params, mixture = self._parameters_to_sample(), self._fitted_mixture()
        if component is None:
            rows, labels = mixture.sample(params, n_samples, rng)
        else:
            labels = np.full(n_samples, self._place_of(component))
            rows = mixture.family.sample(params.components, labels, rng)
        return rows, self._public_labels(labels)

    def _place_of(self, component: Any) -> int:
        """The place of a component among those of the model, of which that of noise is last."""
        n_components = self.weights_.shape[0]
        is_integer = isinstance(component, Integral) and not isinstance(component, bool)
        if is_integer and 0 <= component < n_components:
            return int(component)
        if is_integer and component == NOISE and self._has_noise:
            return n_components
        noise = ", or -1 for noise" if self._has_noise else ""
        raise ValueError(
            f"component: expected one from 0 to {n_components - 1}{noise}, got {component!r}."
        )

    def _draw(self, n_samples: int, rng: np.random.RandomState) -> Data:
        params = self._parameters_to_sample()
        return self._fitted_mixture().sample(params, n_samples, rng)[0]

    def _public_labels(self, labels: IntArray) -> IntArray:
        """Return the labels with −1 for noise, which comes after the components."""
        labels[labels == self.weights_.shape[0]] = NOISE
        return labels

    def _n_parameters(self) -> int:
        return self._fitted_mixture().n_parameters(self._fitted_parameters())

    def bic(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the Bayesian information criterion, −2 log p(X) + p log n: lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts; n is their sum, without rows of which all entries are
            missing. Weights that say how important rows are, not how many there were, should be
            scaled to sum to the number of rows.

        Returns
        -------
        bic : float
        """
        return self._information(X, sample_weight).bic

    def aic(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the Akaike information criterion, −2 log p(X) + 2 p: lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None
            As in `bic`.

        Returns
        -------
        aic : float
        """
        return self._information(X, sample_weight).aic

    def icl(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        r"""Return the integrated completed likelihood, as BIC approximates it: lower is better.

        .. math:: \mathrm{ICL} = \mathrm{BIC} - 2 \sum_i w_i \log \max_k p(k \mid x_i)

        It is BIC with a penalty for rows that may belong to several components (Biernacki, Celeux &
        Govaert 2000, IEEE Trans. Pattern Anal. Mach. Intell. 22): it looks for clusters, where BIC
        looks for a density. mclust's ``icl`` is the same with the opposite sign.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None
            As in `bic`.

        Returns
        -------
        icl : float
        """
        return self._information(X, sample_weight).icl

    def _information(
        self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> InformationCriteria:
        """Return what the criteria are computed from, by one pass over the data."""
        rows, weights = self._rows_that_count(X, sample_weight)
        weights = np.ones(rows.shape[0]) if weights is None else weights
        log_likelihood = log_certainty = 0.0
        for block, posterior, log_density in self._posteriors(rows):
            log_likelihood += float(np.sum(weights[block] * log_density))
            highest = posterior.log_responsibilities.max(axis=1)
            log_certainty += float(np.sum(weights[block] * highest))
        weight = float(weights.sum())
        return InformationCriteria(weight, log_likelihood, log_certainty, self._n_parameters())

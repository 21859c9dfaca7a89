"""One combination: its fit to all rows, and to those of each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from em_toolkit.engine import Status
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.selection.candidate import Candidate
from em_toolkit.statistics import Array, IntArray

Fold = tuple[IntArray, IntArray]


@dataclass(frozen=True)
class Trials:
    """The trial of each combination.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        As the user gave it: its columns may have names.
    sample_weight : ndarray of shape (n_samples,) or None
    folds : sequence of (train, test)
        Indices of rows; none unless the criterion is cross-validated.
    starts : sequence of str
        The values of `init_params` from each of which a combination is fitted.
    """

    X: Any
    sample_weight: Array | None
    folds: Sequence[Fold]
    starts: Sequence[Any]

    def __call__(
        self, place: int, estimator: MixtureEstimator
    ) -> tuple[int, Candidate, MixtureEstimator | None]:
        """Fit one combination. Whatever goes wrong is its result: others may fare better."""
        candidate = Candidate(estimator.n_components, getattr(estimator, "covariance_type", None))
        began = perf_counter()
        try:
            estimator = self._fitted(estimator)
            seconds = perf_counter() - began
            information = estimator._information(self.X, self.sample_weight)
        except Exception as error:
            seconds = perf_counter() - began
            return place, replace(candidate, seconds=seconds, error=_in_words(error)), None
        collapse = _collapse(estimator)
        candidate = replace(
            candidate,
            log_likelihood=information.log_likelihood,
            n_parameters=information.n_parameters,
            converged=bool(estimator.converged_),
            n_iter=int(estimator.n_iter_),
            status=estimator.status_.name.lower(),
            init_params=_name_of_start(estimator),
            seconds=seconds,
            error=collapse,
        )
        if collapse:
            return place, candidate, None
        held_out, failure = self._cross_validated(estimator)
        criteria = {name: getattr(information, name) for name in ("bic", "icl", "aic")}
        return place, replace(candidate, **criteria, cv=held_out, error=failure), estimator

    def _fitted(self, estimator: MixtureEstimator) -> MixtureEstimator:
        """Return the best fit to all rows, of those from each start that lead somewhere."""
        # One component holds all rows, wherever it starts.
        starts = self.starts if estimator.n_components > 1 else self.starts[:1]
        fits: list[MixtureEstimator] = []
        errors: list[Exception] = []
        for start in starts:
            other = clone(estimator).set_params(init_params=start)
            try:
                _fit(other, self.X, self.sample_weight)
            except ValueError as error:
                errors.append(error)
            else:
                fits.append(other)
        if not fits:
            raise errors[0]
        return max(fits, key=_rank)

    def _cross_validated(self, estimator: MixtureEstimator) -> tuple[float, str]:
        """Return the mean log density of the rows held out, or NaN and what failed."""
        total = weight = 0.0
        for number, (train, test) in enumerate(self.folds):
            other = clone(estimator)
            try:
                _fit(other, *self._part(train))
                failure = _collapse(other)
                if not failure:
                    information = other._information(*self._part(test))
            except Exception as error:
                failure = _in_words(error)
            if failure:
                return np.nan, f"fold {number} of {len(self.folds)}: {failure}"
            total += information.log_likelihood
            weight += information.weight
        return (total / weight if self.folds else np.nan), ""

    def _part(self, rows: IntArray) -> tuple[Any, Array | None]:
        weights = None if self.sample_weight is None else self.sample_weight[rows]
        return _safe_indexing(self.X, rows), weights


def _fit(estimator: MixtureEstimator, X: Any, sample_weight: Array | None) -> None:
    estimator.fit(X, sample_weight=sample_weight)
    if estimator.status_ is Status.INTERRUPTED:
        # It is the whole search that a person wants to end.
        raise KeyboardInterrupt


def _name_of_start(estimator: MixtureEstimator) -> str | None:
    return estimator.init_params if isinstance(estimator.init_params, str) else None


def _rank(estimator: MixtureEstimator) -> tuple[bool, float]:
    """Return a rank, which is higher for the better one of two fits to the same rows."""
    return estimator.status_ is not Status.COLLAPSED, estimator.lower_bound_


def _collapse(estimator: MixtureEstimator) -> str:
    """Return what collapsed; "" if nothing did, or another start fared better."""
    if estimator.status_ is not Status.COLLAPSED:
        return ""
    causes = [r.cause for r in estimator.restarts_ if r.status is Status.COLLAPSED]
    return f"{estimator.status_} ({causes[0]})"


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

"""Rows with NaN entries, as estimators take them.

A NaN entry is a missing value. The likelihood is that of the observed entries, and EM has the
missing ones among its latent variables (Ghahramani & Jordan 1994): the fit is exact.
``score_samples`` is the log density of the observed entries of a row, and `impute` and
`sample_missing` complete rows. Entries should be missing at random: whether an entry is missing may
depend on what is observed, but not on the missing value (Rubin 1976).

A row without any entry has no information: its ``score_samples`` is 0, `predict` returns the
component of the largest weight, and `fit`, `score` and the criteria leave the row out. A feature
without any entry is an error in `fit`. A start is found on rows whose missing entries are drawn
from one normal distribution that is fitted to all rows.

References
----------
Ghahramani & Jordan (1994), NIPS 6. Rubin (1976), Biometrika 63.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

from em_toolkit.covariances.patterns import Patterns, has_missing
from em_toolkit.estimators.base import Data
from em_toolkit.estimators.frames import Frame, completed_like
from em_toolkit.statistics import Array, IntArray


def with_nan(X: Any) -> Any:
    """Return rows with NaN in the place of every missing entry.

    Masked entries of a masked array are missing, and None and NA of pandas and object arrays.
    """
    if isinstance(X, np.ma.MaskedArray):
        kind = X.dtype if np.issubdtype(X.dtype, np.floating) else np.float64
        return np.ma.filled(X.astype(kind), np.nan)
    if isinstance(X, np.ndarray) and X.dtype == object and "pandas" in sys.modules:
        return np.where(sys.modules["pandas"].isna(X), np.nan, X)
    if hasattr(X, "isna") and any(dtype == np.dtype(object) for dtype in np.atleast_1d(X.dtypes)):
        return X.astype(object).where(X.notna(), np.nan)
    return X


def rows_with_entries(
    X: Data, weights: Array | None, *others: Data | None
) -> tuple[Data, Array | None, tuple[Data | None, ...]]:
    """Return the rows that have any observed entry; the others have no information."""
    if not has_missing(X):
        return X, weights, others
    nothing = np.isnan(X).all(axis=1)
    if not nothing.any():
        return X, weights, others
    return _some_rows(np.flatnonzero(~nothing), X, weights, others)


def rows_by_pattern(
    X: Data,
    weights: Array | None,
    *others: Data | None,
    names: Iterable[Any] | None = None,
) -> tuple[Data, Array | None, tuple[Data | None, ...]]:
    """Return the rows that have any observed entry, sorted by pattern of missing entries.

    If nothing is missing, the rows are returned as they are.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,) or None
    *others : ndarray of shape (n_rows, ...) or None
        What goes with the rows.
    names : iterable, optional
        The names of the features.

    Raises
    ------
    ValueError
        If no row has a value of some feature.
    """
    if len(X) and not has_missing(X):
        return X, weights, others
    patterns = Patterns.of(X)
    never = np.flatnonzero(patterns.missing.all(axis=0))
    if len(never):
        labels = list(range(X.shape[1])) if names is None else list(names)
        missing = ", ".join(repr(labels[feature]) for feature in never[:10])
        missing += ", ..." if len(never) > 10 else ""
        raise ValueError(
            f"Expected an observed value in each feature, got none in {len(never)} of "
            f"{X.shape[1]}: all entries of feature {missing} are missing (NaN) in the rows of "
            "positive weight. Leave such features out."
        )
    # Rows without any entry come last.
    n_blank = int((patterns.numbers == len(patterns.missing) - 1).sum())
    order = patterns.order()[: len(X) - n_blank * bool(patterns.missing[-1].all())]
    return _some_rows(order, X, weights, others)


def _some_rows(
    chosen: IntArray, X: Data, weights: Array | None, others: tuple[Data | None, ...]
) -> tuple[Data, Array | None, tuple[Data | None, ...]]:
    return (
        np.take(X, chosen, axis=0),
        None if weights is None else weights[chosen],
        tuple(None if other is None else other[chosen] for other in others),
    )


def order_by_pattern(X: Data) -> IntArray | slice:
    """Return an order of the rows in which those that miss the same entries are neighbours."""
    if not has_missing(X):
        return slice(None)
    return Patterns.of(X).order()


class MissingValuesMixin:
    """The methods of a fitted Gaussian mixture that complete rows."""

    @overload
    def impute(self, X: Frame) -> Frame: ...
    @overload
    def impute(self, X: npt.ArrayLike) -> Data: ...
    def impute(self, X: Any) -> Any:
        r"""Return rows with the expectation in the place of each missing entry.

        .. math:: \operatorname{E}[x_m \mid x_o] = \sum_k p(k \mid x_o)
                  \left[ \mu_{k,m} + \Sigma_{k,mo} \Sigma_{k,oo}^{-1} (x_o - \mu_{k,o}) \right]

        It is the best guess of each entry in squared error. Imputed rows vary less than
        complete ones would; for estimates and their errors use `sample_missing`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN entries are missing. A row without any entry becomes the mean of the mixture.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            Observed entries as they were. A DataFrame of pandas or polars is returned for one,
            with its index, columns and dtypes (a column of integers in which entries are missing
            becomes floating-point); ``sklearn.set_config(transform_output=...)`` asks for another.

        Examples
        --------
        >>> import numpy as np
        >>> from em_toolkit import GaussianMixture
        >>> from em_toolkit.datasets import load_faithful
        >>> gm = GaussianMixture(n_components=2, random_state=0).fit(load_faithful().data)
        >>> gm.impute([[2.0, np.nan], [4.0, np.nan], [np.nan, 80.0]]).round(1)
        array([[ 2. , 54.2],
               [ 4. , 78.4],
               [ 4.3, 80. ]])
        """
        estimator: Any = self
        data: Data = estimator._fitted_rows(X)
        family, components = estimator._incomplete()
        imputed = data.astype(estimator._precision(data))
        for rows, posterior, _ in estimator._posteriors(data):
            block = np.asarray(data[rows], dtype=np.float64)
            filled = family.expected_rows(components, block, posterior.responsibilities)
            imputed[rows] = np.where(np.isnan(block), filled, data[rows])
        names = getattr(self, "feature_names_in_", None)
        return completed_like(X, imputed, np.isnan(data), names)

    @overload
    def sample_missing(
        self, X: Frame, random_state: int | np.random.RandomState | None = None
    ) -> Frame: ...
    @overload
    def sample_missing(
        self, X: npt.ArrayLike, random_state: int | np.random.RandomState | None = None
    ) -> Data: ...
    def sample_missing(
        self, X: Any, random_state: int | np.random.RandomState | None = None
    ) -> Any:
        """Return rows with a draw from the posterior in the place of each missing entry.

        The component of a row is drawn first, and its missing entries together given the
        component. Several completions, each analysed as if complete, show the uncertainty of
        results that is due to missing entries (multiple imputation, Rubin 1987). The
        parameters are held at their estimates.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN entries are missing.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws; None draws anew at each call.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            Observed entries as they were. A DataFrame of pandas or polars is returned for one,
            with its index, columns and dtypes (a column of integers in which entries are missing
            becomes floating-point); ``sklearn.set_config(transform_output=...)`` asks for another.

        Examples
        --------
        >>> import numpy as np
        >>> from em_toolkit import GaussianMixture
        >>> from em_toolkit.datasets import load_faithful
        >>> gm = GaussianMixture(n_components=2, random_state=0).fit(load_faithful().data)
        >>> rows = np.tile([[4.0, np.nan]], (1000, 1))
        >>> waiting = gm.sample_missing(rows, random_state=0)[:, 1]
        >>> bool(abs(waiting.mean() - gm.impute(rows)[0, 1]) < 1.0)
        True
        """
        estimator: Any = self
        data: Data = estimator._fitted_rows(X)
        family, components = estimator._incomplete()
        rng = check_random_state(random_state)
        # Drawn in the order of the rows, whatever the order in which they are worked on.
        places, noise = rng.uniform(size=data.shape[0]), rng.standard_normal(data.shape)
        completed = data.astype(estimator._precision(data))
        for rows, posterior, _ in estimator._posteriors(data):
            cumulative = np.cumsum(posterior.responsibilities, axis=1)
            below = places[rows, None] * cumulative[:, -1:] >= cumulative
            labels = np.minimum(below.sum(axis=1), cumulative.shape[1] - 1)
            block = np.asarray(data[rows], dtype=np.float64)
            drawn = family.drawn_rows(components, block, labels, noise[rows])
            completed[rows] = np.where(np.isnan(block), drawn, data[rows])
        names = getattr(self, "feature_names_in_", None)
        return completed_like(X, completed, np.isnan(data), names)

"""Missing entries of rows, completed by their posterior under a fitted mixture.

A NaN entry is a missing value. The likelihood is that of the observed entries, and EM has the
missing ones among its latent variables (Ghahramani & Jordan 1994): the fit is exact. The log
density of a row is that of its observed entries. Entries should be missing at random: whether an
entry is missing may depend on what is observed, but not on the missing value (Rubin 1976).

A row without any entry has no information: its log density is 0, its most probable component that
of the largest weight, and fits, scores and criteria leave the row out. A feature without any entry
is an error in a fit. A start is found on rows whose missing entries are drawn from one normal
distribution that is fitted to all rows.

References
----------
Ghahramani & Jordan (1994), NIPS 6. Rubin (1976), Biometrika 63. Rubin (1987), Multiple Imputation
for Nonresponse in Surveys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from em_toolkit.analysis.posteriors import Data, posteriors
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array, IntArray


def impute(
    mixture: Mixture[Any],
    params: MixtureParameters[Any],
    X: Data,
    n_jobs: int | None = 1,
    dtype: Any = np.float64,
) -> Data:
    r"""Return rows with the expectation in the place of each missing entry.

    .. math:: \operatorname{E}[x_m \mid x_o]
              = \sum_k p(k \mid x_o) \, \operatorname{E}[x_m \mid x_o, k]

    Parameters
    ----------
    mixture : Mixture
        Of a family that integrates out missing entries.
    params : MixtureParameters
    X : ndarray of shape (n_rows, n_features)
        NaN where an entry is missing.
    n_jobs : int or None
        The number of threads.
    dtype : dtype
        That of the result.

    Returns
    -------
    completed : ndarray of shape (n_rows, n_features)
    """

    def expected(rows: slice | IntArray, block: Array, posterior: Any) -> Array:
        found: Array = mixture.family.expected_rows(
            params.components, block, posterior.responsibilities
        )
        return found

    return _completed(mixture, params, X, expected, n_jobs, dtype)


def draw_missing(
    mixture: Mixture[Any],
    params: MixtureParameters[Any],
    X: Data,
    rng: np.random.RandomState,
    n_jobs: int | None = 1,
    dtype: Any = np.float64,
) -> Data:
    """Return rows with a draw from the posterior in the place of each missing entry.

    The component of a row is drawn first, and its missing entries together given the component.

    Parameters
    ----------
    mixture : Mixture
        Of a family that integrates out missing entries.
    params : MixtureParameters
    X : ndarray of shape (n_rows, n_features)
        NaN where an entry is missing.
    rng : RandomState
    n_jobs : int or None
        The number of threads.
    dtype : dtype
        That of the result.

    Returns
    -------
    completed : ndarray of shape (n_rows, n_features)
    """
    # Drawn in the order of the rows, whatever the order in which they are worked on.
    places = rng.uniform(size=X.shape[0])
    noise = rng.standard_normal(X.shape)

    def drawn(rows: slice | IntArray, block: Array, posterior: Any) -> Array:
        cumulative = np.cumsum(posterior.responsibilities, axis=1)
        below = np.asarray(places)[rows, None] * cumulative[:, -1:] >= cumulative
        labels = np.minimum(below.sum(axis=1), cumulative.shape[1] - 1)
        found: Array = mixture.family.drawn_rows(params.components, block, labels, noise[rows])
        return found

    return _completed(mixture, params, X, drawn, n_jobs, dtype)


def _completed(
    mixture: Mixture[Any],
    params: MixtureParameters[Any],
    X: Data,
    values: Callable[[slice | IntArray, Array, Any], Array],
    n_jobs: int | None,
    dtype: Any,
) -> Data:
    completed = X.astype(dtype)
    for rows, posterior, _ in posteriors(mixture, params, X, n_jobs):
        block = np.asarray(X[rows], dtype=np.float64)
        completed[rows] = np.where(np.isnan(block), values(rows, block, posterior), X[rows])
    return completed

"""Gaussian mixture regression: what a mixture predicts of some features from others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp
from sklearn.utils import gen_batches

from em_toolkit.analysis.conditioning import (
    ConditionalMixture,
    GaussianMixtureParameters,
    dense,
)
from em_toolkit.analysis.features import feature_indices, targets_given
from em_toolkit.statistics import Array

# Numbers that are held for a block of rows.
_AT_ONCE = 2**18
_LOG_2_PI = float(np.log(2.0 * np.pi))


class ConditionalMoments(NamedTuple):
    """Mean and covariance of the targets of each row, given the rest of it.

    Parameters
    ----------
    mean : ndarray of shape (n_rows, n_targets)
    covariance : ndarray of shape (n_rows, n_targets, n_targets)
    """

    mean: Array
    covariance: Array


def predict_conditional(
    params: GaussianMixtureParameters, X_given: npt.ArrayLike, given: Any, targets: Any = None
) -> ConditionalMoments:
    r"""Mean and covariance of the targets, for many rows of what is given at once.

    With h_k = p(k | x_g), and m_k and C_k the mean and covariance of the targets given x_g within
    a component (Ghahramani & Jordan 1994, section 4.3; Cohn, Ghahramani & Jordan 1996, eqs 9–10;
    the second is the law of total covariance),

    .. math:: \mathrm E[x_t \mid x_g] = m = \sum_k h_k m_k, \qquad
              \mathrm{Cov}[x_t \mid x_g] = \sum_k h_k \big[ C_k + (m_k - m)(m_k - m)^\top \big]

    Parameters
    ----------
    params : MixtureParameters
        Of Gaussian components.
    X_given : array-like of shape (n_rows, n_given)
        The values of the given features, a row each.
    given : int or array-like of int
        Which features they are, in the order of the columns.
    targets : int or array-like of int, default=None
        The features to predict, in the order wanted; all that are not given by default. Those
        that are neither are integrated out.

    Returns
    -------
    moments : ConditionalMoments

    Raises
    ------
    ValueError
        As `condition` does.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit.families import GaussianComponents, TiedCovariances
    >>> from em_toolkit.models import MixtureParameters
    >>> means = np.array([[-2.0, 1.0], [2.0, 5.0]])
    >>> components = GaussianComponents(means, TiedCovariances(np.eye(2)[None], 2))
    >>> params = MixtureParameters(np.array([0.5, 0.5]), components)
    >>> mean, covariance = predict_conditional(params, [[0.0], [9.0]], given=0)
    >>> mean
    array([[3.],
           [5.]])
    >>> covariance[:, 0, 0]
    array([5., 1.])
    """
    conditional, X = _prepare(params, X_given, given, targets)
    n_targets = conditional.target_means.shape[1]
    mean = np.empty((X.shape[0], n_targets))
    covariance = np.empty((X.shape[0], n_targets, n_targets))
    within = dense(conditional.covariances)
    for rows in _blocks(X, conditional):
        weights = np.exp(conditional.log_weights(X[rows]))
        means = conditional.means(X[rows])
        mean[rows] = _average(weights, means)
        deviations = means - mean[rows][:, None, :]
        deviations *= np.sqrt(weights)[:, :, None]
        np.matmul(deviations.transpose(0, 2, 1), deviations, out=covariance[rows])
        covariance[rows] += np.tensordot(weights, within, axes=1)
    return ConditionalMoments(mean, covariance)


def conditional_mean(
    params: GaussianMixtureParameters, X_given: npt.ArrayLike, given: Any, targets: Any = None
) -> Array:
    """Return the mean of the targets alone, where the covariances would take too much memory.

    Parameters
    ----------
    params, X_given, given, targets
        As in `predict_conditional`.

    Returns
    -------
    mean : ndarray of shape (n_rows, n_targets)
    """
    conditional, X = _prepare(params, X_given, given, targets)
    mean = np.empty((X.shape[0], conditional.target_means.shape[1]))
    for rows in _blocks(X, conditional):
        weights = np.exp(conditional.log_weights(X[rows]))
        mean[rows] = _average(weights, conditional.means(X[rows]))
    return mean


def conditional_log_density(
    params: GaussianMixtureParameters,
    X_given: npt.ArrayLike,
    X_targets: npt.ArrayLike,
    given: Any,
    targets: Any = None,
) -> Array:
    r"""Return the log density of the targets of each row, given the rest of it, in nats.

    .. math:: \log p(x_t \mid x_g) = \log \sum_k p(k \mid x_g) \, \mathcal N(x_t \mid m_k, C_k)

    and not the difference log p(x_t, x_g) − log p(x_g), which would lose its digits where x_g is
    far out.

    Parameters
    ----------
    params, X_given, given, targets
        As in `predict_conditional`.
    X_targets : array-like of shape (n_rows, n_targets)
        The values of the targets.

    Returns
    -------
    log_density : ndarray of shape (n_rows,)
    """
    conditional, X = _prepare(params, X_given, given, targets)
    Y = np.asarray(X_targets, dtype=np.float64)
    expected = (X.shape[0], conditional.target_means.shape[1])
    if Y.shape != expected:
        raise ValueError(
            f"X_targets: expected shape {expected}, a row for each of X_given and a column for "
            f"each target, got {Y.shape}."
        )
    log_density = np.empty(X.shape[0])
    for rows in _blocks(X, conditional):
        log_joint = conditional.log_weights(X[rows])
        means = conditional.means(X[rows])
        for k in range(means.shape[1]):
            log_joint[:, k] += _log_density_within(conditional, Y[rows] - means[:, k], k)
        log_density[rows] = logsumexp(log_joint, axis=1)
    return log_density


def _prepare(
    params: GaussianMixtureParameters, X_given: npt.ArrayLike, given: Any, targets: Any
) -> tuple[ConditionalMixture, Array]:
    params.check()
    n_features = params.components.means.shape[1]
    given = feature_indices(given, n_features, argument="given")
    if targets is not None:
        targets = feature_indices(targets, n_features, argument="targets")
    targets = targets_given(given, targets, n_features)
    X = np.asarray(X_given, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != given.shape[0]:
        raise ValueError(
            f"X_given: expected shape (n_rows, {given.shape[0]}), a column for each feature that "
            f"is given, got {X.shape}."
        )
    if not np.isfinite(X).all():
        row = int(np.flatnonzero(~np.isfinite(X).all(axis=1))[0])
        raise ValueError(
            f"X_given: expected finite numbers, got {X[row]} in row {row}. A feature whose value "
            "is not known is not given: predict such rows apart, from the features they have."
        )
    return ConditionalMixture.of(params, given, targets), X


def _blocks(X: Array, conditional: ConditionalMixture) -> Iterator[slice]:
    n_components, n_targets = conditional.target_means.shape
    a_row = n_components * (n_targets + X.shape[1]) + n_targets**2
    return gen_batches(X.shape[0], max(1, _AT_ONCE // a_row))


def _average(weights: Array, means: Array) -> Array:
    return np.einsum("ik,ikt->it", weights, means)


def _log_density_within(conditional: ConditionalMixture, deviations: Array, k: int) -> Array:
    covariances = conditional.covariances
    constant = deviations.shape[1] * _LOG_2_PI + covariances.log_determinants[k]
    return np.asarray(-0.5 * (constant + np.square(covariances.whiten(deviations, k)).sum(axis=1)))

r"""Missing entries of normal rows: latent variables, whose posterior is normal too.

With o the observed features of a row and m the missing ones, the density of what was seen is

.. math:: \log p(x_o \mid k) = -\tfrac12 \left[ |o| \log 2\pi + \log |\Sigma_{k,oo}|
          + (x_o - \mu_{k,o})^\top \Sigma_{k,oo}^{-1} (x_o - \mu_{k,o}) \right],

0 for a row of which nothing was. The posterior of what is missing is normal, with

.. math:: \hat x_m = \mu_{k,m} + \Sigma_{k,mo} \Sigma_{k,oo}^{-1} (x_o - \mu_{k,o}), \qquad
          C_{k,mm} = \Sigma_{k,mm} - \Sigma_{k,mo} \Sigma_{k,oo}^{-1} \Sigma_{k,om}

and entropy ½ (|m| log 2πe + log |C_mm|). The expected second moment is that of the rows with x̂ in
the place of what is missing, *and* Σ_i r_ik C_ik, without which the variances would be too small
(Ghahramani & Jordan 1994, NIPS 6; Little & Rubin 2002, section 11.2). Ignoring why entries are
missing is right if they are missing at random: if whether an entry is missing depends on observed
values alone (Rubin 1976).

The work of a pattern of missing entries is done once for all rows of a block that have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.completion import Completion
from em_toolkit.covariances.patterns import Patterns, Runs
from em_toolkit.statistics import Array, IntArray, Statistics, sum_by_pairs, sum_of_products

_LOG_2_PI = float(np.log(2.0 * np.pi))
# Numbers in the matrices of the runs of rows that are held at a time.
_AT_ONCE = 2**20


def entropy_and_log_density(
    means: Array, covariances: Covariances, X: Array
) -> tuple[Array, Array]:
    """Return the entropy of missing entries, and the log density of observed ones.

    Parameters
    ----------
    means : ndarray of shape (n_components, n_features)
    covariances : Covariances
    X : ndarray of shape (n_rows, n_features)

    Returns
    -------
    entropy, log_density : ndarray of shape (n_rows, n_components)
        Given each component, in nats.
    """
    log_density = np.empty((X.shape[0], means.shape[0]))
    entropy = np.empty_like(log_density)
    for rows, runs, completion in completions(means, covariances, X):
        n_missing = (~runs.observed).sum(axis=1)[:, None]
        of_runs = n_missing * (1.0 + _LOG_2_PI) + completion.log_determinants_of_missing
        entropy[rows] = np.repeat(0.5 * of_runs, runs.lengths, axis=0)
        constants = runs.observed.sum(axis=1)[:, None] * _LOG_2_PI
        constants = constants + completion.log_determinants
        log_density[rows] = np.repeat(constants, runs.lengths, axis=0)
        for k, deviations in about_means(means, X[rows]):
            whitened = completion.whiten(deviations, k)
            log_density[rows, k] += np.einsum("ij,ij->i", whitened, whitened)
    log_density *= -0.5
    return entropy, log_density


def expected_moments(
    means: Array, covariances: Covariances, X: Array, responsibilities: Array
) -> tuple[Array, Array]:
    """Return the expected first and second moments of rows about the means.

    Parameters
    ----------
    means : ndarray of shape (n_components, n_features)
    covariances : Covariances
    X : ndarray of shape (n_rows, n_features)
    responsibilities : ndarray of shape (n_rows, n_components)
        Times the weights of the rows.

    Returns
    -------
    first_moment : ndarray of shape (n_components, n_features)
    second_moment : ndarray, in the shape of the structure's scatter
    """
    moments = sum_by_pairs(
        _Moments(*_moments(means, covariances, X[rows], responsibilities[rows], runs, completion))
        for rows, runs, completion in completions(means, covariances, X)
    )
    return moments.first, moments.second


@dataclass(frozen=True, eq=False)
class _Moments(Statistics):
    first: Array
    second: Array


def _moments(
    means: Array,
    covariances: Covariances,
    X: Array,
    responsibilities: Array,
    runs: Runs,
    completion: Completion,
) -> tuple[Array, Array]:
    of_runs = runs.sums(responsibilities)
    # About the means, each component has rows of its own: those that it expects.
    center = np.zeros((1, means.shape[1]))
    first_moment, second_moments = np.empty(means.shape), []
    for k, deviations in about_means(means, X):
        expected = completion.fill(deviations, completion.whiten(deviations, k), k)
        shares = responsibilities[:, k, None]
        first_moment[k] = sum_of_products(shares, expected)[0]
        residuals = completion.residuals(k)
        second_moments.append(
            covariances.second_moment(
                np.concatenate([expected, residuals.rows]),
                center,
                np.concatenate([shares, of_runs[residuals.run, k, None]]),
            )
        )
    return first_moment, covariances.joined(second_moments)


def expected_rows(
    means: Array, covariances: Covariances, X: Array, responsibilities: Array
) -> Array:
    """Return Σ_k r_ik E[x_i | what was observed, k]: rows whose NaN entries are filled in.

    Parameters
    ----------
    means : ndarray of shape (n_components, n_features)
    covariances : Covariances
    X : ndarray of shape (n_rows, n_features)
    responsibilities : ndarray of shape (n_rows, n_components)
    """
    expected = np.zeros(X.shape)
    for rows, _, completion in completions(means, covariances, X):
        for k, deviations in about_means(means, X[rows]):
            filled = completion.fill(deviations, completion.whiten(deviations, k), k)
            expected[rows] += responsibilities[rows, k, None] * (means[k] + filled)
    return np.where(np.isnan(X), expected, X)


def drawn_rows(
    means: Array, covariances: Covariances, X: Array, labels: IntArray, noise: Array
) -> Array:
    """Return rows whose NaN entries are drawn from their posterior given the component.

    Parameters
    ----------
    means : ndarray of shape (n_components, n_features)
    covariances : Covariances
    X, noise : ndarray of shape (n_rows, n_features)
        The rows, and standard normal numbers for them.
    labels : ndarray of shape (n_rows,)
        The component of each row.
    """
    drawn = np.empty(X.shape)
    for rows, _, completion in completions(means, covariances, X):
        for k, deviations in about_means(means, X[rows]):
            filled = completion.fill(deviations, completion.whiten(deviations, k), k)
            of_component = means[k] + filled + completion.draw(noise[rows], k)
            drawn[rows] = np.where((labels[rows] == k)[:, None], of_component, drawn[rows])
    return np.where(np.isnan(X), drawn, X)


def completions(
    means: Array, covariances: Covariances, X: Array
) -> Iterator[tuple[slice | IntArray, Runs, Completion]]:
    """Yield rows that are alike in what they miss, a few runs at a time.

    Parameters
    ----------
    means : ndarray of shape (n_components, n_features)
    covariances : Covariances
    X : ndarray of shape (n_rows, n_features)

    Yields
    ------
    rows : slice or ndarray of int
        Rows of X, so ordered that those of a pattern are neighbours.
    runs : Runs
        Their patterns.
    completion : Completion
        What the observed entries of each pattern say of the missing ones.
    """
    n_numbers = means.size * means.shape[1]
    runs, order = Runs.of(X), None
    if len(runs.lengths) > 1:
        patterns = Patterns.of(X)
        if len(patterns.missing) < len(runs.lengths):
            order = patterns.order()
            runs = Runs.of(X[order])
    for rows, some in runs.parts(max(1, _AT_ONCE // n_numbers)):
        yield rows if order is None else order[rows], some, covariances.completion(some)


def about_means(means: Array, X: Array) -> Iterator[tuple[int, Array]]:
    """Yield x − μ_k for each component, zero where an entry is missing.

    Parameters
    ----------
    means : ndarray of shape (n_components, n_features)
    X : ndarray of shape (n_rows, n_features)
        NaN where an entry is missing.

    Yields
    ------
    component : int
    deviations : ndarray of shape (n_rows, n_features)
    """
    observed = ~np.isnan(X)
    for k, mean in enumerate(means):
        yield k, np.where(observed, X - mean, 0.0)

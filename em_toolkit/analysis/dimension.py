"""The number of components of probabilistic PCA, chosen from the variances along the axes."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from em_toolkit.linalg.principal_axes import PrincipalAxes
from em_toolkit.statistics import EPS, Array

# Variances that differ by less, relative to the largest, are equal but for rounding.
_EQUAL = 64.0 * EPS


def dimension_of_share(axes: PrincipalAxes, share: float) -> int:
    """Return how many components explain more than a share of the total variance.

    Parameters
    ----------
    axes : PrincipalAxes
        All of them.
    share : float
        Between 0 and 1.
    """
    explained = np.cumsum(axes.variances / axes.total_variance)
    return int(np.searchsorted(explained, share, side="right")) + 1


def dimension_of_most_evidence(axes: PrincipalAxes) -> int:
    """Return the number of components whose marginal likelihood, by `log_evidence`, is largest.

    It is at least 1, and leaves some variance to the noise.

    Parameters
    ----------
    axes : PrincipalAxes
        All of them.
    """
    variances = np.zeros(axes.n_features)
    variances[: len(axes.variances)] = axes.variances
    evidence = log_evidence(variances, axes.weight)[: max(1, axes.rank - 1)]
    return int(evidence.argmax()) + 1


def log_evidence(variances: Array, n_rows: float) -> Array:
    r"""Return the log marginal likelihood of 1 to d − 1 components, up to a constant.

    Minka's approximation by Laplace's method, for eigenvalues :math:`\lambda_1 \ge \dots \ge
    \lambda_d` of the covariance of n rows, and the mean :math:`v` of those that k components leave:

    .. math::
        \log p(X \mid k) \approx \log p(U) - \tfrac n2 \sum_{i \le k} \log \lambda_i
        - \tfrac{n (d - k)}2 \log v + \tfrac{m + k}2 \log 2 \pi
        - \tfrac12 \log |A| - \tfrac k2 \log n

    with :math:`m = d k - k (k + 1) / 2`, the volume :math:`p(U)` of the orthonormal frames and
    :math:`|A| = \prod_{i \le k} \prod_{j > i} n (\lambda_i - \lambda_j)(1 / \hat\lambda_j - 1 /
    \hat\lambda_i)`, where :math:`\hat\lambda_j` is v for j > k. It is the criterion of
    scikit-learn's ``PCA(n_components="mle")``.

    Parameters
    ----------
    variances : ndarray of shape (n_features,)
        λ, falling.
    n_rows : float
        n, or the sum of weights.

    Returns
    -------
    log_evidence : ndarray of shape (n_features - 1,)
        −inf where eigenvalues among the first k, or one of them and a later one, coincide: the
        axes are then not determined, and the approximation does not exist.

    References
    ----------
    Minka (2000), Automatic choice of dimensionality for PCA, NIPS 13.
    """
    d = len(variances)
    k = np.arange(1, d)
    left = np.cumsum(variances[::-1])[::-1]
    v = left[1:] / (d - k)
    # log p(U), the volumes of the spheres on which one direction after the other is chosen.
    sizes = 0.5 * (d - k + 1)
    frames = np.cumsum(gammaln(sizes) - sizes * np.log(np.pi)) - k * np.log(2.0)
    m = d * k - k * (k + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(variances)
        differences = variances[:, None] - variances
        later = np.triu(np.ones((d, d), dtype=np.bool_), k=1)
        apart = differences > _EQUAL * variances[0]
        # Of i and j > i: log(λ_i − λ_j), which occurs for every k ≥ i, and for k ≥ j
        # log(1/λ_j − 1/λ_i), which is the same less the logarithms of both.
        gaps = np.where(later & apart, np.log(np.where(apart, differences, 1.0)), 0.0)
        both_kept = np.where(later, gaps - logs[:, None] - logs, 0.0)
        against_noise = np.log(1.0 / v[:, None] - 1.0 / variances)
        against_noise = np.where(np.arange(d) < k[:, None], against_noise, 0.0)
        log_a = (
            np.cumsum(gaps.sum(axis=1))[:-1]
            + np.cumsum(both_kept.sum(axis=0))[:-1]
            + (d - k) * against_noise.sum(axis=1)
            + m * np.log(n_rows)
        )
        evidence = (
            frames
            - 0.5 * n_rows * (np.cumsum(logs)[:-1] + (d - k) * np.log(v))
            + 0.5 * (m + k) * np.log(2.0 * np.pi)
            - 0.5 * (log_a + k * np.log(n_rows))
        )
    coincide = np.logical_or.accumulate((later & ~apart).any(axis=1))[:-1]
    return np.where(coincide | np.isnan(evidence), -np.inf, evidence)

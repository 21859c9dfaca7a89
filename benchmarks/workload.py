"""What is fitted: cases, their data and start, and the likelihood of what came out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from em_toolkit.options import CovarianceType
from em_toolkit.statistics import Array

# Evaluated beyond as many rows would only cost time: the parameters depend on all of them.
_EVALUATED_ROWS = 50_000


@dataclass(frozen=True)
class Case:
    """One size of a problem.

    Parameters
    ----------
    n_rows, n_features, n_components : int
    covariance_type : {"full", "tied", "diag", "spherical"}
    n_iter : int
        Iterations of a fit.
    n_runs : int
        Fits of each program, of whose times the median is taken.
    """

    n_rows: int
    n_features: int
    n_components: int
    covariance_type: CovarianceType
    n_iter: int = 10
    n_runs: int = 5

    def __str__(self) -> str:
        return (
            f"{self.n_rows:,} × {self.n_features}, K = {self.n_components}, {self.covariance_type}"
        )

    def quick(self) -> Case:
        """Everything small: to see that it works."""
        return replace(
            self,
            n_rows=min(self.n_rows, 1_000),
            n_features=min(self.n_features, 8),
            n_components=min(self.n_components, 5),
            n_iter=2,
            n_runs=2,
        )


@dataclass(frozen=True)
class Workload:
    """Data, and the parameters from which every program starts.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_components,)
    means : ndarray of shape (n_components, n_features)
    variance : ndarray of shape (1,)
        Of every component in every direction, so that all structures start from the same.
    """

    X: Array
    weights: Array
    means: Array
    variance: Array

    @classmethod
    def of(cls, case: Case) -> Workload:
        """Rows of Gaussians that overlap a little, and a start near them.

        In any number of features the centers are some four standard deviations apart, so that
        responsibilities are neither all 0 or 1, nor alike, and EM is not done in a few iterations.
        The means of the start are off by one; its covariance is a sphere as wide as all the data.
        """
        rng = np.random.default_rng(0)
        shape = (case.n_components, case.n_features)
        centers = np.sqrt(8.0 / case.n_features) * rng.standard_normal(shape)
        X = rng.standard_normal((case.n_rows, case.n_features))
        X += centers[rng.integers(case.n_components, size=case.n_rows)]
        means = centers + np.sqrt(1.0 / case.n_features) * rng.standard_normal(shape)
        weights = np.full(case.n_components, 1.0 / case.n_components)
        return cls(X, weights, means, variance=np.array([X.var(axis=0).mean()]))

    def write(self, folder: Path) -> None:
        """As raw doubles, row by row, which every language reads."""
        for name, values in vars(self).items():
            values.tofile(folder / name)


@dataclass(frozen=True)
class Solution:
    """Fitted parameters; the covariances have scikit-learn's shape for their structure."""

    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def read(cls, path: Path, case: Case) -> Solution:
        """What a worker wrote: weights, means and covariances, one after the other."""
        K, d = case.n_components, case.n_features
        weights, means, covariances = np.split(np.fromfile(path), [K, K + K * d])
        return cls(weights, means.reshape(K, d), covariances)


# A list of matrices from the numbers of a structure.
_MATRICES: dict[str, Callable[[Array, int, int], Array]] = {
    "full": lambda values, K, d: values.reshape(K, d, d),
    "tied": lambda values, K, d: np.broadcast_to(values.reshape(d, d), (K, d, d)),
    "diag": lambda values, K, d: values.reshape(K, d, 1) * np.eye(d),
    "spherical": lambda values, K, d: values.reshape(K, 1, 1) * np.eye(d),
}


def mean_log_likelihood(X: Array, solution: Solution, covariance_type: str) -> float:
    """Mean log density of (a part of) the rows, in nats, by scipy's multivariate normal.

    It is what all programs are compared by, and shares no code with any of them. NaN where the
    parameters are not finite.
    """
    if not all(np.isfinite(values).all() for values in vars(solution).values()):
        return np.nan
    rows = X[:: -(-X.shape[0] // _EVALUATED_ROWS)]
    matrices = _MATRICES[covariance_type](solution.covariances, *solution.means.shape)
    log_joint = [
        np.log(weight) + multivariate_normal(mean, matrix).logpdf(rows)
        for weight, mean, matrix in zip(solution.weights, solution.means, matrices, strict=True)
    ]
    return float(logsumexp(log_joint, axis=0).mean())

"""Standard errors by differences of scipy's densities, for any of mclust's structures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from oracles import Data, mixture_log_density, random_covariance
from scipy.linalg import expm
from scipy.stats import multivariate_normal

from em_toolkit import GaussianMixture

K, D = 2, 3
TIGHT: dict[str, Any] = {
    "random_state": 0,
    "tol": 1e-14,
    "max_iter": 5000,
    "stopping": "distance",
}


def hessian(function: Callable[[Data], float], at: Data, steps: Data) -> Data:
    """Second differences, extrapolated to fourth order."""
    one, other = (second_differences(function, at, scale * steps) for scale in (1.0, 2.0))
    return (4.0 * one - other) / 3.0


def second_differences(function: Callable[[Data], float], at: Data, steps: Data) -> Data:
    values, moves = np.empty((at.size, at.size)), np.diag(steps)
    for i, one in enumerate(moves):
        for j, other in enumerate(moves[: i + 1]):
            values[i, j] = values[j, i] = (
                function(at + one + other)
                - function(at + one - other)
                - function(at - one + other)
                + function(at - one - other)
            ) / (4.0 * steps[i] * steps[j])
    return values


class Structured:
    """A mixture by volumes, shapes and turns about the axes of a fit; nothing of the package's.

    Coordinates are all weights but the last, means, logarithms of volumes, those of the lengths
    of all axes but the last for a volume of one, and angles of turns.
    """

    def __init__(self, fit: Any) -> None:
        name = fit.covariance_type
        self.K, self.d = fit.means_.shape
        self.published, matrices = fit.covariances_.shape, self.matrices_of(name, fit.covariances_)
        if name.endswith("I"):
            self.axes = np.stack([np.eye(self.d)] * self.K)
        elif name[2] == "E":
            # Of their sum: that of matrices with the same axes has these.
            self.axes = np.stack([np.linalg.eigh(matrices.sum(axis=0))[1]] * self.K)
        else:
            self.axes = np.linalg.eigh(matrices)[1]
        logs = np.log(np.einsum("kji,kjl,kli->ki", self.axes, matrices, self.axes))
        volumes = logs.mean(axis=1)
        planes = self.d * (self.d - 1) // 2
        parts = [volumes[:, None], (logs - volumes[:, None])[:, :-1], np.zeros((self.K, planes))]
        copies = [{"E": 1, "V": self.K, "I": 0}[letter] for letter in name]
        self.parts = [part[:n] for part, n in zip(parts, copies, strict=True)]
        of_matrices = np.concatenate([part.ravel() for part in self.parts])
        self.theta = np.concatenate([fit.weights_[:-1], fit.means_.ravel(), of_matrices])

    def matrices_of(self, name: str, values: Data) -> Data:
        values = np.asarray(values)
        if name.endswith("II"):
            return values[:, None, None] * np.eye(self.d)
        if name.endswith("I"):
            return values[:, :, None] * np.eye(self.d)
        return np.broadcast_to(values, (self.K, self.d, self.d))

    def unpack(self, theta: Data) -> tuple[Data, Data, Data]:
        """Weights, means and K matrices."""
        K, d = self.K, self.d
        weights, means, rest = np.split(theta, [K - 1, K - 1 + K * d])
        full = []
        for part in self.parts:
            own, rest = rest[: part.size].reshape(part.shape), rest[part.size :]
            size = (K, part.shape[1])
            full.append(np.broadcast_to(own, size) if len(own) else np.zeros(size))
        volumes, shapes, angles = full
        matrices = np.empty((K, d, d))
        for k in range(K):
            logs = volumes[k] + np.append(shapes[k], -shapes[k].sum())
            turn = np.zeros((d, d))
            turn[np.triu_indices(d, 1)] = angles[k]
            axes = self.axes[k] @ expm(turn - turn.T)
            matrices[k] = (axes * np.exp(logs)) @ axes.T
        return np.append(weights, 1.0 - weights.sum()), means.reshape(K, d), matrices

    def published_of(self, matrices: Data) -> Data:
        if self.published == (self.K,):
            return matrices[:, 0, 0]
        if self.published == (self.K, self.d):
            return np.diagonal(matrices, axis1=1, axis2=2)
        return matrices[0] if self.published == (self.d, self.d) else matrices

    def public(self, theta: Data) -> dict[str, Data]:
        weights, means, matrices = self.unpack(theta)
        return {"weights": weights, "means": means, "covariances": self.published_of(matrices)}

    @property
    def scale(self) -> Data:
        return np.maximum(np.abs(self.theta), 0.1)

    def slopes(self, name: str) -> Data:
        """Of what is published, along each coordinate, which is the last axis."""
        columns = []
        for move in np.diag(1e-5 * self.scale):
            ends = [self.public(self.theta + sign * move)[name] for sign in (1.0, -1.0)]
            columns.append((ends[0] - ends[1]) / (2.0 * move.max()))
        return np.stack(columns, axis=-1)

    def errors(
        self, objective: Callable[[Data, Data, Data], float], free: Any = slice(None)
    ) -> dict[str, Data]:
        """The standard errors of what is published, by the delta method."""

        def along(at: Data) -> float:
            theta = self.theta.copy()
            theta[free] = at
            return objective(*self.unpack(theta))

        steps = 2e-3 * self.scale[free]
        covariance = np.linalg.inv(-hessian(along, self.theta[free], steps))
        found = {}
        for name in ("weights", "means", "covariances"):
            slopes = self.slopes(name)[..., free]
            variances = np.einsum("...i,ij,...j->...", slopes, covariance, slopes)
            found[name] = np.sqrt(variances)
        return found


def log_densities_of(X: Data) -> Callable[[Data, Data], Data]:
    """As a function of means and K matrices, by scipy's densities of what is observed alone."""
    seen = ~np.isnan(X)
    patterns = [pattern for pattern in np.unique(seen, axis=0) if pattern.any()]
    groups = [np.flatnonzero((seen == pattern).all(axis=1)) for pattern in patterns]

    def value(means: Data, matrices: Data) -> Data:
        densities = np.zeros((len(X), len(means)))
        for pattern, rows in zip(patterns, groups, strict=True):
            for k, (mean, matrix) in enumerate(zip(means, matrices, strict=True)):
                normal = multivariate_normal(mean[pattern], matrix[np.ix_(pattern, pattern)])
                densities[rows, k] = normal.logpdf(X[rows][:, pattern])
        return densities

    return value


def log_likelihood_of(X: Data) -> Callable[[Data, Data, Data], float]:
    """As a function of weights, means and K matrices."""
    log_densities = log_densities_of(X)

    def value(weights: Data, means: Data, matrices: Data) -> float:
        return float(mixture_log_density(np.log(weights), log_densities(means, matrices)).sum())

    return value


def rows_of(n_rows: int = 300, seed: int = 0) -> Data:
    """Two clusters that overlap, of unlike volumes, shapes and axes."""
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 0.0, 0.0], [2.0, 1.0, -1.5]])
    roots = np.linalg.cholesky([random_covariance(rng, D, 4.0), 0.5 * random_covariance(rng, D)])
    labels = np.where(rng.random(n_rows) < 0.4, 0, 1)
    noise = rng.standard_normal((n_rows, D))
    return np.asarray(means[labels] + np.einsum("ijl,il->ij", roots[labels], noise))


def with_holes(X: Data, seed: int = 1) -> Data:
    """Two entries in five missing, of a few patterns; some rows without any entry."""
    rng = np.random.default_rng(seed)
    patterns = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]]) == 1
    return np.where(patterns[rng.choice(4, len(X), p=[0.3, 0.3, 0.35, 0.05])], X, np.nan)


def fit_of(X: Data, name: str, **arguments: Any) -> GaussianMixture:
    return GaussianMixture(K, covariance_type=name, **{"reg_covar": 0.0, **TIGHT, **arguments}).fit(
        X
    )

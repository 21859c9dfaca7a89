r"""Complete rows to start from, where entries are missing.

A start needs rows that are complete and typical, not estimates: the means, variances and
correlations of what is observed, column by column and pair by pair, cost a few products of
matrices, whatever the patterns of missing entries. (To fit a normal distribution by EM instead
factors a matrix for each pattern, which takes hundreds of times as long as the fit that follows.)

The draws are those of a normal distribution with these moments, given what is observed of a row
(Matheron's rule; Hoffman & Ribak 1991): with a draw z of a whole row,

.. math:: x_m = z_m + c, \qquad \Omega_{mm} \, c = -\Omega_{mo} (x_o - z_o), \qquad
          \Omega = \Sigma^{-1},

which conjugate gradients solve for all rows of a block at once, by products with Ω. They are few
steps. What they leave in c is in directions of which the observed entries say little, where z is
what it should be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from sklearn.utils import gen_batches

from em_toolkit.covariances.patterns import has_missing
from em_toolkit.families import Covariances
from em_toolkit.initialization.rows import Data, weights_of
from em_toolkit.statistics import Array, BoolArray

# The least eigenvalue of the correlations: what few rows tell of them is shrunk towards none.
_LEAST_EIGENVALUE = 0.01
_STEPS = 3
# Numbers of a block of rows, which stay in the cache of a core.
_BLOCK_NUMBERS = 2**16

# A start asks for few digits, and single precision takes half of the time.
Single = npt.NDArray[np.float32]


def filled(
    X: Data,
    sample_weight: Array | None,
    structure: type[Covariances],
    random_state: np.random.RandomState,
) -> Data:
    """Return the rows with a draw in the place of each missing entry; X itself if none is missing.

    The draws are from one normal distribution, given what is observed of a row. Where the
    structure of the covariances knows no correlations, the distribution has none either.
    (Expectations in the place of draws would make clusters flat in the features that they miss
    most.)

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Each column with an entry that is observed.
    sample_weight : ndarray of shape (n_rows,) or None
    structure : type of Covariances
    random_state : RandomState
    """
    if not has_missing(X):
        return X
    weights = weights_of(X, sample_weight)
    weights = weights / weights.max()
    means, stds = _observed_moments(X, weights)
    completion: _Draws = _IndependentDraws()
    if _has_correlations(structure):
        completion = _CorrelatedDraws(_correlations(X, weights, means, stds))
    rng = np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint64))
    complete = X.copy()
    for rows in _blocks(X):
        standardized, observed = _standardized(X[rows], means, stds)
        drawn = completion.draw(standardized, np.float32(1.0) - observed, rng)
        np.copyto(complete[rows], means + stds * drawn, where=observed == 0.0, casting="same_kind")
    return complete


def _has_correlations(structure: type[Covariances]) -> bool:
    covariance = structure.shared(np.array([[1.0, 0.5], [0.5, 1.0]]), 1)
    return bool(np.any(covariance.whiten(np.eye(2), 0)[[0, 1], [1, 0]]))


class _Draws(ABC):
    """Draws of the missing entries of standardized rows."""

    @abstractmethod
    def draw(self, rows: Single, missing: Single, rng: np.random.Generator) -> Single:
        """Return rows whose missing entries are drawn given the others.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_features)
            Zero where an entry is missing.
        missing : ndarray of shape (n_rows, n_features)
            One where an entry is missing, and zero elsewhere.
        rng : Generator
        """


class _IndependentDraws(_Draws):
    """Draws of features that say nothing of each other."""

    def draw(self, rows: Single, missing: Single, rng: np.random.Generator) -> Single:
        return rng.standard_normal(rows.shape, dtype=np.float32)


class _CorrelatedDraws(_Draws):
    """Draws of features with the given correlations, of shape (n_features, n_features)."""

    def __init__(self, correlations: Single) -> None:
        lower = np.linalg.cholesky(correlations)
        identity = np.eye(len(lower), dtype=np.float32)
        inverse = solve_triangular(lower, identity, lower=True)
        precision = inverse.T @ inverse
        # Features in units of their conditional standard deviations, for the steps to be few.
        units = 1.0 / np.sqrt(np.diagonal(precision))
        self._precision = precision * np.outer(units, units)
        self._root, self._units = lower.T, units

    def draw(self, rows: Single, missing: Single, rng: np.random.Generator) -> Single:
        drawn = rng.standard_normal(rows.shape, dtype=np.float32) @ self._root
        surprise = (rows - drawn) * (np.float32(1.0) - missing) / self._units
        residual = -(surprise @ self._precision) * missing
        correction, direction = np.zeros_like(rows), residual
        power = _products(residual, residual)
        for _ in range(_STEPS):
            image = (direction @ self._precision) * missing
            curvature = _products(direction, image)
            length = power / np.where(curvature > 0.0, curvature, np.float32(1.0))
            correction += length * direction
            residual = residual - length * image
            last, power = power, _products(residual, residual)
            direction = residual + power / np.where(last > 0.0, last, np.float32(1.0)) * direction
        return drawn + correction * self._units


def _products(left: Single, right: Single) -> Single:
    return np.asarray(np.einsum("ij,ij->i", left, right)[:, None])


def _observed_moments(X: Data, weights: Array) -> tuple[Array, Array]:
    """Means and standard deviations of what is observed; 1 for a column that does not vary."""
    low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    origin = low.astype(np.float64)
    # In units of the range, whose square is a number.
    units = np.where(high > low, high - origin, 1.0)
    totals, first, second = np.zeros((3, X.shape[1]))
    for rows in _blocks(X):
        observed = np.isfinite(X[rows])
        totals += weights[rows] @ observed
        first += weights[rows] @ _places(X[rows], origin, units, observed)
    shifts = first / totals
    origin = origin + units * shifts
    for rows in _blocks(X):
        places = _places(X[rows], origin, units, np.isfinite(X[rows]))
        second += weights[rows] @ np.square(places, out=places)
    stds = units * np.sqrt(second / totals)
    return origin, np.where(stds > 0.0, stds, 1.0)


def _places(X: Data, origin: Array, units: Array, observed: BoolArray) -> Array:
    """Return rows from an origin, in these units; zero where an entry is missing."""
    places = np.asarray((X - origin) / units)
    np.copyto(places, 0.0, where=~observed)
    return places


def _standardized(X: Data, means: Array, stds: Array) -> tuple[Single, Single]:
    """Return rows in standard deviations, zero where an entry is missing; and one where none is."""
    standardized = ((X - means) / stds).astype(np.float32)
    missing = np.isnan(standardized)
    standardized[missing] = 0.0
    return standardized, (~missing).astype(np.float32)


def _correlations(X: Data, weights: Array, means: Array, stds: Array) -> Single:
    """Return the correlations of each two columns in the rows that have both.

    They are shrunk until they are those of some rows.
    """
    n_features = X.shape[1]
    products, counts = np.zeros((2, n_features, n_features))
    for rows in _blocks(X):
        standardized, present = _standardized(X[rows], means, stds)
        roots = np.sqrt(weights[rows]).astype(np.float32)[:, None]
        standardized *= roots
        present *= roots
        products += standardized.T @ standardized
        counts += present.T @ present
    correlations = (products / np.where(counts > 0.0, counts, 1.0)).astype(np.float32)
    shrinkage = _LEAST_EIGENVALUE
    while shrinkage < 1.0:
        shrunk = np.float32(1.0 - shrinkage) * correlations
        np.fill_diagonal(shrunk, 1.0 - _LEAST_EIGENVALUE)
        try:
            np.linalg.cholesky(shrunk)
        except np.linalg.LinAlgError:
            shrinkage *= 2.0
        else:
            np.fill_diagonal(shrunk, 1.0)
            return shrunk
    return np.eye(n_features, dtype=np.float32)


def _blocks(X: Data) -> Iterator[slice]:
    return gen_batches(len(X), max(1, _BLOCK_NUMBERS // X.shape[1]))

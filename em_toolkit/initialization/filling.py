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

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from em_toolkit.families import Covariances
from em_toolkit.families.patterns import has_missing
from em_toolkit.initialization.rows import Data, weights_of
from em_toolkit.statistics import Array

# The least eigenvalue of the correlations: what few rows tell of them is shrunk towards none.
_LEAST_EIGENVALUE = 0.01
_STEPS = 4
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
    completion = _Completion(structure, _correlations(X, weights, means, stds))
    rng = np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint64))
    complete = X.copy()
    for rows in _blocks(X):
        standardized, observed = _standardized(X[rows], means, stds)
        drawn = completion.draw(standardized, np.float32(1.0) - observed, rng)
        np.copyto(complete[rows], means + stds * drawn, where=observed == 0.0, casting="same_kind")
    return complete


class _Completion:
    """Draws of the missing entries of standardized rows.

    Parameters
    ----------
    structure : type of Covariances
    correlations : ndarray of shape (n_features, n_features)
    """

    def __init__(self, structure: type[Covariances], correlations: Array) -> None:
        n_features = len(correlations)
        covariance = structure.alike(correlations, 1)
        whitened = covariance.whiten(np.eye(n_features), 0)
        precision = whitened @ whitened.T
        # Features in units of their conditional standard deviations, for the steps to be few.
        units = 1.0 / np.sqrt(np.diagonal(precision))
        self._precision = np.asarray(precision * np.outer(units, units), dtype=np.float32)
        self._root = np.linalg.inv(whitened).astype(np.float32)
        self._units = units.astype(np.float32)
        self._has_correlations = bool(np.triu(precision, 1).any())

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
        noise = rng.standard_normal(rows.shape, dtype=np.float32)
        if not self._has_correlations:
            return noise * self._units
        drawn = noise @ self._root
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
    observed = (~np.isnan(X)).astype(np.float64)
    totals = weights @ observed
    origin = np.fmin.reduce(X, axis=0).astype(np.float64)
    deviations = X - origin
    np.copyto(deviations, 0.0, where=observed == 0.0)
    shifts = weights @ deviations / totals
    deviations -= shifts
    deviations *= observed
    # In units of the largest, whose square may be no number.
    sizes = np.abs(deviations).max(axis=0)
    deviations /= np.where(sizes > 0.0, sizes, 1.0)
    stds = sizes * np.sqrt(weights @ np.square(deviations) / totals)
    return origin + shifts, np.where(stds > 0.0, stds, 1.0)


def _standardized(X: Data, means: Array, stds: Array) -> tuple[Single, Single]:
    """Rows in standard deviations, zero where an entry is missing; and one where none is."""
    standardized = ((X - means) / stds).astype(np.float32)
    missing = np.isnan(standardized)
    standardized[missing] = 0.0
    return standardized, (~missing).astype(np.float32)


def _correlations(X: Data, weights: Array, means: Array, stds: Array) -> Array:
    """Those of each two columns in the rows that have both, shrunk until they are of some rows."""
    n_features = X.shape[1]
    products, counts = np.zeros((2, n_features, n_features))
    for rows in _blocks(X):
        standardized, present = _standardized(X[rows], means, stds)
        roots = np.sqrt(weights[rows]).astype(np.float32)[:, None]
        standardized *= roots
        present *= roots
        products += standardized.T @ standardized
        counts += present.T @ present
    correlations = np.where(counts > 0.0, products / np.where(counts > 0.0, counts, 1.0), 0.0)
    identity, shrinkage = np.eye(n_features), _LEAST_EIGENVALUE
    np.fill_diagonal(correlations, 1.0)
    while shrinkage < 1.0:
        shrunk = (1.0 - shrinkage) * correlations + shrinkage * identity
        try:
            np.linalg.cholesky(shrunk - _LEAST_EIGENVALUE * identity)
        except np.linalg.LinAlgError:
            shrinkage *= 2.0
        else:
            return shrunk
    return identity


def _blocks(X: Data) -> Iterator[slice]:
    size = max(1, _BLOCK_NUMBERS // X.shape[1])
    for start in range(0, len(X), size):
        yield slice(start, start + size)

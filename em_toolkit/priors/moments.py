"""The moments of all the data, from which default priors are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from em_toolkit.covariances.rules import RESOLUTION
from em_toolkit.data import Block
from em_toolkit.statistics import EPS, Array, BoolArray, Statistics, sum_by_pairs


@dataclass(frozen=True, eq=False)
class Moments:
    """The location and the spread of all the data.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
    covariance : ndarray of shape (n_features, n_features)
        With n − 1 in the denominator, n the sum of the weights.
    weight : float
        n.
    """

    mean: Array
    covariance: Array
    weight: float

    @classmethod
    def of(cls, blocks: Iterable[Block]) -> Moments:
        """Return the moments of rows with weights; of their observed entries where some are NaN.

        Then each covariance is taken over the rows that have both features, about the means of
        the observed entries. It is 0 for features that no two rows have both.
        """
        somewhere = np.nan_to_num(next(iter(blocks)).X[0])
        first = sum_by_pairs(_sums_about(somewhere, block) for block in blocks)
        mean = somewhere + first.total / np.diagonal(first.pairs)
        sums = sum_by_pairs(_sums_about(mean, block) for block in blocks)
        known = sums.pairs > 1.0
        covariance = np.where(known, sums.products, 0.0) / np.where(known, sums.pairs - 1.0, 1.0)
        return cls(mean, covariance, sums.weight)

    def check_weight(self, otherwise: str) -> None:
        """Raise a `ValueError` if weights do not count rows, so that they say no variance.

        Parameters
        ----------
        otherwise : str
            What a user can give in place of the variance.
        """
        if not self.weight > 1.0:
            raise ValueError(
                "prior: expected weights that count rows, got a sum of weights of "
                f"{self.weight:.6g}, of which no variance can be taken (n - 1 is not positive). "
                f"Scale sample_weight to sum to the number of rows, or give a {otherwise}."
            )

    @property
    def constant_features(self) -> BoolArray:
        """Whether a feature has no variance beyond the rounding of its mean."""
        return np.diagonal(self.covariance) <= np.square(RESOLUTION * EPS * self.mean)


@dataclass(frozen=True, eq=False)
class _Sums(Statistics):
    """The sums of weights, of those of rows that have two features, of deviations and products."""

    weight: float
    pairs: Array
    total: Array
    products: Array


def _sums_about(origin: Array, block: Block) -> _Sums:
    roots = np.sqrt(block.weights)[:, None]
    observed = ~np.isnan(block.X)
    rows, seen = roots * np.where(observed, block.X - origin, 0.0), roots * observed
    return _Sums(
        float(block.weights.sum()), seen.T @ seen, np.sum(roots * rows, axis=0), rows.T @ rows
    )

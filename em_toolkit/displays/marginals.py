"""The components of a family in one or two features, as displays need them.

Two functions, each with a method by the type of the components' parameters. A family of one's own
is drawn once it has registered its methods, such as
``@moments.register`` over ``def _(components: MyComponents, features): ...``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, poisson

from em_toolkit.families import GaussianComponents, PoissonRates
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import Array

# Points of a curve along the whole axis, and from -4 to 4 standard deviations of each component.
_ALONG_AXIS, _ALONG_COMPONENT = 301, 81


class Moments(NamedTuple):
    """Means of shape (n_components, m), covariances of shape (n_components, m, m)."""

    means: Array
    covariances: Array


class Densities(NamedTuple):
    """p(x | k) on a grid.

    Parameters
    ----------
    grid : ndarray of shape (n_points,)
    values : ndarray of shape (n_components, n_points)
        Densities, or probabilities if the distribution is discrete.
    discrete : bool
        Whether the values are probabilities of the points of the grid.
    """

    grid: Array
    values: Array
    discrete: bool


@singledispatch
def moments(components: Parameters, features: Sequence[int]) -> Moments:
    """Return means and covariances of the chosen features in each component.

    Parameters
    ----------
    components : Parameters
    features : sequence of int
        Indices, one or two of them.
    """
    raise TypeError(_unknown(components, "moments"))


@singledispatch
def densities(components: Parameters, feature: int, low: float, high: float) -> Densities:
    """Return the density of one feature in each component.

    Parameters
    ----------
    components : Parameters
    feature : int
        Its index.
    low, high : float
        The ends of the grid, in the units of the feature.
    """
    raise TypeError(_unknown(components, "densities"))


def _unknown(components: Parameters, function: str) -> str:
    return (
        f"expected components that the displays know, got {type(components).__name__}: register "
        f"what they look like with em_toolkit.displays.marginals.{function}.register."
    )


@moments.register
def _(components: GaussianComponents, features: Sequence[int]) -> Moments:
    chosen = list(features)
    matrices = [
        _matrix(components, k)[np.ix_(chosen, chosen)] for k in range(components.means.shape[0])
    ]
    return Moments(components.means[:, chosen], np.stack(matrices))


def _matrix(components: GaussianComponents, component: int) -> Array:
    # Any structure knows how to whiten: rows of the identity become those of A with Σ⁻¹ = A Aᵀ.
    whitener = components.covariances.whiten(np.eye(components.means.shape[1]), component)
    factor = np.linalg.inv(whitener)
    return np.asarray(factor.T @ factor)


@densities.register
def _(components: GaussianComponents, feature: int, low: float, high: float) -> Densities:
    means = components.means[:, [feature]]
    deviations = np.sqrt(components.covariances.variances[:, [feature]])
    near = means + np.linspace(-4.0, 4.0, _ALONG_COMPONENT) * deviations
    points = np.concatenate([np.linspace(low, high, _ALONG_AXIS), near.ravel()])
    grid = np.unique(points[(points >= low) & (points <= high)])
    return Densities(grid, np.asarray(norm.pdf(grid, means, deviations)), discrete=False)


@moments.register
def _(components: PoissonRates, features: Sequence[int]) -> Moments:
    rates = components.rates[:, list(features)]
    return Moments(rates, rates[:, :, None] * np.eye(len(features)))


@densities.register
def _(components: PoissonRates, feature: int, low: float, high: float) -> Densities:
    grid = np.arange(max(np.floor(low), 0.0), np.ceil(high) + 1.0)
    probabilities = np.asarray(poisson.pmf(grid, components.rates[:, [feature]]))
    return Densities(grid, probabilities, discrete=True)

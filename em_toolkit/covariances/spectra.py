r"""The rules by which the variances of K components along d axes share volume and shape.

The covariance of a component is its volume λ_k, times its shape, a diagonal matrix A_k of
determinant 1, turned by its axes D_k (Banfield & Raftery 1993; Celeux & Govaert 1995):

.. math:: \Sigma_k = \lambda_k D_k A_k D_k^\top

Here are the variances along the axes, V_kj = λ_k (A_k)_jj: a spectrum for each component. From
scatters s_kj along these axes and counts N_k, `maximize` finds the V that minimizes

.. math:: \sum_k N_k \sum_j \log V_{kj} + \sum_{kj} \frac{s_{kj}}{V_{kj}}
          \qquad \text{subject to} \qquad V_{kj} \ge \varepsilon.

In the logarithms of volume and shape this is a convex problem with linear constraints. A component
that holds no data keeps what it shares with no other. Without a floor, ε = 0, there may be no
minimum, since some variance would be zero: the result then has zeros there and is no density, which
`Covariances.check_about` says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from em_toolkit.covariances.bounded_volumes import bounded_volumes_and_shape
from em_toolkit.covariances.rules import SMALLEST_VARIANCE, divisor
from em_toolkit.covariances.volumes import log_volumes, pooled_variances
from em_toolkit.statistics import EPS, Array, BoolArray, present

# Of a variance whose square root times another is a number.
_LARGEST_LOG = 0.99 * float(np.log(np.finfo(np.float64).max))


class Spectra(ABC):
    """A rule for the variances of K components along d axes."""

    sharing: str
    """What the components have in common, in words."""

    @abstractmethod
    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Return the number of free parameters.

        Parameters
        ----------
        n_components, n_features : int
        """

    def maximize(
        self, scatter: Array, count: Array, previous: Array | None, floor: float = 0.0
    ) -> Array:
        """Return the variances along the axes.

        Parameters
        ----------
        scatter : ndarray of shape (n_components, n_features)
            s_kj, in squared units of the data times units of weight.
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        previous : ndarray of shape (n_components, n_features) or None
            The variances before, for components that hold no data.
        floor : float
            ε ≥ 0, in squared units of the data: the least variance.

        Returns
        -------
        variances : ndarray of shape (n_components, n_features)
        """
        if floor == 0.0 or not np.isfinite(scatter).all():
            return self.without_floor(scatter, count, previous)
        # Where there is no maximum without the floor, it overflows on its way.
        with np.errstate(all="ignore"):
            free = self.without_floor(scatter, count, previous)
        if (free >= floor).all() and np.isfinite(free).all():
            return free
        if previous is not None:
            previous = np.maximum(previous, floor)
        return self.with_floor(scatter, count, previous, floor)

    @abstractmethod
    def without_floor(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        """Return the variances for ε = 0.

        Parameters
        ----------
        scatter : ndarray of shape (n_components, n_features)
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        previous : ndarray of shape (n_components, n_features) or None
        """

    @abstractmethod
    def with_floor(
        self, scatter: Array, count: Array, previous: Array | None, floor: float
    ) -> Array:
        """Return the variances for ε > 0, of which some are ε.

        Parameters
        ----------
        scatter : ndarray of shape (n_components, n_features)
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        previous : ndarray of shape (n_components, n_features) or None
        floor : float
            ε.
        """


class EqualSpectra(Spectra):
    """One volume and one shape: the pooled scatter."""

    sharing = "volume and shape"

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features

    def without_floor(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        return np.tile(scatter.sum(axis=0) / count.sum(), (count.shape[0], 1))

    def with_floor(
        self, scatter: Array, count: Array, previous: Array | None, floor: float
    ) -> Array:
        return np.maximum(self.without_floor(scatter, count, previous), floor)


class EqualShapes(Spectra):
    """Each component its volume, all one shape."""

    sharing = "shape"

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components + n_features - 1

    def without_floor(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        # A scatter of zero may be below it by a rounding.
        known, scatter = present(count), np.maximum(scatter, 0.0)
        sizes, spread = scatter.sum(axis=1) / divisor(count), scatter.sum(axis=0) / count.sum()
        if not ((sizes[known] > SMALLEST_VARIANCE).all() and (spread > SMALLEST_VARIANCE).all()):
            return FREE.without_floor(scatter, count, previous)
        start = np.log(sizes if previous is None else previous.sum(axis=1))
        n_features = scatter.shape[1]
        x = log_volumes(pooled_variances(scatter), count, known, start, n_features)
        if x is None:
            return _flat(FREE.maximize(scatter, count, previous), known)
        shape = (np.exp(-x)[:, None] * scatter).sum(axis=0) / count.sum()
        return np.asarray(np.exp(x)[:, None] * shape)

    def with_floor(
        self, scatter: Array, count: Array, previous: Array | None, floor: float
    ) -> Array:
        known = present(count)
        if previous is None:
            previous = np.tile(
                np.maximum(scatter.sum(axis=0) / count.sum(), floor), (count.size, 1)
            )
        # In units of the floor, the volume of a component is its smallest variance.
        volumes = np.log(previous.min(axis=1) / floor)
        shape = np.log(previous[known].mean(axis=0) / previous[known].mean(axis=0).min())
        volumes[known], shape = bounded_volumes_and_shape(
            np.maximum(scatter[known], 0.0) / floor, count[known], volumes[known], shape
        )
        return np.asarray(floor * np.exp(volumes[:, None] + shape))


class VaryingShapes(Spectra):
    """Each component its shape: `EqualVolumes` and `FreeSpectra`."""

    @abstractmethod
    def response(self, scatter: Array, count: Array, change: Array) -> Array:
        """Return the change of log V for a change of log s, of shape (n_components, n_features).

        Parameters
        ----------
        scatter : ndarray of shape (n_components, n_features)
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        change : ndarray of shape (n_components, n_features)
            Of log s.
        """


class EqualVolumes(VaryingShapes):
    """One volume, each component its shape: V_k is s_k, scaled to the mean of the volumes."""

    sharing = "volume"

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return 1 + n_components * (n_features - 1)

    def without_floor(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        known = present(count)
        if not (scatter[known] > 0.0).all():
            return FREE.without_floor(scatter, count, previous)
        along = np.where(known[:, None], scatter, 1.0 if previous is None else previous)
        shapes = along / _volumes(along)[:, None]
        sizes = np.mean(scatter / shapes, axis=1)
        return np.asarray(sizes.sum() / count.sum() * shapes)

    def with_floor(
        self, scatter: Array, count: Array, previous: Array | None, floor: float
    ) -> Array:
        r"""Return the variances for ε > 0.

        For a given log volume c, those of a component minimize Σ_j s_kj / V_kj subject to
        Σ_j log V_kj = d c: V_kj = max(ε, s_kj / τ_k), where τ_k fills the volume. By Lagrange's
        multipliers the best c has Σ_k τ_k = Σ_k N_k, in which τ_k falls as c rises.

        Parameters
        ----------
        scatter : ndarray of shape (n_components, n_features)
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        previous : ndarray of shape (n_components, n_features) or None
        floor : float
            ε.
        """
        known = present(count)
        along = np.where(known[:, None], scatter, 1.0 if previous is None else previous)
        spread = np.any(along > 0.0, axis=1)
        # Without any spread all shapes are as good: a sphere.
        logs = _log_of_positive(np.where(spread[:, None], along / floor, 1.0))
        wanted = float(np.log(count[known].sum()))

        def excess(log_volume: float) -> float:
            levels = _levels(logs[known & spread], log_volume)
            return float(logsumexp(levels)) - wanted if levels.size else -np.inf

        log_volume, highest = 0.0, 1.0
        if excess(EPS) > 0.0:
            while excess(highest) > 0.0:
                highest *= 2.0
            log_volume = float(brentq(excess, EPS, highest, xtol=1e-15, rtol=4.0 * EPS))
        levels = _levels(logs, log_volume)
        # What exceeds the largest number is held there.
        above = np.clip(logs - levels[:, None], 0.0, _LARGEST_LOG - max(0.0, float(np.log(floor))))
        return np.asarray(floor * np.exp(above))

    def response(self, scatter: Array, count: Array, change: Array) -> Array:
        known = present(count)
        volumes = np.where(known, _volumes(np.where(known[:, None], scatter, 1.0)), 0.0)
        own = change.mean(axis=1)
        mean = float(volumes @ own) / volumes.sum()
        return np.where(known[:, None], change - own[:, None] + mean, mean)


class FreeSpectra(VaryingShapes):
    """Each component its volume and its shape."""

    sharing = ""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def without_floor(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        own = scatter / divisor(count)[:, None]
        return own if previous is None else np.where(present(count)[:, None], own, previous)

    def with_floor(
        self, scatter: Array, count: Array, previous: Array | None, floor: float
    ) -> Array:
        return np.maximum(self.without_floor(scatter, count, previous), floor)

    def response(self, scatter: Array, count: Array, change: Array) -> Array:
        return np.where(present(count)[:, None], change, 0.0)


EQUAL, EQUAL_SHAPES, EQUAL_VOLUMES = EqualSpectra(), EqualShapes(), EqualVolumes()
FREE = FreeSpectra()


def _flat(variances: Array, known: BoolArray) -> Array:
    """The variances, with zero for that which is the least beside the others of its feature."""
    largest = np.where(known[:, None], variances, 0.0).max(axis=0)
    relative = variances / np.maximum(largest, SMALLEST_VARIANCE)
    relative[~known] = np.inf
    flattened = variances.copy()
    flattened[np.unravel_index(relative.argmin(), relative.shape)] = 0.0
    return flattened


def _volumes(variances: Array) -> Array:
    """Return the geometric means of the rows."""
    return np.asarray(np.exp(np.log(variances).mean(axis=1)))


def _log_of_positive(values: Array) -> Array:
    """Return logarithms, −inf where a value is not positive."""
    return np.where(values > 0.0, np.log(np.where(values > 0.0, values, 1.0)), -np.inf)


def _levels(logs: Array, log_volume: float) -> Array:
    """Return the τ_k of which Σ_j max(0, log s_kj − τ_k) is d times the log volume.

    With the r largest of a row above the level, τ = (their sum − d c)/r; r is as large as leaves
    the r-th above it.

    Parameters
    ----------
    logs : ndarray of shape (n_components, n_features)
        log s_kj, −inf for zero.
    log_volume : float
        c ≥ 0.

    Returns
    -------
    levels : ndarray of shape (n_components,)
    """
    n_features = logs.shape[1]
    falling = -np.sort(-logs, axis=1)
    levels = (np.cumsum(falling, axis=1) - n_features * log_volume) / np.arange(1, n_features + 1)
    above: BoolArray = np.isfinite(falling) & np.asarray(falling >= levels)
    last = np.where(above, np.arange(n_features), 0).max(axis=1)
    return np.asarray(levels[np.arange(logs.shape[0]), last])

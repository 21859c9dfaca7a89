r"""How the variances along d axes of K components share their volume and their shape.

The covariance of a component is its volume λ_k, times its shape, a diagonal matrix A_k of
determinant 1, turned by its axes D_k (Banfield & Raftery 1993; Celeux & Govaert 1995):

.. math:: \Sigma_k = \lambda_k D_k A_k D_k^\top

Here are the variances along the axes, V_kj = λ_k (A_k)_jj: a spectrum for each component. From
scatters s_kj along these axes and counts N_k, `maximize` finds the V that minimizes

.. math:: \sum_k N_k \sum_j \log V_{kj} + \sum_{kj} \frac{s_{kj}}{V_{kj}}.

A component that holds no data keeps what it shares with no other, and its scatter (that of a
prior) has a say in what it shares. Where there is no minimum, since some variance would be zero,
the result has zeros there and is no density: `Covariances.check_about` says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from em_toolkit.families.base import present
from em_toolkit.families.covariance import SMALLEST_VARIANCE, divisor
from em_toolkit.families.volumes import log_volumes, pooled_variances
from em_toolkit.statistics import Array, BoolArray


class Spectra(ABC):
    """A rule for the variances of K components along d axes."""

    sharing: str
    """What the components have in common, in words."""

    @abstractmethod
    def n_parameters(self, n_components: int, n_features: int) -> int:
        """The number of free parameters."""

    @abstractmethod
    def maximize(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        """The variances, of shape (n_components, n_features).

        Parameters
        ----------
        scatter : ndarray of shape (n_components, n_features)
        count : ndarray of shape (n_components,)
        previous : ndarray of shape (n_components, n_features) or None
            The variances before, for components that hold no data.
        """


class EqualSpectra(Spectra):
    """One volume and one shape: the pooled scatter."""

    sharing = "volume and shape"

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features

    def maximize(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        return np.tile(scatter.sum(axis=0) / count.sum(), (count.shape[0], 1))


class EqualShapes(Spectra):
    """Each component its volume, all one shape."""

    sharing = "shape"

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components + n_features - 1

    def maximize(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        # A scatter of zero may be below it by a rounding.
        known, scatter = present(count), np.maximum(scatter, 0.0)
        sizes, spread = scatter.sum(axis=1) / divisor(count), scatter.sum(axis=0) / count.sum()
        if not ((sizes[known] > SMALLEST_VARIANCE).all() and (spread > SMALLEST_VARIANCE).all()):
            return FREE.maximize(scatter, count, previous)
        start = np.log(sizes if previous is None else previous.sum(axis=1))
        n_features = scatter.shape[1]
        x = log_volumes(pooled_variances(scatter), count, known, start, n_features)
        if x is None:
            return _flat(FREE.maximize(scatter, count, previous), known)
        shape = (np.exp(-x)[:, None] * scatter).sum(axis=0) / count.sum()
        return np.asarray(np.exp(x)[:, None] * shape)


class VaryingShapes(Spectra):
    """Each component its shape: `EqualVolumes` and `FreeSpectra`."""

    @abstractmethod
    def response(self, scatter: Array, count: Array, change: Array) -> Array:
        """How log V answers to a change of log s, of shape (n_components, n_features)."""


class EqualVolumes(VaryingShapes):
    """One volume, each component its shape: V_k is s_k, scaled to the mean of the volumes."""

    sharing = "volume"

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return 1 + n_components * (n_features - 1)

    def maximize(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        known = present(count)
        if not (scatter[known] > 0.0).all():
            return FREE.maximize(scatter, count, previous)
        along = np.where(known[:, None], scatter, 1.0 if previous is None else previous)
        shapes = along / _volumes(along)[:, None]
        sizes = np.mean(scatter / shapes, axis=1)
        return np.asarray(sizes.sum() / count.sum() * shapes)

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

    def maximize(self, scatter: Array, count: Array, previous: Array | None) -> Array:
        own = scatter / divisor(count)[:, None]
        return own if previous is None else np.where(present(count)[:, None], own, previous)

    def response(self, scatter: Array, count: Array, change: Array) -> Array:
        return np.where(present(count)[:, None], change, 0.0)


EQUAL, EQUAL_SHAPES, EQUAL_VOLUMES = EqualSpectra(), EqualShapes(), EqualVolumes()
FREE = FreeSpectra()


def _flat(variances: Array, known: BoolArray) -> Array:
    """The variances, with zero for that which is the least beside the others of its feature."""
    relative = variances / np.where(known[:, None], variances, 0.0).max(axis=0)
    relative[~known] = np.inf
    flattened = variances.copy()
    flattened[np.unravel_index(relative.argmin(), relative.shape)] = 0.0
    return flattened


def _volumes(variances: Array) -> Array:
    """The geometric means of the rows."""
    return np.asarray(np.exp(np.log(variances).mean(axis=1)))

"""Gaussian mixtures whose E-step is one compiled pass over the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from em_toolkit.covariances.matrix import MatrixCovariances
from em_toolkit.covariances.patterns import has_missing
from em_toolkit.families import (
    Box,
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    Gaussian,
    GaussianComponents,
    GaussianStatistics,
    NoisyStatistics,
    SphericalCovariances,
    TiedCovariances,
    WithNoise,
)
from em_toolkit.families.gaussian import MissingEntries
from em_toolkit.kernels import diagonal, matrix, spherical, tied
from em_toolkit.kernels.latest import Latest
from em_toolkit.kernels.shapes import SHAPES, products_when_tied
from em_toolkit.model import Expectation
from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array

Params = MixtureParameters[GaussianComponents]

_LOG_2_PI = math.log(2.0 * math.pi)

# Rows of a panel: enough to amortize the calls, few enough for the cache; a multiple of
# `ROWS_AT_ONCE` on every processor.
PANEL_ROWS = 240

# How far the means may be from a common centre, in standard deviations, for rows to be whitened
# about it, and for the scatter to be what is left of that about it. The distances of a row then err
# by so many more roundings at most, in each of d terms, and the scatter by up to its square times
# those of its sums (measured: 2e-14): a quarter of what the monitor allows for, at two features,
# and less at more.
_FARTHEST_FROM_CENTER = 16.0


@dataclass(frozen=True)
class Pass:
    """The pass over the data at given parameters.

    Parameters
    ----------
    shape : tuple of int
        Of the means, with padding.
    sums : callable
        From a block and its weights: entropy, log evidence and weight; counts; first moments, of
        the shape of the means; second moments; one after the other.
    log_joint : callable
        From a block: log p(x_i, k), of shape (n_rows, n_components).
    second_moment : callable
        From the last of the sums: the scatter, as the structure has it.
    """

    shape: tuple[int, ...]
    sums: Callable[[Array, Array], Array]
    log_joint: Callable[[Array], Array]
    second_moment: Callable[[Array], Array]


class CompiledGaussian(Gaussian):
    """A family that does what `Gaussian` does, with compiled log densities and moments.

    It serves every latent structure. A mixture has both at once, fused into one pass; its first
    M-step, whose responsibilities no parameters gave, takes the moments of this family.

    Parameters
    ----------
    family : Gaussian
    """

    def __init__(self, family: Gaussian) -> None:
        super().__init__(
            family.structure, family.prior, family.fixed, family.floor, family.resolution
        )
        self._pass_at = Latest(self._prepare)

    def unfixed(self) -> CompiledGaussian:
        return type(self)(
            Gaussian(self.structure, self.prior, floor=self.floor, resolution=self.resolution)
        )

    def posterior(
        self, components: GaussianComponents, X: Array
    ) -> tuple[MissingEntries | None, Array]:
        if has_missing(X):
            return super().posterior(components, X)
        return None, self._pass_at(components).log_joint(np.ascontiguousarray(X))

    def _prepare(self, components: GaussianComponents) -> Pass:
        # The densities alone: as if each component had a weight of one.
        params = MixtureParameters(np.ones(components.means.shape[0]), components)
        return _PASSES[SHAPES[self.structure]](params, constants_of(params, 0.0))

    def statistics(
        self,
        components: GaussianComponents,
        X: Array,
        responsibilities: Array,
        within: MissingEntries | None = None,
    ) -> GaussianStatistics:
        if has_missing(X):
            return super().statistics(components, X, responsibilities, within)
        # What a user gives may be a slice, or Fortran-ordered.
        X, responsibilities = np.ascontiguousarray(X), np.ascontiguousarray(responsibilities)
        return _MOMENTS[SHAPES[self.structure]](components.means, X, responsibilities)


class CompiledGaussianMixture(Mixture[GaussianComponents]):
    """A mixture that does what ``Mixture(family)`` does, to rounding, and faster.

    Parameters
    ----------
    family : Gaussian
    mixing : MixingWeights, optional
        Of the noise too, if there is any.
    box : Box, optional
        Of noise beside the components; none by default.
    """

    def __init__(
        self, family: Gaussian, mixing: MixingWeights | None = None, box: Box | None = None
    ) -> None:
        compiled = CompiledGaussian(family)
        super().__init__(compiled if box is None else WithNoise(compiled, box), mixing)
        self._plain = Mixture(family if box is None else WithNoise(family, box), mixing)
        self._log_volume = 0.0 if box is None else box.log_volume
        self._make_pass = _PASSES[SHAPES[family.structure]]
        self._pass_at = Latest(self._prepare)

    def expectation(
        self, params: Params, X: Array, weights: Array, known: Any = None
    ) -> Expectation[Any]:
        if known is not None:
            return self.expectation_by_parts(params, X, weights, known)
        prepared = self._pass_at(params)
        sums = prepared.sums(X, weights)
        entropy, log_evidence, weight = sums[:3].tolist()
        if not math.isfinite(log_evidence):
            # An overflow, or a row that no component gives any probability: the slow way knows.
            return self._plain.expectation(params, X, weights)
        statistics = unpacked_beside_noise(
            sums[3:],
            self.family.n_unlike,
            params.components.means,
            prepared.shape,
            prepared.second_moment,
        )
        return Expectation(statistics, entropy, log_evidence, weight)

    def joint(self, params: Params, X: Array) -> tuple[None, Array]:
        return None, self._pass_at(params).log_joint(X)

    def _prepare(self, params: Params) -> Pass:
        return self._make_pass(params, constants_of(params, self._log_volume))


def _matrix_pass(params: Params, constants: Array) -> Pass:
    covariances, (_, n_features) = params.components.covariances, params.components.means.shape
    assert isinstance(covariances, MatrixCovariances)
    means = padded(params.components.means, 1, 2)
    factors = padded(covariances.inverse_cholesky, 2, 2)
    arguments = (means, factors, constants, PANEL_ROWS)

    def second_moment(sums: Array) -> Array:
        return sums.reshape(factors.shape)[:, :n_features, :n_features]

    return Pass(
        means.shape,
        lambda X, weights: matrix.expectation(X, weights, *arguments),
        lambda X: matrix.log_joint(X, *arguments),
        second_moment,
    )


def _tied_pass(params: Params, constants: Array) -> Pass:
    components = params.components
    assert isinstance(components.covariances, TiedCovariances)
    n_components, n_features = components.means.shape
    inverse = components.covariances.inverse_cholesky[0]
    # Without that of noise, which has no mean.
    weights = params.weights[:n_components]
    center = weights @ components.means / (weights.sum() or 1.0)
    means = components.means - center
    # The size of the terms that whiten a row at one of the means.
    sizes = np.abs(means) @ np.abs(inverse.T)
    one_by_one = n_components * n_features * (n_features + 1)
    is_shorter = products_when_tied(n_features, n_components) < one_by_one
    if not is_shorter or not sizes.max() <= _FARTHEST_FROM_CENTER:
        return _matrix_pass(params, constants)

    origin, factor = padded(components.means, 1, 2), padded(inverse, 2, 2)
    arguments = (
        padded(center, 2),
        padded(means @ inverse.T, 1, 2),
        factor,
        constants,
        PANEL_ROWS,
    )

    def second_moment(sums: Array) -> Array:
        return sums.reshape(1, *factor.shape)[:, :n_features, :n_features]

    return Pass(
        origin.shape,
        lambda X, weights: tied.expectation(X, weights, origin, *arguments),
        lambda X: tied.log_joint(X, *arguments),
        second_moment,
    )


def _diagonal_pass(params: Params, constants: Array) -> Pass:
    means = np.ascontiguousarray(params.components.means)
    precisions = np.ascontiguousarray(params.components.covariances.inverse_diagonals)
    arguments = (means, precisions, constants, PANEL_ROWS)
    return Pass(
        means.shape,
        lambda X, weights: diagonal.expectation(X, weights, *arguments),
        lambda X: diagonal.log_joint(X, *arguments),
        lambda sums: sums.reshape(means.shape),
    )


def _spherical_pass(params: Params, constants: Array) -> Pass:
    means = np.ascontiguousarray(params.components.means)
    precisions = np.ascontiguousarray(1.0 / params.components.covariances.values[:, 0])
    arguments = (means, precisions, constants, PANEL_ROWS)
    return Pass(
        means.shape,
        lambda X, weights: spherical.expectation(X, weights, *arguments),
        lambda X: spherical.log_joint(X, *arguments),
        lambda sums: sums[:, None],
    )


_PASSES: dict[type[Covariances], Callable[[Params, Array], Pass]] = {
    FullCovariances: _matrix_pass,
    TiedCovariances: _tied_pass,
    DiagonalCovariances: _diagonal_pass,
    SphericalCovariances: _spherical_pass,
}


def _matrix_moments(
    means: Array, X: Array, responsibilities: Array, n_matrices: int
) -> GaussianStatistics:
    n_features, origin = means.shape[1], padded(means, 1, 2)
    sums = matrix.moments(X, responsibilities, origin, n_matrices, PANEL_ROWS)

    def second_moment(sums: Array) -> Array:
        matrices = sums.reshape(n_matrices, *origin.shape[1:] * 2)
        return matrices[:, :n_features, :n_features]

    return unpacked(sums, means, origin.shape, second_moment)


def _full_moments(means: Array, X: Array, responsibilities: Array) -> GaussianStatistics:
    return _matrix_moments(means, X, responsibilities, means.shape[0])


def _tied_moments(means: Array, X: Array, responsibilities: Array) -> GaussianStatistics:
    return _matrix_moments(means, X, responsibilities, 1)


def _diagonal_moments(means: Array, X: Array, responsibilities: Array) -> GaussianStatistics:
    contiguous = np.ascontiguousarray(means)
    sums = diagonal.moments(X, responsibilities, contiguous, PANEL_ROWS)
    return unpacked(sums, means, means.shape, lambda sums: sums.reshape(means.shape))


def _spherical_moments(means: Array, X: Array, responsibilities: Array) -> GaussianStatistics:
    along_axes = _diagonal_moments(means, X, responsibilities)
    second_moment = along_axes.second_moment.sum(axis=1, keepdims=True)
    return replace(along_axes, second_moment=second_moment)


_MOMENTS: dict[type[Covariances], Callable[[Array, Array, Array], GaussianStatistics]] = {
    FullCovariances: _full_moments,
    TiedCovariances: _tied_moments,
    DiagonalCovariances: _diagonal_moments,
    SphericalCovariances: _spherical_moments,
}


def unpacked(
    sums: Array, origin: Array, shape: tuple[int, ...], second_moment: Callable[[Array], Array]
) -> GaussianStatistics:
    """Return statistics from the counts, first moments and second moments of a kernel.

    Parameters
    ----------
    sums : ndarray of shape (n_sums,)
        The counts, first moments and second moments, one after the other.
    origin : ndarray of shape (n_components, n_features)
        The means that the moments are about.
    shape : tuple of int
        Of the first moments, with padding.
    second_moment : callable
        From the last of the sums: the scatter, as the structure has it.
    """
    n_components, n_features = origin.shape
    end = n_components + math.prod(shape)
    first_moment = sums[n_components:end].reshape(shape)
    return GaussianStatistics(
        count=sums[:n_components],
        first_moment=first_moment[:n_components, :n_features],
        second_moment=second_moment(sums[end:]),
        origin=origin,
    )


def unpacked_beside_noise(
    sums: Array,
    n_unlike: int,
    origin: Array,
    shape: tuple[int, ...],
    second_moment: Callable[[Array], Array],
) -> Any:
    """Return statistics as `unpacked`, where counts of noise may follow those of the components.

    Parameters
    ----------
    sums, origin, shape, second_moment
        As in `unpacked`; behind the counts of the components are `n_unlike` others.
    n_unlike : int
        How many components are noise.

    Returns
    -------
    statistics : GaussianStatistics or NoisyStatistics
        The latter if there is noise.
    """
    if n_unlike == 0:
        return unpacked(sums, origin, shape, second_moment)
    counts = sums[: origin.shape[0] + n_unlike]
    of_components = np.delete(sums, slice(origin.shape[0], counts.shape[0]))
    return NoisyStatistics(counts, unpacked(of_components, origin, shape, second_moment))


def constants_of(params: Params, log_volume: float) -> Array:
    """Return log π_k − ½ (d log 2π + log |Σ_k|) of each component, and of noise log π_k − log V.

    Parameters
    ----------
    params : MixtureParameters
    log_volume : float
        log V of the box of the noise; of no consequence without noise.

    Returns
    -------
    constants : ndarray of shape (n_components + n_unlike,)
    """
    n_components, n_features = params.components.means.shape
    log_determinants = params.components.covariances.log_determinants
    constants = params.log_weights - log_volume
    constants[:n_components] = params.log_weights[:n_components] - 0.5 * (
        n_features * _LOG_2_PI + log_determinants
    )
    return constants


def padded(array: Array, *multiples: int) -> Array:
    """Return the array, with zeros behind its last axes up to multiples of these lengths.

    Parameters
    ----------
    array : ndarray
    *multiples : int
        One for each of the last axes.
    """
    kept = array.ndim - len(multiples)
    lengths = [n + -n % m for n, m in zip(array.shape[kept:], multiples, strict=True)]
    if tuple(lengths) == array.shape[kept:]:
        return np.ascontiguousarray(array)
    longer = np.zeros((*array.shape[:kept], *lengths))
    longer[tuple(slice(n) for n in array.shape)] = array
    return longer

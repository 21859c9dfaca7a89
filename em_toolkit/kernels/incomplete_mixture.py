"""Gaussian mixtures for rows with missing entries whose E-step is one compiled pass."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from em_toolkit.covariances.matrix import MatrixCovariances
from em_toolkit.families import (
    Box,
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    Gaussian,
    GaussianComponents,
    GaussianStatistics,
    SphericalCovariances,
    TiedCovariances,
    WithNoise,
)
from em_toolkit.families.gaussian import MissingEntries
from em_toolkit.kernels import incomplete, incomplete_diagonal
from em_toolkit.kernels.gaussian_mixture import (
    PANEL_ROWS,
    Params,
    constants_of,
    padded,
    unpacked,
    unpacked_beside_noise,
)
from em_toolkit.kernels.latest import Latest
from em_toolkit.kernels.shapes import SHAPES
from em_toolkit.model import Expectation
from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.models.mixture import Mixture
from em_toolkit.statistics import Array

_LOG_2_PI = math.log(2.0 * math.pi)

# Products of columns of L⁻¹ lose so many times some five roundings (measured up to conditions of
# 1e10) as the variance of a missing entry is inflated because others are missing too.
_LARGEST_INFLATION = 64.0


class _Pass(ABC):
    """The pass over rows with NaN entries, at given components.

    Attributes
    ----------
    shape : tuple of int
        Of the means, with padding.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def sums(self, X: Array, weights: Array, params: Params, box: Box | None) -> Array:
        """Return entropy, log evidence and weight; counts; first and second moments, in a row.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
            NaN where an entry is missing.
        weights : ndarray of shape (n_rows,)
        params : MixtureParameters
            For the mixing weights; the components are those of the pass.
        box : Box or None
            Of noise beside the components.
        """

    @abstractmethod
    def moments(self, X: Array, responsibilities: Array) -> Array:
        """Return the sums from the counts on, for given responsibilities.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
            NaN where an entry is missing.
        responsibilities : ndarray of shape (n_rows, n_components)
            C-contiguous, times the weights of the rows.
        """

    @abstractmethod
    def second_moment(self, sums: Array) -> Array:
        """Return the scatter, as the structure has it, from the last of the sums."""

    @abstractmethod
    def log_density_and_entropy(self, X: Array) -> tuple[Array, Array]:
        """Return log p(x_o | k), and the entropy of x_m given x_o and k.

        Both have shape (n_rows, n_components).
        """


class _MatrixPass(_Pass):
    """The pass for covariance matrices."""

    def __init__(self, components: GaussianComponents) -> None:
        covariances = components.covariances
        assert isinstance(covariances, MatrixCovariances)
        self._n_features = components.means.shape[1]
        inverse = covariances.inverse_cholesky
        self._means, self._factors = padded(components.means, 1, 2), padded(inverse, 2, 2)
        self.shape = self._means.shape
        # Zeros at the end stand for a feature that does not exist.
        length = self.shape[1] + 1
        self._precisions = np.zeros((len(inverse), length, length))
        precisions = inverse.transpose(0, 2, 1) @ inverse
        self._precisions[:, : self._n_features, : self._n_features] = precisions
        log_determinants = covariances.log_determinants
        self._constants = -0.5 * (self._n_features * _LOG_2_PI + log_determinants)

    @property
    def _arguments(self) -> tuple[Array, Array, Array]:
        return self._means, self._factors, self._precisions

    def sums(self, X: Array, weights: Array, params: Params, box: Box | None) -> Array:
        log_sides = np.empty((0, X.shape[1])) if box is None else np.log(box.sides)[None]
        constants = constants_of(params, 0.0 if box is None else box.log_volume)
        return incomplete.expectation(
            X, weights, *self._arguments, log_sides, constants, _LARGEST_INFLATION, PANEL_ROWS
        )

    def moments(self, X: Array, responsibilities: Array) -> Array:
        return incomplete.moments(
            X, responsibilities, *self._arguments, _LARGEST_INFLATION, PANEL_ROWS
        )

    def second_moment(self, sums: Array) -> Array:
        return sums.reshape(self._factors.shape)[:, : self._n_features, : self._n_features]

    def log_density_and_entropy(self, X: Array) -> tuple[Array, Array]:
        arguments = (*self._arguments, self._constants, _LARGEST_INFLATION, PANEL_ROWS)
        log_density, entropy = incomplete.log_joint_and_entropy(X, *arguments)
        return log_density, entropy


class _AxesPass(_Pass):
    """The pass for covariances along the axes."""

    def __init__(self, components: GaussianComponents) -> None:
        self._means = np.ascontiguousarray(components.means)
        self._variances = np.ascontiguousarray(components.covariances.variances)
        self._precisions, self._logs = 1.0 / self._variances, _LOG_2_PI + np.log(self._variances)
        self.shape = self._means.shape

    def sums(self, X: Array, weights: Array, params: Params, box: Box | None) -> Array:
        means, precisions, logs = self._means, self._precisions, self._logs
        entropies = 0.5 * (1.0 + logs)
        if box is not None:
            # Where the density is constant, and one by the sides that are seen.
            nowhere, log_sides = np.zeros((1, X.shape[1])), np.log(box.sides)[None]
            means, precisions = np.vstack([means, nowhere]), np.vstack([precisions, nowhere])
            logs, entropies = np.vstack([logs, 2.0 * log_sides]), np.vstack([entropies, log_sides])
        log_weights = np.ascontiguousarray(params.log_weights)
        sums = incomplete_diagonal.expectation(
            X, weights, means, precisions, logs, log_weights, PANEL_ROWS
        )
        rows, counts = sums[:3], sums[3 : 3 + len(means)]
        first, second, missing = sums[3 + len(means) :].reshape(3, *means.shape)
        of_entries = np.sum(missing * entropies)
        rows[0] += of_entries
        return self._joined(np.hstack([rows, of_entries, counts]), first, second, missing)

    def moments(self, X: Array, responsibilities: Array) -> Array:
        sums = incomplete_diagonal.moments(X, responsibilities, self._means, PANEL_ROWS)
        n_components = len(self._means)
        return self._joined(sums[:n_components], *sums[n_components:].reshape(3, *self.shape))

    def _joined(self, others: Array, first: Array, second: Array, missing: Array) -> Array:
        n_components = len(self._means)
        of_all = second[:n_components] + missing[:n_components] * self._variances
        return np.concatenate([others, first[:n_components].ravel(), of_all.ravel()])

    def second_moment(self, sums: Array) -> Array:
        return sums.reshape(self.shape)

    def log_density_and_entropy(self, X: Array) -> tuple[Array, Array]:
        log_weights = np.zeros(len(self._means))
        log_density = incomplete_diagonal.log_joint(
            X, self._means, self._precisions, self._logs, log_weights, PANEL_ROWS
        )
        return log_density, np.isnan(X) @ (0.5 * (1.0 + self._logs)).T


class _SphericalPass(_AxesPass):
    """The pass for one variance of each component."""

    def second_moment(self, sums: Array) -> Array:
        return np.asarray(sums.reshape(self.shape).sum(axis=1, keepdims=True))


_PASSES: dict[type[Covariances], Callable[[GaussianComponents], _Pass]] = {
    FullCovariances: _MatrixPass,
    TiedCovariances: _MatrixPass,
    DiagonalCovariances: _AxesPass,
    SphericalCovariances: _SphericalPass,
}


class CompiledIncompleteGaussian(Gaussian):
    """A family that does what `Gaussian` does for rows with NaN entries, and faster."""

    def __init__(self, plain: Gaussian) -> None:
        super().__init__(plain.structure, plain.prior, plain.fixed, plain.floor, plain.resolution)
        # What the blocks of a pass share.
        self.pass_at: Latest[GaussianComponents, _Pass] = Latest(_PASSES[SHAPES[plain.structure]])

    def posterior(self, components: GaussianComponents, X: Array) -> tuple[MissingEntries, Array]:
        log_density, entropy = self.pass_at(components).log_density_and_entropy(X)
        return MissingEntries(entropy, components), log_density

    def statistics(
        self,
        components: GaussianComponents,
        X: Array,
        responsibilities: Array,
        within: MissingEntries | None = None,
    ) -> GaussianStatistics:
        given = components if within is None else within.components
        prepared = self.pass_at(given)
        sums = prepared.moments(X, np.ascontiguousarray(responsibilities))
        stats = unpacked(sums, given.means, prepared.shape, prepared.second_moment)
        return stats if given is components else self.about(components, stats)


class CompiledIncompleteMixture(Mixture[GaussianComponents]):
    """A mixture that does what ``Mixture(family)`` does for rows with NaN entries, and faster.

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
        self._compiled, self._box = CompiledIncompleteGaussian(family), box
        super().__init__(self._compiled if box is None else WithNoise(self._compiled, box), mixing)
        self._plain = Mixture(family if box is None else WithNoise(family, box), mixing)

    def expectation(
        self, params: Params, X: Array, weights: Array, known: Any = None
    ) -> Expectation[Any]:
        if known is not None:
            return self.expectation_by_parts(params, X, weights, known)
        prepared = self._compiled.pass_at(params.components)
        sums = prepared.sums(X, weights, params, self._box)
        entropy, log_evidence, weight, entropy_within = sums[:4].tolist()
        if not math.isfinite(log_evidence):
            # An overflow, or a row that no component gives any probability: the slow way knows.
            return self._plain.expectation(params, X, weights)
        statistics = unpacked_beside_noise(
            sums[4:],
            self.family.n_unlike,
            params.components.means,
            prepared.shape,
            prepared.second_moment,
        )
        return Expectation(statistics, entropy, log_evidence, weight, entropy_within)

"""Gaussian mixtures for rows with missing entries whose E-step is one compiled pass."""

from __future__ import annotations

import math

import numpy as np

from em_toolkit.families import Gaussian, GaussianComponents, GaussianStatistics, IncompleteGaussian
from em_toolkit.families.matrix_covariances import MatrixCovariances
from em_toolkit.kernels import incomplete
from em_toolkit.kernels.gaussian_mixture import PANEL_ROWS, padded, unpacked
from em_toolkit.kernels.instructions import ROWS_AT_ONCE
from em_toolkit.model import Expectation
from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array

# Numbers in the triangles of the rows of a panel, each of which may be a run of its own.
_TRIANGLES = 2**16


class CompiledIncompleteGaussian(IncompleteGaussian):
    """A family that does what `IncompleteGaussian` does, to rounding, and faster.

    For structures of covariance matrices.
    """

    def log_density(self, components: GaussianComponents, X: Array) -> Array:
        means, uppers, width = _prepared(components)
        return incomplete.densities(X, means, uppers, width)[0]

    def entropy_of_missing(self, components: GaussianComponents, X: Array) -> Array:
        means, uppers, width = _prepared(components)
        return incomplete.densities(X, means, uppers, width)[1]

    def statistics(
        self, components: GaussianComponents, X: Array, responsibilities: Array
    ) -> GaussianStatistics:
        means, uppers, width = _prepared(components)
        responsibilities = np.ascontiguousarray(responsibilities)
        sums = incomplete.moments(X, responsibilities, means, uppers, width)
        return self.unpacked(sums, components.means)

    def unpacked(self, sums: Array, origin: Array) -> GaussianStatistics:
        """Statistics from the sums of a kernel."""
        n_components, n_features = origin.shape
        n_padded = n_features + n_features % 2

        def second_moment(sums: Array) -> Array:
            matrices = sums.reshape(n_components, n_padded, n_padded)
            of_features = matrices[:, :n_features, :n_features]
            return self.structure.joined([matrix[None] for matrix in of_features])

        return unpacked(sums, origin, (n_components, n_padded), second_moment)


class CompiledIncompleteMixture(Mixture[GaussianComponents]):
    """A mixture that does what ``Mixture(IncompleteGaussian(complete))`` does, and faster.

    Parameters
    ----------
    complete : Gaussian
    mixing : MixingWeights, optional
    """

    def __init__(self, complete: Gaussian, mixing: MixingWeights | None = None) -> None:
        self._compiled = CompiledIncompleteGaussian(complete)
        super().__init__(self._compiled, mixing)
        self._plain = Mixture(IncompleteGaussian(complete), mixing)

    def expectation(
        self, params: MixtureParameters[GaussianComponents], X: Array, weights: Array
    ) -> Expectation[GaussianStatistics]:
        means, uppers, width = _prepared(params.components)
        log_weights = np.ascontiguousarray(params.log_weights)
        sums = incomplete.expectation(X, weights, means, uppers, log_weights, width, PANEL_ROWS)
        entropy, log_evidence, weight = sums[:3].tolist()
        if not math.isfinite(log_evidence):
            # An overflow, or a row that no component gives any probability: the slow way knows.
            return self._plain.expectation(params, X, weights)
        statistics = self._compiled.unpacked(sums[3:], params.components.means)
        return Expectation(statistics, entropy, log_evidence, weight)


def _prepared(components: GaussianComponents) -> tuple[Array, Array, int]:
    """Means, transposed Cholesky factors and the width of a panel."""
    covariances = components.covariances
    assert isinstance(covariances, MatrixCovariances)
    uppers = np.ascontiguousarray(covariances.cholesky.transpose(0, 2, 1))
    width = min(PANEL_ROWS, _TRIANGLES // uppers.size)
    width = max(ROWS_AT_ONCE, width // ROWS_AT_ONCE * ROWS_AT_ONCE)
    return padded(components.means, 1, 2), uppers, width

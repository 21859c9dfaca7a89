"""The coordinates of normal components, of complete rows and of rows with missing entries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from itertools import product

import numpy as np
from scipy.linalg import block_diag

from em_toolkit.analysis.coordinates import Chart, Estimand, Tangent
from em_toolkit.covariances.axis_aligned import (
    AxisAlignedCovariances,
    EIICovariances,
    SphericalCovariances,
)
from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.deformations import deformations, free_directions
from em_toolkit.covariances.matrix import MatrixCovariances, TiedCovariances
from em_toolkit.covariances.patterns import Runs, has_missing
from em_toolkit.families.gaussian import Gaussian, GaussianComponents
from em_toolkit.families.missing_entries import about_means, completions
from em_toolkit.statistics import Array, IntArray


class GaussianTangent(Tangent):
    r"""Means and covariances.

    With y = F⁻¹ (x − μ), Σ = F Fᵀ and symmetric E_j of tr E_i E_j = 2 δ_ij, the scores are y and
    ½ (yᵀ E_j y − tr E_j); a step (a, b) moves μ by F a and Σ by F (Σ_j b_j E_j) Fᵀ. Here E_j has
    one entry and its mirror image, or one on the diagonal; how the structure moves along these is
    said by `em_toolkit.covariances.deformations`.

    In these coordinates tr Σ⁻¹ Ψ is linear: a conjugate prior has the information of as many rows
    as it stands for. Variances on the floor stay there: of the coordinates, those directions are
    free that leave these variances as they are.

    Of a row with missing entries y is normal, given the others and k, of mean ŷ and covariance C
    (`em_toolkit.covariances.completion`). The score is the expectation of that above, with
    ŷᵀ E_j ŷ + tr E_j C for yᵀ E_j y, and its spread about this

    .. math:: \operatorname{Cov}(y) = C, \quad
              \operatorname{Cov}(y, \tfrac12 y^\top E_j y) = C E_j \hat y, \quad
              \operatorname{Cov}(\tfrac12 y^\top E_i y, \tfrac12 y^\top E_j y)
              = \hat y^\top E_i C E_j \hat y + \tfrac12 \operatorname{tr} E_i C E_j C.
    """

    def __init__(
        self, family: Gaussian, components: GaussianComponents, ends: tuple[IntArray, IntArray]
    ) -> None:
        self._components, self._prior, self._ends = components, family.prior, ends
        n_features = components.means.shape[1]
        # ½ yᵀ E_j y is y_a y_b times this.
        self._sizes = np.where(ends[0] == ends[1], np.sqrt(0.5), 1.0)
        index = np.arange(self._sizes.size)
        self._basis = np.zeros((self._sizes.size, n_features, n_features))
        self._basis[index, ends[0], ends[1]] += self._sizes
        self._basis[index, ends[1], ends[0]] += self._sizes
        on_floor = components.covariances.on_floor(family.floor)
        self._deformations = deformations(components.covariances, on_floor)
        fixed = family.fixed
        n_means = components.means.size
        n_columns = 1 + max(int(one.columns.max()) for one in self._deformations)
        free = np.ones(n_means + n_columns, dtype=bool)
        self.charts = []
        for k, one in enumerate(self._deformations):
            jacobian = np.eye(n_features + index.size, n_features + one.columns.size)
            jacobian[n_features:, n_features:] = self._along(one.directions).T
            of_mean = k * n_features + np.arange(n_features)
            self.charts.append(Chart(np.append(of_mean, n_means + one.columns), jacobian))
            if fixed.means is not None and fixed.means[k]:
                free[of_mean] = False
            if fixed.covariances is not None and fixed.covariances[k]:
                free[n_means + one.columns] = False
        moving = free_directions(self._deformations, on_floor, n_columns)
        self.basis = block_diag(np.eye(n_means), moving)
        self.basis = self.basis[:, ~(self.basis[~free] != 0.0).any(axis=0)]

    def _along(self, products: Array) -> Array:
        """½ tr E_j A, for matrices A."""
        return np.asarray(self._sizes * products[..., self._ends[0], self._ends[1]])

    def prior_gradient(self, component: int) -> Array:
        prior, means, frame = self._prior, self._components.means, self._deformations[component]
        shift = frame.inverse @ np.broadcast_to(prior.center - means[component], means.shape[1])
        scatter = frame.inverse @ prior.matrix(means.shape[1]) @ frame.inverse.T
        scatter = scatter + prior.shrinkage * np.outer(shift, shift)
        pulled = frame.frame.T @ prior.pull_on_means(means)[0][component]
        along = self._along(scatter - prior.pseudo_count * np.eye(means.shape[1]))
        return np.concatenate([prior.shrinkage * shift + pulled, along])

    def prior_information(self, component: int) -> Array:
        r"""Minus the second derivative of the log prior.

        Of what is conjugate, that of pseudo-rows. Where the means have a normal density of their
        own, their second order counts, μ + F (I − B)⁻¹ a with B = Σ_j b_j E_j: for the gradient g
        and the precision V⁻¹ of that density, Fᵀ V⁻¹ F and, between a and b_j, −E_j Fᵀ g.
        """
        means, frame = self._components.means, self._deformations[component].frame
        pull, precision = self._prior.pull_on_means(means)
        n_features, n_directions = means.shape[1], self._sizes.size
        counts = np.repeat(
            [self._prior.shrinkage, self._prior.pseudo_count], [n_features, n_directions]
        )
        information = np.diag(counts)
        information[:n_features, :n_features] += frame.T @ precision @ frame
        crossed = -(self._basis @ (frame.T @ pull[component]))
        information[n_features:, :n_features] = crossed
        information[:n_features, n_features:] = crossed.T
        return information

    def curvature(self, gradients: list[Array]) -> Array:
        n_means, n_features = self._components.means.size, self._components.means.shape[1]
        curvature = np.zeros((self.basis.shape[0], self.basis.shape[0]))
        for one, gradient in zip(self._deformations, gradients, strict=True):
            matrix = 0.5 * np.tensordot(gradient[n_features:], self._basis, 1)
            columns = n_means + one.columns
            curvature[np.ix_(columns, columns)] += one.curvature(matrix)
        return curvature

    def estimands(self) -> list[Estimand]:
        means, covariances = self._components.means, self._components.covariances
        n_components, n_features = means.shape
        of_means = np.zeros((*means.shape, self.basis.shape[0]))
        of_matrices = np.zeros((n_components, n_features, n_features, self.basis.shape[0]))
        for k, one in enumerate(self._deformations):
            columns = self.charts[k].columns
            of_means[k][:, columns[:n_features]] = one.frame
            moved = one.frame @ one.directions @ one.frame.T
            of_matrices[k][:, :, columns[n_features:]] = np.moveaxis(moved, 0, -1)
        values = covariances.sklearn_array
        jacobian = _published(covariances, of_matrices).reshape(values.size, -1)
        variances = np.tile(np.eye(n_features, dtype=bool), (n_components, 1, 1))
        return [
            Estimand(
                "means",
                means,
                of_means.reshape(means.size, -1),
                np.zeros(means.shape, dtype=bool),
            ),
            Estimand(
                "covariances",
                values,
                jacobian,
                np.asarray(_published(covariances, variances)),
                symmetric=isinstance(covariances, MatrixCovariances),
            ),
        ]


class IndependentFeatures(GaussianTangent):
    """The coordinates for covariances without off-diagonal entries.

    What is observed of a row then says nothing of its missing entries.
    """

    def __init__(self, family: Gaussian, components: GaussianComponents) -> None:
        features = np.arange(components.means.shape[1])
        super().__init__(family, components, (features, features))

    def observe(self, X: Array, held: Array) -> Iterator[tuple[Array, Array | None]]:
        missing, is_complete = np.isnan(X), not has_missing(X)
        variances = self._components.covariances.variances
        for k, y in about_means(self._components.means, X):
            y /= np.sqrt(variances[k])
            scores = np.concatenate([y, np.sqrt(0.5) * (np.square(y) - ~missing)], axis=1)
            yield scores, None if is_complete else np.diag(np.tile(held[:, k] @ missing, 2))


class CorrelatedFeatures(GaussianTangent):
    """The coordinates for any covariance matrices."""

    def __init__(self, family: Gaussian, components: GaussianComponents) -> None:
        n_features = components.means.shape[1]
        super().__init__(family, components, np.triu_indices(n_features))
        # A mean's coordinate is that of a product, too: of y_a and a feature that is always 1.
        features, ones = 1 + np.arange(n_features), np.zeros(n_features, dtype=np.int64)
        left, right = self._ends
        self._pairs = np.append(ones, 1 + left), np.append(features, 1 + right)
        self._scale = np.append(np.ones(n_features), self._sizes)

    def observe(self, X: Array, held: Array) -> Iterator[tuple[Array, Array | None]]:
        n_components, n_features = self._components.means.shape
        is_complete, n_natural = not has_missing(X), self._scale.size
        scores = np.empty((n_components, len(X), n_natural))
        spreads = np.zeros((n_components, n_natural, n_natural))
        means, covariances = self._components.means, self._components.covariances
        for rows, runs, completion in completions(means, covariances, X):
            for k, of_rows in about_means(means, X[rows]):
                inverse = self._deformations[k].inverse
                whitened = completion.whiten(of_rows, k)
                expected = completion.fill(of_rows, whitened, k) @ inverse.T
                residuals, run = completion.residuals(k)
                unseen = np.zeros((len(runs.lengths), n_features, n_features))
                np.add.at(unseen, run, _outer(residuals @ inverse.T))
                along = np.repeat(self._along(unseen - np.eye(n_features)), runs.lengths, axis=0)
                along += self._sizes * expected[:, self._ends[0]] * expected[:, self._ends[1]]
                scores[k][rows] = np.concatenate([expected, along], axis=1)
                if not is_complete:
                    spreads[k] += self._spread(expected, held[rows, k], unseen, runs)
        for k in range(n_components):
            yield scores[k], None if is_complete else spreads[k]

    def _spread(self, expected: Array, held: Array, unseen: Array, runs: Runs) -> Array:
        """Return the spread of the score that missing entries cause.

        With ŷ and C led by a feature that is 1, all three covariances are those of products:
        tr E_i C E_j X, for X = ŷ ŷᵀ + ½ C, summed over the rows.
        """
        size = 1 + expected.shape[1]
        led = np.column_stack([np.ones(len(expected)), expected])
        unseen = np.pad(unseen, ((0, 0), (1, 0), (1, 0)))
        moments = runs.sums(held[:, None, None] * _outer(led))
        moments += 0.5 * runs.sums(held)[:, None, None] * unseen
        sums = unseen.reshape(-1, size**2).T @ moments.reshape(-1, size**2)
        sums = sums.reshape(size, size, size, size)
        traces = np.zeros((self._scale.size, self._scale.size))
        orders = [self._pairs, self._pairs[::-1]]
        for (a, b), (c, d) in product(orders, orders):
            traces += sums[b[:, None], c, d, a[:, None]]
        return traces * np.outer(self._scale, self._scale)


def gaussian_tangent(family: Gaussian, components: GaussianComponents) -> GaussianTangent:
    """Return the coordinates of normal components, of complete rows or others.

    Parameters
    ----------
    family : Gaussian
    components : GaussianComponents
    """
    if isinstance(components.covariances, AxisAlignedCovariances):
        return IndependentFeatures(family, components)
    return CorrelatedFeatures(family, components)


def _outer(rows: Array) -> Array:
    """Return the product of each row with itself."""
    return rows[:, :, None] * rows[:, None, :]


@singledispatch
def _published(covariances: Covariances, matrices: Array) -> Array:
    """Changes of the K matrices, of shape (n_components, d, d, ...), in scikit-learn's shape."""
    return matrices


@_published.register
def _(covariances: TiedCovariances, matrices: Array) -> Array:
    return matrices[0]


@_published.register
def _(covariances: AxisAlignedCovariances, matrices: Array) -> Array:
    index = np.arange(covariances.n_features)
    return matrices[:, index, index]


@_published.register
def _(covariances: SphericalCovariances | EIICovariances, matrices: Array) -> Array:
    return matrices[:, 0, 0]

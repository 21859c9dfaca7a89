r"""Coordinates around given parameters, in which information is simple.

In natural parameters η the density of a component is exp(⟨η, t(x)⟩ − A(η)): the score is
t(x) − E t, and the second derivative is −Cov t, whatever x. Scaled so that Cov t = I at the
parameters themselves, the information of a complete row is the identity (Efron 1978; for mixtures
Louis 1982). What a coordinate changes in the parameters is, to first order, what it changes in E t.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from em_toolkit.families.axis_aligned_covariances import DiagonalCovariances, SphericalCovariances
from em_toolkit.families.covariance import Covariances
from em_toolkit.families.gaussian import Gaussian, GaussianComponents
from em_toolkit.families.matrix_covariances import FullCovariances, TiedCovariances
from em_toolkit.families.poisson import Poisson, PoissonRates
from em_toolkit.families.with_noise import WithNoise
from em_toolkit.statistics import Array, BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class Estimand:
    """A parameter as the user knows it, and how it follows the coordinates.

    Parameters
    ----------
    name : str
        Such as "means".
    values : ndarray
        In the shape of the fitted attribute.
    jacobian : ndarray of shape (values.size, n_coordinates)
    positive : ndarray of bool, of the shape of `values`
        What cannot be negative: variances, rates.
    symmetric : bool
        Whether the last two axes are those of symmetric matrices.
    """

    name: str
    values: Array
    jacobian: Array
    positive: BoolArray
    symmetric: bool = False


class Tangent(ABC):
    """The coordinates of K components.

    Attributes
    ----------
    free : ndarray of bool of shape (n_coordinates,)
        Which coordinates are not held fixed.
    """

    free: BoolArray

    @abstractmethod
    def columns(self, component: int) -> IntArray:
        """The coordinates of a component."""

    @abstractmethod
    def scores(self, X: Array, component: int) -> Array:
        """The derivatives of log p(x_i | k), of shape (n_rows, len(columns(k)))."""

    @abstractmethod
    def prior_gradient(self) -> Array:
        """The derivative of the log prior, of shape (n_coordinates,)."""

    @abstractmethod
    def prior_information(self) -> Array:
        """Minus its second derivative, of shape (n_coordinates, n_coordinates)."""

    @abstractmethod
    def estimands(self) -> list[Estimand]:
        """What the user knows."""


@singledispatch
def tangent(family: Any, components: Any) -> Tangent:
    """The coordinates of a family's components."""
    raise ValueError(
        f"Standard errors are known of complete Gaussian and Poisson components, not of "
        f"{type(family).__name__}. Take the bootstrap: fit again to rows drawn with replacement."
    )


# -- covariances ----------------------------------------------------------------------------------


@singledispatch
def _directions(covariances: Covariances) -> Array:
    """Symmetric E_j with tr E_i E_j = 2 δ_ij, of shape (n_directions, n_features, n_features).

    Inverse covariances, whitened by their component's own, vary along them: the structure must be
    linear in the inverse.
    """
    raise ValueError(
        "Standard errors are known of the covariance types 'full', 'tied', 'diag' and 'spherical', "
        f"got {type(covariances).__name__}. Take the bootstrap: fit again to rows drawn with "
        "replacement."
    )


def _axes(n_features: int) -> Array:
    basis = np.zeros((n_features, n_features, n_features))
    index = np.arange(n_features)
    basis[index, index, index] = np.sqrt(2.0)
    return basis


@_directions.register(FullCovariances)
@_directions.register(TiedCovariances)
def _(covariances: FullCovariances | TiedCovariances) -> Array:
    rows, columns = np.triu_indices(covariances.n_features, 1)
    crossed = np.zeros((rows.size, covariances.n_features, covariances.n_features))
    index = np.arange(rows.size)
    crossed[index, rows, columns] = crossed[index, columns, rows] = 1.0
    return np.concatenate([_axes(covariances.n_features), crossed])


@_directions.register
def _(covariances: DiagonalCovariances) -> Array:
    return _axes(covariances.n_features)


@_directions.register
def _(covariances: SphericalCovariances) -> Array:
    n_features = covariances.n_features
    return np.sqrt(2.0 / n_features) * np.eye(n_features)[None]


@singledispatch
def _published(covariances: Covariances, matrices: Array) -> Array:
    """Changes of the K matrices, of shape (n_components, d, d, ...), in scikit-learn's shape."""
    return matrices


@_published.register
def _(covariances: TiedCovariances, matrices: Array) -> Array:
    return matrices[0]


@_published.register
def _(covariances: DiagonalCovariances, matrices: Array) -> Array:
    index = np.arange(covariances.n_features)
    return matrices[:, index, index]


@_published.register
def _(covariances: SphericalCovariances, matrices: Array) -> Array:
    return matrices[:, 0, 0]


# -- families -------------------------------------------------------------------------------------


class GaussianTangent(Tangent):
    r"""Means and covariances.

    With y = L⁻¹ (x − μ) and Σ = L Lᵀ the scores are y and ½ (yᵀ E_j y − tr E_j); a step (a, b)
    moves μ by L a and Σ by L (Σ_j b_j E_j) Lᵀ. In these coordinates tr Σ⁻¹ Ψ is linear: the prior
    that `reg_covar` stands for has a gradient and no information, and a conjugate one that of as
    many rows as it stands for.
    """

    def __init__(self, family: Gaussian, components: GaussianComponents) -> None:
        covariances = components.covariances
        self._components, self._prior = components, family.prior
        self._basis = _directions(covariances)
        n_components, n_features = components.means.shape
        identity = np.eye(n_features)
        # Rows (I − 0) whitened are L⁻ᵀ.
        inverses = [covariances.whiten(identity.copy(), k).T for k in range(n_components)]
        self._inverses = np.stack(inverses)
        self._factors = np.linalg.inv(self._inverses)
        n_means, n_directions = components.means.size, len(self._basis)
        self._n_means = n_means
        is_shared = isinstance(covariances, TiedCovariances)
        self._starts = n_means + (0 if is_shared else n_directions) * np.arange(n_components)
        self.free = np.ones(self._starts[-1] + n_directions, dtype=bool)
        fixed = family.fixed
        for k in range(n_components):
            columns = self.columns(k)
            if fixed.means is not None and fixed.means[k]:
                self.free[columns[:n_features]] = False
            if fixed.covariances is not None and fixed.covariances[k]:
                self.free[columns[n_features:]] = False

    def columns(self, component: int) -> IntArray:
        n_features = self._components.means.shape[1]
        means = component * n_features + np.arange(n_features)
        return np.concatenate([means, self._starts[component] + np.arange(len(self._basis))])

    def scores(self, X: Array, component: int) -> Array:
        means, covariances = self._components.means, self._components.covariances
        y = covariances.whiten(X - means[component], component)
        products = (y[:, :, None] * y[:, None, :]).reshape(len(y), -1)
        return np.concatenate([y, self._along(products, 1.0)], axis=1)

    def _along(self, products: Array, count: float) -> Array:
        flat = self._basis.reshape(len(self._basis), -1)
        traces = np.trace(self._basis, axis1=1, axis2=2)
        return 0.5 * (products @ flat.T - count * traces)

    def prior_gradient(self) -> Array:
        gradient, prior, means = np.zeros(self.free.shape), self._prior, self._components.means
        pull, _ = prior.pull_on_means(means)
        for k, inverse in enumerate(self._inverses):
            shift = inverse @ np.broadcast_to(prior.center - means[k], means[k].shape)
            scatter = inverse @ prior.matrix(means.shape[1]) @ inverse.T
            scatter = scatter + prior.shrinkage * np.outer(shift, shift)
            along = self._along(scatter.reshape(1, -1), prior.pseudo_count)[0]
            pulled = prior.shrinkage * shift + self._factors[k].T @ pull[k]
            gradient[self.columns(k)] += np.concatenate([pulled, along])
        return gradient

    def prior_information(self) -> Array:
        r"""Minus the second derivative of the log prior.

        Of what is conjugate, that of pseudo-rows. Where the means have a normal density of their
        own, their second order counts, μ + L (I − B)⁻¹ a with B = Σ_j b_j E_j: for the gradient g
        and the precision V⁻¹ of that density, Lᵀ V⁻¹ L and, between a and b_j, −E_j Lᵀ g.
        """
        means = self._components.means
        n_features = means.shape[1]
        information = np.zeros((self.free.size, self.free.size))
        pull, precision = self._prior.pull_on_means(means)
        for k, factor in enumerate(self._factors):
            columns = self.columns(k)
            of_mean, of_matrix = columns[:n_features], columns[n_features:]
            information[of_mean, of_mean] += self._prior.shrinkage
            information[of_matrix, of_matrix] += self._prior.pseudo_count
            information[np.ix_(of_mean, of_mean)] += factor.T @ precision @ factor
            crossed = -(self._basis @ (factor.T @ pull[k]))
            information[np.ix_(of_matrix, of_mean)] += crossed
            information[np.ix_(of_mean, of_matrix)] += crossed.T
        return information

    def estimands(self) -> list[Estimand]:
        means, covariances = self._components.means, self._components.covariances
        n_components, n_features = means.shape
        of_means = np.zeros((*means.shape, self.free.size))
        of_matrices = np.zeros((n_components, n_features, n_features, self.free.size))
        for k, factor in enumerate(self._factors):
            columns = self.columns(k)
            of_means[k][:, columns[:n_features]] = factor
            moved = factor @ self._basis @ factor.T
            of_matrices[k][:, :, columns[n_features:]] = np.moveaxis(moved, 0, -1)
        values = covariances.public
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
                symmetric=values.shape[-2:] == (n_features, n_features)
                and isinstance(covariances, FullCovariances | TiedCovariances),
            ),
        ]


class PoissonTangent(Tangent):
    """Rates: the score is (x − λ)/√λ, and a step c moves λ by √λ c."""

    def __init__(self, family: Poisson, components: PoissonRates) -> None:
        self._rates = components.rates
        empty = np.argwhere(~(self._rates > 0.0))
        if empty.size:
            k, j = (int(index) for index in empty[0])
            raise ValueError(
                f"The rate of component {k} in feature {j} is zero, on the edge of what it can be: "
                "it has no standard error. Leave the feature out, or use fewer components."
            )
        free = np.ones(self._rates.shape, dtype=bool)
        if family.fixed is not None:
            free[family.fixed] = False
        self.free = free.ravel()

    def columns(self, component: int) -> IntArray:
        n_features = self._rates.shape[1]
        return component * n_features + np.arange(n_features)

    def scores(self, X: Array, component: int) -> Array:
        rates = self._rates[component]
        return (X - rates) / np.sqrt(rates)

    def prior_gradient(self) -> Array:
        return np.zeros(self._rates.size)

    def prior_information(self) -> Array:
        return np.zeros((self._rates.size, self._rates.size))

    def estimands(self) -> list[Estimand]:
        jacobian = np.diag(np.sqrt(self._rates.ravel()))
        return [Estimand("rates", self._rates, jacobian, np.ones(self._rates.shape, dtype=bool))]


class NoiseTangent(Tangent):
    """Components beside noise, which has no parameters but its weight."""

    def __init__(self, family: WithNoise[Any, Any], components: Any) -> None:
        self._signal = tangent(family.family, components)
        self._n_signal = family.family.log_density(components, family.box.center[None]).shape[1]
        self.free = self._signal.free

    def columns(self, component: int) -> IntArray:
        is_noise = component == self._n_signal
        return np.empty(0, dtype=np.int64) if is_noise else self._signal.columns(component)

    def scores(self, X: Array, component: int) -> Array:
        is_noise = component == self._n_signal
        return np.empty((len(X), 0)) if is_noise else self._signal.scores(X, component)

    def prior_gradient(self) -> Array:
        return self._signal.prior_gradient()

    def prior_information(self) -> Array:
        return self._signal.prior_information()

    def estimands(self) -> list[Estimand]:
        return self._signal.estimands()


@tangent.register
def _(family: WithNoise, components: Any) -> Tangent:  # type: ignore[type-arg]
    return NoiseTangent(family, components)


@tangent.register
def _(family: Gaussian, components: GaussianComponents) -> Tangent:
    return GaussianTangent(family, components)


@tangent.register
def _(family: Poisson, components: PoissonRates) -> Tangent:
    return PoissonTangent(family, components)

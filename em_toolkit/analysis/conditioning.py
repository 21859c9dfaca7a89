"""A Gaussian mixture as a density: the mixture of some features, alone or given the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from em_toolkit.analysis.features import feature_indices, targets_given
from em_toolkit.covariances.axis_aligned import (
    AxisAlignedCovariances,
    EIICovariances,
)
from em_toolkit.covariances.matrix import MatrixCovariances
from em_toolkit.families import (
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    Gaussian,
    GaussianComponents,
    SphericalCovariances,
    TiedCovariances,
)
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array, IntArray

GaussianMixtureParameters = MixtureParameters[GaussianComponents]
# The density asks the components for their structure: one mixture serves all.
GAUSSIAN_MIXTURE: Mixture[GaussianComponents] = Mixture(Gaussian())


def marginal(params: GaussianMixtureParameters, features: Any) -> GaussianMixtureParameters:
    r"""Return the mixture of some of the features, the others integrated out.

    .. math:: p(x_a) = \sum_k \pi_k \, \mathcal N(x_a \mid \mu_{k,a}, \Sigma_{k,aa})

    (Bishop 2006, eq. 2.98). Full, tied, diagonal and spherical covariances remain what they are;
    of any other structure they become the nearest of these that holds them all.

    Parameters
    ----------
    params : MixtureParameters
        Of Gaussian components.
    features : int or array-like of int
        The features a, in the order that the marginal is to have.

    Returns
    -------
    params : MixtureParameters
        Of the features named.

    Raises
    ------
    ValueError
        For no features, repeated ones or ones that there are not.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit.families import FullCovariances, GaussianComponents
    >>> from em_toolkit.models import MixtureParameters
    >>> covariances = FullCovariances(np.array([[[2.0, 1.0], [1.0, 4.0]]]))
    >>> components = GaussianComponents(np.array([[0.0, 1.0]]), covariances)
    >>> of_second = marginal(MixtureParameters(np.ones(1), components), 1)
    >>> of_second.components.means, of_second.components.covariances.sklearn_array
    (array([[1.]]), array([[[4.]]]))
    """
    params.check()
    chosen = feature_indices(features, params.components.means.shape[1])
    return _marginal(params, chosen)


def condition(
    params: GaussianMixtureParameters, features: Any, values: npt.ArrayLike
) -> GaussianMixtureParameters:
    r"""Return the mixture of the remaining features, given the values of some.

    With a the remaining features and b the given ones (Bishop 2006, eqs 2.81 and 2.82, for each
    component; the weights are its responsibilities, eq. 9.23, under the marginal of b),

    .. math:: p(x_a \mid x_b) = \sum_k p(k \mid x_b) \,
              \mathcal N\big(x_a \mid \mu_{k,a} + B_k (x_b - \mu_{k,b}),
              \Sigma_{k,aa} - B_k \Sigma_{k,ba}\big),
              \qquad B_k = \Sigma_{k,ab} \Sigma_{k,bb}^{-1}

    The difference of matrices is never formed: in a Cholesky factor of Σ_k with b before a it is
    the trailing block. Weights are found from logarithms, so that values far out in the tails,
    where all densities underflow, are as good as any; the log odds are exact to a rounding of the
    squared distance from the components.

    Covariances are of the same structure as those of `marginal`.

    Parameters
    ----------
    params : MixtureParameters
        Of Gaussian components.
    features : int or array-like of int
        The features b whose values are known.
    values : float or array-like of shape (n_given,)
        Their values, in the same order.

    Returns
    -------
    params : MixtureParameters
        Of the remaining features, in ascending order.

    Raises
    ------
    ValueError
        For no features, all of them, repeated ones or ones that there are not; for values that
        are not finite, not as many as the features, or so far out that squares overflow.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit.families import FullCovariances, GaussianComponents
    >>> from em_toolkit.models import MixtureParameters
    >>> covariances = FullCovariances(np.array([[[2.0, 1.0], [1.0, 4.0]]]))
    >>> components = GaussianComponents(np.array([[0.0, 1.0]]), covariances)
    >>> of_second = condition(MixtureParameters(np.ones(1), components), 0, 3.0)
    >>> of_second.components.means, of_second.components.covariances.sklearn_array.round(12)
    (array([[2.5]]), array([[[3.5]]]))
    """
    params.check()
    n_features = params.components.means.shape[1]
    given = feature_indices(features, n_features)
    conditional = ConditionalMixture.of(params, given, targets_given(given, None, n_features))
    row = _row_of_values(values, given.shape[0])
    return MixtureParameters(
        np.exp(conditional.log_weights(row)[0]),
        GaussianComponents(conditional.means(row)[0], conditional.covariances),
    )


def _row_of_values(values: npt.ArrayLike, n_given: int) -> Array:
    row = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if row.shape != (n_given,):
        raise ValueError(
            f"values: expected shape ({n_given},), a value for each feature that is given, got "
            f"{row.shape}."
        )
    if not np.isfinite(row).all():
        raise ValueError(
            f"values: expected finite numbers, got {row}. A feature whose value is not known is "
            "not given: leave it out."
        )
    return row[None]


@dataclass(frozen=True)
class ConditionalMixture:
    """The mixture of some features as a function of others; what is left is integrated out.

    Parameters
    ----------
    given : MixtureParameters
        The marginal mixture of the given features.
    target_means : ndarray of shape (n_components, n_targets)
    coefficients : ndarray of shape (n_components, n_targets, n_given)
        B_k, by which the mean of the targets depends on what is given.
    covariances : Covariances
        Of the targets, within a component and given the others.
    """

    given: GaussianMixtureParameters
    target_means: Array
    coefficients: Array
    covariances: Covariances

    @classmethod
    def of(
        cls, params: GaussianMixtureParameters, given: IntArray, targets: IntArray
    ) -> ConditionalMixture:
        """Return the conditional mixture that follows from the mixture of all features.

        Parameters
        ----------
        params : MixtureParameters
            Of Gaussian components.
        given, targets : ndarray of int
            The indices of features; none is in both.
        """
        components = params.components
        coefficients, covariances = regression(components.covariances, given, targets)
        means = components.means[:, targets]
        return cls(_marginal(params, given), means, coefficients, covariances)

    def log_weights(self, X: Array) -> Array:
        """Return log p(k | x_i) of rows of what is given, of shape (n_rows, n_components)."""
        with np.errstate(over="ignore", invalid="ignore"):
            posterior, log_density = GAUSSIAN_MIXTURE.posterior(self.given, X)
        lost = np.flatnonzero(~np.isfinite(log_density))
        if lost.size:
            raise ValueError(
                f"Expected values whose squared distance from some component is finite, got "
                f"{X[lost[0]]} in row {lost[0]}: the square exceeds the largest number, and no "
                "component can be told from another there. Check the units of the values."
            )
        return posterior.log_responsibilities

    def means(self, X: Array) -> Array:
        """Return E[x_t | x_i, k] for rows of what is given.

        The shape is (n_rows, n_components, n_targets).
        """
        means = np.empty((X.shape[0], *self.target_means.shape))
        for k, origin in enumerate(self.given.components.means):
            means[:, k] = self.target_means[k] + (X - origin) @ self.coefficients[k].T
        return means


def _marginal(params: GaussianMixtureParameters, features: IntArray) -> GaussianMixtureParameters:
    components = params.components
    covariances = _marginal_covariances(components.covariances, features)
    return MixtureParameters(
        params.weights, GaussianComponents(components.means[:, features], covariances)
    )


# -- what the structure of the covariances decides ------------------------------------------------


@singledispatch
def square_roots(covariances: Covariances) -> Array:
    """Return F_k with F_k F_kᵀ = Σ_k, of shape (n_components, n_features, n_features)."""
    # A structure says how to whiten: x to A x with Aᵀ A = Σ⁻¹. The rows of the identity become
    # those of Aᵀ, and F = A⁻¹.
    components = range(covariances.n_components)
    whitened = [covariances.whiten(np.eye(covariances.n_features), k) for k in components]
    return np.asarray(np.linalg.inv(np.stack(whitened)).transpose(0, 2, 1))


@square_roots.register
def _(covariances: MatrixCovariances) -> Array:
    return covariances.cholesky


@square_roots.register
def _(covariances: TiedCovariances) -> Array:
    return np.broadcast_to(
        covariances.cholesky[0],
        (covariances.n_components, covariances.n_features, covariances.n_features),
    )


def dense(covariances: Covariances) -> Array:
    """Return Σ_k as matrices of shape (n_components, n_features, n_features), of any structure."""
    n_features = covariances.n_features
    matrices: Any = getattr(covariances, "matrices", None)
    if np.shape(matrices) == (covariances.n_components, n_features, n_features):
        return np.asarray(matrices, dtype=np.float64)
    roots = square_roots(covariances)
    return np.asarray(roots @ roots.transpose(0, 2, 1))


@singledispatch
def _marginal_covariances(covariances: Covariances, features: IntArray) -> Covariances:
    """Return the covariances of some of the features."""
    lower = _lower_factors(square_roots(covariances)[:, features])
    return _from_lower_factors(FullCovariances, lower)


@_marginal_covariances.register
def _(covariances: TiedCovariances, features: IntArray) -> Covariances:
    lower = _lower_factors(covariances.cholesky[:, features])
    return _from_lower_factors(TiedCovariances, lower, covariances.n_components)


@_marginal_covariances.register
def _(covariances: AxisAlignedCovariances, features: IntArray) -> Covariances:
    return DiagonalCovariances(covariances.variances[:, features])


@_marginal_covariances.register
def _(covariances: SphericalCovariances | EIICovariances, features: IntArray) -> Covariances:
    return SphericalCovariances(covariances.variances[:, :1], features.shape[0])


@singledispatch
def regression(
    covariances: Covariances, given: IntArray, targets: IntArray
) -> tuple[Array, Covariances]:
    """Return the regression of the targets on the given features, within each component.

    Parameters
    ----------
    covariances : Covariances
        Of all features.
    given, targets : ndarray of int
        The indices of features; none is in both.

    Returns
    -------
    coefficients : ndarray of shape (n_components, n_targets, n_given)
        Σ_tg Σ_gg⁻¹.
    covariances : Covariances
        Σ_tt − Σ_tg Σ_gg⁻¹ Σ_gt.
    """
    coefficients, lower = _regression(square_roots(covariances), given, targets)
    return coefficients, _from_lower_factors(FullCovariances, lower)


@regression.register
def _(
    covariances: TiedCovariances, given: IntArray, targets: IntArray
) -> tuple[Array, Covariances]:
    n_components = covariances.n_components
    coefficients, lower = _regression(covariances.cholesky, given, targets)
    return (
        np.broadcast_to(coefficients[0], (n_components, *coefficients[0].shape)),
        _from_lower_factors(TiedCovariances, lower, n_components),
    )


@regression.register
def _(
    covariances: AxisAlignedCovariances, given: IntArray, targets: IntArray
) -> tuple[Array, Covariances]:
    coefficients = np.zeros((covariances.n_components, targets.shape[0], given.shape[0]))
    return coefficients, _marginal_covariances(covariances, targets)


def _regression(roots: Array, given: IntArray, targets: IntArray) -> tuple[Array, Array]:
    lower = _lower_factors(roots[:, np.concatenate([given, targets])])
    n_given = given.shape[0]
    coefficients = [
        solve_triangular(
            factor[:n_given, :n_given], factor[n_given:, :n_given].T, trans=1, lower=True
        )
        for factor in lower
    ]
    return np.stack(coefficients).transpose(0, 2, 1), lower[:, n_given:, n_given:]


def _lower_factors(roots: Array) -> Array:
    """Lower L_k with L_k L_kᵀ = F_k F_kᵀ, for F_k of at least as many columns as rows.

    By orthogonal triangularization of the roots: to factor the product instead would lose as many
    digits as it is ill-conditioned, and may fail.
    """
    upper = np.asarray(np.linalg.qr(roots.transpose(0, 2, 1), mode="r"))
    lower = upper.transpose(0, 2, 1)
    signs = np.where(np.diagonal(lower, axis1=1, axis2=2) < 0.0, -1.0, 1.0)
    return np.asarray(lower * signs[:, None, :])


def _from_lower_factors(
    structure: type[FullCovariances] | type[TiedCovariances], lower: Array, *others: int
) -> Covariances:
    # The factors are more accurate than those that the product would give.
    return structure(lower @ lower.transpose(0, 2, 1), *others).with_cholesky(lower)

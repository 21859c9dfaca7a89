"""Covariances kept as symmetric matrices; the structures full and tied."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, rq

from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.completion import Completion, MatrixCompletion
from em_toolkit.covariances.patterns import Runs
from em_toolkit.covariances.rules import RESOLUTION, Rule, divisor
from em_toolkit.linalg.spectral import axes_of_factors, composed, principal_axes
from em_toolkit.parameters import CollapseError, size
from em_toolkit.statistics import EPS, Array, BoolArray, RandomSource, sum_of_products

# The share of the largest variance by which NumPy lets a covariance be indefinite.
_INDEFINITE = 1e-8


class MatrixRule(Rule):
    """A rule for matrices."""

    def spectrum(self, covariances: Any) -> tuple[Array, Array]:
        """Return axes and the variances along them, of each matrix."""
        return axes_of_factors(covariances.cholesky)

    def check_axes(self, covariances: Any) -> None:
        """Raise `CollapseError` if axes are lost to rounding that the rule compares."""


class MatrixCovariances(Covariances):
    """Symmetric matrices: values of shape (n_matrices, n_features, n_features).

    There is one for each component, unless a subclass says otherwise. They are made from their
    values, or by `from_factors` from factors of their inverses. Densities need the factors alone:
    the values then follow when something asks for them.
    """

    rule: ClassVar[MatrixRule]

    @cached_property
    def values(self) -> Array:
        product = self.cholesky @ self.cholesky.transpose(0, 2, 1)
        product.setflags(write=False)
        return product

    @property
    def _given(self) -> Array:
        """The matrices that these were made from: Σ_k, or L_k⁻¹."""
        return self.__dict__["values" if "values" in self.__dict__ else "_known_inverse"]

    @property
    def n_features(self) -> int:
        return self._given.shape[-1]

    @property
    def n_components(self) -> int:
        return self._given.shape[0]

    @property
    def scatter(self) -> Array:
        return self.values

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        product = left[:, :, None] * right[:, None, :]
        return 0.5 * (product + product.transpose(0, 2, 1))

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        n_features = X.shape[1]
        moment = np.empty((origin.shape[0], n_features, n_features))
        for k, point in enumerate(origin):
            deviations = X - point
            # The square root makes the product symmetric to the bit.
            deviations *= np.sqrt(responsibilities[:, k, None])
            moment[k] = sum_of_products(deviations, deviations)
        return moment

    @classmethod
    def shared(cls, matrix: Array, n_components: int) -> Self:
        return cls(np.tile(matrix, (n_components, 1, 1)))

    @classmethod
    def from_sklearn_array(cls, values: Array, n_components: int, n_features: int) -> Self:
        return cls(values).in_structure()

    @classmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        return cls.from_precisions_matrices(precisions).in_structure()

    @classmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        return cls.from_factors(factors)

    @property
    def sklearn_array(self) -> Array:
        return self.values

    @property
    def precisions_cholesky(self) -> Array:
        return self.inverse_cholesky.transpose(0, 2, 1)

    @property
    def precisions(self) -> Array:
        return self.inverses

    def _for_components(self, of_matrices: Array) -> Array:
        """Return a quantity of the matrices for each component."""
        return of_matrices

    @cached_property
    def variances(self) -> Array:
        return self._for_components(np.diagonal(self.values, axis1=1, axis2=2))

    @cached_property
    def _spectrum(self) -> tuple[Array, Array]:
        return self.rule.spectrum(self)

    @cached_property
    def axes(self) -> Array:
        return self._for_components(self._spectrum[0])

    @cached_property
    def along_axes(self) -> Array:
        return self._for_components(self._spectrum[1])

    @classmethod
    def turned(cls, axes: Array, along_axes: Array) -> Self:
        """Return covariances of given axes and of the variances along them.

        Parameters
        ----------
        axes : ndarray of shape (n_components, n_features, n_features) or (1, ...)
            Orthonormal, in columns; of each component, or one for all.
        along_axes : ndarray of shape (n_components, n_features)
        """
        values, factors = composed(axes, along_axes)
        covariances = cls(values).with_cholesky(factors)
        covariances.__dict__.update(axes=np.broadcast_to(axes, values.shape), along_axes=along_axes)
        return covariances

    def misfit(self, scatter: Array, count: Array) -> float:
        """Return Σ_k [N_k log |Σ_k| + tr Σ_k⁻¹ A_k], which the M-step minimizes.

        Infinite for matrices that rounding has made singular.

        Parameters
        ----------
        scatter : ndarray of shape (n_components, n_features, n_features)
            A_k, in squared units of the data times units of weight.
        count : ndarray of shape (n_components,)
            N_k, in units of weight.
        """
        try:
            return float(count @ self.log_determinants) + self.inner_product(scatter)
        except np.linalg.LinAlgError:
            return np.inf

    def is_above(self, floor: float) -> bool:
        # No eigenvalue is below 1 / tr Σ⁻¹, and the next E-step needs the inverse anyway; a factor
        # of what is above the floor decides where this does not.
        try:
            with np.errstate(over="ignore"):
                traces = np.square(self.inverse_cholesky).sum(axis=(1, 2))
            if not (floor * traces <= 1.0).all():
                np.linalg.cholesky(self.values - floor * np.eye(self.n_features))
        except np.linalg.LinAlgError:
            return False
        return True

    @classmethod
    def at_least(cls, floor: float, values: Array, *others: int) -> Self:
        """Return covariances of these matrices, their eigenvalues below the floor raised to it.

        Parameters
        ----------
        floor : float
            ε ≥ 0.
        values : ndarray of shape (n_matrices, n_features, n_features)
            Positive semidefinite matrices.
        *others : int
            What the class takes besides its values.
        """
        covariances = cls(values, *others)
        if floor == 0.0 or not np.isfinite(values).all() or covariances.is_above(floor):
            return covariances
        above = values - floor * np.eye(values.shape[-1])
        low = np.array([lapack.dpotrf(matrix, lower=1)[1] > 0 for matrix in above])
        if not low.any():
            return covariances
        axes, variances = principal_axes(values[low])
        raised, factors = composed(axes, np.maximum(variances, floor))
        values, cholesky = values.copy(), np.empty_like(values)
        values[low], cholesky[low] = raised, factors
        try:
            cholesky[~low] = np.linalg.cholesky(values[~low])
        except np.linalg.LinAlgError:
            # Above the floor, and singular to rounding all the same: `check_rank` says so.
            return cls(values, *others)
        return cls(values, *others).with_cholesky(cholesky)

    @cached_property
    def cholesky(self) -> Array:
        """Lower L_k with L_k L_kᵀ = Σ_k, of shape (n_matrices, n_features, n_features)."""
        known = self.__dict__.get("_known_cholesky")
        if known is not None:
            return np.asarray(known)
        if "_known_inverse" in self.__dict__:
            # To factor the product would lose as many digits as Σ is ill-conditioned.
            return _inverses_of_lower(self.inverse_cholesky)
        return np.asarray(np.linalg.cholesky(self.values), dtype=np.float64)

    def with_cholesky(self, lower: Array) -> Self:
        """Return these covariances with factors that are already known.

        To factor the product again would lose as many digits as Σ is ill-conditioned: the factors
        are no cache, and go with every copy.

        Parameters
        ----------
        lower : ndarray of shape (n_matrices, n_features, n_features)
            L_k, with the values as their products L_k L_kᵀ.
        """
        covariances = copy(self)
        covariances.__dict__["_known_cholesky"] = lower
        return covariances

    def __getstate__(self) -> dict[str, Any]:
        known = [name for name in ("_known_cholesky", "_known_inverse") if name in self.__dict__]
        return super().__getstate__() | {name: self.__dict__[name] for name in known}

    @cached_property
    def inverse_cholesky(self) -> Array:
        """L_k⁻¹, lower, of shape (n_matrices, n_features, n_features)."""
        known = self.__dict__.get("_known_inverse")
        return _inverses_of_lower(self.cholesky) if known is None else np.asarray(known)

    @cached_property
    def inverses(self) -> Array:
        """Σ_k⁻¹, of shape (n_matrices, n_features, n_features)."""
        return self.inverse_cholesky.transpose(0, 2, 1) @ self.inverse_cholesky

    @cached_property
    def _diagonals_of_inverses(self) -> Array:
        """Of shape (n_matrices, n_features)."""
        return np.diagonal(self.inverses, axis1=1, axis2=2)

    @property
    def inverse_diagonals(self) -> Array:
        return self._for_components(self._diagonals_of_inverses)

    @cached_property
    def log_determinants(self) -> Array:
        diagonals = np.diagonal(self.cholesky, axis1=1, axis2=2)
        # Of a singular matrix it is −∞, and `check_rank` tells.
        with np.errstate(divide="ignore"):
            return self._for_components(2.0 * np.log(diagonals).sum(axis=1))

    def whiten(self, deviations: Array, component: int) -> Array:
        # By the inverse of the triangular factor: measured against 50 digits up to a condition of
        # 1e13 it is as accurate as substitution (the factor's own error dominates), and a product
        # of matrices is many times faster.
        inverse = self.inverse_cholesky[component % self._given.shape[0]]
        return deviations @ inverse.T

    def completion(self, runs: Runs) -> Completion:
        return MatrixCompletion(self.cholesky, self.n_components, runs)

    def draw(self, n_rows: int, component: int, rng: RandomSource) -> Array:
        matrix = self.values[component % self.values.shape[0]]
        variances = np.diagonal(matrix)
        scale = np.ones(self.n_features)
        # As scikit-learn in the units of the data, unless the least variance is lost in these.
        if not variances.min() > RESOLUTION * self.n_features * EPS * variances.max():
            scale = np.sqrt(np.where(variances > 0.0, variances, 1.0))
        scaled = matrix / scale[:, None] / scale
        # NumPy holds absolute errors of the matrix against this, whatever its units.
        tolerance = _INDEFINITE * max(1.0, float(np.diagonal(scaled).max()))
        rows = rng.multivariate_normal(np.zeros(self.n_features), scaled, n_rows, tol=tolerance)
        return np.asarray(scale * rows)

    def inner_product(self, scatter: Array) -> float:
        # Its roundings, like those of tr L⁻¹ A L⁻ᵀ, are within d Σ_j A_jj (Σ⁻¹)_jj times EPS (by
        # Cauchy-Schwarz, up to a constant): measured up to a condition of 1e13 they are a third of
        # that, two to six times those of the other, and many calls cheaper.
        return float(np.vdot(self.inverses, scatter))

    def diagonal_product(self, scatter: Array) -> float:
        diagonals = np.diagonal(scatter, axis1=1, axis2=2)
        return float(np.sum(diagonals * self._diagonals_of_inverses))

    def check_rank(self) -> None:
        try:
            factors = self.cholesky
        except np.linalg.LinAlgError:
            factors = np.stack([_cholesky_until_failure(matrix) for matrix in self.values])
        pivots = np.square(np.diagonal(factors, axis1=1, axis2=2))
        is_lost = ~(pivots > RESOLUTION * self.n_features * EPS * self.variances)
        if is_lost.any():
            component, feature = np.argwhere(is_lost)[0].tolist()
            raise CollapseError(
                f"the covariance of component {component} is singular to rounding: within it, "
                f"feature {feature} is a linear combination of those before it."
            )
        self.rule.check_axes(self)

    @classmethod
    def precisions_problem(cls, precisions: Array) -> str:
        # Not by eigenvalues, whose roundings hide those of features in unlike units.
        if np.allclose(precisions, np.swapaxes(precisions, -1, -2)) and _have_factors(
            np.asarray(precisions[..., ::-1, ::-1], dtype=np.float64)
        ):
            return cls.rule.problem(cls, precisions)
        return "symmetric, positive-definite"

    @classmethod
    def with_factors(cls, matrices: NDArray[Any]) -> NDArray[Any]:
        n_features = matrices.shape[-1]
        rounding = 2.0 * math.sqrt(n_features) * float(np.finfo(matrices.dtype).eps)
        stacked = matrices.reshape(-1, n_features, n_features).copy()
        for matrix in stacked:
            diagonal, growth = np.diagonal(matrix).copy(), 0.0
            # By roundings more than this routine needs: others may round otherwise.
            margin = (rounding * diagonal).astype(matrix.dtype)
            if not (np.isfinite(matrix).all() and (diagonal > 0.0).all()):
                continue
            while growth < 1.0 and not _have_factors(matrix - np.diag(margin)):
                growth = max(rounding, 2.0 * growth)
                np.fill_diagonal(matrix, (1.0 + growth) * diagonal)
        return stacked.reshape(matrices.shape)

    @classmethod
    def from_precisions_matrices(cls, precisions: Array, *others: int) -> Self:
        # The reversal turns the lower factor into the upper one of scikit-learn's convention.
        reversed_factors = np.linalg.cholesky(precisions[:, ::-1, ::-1])
        upper = np.asarray(reversed_factors[:, ::-1, ::-1], dtype=np.float64)
        return cls.from_factors(upper, *others)

    @classmethod
    def from_factors(cls, factors: Array, *others: int) -> Self:
        """Σ = P⁻ᵀ P⁻¹ for factors P of shape (n_matrices, n_features, n_features)."""
        uppers = [f if not np.tril(f, -1).any() else rq(f)[0] for f in factors]
        inverse = np.stack([upper.T * np.sign(np.diagonal(upper))[:, None] for upper in uppers])
        diagonals = np.diagonal(inverse, axis1=1, axis2=2)
        if not (diagonals > 0.0).all():
            raise np.linalg.LinAlgError("singular triangular factor")
        covariances = cls.__new__(cls)
        names = [field.name for field in fields(cls)][1:]
        covariances.__dict__.update(zip(names, others, strict=True), _known_inverse=inverse)
        log_determinants = -2.0 * np.log(diagonals).sum(axis=1)
        covariances.__dict__["log_determinants"] = covariances._for_components(log_determinants)
        return covariances

    def to_vector(self) -> Array:
        lower = self.cholesky.copy()
        index = np.arange(self.n_features)
        lower[:, index, index] = np.log(lower[:, index, index])
        rows, columns = np.tril_indices(self.n_features)
        return lower[:, rows, columns].ravel()

    def from_vector(self, vector: Array) -> Self:
        lower = np.zeros_like(self.values)
        rows, columns = np.tril_indices(self.n_features)
        lower[:, rows, columns] = np.reshape(vector, (lower.shape[0], -1))
        index = np.arange(self.n_features)
        lower[:, index, index] = np.exp(lower[:, index, index])
        return replace(self, values=lower @ lower.transpose(0, 2, 1)).in_structure()


def _have_factors(matrices: NDArray[Any]) -> bool:
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        return False
    return True


def _cholesky_until_failure(matrix: Array) -> Array:
    """Return the Cholesky factor, with NaN from the pivot on that is not positive."""
    lower, failed = lapack.dpotrf(matrix, lower=1)
    if failed:
        lower[failed - 1 :] = np.nan
    return np.asarray(lower)


def _inverses_of_lower(factors: Array) -> Array:
    """Of factors with zeros above their diagonals, which stay as they are."""
    inverses = np.empty_like(factors)
    for inverse, lower in zip(inverses, factors, strict=True):
        inverse[:], failed = lapack.dtrtri(lower, lower=1)
        if failed:
            raise np.linalg.LinAlgError("singular triangular factor")
    return inverses


class Unshared(MatrixRule):
    """Each component its own matrix."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def from_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
        return kind.at_least(floor, scatter / divisor(count)[:, None, None])


class Pooled(MatrixRule):
    """One matrix for all components."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def from_scatter(
        self, kind: Any, scatter: Array, count: Array, n_features: int, previous: Any, floor: float
    ) -> Any:
        return kind.at_least(floor, scatter / count.sum(), count.shape[0])

    def scatter_around_points(self, kind: Any, total: Array, n_components: int) -> Array:
        return total[None]

    def or_previous(
        self, covariances: Any, known: BoolArray, settled: BoolArray, previous: Any
    ) -> Any:
        return covariances if settled.all() else previous


@dataclass(frozen=True, eq=False)
class FullCovariances(MatrixCovariances):
    """Each component its own matrix: mclust's VVV."""

    rule = Unshared()


@dataclass(frozen=True, eq=False)
class TiedCovariances(MatrixCovariances):
    """One matrix for all components: values of shape (1, n_features, n_features).

    mclust's EEE.
    """

    rule = Pooled()

    n_tied: int = size()

    @property
    def n_components(self) -> int:
        return self.n_tied

    def _for_components(self, of_matrices: Array) -> Array:
        return np.broadcast_to(of_matrices, (self.n_tied, *of_matrices.shape[1:]))

    @property
    def scatter(self) -> Array:
        return self.values * self.n_tied

    @classmethod
    def outer(cls, left: Array, right: Array) -> Array:
        product = left.T @ right
        return 0.5 * (product + product.T)[None]

    @classmethod
    def second_moment(cls, X: Array, origin: Array, responsibilities: Array) -> Array:
        return FullCovariances.second_moment(X, origin, responsibilities).sum(axis=0)[None]

    @classmethod
    def shared(cls, matrix: Array, n_components: int) -> Self:
        return cls(matrix[None], n_components)

    @classmethod
    def from_sklearn_array(cls, values: Array, n_components: int, n_features: int) -> Self:
        return cls(values[None], n_components)

    @classmethod
    def from_precisions(cls, precisions: Array, n_components: int, n_features: int) -> Self:
        return cls.from_precisions_matrices(precisions[None], n_components)

    @classmethod
    def from_precisions_cholesky(cls, factors: Array, n_components: int, n_features: int) -> Self:
        return cls.from_factors(factors[None], n_components)

    @property
    def sklearn_array(self) -> Array:
        return self.values[0]

    @property
    def precisions_cholesky(self) -> Array:
        return self.inverse_cholesky[0].T

    @property
    def precisions(self) -> Array:
        return self.inverses[0]

"""Many mixtures of the same rows side by side, each fitted as if it were alone.

An iteration of EM on some hundreds of rows is calls, and next to no arithmetic. Here an iteration
of S mixtures of K normal components takes as few calls as one of a single mixture: a product of
matrices for all densities, one for all sums, and an exponential.

Densities are products of matrices in their natural form, log π_k N(x | μ_k, Σ_k) = η_k · t(x), with
the terms t(x) = (1, x, products of features of x). It loses digits where a component is narrow and
far from the centre. To compare starts it is good enough; to fit it is not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from em_toolkit.statistics import Array, BoolArray, IntArray

_LOG_2_PI = float(np.log(2.0 * np.pi))
_TINY = 1e-300
# c: rows in the prior of a covariance.
_PSEUDO_ROWS = 0.01
# So much of its matrix is variances alone, so that it is regular.
_DIAGONAL = 1e-3


class CovarianceKind(ABC):
    """A kind of covariance: a vector of the entries of the matrix that it has.

    Parameters
    ----------
    n_features : int
    shared : bool
        Whether the components of a mixture have one in common.
    one_volume : bool
        Whether they have a determinant in common.
    """

    def __init__(self, n_features: int, shared: bool, one_volume: bool) -> None:
        self.n_features, self.shared, self.one_volume = n_features, shared, one_volume
        self.rows, self.columns = self.places(n_features)
        # How often an entry is in the matrix.
        self.times = np.where(self.rows == self.columns, 1.0, 2.0)

    @staticmethod
    @abstractmethod
    def n_entries(n_features: int) -> int:
        """Return the number of entries."""

    @staticmethod
    @abstractmethod
    def places(n_features: int) -> tuple[IntArray, IntArray]:
        """Return the rows and the columns of the entries, none below the diagonal."""

    @abstractmethod
    def inverted(self, covariances: Array) -> tuple[Array, Array]:
        """Return the inverses, in the form that `applied` takes, and log-determinants.

        Parameters
        ----------
        covariances : ndarray of shape (..., n_entries)
            Covariances, or scatters.

        Raises
        ------
        LinAlgError
            If rounding has left one that is not positive definite.
        """

    @abstractmethod
    def applied(self, precisions: Array, means: Array) -> Array:
        """Return Σ⁻¹ μ.

        Parameters
        ----------
        precisions : ndarray
            Σ⁻¹, as `inverted` gives them.
        means : ndarray of shape (n_mixtures, n_components, n_features)
            μ.

        Returns
        -------
        applied : ndarray of shape (n_mixtures, n_components, n_features)
        """

    @abstractmethod
    def entries(self, precisions: Array) -> Array:
        """Return the entries of the inverses, of shape (..., n_entries)."""

    @abstractmethod
    def largest_ratio(self, precisions: Array, covariance: Array) -> Array:
        """Return the largest of vᵀ V v / vᵀ Σ v along any line v, of shape (...).

        Parameters
        ----------
        precisions : ndarray
            Σ⁻¹, as `inverted` gives them.
        covariance : ndarray of shape (n_entries,)
            V.
        """

    def products(self, vectors: Array) -> Array:
        """Return the entries of x xᵀ, for vectors of shape (..., n_features)."""
        return np.asarray(vectors[..., self.rows] * vectors[..., self.columns])

    def from_scatter(self, scatter: Array, count: Array) -> Array:
        """Return the maximizer of −½ Σ_k [N_k log |Σ_k| + tr Σ_k⁻¹ A_k] for each mixture.

        With one determinant it is Σ_k = λ A_k / |A_k|^(1/d), λ = Σ_k |A_k|^(1/d) / Σ_k N_k (Celeux
        & Govaert 1995, Pattern Recognition 28, model [λC_k]).

        Parameters
        ----------
        scatter : ndarray of shape (n_mixtures, n_components, n_entries)
        count : ndarray of shape (n_mixtures, n_components)

        Returns
        -------
        covariances : ndarray of shape (n_mixtures, n_components or 1, n_entries)
        """
        if self.shared:
            scatter, count = scatter.sum(axis=1, keepdims=True), count.sum(axis=1, keepdims=True)
        elif self.one_volume:
            roots = np.exp(self.inverted(scatter)[1] / self.n_features)
            count = roots * (count.sum(axis=1) / roots.sum(axis=1))[:, None]
        return np.asarray(scatter / count[..., None])


class Matrix(CovarianceKind):
    """A symmetric matrix."""

    def __init__(self, n_features: int, shared: bool, one_volume: bool) -> None:
        super().__init__(n_features, shared, one_volume)
        self._entry_at = np.empty((n_features, n_features), dtype=np.int64)
        self._entry_at[self.rows, self.columns] = np.arange(len(self.rows))
        self._entry_at[self.columns, self.rows] = np.arange(len(self.rows))

    @staticmethod
    def n_entries(n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    @staticmethod
    def places(n_features: int) -> tuple[IntArray, IntArray]:
        rows, columns = np.triu_indices(n_features)
        return rows, columns

    def inverted(self, covariances: Array) -> tuple[Array, Array]:
        matrices = covariances[..., self._entry_at]
        pivots = np.diagonal(np.linalg.cholesky(matrices), axis1=-2, axis2=-1)
        return np.asarray(np.linalg.inv(matrices)), np.asarray(2.0 * np.log(pivots).sum(axis=-1))

    def applied(self, precisions: Array, means: Array) -> Array:
        return np.asarray((precisions @ means[..., None])[..., 0])

    def entries(self, precisions: Array) -> Array:
        return np.asarray(precisions[..., self.rows, self.columns])

    def largest_ratio(self, precisions: Array, covariance: Array) -> Array:
        root = np.linalg.cholesky(covariance[self._entry_at])
        return np.asarray(np.linalg.eigvalsh(root.T @ precisions @ root)[..., -1])


class Axes(CovarianceKind):
    """Variances along the features."""

    @staticmethod
    def n_entries(n_features: int) -> int:
        return n_features

    @staticmethod
    def places(n_features: int) -> tuple[IntArray, IntArray]:
        return np.arange(n_features), np.arange(n_features)

    def inverted(self, covariances: Array) -> tuple[Array, Array]:
        if not (covariances > 0.0).all():
            raise np.linalg.LinAlgError("a variance is not positive")
        return 1.0 / covariances, np.asarray(np.log(covariances).sum(axis=-1))

    def applied(self, precisions: Array, means: Array) -> Array:
        return precisions * means

    def entries(self, precisions: Array) -> Array:
        return precisions

    def largest_ratio(self, precisions: Array, covariance: Array) -> Array:
        return np.asarray((precisions * covariance).max(axis=-1))


class Sphere(Axes):
    """One variance along all features."""

    def from_scatter(self, scatter: Array, count: Array) -> Array:
        means = np.broadcast_to(scatter.mean(axis=-1, keepdims=True), scatter.shape)
        return super().from_scatter(means, count)


class Replicas:
    r"""EM for many mixtures of normal components of the same rows.

    Each covariance has the prior of c = 1/100 row, spread as all rows are, with their covariance V:

    .. math:: \log p(\Sigma_k) = -\tfrac12 c \left[ \log |\Sigma_k|
              + \operatorname{tr} \Sigma_k^{-1} V \right]

    So none collapses; and a needle, to which the likelihood has no bound, pays for it: c/2 nats
    times the variance of all rows along it, in units of its own. Along a clear cluster that is
    next to nothing, and 50 where the ratio is 10,000.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        About their mean, in units in which they have variances of about one.
    sample_weight : ndarray of shape (n_rows,)
    covariance : CovarianceKind
    """

    def __init__(self, X: Array, sample_weight: Array, covariance: CovarianceKind) -> None:
        self._covariance, self._sample_weight = covariance, sample_weight
        self._ends = [1, 1 + X.shape[1]]
        self._terms = self.terms_of(X)
        self._weighted_terms = np.ascontiguousarray((self._terms * sample_weight).T)
        moments = self._weighted_terms.sum(axis=0) / sample_weight.sum()
        _, mean, products = np.split(moments, self._ends)
        of_all = products - covariance.products(mean)
        variances = np.where(covariance.times == 1.0, of_all, 0.0)
        self._pseudo_scatter = _PSEUDO_ROWS * (of_all + _DIAGONAL * (variances - of_all))

    def terms_of(self, X: Array) -> Array:
        """Return t(x) of rows, of shape (n_terms, n_rows)."""
        terms = np.column_stack([np.ones(len(X)), X, self._covariance.products(X)])
        return np.ascontiguousarray(terms.T)

    def iterate(self, responsibilities: Array) -> tuple[Array, Array]:
        """Do an iteration: the M-step on responsibilities, and the E-step after it.

        Parameters
        ----------
        responsibilities : ndarray of shape (n_mixtures, n_components, n_rows)

        Returns
        -------
        responsibilities : ndarray of the same shape
        bounds : ndarray of shape (n_mixtures,)
            Log evidence and log prior, in nats.
        """
        natural, log_prior = self.maximize(responsibilities)
        posterior, log_evidence = self.posterior(natural, self._terms)
        return posterior, log_evidence @ self._sample_weight + log_prior

    def posterior(self, natural: Array, terms: Array) -> tuple[Array, Array]:
        """Return responsibilities, and the log evidence of each row, of shape (n_mixtures, n_rows).

        Parameters
        ----------
        natural : ndarray of shape (n_mixtures, n_components, n_terms)
            η.
        terms : ndarray of shape (n_terms, n_rows)
        """
        flat = natural.reshape(-1, len(terms))
        log_joint = (flat @ terms).reshape(*natural.shape[:2], -1)
        highest = log_joint.max(axis=1, keepdims=True)
        log_joint -= highest
        posterior = np.exp(log_joint, out=log_joint)
        total = posterior.sum(axis=1, keepdims=True)
        posterior /= total
        return posterior, (highest + np.log(total))[:, 0]

    def maximize(self, responsibilities: Array) -> tuple[Array, Array]:
        """Return η of the maximizers, and their log priors, of shape (n_mixtures,)."""
        kind = self._covariance
        count, means, precisions, log_determinants = self._moments(responsibilities)
        linear = kind.applied(precisions, means)
        quadratic = kind.times * kind.entries(precisions)
        log_weights = np.log(np.maximum(count / count.sum(axis=1, keepdims=True), _TINY))
        distances = np.sum(linear * means, axis=-1)
        constants = kind.n_features * _LOG_2_PI + log_determinants + distances
        natural = np.empty((*count.shape, len(self._terms)))
        natural[..., 0] = log_weights - 0.5 * constants
        natural[..., 1 : self._ends[1]] = linear
        natural[..., self._ends[1] :] = -0.5 * quadratic
        penalties = _PSEUDO_ROWS * log_determinants + quadratic @ self._pseudo_scatter
        return natural, -0.5 * count.shape[1] * penalties.mean(axis=1)

    def collapsed(self, responsibilities: Array) -> BoolArray:
        """Return by mixture whether the prior is more than half of some scatter along some line."""
        count, _, precisions, _ = self._moments(responsibilities)
        ratios = self._covariance.largest_ratio(precisions, self._pseudo_scatter)
        if self._covariance.shared:
            count = count.mean(axis=1, keepdims=True)
        return np.asarray((ratios > 0.5 * (count + _PSEUDO_ROWS)).any(axis=1))

    def _moments(self, responsibilities: Array) -> tuple[Array, Array, Array, Array]:
        """Return the M-step: counts, means, inverse covariances and log-determinants."""
        kind = self._covariance
        n_mixtures, n_components, n_rows = responsibilities.shape
        sums = responsibilities.reshape(-1, n_rows) @ self._weighted_terms
        sums = sums.reshape(n_mixtures, n_components, -1)
        count, moment, products = np.split(sums, self._ends, axis=-1)
        # A component without rows is in the middle, and its weight is as good as zero.
        means = moment / np.maximum(count, _TINY)
        scatter = products - count * kind.products(means) + self._pseudo_scatter
        covariances = kind.from_scatter(scatter, count[..., 0] + _PSEUDO_ROWS)
        return count[..., 0], means, *kind.inverted(covariances)

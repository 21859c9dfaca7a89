r"""The missing entries of rows given their others, within each component.

With o the observed features of a row and m its missing ones, order the features o before m, and
let T be the lower triangular factor of the covariance in this order,

.. math:: \Sigma = T T^\top, \qquad
          T = \begin{pmatrix} T_{oo} & 0 \\ T_{mo} & T_{mm} \end{pmatrix}.

Then y = T_oo⁻¹ (x_o − μ_o) is the whitened observed part, and all that follows is read off (Bishop
2006, eqs 2.81, 2.82 and 2.98, in terms of a factor):

.. math:: \log |\Sigma_{oo}| = 2 \log |T_{oo}|, \qquad
          (x_o - \mu_o)^\top \Sigma_{oo}^{-1} (x_o - \mu_o) = |y|^2,

.. math:: \operatorname{E}[x_m \mid x_o] = \mu_m + T_{mo} \, y, \qquad
          \operatorname{Cov}[x_m \mid x_o] = T_{mm} T_{mm}^\top.

No difference of matrices is formed. T comes from the rows of any factor of Σ by orthogonal
triangularization: to factor Σ_oo instead would lose as many digits as it is ill-conditioned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from em_toolkit.covariances.patterns import Runs
from em_toolkit.statistics import Array, IntArray


class Residuals(NamedTuple):
    """Conditional covariances as rows: Cov[x_m | x_o] of a run is Σ of their outer products.

    Parameters
    ----------
    rows : ndarray of shape (n_residuals, n_features)
        Zero in observed features.
    run : ndarray of shape (n_residuals,)
        The run that each belongs to.
    """

    rows: Array
    run: IntArray


class Completion(ABC):
    """The distribution of missing entries given the observed ones, for some runs of rows.

    Attributes
    ----------
    log_determinants : ndarray of shape (n_runs, n_components)
        log |Σ_oo|.
    log_determinants_of_missing : ndarray of shape (n_runs, n_components)
        log |Cov[x_m | x_o]|.
    """

    log_determinants: Array
    log_determinants_of_missing: Array

    @abstractmethod
    def whiten(self, deviations: Array, component: int) -> Array:
        """y, in any order, of rows x − μ_k that are zero where an entry is missing.

        Parameters
        ----------
        deviations : ndarray of shape (n_rows, n_features)
        component : int
            k.
        """

    @abstractmethod
    def fill(self, deviations: Array, whitened: Array, component: int) -> Array:
        """Return rows x − μ_k with E[x_m | x_o] − μ_m in the place of what is missing.

        Consumes its first argument; the second is what `whiten` made of it.

        Parameters
        ----------
        deviations : ndarray of shape (n_rows, n_features)
            Zero where an entry is missing.
        whitened : ndarray
            As `whiten` returns them.
        component : int
            k.
        """

    @abstractmethod
    def residuals(self, component: int) -> Residuals:
        """The conditional covariances, as far as the structure of the covariances looks at them."""

    @abstractmethod
    def draw(self, noise: Array, component: int) -> Array:
        """Draws of x_m − E[x_m | x_o], from standard normal rows of shape (n_rows, n_features).

        Parameters
        ----------
        noise : ndarray of shape (n_rows, n_features)
        component : int
            k.
        """


class AxisAlignedCompletion(Completion):
    """Of independent features: what is observed says nothing of what is missing.

    Parameters
    ----------
    variances : ndarray of shape (n_components, n_features)
    runs : Runs
    """

    def __init__(self, variances: Array, runs: Runs) -> None:
        self._stds = np.sqrt(variances)
        self._missing = ~runs.observed
        self._run_of_row = np.repeat(np.arange(self._missing.shape[0]), runs.lengths)
        logs = np.log(variances).T
        self.log_determinants = runs.observed.astype(np.float64) @ logs
        self.log_determinants_of_missing = self._missing.astype(np.float64) @ logs

    def whiten(self, deviations: Array, component: int) -> Array:
        return np.asarray(deviations / self._stds[component])

    def fill(self, deviations: Array, whitened: Array, component: int) -> Array:
        return deviations

    def residuals(self, component: int) -> Residuals:
        # Their outer products have entries off the diagonal too, which the structure ignores.
        rows = self._missing * self._stds[component]
        return Residuals(rows, np.arange(rows.shape[0]))

    def draw(self, noise: Array, component: int) -> Array:
        return np.asarray(noise * self._stds[component] * self._missing[self._run_of_row])


class MatrixCompletion(Completion):
    """Of any covariance matrices.

    Parameters
    ----------
    factors : ndarray of shape (n_matrices, n_features, n_features)
        F with F Fᵀ = Σ; of each component, or one for all.
    n_components : int
    runs : Runs
    """

    def __init__(self, factors: Array, n_components: int, runs: Runs) -> None:
        n_matrices, n_features, _ = factors.shape
        self._bounds = runs.bounds
        order = np.argsort(~runs.observed, axis=1, kind="stable")
        n_observed = runs.observed.sum(axis=1)
        lower = _lower_factors(factors[:, order])

        # Of shape (n_runs, n_features): in the new order, the observed ones first.
        known = np.arange(n_features) < n_observed[:, None]
        logs = 2.0 * np.log(np.abs(np.diagonal(lower, axis1=2, axis2=3)))
        shape = (logs.shape[1], n_components)
        self.log_determinants = np.broadcast_to(np.where(known, logs, 0.0).sum(axis=2).T, shape)
        self.log_determinants_of_missing = np.broadcast_to(
            np.where(known, 0.0, logs).sum(axis=2).T, shape
        )

        # Rows of all three in the new order first, and columns as they are meant to stay.
        whitening = np.where(known[:, :, None], _inverses_of_lower(lower), 0.0)
        of_missing = np.where(known[:, :, None], 0.0, lower)
        regression = np.where(known[:, None, :], of_missing, 0.0)
        residual = np.where(known[:, None, :], 0.0, of_missing)
        back = np.broadcast_to(order, (n_matrices, *order.shape))
        self._whitening = np.empty_like(lower)
        self._regression, self._residual = np.empty_like(lower), np.empty_like(lower)
        np.put_along_axis(self._whitening, back[:, :, None, :], whitening, axis=3)
        np.put_along_axis(self._regression, back[:, :, :, None], regression, axis=2)
        np.put_along_axis(self._residual, back[:, :, :, None], residual, axis=2)
        self._regresses = (n_observed > 0) & (n_observed < n_features)
        self._first_missing = n_observed

    def _of_component(self, matrices: Array, component: int) -> Array:
        return np.asarray(matrices[component % matrices.shape[0]])

    def whiten(self, deviations: Array, component: int) -> Array:
        whitened = np.empty_like(deviations)
        whitening = self._of_component(self._whitening, component)
        for run, (start, end) in enumerate(zip(self._bounds[:-1], self._bounds[1:], strict=True)):
            np.matmul(deviations[start:end], whitening[run].T, out=whitened[start:end])
        return whitened

    def fill(self, deviations: Array, whitened: Array, component: int) -> Array:
        regression = self._of_component(self._regression, component)
        for run in np.flatnonzero(self._regresses):
            rows = slice(self._bounds[run], self._bounds[run + 1])
            deviations[rows] += whitened[rows] @ regression[run].T
        return deviations

    def residuals(self, component: int) -> Residuals:
        columns = self._of_component(self._residual, component).transpose(0, 2, 1)
        n_runs, n_features, _ = columns.shape
        missing = np.arange(n_features) >= self._first_missing[:, None]
        run = np.repeat(np.arange(n_runs), missing.sum(axis=1))
        return Residuals(columns[missing], run)

    def draw(self, noise: Array, component: int) -> Array:
        drawn = np.empty_like(noise)
        residual = self._of_component(self._residual, component)
        for run, (start, end) in enumerate(zip(self._bounds[:-1], self._bounds[1:], strict=True)):
            np.matmul(noise[start:end], residual[run].T, out=drawn[start:end])
        return drawn


def _lower_factors(roots: Array) -> Array:
    """Lower T with T Tᵀ = F Fᵀ, for F of shape (..., n_features, n_features)."""
    upper = np.asarray(np.linalg.qr(np.swapaxes(roots, -1, -2), mode="r"))
    return np.swapaxes(upper, -1, -2)


def _inverses_of_lower(lower: Array) -> Array:
    """By substitution, which no scaling of the features disturbs."""
    inverse = np.zeros_like(lower)
    for j in range(lower.shape[-1]):
        row = -(lower[..., j, None, :j] @ inverse[..., :j, :])[..., 0, :]
        row[..., j] += 1.0
        inverse[..., j, :] = row / lower[..., j, j, None]
    return inverse

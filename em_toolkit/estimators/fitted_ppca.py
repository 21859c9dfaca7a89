"""The methods of a fitted probabilistic PCA: latent variables, densities and draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from em_toolkit.analysis.posteriors import posteriors
from em_toolkit.engine import Rows
from em_toolkit.estimators.base import EMEstimator
from em_toolkit.estimators.rows import Data, validated
from em_toolkit.models.probabilistic_pca import PPCAParameters, ProbabilisticPCA
from em_toolkit.statistics import Array

HOW_TO_FILL = (
    "Fill them by a Gaussian mixture of the same table, such as "
    "em_toolkit.GaussianMixture(n_components=1).fit(X).impute(X)."
)


class FittedPPCA(EMEstimator):
    """The methods of a fitted probabilistic PCA; a subclass fits it."""

    whiten: bool

    mean_: Data
    loadings_: Data
    noise_variance_: float
    components_: Data
    explained_variance_: Data
    n_components_: int

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _parameters(self) -> PPCAParameters:
        return PPCAParameters(
            np.asarray(self.mean_, dtype=np.float64),
            np.asarray(self.loadings_, dtype=np.float64),
            float(self.noise_variance_),
        )

    def _fitted_model(self) -> ProbabilisticPCA:
        return ProbabilisticPCA()

    @property
    def _fitted_dtype(self) -> np.dtype[Any]:
        return self.mean_.dtype

    def _validate_rows(self, X: Any, *, reset: bool) -> Data:
        checks: dict[str, Any] = {"dtype": [np.float64, np.float32], "reset": reset}
        if reset:
            checks |= {"ensure_min_samples": 2, "ensure_min_features": 2}
        return validated(self, X, HOW_TO_FILL, **checks)

    def posterior(self, X: npt.ArrayLike) -> tuple[Data, Array]:
        """Return the posterior of the latent variables.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        means : ndarray of shape (n_samples, n_components)
            E[z | x] of each row.
        covariance : ndarray of shape (n_components, n_components)
            cov[z | x], the same for every row.
        """
        factor = self._parameters().posterior_factor
        return self._posterior_means(X), factor @ factor.T

    def _posterior_means(self, X: npt.ArrayLike) -> Data:
        X = self._fitted_rows(X)
        blocks = [posterior.means for _, posterior, _ in posteriors(self.model_, self.params_, X)]
        return np.concatenate(blocks).astype(X.dtype, copy=False)

    def _whitened(self, X: npt.ArrayLike) -> Data:
        """Coordinates along the components, in standard deviations of the model along them."""
        X = self._fitted_rows(X)
        mean = self._parameters().mean
        blocks = [(rows - mean) @ (self.components_ / self._deviations).T for rows, *_ in Rows(X)]
        return np.concatenate(blocks).astype(X.dtype, copy=False)

    @property
    def _deviations(self) -> Array:
        """The standard deviations along the components, of shape (n_components, 1)."""
        return np.sqrt(np.asarray(self.explained_variance_, dtype=np.float64))[:, None]

    def transform(self, X: npt.ArrayLike) -> Data:
        """Return the latent variables of each row.

        They are the posterior means E[z | x]; with ``whiten=True``, the coordinates along the
        components in standard deviations, as scikit-learn's ``PCA(whiten=True)`` returns them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        latent : ndarray of shape (n_samples, n_components)
            Posterior means are in units of the standard deviation of the prior of z.
        """
        return self._whitened(X) if self.whiten else self._posterior_means(X)

    def inverse_transform(self, X: npt.ArrayLike) -> Data:
        """Return rows for latent variables, as `transform` returns them.

        They are E[x | z] = μ + W z; after `transform` these are the rows freed of noise, E[μ + W z
        | x]. With ``whiten=True`` they are the rows with these coordinates along the components;
        after `transform` these are the rows projected onto the components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Latent variables.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        latent = check_array(X, dtype=[np.float64, np.float32])
        if latent.shape[1] != self.n_components_:
            raise ValueError(
                f"inverse_transform expects {self.n_components_} columns, one for each "
                f"component, got {latent.shape[1]}."
            )
        if self.whiten:
            rows = latent @ (self.components_ * self._deviations) + self.mean_
            return np.asarray(rows, dtype=np.result_type(latent, self.mean_))
        return np.asarray(latent @ self.loadings_.T + self.mean_)

    def get_covariance(self) -> Data:
        """Return the covariance of the model, W Wᵀ + σ² I, of shape (n_features, n_features)."""
        check_is_fitted(self)
        noise = self.noise_variance_ * np.eye(self.n_features_in_)
        return np.asarray(self.loadings_ @ self.loadings_.T + noise, dtype=self.mean_.dtype)

    def get_precision(self) -> Data:
        """Return the inverse covariance of the model, of shape (n_features, n_features)."""
        check_is_fitted(self)
        # Along the components 1/variance, across them 1/noise: nothing is inverted.
        excess = 1.0 / self.explained_variance_ - 1.0 / self.noise_variance_
        precision = (self.components_.T * excess) @ self.components_
        precision += np.eye(self.n_features_in_) / self.noise_variance_
        return np.asarray(precision, dtype=self.mean_.dtype)

    def sample(self, n_samples: int = 1) -> tuple[Data, Data]:
        """Draw from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The rows.
        latent : ndarray of shape (n_samples, n_components)
            The latent variables of these rows.
        """
        return self._draw(n_samples, check_random_state(self.random_state))

"""Probabilistic principal component analysis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from em_toolkit.covariances.rules import SMALLEST_VARIANCE
from em_toolkit.linalg.principal_axes import PrincipalAxes
from em_toolkit.model import LatentVariableModel
from em_toolkit.parameters import CollapseError, Parameters, positive
from em_toolkit.statistics import EPS, Array, RandomSource, Statistics, origin, sum_of_products

_LOG_2_PI = float(np.log(2.0 * np.pi))
_RESOLUTION = 8.0


@dataclass(frozen=True, eq=False)
class PPCAParameters(Parameters):
    """The mean, the loadings and the variance of the noise.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        μ, in the units of the data.
    loadings : ndarray of shape (n_features, n_components)
        W, in the units of the data.
    noise_variance : float
        σ² > 0, in squared units of the data.
    """

    mean: Array
    loadings: Array
    noise_variance: float = positive()

    @cached_property
    def _decomposition(self) -> tuple[Array, Array, Array]:
        # Of the loadings, not of M = Wᵀ W + σ² I: squaring would lose half of the digits, and a
        # triangular factor the directions that the data do not use.
        axes, lengths, rotation = np.linalg.svd(self.loadings, full_matrices=False)
        return axes, lengths, rotation

    @property
    def axes(self) -> Array:
        """The principal axes, orthonormal columns of shape (n_features, n_components)."""
        return self._decomposition[0]

    @property
    def lengths(self) -> Array:
        """The lengths of the loadings along them, falling, of shape (n_components,)."""
        return self._decomposition[1]

    @property
    def rotation(self) -> Array:
        """Orthogonal V with W V = axes · lengths, of shape (n_components, n_components)."""
        return self._decomposition[2].T

    @property
    def variances(self) -> Array:
        """The eigenvalues of W Wᵀ + σ² I along the axes, of shape (n_components,)."""
        return np.asarray(self.lengths**2 + self.noise_variance)

    @cached_property
    def projection(self) -> Array:
        """A = M⁻¹ Wᵀ, so that E[z | x] = A (x − μ), of shape (n_components, n_features)."""
        return np.asarray((self.rotation * (self.lengths / self.variances)) @ self.axes.T)

    @cached_property
    def posterior_factor(self) -> Array:
        """F with F Fᵀ = cov[z | x] = σ² M⁻¹, of shape (n_components, n_components)."""
        return np.asarray(self.rotation * np.sqrt(self.noise_variance / self.variances))

    @property
    def log_determinant(self) -> float:
        """log |W Wᵀ + σ² I|."""
        n_features, n_components = self.loadings.shape
        noise = (n_features - n_components) * np.log(self.noise_variance)
        return float(noise + np.log(self.variances).sum())

    @cached_property
    def conditioning(self) -> Array:
        """C_jj (C⁻¹)_jj = 1 / (1 − R²_j) for C = W Wᵀ + σ² I, of shape (n_features,).

        R²_j is how much of feature j the others determine; no scaling of the features changes it.
        """
        squares = self.axes**2
        diagonal = squares @ self.lengths**2 + self.noise_variance
        outside = np.maximum(1.0 - squares.sum(axis=1), 0.0)
        inverse = squares @ (1.0 / self.variances) + outside / self.noise_variance
        return np.asarray(diagonal * inverse)

    def check(self) -> None:
        scale = max(float(np.abs(self.mean).max()), float(np.linalg.norm(self.loadings)))
        if not np.isfinite(scale) or not np.isfinite(self.noise_variance):
            raise CollapseError(
                "the parameters overflowed: the squares of the data exceed the largest number. "
                "Scale the data."
            )
        if not self.noise_variance > max((_RESOLUTION * EPS * scale) ** 2, SMALLEST_VARIANCE):
            n_components = self.loadings.shape[1]
            raise CollapseError(
                f"the noise variance is {self.noise_variance:.3g}: to rounding, the data lie in a "
                f"subspace of {n_components} dimensions or fewer, and nothing is left for the "
                "noise."
            )


@dataclass(frozen=True, eq=False)
class GaussianPosterior:
    """The posterior of a block.

    Parameters
    ----------
    means : ndarray of shape (n_rows, n_components)
    factor : ndarray of shape (n_components, n_components)
        F, where F Fᵀ is the covariance that all rows share.
    log_determinant : float
        Of that covariance.
    """

    means: Array
    factor: Array
    log_determinant: float

    @property
    def entropy(self) -> Array:
        n_rows, n_components = self.means.shape
        constant = n_components * (1.0 + _LOG_2_PI)
        return np.full(n_rows, 0.5 * (constant + self.log_determinant))


@dataclass(frozen=True, eq=False)
class PPCAStatistics(Statistics):
    """Moments of the latent variables z and of the residuals e = x − o − W₀ z.

    Residuals are taken about the current mean o and the current loadings W₀: near a fixed point
    nothing cancels, however small the noise.

    Parameters
    ----------
    count : float
        N = Σ_i w_i.
    latent : ndarray of shape (n_components,)
        Σ_i w_i E[z_i].
    latent_second : ndarray of shape (n_components, n_components)
        Σ_i w_i E[z_i z_iᵀ].
    residual : ndarray of shape (n_features,)
        Σ_i w_i E[e_i].
    residual_latent : ndarray of shape (n_features, n_components)
        Σ_i w_i E[e_i z_iᵀ].
    residual_square : float
        Σ_i w_i E[|e_i|²].
    mean, loadings : ndarray
        The origin (o, W₀).
    """

    count: float
    latent: Array
    latent_second: Array
    residual: Array
    residual_latent: Array
    residual_square: float
    mean: Array = origin()
    loadings: Array = origin()

    @property
    def regression(self) -> tuple[Array, Array]:
        """Σ w E[e z̃ᵀ] and Σ w E[z̃ z̃ᵀ] for z̃ = (z, 1)."""
        response = np.column_stack([self.residual_latent, self.residual])
        design = np.block(
            [
                [self.latent_second, self.latent[:, None]],
                [self.latent[None, :], np.array([[self.count]])],
            ]
        )
        return response, design


class ProbabilisticPCA(LatentVariableModel[PPCAParameters, GaussianPosterior, PPCAStatistics]):
    r"""Probabilistic PCA.

    .. math:: z \sim \mathcal N(0, I_q), \qquad x \mid z \sim \mathcal N(\mu + W z, \sigma^2 I_d)

    E-step (Tipping & Bishop 1999, eqs 25 and 26), with M = Wᵀ W + σ² I:

    .. math:: \operatorname E[z \mid x] = M^{-1} W^\top (x - \mu), \qquad
              \operatorname{cov}[z \mid x] = \sigma^2 M^{-1}

    M-step: the regression of x on (z, 1) under the posterior gives W and μ, and σ² is the mean
    squared residual (their eqs 27 and 28, with μ maximized too). The evidence uses

    .. math:: (x - \mu)^\top C^{-1} (x - \mu) = \tfrac1{\sigma^2} |x - \mu - W \bar z|^2
              + |\bar z|^2, \qquad \bar z = \operatorname E[z \mid x],

    in which nothing cancels, unlike the form by the matrix inversion lemma.
    """

    def posterior(self, params: PPCAParameters, X: Array) -> tuple[GaussianPosterior, Array]:
        means = (X - params.mean) @ params.projection.T
        residuals = X - params.mean - means @ params.loadings.T
        distances = np.einsum("ij,ij->i", residuals, residuals) / params.noise_variance
        distances += np.einsum("ij,ij->i", means, means)
        log_evidence = -0.5 * (X.shape[1] * _LOG_2_PI + params.log_determinant + distances)
        log_determinant = float(np.log(params.noise_variance / params.variances).sum())
        return GaussianPosterior(means, params.posterior_factor, log_determinant), log_evidence

    def statistics(
        self, params: PPCAParameters, X: Array, posterior: GaussianPosterior, weights: Array
    ) -> PPCAStatistics:
        means, factor = posterior.means, posterior.factor
        # Its square is the part of the posterior in x, W cov[z | x] Wᵀ.
        loaded = params.loadings @ factor
        count = float(weights.sum())
        residuals = X - params.mean - means @ params.loadings.T
        # Moments of (z, 1) with (z, 1) and with the residuals, in two products.
        extended = np.column_stack([means, np.ones(means.shape[0])])
        design = sum_of_products(weights[:, None] * extended, extended)
        response = sum_of_products(weights[:, None] * residuals, extended)
        squares = np.sum(weights * np.einsum("ij,ij->i", residuals, residuals))
        return PPCAStatistics(
            count=count,
            latent=design[:-1, -1],
            latent_second=design[:-1, :-1] + count * (factor @ factor.T),
            residual=response[:, -1],
            residual_latent=response[:, :-1] - count * (loaded @ factor.T),
            residual_square=float(squares + count * np.sum(loaded**2)),
            mean=params.mean,
            loadings=params.loadings,
        )

    def about(self, params: PPCAParameters, stats: PPCAStatistics) -> PPCAStatistics:
        response, design = stats.regression
        step = np.column_stack([params.loadings - stats.loadings, params.mean - stats.mean])
        moved = response - step @ design
        return replace(
            stats,
            residual=moved[:, -1],
            residual_latent=moved[:, :-1],
            residual_square=self._squared_error(params, stats),
            mean=params.mean,
            loadings=params.loadings,
        )

    def maximize(self, params: PPCAParameters, stats: PPCAStatistics) -> PPCAParameters:
        response, design = stats.regression
        step = cho_solve(cho_factor(design, lower=True), response.T).T
        explained = float(np.sum(step * response))
        return PPCAParameters(
            mean=stats.mean + step[:, -1],
            loadings=stats.loadings + step[:, :-1],
            noise_variance=(stats.residual_square - explained)
            / (stats.count * stats.mean.shape[0]),
        )

    def _squared_error(self, params: PPCAParameters, stats: PPCAStatistics) -> float:
        response, design = stats.regression
        step = np.column_stack([params.loadings - stats.loadings, params.mean - stats.mean])
        return stats.residual_square + float(np.sum(step * (step @ design - 2.0 * response)))

    def expected_log_joint(self, params: PPCAParameters, stats: PPCAStatistics) -> float:
        n_components = params.loadings.shape[1]
        latent = n_components * _LOG_2_PI * stats.count + np.trace(stats.latent_second)
        return self._expected_log_noise(params, stats) - 0.5 * float(latent)

    def expected_log_likelihood(self, params: PPCAParameters, stats: PPCAStatistics) -> float:
        return self._expected_log_noise(params, stats)

    def _expected_log_noise(self, params: PPCAParameters, stats: PPCAStatistics) -> float:
        squared_error = stats.kept("_squared_error", params, self._squared_error)
        noise = params.mean.shape[0] * (_LOG_2_PI + np.log(params.noise_variance)) * stats.count
        return -0.5 * float(noise + squared_error / params.noise_variance)

    def rounding_error(self, params: PPCAParameters, stats: PPCAStatistics) -> float:
        """Return the rounding of the terms, and what loadings and mean cost beside the noise.

        A residual is computed from terms of the size of W z and μ; the jump of the loadings from
        those of the E-step enters the squared error with both signs.

        Parameters
        ----------
        params, stats
            As in `LatentVariableModel.rounding_error`.
        """
        n_features, n_components = params.loadings.shape
        response, design = stats.regression
        step = np.column_stack([params.loadings - stats.loadings, params.mean - stats.mean])
        jump = float(np.sum(np.abs(step) * (np.abs(step @ design) + 2.0 * np.abs(response))))
        squares = (stats.residual_square + jump) / params.noise_variance
        constants = n_features * (_LOG_2_PI + abs(np.log(params.noise_variance)))
        spread = np.sum(params.loadings**2) / params.noise_variance
        constants += n_components * _LOG_2_PI + params.conditioning.sum()
        constants += np.sqrt(n_features * spread)
        sizes = stats.count * constants + squares + np.trace(stats.latent_second)
        lost = EPS**2 * (np.sum(params.mean**2) + n_features * np.sum(params.loadings**2))
        spacing = stats.count * lost / params.noise_variance
        return 0.5 * float(EPS * sizes + spacing)

    def n_parameters(self, params: PPCAParameters) -> int:
        """Return the number of free parameters: a rotation of the latent space changes nothing."""
        n_features, n_components = params.loadings.shape
        rotations = n_components * (n_components - 1) // 2
        return n_features + n_features * n_components - rotations + 1

    def sample(self, params: PPCAParameters, n_rows: int, rng: RandomSource) -> tuple[Array, Array]:
        """Draw rows, and the latent variables that they came from.

        Parameters
        ----------
        params : PPCAParameters
        n_rows : int
        rng : RandomState or Generator

        Returns
        -------
        X : ndarray of shape (n_rows, n_features)
        latent : ndarray of shape (n_rows, n_components)
        """
        n_features, n_components = params.loadings.shape
        latent = rng.standard_normal(size=(n_rows, n_components))
        noise = rng.standard_normal(size=(n_rows, n_features))
        X = params.mean + latent @ params.loadings.T + np.sqrt(params.noise_variance) * noise
        return X, latent


def closed_form(axes: PrincipalAxes, n_components: int) -> PPCAParameters:
    """Return the maximum of the likelihood (Tipping & Bishop 1999, eqs 7 and 8), for centred data.

    The loadings are the leading principal axes times (λ_j − σ²)^½, where σ² is the mean of the
    other eigenvalues λ of the covariance.

    Parameters
    ----------
    axes : PrincipalAxes
        Of the data.
    n_components : int
        Latent dimensions.
    """
    noise_variance = axes.noise_variance(n_components)
    strengths = np.sqrt(np.maximum(axes.variances[:n_components] - noise_variance, 0.0))
    loadings = axes.axes[:n_components].T * strengths
    return PPCAParameters(np.zeros(axes.n_features), loadings, noise_variance)


def random_start(axes: PrincipalAxes, n_components: int, rng: RandomSource) -> PPCAParameters:
    """Return random loadings and noise, each with half of the variance of the (centred) data.

    Parameters
    ----------
    axes : PrincipalAxes
        Of the data.
    n_components : int
        Latent dimensions.
    rng : RandomState or Generator

    Raises
    ------
    CollapseError
        If the data leave nothing to the noise. EM would near that singularity for ever, with
        loadings in which no digit is right.
    """
    best = closed_form(axes, n_components)
    best.check()
    feature = int(best.conditioning.argmax())
    if best.conditioning[feature] * _RESOLUTION * axes.n_features * EPS > 1.0:
        raise CollapseError(
            f"feature {feature} is a combination of the others but for a noise of variance "
            f"{best.noise_variance:.3g}, which the moments of EM lose in rounding. "
            "solver='closed_form' does not."
        )
    n_features = axes.n_features
    variance = axes.total_variance / n_features
    loadings = rng.standard_normal(size=(n_features, n_components))
    return PPCAParameters(
        np.zeros(n_features),
        np.sqrt(0.5 * variance / n_components) * loadings,
        0.5 * variance,
    )

"""
A linear autoencoder, and its gap
=================================

Probabilistic PCA decodes; an encoder of its own, z ~ N(E (x, 1), diag s²), stands in for the
posterior. The encoder follows from no sufficient statistics: `refine` improves it by gradient steps
before each E-step. Since the posterior is not exact, the bound stays below the evidence, and the
gap is measured.
"""

from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np

from em_toolkit import Parameters, Statistics, check_model, em
from em_toolkit.model import Guarantee
from em_toolkit.models import PPCAParameters, ProbabilisticPCA
from em_toolkit.models.probabilistic_pca import GaussianPosterior
from em_toolkit.parameters import positive, real


@dataclass(frozen=True, eq=False)
class Coder(Parameters):
    """A decoder, and an encoder of shape (n_latent, n_features + 1) with its spread."""

    decoder: PPCAParameters = real()
    encoder: np.ndarray = real()
    spread: np.ndarray = positive()

    def check(self):
        self.decoder.check()


@dataclass(frozen=True, eq=False)
class Products(Statistics):
    """The sum of the products of rows, each led on by a one."""

    second: np.ndarray


def extended(X):
    """Return rows with a one behind them."""
    return np.column_stack([X, np.ones(len(X))])


class LinearAutoencoder(ProbabilisticPCA):
    """Probabilistic PCA with an encoder in the place of the posterior."""

    guarantee = Guarantee.MONOTONE

    def posterior(self, params, X):
        log_evidence = super().posterior(params.decoder, X)[1]
        log_determinant = 2.0 * float(np.log(params.spread).sum())
        means = extended(X) @ params.encoder.T
        return GaussianPosterior(means, np.diag(params.spread), log_determinant), log_evidence

    def statistics(self, params, X, posterior, weights):
        return super().statistics(params.decoder, X, posterior, weights)

    def maximize(self, params, stats):
        return replace(params, decoder=super().maximize(params.decoder, stats))

    def expected_log_joint(self, params, stats):
        return super().expected_log_joint(params.decoder, stats)

    def expected_log_likelihood(self, params, stats):
        return super().expected_log_likelihood(params.decoder, stats)

    def rounding_error(self, params, stats):
        return super().rounding_error(params.decoder, stats)

    def about(self, params, stats):
        return super().about(params.decoder, stats)

    def sample(self, params, n_rows, rng):
        return super().sample(params.decoder, n_rows, rng)

    def refine(self, params, total):
        rows = total(
            lambda block: Products(
                extended(block.X).T @ (block.weights[:, None] * extended(block.X))
            )
        ).second
        decoder, encoder = params.decoder, params.encoder
        precision = np.eye(len(encoder)) + decoder.loadings.T @ decoder.loadings / (
            decoder.noise_variance
        )
        back = decoder.loadings.T @ np.column_stack([np.eye(len(decoder.mean)), -decoder.mean])
        steepest = np.linalg.eigvalsh(precision)[-1] * np.linalg.eigvalsh(rows)[-1]
        for _ in range(20):
            gradient = (back / decoder.noise_variance - precision @ encoder) @ rows
            encoder = encoder + gradient / steepest
        return replace(params, encoder=encoder, spread=1.0 / np.sqrt(np.diag(precision)))


# %%
# Two latent coordinates in five features. The encoder cannot express a correlated posterior; the
# decoder turns its loadings until there is no correlation, and the gap closes.

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(300, 5))
decoder = PPCAParameters(np.zeros(5), rng.normal(size=(5, 2)), 1.0)
start = Coder(decoder, np.zeros((2, 6)), np.ones(2))


def gap(params, X):
    """Return KL(q ‖ p(z | x)) of each row, by the formula for two normal densities."""
    W, noise = params.decoder.loadings, params.decoder.noise_variance
    precision = np.eye(2) + W.T @ W / noise
    posterior_means = np.linalg.solve(precision, W.T @ (X - params.decoder.mean).T / noise).T
    off = extended(X) @ params.encoder.T - posterior_means
    spread = np.diag(params.spread**2) @ precision
    constant = 0.5 * (np.trace(spread) - 2.0 - np.linalg.slogdet(spread)[1])
    return constant + 0.5 * np.einsum("ij,jk,ik->i", off, precision, off)


for check, outcome in check_model(LinearAutoencoder(), start, X[:40], gap=gap).items():
    print(f"{check}: {outcome}")

fit = em(LinearAutoencoder(), start, X, max_iter=200, tol=0.0)
after = fit.trace.after_e_step
print(f"gap: {fit.trace.kl[0]:.3g} nats per sample at the start, {fit.trace.kl[-1]:.3g} at the end")
print(f"reconstruction {fit.trace.reconstruction[-1]:.3f}, KL {fit.trace.kl_to_prior[-1]:.3f}")

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(fit.trace.log_evidence[after], label="log evidence")
ax.plot(fit.trace.elbo[after], label="ELBO")
ax.set(xlabel="iteration", ylabel="nats per sample", xlim=(0, 60), ylim=(-6.6, -6.1))
ax.legend(frameon=False)

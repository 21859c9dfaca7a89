r"""
A mean-field mixture
====================

In variational Bayes the parameters are latent, too. Here :math:`q` is a product
:math:`q(z)\, q(\pi) \prod_{kj} q(\lambda_{kj})`: a Dirichlet distribution of the weights of a
Poisson mixture and gamma distributions of its rates. What `em` calls the parameters are those of
these distributions, and `log_prior` is :math:`-\mathrm{KL}(q(\theta) \,\|\, p(\theta))`, so that
the loop climbs the evidence lower bound of the whole model. Components that the data do not need
are emptied by the prior (Bishop 2006, section 10.2).
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import digamma, gammaln, logsumexp

from em_toolkit import LatentVariableModel, Parameters, Statistics, check_model, em
from em_toolkit.models import Responsibilities
from em_toolkit.parameters import positive


@dataclass(frozen=True, eq=False)
class Belief(Parameters):
    """A Dirichlet distribution of the weights, and gamma distributions of the rates."""

    concentration: np.ndarray = positive()  # of shape (n_components,)
    shape: np.ndarray = positive()  # of shape (n_components, n_features)
    exposure: np.ndarray = positive()  # of shape (n_components,)

    @property
    def log_weights(self):
        return digamma(self.concentration) - digamma(self.concentration.sum())

    @property
    def log_rates(self):
        return digamma(self.shape) - np.log(self.exposure)[:, None]

    @property
    def rates(self):
        return self.shape / self.exposure[:, None]


@dataclass(frozen=True, eq=False)
class Counts(Statistics):
    """The number of rows of each component, the sum of their counts, and log factorials."""

    rows: np.ndarray
    counts: np.ndarray
    log_factorials: float


class MeanField(LatentVariableModel):
    """A Poisson mixture whose weights and rates have the distribution q."""

    def __init__(self, concentration=0.1, shape=0.5, exposure=0.1):
        self.concentration, self.shape, self.exposure = concentration, shape, exposure

    def posterior(self, belief, X):
        log_joint = belief.log_weights - belief.rates.sum(axis=1) + X @ belief.log_rates.T
        total = logsumexp(log_joint, axis=1)
        logs = log_joint - total[:, None]
        return Responsibilities(np.exp(logs), logs), total - gammaln(X + 1).sum(axis=1)

    def statistics(self, belief, X, posterior, weights):
        r = posterior.responsibilities * weights[:, None]
        return Counts(r.sum(axis=0), r.T @ X, float(weights @ gammaln(X + 1).sum(axis=1)))

    def maximize(self, belief, stats):
        return Belief(
            self.concentration + stats.rows, self.shape + stats.counts, self.exposure + stats.rows
        )

    def expected_log_joint(self, belief, stats):
        of_rows = belief.log_weights - belief.rates.sum(axis=1)
        of_counts = np.sum(stats.counts * belief.log_rates)
        return float(stats.rows @ of_rows + of_counts - stats.log_factorials)

    def log_prior(self, belief):
        a, b, c = belief.concentration, belief.shape, belief.exposure[:, None]
        weights = gammaln(a.sum()) - gammaln(len(a) * self.concentration)
        weights += np.sum(gammaln(self.concentration) - gammaln(a))
        weights += (a - self.concentration) @ belief.log_weights
        rates = (b - self.shape) * digamma(b) - gammaln(b) + gammaln(self.shape)
        rates += self.shape * np.log(c / self.exposure) + b * (self.exposure / c - 1)
        return -float(weights + rates.sum())


rng = np.random.default_rng(0)
X = np.vstack([rng.poisson([2.0, 9.0], (200, 2)), rng.poisson([8.0, 3.0], (100, 2))])


def start(n_components):
    """Return a belief for rates near those of rows chosen at random."""
    rows = X[np.random.default_rng(1).choice(len(X), n_components, replace=False)]
    return Belief(np.full(n_components, 5.0), rows + 1.0, np.ones(n_components))


for check, outcome in check_model(MeanField(), start(3), X[::10]).items():
    print(f"{check}: {outcome}")

# %%
# With one component q is the exact posterior, and the bound is the marginal likelihood, which is
# known in closed form.

total, n = X.sum(axis=0), len(X)
exact = np.sum(gammaln(0.5 + total) - gammaln(0.5) + 0.5 * np.log(0.1))
exact -= np.sum((0.5 + total) * np.log(0.1 + n)) + gammaln(X + 1).sum()
one = em(MeanField(), start(1), X, tol=1e-12)
print(f"bound {one.trace.elbo[-1] * n:.6f}, marginal likelihood {exact:.6f}")

# %%
# Of eight components two keep their rows.

fit = em(MeanField(), start(8), X, tol=1e-10, max_iter=2000)
belief = fit.params
order = np.argsort(-belief.concentration)
expected = belief.concentration[order] / belief.concentration.sum()
for k, weight in zip(order[:3], expected, strict=False):
    print(f"expected weight {weight:.3f}, rates {belief.rates[k].round(1)}")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
axes[0].bar(range(1, 9), expected)
axes[0].set(xlabel="component", ylabel="expected weight")
axes[1].plot(fit.trace.elbo)
axes[1].set(xlabel="half-step", ylabel="ELBO per sample (nats)")

"""
A family of your own
====================

Counts of which some are zero by nature: a zero-inflated Poisson density for each component. Which
zeros are so is latent within the component, and four methods say all of it. `check_model` holds a
mixture of the family to the identities of EM, and the loop does the rest.

.. math:: p(x \\mid k) = \\nu_k [x = 0] + (1 - \\nu_k) \\frac{\\lambda_k^x e^{-\\lambda_k}}{x!}
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import entr, gammaln

from em_toolkit import Parameters, check_model, em
from em_toolkit.families import Family
from em_toolkit.families.base import ComponentStatistics
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.parameters import positive, probability


@dataclass(frozen=True, eq=False)
class Inflated(Parameters):
    """The probability of a natural zero and the rate of each component."""

    never: np.ndarray = probability()
    rates: np.ndarray = positive()


@dataclass(frozen=True, eq=False)
class Sums(ComponentStatistics):
    """Natural zeros and totals by component, and the log factorials."""

    never: np.ndarray
    totals: np.ndarray
    log_factorials: float


@dataclass(frozen=True)
class Never:
    """The posterior probability of a natural zero, given the component."""

    probabilities: np.ndarray

    @property
    def entropy(self):
        return entr(self.probabilities) + entr(1.0 - self.probabilities)


class ZeroInflatedPoisson(Family):
    """Components of counts, some of which are zero by nature."""

    def posterior(self, components, X):
        never = np.where(X == 0, np.log(components.never), -np.inf)
        counts = X * np.log(components.rates) - components.rates - gammaln(X + 1)
        log_density = np.logaddexp(never, np.log1p(-components.never) + counts)
        return Never(np.exp(never - log_density)), log_density

    def statistics(self, components, X, responsibilities, within):
        return Sums(
            responsibilities.sum(axis=0),
            (responsibilities * within.probabilities).sum(axis=0),
            responsibilities.T @ X[:, 0],
            float(responsibilities.sum(axis=1) @ gammaln(X[:, 0] + 1)),
        )

    def maximize(self, components, stats):
        return Inflated(stats.never / stats.count, stats.totals / (stats.count - stats.never))

    def expected_log_density(self, components, stats):
        others = stats.count - stats.never
        zeros = stats.never @ np.log(components.never) + others @ np.log1p(-components.never)
        counts = stats.totals @ np.log(components.rates) - others @ components.rates
        return float(zeros + counts - stats.log_factorials)


# %%
# Each check is made against an identity or another computation; a wrong method fails one of them.

mixture = Mixture(ZeroInflatedPoisson())
start = MixtureParameters(
    np.array([0.5, 0.5]), Inflated(np.array([0.2, 0.4]), np.array([1.0, 8.0]))
)
rng = np.random.default_rng(0)
counts = rng.poisson(np.where(rng.random(400) < 0.6, 2.0, 9.0)) * (rng.random(400) < 0.7)
X = counts[:, None].astype(float)
for check, outcome in check_model(mixture, start, X[:40]).items():
    print(f"{check}: {outcome}")

# %%
# The fit is that of any other model.

fit = em(mixture, start, X, tol=1e-8, max_iter=1000)
print(fit.trace)

values = np.arange(counts.max() + 1)
density = np.exp(mixture.posterior(fit.params, values[:, None].astype(float))[1])
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.bar(values, np.bincount(counts) / len(counts), color="0.8", label="observed")
ax.plot(values, density, "o-", label="fitted")
ax.set(xlabel="count", ylabel="share")
ax.legend(frameon=False)

"""The Poisson family: counts, independent given the component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, xlogy

from em_toolkit.families.base import ComponentStatistics, Family, total_responsibilities
from em_toolkit.parameters import Parameters, positive
from em_toolkit.statistics import (
    EPS,
    Array,
    BoolArray,
    IntArray,
    RandomSource,
    present,
    sum_of_products,
)


@dataclass(frozen=True, eq=False)
class PoissonRates(Parameters):
    """Rates of shape (n_components, n_features), in counts a row."""

    rates: Array = positive()


@dataclass(frozen=True, eq=False)
class PoissonStatistics(ComponentStatistics):
    """Counts, first moments Σ_i r_ik x_i, and Σ_ik r_ik Σ_j log x_ij!, which no rate changes."""

    first_moment: Array
    log_factorials: float


class Poisson(Family[PoissonRates, PoissonStatistics]):
    r"""Poisson components.

    .. math:: \log p(x \mid k) = \sum_j \left( x_j \log \lambda_{kj} - \lambda_{kj}
              - \log x_j! \right)

    The M-step is λ_kj = Σ_i r_ik x_ij / N_k (Hasselblad 1969). A rate may be zero: its component
    then gives no probability to a count above zero.

    Parameters
    ----------
    fixed : ndarray of bool of shape (n_components,), optional
        The components whose rates the M-step leaves alone; by default none.
    """

    def __init__(self, fixed: BoolArray | None = None) -> None:
        self.fixed = fixed

    def posterior(self, components: PoissonRates, X: Array) -> tuple[None, Array]:
        rates = components.rates
        logs = np.stack([xlogy(X, rate).sum(axis=1) for rate in rates], axis=1)
        return None, logs - rates.sum(axis=1) - gammaln(X + 1.0).sum(axis=1)[:, None]

    def statistics(
        self, components: PoissonRates, X: Array, responsibilities: Array, within: None = None
    ) -> PoissonStatistics:
        log_factorials = np.sum(responsibilities.sum(axis=1) * gammaln(X + 1.0).sum(axis=1))
        return PoissonStatistics(
            total_responsibilities(responsibilities),
            sum_of_products(responsibilities, X),
            float(log_factorials),
        )

    def maximize(self, components: PoissonRates, stats: PoissonStatistics) -> PoissonRates:
        known = present(stats.count)[:, None]
        means = stats.first_moment / np.where(known, stats.count[:, None], 1.0)
        return self.project(PoissonRates(np.where(known, means, components.rates)), components)

    def project(self, components: PoissonRates, onto: PoissonRates) -> PoissonRates:
        if self.fixed is None:
            return components
        return PoissonRates(np.where(self.fixed[:, None], onto.rates, components.rates))

    def unfixed(self) -> Poisson:
        return type(self)()

    def expected_log_density(self, components: PoissonRates, stats: PoissonStatistics) -> float:
        rates = components.rates
        logs = xlogy(stats.first_moment, rates) - stats.count[:, None] * rates
        return float(logs.sum()) - stats.log_factorials

    def rounding_error(self, components: PoissonRates, stats: PoissonStatistics) -> float:
        rates = components.rates
        sizes = np.abs(xlogy(stats.first_moment, rates)) + stats.count[:, None] * rates
        return EPS * (float(sizes.sum()) + stats.log_factorials)

    def start_moments(self, X: Array, responsibilities: Array, origin: Array) -> PoissonStatistics:
        first_moment = sum_of_products(responsibilities, X)
        return PoissonStatistics(total_responsibilities(responsibilities), first_moment, 0.0)

    def reference(self, start_moments: PoissonStatistics) -> PoissonRates:
        return PoissonRates(np.tile(_mean(start_moments), (start_moments.count.shape[0], 1)))

    def around_points(self, points: Array, start_moments: PoissonStatistics) -> PoissonRates:
        # Halfway to the mean: a count of zero is no evidence for a rate of zero.
        return PoissonRates(0.5 * (points + _mean(start_moments)))

    def n_parameters(self, components: PoissonRates) -> int:
        n_components, n_features = components.rates.shape
        n_fixed = 0 if self.fixed is None else int(self.fixed.sum())
        return (n_components - n_fixed) * n_features

    def sample(self, components: PoissonRates, labels: IntArray, rng: RandomSource) -> Array:
        return rng.poisson(components.rates[labels]).astype(np.float64)


def _mean(stats: PoissonStatistics) -> Array:
    return np.asarray(stats.first_moment.sum(axis=0) / stats.count.sum())

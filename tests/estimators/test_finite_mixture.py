"""FiniteMixture: the estimator of any family is that of the families that have one of their own."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from oracles import Data, clusters
from scipy.optimize import minimize
from scipy.stats import expon
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from em_toolkit import FiniteMixture, GaussianMixture, PoissonMixture
from em_toolkit.covariances import STRUCTURES
from em_toolkit.datasets import load_airquality, load_faithful
from em_toolkit.families import Family, Gaussian, Poisson
from em_toolkit.families.base import ComponentStatistics
from em_toolkit.models import ComponentsOf, PPCAParameters, ProbabilisticPCA, Several
from em_toolkit.parameters import Parameters, positive
from em_toolkit.statistics import Array, IntArray

FAITHFUL: Data = load_faithful().data


@pytest.mark.parametrize("init_params", ["kmeans", "random", "k-means++"])
def test_of_poisson_components_it_is_poisson_mixture(init_params: Any) -> None:
    counts = np.round(FAITHFUL)
    settings: dict[str, Any] = {"init_params": init_params, "random_state": 0, "tol": 1e-8}
    ours = FiniteMixture(Poisson(), 2, **settings).fit(counts)
    theirs = PoissonMixture(2, **settings).fit(counts)
    np.testing.assert_array_equal(ours.trace_.elbo, theirs.trace_.elbo)
    np.testing.assert_array_equal(ours.components_.rates, theirs.rates_)
    np.testing.assert_array_equal(ours.predict_proba(counts), theirs.predict_proba(counts))
    assert ours.bic(counts) == theirs.bic(counts)
    np.testing.assert_array_equal(ours.sample(5)[0], theirs.sample(5)[0])


@pytest.mark.parametrize("structure", ["full", "VEI"])
def test_of_normal_components_it_is_gaussian_mixture(structure: Any) -> None:
    settings: dict[str, Any] = {"random_state": 0, "tol": 1e-8}
    ours = FiniteMixture(Gaussian(STRUCTURES[structure]), 2, **settings).fit(FAITHFUL)
    theirs = GaussianMixture(2, covariance_type=structure, reg_covar=0.0, **settings).fit(FAITHFUL)
    np.testing.assert_array_equal(ours.trace_.elbo, theirs.trace_.elbo)
    np.testing.assert_array_equal(ours.components_.means, theirs.means_)
    np.testing.assert_array_equal(ours.predict(FAITHFUL), theirs.predict(FAITHFUL))


def test_missing_entries_of_a_family_that_takes_them() -> None:
    air = load_airquality().data
    ours = FiniteMixture(Gaussian(), 2, random_state=0).fit(air)
    theirs = GaussianMixture(2, reg_covar=0.0, random_state=0).fit(air)
    assert ours.lower_bound_ == theirs.lower_bound_
    with pytest.raises(ValueError, match="does not accept missing values"):
        FiniteMixture(Poisson(), 2).fit(air)


@dataclass(frozen=True, eq=False)
class Rates(Parameters):
    values: Array = positive()


@dataclass(frozen=True, eq=False)
class Totals(ComponentStatistics):
    totals: Array


class Exponential(Family[Rates, Totals]):
    """Waiting times: a family of four methods."""

    def posterior(self, components: Rates, X: Array) -> tuple[None, Array]:
        return None, np.log(components.values) - components.values * X

    def statistics(
        self, components: Rates, X: Array, responsibilities: Array, within: Any = None
    ) -> Totals:
        return Totals(responsibilities.sum(axis=0), responsibilities.T @ X[:, 0])

    def maximize(self, components: Rates, stats: Totals) -> Rates:
        return Rates(stats.count / stats.totals)

    def expected_log_density(self, components: Rates, stats: Totals) -> float:
        return float(stats.count @ np.log(components.values) - components.values @ stats.totals)


class Drawn(Exponential):
    """The same, which can be drawn from."""

    def sample(self, components: Rates, labels: IntArray, rng: Any) -> Array:
        return np.asarray(rng.exponential(1.0 / components.values[labels])[:, None])


RNG = np.random.default_rng(0)
WAITS = np.concatenate([RNG.exponential(1.0, 300), RNG.exponential(20.0, 300)])[:, None]
START = Rates(np.array([2.0, 0.1]))


def test_a_family_of_ones_own() -> None:
    mixture = FiniteMixture(Exponential(), 2, components_init=START, tol=1e-10, max_iter=1000)
    mixture.fit(WAITS)
    weights, rates = mixture.weights_, mixture.components_.values

    def log_density(share: float, one: float, other: float) -> Array:
        first, second = expon(scale=1.0 / one), expon(scale=1.0 / other)
        x = WAITS[:, 0]
        return np.asarray(np.log(share * first.pdf(x) + (1.0 - share) * second.pdf(x)))

    found = log_density(weights[0], *rates)
    np.testing.assert_allclose(mixture.score_samples(WAITS), found, rtol=1e-12)
    assert mixture.lower_bound_ == pytest.approx(found.mean(), rel=1e-12)
    log_likelihood = found.sum()
    assert mixture.bic(WAITS) == pytest.approx(3 * np.log(600) - 2 * log_likelihood, rel=1e-12)
    start = np.array([weights[0], *rates])
    best = minimize(lambda p: -log_density(*p).sum(), start, method="Nelder-Mead").fun
    assert log_likelihood > -best - 1e-6
    again = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(again.predict(WAITS), mixture.predict(WAITS))
    with pytest.raises(NotImplementedError, match="Exponential cannot be sampled"):
        mixture.sample(3)


def test_a_family_without_starts_asks_for_one() -> None:
    with pytest.raises(NotImplementedError, match="Exponential finds no start from data: give"):
        FiniteMixture(Exponential(), 2, random_state=0).fit(WAITS)
    drawn = FiniteMixture(Drawn(), 2, components_init=START, random_state=0).fit(WAITS)
    rows, labels = drawn.sample(2000)
    means = [rows[labels == k].mean() for k in range(2)]
    np.testing.assert_allclose(means, 1.0 / drawn.components_.values, rtol=0.15)


def test_components_that_are_models() -> None:
    rng = np.random.default_rng(0)
    X = clusters(rng, 200, 4, 2)
    parts = tuple(
        PPCAParameters(mean, rng.normal(size=(4, q)), 1.0)
        for mean, q in zip(X[[0, -1]], (1, 2), strict=True)
    )
    mixture = FiniteMixture(
        ComponentsOf(ProbabilisticPCA()), 2, components_init=Several(parts), max_iter=500
    ).fit(X)
    assert mixture.converged_
    assert mixture.score(X) == pytest.approx(mixture.lower_bound_, rel=1e-12)
    assert mixture.sample(10)[0].shape == (10, 4)


def test_it_is_an_estimator() -> None:
    mixture = FiniteMixture(Poisson(), 2, random_state=0)
    assert clone(mixture).get_params()["n_components"] == 2
    with pytest.raises(InvalidParameterError, match="'family' parameter of FiniteMixture"):
        FiniteMixture("poisson", 2).fit(WAITS)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="'components_init'"):
        FiniteMixture(Exponential(), 2, components_init=[1.0]).fit(WAITS)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_components", [1, 3])
def test_as_many_components_are_given_as_asked_for(n_components: int) -> None:
    with pytest.raises(ValueError, match=rf"n_components={n_components} component.*those of 2"):
        FiniteMixture(Exponential(), n_components, components_init=START).fit(WAITS)

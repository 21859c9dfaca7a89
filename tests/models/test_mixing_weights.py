"""The weights of a mixture: a Dirichlet prior, and weights held fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Data
from scipy.optimize import minimize
from scipy.stats import dirichlet

from em_toolkit import GaussianMixture, PoissonMixture
from em_toolkit.datasets import load_faithful
from em_toolkit.models.mixing_weights import MixingWeights

FAITHFUL: Data = load_faithful().data
HASSELBLAD = np.array([162, 267, 271, 185, 111, 61, 27, 8, 3, 1])
few = settings(max_examples=30, deadline=None)


def problem(seed: int) -> tuple[np.random.Generator, Data, Data]:
    """Counts, old weights."""
    rng = np.random.default_rng(seed)
    K = int(rng.integers(2, 6))
    return rng, rng.uniform(0.1, 50.0, K), rng.dirichlet(np.ones(K))


@few
@given(st.integers(0, 2**31), st.sampled_from(["none", "one", "each"]), st.booleans())
def test_no_optimizer_finds_better_weights(seed: int, prior: str, fix: bool) -> None:
    """Over all weights that have the fixed ones in their places, with scipy's density."""
    rng, count, old = problem(seed)
    K = count.size
    concentration = {"none": 1.0, "one": 3.5, "each": rng.uniform(1.0, 9.0, K)}[prior]
    alpha = np.broadcast_to(concentration, K)
    fixed = rng.random(K) < 0.4 if fix else None
    found = MixingWeights(concentration, fixed).maximize(old, count)
    assert found.sum() == pytest.approx(1.0, abs=1e-14)
    held = np.zeros(K, dtype=bool) if fixed is None else fixed
    np.testing.assert_array_equal(found[held], old[held])
    free = np.flatnonzero(~held)
    if free.size < 2:
        return
    left = 1.0 - old[held].sum()

    def loss(logits: Data) -> float:
        weights = old.copy()
        shares = np.exp(logits - logits.max())
        weights[free] = left * shares / shares.sum()
        # Renormalized to a rounding: scipy asks for a sum of one.
        log_prior = dirichlet(alpha).logpdf(weights / weights.sum())
        return -float(count @ np.log(weights) + log_prior)

    start = rng.standard_normal(free.size)
    best = minimize(loss, start, method="BFGS", options={"gtol": 1e-9})
    assert loss(np.log(found[free])) <= best.fun + 1e-9 * abs(best.fun)


@few
@given(st.integers(0, 2**31))
def test_the_log_prior_is_scipys_but_for_a_constant(seed: int) -> None:
    rng, count, _ = problem(seed)
    alpha = rng.uniform(1.0, 9.0, count.size)
    one, other = rng.dirichlet(np.ones(count.size), 2)
    ours = MixingWeights(alpha).log_prior(one) - MixingWeights(alpha).log_prior(other)
    theirs = dirichlet(alpha).logpdf(one) - dirichlet(alpha).logpdf(other)
    assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-10)


def test_a_component_without_data_or_prior_has_weight_zero() -> None:
    """At α = 1 a weight may be zero, and log π_k is then no part of the prior."""
    mixing = MixingWeights(np.array([1.0, 2.0, 2.0]))
    weights = mixing.maximize(np.full(3, 1 / 3), np.array([0.0, 5.0, 3.0]))
    np.testing.assert_allclose(weights, [0.0, 0.6, 0.4], rtol=1e-15)
    assert mixing.log_prior(weights) == pytest.approx(np.log(0.6) + np.log(0.4), rel=1e-15)
    # With a prior of its own it has one that is not.
    weights = MixingWeights(2.0).maximize(np.full(3, 1 / 3), np.array([0.0, 5.0, 3.0]))
    np.testing.assert_allclose(weights, np.array([1.0, 6.0, 4.0]) / 11, rtol=1e-15)


def test_fixed_weights() -> None:
    fixed = np.array([True, False, False])
    mixing = MixingWeights(1.0, fixed)
    old = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(mixing.maximize(old, np.array([9.0, 1.0, 3.0])), [0.5, 0.125, 0.375])
    # None of the data is in a component whose weight is free: nothing to be gained.
    np.testing.assert_array_equal(mixing.maximize(old, np.array([9.0, 0.0, 0.0])), old)
    # What is left may be less than a rounding of one, and is not zero then.
    full = np.array([1.0, 2e-300, 2e-300])
    weights = mixing.maximize(full, np.array([9.0, 1.0, 3.0]))
    np.testing.assert_allclose(weights, [1.0, 1e-300, 3e-300], rtol=1e-14)
    np.testing.assert_allclose(mixing.project(weights, full), weights, rtol=1e-14)
    assert [MixingWeights(1.0, f).n_parameters(3) for f in (None, fixed, ~fixed)] == [2, 1, 0]
    assert MixingWeights(1.0, np.full(3, True)).n_parameters(3) == 0
    held = mixing.project(np.array([0.2, 0.2, 0.6]), old)
    np.testing.assert_allclose(held, [0.5, 0.125, 0.375], rtol=1e-15)


# -- fits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("concentration", [1.0, 30.0, [5.0, 1.0, 100.0]])
def test_a_fit_is_a_fixed_point_of_the_map_equation(concentration: Any) -> None:
    fit = GaussianMixture(
        3, weight_concentration=concentration, random_state=0, tol=1e-15, max_iter=20_000
    ).fit(FAITHFUL)
    count = fit.predict_proba(FAITHFUL).sum(axis=0)
    expected = count + np.asarray(concentration) - 1.0
    np.testing.assert_allclose(fit.weights_, expected / expected.sum(), atol=1e-6)
    assert (np.diff(fit.trace_.elbo) > -1e-13).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_bound_is_the_score_and_the_prior() -> None:
    alpha = np.array([5.0, 1.5, 100.0])
    excess = []
    for max_iter in (0, 2, 30):
        fit = GaussianMixture(
            3, weight_concentration=alpha, reg_covar=0.0, random_state=0, max_iter=max_iter
        ).fit(FAITHFUL)
        difference = 272 * (fit.lower_bound_ - fit.score(FAITHFUL))
        excess.append(difference - dirichlet(alpha).logpdf(fit.weights_))
    np.testing.assert_allclose(excess, excess[0], rtol=0, atol=1e-9)


def test_pseudo_rows_of_a_poisson_mixture() -> None:
    """α_k − 1 rows more in each component: towards equal weights as α grows."""
    counts, rows = np.arange(10.0)[:, None], HASSELBLAD
    shares = []
    for alpha in (1.0, 1e2, 1e6):
        fit = PoissonMixture(
            2, weights_init=[0.5, 0.5], rates_init=[[1.0], [3.0]], weight_concentration=alpha,
            tol=1e-12, max_iter=20_000,
        ).fit(counts, sample_weight=rows)  # fmt: skip
        shares.append(fit.weights_[0])
    assert shares[0] == pytest.approx(0.3599, abs=1e-4)
    assert shares[0] < shares[1] < shares[2] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    "concentration", [0.5, np.nan, np.inf, [1.0, 0.0], [2.0, 2.0, 2.0], [[1.0, 1.0]], [np.nan, 1.0]]
)
def test_bad_concentrations(concentration: Any) -> None:
    for estimator in (GaussianMixture, PoissonMixture):
        with pytest.raises(ValueError, match="weight_concentration"):
            estimator(2, weight_concentration=concentration).fit(np.round(FAITHFUL))

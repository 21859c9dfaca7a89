"""PoissonMixture: Hasselblad's figures, scipy's pmf, zero rates, weights and brute force."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles import Data, mixture_log_density, mixture_posterior
from scipy.optimize import minimize
from scipy.stats import poisson

from em_toolkit import PoissonMixture, Status
from em_toolkit.families import Poisson, PoissonRates

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

COUNTS = np.arange(10)[:, None]
DEATHS = np.array([162, 267, 271, 185, 111, 61, 27, 8, 3, 1])


def hasselblad(**parameters: Any) -> PoissonMixture:
    settings = {"tol": 1e-14, "max_iter": 50_000} | parameters
    return PoissonMixture(2, weights_init=[0.5, 0.5], rates_init=[[1.0], [3.0]], **settings)


def log_densities(X: Data, rates: Data) -> Data:
    """Σ_j log Poisson(x_ij; λ_kj), of shape (n_rows, n_components), by scipy."""
    return np.asarray(poisson(rates[None]).logpmf(np.asarray(X)[:, None, :]).sum(axis=2))


@pytest.fixture
def data() -> Data:
    """Three features, two kinds of rows; the rates of one kind are well below the other's."""
    rng = np.random.default_rng(0)
    rates = np.array([[1.0, 4.0, 0.5], [6.0, 2.0, 3.0]])
    return rng.poisson(rates[rng.integers(2, size=300)]).astype(float)


# -- Hasselblad's counts --------------------------------------------------------------------------


def test_hasselblads_maximum() -> None:
    # EM is slow here: a step that gains less than any tol that rounding leaves is still 1e-5 away.
    fit = hasselblad(tol=0.0, max_iter=3000).fit(COUNTS, sample_weight=DEATHS)
    assert fit.weights_[0] == pytest.approx(0.35989, abs=5e-6)
    assert fit.rates_.ravel() == pytest.approx([1.25610, 2.66340], abs=5e-6)
    log_likelihood = DEATHS.sum() * fit.score(COUNTS, sample_weight=DEATHS)
    assert log_likelihood == pytest.approx(-1989.945860, abs=5e-7)
    assert DEATHS.sum() * fit.lower_bound_ == pytest.approx(-1989.945860, abs=5e-7)


def test_an_optimizer_that_knows_nothing_of_em_finds_the_same() -> None:
    def loss(vector: Data) -> float:
        log_weights = np.log([1.0 / (1.0 + np.exp(-vector[0])), 1.0 / (1.0 + np.exp(vector[0]))])
        densities = poisson(np.exp(vector[1:])).logpmf(COUNTS)
        return -float(DEATHS @ mixture_log_density(log_weights, densities))

    best = minimize(loss, [0.0, 0.0, 1.0], method="Nelder-Mead",
                    options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 10_000})  # fmt: skip
    fit = hasselblad().fit(COUNTS, sample_weight=DEATHS)
    assert DEATHS.sum() * fit.lower_bound_ == pytest.approx(-best.fun, abs=1e-8)
    # The likelihood is flat here: 1e-11 of its size is 1e-5 of the parameters'.
    assert np.log(fit.rates_.ravel()) == pytest.approx(best.x[1:], abs=1e-4)


def test_the_table_is_its_rows() -> None:
    """1096 rows, each a day, as counts with frequencies."""
    days = np.repeat(COUNTS, DEATHS, axis=0)
    table = hasselblad(max_iter=30).fit(COUNTS, sample_weight=DEATHS)
    rows = hasselblad(max_iter=30).fit(days)
    np.testing.assert_allclose(table.rates_, rows.rates_, rtol=1e-12)
    np.testing.assert_allclose(table.weights_, rows.weights_, rtol=1e-12)
    np.testing.assert_allclose(table.trace_.elbo, rows.trace_.elbo, rtol=1e-13)
    assert table.score(COUNTS, sample_weight=DEATHS) == pytest.approx(rows.score(days), rel=1e-13)


# -- against scipy --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_densities_and_responsibilities_are_scipys(data: Data, n_components: int) -> None:
    fit = PoissonMixture(n_components, random_state=0).fit(data)
    X = np.vstack([data, 50.0 * data])
    densities, log_weights = log_densities(X, fit.rates_), np.log(fit.weights_)
    expected = mixture_log_density(log_weights, densities)
    # A density of −1000 is made of terms of that size: 1e-13 of it.
    np.testing.assert_allclose(fit.score_samples(X), expected, rtol=1e-12)
    posterior = mixture_posterior(log_weights, densities)
    np.testing.assert_allclose(fit.predict_proba(X), posterior, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(fit.predict(X), (log_weights + densities).argmax(axis=1))
    n_parameters = n_components - 1 + 3 * n_components
    log_likelihood = mixture_log_density(log_weights, log_densities(data, fit.rates_)).sum()
    assert fit.aic(data) == pytest.approx(2 * n_parameters - 2 * log_likelihood, rel=1e-13)
    bic = n_parameters * np.log(300) - 2 * log_likelihood
    assert fit.bic(data) == pytest.approx(bic, rel=1e-13)


def test_one_iteration_by_hand(data: Data) -> None:
    weights, rates = np.array([0.3, 0.7]), np.array([[1.0, 3.0, 1.0], [4.0, 3.0, 2.0]])
    sample_weight = np.random.default_rng(1).uniform(0.0, 2.0, 300)
    q = mixture_posterior(np.log(weights), log_densities(data, rates)) * sample_weight[:, None]
    fit = PoissonMixture(2, weights_init=weights, rates_init=rates, max_iter=1)
    fit.fit(data, sample_weight=sample_weight)
    np.testing.assert_allclose(fit.weights_, q.sum(axis=0) / sample_weight.sum(), rtol=1e-13)
    np.testing.assert_allclose(fit.rates_, q.T @ data / q.sum(axis=0)[:, None], rtol=1e-13)


def test_one_component_is_the_mean(data: Data) -> None:
    fit = PoissonMixture(1).fit(data)
    np.testing.assert_allclose(fit.rates_, data.mean(axis=0)[None], rtol=1e-14)
    assert fit.score(data) == pytest.approx(log_densities(data, fit.rates_).mean(), rel=1e-13)


def test_the_marginal_by_enumeration_sums_to_one() -> None:
    """Over all counts below 60 of two features: the rest is below 1e-16."""
    fit = PoissonMixture(
        2, weights_init=[0.25, 0.75], rates_init=[[0.5, 9.0], [6.0, 0.0]], max_iter=0
    ).fit(np.array([[1, 0], [0, 3]]))
    grid = np.array(list(product(range(60), range(60))), dtype=float)
    with np.errstate(divide="ignore"):
        assert np.exp(fit.score_samples(grid)).sum() == pytest.approx(1.0, rel=1e-12)
        mean = np.exp(fit.score_samples(grid)) @ grid
    assert mean == pytest.approx([0.25 * 0.5 + 0.75 * 6.0, 0.25 * 9.0], rel=1e-12)


def test_moments_of_samples() -> None:
    n = 50_000
    fit = PoissonMixture(
        2, weights_init=[0.25, 0.75], rates_init=[[0.5, 9.0], [6.0, 0.0]], max_iter=0,
        random_state=2,
    ).fit(np.array([[1, 0], [0, 3]]))  # fmt: skip
    X, labels = fit.sample(n)
    assert X.shape == (n, 2)
    assert (np.round(X) == X).all()
    assert (X >= 0.0).all()
    share = np.bincount(labels) / n
    assert abs(share[0] - 0.25) < 5 * np.sqrt(0.25 * 0.75 / n)
    for k, rates in enumerate(fit.rates_):
        rows = X[labels == k]
        limit = 5 * np.sqrt(rates / len(rows))
        assert (np.abs(rows.mean(axis=0) - rates) <= limit).all()
        # var of a Poisson's sample variance: (λ + 2 λ²)/n.
        spread = 5 * np.sqrt((rates + 2 * rates**2) / len(rows))
        assert (np.abs(rows.var(axis=0) - rates) <= spread).all()


def test_recovers_what_made_the_data() -> None:
    rates = np.array([[1.0, 20.0, 3.0], [10.0, 2.0, 3.0], [30.0, 30.0, 0.5]])
    rng = np.random.default_rng(3)
    labels = rng.choice(3, p=[0.2, 0.3, 0.5], size=3000)
    fit = PoissonMixture(3, n_init=3, random_state=0, tol=1e-8).fit(rng.poisson(rates[labels]))
    order = np.argsort(fit.weights_)
    counts = np.bincount(labels)
    errors = 5 * np.sqrt(rates / counts[:, None])
    assert (np.abs(fit.rates_[order] - rates) < errors).all()
    assert (order.argsort()[fit.predict(rng.poisson(rates[labels]))] == labels).mean() > 0.99


# -- zeros ----------------------------------------------------------------------------------------


def test_a_column_of_zeros_has_rates_of_zero(data: Data) -> None:
    with_zeros = np.insert(data, 1, 0.0, axis=1)
    for init_params in ("kmeans", "k-means++", "random", "random_from_data"):
        fit = PoissonMixture(2, init_params=init_params, random_state=0).fit(with_zeros)
        np.testing.assert_array_equal(fit.rates_[:, 1], 0.0)
        assert (fit.rates_[:, [0, 2, 3]] > 0.0).all()
        assert np.isfinite(fit.trace_.elbo).all()
        # log 0⁰ = 0: the column adds nothing.
        without = PoissonMixture(
            2, weights_init=fit.weights_, rates_init=np.delete(fit.rates_, 1, axis=1), max_iter=0
        ).fit(data)
        np.testing.assert_allclose(fit.score_samples(with_zeros), without.score_samples(data))
        # A count where there was none is impossible, whatever else the row holds.
        row = with_zeros[:1] + np.eye(4)[[1]]
        assert fit.score_samples(row)[0] == -np.inf
        assert np.isfinite(fit.predict_proba(row)).all()


def test_a_component_of_zeros_alone_is_found() -> None:
    """Excess zeros: one component's rate tends to 0, and takes the share that is left over."""
    rng = np.random.default_rng(4)
    X = np.where(rng.random(2000) < 0.4, 0, rng.poisson(8.0, 2000))[:, None]
    fit = PoissonMixture(
        2, weights_init=[0.5, 0.5], rates_init=[[0.0], [5.0]], tol=1e-13, max_iter=500
    ).fit(X)
    assert fit.rates_[0, 0] == 0.0
    positive = X[X > 0]
    # The zero-truncated mean λ/(1 − e^−λ) is that of the positive counts, and the weights follow.
    rate = fit.rates_[1, 0]
    assert rate / -np.expm1(-rate) == pytest.approx(positive.mean(), rel=1e-10)
    share = (X > 0).mean() / -np.expm1(-rate)
    assert fit.weights_[1] == pytest.approx(share, rel=1e-10)


def test_data_of_zeros_alone() -> None:
    fit = PoissonMixture(2, random_state=0, init_params="random").fit(np.zeros((5, 2)))
    np.testing.assert_array_equal(fit.rates_, 0.0)
    assert fit.score(np.zeros((5, 2))) == 0.0
    assert fit.lower_bound_ == pytest.approx(0.0, abs=1e-15)


def test_a_start_that_makes_the_data_impossible_is_refused(data: Data) -> None:
    mixture = PoissonMixture(2, weights_init=[0.5, 0.5], rates_init=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no probability"):
        mixture.fit(data)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, -1.0], [0.0, 2.0]], "Negative values"),
        ([[1.0, np.nan], [0.0, 2.0]], "NaN"),
        ([[1.0, 2.0]], "minimum of 2"),
    ],
)
def test_bad_counts(X: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoissonMixture(1).fit(X)
    fitted = PoissonMixture(1).fit([[1.0, 2.0], [3.0, 4.0]])
    if "minimum" not in message:
        with pytest.raises(ValueError, match=message):
            fitted.predict(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rates_init": [[1.0], [-1.0]]}, "'rates' should be non-negative, but got min -1"),
        ({"rates_init": [[1.0, 2.0]]}, r"'rates' should have the shape of \(2, 1\)"),
        ({"weights_init": [0.5, 0.6]}, "normalized"),
        ({"n_components": 0}, "n_components"),
    ],
)
def test_bad_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoissonMixture(**({"n_components": 2} | parameters)).fit(COUNTS)


# -- weights, scale, ways to go on ----------------------------------------------------------------


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_a_row_of_weight_zero_is_absent(data: Data, init_params: str) -> None:
    weights = np.random.default_rng(5).uniform(0.5, 2.0, 300)
    weights[::4] = 0.0
    X = data.copy()
    X[::4] = 1e6
    kept = weights > 0.0
    fits = [
        PoissonMixture(2, init_params=init_params, random_state=0).fit(rows, sample_weight=w)
        for rows, w in ((X, weights), (X[kept], weights[kept]))
    ]
    np.testing.assert_array_equal(fits[0].rates_, fits[1].rates_)
    np.testing.assert_array_equal(fits[0].weights_, fits[1].weights_)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_rates_of_any_size(size: float) -> None:
    """Rare events in many rows, and large counts: the bound stays within rounding."""
    rng = np.random.default_rng(6)
    rates = size * np.array([1.0, 3.0])
    X = rng.poisson(rates[rng.integers(2, size=2000)])[:, None].astype(float)
    fit = PoissonMixture(2, random_state=0, tol=1e-10, max_iter=500).fit(X)
    assert np.isfinite(fit.rates_).all()
    expected = mixture_log_density(np.log(fit.weights_), log_densities(X, fit.rates_)).mean()
    # At 1e6 the terms x log λ − λ − log x! of size 1e7 cancel to −8.
    assert fit.score(X) == pytest.approx(expected, rel=1e-12, abs=1e-14 * size * 10)
    assert np.diff(fit.trace_.elbo).min() > -1e-14 * max(1.0, 10 * size)


def test_status_warm_start_and_float32(data: Data) -> None:
    fit = PoissonMixture(2, random_state=0, max_iter=3, tol=0.0, warm_start=True).fit(data)
    assert fit.status_ is Status.MAX_ITER
    fit.fit(data)
    whole = PoissonMixture(2, random_state=0, max_iter=6, tol=0.0).fit(data)
    np.testing.assert_array_equal(fit.rates_, whole.rates_)
    single = PoissonMixture(2, random_state=0, max_iter=6, tol=0.0).fit(data.astype(np.float32))
    assert single.rates_.dtype == np.float32
    np.testing.assert_allclose(single.rates_, whole.rates_, rtol=1e-6)


def test_the_m_step_keeps_what_the_data_say_nothing_of() -> None:
    family = Poisson()
    rates = PoissonRates(np.array([[1.0, 2.0], [3.0, 4.0]]))
    X, responsibilities = np.array([[5.0, 0.0], [7.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    new = family.maximize(rates, family.statistics(rates, X, responsibilities))
    np.testing.assert_array_equal(new.rates, [[6.0, 0.0], [3.0, 4.0]])


def test_repeated_rows_are_weights(data: Data) -> None:
    """scikit-learn's check of weights, on counts: zero weights, whole ones and another order."""
    rng = np.random.default_rng(1)
    counts, order = rng.integers(0, 4, len(data)), rng.permutation(len(data))
    shares = rng.dirichlet(np.ones(2), len(data))
    weighted = PoissonMixture(2, init_params=shares[order], tol=0.0, max_iter=30)
    weighted.fit(data[order], sample_weight=counts[order])
    repeated = PoissonMixture(
        2, init_params=np.repeat(shares, counts, axis=0), tol=0.0, max_iter=30
    )
    repeated.fit(np.repeat(data, counts, axis=0))
    np.testing.assert_allclose(weighted.rates_, repeated.rates_, rtol=1e-10)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, rtol=1e-10)


def test_the_count_of_iterations_and_the_least_number_of_rows(data: Data) -> None:
    assert PoissonMixture(max_iter=1).fit(data).n_iter_ == 1
    with pytest.raises(ValueError, match="Expected n_samples >= n_components"):
        PoissonMixture(12).fit(data[:10])


@pytest.mark.parametrize("value", [1.5, 1e-3, 7.0000001])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fractions_are_refused_in_words(data: Data, value: float, dtype: Any) -> None:
    fit = PoissonMixture(2, random_state=0).fit(data)
    rows = data.astype(dtype)
    rows[17, 1] = value
    if rows[17, 1] == np.round(rows[17, 1]):
        pytest.skip("a whole number in single precision")
    asked = rf"expected counts.*got {value:g} in feature 1 \(1 of 3 features.*numpy\.round"
    for use in (PoissonMixture(2).fit, fit.predict, fit.score, fit.bic):
        with pytest.raises(ValueError, match=asked):
            use(rows)


def test_fractions_are_told_by_name(data: Data) -> None:
    frame = pd.DataFrame(data, columns=["a", "b", "c"])
    assert PoissonMixture(2, random_state=0).fit(frame.astype(int)).n_features_in_ == 3
    frame.loc[3, "c"] = 0.5
    with pytest.raises(ValueError, match=r"got 0\.5 in feature 'c'"):
        PoissonMixture(2).fit(frame)


def test_a_fraction_in_the_last_of_many_rows() -> None:
    rows = np.random.default_rng(0).poisson(3.0, (20_001, 1)).astype(float)
    rows[-1] = 2.5
    with pytest.raises(ValueError, match=r"got 2\.5 in feature 0"):
        PoissonMixture().fit(rows)


def test_counts_beyond_two_to_the_53_are_whole() -> None:
    assert PoissonMixture().fit([[2.0**60], [2.0**58]]).rates_ == pytest.approx(5 * 2.0**57)

"""When to stop: the small step, the predicted distance, and the rate of convergence behind it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Data, clusters, gaussian_log_densities, mixture_posterior
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs
from starts import FAITHFUL, faithful_start, gaussian_mixture

from em_toolkit import PPCA, GaussianMixture, PoissonMixture, Rows, Status, em
from em_toolkit.engine.forecast import ConvergenceForecast, Gains


def scikit_learn_10122() -> Data:
    """The data of scikit-learn's issue 10122: 300 and 100 rows of overlapping normals."""
    rng = np.random.RandomState(1234)
    one = rng.multivariate_normal([2, 4], [[5, 2], [2, 6]], 300)
    other = rng.multivariate_normal([0, 0], [[4, 2], [2, 3]], 100)
    return np.concatenate([one, other])


def long_fit(**settings: Any) -> Any:
    return GaussianMixture(random_state=0, tol=1e-13, max_iter=20000, **settings)


# -- the forecast on sequences whose end is known --------------------------------------------------


def iterations(shares: list[float], rates: list[float], n: int, start: int = 0) -> list[Gains]:
    """Σ_i b_i λ_i^j for half-steps j, two by two."""
    j = np.arange(2 * start, 2 * (start + n))
    gains = np.power.outer(rates, j).T @ np.asarray(shares)
    return [Gains(m, e, False, 0.0) for m, e in gains.reshape(-1, 2).tolist()]


def seen(iterations: list[Gains]) -> ConvergenceForecast:
    forecast = ConvergenceForecast()
    for gains in iterations:
        forecast.update(gains)
    return forecast


@given(st.floats(0.01, 0.9999), st.floats(1e-9, 1.0), st.integers(2, 9))
def test_one_direction_is_seen_through_at_once(rate: float, share: float, n: int) -> None:
    forecast = seen(iterations([share], [rate], n))
    left = share * rate ** (2 * n) / (1.0 - rate)
    assert forecast.rate == pytest.approx(rate, rel=1e-12)
    # Roundings of the rate pass for a trend, which near one is followed far.
    assert forecast.distance == pytest.approx(left, rel=1e-9 / (1.0 - rate))
    after = forecast.iterations_to(1e-3 * forecast.distance)
    assert after == math.ceil(math.log(1e-3) / (2.0 * math.log(rate)) * (1 - 1e-9))


@given(
    st.lists(st.floats(0.1, 0.99), min_size=2, max_size=5),
    st.lists(st.floats(1e-3, 1.0), min_size=5, max_size=5),
    st.integers(2, 60),
)
def test_of_several_directions_the_slowest_is_neither_missed_nor_passed(
    rates: list[float], shares: list[float], n: int
) -> None:
    """The rate is a mean of the eigenvalues that rises; plain Aitken never says too much."""
    steps = iterations(shares[: len(rates)], rates, n)
    forecast = seen(steps)
    assert forecast.rate <= max(rates) * (1.0 + 1e-9)
    assert forecast.rate >= seen(steps[:-1]).rate * (1.0 - 1e-9)
    powers = np.power(rates, 2.0 * n) / (1.0 - np.asarray(rates))
    left = float(powers @ np.asarray(shares[: len(rates)]))
    assert steps[-1].distance_at(forecast.rate) <= left * (1.0 + 1e-9)
    # The trend is followed, so that the prediction is no lower than that.
    assert forecast.distance >= steps[-1].distance_at(forecast.rate)


def test_two_directions_in_the_end() -> None:
    forecast = seen(iterations([1.0, 1e-3], [0.5, 0.95], 60))
    assert forecast.rate == pytest.approx(0.95, abs=1e-9)
    assert forecast.distance == pytest.approx(1e-3 * 0.95**120 / 0.05, rel=1e-6)


def test_a_slow_direction_that_emerges_is_waited_for() -> None:
    """The step is a thousandth of what it was at the start, and most of the way is still to go."""
    steps = iterations([1.0, 1e-3], [0.3, 0.99], 4)
    left = 1e-3 * 0.99**8 / 0.01
    assert steps[-1].distance_at(steps[-1].rate) < 0.2 * left
    assert seen(steps).distance > left


def test_steps_that_grow_have_no_end_in_sight() -> None:
    forecast = seen([Gains(1.0, 1.02, False, 1e-16), Gains(1.04, 1.06, False, 1e-16)])
    assert forecast.rate > 1.0
    assert forecast.distance == math.inf
    assert forecast.iterations_to(1e-3) is None


def test_a_single_iteration_shows_no_trend() -> None:
    forecast = seen([Gains(0.2, 0.1, False, 1e-16)])
    assert forecast.rate == pytest.approx(0.5)
    assert forecast.distance == math.inf


def test_gains_lost_in_rounding_do_not_touch_the_rate() -> None:
    good = iterations([1e-6], [0.9], 20)
    noise = 1e-14
    forecast = seen([gains._replace(rounding=noise) for gains in good])
    rate = forecast.rate
    rng = np.random.default_rng(0)
    for m, e in rng.uniform(-noise, noise, (50, 2)).tolist():
        forecast.update(Gains(m, e, False, noise))
        assert forecast.rate == rate == pytest.approx(0.9)
        # As much as rounding may hide.
        assert 0.0 < forecast.distance <= 10.0 * noise


def test_at_a_fixed_point_nothing_is_left_but_rounding() -> None:
    forecast = seen([Gains(0.0, 0.0, False, 1e-15)])
    assert math.isnan(forecast.rate)
    assert forecast.distance < 1e-14


def test_an_extrapolation_shows_how_far_there_was_to_go() -> None:
    forecast = seen([*iterations([1.0], [0.5], 3), Gains(1e-3, 0.099, True, 1e-16)])
    assert forecast.rate == pytest.approx(0.99)
    forecast.update(Gains(1e-5, 1e-6, True, 1e-16))
    # The rate of lately; what was left before the extrapolation.
    assert forecast.rate == pytest.approx(0.99)
    assert forecast.distance >= 1e-5 / (1.0 - 0.99) * (1.0 - 1e-9)


# -- the rate is that of EM -----------------------------------------------------------------------


def em_map(theta: Data, X: Data, n_components: int) -> Data:
    """An iteration of EM by scipy's densities, on weights, means and full covariances."""
    d = X.shape[1]
    weights, means, matrices = np.split(theta, [n_components, n_components * (1 + d)])
    means, matrices = means.reshape(-1, d), matrices.reshape(-1, d, d)
    r = mixture_posterior(np.log(weights), gaussian_log_densities(X, means, matrices))
    counts = r.sum(axis=0)
    means = (r.T @ X) / counts[:, None]
    deviations = X[:, None] - means
    matrices = np.einsum("ik,ikj,ikl->kjl", r, deviations, deviations) / counts[:, None, None]
    return np.concatenate([counts / len(X), means.ravel(), matrices.ravel()])


@pytest.mark.parametrize(("name", "n_components"), [("faithful", 3), ("10122", 2), ("iris", 3)])
def test_the_rate_is_the_largest_eigenvalue_of_the_em_map(
    name: str, n_components: int, iris: Data
) -> None:
    X = {"faithful": FAITHFUL, "10122": scikit_learn_10122(), "iris": iris}[name]
    fit = long_fit(n_components=n_components, reg_covar=0.0, stopping="distance").fit(X)
    theta = np.concatenate([fit.weights_, fit.means_.ravel(), fit.covariances_.ravel()])
    np.testing.assert_allclose(em_map(theta, X, n_components), theta, rtol=1e-4, atol=1e-4)

    jacobian = np.empty((theta.size, theta.size))
    rows, columns = np.triu_indices(X.shape[1], 1)
    for j in range(theta.size):
        step = np.zeros_like(theta)
        step[j] = 1e-5 * max(1.0, abs(theta[j]))
        jacobian[:, j] = em_map(theta + step, X, n_components)
        jacobian[:, j] -= em_map(theta - step, X, n_components)
        jacobian[:, j] /= 2.0 * step[j]
    # Without the sum of the weights, and half of each off-diagonal: neither is a direction of EM.
    jacobian[:, :n_components] -= jacobian[:, :n_components].mean(axis=1, keepdims=True)
    assert rows.size == columns.size
    largest = np.abs(np.linalg.eigvals(jacobian)).max()
    # Where gains are far above rounding and the other directions have died out.
    halfway = GaussianMixture(
        n_components, random_state=0, reg_covar=0.0, tol=1e-10, max_iter=20000, stopping="distance"
    ).fit(X)
    assert halfway.trace_.rate == pytest.approx(largest, abs=2e-3)


# -- the rules ------------------------------------------------------------------------------------


def test_the_default_is_scikit_learns_count() -> None:
    X = scikit_learn_10122()
    for tol in (1e-3, 1e-5, 1e-7):
        settings = {"n_components": 2, "random_state": 0, "tol": tol, "max_iter": 1000}
        ours = GaussianMixture(**settings, reg_covar=0.0).fit(X)
        assert ours.n_iter_ == Theirs(**settings, reg_covar=0.0).fit(X).n_iter_
        assert ours.status_ is Status.CONVERGED


def test_a_small_step_is_not_nearness_and_the_distance_is() -> None:
    """scikit-learn's issue 10122."""
    X = scikit_learn_10122()
    best = long_fit(n_components=2).fit(X)
    step = GaussianMixture(2, random_state=0).fit(X)
    near = GaussianMixture(2, random_state=0, tol=1e-5, max_iter=1000, stopping="distance").fit(X)
    errors = [np.abs(np.sort(fit.weights_) - np.sort(best.weights_)).max() for fit in (step, near)]
    assert errors[0] > 0.1
    assert errors[1] < 0.01
    # tol says 1e-3 and 1e-5: the one was off by more than it says.
    assert best.lower_bound_ - step.lower_bound_ > 1e-3
    assert best.lower_bound_ - near.lower_bound_ < 1e-5
    assert near.converged_
    assert near.status_ is Status.NEAR
    assert "predicted" in str(near.status_)


@pytest.mark.parametrize("tol", [1e-4, 1e-6, 1e-8])
def test_what_is_left_is_what_tol_says(tol: float) -> None:
    """On clusters that overlap more and less, none of them chosen."""
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = clusters(rng, 300, 2, 2, apart=1.5)
        settings = {"n_components": 2, "random_state": seed, "max_iter": 20000}
        near = GaussianMixture(**settings, tol=tol, stopping="distance").fit(X)
        # From there, so that it is the same maximum.
        near_bound = near.lower_bound_
        near.set_params(warm_start=True, tol=1e-13).fit(X)
        ratios.append((near.lower_bound_ - near_bound) / tol)
    assert np.median(ratios) > 0.05
    assert np.mean(np.array(ratios) < 1.5) >= 0.9


def test_a_plateau_is_not_the_end() -> None:
    """Three components on Old Faithful: the steps shrink to 1e-4, then they grow again."""
    best = long_fit(n_components=3).fit(FAITHFUL).lower_bound_
    settings = {"n_components": 3, "random_state": 0, "tol": 1e-3}
    step = GaussianMixture(**settings).fit(FAITHFUL)
    near = GaussianMixture(**settings, stopping="distance").fit(FAITHFUL)
    assert best - step.lower_bound_ > 0.02
    assert best - near.lower_bound_ < 0.002


@pytest.mark.parametrize("stopping", ["step", "distance"])
def test_from_the_maximum_it_stops_at_once_and_with_no_tol_never(stopping: str) -> None:
    model = gaussian_mixture()
    best = em(model, faithful_start(), Rows(FAITHFUL), tol=1e-14, max_iter=500).params
    again = em(model, best, Rows(FAITHFUL), tol=1e-8, stopping=stopping)
    assert again.status.converged
    assert again.trace.n_iter <= 3
    never = em(model, best, Rows(FAITHFUL), tol=0.0, max_iter=50, stopping=stopping)
    assert never.status is Status.MAX_ITER


def test_one_component_is_fitted_in_one_step() -> None:
    fit = GaussianMixture(1, stopping="distance", tol=1e-9).fit(FAITHFUL)
    assert fit.converged_
    assert fit.n_iter_ <= 3
    assert not fit.trace_.rate > 0.0


@pytest.mark.parametrize("acceleration", ["squarem", "quasi_newton"])
def test_accelerated_fits_have_a_rule_too(acceleration: str) -> None:
    X = scikit_learn_10122()
    best = long_fit(n_components=2).fit(X)
    fast = GaussianMixture(
        2,
        random_state=0,
        tol=1e-7,
        max_iter=1000,
        stopping="distance",
        acceleration=acceleration,
    ).fit(X)
    assert fast.status_ is Status.NEAR
    assert best.lower_bound_ - fast.lower_bound_ < 1e-6
    assert fast.trace_.iterations_to_go(1e-12) is None


def test_every_em_estimator_takes_the_rule() -> None:
    counts = np.random.default_rng(0).poisson([[2.0]] * 100 + [[6.0]] * 100)
    poisson = PoissonMixture(2, random_state=0, tol=1e-6, max_iter=2000, stopping="distance")
    assert poisson.fit(counts).status_ is Status.NEAR
    ppca = PPCA(1, solver="em", random_state=0, max_iter=5000, stopping="distance").fit(FAITHFUL)
    assert ppca.status_ is Status.NEAR
    assert ppca.lower_bound_ == pytest.approx(PPCA(1).fit(FAITHFUL).lower_bound_, abs=2e-8)
    for estimator in (GaussianMixture, PoissonMixture, PPCA):
        with pytest.raises(ValueError, match="'stopping' parameter"):
            estimator(stopping="soon").fit(np.abs(FAITHFUL))
    with pytest.raises(ValueError, match=r"'step', 'distance'.*'soon'"):
        em(gaussian_mixture(), faithful_start(), FAITHFUL, stopping="soon")


# -- how many iterations are left -----------------------------------------------------------------


@pytest.mark.parametrize("stopping", ["step", "distance"])
def test_a_fit_cut_short_says_how_long_it_would_have_taken(stopping: str) -> None:
    X = scikit_learn_10122()
    settings = {"n_components": 2, "random_state": 0, "tol": 1e-8, "stopping": stopping}
    n_iter = GaussianMixture(**settings, max_iter=5000).fit(X).n_iter_
    with pytest.warns(ConvergenceWarning, match=r"did not converge.*about \d+ more iterations"):
        short = GaussianMixture(**settings, max_iter=n_iter // 2).fit(X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        short.fit(X)
    message = str(caught[-1].message)
    predicted = int(message.split("about ")[1].split(" ")[0])
    assert predicted == pytest.approx(n_iter - n_iter // 2, rel=0.1)


def test_the_summary_speaks_of_what_is_left() -> None:
    X = scikit_learn_10122()
    with pytest.warns(ConvergenceWarning):
        trace = GaussianMixture(2, random_state=0, tol=1e-8, max_iter=150).fit(X).trace_
    best = long_fit(n_components=2).fit(X).lower_bound_
    assert trace.predicted_bound == pytest.approx(best, abs=0.2 * (best - trace.bounds[-1]))
    words = str(trace)
    assert f"{trace.rate:.4g}" in words
    assert f"{trace.predicted_bound:.6f}" in words
    to_go = trace.iterations_to_go(1e-6)
    assert to_go is not None
    assert f"{to_go} to within 1e-06" in words
    assert trace.iterations_to_go(1.0) == 0


def test_the_summary_of_a_plateau_sees_no_end() -> None:
    with pytest.warns(ConvergenceWarning) as caught:
        fit = GaussianMixture(3, random_state=0, tol=1e-6, max_iter=20).fit(FAITHFUL)
    assert "no end is in sight" in str(fit.trace_)
    assert fit.trace_.predicted_bound == math.inf
    assert fit.trace_.iterations_to_go(1e-3) is None
    assert "more iterations" not in str(caught[0].message)


def test_a_start_has_no_forecast() -> None:
    trace = em(gaussian_mixture(), faithful_start(), FAITHFUL, max_iter=0).trace
    assert math.isnan(trace.rate)
    assert "rate" not in str(trace)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["step", "distance"]))
def test_the_rule_sees_no_scale(seed: int, stopping: str) -> None:
    """Data times a power of two: the bounds differ by a constant, and the path is the same."""
    X = clusters(np.random.default_rng(seed), 120, 2, 2)
    fits = [
        GaussianMixture(
            2, random_state=0, reg_covar=0.0, tol=1e-4, max_iter=300, stopping=stopping
        ).fit(scale * X)
        for scale in (1.0, 1024.0)
    ]
    assert abs(fits[0].n_iter_ - fits[1].n_iter_) <= 1
    assert fits[0].status_ is fits[1].status_


def test_an_m_step_that_gains_nothing_shows_no_rate() -> None:
    """The E-step after it may gain something: where a component is a handful of equal rows."""
    gains = Gains(0.0, 1e-9, False, 1e-16)
    assert math.isnan(gains.rate)
    forecast = seen([Gains(0.2, 0.1, False, 1e-16), Gains(0.1, 0.05, False, 1e-16), gains])
    assert forecast.rate == pytest.approx(0.5)
    assert not math.isnan(forecast.distance)

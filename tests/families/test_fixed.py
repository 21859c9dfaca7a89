"""Weights, means and covariances that a fit leaves as they are at the start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import STRUCTURES, Data, dense, gaussian_log_densities, mixture_log_density
from scipy.optimize import minimize

from em_toolkit import GaussianMixture, PoissonMixture
from em_toolkit.datasets import load_faithful

FAITHFUL: Data = load_faithful().data
MEANS = [[2.1, 56.0], [3.5, 70.0], [4.4, 81.0]]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(params=STRUCTURES)
def structure(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start_of(**parameters: Any) -> GaussianMixture:
    return GaussianMixture(**parameters).set_params(max_iter=0).fit(FAITHFUL)


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize("acceleration", [None, "squarem", "quasi_newton"])
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random"])
def test_what_is_fixed_stays_to_the_bit(
    structure: str, init_params: str, acceleration: str | None
) -> None:
    parameters: dict[str, Any] = {
        "n_components": 3, "covariance_type": structure, "init_params": init_params,
        "acceleration": acceleration, "random_state": 0, "tol": 1e-9, "max_iter": 300,
        "weights_init": [0.2, 0.3, 0.5],
        "fixed": {
            "weights": [0], "means": [False, True, False],
            "covariances": True if structure == "tied" else np.array([2]),
        },
    }  # fmt: skip
    start, fit = start_of(**parameters), GaussianMixture(**parameters).fit(FAITHFUL)
    assert fit.n_iter_ > 2
    assert fit.weights_[0] == 0.2
    assert fit.weights_.sum() == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_array_equal(fit.means_[1], start.means_[1])
    which = slice(None) if structure == "tied" else 2
    np.testing.assert_array_equal(fit.covariances_[which], start.covariances_[which])
    # The others moved.
    assert (fit.weights_[1:] != start.weights_[1:]).all()
    assert (fit.means_[[0, 2]] != start.means_[[0, 2]]).all()
    if structure != "tied":
        assert (fit.covariances_[:2] != start.covariances_[:2]).any()


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize(
    "init_params", ["kmeans", "random", "k-means++", "hierarchical", "responsibilities"]
)
def test_what_is_held_is_what_the_start_finds_when_nothing_is(
    structure: str, init_params: Any
) -> None:
    if init_params == "responsibilities":
        init_params = np.eye(3)[np.arange(272) % 7 % 3]
    parameters: dict[str, Any] = {
        "n_components": 3, "covariance_type": structure, "init_params": init_params,
        "random_state": 0,
    }  # fmt: skip
    start = start_of(**parameters)
    held = GaussianMixture(**parameters, fixed={"weights": True, "covariances": True})
    held.fit(FAITHFUL)
    assert held.n_iter_ > 1
    np.testing.assert_array_equal(held.weights_, start.weights_)
    np.testing.assert_array_equal(held.covariances_, start.covariances_)
    means = GaussianMixture(**parameters, fixed={"means": [1]}).fit(FAITHFUL).means_
    np.testing.assert_array_equal(means[1], start.means_[1])


def test_rates_and_weights_are_held_where_the_start_has_them() -> None:
    counts = np.random.default_rng(0).poisson(np.repeat([1.0, 9.0], [60, 30]))[:, None]
    start = PoissonMixture(2, random_state=0, max_iter=0).fit(counts)
    held = PoissonMixture(2, random_state=0, fixed={"weights": True, "rates": [0]}).fit(counts)
    np.testing.assert_array_equal(held.weights_, start.weights_)
    assert held.rates_[0] == start.rates_[0]
    assert held.rates_[1] != start.rates_[1]


def test_the_scatter_is_taken_about_a_fixed_mean(structure: str) -> None:
    """One component, its mean known: its covariance is the second moment about it."""
    mean = np.array([3.0, 60.0])
    fit = GaussianMixture(
        1, covariance_type=structure, means_init=[mean], fixed={"means": True}, reg_covar=0.0
    ).fit(FAITHFUL)
    moment = (FAITHFUL - mean).T @ (FAITHFUL - mean) / 272
    expected = {
        "full": moment, "tied": moment, "diag": np.diag(np.diag(moment)),
        "spherical": np.trace(moment) / 2 * np.eye(2),
    }[structure]  # fmt: skip
    np.testing.assert_allclose(dense(structure, fit.covariances_, 1, 2)[0], expected, rtol=1e-12)


def test_no_optimizer_improves_what_is_free() -> None:
    """A background of known place and width; by scipy's densities, in one feature."""
    x = FAITHFUL[:, :1]
    fit = GaussianMixture(
        3, weights_init=[0.2, 0.4, 0.4], means_init=[[3.5], [2.0], [4.3]],
        precisions_init=[[[0.25]], [[9.0]], [[9.0]]], reg_covar=0.0, tol=1e-15, max_iter=50_000,
        fixed={"weights": [0], "means": [0], "covariances": [0, 2]},
    ).fit(x)  # fmt: skip

    def objective(vector: Data) -> float:
        share = 0.8 / (1.0 + np.exp(-vector[0]))
        means = np.array([[3.5], [vector[1]], [vector[2]]])
        matrices = np.array([4.0, np.exp(vector[3]), 1.0 / 9.0])[:, None, None]
        log_weights = np.log([0.2, share, 0.8 - share])
        densities = gaussian_log_densities(x, means, matrices)
        return -float(mixture_log_density(log_weights, densities).sum())

    logit = np.log(fit.weights_[1] / fit.weights_[2])
    found = np.r_[logit, fit.means_[1:, 0], np.log(fit.covariances_[1, 0, 0])]
    assert objective(found) == pytest.approx(-272 * fit.score(x), rel=1e-12)
    best = minimize(objective, found, method="BFGS", options={"gtol": 1e-8})
    assert objective(found) - best.fun < 1e-7
    # One weight (the other is the rest), two means, one variance.
    assert fit.model_.n_parameters(fit.params_) == 4
    assert fit.bic(x) == pytest.approx(2 * objective(found) + 4 * np.log(272), rel=1e-12)


def test_everything_fixed(structure: str) -> None:
    """Then an M-step changes nothing, and there is no parameter."""
    fixed = {"weights": True, "means": True, "covariances": True}
    parameters: dict[str, Any] = {
        "n_components": 2, "covariance_type": structure, "fixed": fixed, "random_state": 0
    }  # fmt: skip
    start, fit = start_of(**parameters), GaussianMixture(**parameters).fit(FAITHFUL)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(fit, name), getattr(start, name))
    assert fit.model_.n_parameters(fit.params_) == 0
    assert fit.converged_
    np.testing.assert_array_equal(fit.trace_.bounds, fit.trace_.bounds[0])


def test_number_of_free_parameters(structure: str) -> None:
    of_covariances = {"full": 9, "tied": 3, "diag": 6, "spherical": 3}[structure]
    free = 2 + 6 + of_covariances
    gains = [({}, 0), ({"weights": [1]}, 1), ({"means": [0, 2]}, 4), ({"weights": True}, 2)]
    gains.append(({"covariances": True}, of_covariances))
    if structure != "tied":
        gains.append(({"covariances": [1], "means": 1}, of_covariances // 3 + 2))
    for fixed, gain in gains:
        fit = GaussianMixture(3, covariance_type=structure, fixed=fixed, random_state=0)
        assert fit.fit(FAITHFUL)._n_parameters() == free - gain


def test_a_warm_start_holds_the_last_fit() -> None:
    mixture = GaussianMixture(2, random_state=0, warm_start=True, max_iter=3).fit(FAITHFUL)
    means = mixture.means_
    mixture.set_params(fixed={"means": True}, max_iter=50).fit(FAITHFUL * 1.1)
    np.testing.assert_array_equal(mixture.means_, means)


def test_with_priors_labels_missing_entries_and_weights(structure: str) -> None:
    X = FAITHFUL.copy()
    X[::7, 0], X[3::11, 1] = np.nan, np.nan
    labels = np.where(np.arange(272) % 20 == 0, (FAITHFUL[:, 0] > 3).astype(int), -1)
    fit = GaussianMixture(
        3, covariance_type=structure, means_init=MEANS, fixed={"weights": [2], "means": [1]},
        weights_init=[0.3, 0.3, 0.4], prior="conjugate", weight_concentration=2.0,
        random_state=0, tol=1e-8, max_iter=2000,
    ).fit(X, sample_weight=np.linspace(0.1, 2.0, 272), sample_labels=labels)  # fmt: skip
    assert fit.converged_
    np.testing.assert_array_equal(fit.means_[1], MEANS[1])
    assert fit.weights_[2] == 0.4
    assert (np.diff(fit.trace_.elbo) > -1e-12).all()


def test_rates_of_a_poisson_mixture() -> None:
    X = np.random.default_rng(0).poisson([[1.0, 4.0]] * 60 + [[6.0, 2.0]] * 40).astype(float)
    rates = [[1.0, 4.0], [5.0, 3.0]]
    fit = PoissonMixture(
        2, weights_init=[0.5, 0.5], rates_init=rates, fixed={"rates": [0]}, tol=1e-9, max_iter=500
    ).fit(X)
    np.testing.assert_array_equal(fit.rates_[0], rates[0])
    assert (fit.rates_[1] != rates[1]).all()
    assert fit.model_.n_parameters(fit.params_) == 3
    assert PoissonMixture(2, fixed={"weights": [0]}).fit(X)._n_parameters() == 4


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"mean": True}, r"expected some of .*'means', 'covariances'\] as keys, got 'mean'"),
        ({"means": [3]}, r"fixed\['means'\]: expected True, indices of components from 0 to 2"),
        ({"means": [-1]}, "from 0 to 2"),
        ({"means": [True, False]}, r"a mask of shape \(3,\)"),
        ({"means": [[True, False, True]]}, r"a mask of shape \(3,\)"),
        ({"weights": [0.5]}, "expected True, indices"),
        ({"weights": "all"}, "expected True, indices"),
        ({"weights": None}, "expected True, indices"),
        ({"covariances": {0: True}}, "expected True, indices"),
        ("means", "The 'fixed' parameter"),
    ],
)
def test_what_cannot_be_fixed(fixed: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3, fixed=fixed).fit(FAITHFUL)


def test_shared_covariances_are_fixed_together() -> None:
    with pytest.raises(ValueError, match="expected all components or none, because those of"):
        GaussianMixture(3, covariance_type="tied", fixed={"covariances": [0]}).fit(FAITHFUL)
    for everyone in (True, [0, 1, 2], [True] * 3):
        GaussianMixture(3, covariance_type="tied", fixed={"covariances": everyone}).fit(FAITHFUL)


def test_nothing_fixed_is_no_constraint() -> None:
    plain = GaussianMixture(3, random_state=0).fit(FAITHFUL)
    for fixed in ({}, {"means": []}, {"weights": False, "means": [False] * 3}):
        fit = GaussianMixture(3, fixed=fixed, random_state=0).fit(FAITHFUL)
        np.testing.assert_array_equal(fit.means_, plain.means_)


@pytest.mark.parametrize("acceleration", [None, "squarem", "quasi_newton"])
def test_beside_noise(acceleration: str | None) -> None:
    scattered = np.random.default_rng(0).uniform([0, 30], [7, 110], (30, 2))
    X = np.vstack([FAITHFUL, scattered])
    parameters: dict[str, Any] = {
        "n_components": 2, "noise": True, "random_state": 0, "tol": 1e-8, "max_iter": 500,
        "acceleration": acceleration, "weight_concentration": [2.0, 3.0], "prior": "conjugate",
        "fixed": {"weights": [0], "means": [0], "covariances": [1]},
    }  # fmt: skip
    start = GaussianMixture(**parameters).set_params(max_iter=0).fit(X)
    fit = GaussianMixture(**parameters).fit(X)
    assert fit.n_iter_ > 2
    assert fit.weights_[0] == start.weights_[0]
    assert fit.weights_.sum() + fit.noise_weight_ == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_array_equal(fit.means_[0], start.means_[0])
    np.testing.assert_array_equal(fit.covariances_[1], start.covariances_[1])
    assert (fit.weights_[1], fit.noise_weight_) != (start.weights_[1], start.noise_weight_)
    # α_k − 1 rows more for a component, none for the noise.
    count = fit.predict_proba(X).sum(axis=0)[1:] + np.array([2.0, 0.0])
    free = np.r_[fit.weights_[1], fit.noise_weight_]
    np.testing.assert_allclose(free / free.sum(), count / count.sum(), rtol=1e-4)

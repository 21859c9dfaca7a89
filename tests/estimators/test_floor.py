"""`reg_covar` is a floor: Σ_k ⪰ ε I, the maximum under it, its path and its words.

The oracles are scipy's densities, NumPy's eigenvalues and scipy's constrained minimizer.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    STRUCTURES,
    Data,
    clusters,
    gaussian_log_densities,
    matrices_of,
    mixture_log_density,
    near_a_plane,
    reduced,
)
from scipy.optimize import minimize, root_scalar
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as ScikitLearnMixture
from sklearn.preprocessing import StandardScaler

from em_toolkit import GaussianMixture, NormalInverseWishart, VarianceFloorWarning
from em_toolkit.covariances.spectra import EQUAL_SHAPES, EQUAL_VOLUMES
from em_toolkit.families import MCLUST_STRUCTURES, Gaussian

# Many fits here are cut short on purpose, and most lie on the floor.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning"),
]

IRIS: Data = StandardScaler().fit_transform(load_iris().data)
WINE: Data = StandardScaler().fit_transform(load_wine().data)[:, :5]
SAMPLE_WEIGHT = np.random.default_rng(0).uniform(0.1, 3.0, 150)
NAMES = list(MCLUST_STRUCTURES)


def matrices(fit: GaussianMixture) -> Data:
    names = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}
    name = names.get(fit.covariance_type, fit.covariance_type)
    return matrices_of(name, fit.covariances_, *fit.means_.shape)


def log_likelihood(
    X: Data, sample_weight: Data | None, weights: Data, means: Data, covariances: Data
) -> float:
    densities = gaussian_log_densities(X, means, covariances)
    return float(np.average(mixture_log_density(np.log(weights), densities), weights=sample_weight))


def raised(matrix: Data, floor: float) -> Data:
    """The matrix with its eigenvalues below the floor raised to it."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, floor)) @ vectors.T)


def least_variance(fit: GaussianMixture) -> float:
    return float(np.linalg.eigvalsh(matrices(fit)).min())


def quietly(X: Any, **parameters: Any) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(**parameters).fit(X)


# -- the bound and the constraint -----------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 0.1, 0.4])
@pytest.mark.parametrize("name", NAMES)
def test_the_bound_is_the_log_likelihood_and_no_variance_is_below_the_floor(
    name: str, reg_covar: float, weighted: bool
) -> None:
    sample_weight = SAMPLE_WEIGHT if weighted else None
    for n_components, max_iter in [(1, 5), (3, 2), (3, 100)]:
        fit = GaussianMixture(
            n_components, covariance_type=name, reg_covar=reg_covar, max_iter=max_iter,
            random_state=0,
        ).fit(IRIS, sample_weight=sample_weight)  # fmt: skip
        expected = log_likelihood(IRIS, sample_weight, fit.weights_, fit.means_, matrices(fit))
        assert fit.lower_bound_ == pytest.approx(expected, rel=0.0, abs=1e-12)
        score = fit.score(IRIS, sample_weight=sample_weight)
        # The published matrices are led back into their structure, to some roundings.
        assert fit.lower_bound_ == pytest.approx(score, rel=0.0, abs=1e-11)
        assert not fit.trace_.log_prior.any()
        assert least_variance(fit) >= reg_covar * (1.0 - 1e-9)


@pytest.mark.parametrize("reg_covar", [1e-6, 0.1, 0.4])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_m_step_raises_eigenvalues(structure: str, reg_covar: float) -> None:
    """The scatter of scikit-learn's responsibilities, raised by NumPy."""
    before = GaussianMixture(
        3, covariance_type=structure, reg_covar=reg_covar, max_iter=3, tol=0.0, random_state=0
    ).fit(WINE)
    after = GaussianMixture(**before.get_params()).set_params(max_iter=4).fit(WINE)
    r = before.predict_proba(WINE)
    samples = [np.cov(WINE.T, aweights=column, ddof=0) for column in r.T]
    if structure == "tied":
        pooled = np.einsum("k,kij->ij", r.sum(axis=0), samples) / len(WINE)
        samples = [pooled] * 3
    reduce = {
        "full": lambda S: raised(S, reg_covar),
        "tied": lambda S: raised(S, reg_covar),
        "diag": lambda S: np.diag(np.maximum(np.diag(S), reg_covar)),
        "spherical": lambda S: max(np.trace(S) / 5, reg_covar) * np.eye(5),
    }[structure]
    for found, sample in zip(matrices(after), samples, strict=True):
        np.testing.assert_allclose(found, reduce(sample), rtol=1e-9, atol=1e-11)


# -- the M-step where volumes or shapes are shared, against scipy's constrained minimizer ---------


def misfit(logs: Data, scatter: Data, count: Data) -> float:
    return float(np.sum(count[:, None] * logs + scatter * np.exp(-logs)))


def by_scipy(rule: str, scatter: Data, count: Data, floor: float) -> Data:
    """The log variances that minimize the misfit under the rule and above the floor."""
    K, d = scatter.shape

    def logs_of(point: Data) -> Data:
        if rule == "one shape":
            return np.asarray(point[:K, None] + point[K:])
        return point.reshape(K, d)

    size = K + d if rule == "one shape" else K * d
    constraints: list[dict[str, Any]] = [
        {"type": "ineq", "fun": lambda p: logs_of(p).ravel() - np.log(floor)}
    ]
    if rule == "one volume":
        constraints.append({"type": "eq", "fun": lambda p: np.diff(logs_of(p).sum(axis=1))})
    start = np.full(size, np.log(floor) + 1.0)
    if rule == "one shape":
        start[K:] = 0.0
    found = minimize(
        lambda p: misfit(logs_of(p), scatter, count) / count.sum(), start, method="SLSQP",
        constraints=constraints, options={"ftol": 1e-15, "maxiter": 2000},
    )  # fmt: skip
    return logs_of(found.x)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    K=st.integers(1, 4),
    d=st.integers(1, 4),
    n_zero=st.integers(0, 4),
    rule=st.sampled_from(["one shape", "one volume"]),
)
def test_volumes_and_shapes_above_the_floor_are_scipys(
    seed: int, K: int, d: int, n_zero: int, rule: str
) -> None:
    rng = np.random.default_rng(seed)
    count = rng.uniform(1.0, 20.0, K)
    scatter = count[:, None] * rng.lognormal(0.0, 1.5, (K, d))
    # Exact zeros: features without any spread within a component.
    scatter.ravel()[rng.choice(K * d, min(n_zero, K * d), replace=False)] = 0.0
    floor = float(rng.uniform(0.1, 1.0))
    spectra = EQUAL_SHAPES if rule == "one shape" else EQUAL_VOLUMES
    found = np.log(spectra.maximize(scatter, count, None, floor))
    assert found.min() >= np.log(floor) - 1e-12
    if rule == "one shape":
        np.testing.assert_allclose(np.diff(found - found[:, :1], axis=0), 0.0, atol=1e-9)
    else:
        np.testing.assert_allclose(np.ptp(found.sum(axis=1)), 0.0, atol=1e-9)
    best = misfit(by_scipy(rule, scatter, count, floor), scatter, count)
    # scipy stops some digits short, and within its constraints to some digits.
    assert misfit(found, scatter, count) <= best + 1e-6 * (1.0 + abs(best))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("floor", [0.05, 0.5])
def test_no_matrices_of_the_structure_above_the_floor_are_better(name: str, floor: float) -> None:
    """Random moves of volumes, shapes and axes from the M-step's, raised back above the floor."""
    rng = np.random.default_rng(3)
    K, d, count = 3, 3, np.array([5.0, 9.0, 2.0])
    rows = rng.standard_normal((K, d, 12)) * np.array([1.5, 0.6, 0.1])[:, None]
    scatters = count[:, None, None] * (rows @ rows.transpose(0, 2, 1)) / 12
    structure = MCLUST_STRUCTURES[name]
    best = structure.from_scatter(reduced(name, scatters), count, d, floor=floor)
    dense = matrices_of(name, best.sklearn_array, K, d)
    assert np.linalg.eigvalsh(dense).min() >= floor * (1.0 - 1e-9)

    def loss(candidates: Data) -> float:
        terms = [
            n * np.linalg.slogdet(matrix)[1] + np.trace(np.linalg.solve(matrix, scatter))
            for n, matrix, scatter in zip(count, candidates, scatters, strict=True)
        ]
        return float(sum(terms))

    lowest = loss(dense)
    vector = best.to_vector()
    for size in (1e-4, 1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            moved = best.from_vector(vector + size * rng.standard_normal(vector.size))
            candidates = matrices_of(name, moved.raised_to(floor).sklearn_array, K, d)
            assert np.linalg.eigvalsh(candidates).min() >= floor * (1.0 - 1e-9)
            assert loss(candidates) > lowest - 1e-9 * abs(lowest)


class NotRaised(Gaussian):
    """Its constraint is forgotten in the M-step, and holds at the start alone."""

    def maximize(self, components: Any, stats: Any) -> Any:
        floor, self.floor = self.floor, 0.0
        try:
            return super().maximize(components, stats)
        finally:
            self.floor = floor


def test_a_forgotten_floor_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("em_toolkit.estimators.gaussian_mixture.Gaussian", NotRaised)
    fit = GaussianMixture(3, reg_covar=0.4, random_state=0).fit(IRIS)
    assert least_variance(fit) < 0.2


# -- a fit is the maximum under the constraint ----------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_fit_is_a_maximum_among_mixtures_above_the_floor(
    structure: str, weighted: bool
) -> None:
    floor, X = 0.3, IRIS[:, [0, 1, 3]]
    sample_weight = SAMPLE_WEIGHT if weighted else np.ones(150)
    fit = GaussianMixture(
        2, covariance_type=structure, reg_covar=floor, tol=1e-15, max_iter=20_000, random_state=0
    ).fit(X, sample_weight=sample_weight)
    assert fit.converged_
    assert least_variance(fit) == pytest.approx(floor, rel=1e-9)
    top = log_likelihood(X, sample_weight, fit.weights_, fit.means_, matrices(fit))
    rng = np.random.default_rng(1)
    for size in (1e-4, 1e-3, 1e-2, 0.1):
        for _ in range(25):
            weights = fit.weights_ * np.exp(size * rng.standard_normal(2))
            means = fit.means_ + size * rng.standard_normal(fit.means_.shape)
            noise = rng.standard_normal((2, 3, 3))
            moved = []
            for matrix, own in zip(matrices(fit), noise, strict=True):
                step = (
                    size
                    * {
                        "full": own + own.T,
                        "tied": noise[0] + noise[0].T,
                        "diag": np.diag(np.diag(own)),
                        "spherical": own[0, 0] * np.eye(3),
                    }[structure]
                )
                moved.append(raised(matrix + step, floor))
            value = log_likelihood(
                X, sample_weight, weights / weights.sum(), means, np.array(moved)
            )
            assert value < top


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reg_covar", [1e-6, 0.1])
def test_no_fall_on_near_degenerate_data(name: str, reg_covar: float) -> None:
    """bound_check="raise" is the default: a fall would be an error."""
    for seed in range(4):
        X = near_a_plane(np.random.default_rng(seed), 80, 4, 1e-4)
        X = np.column_stack([X, np.full(80, 3.0), X[:, 0]])
        parameters: dict[str, Any] = {
            "n_components": 3, "covariance_type": name, "reg_covar": reg_covar, "max_iter": 60,
            "tol": 1e-15, "random_state": seed,
        }  # fmt: skip
        fit = GaussianMixture(**parameters).fit(X)
        assert least_variance(fit) >= reg_covar * (1.0 - 1e-6)


def test_scikit_learns_bound_falls_where_ours_does_not() -> None:
    falls = 0
    for seed in range(8):
        X = near_a_plane(np.random.default_rng(seed), 80, 4, 1e-3)
        theirs = ScikitLearnMixture(
            3, reg_covar=0.1, max_iter=60, tol=1e-15, random_state=seed
        ).fit(X)
        falls += min(np.diff(theirs.lower_bounds_), default=0.0) < -1e-8
    assert falls > 0


# -- data without full rank -----------------------------------------------------------------------


def without_rank(kind: str, seed: int) -> Data:
    """Two clusters' features in standard units, and columns that add no direction."""
    rng = np.random.default_rng(seed)
    X = clusters(rng, 300, 2, 3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    more = {
        "constant": np.full((300, 1), 7.0),
        "duplicate": X[:, :1],
        "one-hot": np.eye(3)[rng.integers(3, size=300)],
    }[kind]
    return np.column_stack([X, more])


@pytest.mark.parametrize("kind", ["constant", "duplicate", "one-hot"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_columns_without_rank_empty_no_component(kind: str, structure: str) -> None:
    for seed in range(20):
        X = without_rank(kind, seed)
        settings_: dict[str, Any] = {
            "n_components": 3, "covariance_type": structure, "random_state": seed
        }  # fmt: skip
        ours, theirs = quietly(X, **settings_), ScikitLearnMixture(**settings_).fit(X)
        assert adjusted_rand_score(ours.predict(X), theirs.predict(X)) == 1.0
        assert ours.weights_.min() > 0.01


# -- starts, acceleration, missing values, priors, what is held fixed, single precision -----------


@pytest.mark.parametrize("name", NAMES)
def test_a_start_below_the_floor_is_raised(name: str) -> None:
    fit = GaussianMixture(3, covariance_type=name, reg_covar=0.0, random_state=0).fit(IRIS)
    again = GaussianMixture(
        3, covariance_type=name, reg_covar=0.3, precisions_init=fit.precisions_,
        means_init=fit.means_, weights_init=fit.weights_,
    ).fit(IRIS)  # fmt: skip
    assert again.lower_bounds_[0] >= again.trace_.elbo[0] - 1e-12
    assert least_variance(again) >= 0.3 * (1.0 - 1e-9)


@pytest.mark.parametrize("acceleration", ["squarem", "quasi_newton"])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "VEI", "EVE", "VEE", "EVV"])
def test_accelerated_fits_stay_above_the_floor_and_end_as_high(
    name: str, acceleration: str
) -> None:
    X = np.column_stack([IRIS, IRIS[:, 0] - IRIS[:, 1]])
    settings_: dict[str, Any] = {
        "n_components": 3, "covariance_type": name, "reg_covar": 0.05, "tol": 1e-9,
        "max_iter": 5000, "random_state": 0,
    }  # fmt: skip
    plain = quietly(X, **settings_)
    fast = quietly(X, **settings_, acceleration=acceleration)
    assert least_variance(fast) >= 0.05 * (1.0 - 1e-9)
    assert fast.lower_bound_ > plain.lower_bound_ - 1e-6
    assert fast.n_passes_ <= plain.n_passes_ + 5


@pytest.mark.parametrize("name", NAMES)
def test_missing_entries(name: str) -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([IRIS, np.ones(150)])
    X[rng.random(X.shape) < 0.2] = np.nan
    fit = quietly(X, n_components=3, covariance_type=name, reg_covar=0.02, random_state=0)
    assert fit.lower_bound_ == pytest.approx(fit.score(X), abs=1e-12)
    assert least_variance(fit) >= 0.02 * (1.0 - 1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_beside_a_prior(structure: str) -> None:
    """The prior is in the bound, the floor is not, and the floor holds."""
    prior = NormalInverseWishart(dof=8, scale=0.01)
    fit = quietly(IRIS, n_components=3, covariance_type=structure, prior=prior, reg_covar=0.3)
    assert least_variance(fit) == pytest.approx(0.3, rel=1e-9)
    assert fit.lower_bound_ - fit.score(IRIS) == pytest.approx(fit.trace_.log_prior[-1], abs=1e-12)


def test_what_is_held_fixed_is_not_raised() -> None:
    precisions = np.stack([np.eye(4) / 0.01, np.eye(4), np.eye(4)])
    fit = quietly(
        IRIS, n_components=3, precisions_init=precisions, fixed={"covariances": [0]},
        reg_covar=0.1, random_state=0,
    )  # fmt: skip
    np.testing.assert_allclose(fit.covariances_[0], 0.01 * np.eye(4), rtol=1e-12)
    assert np.linalg.eigvalsh(fit.covariances_[1:]).min() >= 0.1 * (1.0 - 1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_single_precision(structure: str) -> None:
    X = without_rank("duplicate", 0).astype(np.float32)
    fit = quietly(X, n_components=3, covariance_type=structure, reg_covar=1e-3, random_state=0)
    assert fit.covariances_.dtype == np.float32
    assert least_variance(fit) >= 1e-3 * (1.0 - 1e-3)


# -- the floor speaks -----------------------------------------------------------------------------


def frame(**columns: Data) -> pd.DataFrame:
    return pd.DataFrame(columns)


def remark_of(table: Any, **parameters: Any) -> str:
    with pytest.warns(VarianceFloorWarning) as seen:
        fit = GaussianMixture(**{"n_components": 2, "random_state": 0, **parameters}).fit(table)
    assert len(seen) == 1
    message = str(seen[0].message)
    assert fit.trace_.notes == (message,)
    assert message in str(fit.trace_)
    return message


TWO = np.random.default_rng(5).normal(size=(200, 2)) + np.repeat([[0.0], [8.0]], 100, axis=0)


def test_a_constant_column_is_named() -> None:
    table = frame(a=TWO[:, 0], b=TWO[:, 1], c=np.full(200, 3.0))
    assert "feature 'c' is constant, and held at reg_covar=1e-06" in remark_of(table)


def test_a_component_without_spread_in_a_column_is_named() -> None:
    c = np.where(np.arange(200) < 100, 5.0, TWO[:, 1])
    table = frame(a=TWO[:, 0], c=c)
    start = np.eye(2)[(np.arange(200) >= 100).astype(int)]
    message = remark_of(table, init_params=start)
    assert "component 0 has no spread in feature 'c': held at reg_covar=1e-06" in message


@pytest.mark.parametrize("structure", ["full", "tied", "VEE", "EVE", "VEV"])
def test_columns_that_depend_on_each_other_are_named(structure: str) -> None:
    table = frame(a=TWO[:, 0], b=TWO[:, 1], c=TWO[:, 0] - TWO[:, 1], d=TWO[::-1, 0])
    message = remark_of(table, covariance_type=structure)
    assert "no spread along a combination of features 'a', 'b' and 'c'" in message


def test_data_smaller_than_the_floor_are_named() -> None:
    """Two clusters with standard deviations of 2e-4 are one at the default."""
    x = np.where(np.arange(200) < 100, 0.0, 4e-4) + 2e-5 * TWO[:, 0]
    message = remark_of(frame(x=x, y=TWO[:, 1]))
    assert f"the data have a variance of {np.var(x, ddof=1):.2g} in feature 'x'" in message
    assert "less than reg_covar=1e-06: scale the data, or lower reg_covar" in message


def test_arrays_and_missing_entries_speak_too() -> None:
    X = np.column_stack([TWO, np.full(200, 3.0)])
    assert "feature 2 is constant" in remark_of(X)
    X[::7, 2] = np.nan
    assert "feature 2 is constant" in remark_of(X)


@pytest.mark.parametrize("parameters", [{}, {"reg_covar": 0.0}, {"covariance_type": "VEE"}])
def test_a_fit_above_the_floor_is_silent(parameters: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = GaussianMixture(2, random_state=0, **parameters).fit(TWO)
    assert fit.trace_.notes == ()


# -- standard errors ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_beside_a_constant_column_standard_errors_are_those_without_it(name: str) -> None:
    """The floor holds the constant column; the rest has the information that it has alone.

    (Where shapes or volumes are shared, a direction on the floor takes part in these, and the
    models are not the same.)
    """
    if name not in ("VVI", "VVV", "EEE", "EEI", "VVE"):
        pytest.skip("the constant column has a part in what the components share")
    exact: dict[str, Any] = {
        "n_components": 2, "covariance_type": name, "random_state": 0, "tol": 1e-9,
        "stopping": "distance", "max_iter": 2000,
    }  # fmt: skip
    with_it = np.column_stack([TWO, np.full(200, 3.0)])
    alone, beside = quietly(TWO, **exact), quietly(with_it, **exact)
    expected, found = alone.inference(TWO), beside.inference(with_it)
    errors = found.standard_errors
    np.testing.assert_allclose(errors["means"][:, :2], expected.standard_errors["means"], rtol=1e-4)
    np.testing.assert_allclose(errors["weights"], expected.standard_errors["weights"], rtol=1e-4)
    held = errors["covariances"][..., 2, 2] if errors["covariances"].ndim > 2 else None
    held = errors["covariances"][..., -1] if name.endswith("I") else held
    if held is not None:
        np.testing.assert_allclose(held, 0.0, atol=1e-12)
    assert "feature 2 is constant" in str(found)


@pytest.mark.parametrize("name", ["VVV", "EEE", "VVI", "VII", "EEV", "VEI"])
def test_standard_errors_on_the_floor_are_those_of_the_profiled_likelihood(name: str) -> None:
    """The information of a mean's coordinate, by refits with that mean held off its maximum.

    −2 times the fall of the maximized likelihood is (shift / standard error)².
    """
    rng = np.random.default_rng(2)
    # A direction of little spread: a feature, or where there are orientations a combination.
    third = 0.02 * rng.standard_normal(200) + (0.0 if name.endswith("I") else TWO[:, 0])
    X = np.column_stack([TWO, third])
    exact: dict[str, Any] = {
        "covariance_type": name, "reg_covar": 0.05, "tol": 1e-12, "max_iter": 20_000,
    }  # fmt: skip
    fit = quietly(X, n_components=2, random_state=0, **exact)
    if name not in ("VII",):
        assert least_variance(fit) == pytest.approx(0.05, rel=1e-9)
    error = fit.inference(X).standard_errors["means"][0, 0]
    top = 200 * fit.lower_bound_
    falls = []
    for sign in (1.0, -1.0):
        value = fit.means_[0, 0] + sign * 0.1 * error
        falls.append(top - profiled(X, fit, value, error, exact))
    assert np.mean(falls) == pytest.approx(0.5 * 0.1**2, rel=0.03)


def profiled(
    X: Data, fit: GaussianMixture, value: float, error: float, exact: dict[str, Any]
) -> float:
    """The maximum of the log likelihood with the first coordinate of the first mean held.

    By a penalty on that coordinate alone, as a row of data would be: the Lagrangian of the
    constraint, its multiplier found by secants.
    """
    at: dict[float, tuple[Data, Data, Data]] = {}

    def miss(pull: float) -> float:
        at[pull] = fit_with_pull(X, fit, pull, exact)
        return float(at[pull][1][0, 0] - value)

    guess = (value - fit.means_[0, 0]) / error**2
    pull = root_scalar(miss, x0=0.0, x1=guess, method="secant", xtol=1e-9 * abs(guess)).root
    weights, means, covariances = fit_with_pull(X, fit, pull, exact)
    return len(X) * log_likelihood(X, None, weights, means, covariances)


def fit_with_pull(
    X: Data, fit: GaussianMixture, pull: float, exact: dict[str, Any]
) -> tuple[Data, Data, Data]:
    """EM for log likelihood + pull · (first coordinate of the first mean)."""
    name, floor = fit.covariance_type, exact["reg_covar"]
    structure = MCLUST_STRUCTURES[name]
    weights, means, dense = fit.weights_.copy(), fit.means_.copy(), matrices(fit)
    previous = None
    for _ in range(400):
        densities = gaussian_log_densities(X, means, dense)
        joint = np.log(weights) + densities
        r = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
        count = r.sum(axis=0)
        weights = count / count.sum()
        new = (r.T @ X) / count[:, None]
        # Given Σ: N Σ⁻¹ (μ − x̄) = pull e, by turns with Σ.
        new[0] += pull * dense[0][:, 0] / count[0]
        scatters = np.stack([(r[:, k, None] * (X - m)).T @ (X - m) for k, m in enumerate(new)])
        previous = structure.from_scatter(
            reduced(name, scatters), count, X.shape[1], previous, floor
        )
        dense_new = matrices_of(name, previous.sklearn_array, 2, X.shape[1])
        change = np.abs(new - means).max() + np.abs(dense_new - dense).max()
        means, dense = new, dense_new
        if change < 1e-13:
            break
    return weights, means, dense

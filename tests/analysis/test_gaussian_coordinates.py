"""Standard errors of every structure, with and without missing entries, against differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from differences import (
    TIGHT,
    D,
    K,
    Structured,
    fit_of,
    hessian,
    log_densities_of,
    log_likelihood_of,
    rows_of,
    with_holes,
)
from oracles import Data
from scipy.stats import multivariate_normal

from em_toolkit import GaussianMixture, NormalInverseWishart, NormalMeans
from em_toolkit.analysis.coordinates_of_families import tangent
from em_toolkit.families import (
    MCLUST_STRUCTURES,
    FullCovariances,
    Gaussian,
    GaussianComponents,
)

NAMES = list(MCLUST_STRUCTURES)
KNOWN = {"VII": "spherical", "VVI": "diag", "EEE": "tied", "VVV": "full"}


def assert_alike(found: Any, expected: dict[str, Data], rtol: float = 1e-5) -> None:
    assert found.distance < 1e-4
    for name, errors in expected.items():
        np.testing.assert_allclose(found.standard_errors[name], errors, rtol=rtol, err_msg=name)


# Complete rows of the other four are in test_inference.py.
CASES = [(name, True) for name in NAMES] + [(name, False) for name in NAMES if name not in KNOWN]


@pytest.mark.parametrize(("name", "holes"), CASES)
def test_standard_errors_are_those_of_the_differenced_likelihood(name: str, holes: bool) -> None:
    X = with_holes(rows_of()) if holes else rows_of()
    fit = fit_of(X, name)
    assert_alike(fit.inference(X), Structured(fit).errors(log_likelihood_of(X)))


PRIORS = {
    "conjugate": {
        "prior": NormalInverseWishart(
            shrinkage=20.0, mean=[1.0, 0.0, -1.0], dof=30.0, scale=np.diag([20.0, 10.0, 30.0])
        )
    },
    "means": {
        "prior": NormalMeans(mean=[1.5, 0.0, -1.0], covariance=np.diag([0.05, 0.1, 0.2])),
    },
    "weights": {"weight_concentration": [30.0, 5.0]},
}


def log_prior_of(kind: str, name: str) -> Callable[[Data, Data, Data], float]:
    """In the words of the public docstrings."""

    def value(weights: Data, means: Data, matrices: Data) -> float:
        if kind == "weights":
            return float(29.0 * np.log(weights[0]) + 4.0 * np.log(weights[1]))
        prior: Any = PRIORS[kind]["prior"]
        if kind == "means":
            normal = multivariate_normal(prior.mean, prior.covariance)
            return float(normal.logpdf(means).sum())
        total, nu, scale = 0.0, prior.dof, prior.scale
        # A covariance that all components share has one prior and not K.
        share = 1.0 / K if name in ("EII", "EEI", "EEE") else 1.0
        for mean, matrix in zip(means, matrices, strict=True):
            total += multivariate_normal(prior.mean, matrix / prior.shrinkage).logpdf(mean)
            variances = np.diag(matrix)
            if name.endswith("II"):
                own = (nu + 2.0) * np.log(variances[0]) + np.trace(scale) / D / variances[0]
            elif name.endswith("I"):
                own = np.sum((nu + 2.0) * np.log(variances) + np.diag(scale) / variances)
            else:
                own = (nu + D + 1.0) * np.linalg.slogdet(matrix)[1]
                own += np.trace(np.linalg.solve(matrix, scale))
            total -= 0.5 * share * own
        return float(total)

    return value


@pytest.mark.parametrize("kind", PRIORS)
@pytest.mark.parametrize(
    ("name", "holes"),
    [("EII", False), ("EVI", True), ("VEV", False)],
)
def test_priors_count(kind: str, name: str, holes: bool) -> None:
    X = with_holes(rows_of()) if holes else rows_of()
    fit = fit_of(X, name, **PRIORS[kind])
    likelihood, prior = log_likelihood_of(X), log_prior_of(kind, name)
    expected = Structured(fit).errors(lambda *at: likelihood(*at) + prior(*at))
    assert_alike(fit.inference(X), expected)


# -- what else is known, with missing entries -----------------------------------------------------


@pytest.mark.parametrize(("name", "fixed"), [("VVE", "means"), ("VEV", "covariances")])
def test_what_is_held_fixed_has_no_error_and_the_others_those_of_the_rest(
    name: str, fixed: str
) -> None:
    X = with_holes(rows_of())
    start = fit_of(X, name)
    held = {"means": [1]} if fixed == "means" else {"covariances": True}
    fit = fit_of(
        X,
        name,
        fixed=held,
        means_init=start.means_ + 0.1,
        precisions_init=start.precisions_,
        weights_init=start.weights_,
    )
    oracle = Structured(fit)
    is_free = np.ones(oracle.theta.size, dtype=bool)
    is_free[slice(K - 1 + D, K - 1 + K * D) if fixed == "means" else slice(K - 1 + K * D, None)] = 0
    assert_alike(fit.inference(X), oracle.errors(log_likelihood_of(X), is_free))


def test_beside_noise_and_with_known_labels() -> None:
    """The density of noise in a row with holes is 1 by the sides of the features that are seen."""
    rng = np.random.default_rng(3)
    X = with_holes(np.concatenate([rows_of(), rng.uniform(-8.0, 8.0, (60, D))]))
    labels = np.where(np.arange(360) >= 330, K, -1)
    labels[:20] = [0, 1] * 10
    X = X[(~np.isnan(X)).any(axis=1)]
    labels = labels[: len(X)]
    fit = GaussianMixture(K, covariance_type="EVV", noise=4096.0, reg_covar=0.0, **TIGHT)
    fit.fit(X, sample_labels=labels)
    oracle, box, log_densities = Structured(fit), fit.noise_box_, log_densities_of(X)
    assert box is not None
    of_noise = np.isnan(X) @ np.log(box.sides) - np.log(4096.0)
    elsewhere = (labels[:, None] >= 0) & (labels[:, None] != np.arange(K + 1))

    def along(theta: Data) -> float:
        """With the weight of the first component and that of the second before the rest."""
        _, means, matrices = oracle.unpack(np.delete(theta, 1))
        log_weights = np.log([theta[0], theta[1], 1.0 - theta[0] - theta[1]])
        joint = np.column_stack([log_densities(means, matrices), of_noise]) + log_weights
        joint[elsewhere] = -np.inf
        return float(np.logaddexp.reduce(joint, axis=1).sum())

    theta = np.insert(oracle.theta, 1, fit.weights_[1])
    steps = 1e-3 * np.insert(oracle.scale, 1, fit.weights_[1])
    theirs = np.sqrt(np.diag(np.linalg.inv(-hessian(along, theta, steps))))
    errors = fit.inference(X, sample_labels=labels).standard_errors
    ours = np.concatenate([errors["weights"][:2], errors["means"].ravel()])
    np.testing.assert_allclose(ours, theirs[: ours.size], rtol=1e-5)


def test_rows_weigh_as_often_as_they_are_repeated() -> None:
    X = with_holes(rows_of())
    counts = np.random.default_rng(4).integers(0, 4, len(X))
    fit = GaussianMixture(K, covariance_type="VEV", **TIGHT).fit(X, sample_weight=counts)
    weighted = fit.inference(X, sample_weight=counts)
    repeated = fit.inference(np.repeat(X, counts, axis=0))
    for name, errors in repeated.standard_errors.items():
        np.testing.assert_allclose(weighted.standard_errors[name], errors, rtol=1e-9)
    assert weighted.missing_fraction == pytest.approx(repeated.missing_fraction, rel=1e-9)


def test_any_number_of_patterns_at_once_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    X = rows_of()
    X[np.random.default_rng(5).random(X.shape) < 0.4] = np.nan
    fit = fit_of(X, "full", tol=1e-6)
    one = fit.inference(X)
    monkeypatch.setattr("em_toolkit.families.missing_entries._AT_ONCE", 40)
    monkeypatch.setattr("em_toolkit.analysis.inference._BLOCK", 70)
    other = fit.inference(X)
    for name, errors in one.standard_errors.items():
        np.testing.assert_allclose(other.standard_errors[name], errors, rtol=1e-9)


def test_a_feature_that_is_seen_in_some_rows_is_the_textbook() -> None:
    """Of two features, one always seen (Little & Rubin 2002, section 7.3)."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal(200)
    y = 2.0 + 0.8 * x + 0.5 * rng.standard_normal(200)
    m = 80
    X = np.column_stack([x, np.where(np.arange(200) < m, y, np.nan)])
    fit = GaussianMixture(1, reg_covar=0.0, **TIGHT).fit(X)
    slope, intercept = np.polyfit(x[:m], y[:m], 1)
    residual = np.mean((y[:m] - intercept - slope * x[:m]) ** 2)
    off_center = (x.mean() - x[:m].mean()) ** 2 / np.var(x[:m])
    variance = residual * (1.0 + off_center) / m + slope**2 * np.var(x) / 200
    errors = fit.inference(X).standard_errors["means"][0]
    np.testing.assert_allclose(errors, np.sqrt([np.var(x) / 200, variance]), rtol=1e-7)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(4))
def test_features_that_are_never_seen_together_are_named(seed: int) -> None:
    X = rows_of()
    X[::2, 0] = np.nan
    X[1::2, 2] = np.nan
    # At the maximum, where the information about what was never seen is zero to rounding.
    fit = GaussianMixture(1, random_state=seed, reg_covar=0.0, tol=0.0).fit(X)
    with pytest.raises(ValueError, match=r"do not determine covariances\[0, 0, 2\]"):
        fit.inference(X)


# -- the rate of convergence ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "holes"), [("VVV", True), ("VVI", True), ("VVE", False), ("EEV", True)]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_missing_fraction_is_the_slowest_rate_of_em(name: str, holes: bool) -> None:
    """The largest eigenvalue of the differenced EM map."""
    X = with_holes(rows_of()) if holes else rows_of()
    fit = fit_of(X, name)
    oracle = Structured(fit)

    def step(theta: Data) -> Data:
        public = oracle.public(theta)
        moved = fit.__class__(
            K,
            covariance_type=name,
            reg_covar=0.0,
            max_iter=1,
            tol=0.0,
            weights_init=public["weights"],
            means_init=public["means"],
            precisions_init=(
                1.0 / public["covariances"]
                if public["covariances"].ndim < 3
                else np.linalg.inv(public["covariances"])
            ),
        ).fit(X)
        parts = (moved.weights_, moved.means_, moved.covariances_)
        return np.concatenate([part.ravel() for part in parts])

    slopes = np.concatenate(
        [oracle.slopes(part).reshape(-1, oracle.theta.size) for part in oracle.public(oracle.theta)]
    )
    moves = np.diag(1e-4 * oracle.scale)
    columns = [
        (step(oracle.theta + move) - step(oracle.theta - move)) / (2.0 * move.max())
        for move in moves
    ]
    rates = np.linalg.eigvals(np.linalg.lstsq(slopes, np.stack(columns, axis=1))[0])
    assert fit.inference(X).missing_fraction == pytest.approx(np.abs(rates).max(), abs=1e-5)


# -- what structures have in common ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["EEE", "VEE", "EVV", "VVV"])
def test_linear_maps_of_the_rows_map_the_means_and_their_errors(name: str) -> None:
    """Of structures whose axes are not compared."""
    X, matrix = rows_of(), np.array([[1.0, 0.5, 0.0], [0.0, 3.0, 1.0], [-0.2, 0.0, 0.4]])
    one = fit_of(X, name)
    other = fit_of(X @ matrix.T, name, init_params=one.predict_proba(X))
    mapping = np.kron(np.eye(K), matrix)
    expected = mapping @ one.inference(X).covariance("means") @ mapping.T
    found = other.inference(X @ matrix.T).covariance("means")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (1, 3), (3, 1), (3, 2), (2, 4)])
def test_coordinates_are_as_many_as_parameters(
    name: str, n_components: int, n_features: int
) -> None:
    rng = np.random.default_rng(0)
    count = np.ones(n_components)
    rows = rng.standard_normal((n_components, n_features, 9))
    scatters = [MCLUST_STRUCTURES[name].scatter_of(one @ one.T / 9, 1) for one in rows]
    structure = MCLUST_STRUCTURES[name]
    covariances = structure.from_scatter(structure.joined(scatters), count, n_features)
    components = GaussianComponents(rows[:, :, 0], covariances)
    basis = tangent(Gaussian(structure), components).basis
    np.testing.assert_array_equal(basis, np.eye(basis.shape[0]))
    assert basis.shape[1] == components.means.size + covariances.n_parameters


@pytest.mark.parametrize("name", ["VEE", "VVE", "EEV", "EVV", "VEV", "EVE"])
def test_of_one_component_all_are_full(name: str) -> None:
    X = with_holes(rows_of())
    fits = [GaussianMixture(1, covariance_type=n, reg_covar=0.0, **TIGHT) for n in (name, "full")]
    one, full = (fit.fit(X).inference(X).standard_errors for fit in fits)
    for part in one:
        np.testing.assert_allclose(one[part], full[part], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_a_row_for_each_published_parameter(name: str) -> None:
    X = with_holes(rows_of())
    frame = fit_of(X, name, tol=1e-6).inference(X).to_frame()
    size = {"II": K, "I": K * D, "EEE": 6}.get(name[name.index("I") :] if "I" in name else name)
    assert len(frame) == K + K * D + (K * 6 if size is None else size)


def test_axes_of_equal_variances_have_no_direction() -> None:
    X = rows_of()
    fit = fit_of(X, "EEV", tol=1e-3)
    axes = np.linalg.eigh(fit.covariances_)[1]
    matrices = (axes * [1.0, 1.0, 3.0]) @ axes.transpose(0, 2, 1)
    fit.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(matrices))
    with pytest.raises(ValueError, match=r"directions of axes 1 and 2 of component 0.*'EEV'"):
        fit.inference(X)


def test_turned_away_from_the_data_is_no_maximum() -> None:
    X = rows_of() * [1.0, 1.0, 4.0]
    fit = fit_of(X, "EEV", tol=1e-3)
    matrices = np.tile(np.diag([9.0, 1.0, 0.5]), (K, 1, 1))
    fit.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(matrices))
    with pytest.raises(ValueError, match=r"no maximum along a direction of covariances.*tol"):
        fit.inference(X)


def test_what_has_no_coordinates_is_told_of_the_bootstrap() -> None:
    class Unnamed(FullCovariances):
        pass

    components = GaussianComponents(np.zeros((1, 2)), Unnamed(np.eye(2)[None]))
    with pytest.raises(ValueError, match=r"covariance types of .*, got Unnamed.*bootstrap"):
        tangent(Gaussian(Unnamed), components)
    with pytest.raises(ValueError, match=r"Gaussian and Poisson components, not of str.*bootstrap"):
        tangent("a family", components)

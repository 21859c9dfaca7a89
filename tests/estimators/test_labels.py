"""Mixtures of which some rows' components are known."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    STRUCTURES,
    Data,
    clusters,
    dense,
    gaussian_log_densities,
    mixture_log_density,
)
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, poisson
from sklearn import config_context
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from em_toolkit import GaussianMixture, PoissonMixture
from em_toolkit.engine import Rows, Threads
from em_toolkit.engine.expectation import expect
from em_toolkit.families import Gaussian
from em_toolkit.initialization import INITIALIZERS
from em_toolkit.kernels import choice
from em_toolkit.models import Mixture
from em_toolkit.statistics import IntArray

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FITTED = ["weights_", "means_", "covariances_"]


def labelled_clusters(
    seed: int, n_rows: int = 200, n_features: int = 3, share: float = 0.2
) -> tuple[Data, IntArray, IntArray]:
    """Rows of three overlapping clusters, their true labels, and those that are known."""
    rng = np.random.default_rng(seed)
    parts = [clusters(rng, n_rows // 4 * (k + 1), n_features, 1, apart=1.5) for k in range(3)]
    order = rng.permutation(sum(map(len, parts)))
    truth = np.repeat(np.arange(3), [len(part) for part in parts])[order]
    X = np.vstack(parts)[order]
    known = rng.random(len(X)) < share
    known[[int(np.flatnonzero(truth == k)[0]) for k in range(3)]] = True
    return X, truth, np.where(known, truth, -1)


def log_likelihood(fit: GaussianMixture, X: Data, labels: IntArray) -> Data:
    """log p(x_i, c_i) or log p(x_i), by scipy's densities."""
    matrices = dense(fit.covariance_type, fit.covariances_, *fit.means_.shape)
    log_densities = gaussian_log_densities(X, fit.means_, matrices)
    log_weights = np.log(fit.weights_)
    return np.array(
        [
            log_weights[c] + row[c] if c >= 0 else logsumexp(log_weights + row)
            for row, c in zip(log_densities, labels, strict=True)
        ]
    )


# -- against independent computations -----------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_bound_is_the_log_likelihood_of_rows_and_labels(structure: str) -> None:
    X, _, labels = labelled_clusters(0)
    fit = GaussianMixture(3, covariance_type=structure, reg_covar=0.0, random_state=0)
    fit.fit(X, sample_labels=labels)
    assert fit.lower_bound_ == pytest.approx(log_likelihood(fit, X, labels).mean(), rel=1e-12)
    assert fit.trace_.log_evidence[-1] == fit.lower_bound_
    # What scores rows knows no labels.
    unlabelled = log_likelihood(fit, X, np.full(len(X), -1))
    np.testing.assert_allclose(fit.score_samples(X), unlabelled, rtol=1e-12)
    assert fit.lower_bound_ < fit.score(X)


def test_the_evidence_is_the_sum_over_all_assignments() -> None:
    """Σ_c p(x, c) over all 3⁵ assignments of five rows that agree with two labels."""
    X, labels = np.array([[0.0], [3.0], [1.0], [7.0], [2.0]]), np.array([-1, 2, -1, 0, -1])
    weights, rates = np.array([0.5, 0.2, 0.3]), np.array([[1.0], [3.0], [6.0]])
    fit = PoissonMixture(3, weights_init=weights, rates_init=rates, max_iter=0)
    fit.fit(X, sample_labels=labels)
    total = 0.0
    for assignment in itertools.product(range(3), repeat=5):
        if all(known in (-1, c) for known, c in zip(labels, assignment, strict=True)):
            joint = weights[list(assignment)] * poisson.pmf(X[:, 0], rates[list(assignment), 0])
            total += joint.prod()
    assert 5.0 * fit.lower_bound_ == pytest.approx(np.log(total), rel=1e-12)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("init_params", ["kmeans", "random", "responsibilities"])
def test_all_labelled_is_discriminant_analysis(structure: str, init_params: str) -> None:
    """Closed form: frequencies, means and covariances of the classes."""
    X, truth, _ = labelled_clusters(1)
    start: Any = np.full((len(X), 3), 1 / 3) if init_params == "responsibilities" else init_params
    fit = GaussianMixture(
        3, covariance_type=structure, reg_covar=0.0, init_params=start, tol=1e-12, random_state=0
    ).fit(X, sample_labels=truth)
    counts = np.bincount(truth)
    np.testing.assert_allclose(fit.weights_, counts / len(X), rtol=1e-12)
    np.testing.assert_allclose(
        fit.means_, [X[truth == k].mean(axis=0) for k in range(3)], rtol=1e-10
    )
    classes = np.array([np.cov(X[truth == k].T, bias=True) for k in range(3)])
    expected = {
        "full": classes,
        "tied": np.average(classes, axis=0, weights=counts),
        "diag": np.diagonal(classes, axis1=1, axis2=2),
        "spherical": np.trace(classes, axis1=1, axis2=2) / X.shape[1],
    }
    np.testing.assert_allclose(fit.covariances_, expected[structure], rtol=1e-10, atol=1e-12)
    if structure == "tied":
        lda = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(X, truth)
        np.testing.assert_allclose(fit.covariances_, lda.covariance_, rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(fit.predict(X), lda.predict(X))
        np.testing.assert_allclose(fit.predict_proba(X), lda.predict_proba(X), rtol=0, atol=1e-8)


@pytest.mark.parametrize("structure", ["full", "tied", "diag"])
def test_no_optimizer_improves_the_fit(structure: str) -> None:
    """scipy's quasi-Newton method, on scipy's densities, from where EM ended."""
    X, _, labels = labelled_clusters(2, n_rows=80, n_features=2)
    fit = GaussianMixture(
        3, covariance_type=structure, reg_covar=0.0, tol=1e-13, max_iter=20_000, random_state=0
    ).fit(X, sample_labels=labels)
    params = fit.params_

    def loss(vector: Data) -> float:
        at = params.from_vector(vector)
        values, d = np.asarray(at.components.covariances.values), X.shape[1]
        matrices = dense("diag" if structure == "diag" else "full", np.broadcast_to(
            values, (3, *values.shape[1:])), 3, d)  # fmt: skip
        log_densities = gaussian_log_densities(X, at.components.means, matrices)
        joint = np.log(at.weights) + log_densities
        rows = np.where(labels >= 0, joint[np.arange(len(X)), labels], logsumexp(joint, axis=1))
        return -float(rows.mean())

    start = params.to_vector()
    assert loss(start) == pytest.approx(-fit.lower_bound_, rel=1e-12)
    # It can improve what is not at the maximum; from there it comes back.
    away = minimize(loss, start + 0.05, method="BFGS", options={"gtol": 1e-7})
    assert loss(start + 0.05) > loss(start) + 1e-3
    assert away.fun == pytest.approx(loss(start), abs=1e-8)
    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-9})
    assert found.fun > loss(start) - 1e-9


# -- none labelled, and the E-step of those that are not ----------------------------------------


@pytest.mark.parametrize("init_params", [*INITIALIZERS, "responsibilities"])
def test_without_labels_it_is_the_plain_fit(init_params: str) -> None:
    """To the bit: -1 everywhere, and labels of rows of weight zero alone."""
    X, truth, _ = labelled_clusters(3)
    start: Any = init_params
    if init_params == "responsibilities":
        start = np.random.default_rng(0).dirichlet(np.ones(3), len(X))
    mixture = GaussianMixture(3, init_params=start, random_state=0, reg_covar=1e-3)
    weights = np.random.default_rng(1).uniform(0.0, 2.0, len(X)) * (truth > 0)
    plain = mixture.fit(X, sample_weight=weights).trace_.elbo
    for labels in (np.full(len(X), -1), np.where(truth == 0, 0, -1)):
        same = mixture.fit(X, sample_weight=weights, sample_labels=labels)
        np.testing.assert_array_equal(same.trace_.elbo, plain)


@pytest.mark.parametrize("compiled", [False, True])
def test_unlabelled_rows_go_through_the_mixtures_own_step(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, _, labels = labelled_clusters(4, n_rows=1000)
    if compiled:
        monkeypatch.setattr(choice, "WORTH_COMPILING", 0)
    plan = choice.plan(Mixture(Gaussian()), *X.shape, 3)
    assert (type(plan.model) is Mixture) is not compiled
    params = GaussianMixture(3, random_state=0).fit(X).params_
    model, weights = plan.model, np.random.default_rng(0).uniform(0.5, 2, len(X))
    none = np.full(len(X), -1)
    alone = expect(plan.model, params, Rows(X, weights, 300))
    through = expect(model, params, Rows(X, weights, 300, none))
    assert through.log_evidence == alone.log_evidence
    np.testing.assert_array_equal(through.statistics.second_moment, alone.statistics.second_moment)
    # And some labelled: the parts of a block, one after the other, are the whole.
    posterior, log_evidence = model.posterior_given(params, X, labels)
    found = expect(model, params, Rows(X, weights, 300, labels))
    assert found.log_evidence == pytest.approx(weights @ log_evidence, rel=1e-12)
    np.testing.assert_allclose(
        found.statistics.count, weights @ posterior.responsibilities, rtol=1e-12
    )
    assert found.entropy == pytest.approx(weights @ posterior.entropy, rel=1e-9)
    np.testing.assert_array_equal(
        posterior.responsibilities[labels >= 0], np.eye(3)[labels[labels >= 0]]
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_threads_do_not_show(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled:
        monkeypatch.setattr(choice, "WORTH_COMPILING", 0)
    X, _, labels = labelled_clusters(5, n_rows=20_000)
    fits = [
        GaussianMixture(3, random_state=0, n_jobs=n_jobs, max_iter=5).fit(X, sample_labels=labels)
        for n_jobs in (1, 2, 3)
    ]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.trace_.elbo, fits[0].trace_.elbo)
        np.testing.assert_array_equal(fit.covariances_, fits[0].covariances_)
    params = fits[0].params_
    with Threads(2) as executor:
        blocks = Rows(X, None, 999, labels)
        by_threads = expect(Mixture(Gaussian()), params, blocks, executor)
    serial = expect(Mixture(Gaussian()), params, blocks)
    assert by_threads.log_evidence == serial.log_evidence


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("init_params", INITIALIZERS)
def test_labels_name_the_components(init_params: str, seed: int) -> None:
    """However the start finds them, with one labelled row for each of three clear clusters."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(3), 50))
    X = 10.0 * rng.permutation(np.eye(3))[truth] + rng.standard_normal((150, 3))
    labels = np.full(150, -1)
    labels[[int(np.flatnonzero(truth == k)[0]) for k in range(3)]] = np.arange(3)
    fit = GaussianMixture(3, init_params=init_params, reg_covar=1e-3, random_state=seed)
    predicted = fit.fit_predict(X, sample_labels=labels)
    known = labels >= 0
    np.testing.assert_array_equal(predicted[known], labels[known])
    if init_params not in ("random", "random_from_data"):
        np.testing.assert_array_equal(predicted, truth)


def test_components_without_labels_take_what_is_left() -> None:
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat(np.arange(4), 50))
    X = 10.0 * np.eye(4)[truth] + rng.standard_normal((200, 4))
    labels = np.where((truth == 2) & (rng.random(200) < 0.2), 2, -1)
    fit = GaussianMixture(4, reg_covar=1e-3, random_state=0).fit(X, sample_labels=labels)
    np.testing.assert_array_equal(fit.predict(X) == 2, truth == 2)
    assert sorted(np.bincount(fit.predict(X))) == [50] * 4


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(STRUCTURES), st.integers(0, 2**31), st.permutations(range(3)))
def test_other_names_are_the_same_fit(structure: str, seed: int, names: list[int]) -> None:
    X, _, labels = labelled_clusters(seed, n_rows=80)
    order = np.array(names)
    settings_: dict[str, Any] = {"covariance_type": structure, "max_iter": 8, "tol": 0.0}
    fit = GaussianMixture(3, random_state=0, **settings_).fit(X, sample_labels=labels)
    other = GaussianMixture(3, random_state=0, **settings_)
    other.fit(X, sample_labels=np.where(labels >= 0, order[labels], -1))
    np.testing.assert_allclose(other.weights_[order], fit.weights_, rtol=1e-9)
    np.testing.assert_allclose(other.means_[order], fit.means_, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(other.trace_.elbo, fit.trace_.elbo, rtol=0, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(STRUCTURES), st.integers(0, 2**31))
def test_whole_weights_are_repeated_rows(structure: str, seed: int) -> None:
    X, _, labels = labelled_clusters(seed, n_rows=80)
    rng = np.random.default_rng(seed)
    counts, start = rng.integers(0, 4, len(X)), rng.dirichlet(np.ones(3), len(X))
    rows = np.repeat(np.arange(len(X)), counts)
    settings_: dict[str, Any] = {"covariance_type": structure, "max_iter": 8, "tol": 0.0}
    weighted = GaussianMixture(3, init_params=start, **settings_)
    weighted.fit(X, sample_weight=counts, sample_labels=labels)
    repeated = GaussianMixture(3, init_params=start[rows], **settings_)
    repeated.fit(X[rows], sample_labels=labels[rows])
    for name in FITTED:
        np.testing.assert_allclose(
            getattr(weighted, name), getattr(repeated, name), rtol=1e-8, atol=1e-10
        )
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=0, abs=1e-10)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "hierarchical"])
def test_a_row_of_weight_zero_is_absent(init_params: str) -> None:
    X, truth, labels = labelled_clusters(6)
    kept = np.random.default_rng(0).random(len(X)) < 0.8
    moved = np.where(kept[:, None], X, 1e6)
    mixture = GaussianMixture(3, init_params=init_params, reg_covar=1e-3, random_state=0)
    whole = mixture.fit(moved, sample_weight=kept, sample_labels=np.where(kept, labels, truth))
    bound, means = whole.lower_bound_, whole.means_
    part = mixture.fit(X[kept], sample_weight=np.ones(kept.sum()), sample_labels=labels[kept])
    assert part.lower_bound_ == pytest.approx(bound, rel=1e-12)
    np.testing.assert_allclose(part.means_, means, rtol=1e-10)


# -- with the other options -----------------------------------------------------------------------


@pytest.mark.parametrize("acceleration", ["squarem", "quasi_newton"])
def test_accelerated_it_ends_at_the_same_maximum(acceleration: str) -> None:
    X, _, labels = labelled_clusters(7)
    settings_: dict[str, Any] = {"tol": 1e-12, "max_iter": 10_000, "random_state": 0}
    plain = GaussianMixture(3, **settings_).fit(X, sample_labels=labels)
    fast = GaussianMixture(3, acceleration=acceleration, **settings_).fit(X, sample_labels=labels)
    assert fast.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-8)
    np.testing.assert_allclose(fast.means_, plain.means_, rtol=0, atol=1e-3)


def test_a_warm_start_goes_on() -> None:
    X, _, labels = labelled_clusters(8)
    once = GaussianMixture(3, random_state=0, tol=0.0, max_iter=10).fit(X, sample_labels=labels)
    twice = GaussianMixture(3, random_state=0, tol=0.0, max_iter=5, warm_start=True)
    twice.fit(X, sample_labels=labels).fit(X, sample_labels=labels)
    np.testing.assert_allclose(twice.means_, once.means_, rtol=1e-9)
    assert twice.lower_bound_ == pytest.approx(once.lower_bound_, rel=1e-12)


def test_several_starts_keep_the_best() -> None:
    X, _, labels = labelled_clusters(9, share=0.05)
    fit = GaussianMixture(3, init_params="random_from_data", n_init=5, random_state=0)
    fit.fit(X, sample_labels=labels)
    assert fit.lower_bound_ == max(restart.bound for restart in fit.restarts_)
    assert len({restart.bound for restart in fit.restarts_}) > 1


def test_labels_pay() -> None:
    """Where clusters overlap: nearer to the truth than without, over twenty data sets."""
    gains = []
    for seed in range(20):
        X, truth, labels = labelled_clusters(seed, share=0.3)
        right = [
            (GaussianMixture(3, random_state=0).fit(X, sample_labels=known).predict(X) == truth)
            for known in (labels, np.where(np.cumsum(labels >= 0) <= 3, labels, -1))
        ]
        gains.append(right[0][labels < 0].mean() - right[1][labels < 0].mean())
    assert np.mean(gains) > 0.05


def test_poisson_mixtures_take_them_too() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=300)
    X = rng.poisson(np.array([[2.0, 5.0], [4.0, 3.0]])[truth]).astype(float)
    labels = np.where(rng.random(300) < 0.5, truth, -1)
    fit = PoissonMixture(2, tol=1e-12, max_iter=5000, random_state=0).fit(X, sample_labels=labels)
    log_densities = poisson.logpmf(X[:, None], fit.rates_).sum(axis=2)
    joint = np.log(fit.weights_) + log_densities
    expected = np.where(
        labels >= 0,
        joint[np.arange(300), labels],
        mixture_log_density(np.log(fit.weights_), log_densities),
    )
    assert fit.lower_bound_ == pytest.approx(expected.mean(), rel=1e-12)
    np.testing.assert_allclose(fit.rates_, [[2.0, 5.0], [4.0, 3.0]], atol=0.5)


def test_routed_through_scikit_learn() -> None:
    X, truth, labels = labelled_clusters(10)
    with config_context(enable_metadata_routing=True):
        mixture = GaussianMixture(3, random_state=0).set_fit_request(sample_labels=True)
        pipeline = make_pipeline(StandardScaler(), mixture)
        pipeline.fit(X, sample_labels=labels)
        direct = GaussianMixture(3, random_state=0)
        direct.fit(StandardScaler().fit_transform(X), sample_labels=labels)
        np.testing.assert_array_equal(pipeline[-1].means_, direct.means_)
        search = GridSearchCV(mixture, {"covariance_type": ["full", "tied"]}, cv=KFold(3))
        search.fit(X, sample_labels=labels)
        best = search.best_estimator_.predict(X)
        assert (best == truth)[labels >= 0].mean() > 0.7
        # Unless it is asked for, it goes nowhere, and says so.
        with pytest.raises(UnsetMetadataPassedError, match="sample_labels"):
            make_pipeline(StandardScaler(), GaussianMixture(3)).fit(X, sample_labels=labels)


# -- what cannot be used --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(200, 3), r"from 0 to 2, .* -1 .* for the others, got 3\."),
        (np.full(200, -2), r"got -2\."),
        (np.full(200, 0.5), r"got 0\.5\."),
        (np.array(["setosa"] * 199 + ["virginica"]), r"'setosa', 'virginica'\. Number the classes"),
        (np.array([None] * 200), r"got None\. Number the classes"),
        (np.full(200, True), r"got True\. Number"),
        (np.arange(200), r"got 3, 4, 5, 6, 7, \.\.\.\."),
        (np.zeros((200, 2)), r"got an array of shape \(200, 2\)"),
        (np.zeros(199), "inconsistent numbers of samples"),
        (0, r"shape \(\)"),
    ],
)
def test_bad_labels(labels: npt.NDArray[Any], message: str) -> None:
    X = np.random.default_rng(0).standard_normal((200, 2))
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3).fit(X, sample_labels=labels)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.float32, np.float64, list])
def test_labels_of_any_kind_of_number(dtype: Any) -> None:
    X, _, labels = labelled_clusters(11)
    given_labels = labels.tolist() if dtype is list else labels.astype(dtype)
    fits = [
        GaussianMixture(3, random_state=0).fit(X, sample_labels=known)
        for known in (labels, given_labels)
    ]
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)


def test_a_label_of_a_component_without_weight_is_told() -> None:
    X, _, labels = labelled_clusters(12)
    start = GaussianMixture(3, weights_init=[0.5, 0.5, 0.0], random_state=0)
    with pytest.raises(ValueError, match="no probability"):
        start.fit(X, sample_labels=labels)


def test_fewer_labelled_rows_than_features_are_enough() -> None:
    """Nothing is estimated from the labelled rows alone."""
    X, _, _ = labelled_clusters(13, n_features=6)
    labels = np.full(len(X), -1)
    labels[:3] = [0, 1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit = GaussianMixture(3, random_state=0).fit(X, sample_labels=labels)
    assert np.isfinite(fit.covariances_).all()


def test_with_missing_entries() -> None:
    """Rows sorted by what they miss keep their labels; the bound is that of what is observed."""
    X, _, labels = labelled_clusters(14)
    rng = np.random.default_rng(0)
    X[rng.random(X.shape) < 0.2] = np.nan
    kept = ~np.isnan(X).all(axis=1)
    X, labels = X[kept], labels[kept]
    fit = GaussianMixture(3, reg_covar=0.0, random_state=0).fit(X, sample_labels=labels)
    total = 0.0
    for row, label in zip(X, labels, strict=True):
        seen = ~np.isnan(row)
        densities = [
            multivariate_normal(mean[seen], matrix[np.ix_(seen, seen)]).logpdf(row[seen])
            for mean, matrix in zip(fit.means_, fit.covariances_, strict=True)
        ]
        joint = np.log(fit.weights_) + densities
        total += joint[label] if label >= 0 else logsumexp(joint)
    assert fit.lower_bound_ == pytest.approx(total / len(X), rel=1e-10)


def test_a_missing_label_is_an_unknown_one() -> None:
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(0, 1, (30, 2)), rng.normal(2, 1, (30, 2))])
    known = np.repeat([0, -1, 1, -1], [5, 25, 5, 25])
    missing = np.where(known < 0, np.nan, known)
    fits = [
        GaussianMixture(2, random_state=0).fit(X, sample_labels=labels)
        for labels in (known, missing, pd.Series(missing), pd.Series(missing).astype("Int64"))
    ]
    for fit in fits[1:]:
        assert fit.lower_bounds_ == fits[0].lower_bounds_

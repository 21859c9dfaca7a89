"""GaussianMixture: sample weights, forms of input, copies, and scikit-learn's meta-estimators."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from em_toolkit import GaussianMixture
from em_toolkit.initialization import INITIALIZERS

Data = npt.NDArray[Any]
STRUCTURES = ["full", "tied", "diag", "spherical"]
FITTED = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


def assert_same_fit(a: GaussianMixture, b: GaussianMixture, rtol: float = 1e-10) -> None:
    for name in FITTED:
        np.testing.assert_allclose(
            getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-12, err_msg=name
        )
    assert a.n_iter_ == b.n_iter_
    assert a.lower_bound_ == pytest.approx(b.lower_bound_, rel=rtol)
    np.testing.assert_allclose(a.lower_bounds_, b.lower_bounds_, rtol=rtol)


# -- sample_weight --------------------------------------------------------------------------------

COUNTS = np.random.RandomState(1).randint(0, 4, size=150)
RESPONSIBILITIES = np.random.RandomState(2).dirichlet(np.ones(3), size=150)


@pytest.fixture(params=STRUCTURES)
def covariance_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 0.1])
def test_whole_weights_are_repeated_rows(
    iris: Data, covariance_type: str, reg_covar: float
) -> None:
    parameters: dict[str, Any] = {"covariance_type": covariance_type, "reg_covar": reg_covar}
    weighted = GaussianMixture(3, init_params=RESPONSIBILITIES, **parameters)
    weighted.fit(iris, sample_weight=COUNTS)
    rows = np.repeat(np.arange(150), COUNTS)
    assert len(rows) != 150
    repeated = GaussianMixture(3, init_params=RESPONSIBILITIES[rows], **parameters)
    repeated.fit(iris[rows])
    assert_same_fit(weighted, repeated)
    assert weighted.score(iris, sample_weight=COUNTS) == pytest.approx(
        repeated.score(iris[rows]), rel=1e-12
    )


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
def test_whole_weights_are_repeated_rows_of_a_criterion(iris: Data, criterion: str) -> None:
    """n is the sum of the weights; a row of weight zero may be anything."""
    fit = GaussianMixture(3, random_state=0).fit(iris)
    of_rows = getattr(fit, criterion)(np.repeat(iris, COUNTS, axis=0))
    X = np.where((COUNTS > 0)[:, None], iris, 1e6)
    assert getattr(fit, criterion)(X, sample_weight=COUNTS) == pytest.approx(of_rows, rel=1e-12)
    assert getattr(fit, criterion)(iris) == getattr(fit, criterion)(iris, np.ones(150))
    # Weights of importance sum to something else, and n with them.
    assert getattr(fit, criterion)(iris, sample_weight=0.1 * COUNTS) != pytest.approx(
        of_rows, rel=1e-3
    )


@pytest.mark.parametrize("init_params", ["hierarchical", "responsibilities"])
def test_whole_weights_are_repeated_rows_of_a_start(iris: Data, init_params: str) -> None:
    """Of those without chance: the others would draw other rows."""
    rows = np.repeat(np.arange(150), COUNTS)
    start = RESPONSIBILITIES if init_params == "responsibilities" else init_params
    again = RESPONSIBILITIES[rows] if init_params == "responsibilities" else init_params
    weighted = GaussianMixture(3, init_params=start).fit(iris, sample_weight=COUNTS)
    assert_same_fit(weighted, GaussianMixture(3, init_params=again).fit(iris[rows]), rtol=1e-8)


@pytest.mark.parametrize("init_params", [*INITIALIZERS, "responsibilities"])
def test_a_row_of_weight_zero_is_absent(iris: Data, covariance_type: str, init_params: str) -> None:
    """From any start, and wherever the row is."""
    weights = np.random.RandomState(3).uniform(0.5, 2.0, size=150) * (COUNTS > 0)
    kept = weights > 0.0
    X = iris.copy()
    X[~kept] = 1e6
    fits = []
    for rows in (np.full(150, True), kept):
        given = init_params == "responsibilities"
        mixture = GaussianMixture(
            3,
            covariance_type=covariance_type,
            init_params=RESPONSIBILITIES[rows] if given else init_params,
            random_state=0,
        )
        fits.append(mixture.fit(X[rows], sample_weight=weights[rows]))
    assert_same_fit(*fits)
    assert fits[0].score(X, sample_weight=weights) == fits[0].score(X[kept], None, weights[kept])


# Agglomeration counts rows: a single one has a spread of its own (Fraley 1998).
@pytest.mark.parametrize("init_params", [name for name in INITIALIZERS if name != "hierarchical"])
@pytest.mark.parametrize("factor", [1e-6, 7.3, 1e9])
def test_only_the_proportions_of_weights_matter(
    iris: Data, covariance_type: str, init_params: str, factor: float
) -> None:
    weights = np.random.RandomState(3).uniform(0.5, 2.0, size=150)
    fits = [
        GaussianMixture(
            3,
            covariance_type=covariance_type,
            init_params=init_params,
            reg_covar=1e-3,
            random_state=0,
        ).fit(iris, sample_weight=scale * weights)
        for scale in (1.0, factor)
    ]
    assert_same_fit(*fits, rtol=1e-9)


def test_weights_of_one_are_no_weights(iris: Data, covariance_type: str) -> None:
    fits = [
        GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(
            iris, sample_weight=weights
        )
        for weights in (None, np.ones(150), 1, [1] * 150)
    ]
    for fit in fits[1:]:
        assert_same_fit(fit, fits[0])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(150), "at least one non-zero"),
        (np.r_[-1.0, np.ones(149)], "Negative values"),
        (np.ones(149), r"sample_weight.shape == \(149,\), expected \(150,\)"),
        (np.ones((150, 2)), "1D array"),
        (np.r_[np.nan, np.ones(149)], "contains NaN"),
        (np.r_[np.inf, np.ones(149)], "contains infinity"),
        (np.r_[np.ones(2), np.zeros(148)], "n_components = 3, n_samples = 2"),
    ],
    ids=["zero", "negative", "short", "matrix", "nan", "inf", "two rows"],
)
def test_bad_weights(iris: Data, weights: Data, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3).fit(iris, sample_weight=weights)


# -- kinds of input -------------------------------------------------------------------------------


def read_only(X: Data) -> Data:
    X = X.copy()
    X.setflags(write=False)
    return X


FORMS: dict[str, Callable[[Data], Any]] = {
    "fortran": np.asfortranarray,
    "read-only": read_only,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "list": lambda X: X.tolist(),
    "frame": pd.DataFrame,
    "object": lambda X: X.astype(object),
    "memory map": lambda X: X,
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_the_same_numbers(
    iris: Data, covariance_type: str, form: str, tmp_path: Any
) -> None:
    plain = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(iris)
    X = FORMS[form](iris)
    if form == "memory map":
        joblib.dump(iris, tmp_path / "X")
        X = joblib.load(tmp_path / "X", mmap_mode="r")
    other = clone(plain).fit(X)
    assert_same_fit(other, plain)
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "aic"):
        np.testing.assert_allclose(
            getattr(other, method)(X), getattr(plain, method)(iris), rtol=1e-8, atol=1e-12
        )
    np.testing.assert_array_equal(np.asarray(X, dtype=np.float64), iris)


def test_float32_gives_float32(iris: Data, covariance_type: str) -> None:
    X = iris.astype(np.float32)
    mixture = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    for name in FITTED:
        assert getattr(mixture, name).dtype == np.float32, name
    assert mixture.predict_proba(X).dtype == mixture.score_samples(X).dtype == np.float32
    # Computed in float64: the same fit as that of the same numbers in float64.
    exact = clone(mixture).fit(X.astype(np.float64))
    np.testing.assert_allclose(mixture.means_, exact.means_, rtol=1e-6, atol=1e-6)
    assert mixture.n_iter_ == exact.n_iter_
    assert mixture.lower_bound_ == pytest.approx(exact.lower_bound_, rel=1e-12)


def test_more_rows_than_a_block() -> None:
    rng = np.random.RandomState(0)
    X = np.vstack([rng.randn(6000, 2), rng.randn(5000, 2) + 4.0])
    mixture = GaussianMixture(2, random_state=0).fit(X)
    assert len(mixture.predict(X)) == len(mixture.score_samples(X)) == 11000
    assert mixture.predict_proba(X).shape == (11000, 2)
    # Each row by itself gives what it gives among all.
    some = np.r_[0, 4095, 4096, 10999]
    np.testing.assert_allclose(
        mixture.score_samples(X)[some],
        np.concatenate([mixture.score_samples(X[[row]]) for row in some]),
        rtol=1e-12,
    )


def test_names_of_features(iris: Data) -> None:
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    frame = pd.DataFrame(iris, columns=names)
    mixture = GaussianMixture(3, random_state=0).fit(frame)
    assert mixture.feature_names_in_.tolist() == names
    assert mixture.n_features_in_ == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in ("predict", "predict_proba", "score_samples", "score", "bic", "aic"):
            getattr(mixture, method)(frame)
        mixture.fit_predict(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        mixture.predict(frame[names[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        mixture.predict(iris)


# -- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda estimator: pickle.loads(pickle.dumps(estimator))],
    ids=["deepcopy", "pickle"],
)
def test_copies_are_complete(
    iris: Data, covariance_type: str, copied: Callable[[Any], Any]
) -> None:
    mixture = GaussianMixture(
        3, covariance_type=covariance_type, n_init=2, warm_start=True, random_state=0
    ).fit(iris)
    twin = copied(mixture)
    np.testing.assert_array_equal(twin.predict_proba(iris), mixture.predict_proba(iris))
    np.testing.assert_array_equal(twin.sample(5)[0], mixture.sample(5)[0])
    np.testing.assert_array_equal(twin.trace_.elbo, mixture.trace_.elbo)
    assert str(twin.trace_) == str(mixture.trace_)
    assert twin.status_ is mixture.status_
    assert twin.restarts_ == mixture.restarts_
    assert_same_fit(twin.fit(iris), mixture.fit(iris))


def test_clone_and_parameters(iris: Data) -> None:
    mixture = GaussianMixture(3, init_params=RESPONSIBILITIES, means_init=iris[:3].tolist())
    twin = clone(mixture)
    assert twin is not mixture
    assert not hasattr(twin, "weights_")
    np.testing.assert_array_equal(twin.init_params, RESPONSIBILITIES)
    assert twin.means_init == mixture.means_init
    assert twin.set_params(n_components=2, tol=1e-5) is twin
    assert (twin.get_params()["n_components"], twin.get_params()["tol"]) == (2, 1e-5)
    with pytest.raises(ValueError, match="Invalid parameter 'components'"):
        twin.set_params(components=2)
    repr(mixture)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_failed_fit_leaves_no_trace_of_success(iris: Data) -> None:
    mixture = GaussianMixture(3, reg_covar=0.0)
    with pytest.raises(ValueError, match="ill-defined"):
        mixture.fit(np.ones((10, 2)))
    assert not hasattr(mixture, "weights_")
    assert not hasattr(mixture, "converged_")


# -- meta-estimators ------------------------------------------------------------------------------


def test_grid_search_and_cross_validation(iris: Data) -> None:
    search = GridSearchCV(
        GaussianMixture(random_state=0),
        {"n_components": [1, 3], "covariance_type": ["full", "spherical"]},
        cv=KFold(3, shuffle=True, random_state=0),
    ).fit(iris)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_params_
    assert best["covariance_type"] == "full"
    scores = cross_val_score(
        GaussianMixture(random_state=0, **best), iris, cv=KFold(3, shuffle=True, random_state=0)
    )
    assert scores.mean() == pytest.approx(search.best_score_, rel=1e-12)
    assert_same_fit(search.best_estimator_, GaussianMixture(random_state=0, **best).fit(iris))


@config_context(enable_metadata_routing=True)
def test_weights_are_routed_through_a_pipeline(iris: Data) -> None:
    X = iris * [1.0, 10.0, 100.0, 0.1] + 5.0
    weights = COUNTS + 1.0
    mixture = GaussianMixture(3, random_state=0).set_fit_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    pipeline = make_pipeline(scaler, mixture).fit(X, sample_weight=weights)
    scaled = StandardScaler().fit_transform(X)
    expected = GaussianMixture(3, random_state=0).fit(scaled, sample_weight=weights)
    assert_same_fit(pipeline[-1], expected)
    np.testing.assert_array_equal(pipeline.predict(X), expected.predict(scaled))
    unweighted = make_pipeline(scaler, clone(mixture).set_fit_request(sample_weight=False))
    with pytest.raises(TypeError, match="sample_weight"):
        unweighted.fit(X, sample_weight=weights)


@config_context(enable_metadata_routing=True)
def test_weights_are_routed_through_a_grid_search(iris: Data) -> None:
    mixture = GaussianMixture(random_state=0)
    mixture.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    weights = COUNTS + 0.5
    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(
        Pipeline([("mixture", mixture)]), {"mixture__n_components": [2]}, cv=folds
    )
    search.fit(iris, sample_weight=weights)
    expected = [
        GaussianMixture(2, random_state=0)
        .fit(iris[train], sample_weight=weights[train])
        .score(iris[test], sample_weight=weights[test])
        for train, test in folds.split(iris)
    ]
    found = [search.cv_results_[f"split{fold}_test_score"][0] for fold in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("init_params", INITIALIZERS)
def test_a_start_with_weights_of_one_is_that_without(init_params: str) -> None:
    X = np.random.default_rng(0).normal(size=(90, 2))
    plain, weighted = (
        GaussianMixture(3, init_params=init_params, random_state=0).fit(X, sample_weight=w)
        for w in (None, np.ones(90))
    )
    assert plain.lower_bounds_ == weighted.lower_bounds_


@pytest.mark.parametrize(("fitted", "changed"), [("full", "tied"), ("diag", "VEE"), ("EII", "EEI")])
def test_a_type_that_was_changed_after_the_fit_asks_for_another(fitted: str, changed: str) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    mixture = GaussianMixture(2, covariance_type=fitted, random_state=0).fit(X)
    with pytest.raises(ValueError, match=f"covariance_type='{changed}': expected .* call fit"):
        mixture.set_params(covariance_type=changed).predict(X)

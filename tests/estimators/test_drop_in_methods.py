"""GaussianMixture's methods, printed lines, errors and warnings against scikit-learn's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse
from conftest import RealData
from sklearn.mixture import GaussianMixture as ScikitLearnMixture

from em_toolkit import GaussianMixture

Data = npt.NDArray[Any]
STRUCTURES = ["full", "tied", "diag", "spherical"]
PUBLIC = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


def with_the_parameters_of(theirs: ScikitLearnMixture) -> GaussianMixture:
    ours = GaussianMixture(**theirs.get_params())
    for name in PUBLIC:
        setattr(ours, name, getattr(theirs, name))
    return ours


# -- for equal public parameters ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_for_equal_parameters_every_method_gives_the_same(
    real_data: dict[str, RealData], name: str, covariance_type: str
) -> None:
    X, n_components = real_data[name]
    theirs = ScikitLearnMixture(n_components, covariance_type=covariance_type, random_state=0).fit(
        X
    )
    ours = with_the_parameters_of(theirs)
    # Rows far away too, where no component has any density to speak of.
    rows = np.vstack([X, 30.0 * X[:20]])
    np.testing.assert_allclose(ours.score_samples(rows), theirs.score_samples(rows), rtol=1e-10)
    # The relative error of a probability is the absolute one of its logarithm: down to e⁻²³⁰.
    np.testing.assert_allclose(
        ours.predict_proba(rows), theirs.predict_proba(rows), rtol=1e-10, atol=1e-100
    )
    np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
    for method in ("score", "bic", "aic"):
        value = getattr(ours, method)(X)
        assert isinstance(value, float)
        assert value == pytest.approx(getattr(theirs, method)(X), rel=1e-10)
    drawn, labels = ours.sample(200)
    expected, expected_labels = theirs.sample(200)
    np.testing.assert_allclose(drawn, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(labels, expected_labels)
    assert (drawn.dtype, labels.dtype) == (expected.dtype, expected_labels.dtype)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_nearly_collinear_features_cost_no_digits(covariance_type: str) -> None:
    """Condition numbers of 1e12: a covariance made from its factor must not be factored again."""
    rng = np.random.RandomState(0)
    mixing = rng.randn(6, 6) * 10.0 ** np.linspace(0.0, -6.0, 6)[:, None]
    X = np.vstack([rng.randn(300, 6) @ mixing, rng.randn(200, 6) @ mixing + 2.0 * mixing[0]])
    theirs = ScikitLearnMixture(2, covariance_type=covariance_type, reg_covar=0.0, random_state=0)
    theirs.fit(X)
    assert np.linalg.cond(theirs.covariances_).max() > 1e11
    ours = with_the_parameters_of(theirs)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-9)


def test_any_factor_of_the_precisions_will_do(iris: Data) -> None:
    """A lower factor, or one with negative diagonal entries, as people set it by hand."""
    ours = GaussianMixture(3, random_state=0).fit(iris)
    expected = ours.score_samples(iris)
    ours.precisions_cholesky_ = np.linalg.cholesky(ours.precisions_)
    np.testing.assert_allclose(ours.score_samples(iris), expected, rtol=1e-10)
    ours.precisions_cholesky_ = -ours.precisions_cholesky_
    np.testing.assert_allclose(ours.score_samples(iris), expected, rtol=1e-10)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_draws_are_theirs_where_eigenvectors_are_not_unique(covariance_type: str) -> None:
    matrix = np.full((5, 5), 0.3) + 0.7 * np.eye(5)
    X = np.random.RandomState(0).randn(50, 5)
    theirs = ScikitLearnMixture(2, covariance_type=covariance_type, random_state=3).fit(X)
    theirs.covariances_ = np.array([matrix, 0.1 * matrix]) if covariance_type == "full" else matrix
    np.testing.assert_allclose(
        with_the_parameters_of(theirs).sample(20)[0], theirs.sample(20)[0], rtol=1e-12
    )


def test_a_mixture_made_by_hand_can_be_drawn_from() -> None:
    samples = []
    for mixture in (GaussianMixture(2, random_state=0), ScikitLearnMixture(2, random_state=0)):
        mixture.weights_ = np.array([0.3, 0.7])
        mixture.means_ = np.array([[0.0, 0.0], [5.0, 5.0]])
        mixture.covariances_ = np.array([np.eye(2), 2.0 * np.eye(2)])
        samples.append(mixture.sample(10)[0])
    np.testing.assert_allclose(samples[0], samples[1], rtol=1e-14)


def test_a_random_state_object_moves_on_between_draws(iris: Data) -> None:
    theirs = ScikitLearnMixture(3, random_state=0).fit(iris)
    ours = with_the_parameters_of(theirs)
    for mixture in (ours, theirs):
        mixture.set_params(random_state=np.random.RandomState(5))
    for _ in range(3):
        np.testing.assert_allclose(ours.sample(7)[0], theirs.sample(7)[0], rtol=1e-12)


@pytest.mark.parametrize("fitted_to", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("asked_for", [np.float64, np.float32, np.float16, np.int64])
def test_results_have_their_type(iris: Data, fitted_to: Any, asked_for: Any) -> None:
    X, rows = (10.0 * iris).astype(fitted_to), (10.0 * iris).astype(asked_for)
    ours, theirs = (
        mixture(3, covariance_type="diag", random_state=0).fit(X)
        for mixture in (GaussianMixture, ScikitLearnMixture)
    )
    for name in PUBLIC:
        assert getattr(ours, name).dtype == getattr(theirs, name).dtype
    for method in ("score_samples", "predict_proba", "predict"):
        assert getattr(ours, method)(rows).dtype == getattr(theirs, method)(rows).dtype


# -- verbose ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [0, 1, True, 2, 3])
@pytest.mark.parametrize(
    "parameters",
    [
        {"verbose_interval": 1},
        {"verbose_interval": 4, "n_init": 3, "max_iter": 9},
        {"verbose_interval": 1, "max_iter": 2},
        {"max_iter": 0},
        {"warm_start": True, "verbose_interval": 1},
    ],
    ids=str,
)
def test_verbose_prints_their_lines(
    iris: Data, capsys: pytest.CaptureFixture[str], verbose: int, parameters: dict[str, Any]
) -> None:
    """Times aside, and the lower bound at the end: an M-step later than theirs."""
    printed = []
    for mixture in (GaussianMixture, ScikitLearnMixture):
        estimator = mixture(
            3,
            init_params="random",
            reg_covar=0.0,
            random_state=1,
            verbose=verbose,
            **parameters,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(iris)
            if estimator.warm_start:
                estimator.fit(iris)
        printed.append(re.sub(r"time lapse \d+\.\d{5}s", "time lapse #s", capsys.readouterr().out))
        bounds = [float(bound) for bound in re.findall(r"lower bound (\S+)\.", printed[-1])]
        if bounds:
            assert max(bounds) == pytest.approx(estimator.lower_bound_, abs=6e-6)
    ours, theirs = (re.sub(r"lower bound \S+", "", text) for text in printed)
    assert ours == theirs
    assert ours or verbose == 0
    assert ("ll change" in ours) == (verbose >= 2 and estimator.max_iter > 0)


# -- errors and warnings --------------------------------------------------------------------------


def outcome(mixture: Any, act: Callable[[Any], Any]) -> tuple[BaseException | None, list[Any]]:
    """What was raised, and the warnings before it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            act(mixture)
        except Exception as error:
            return error, caught
    return None, caught


def with_value(X: Data, value: float) -> Data:
    changed = X.copy()
    changed[3, 1] = value
    return changed


DUPLICATES = np.repeat([[1.0] * 5, [0.0] * 5], 5, axis=0)
BAD_DATA: dict[str, Callable[[Data], Any]] = {
    "inf": lambda X: with_value(X, np.inf),
    "one row": lambda X: X[:1],
    "no row": lambda X: X[:0],
    "no feature": lambda X: X[:, :0],
    "fewer rows than components": lambda X: X[:2],
    "one dimension": lambda X: X[:, 0],
    "three dimensions": lambda X: X[:, :, None],
    "text": lambda X: [["a", "b"], ["c", "d"], ["e", "f"]],
    "complex": lambda X: X + 1j,
    "sparse": scipy.sparse.csr_array,
    "nothing": lambda X: None,
}


@pytest.mark.parametrize("method", ["fit", "fit_predict"])
@pytest.mark.parametrize("data", BAD_DATA)
def test_bad_data_raise_their_error(iris: Data, data: str, method: str) -> None:
    X = BAD_DATA[data](iris)
    theirs, _ = outcome(ScikitLearnMixture(3), lambda mixture: getattr(mixture, method)(X))
    ours, _ = outcome(GaussianMixture(3), lambda mixture: getattr(mixture, method)(X))
    assert theirs is not None
    assert (type(ours), str(ours)) == (type(theirs), str(theirs))


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "score_samples", "score", "bic", "aic"]
)
@pytest.mark.parametrize("data", ["inf", "no row", "one dimension", "sparse", "features"])
def test_bad_rows_to_predict_raise_their_error(iris: Data, data: str, method: str) -> None:
    X = iris[:, :3] if data == "features" else BAD_DATA[data](iris)
    theirs, _ = outcome(ScikitLearnMixture(3).fit(iris), lambda m: getattr(m, method)(X))
    ours, _ = outcome(GaussianMixture(3).fit(iris), lambda m: getattr(m, method)(X))
    assert theirs is not None
    assert (type(ours), str(ours)) == (type(theirs), str(theirs))
    unfitted, _ = outcome(ScikitLearnMixture(), lambda m: getattr(m, method)(iris))
    ours, _ = outcome(GaussianMixture(), lambda m: getattr(m, method)(iris))
    assert (type(ours), str(ours)) == (type(unfitted), str(unfitted))


BAD_PARAMETERS: list[dict[str, Any]] = [
    {"n_components": 0},
    {"n_components": 1.5},
    {"covariance_type": "round"},
    {"covariance_type": None},
    {"tol": -1e-3},
    {"tol": "small"},
    {"reg_covar": -1.0},
    {"max_iter": -1},
    {"max_iter": 10.0},
    {"n_init": 0},
    {"init_params": "nearest"},
    {"init_params": 3},
    {"init_params": None},
    {"weights_init": "uniform"},
    {"means_init": 0.0},
    {"precisions_init": 1},
    {"random_state": -1},
    {"random_state": "seed"},
    {"warm_start": "yes"},
    {"verbose": -1},
    {"verbose_interval": 0},
    {"weights_init": [0.5, 0.4, 0.2]},
    {"weights_init": [1.5, -0.5, 0.0]},
    {"weights_init": [0.5, 0.5]},
    {"weights_init": [[0.5, 0.3, 0.2]]},
    {"weights_init": [0.5, 0.5, np.nan]},
    {"means_init": np.zeros((3, 3))},
    {"means_init": np.zeros(4)},
    {"means_init": np.full((3, 4), np.inf)},
    {"precisions_init": np.eye(4)},
    {"precisions_init": np.array([-np.eye(4)] * 3)},
    {"precisions_init": np.array([np.triu(np.ones((4, 4)))] * 3)},
    {"precisions_init": np.eye(3), "covariance_type": "tied"},
    {"precisions_init": np.zeros((4, 4)), "covariance_type": "tied"},
    {"precisions_init": np.ones((4, 3)), "covariance_type": "diag"},
    {"precisions_init": np.zeros((3, 4)), "covariance_type": "diag"},
    {"precisions_init": np.ones((3, 1)), "covariance_type": "spherical"},
    {"precisions_init": -np.ones(3), "covariance_type": "spherical"},
]


@pytest.mark.parametrize("parameters", BAD_PARAMETERS, ids=str)
def test_bad_parameters_raise_their_error(iris: Data, parameters: dict[str, Any]) -> None:
    parameters = {"n_components": 3} | parameters
    theirs, _ = outcome(ScikitLearnMixture(**parameters), lambda mixture: mixture.fit(iris))
    ours, _ = outcome(GaussianMixture(**parameters), lambda mixture: mixture.fit(iris))
    assert theirs is not None
    # Options are listed in any order; init_params may be an array as well.
    message = str(theirs).split("{")[0]
    assert type(ours) is type(theirs)
    assert str(ours).startswith(message)


@pytest.mark.parametrize("n_samples", [0, -1])
def test_too_few_samples_to_draw(iris: Data, n_samples: int) -> None:
    for mixture in (GaussianMixture(2).fit(iris), ScikitLearnMixture(2).fit(iris)):
        with pytest.raises(ValueError, match=r"Invalid value for 'n_samples': .* at least one"):
            mixture.sample(n_samples)


@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_degenerate_start_raises_their_error(covariance_type: str, dtype: Any) -> None:
    X = DUPLICATES.astype(dtype)
    parameters: dict[str, Any] = {
        "n_components": 10,
        "covariance_type": covariance_type,
        "reg_covar": 0.0,
        "random_state": 0,
    }
    theirs, their_warnings = outcome(ScikitLearnMixture(**parameters), lambda m: m.fit(X))
    ours, our_warnings = outcome(GaussianMixture(**parameters), lambda m: m.fit(X))
    assert type(ours) is type(theirs) is ValueError
    # Theirs advises float64 for float32 data, which ours computes in anyway.
    assert str(ours).startswith(str(theirs).split(" The numerical accuracy")[0])
    assert re.search(r"Seen: .*component \d", str(ours))
    assert [str(w.message) for w in our_warnings] == [str(w.message) for w in their_warnings]


def test_no_convergence_gives_their_warning(iris: Data) -> None:
    seen = [
        outcome(mixture(3, max_iter=1, random_state=0), lambda m: m.fit(iris))[1]
        for mixture in (GaussianMixture, ScikitLearnMixture)
    ]
    ours, theirs = ([(w.category, str(w.message)) for w in caught] for caught in seen)
    assert ours == theirs
    assert len(ours) == 1


def test_a_good_fit_gives_no_warning(iris: Data) -> None:
    error, caught = outcome(GaussianMixture(3, random_state=0), lambda m: m.fit(iris).bic(iris))
    assert error is None
    assert caught == []


@pytest.mark.parametrize(
    "changed",
    [{"n_components": 2}, {"covariance_type": "tied"}, {"covariance_type": "spherical"}, {"X": 3}],
    ids=str,
)
def test_a_warm_start_from_another_model_is_refused(iris: Data, changed: dict[str, Any]) -> None:
    """scikit-learn ignores a new n_components, and fails on the others in words of NumPy's."""
    mixture = GaussianMixture(3, random_state=0, warm_start=True).fit(iris)
    X = iris[:, : changed.pop("X", 4)]
    with pytest.raises(ValueError, match=r"_ has the shape .* set warm_start=False"):
        mixture.set_params(**changed).fit(X)
    mixture.set_params(warm_start=False).fit(X)


RESPONSIBILITIES = np.random.RandomState(0).dirichlet(np.ones(3), size=150)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (RESPONSIBILITIES[:5], r"should have the shape of \(150, 3\), but got \(5, 3\)"),
        (RESPONSIBILITIES[:, :2], r"should have the shape of \(150, 3\), but got \(150, 2\)"),
        (RESPONSIBILITIES[:, 0], "Expected 2D array"),
        (-RESPONSIBILITIES, "should be non-negative and sum to 1 in each row, but got min"),
        (
            np.c_[RESPONSIBILITIES[:, :2] + 1.0, RESPONSIBILITIES[:, 2] - 2.0],
            "should be non-negative and sum to 1 in each row, but got min value -",
        ),
        (0.5 * RESPONSIBILITIES, r"row sums from 0\.50000 to 0\.50000"),
        (with_value(RESPONSIBILITIES, np.nan), "contains NaN"),
    ],
    ids=["rows", "columns", "vector", "negative", "sum is one", "half", "nan"],
)
def test_bad_responsibilities(iris: Data, given: Data, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3, init_params=given).fit(iris)

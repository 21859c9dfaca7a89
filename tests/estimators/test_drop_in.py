"""GaussianMixture against scikit-learn's, the oracle: the same surface, start, path and result."""

from __future__ import annotations

import inspect
import warnings
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import RealData
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitLearnMixture

from em_toolkit import GaussianMixture

Data = npt.NDArray[Any]
STRUCTURES = ["full", "tied", "diag", "spherical"]
STARTS = ["kmeans", "random", "k-means++", "random_from_data"]
DATA = ["iris", "wine", "breast_cancer", "digits"]
SEEDS = [0, 1, 2]


def distance(ours: Any, theirs: Any) -> float:
    """max |a − b| / max(1, |b|) over weights, means and covariances."""
    return max(
        float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b))))
        for a, b in (
            (getattr(ours, name), getattr(theirs, name))
            for name in ("weights_", "means_", "covariances_")
        )
    )


def both(X: Data, **parameters: Any) -> tuple[GaussianMixture, ScikitLearnMixture]:
    return GaussianMixture(**parameters).fit(X), ScikitLearnMixture(**parameters).fit(X)


def matrices(mixture: Any) -> Data:
    """The covariances of any structure as K matrices."""
    n_components, n_features = mixture.means_.shape
    shape = {"diag": (n_components, n_features, 1), "spherical": (n_components, 1, 1)}
    values = np.reshape(
        mixture.covariances_, shape.get(mixture.covariance_type, np.shape(mixture.covariances_))
    )
    if mixture.covariance_type in shape:
        values = values * np.eye(n_features)
    return np.asarray(np.broadcast_to(values, (n_components, n_features, n_features)))


# -- the surface ----------------------------------------------------------------------------------


def test_every_parameter_has_their_name_kind_and_default() -> None:
    theirs = inspect.signature(ScikitLearnMixture).parameters
    ours = inspect.signature(GaussianMixture).parameters
    for name, parameter in theirs.items():
        assert (ours[name].kind, ours[name].default) == (parameter.kind, parameter.default), name
    # A positional call means the same.
    assert [name for name in ours if name in theirs] == list(theirs)


def test_every_method_takes_what_theirs_takes() -> None:
    members = inspect.getmembers(ScikitLearnMixture, callable)
    methods = {name: member for name, member in members if not name.startswith("_")}
    assert {"fit", "fit_predict", "sample", "bic", "set_params"} <= set(methods)
    for name, method in methods.items():
        theirs = list(inspect.signature(method).parameters.values())
        ours = list(inspect.signature(getattr(GaussianMixture, name)).parameters.values())
        seen = [(parameter.name, parameter.default) for parameter in ours]
        assert seen[: len(theirs)] == [(p.name, p.default) for p in theirs], name


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_every_fitted_attribute_is_there_with_their_type_and_shape(
    iris: Data, covariance_type: str
) -> None:
    ours, theirs = both(iris, n_components=3, covariance_type=covariance_type, random_state=0)
    fitted = [name for name in vars(theirs) if name.endswith("_")]
    assert {"weights_", "precisions_", "lower_bounds_", "n_iter_"} <= set(fitted)
    for name in fitted:
        value, expected = getattr(ours, name), getattr(theirs, name)
        assert np.shape(value) == np.shape(expected), name
        assert isinstance(value, type(expected)) or isinstance(expected, type(value)), name


# -- the same path --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("init_params", ["kmeans", "random"])
def test_without_regularization_the_fit_is_theirs(
    real_data: dict[str, RealData], name: str, covariance_type: str, init_params: str
) -> None:
    X, n_components = real_data[name]
    for seed in SEEDS:
        ours, theirs = both(
            X,
            n_components=n_components,
            covariance_type=covariance_type,
            init_params=init_params,
            reg_covar=0.0,
            random_state=seed,
        )
        assert distance(ours, theirs) <= 1e-9
        assert ours.n_iter_ == theirs.n_iter_
        assert ours.converged_ == theirs.converged_
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        # Theirs are the bounds of θ_0..θ_{n−1}, ours those of θ_1..θ_n.
        np.testing.assert_allclose(ours.trace_.bounds[:-1], theirs.lower_bounds_, rtol=1e-9)
        np.testing.assert_allclose(ours.lower_bounds_[:-1], theirs.lower_bounds_[1:], rtol=1e-9)
        assert ours.lower_bound_ == pytest.approx(theirs.score(X), rel=1e-9)


# Theirs is reg_covar added to every variance, ours the least one: what differs is 1e-6, and what it
# moves along the path. Breast cancer has directions with variances of 1e-5.
TOLERANCES = {"full": 3e-4, "tied": 1e-5, "diag": 1e-5, "spherical": 1e-5}


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize(
    ("covariance_type", "init_params"),
    [
        (covariance_type, init_params)
        for covariance_type in STRUCTURES
        for init_params in STARTS
        if covariance_type != "tied" or init_params in ("kmeans", "random")
    ],
)
def test_by_default_the_fit_is_theirs(
    real_data: dict[str, RealData], name: str, covariance_type: str, init_params: str
) -> None:
    X, n_components = real_data[name]
    if (name, covariance_type) == ("breast_cancer", "full"):
        pytest.skip("see below")
    tolerance = 3e-4 if name == "breast_cancer" else TOLERANCES[covariance_type]
    for seed in SEEDS:
        ours, theirs = both(
            X,
            n_components=n_components,
            covariance_type=covariance_type,
            init_params=init_params,
            random_state=seed,
        )
        assert distance(ours, theirs) <= tolerance, seed
        assert ours.n_iter_ == theirs.n_iter_
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("init_params", STARTS)
def test_where_theirs_moves_variances_by_a_tenth_the_difference_vanishes_with_reg_covar(
    real_data: dict[str, RealData], init_params: str
) -> None:
    X, n_components = real_data["breast_cancer"]
    for seed in SEEDS:
        parameters: dict[str, Any] = {
            "n_components": n_components,
            "init_params": init_params,
            "random_state": seed,
        }
        ours, theirs = both(X, **parameters)
        assert distance(ours, theirs) <= 1e-2
        assert abs(ours.n_iter_ - theirs.n_iter_) <= 1
        assert np.sum(ours.predict(X) != theirs.predict(X)) <= 2

        ours, theirs = both(X, reg_covar=1e-9, **parameters)
        assert distance(ours, theirs) <= 2e-5
        assert ours.n_iter_ == theirs.n_iter_
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("init_params", ["k-means++", "random_from_data"])
def test_tied_from_points_ends_no_lower_than_theirs(
    real_data: dict[str, RealData], name: str, init_params: str
) -> None:
    """Their start divides the total scatter by K instead of n; ours by n."""
    X, n_components = real_data[name]
    for seed in SEEDS:
        ours, theirs = both(
            X,
            n_components=n_components,
            covariance_type="tied",
            init_params=init_params,
            random_state=seed,
        )
        # What theirs has been raised beyond the floor is no loss to it of more than this.
        slack = 0.5 * theirs.reg_covar * np.trace(np.linalg.inv(theirs.covariances_))
        assert ours.lower_bound_ >= theirs.score(X) - slack


# -- the same start -------------------------------------------------------------------------------


def given_start(X: Data, covariance_type: str) -> dict[str, Any]:
    """Weights, means and precisions to start from, none of which k-means would give."""
    precisions = np.linalg.inv(np.cov(X.T) + 0.1 * np.eye(X.shape[1]))
    diagonals = np.array([1.0, 2.0, 0.5])[:, None] * np.diagonal(precisions)
    return {
        "weights_init": np.array([0.5, 0.3, 0.2]),
        "means_init": X[[10, 60, 140]] + 0.1,
        "precisions_init": {
            "full": np.array([precisions, 2.0 * precisions, 0.5 * precisions]),
            "tied": precisions,
            "diag": diagonals,
            "spherical": diagonals[:, 0],
        }[covariance_type],
    }


GIVEN = ["weights_init", "means_init", "precisions_init"]


@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize(
    "names", [names for size in (1, 2, 3) for names in combinations(GIVEN, size)], ids="+".join
)
@pytest.mark.parametrize("as_list", [False, True], ids=["array", "list"])
def test_given_parts_of_the_start(
    iris: Data, covariance_type: str, names: tuple[str, ...], as_list: bool
) -> None:
    start = given_start(iris, covariance_type)
    given = {name: start[name].tolist() if as_list else start[name] for name in names}
    ours, theirs = both(
        iris,
        n_components=3,
        covariance_type=covariance_type,
        reg_covar=0.0,
        random_state=0,
        **given,
    )
    assert distance(ours, theirs) <= 1e-9
    assert ours.n_iter_ == theirs.n_iter_
    for name in names:
        assert getattr(ours, name) is given[name]


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_given_precisions_are_those_of_the_start(iris: Data, covariance_type: str) -> None:
    """Where all parts are given, scikit-learn's class ends in an AttributeError."""
    start = given_start(iris, covariance_type)
    ours = GaussianMixture(3, covariance_type=covariance_type, max_iter=0, **start).fit(iris)
    np.testing.assert_array_equal(ours.weights_, start["weights_init"])
    np.testing.assert_array_equal(ours.means_, start["means_init"])
    precisions, factors = start["precisions_init"], ours.precisions_cholesky_
    np.testing.assert_allclose(ours.precisions_, precisions, rtol=1e-12, atol=1e-13)
    if covariance_type in ("full", "tied"):
        np.testing.assert_array_equal(factors, np.triu(factors))
        squares = factors @ np.swapaxes(factors, -1, -2)
        np.testing.assert_allclose(squares, precisions, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(ours.covariances_, np.linalg.inv(precisions), rtol=1e-12)
    else:
        np.testing.assert_allclose(factors**2, precisions, rtol=1e-12)
        np.testing.assert_allclose(ours.covariances_, 1.0 / precisions, rtol=1e-12)


def test_a_start_given_in_full_draws_no_random_number(iris: Data) -> None:
    random_state = np.random.RandomState(0)
    before = random_state.get_state()[2]
    GaussianMixture(3, random_state=random_state, **given_start(iris, "full")).fit(iris)
    assert random_state.get_state()[2] == before


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("init_params", STARTS)
def test_without_iterations_the_result_is_the_start(
    iris: Data, covariance_type: str, init_params: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        ours, theirs = both(
            iris,
            n_components=3,
            covariance_type=covariance_type,
            init_params=init_params,
            max_iter=0,
            random_state=0,
        )
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-12, atol=1e-13)
    # From points their weights are 1/n each and sum to K/n; ours sum to one.
    np.testing.assert_allclose(ours.weights_, theirs.weights_ / theirs.weights_.sum(), rtol=1e-12)
    if covariance_type != "tied" or init_params in ("kmeans", "random"):
        # Their start has reg_covar added to it.
        np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-9, atol=1.01e-6)
    assert (ours.n_iter_, ours.converged_, ours.lower_bounds_) == (0, False, [])


def moments(X: Data, responsibilities: Data, covariance_type: str) -> dict[str, Any]:
    """The first M-step in plain NumPy, as the parameters of a start."""
    count = responsibilities.sum(axis=0)
    means = (responsibilities.T @ X) / count[:, None]
    deviations = X[:, None, :] - means
    scatter = np.einsum("ik,ikp,ikq->kpq", responsibilities, deviations, deviations)
    covariances = scatter / count[:, None, None]
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    precisions = {
        "full": lambda: np.linalg.inv(covariances),
        "tied": lambda: np.linalg.inv(scatter.sum(axis=0) / len(X)),
        "diag": lambda: 1.0 / variances,
        "spherical": lambda: 1.0 / variances.mean(axis=1),
    }[covariance_type]()
    return {
        "weights_init": count / len(X),
        "means_init": means,
        "precisions_init": precisions,
    }


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_responsibilities_as_start(iris: Data, covariance_type: str) -> None:
    responsibilities = np.random.RandomState(0).dirichlet(np.ones(3), size=len(iris))
    parameters: dict[str, Any] = {
        "n_components": 3,
        "covariance_type": covariance_type,
        "reg_covar": 0.0,
    }
    theirs = ScikitLearnMixture(**moments(iris, responsibilities, covariance_type), **parameters)
    theirs.fit(iris)
    for given in (responsibilities, responsibilities.tolist()):
        ours = GaussianMixture(init_params=given, **parameters).fit(iris)
        assert distance(ours, theirs) <= 1e-9
        assert ours.n_iter_ == theirs.n_iter_


@pytest.mark.parametrize("init_params", STARTS)
def test_each_of_several_starts_is_theirs(iris: Data, init_params: str) -> None:
    """One random state feeds all the starts, in order."""
    parameters: dict[str, Any] = {"n_components": 3, "covariance_type": "diag", "tol": 1e-4}
    ours = GaussianMixture(n_init=5, init_params=init_params, random_state=7, **parameters)
    ours.fit(iris)
    random_state = np.random.RandomState(7)
    singles = [
        ScikitLearnMixture(init_params=init_params, random_state=random_state, **parameters)
        for _ in range(5)
    ]
    scores = [single.fit(iris).score(iris) for single in singles]
    np.testing.assert_allclose([restart.bound for restart in ours.restarts_], scores, atol=1e-4)
    assert [restart.n_iter for restart in ours.restarts_] == [one.n_iter_ for one in singles]
    assert distance(ours, singles[int(np.argmax(scores))]) <= 1e-4
    assert ours.lower_bound_ == max(restart.bound for restart in ours.restarts_)


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_warm_start_continues_as_theirs(iris: Data, covariance_type: str) -> None:
    parameters: dict[str, Any] = {
        "n_components": 3,
        "covariance_type": covariance_type,
        "means_init": given_start(iris, covariance_type)["means_init"],
        "max_iter": 3,
        "tol": 1e-6,
        "reg_covar": 0.0,
        "random_state": 0,
        "warm_start": True,
    }
    ours, theirs = GaussianMixture(**parameters), ScikitLearnMixture(**parameters)
    n_fits = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        while not getattr(theirs, "converged_", False):
            n_fits += 1
            ours.fit(iris)
            theirs.fit(iris)
            assert distance(ours, theirs) <= 1e-9
            assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    assert n_fits > 2
    assert len(ours.set_params(n_init=3).fit(iris).restarts_) == 1


# -- the bound ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 1e-2, 1.0])
def test_the_lower_bound_belongs_to_the_parameters_returned(
    iris: Data, covariance_type: str, reg_covar: float
) -> None:
    """The mean of scipy's log densities, whatever the floor."""
    mixture = GaussianMixture(
        3, covariance_type=covariance_type, reg_covar=reg_covar, random_state=0
    ).fit(iris)
    covariances = matrices(mixture)
    log_joint = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(iris)
        for weight, mean, covariance in zip(
            mixture.weights_, mixture.means_, covariances, strict=True
        )
    ]
    log_likelihood = np.logaddexp.reduce(log_joint, axis=0).mean()
    assert mixture.score(iris) == pytest.approx(log_likelihood, rel=1e-12)
    assert mixture.lower_bound_ == pytest.approx(log_likelihood, rel=1e-12)
    assert mixture.lower_bounds_[-1] == mixture.lower_bound_
    # The same from the other side, energy + entropy.
    assert mixture.lower_bound_ == pytest.approx(mixture.trace_.elbo[-1], rel=1e-13)

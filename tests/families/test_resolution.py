"""Components narrower than the values of a feature resolve have collapsed; tight ones have not."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from em_toolkit import GaussianMixture, NormalMeans, Status
from em_toolkit.families import MCLUST_STRUCTURES, Resolution

Data = npt.NDArray[Any]
BY_COMPONENT = ["VII", "VVI", "VVV", "VVE"]


def counts(seed: int = 0) -> Data:
    return np.random.default_rng(seed).poisson(0.3, (200, 3)).astype(float)


def fitted(X: Data, structure: str, k: int = 2, **options: Any) -> GaussianMixture:
    arguments: dict[str, Any] = {
        "reg_covar": 0.0,
        "tol": 1e-5,
        "max_iter": 500,
        "init_params": "kmeans_standardized",
        "random_state": 0,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(k, covariance_type=structure, **(arguments | options)).fit(X)


def outcome(X: Data, structure: str, k: int = 2, **options: Any) -> str:
    try:
        return fitted(X, structure, k, **options).status_.name
    except ValueError as error:
        return "FAILED" if "Seen: " in str(error) else str(error)


def zeros_and_numbers(seed: int) -> Data:
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(3.0, 1.0, 300) * (rng.random(300) < 0.4)
    return np.column_stack([rng.normal(size=300), amounts])


def test_variance_that_only_the_last_jump_of_the_mean_kept_is_a_collapse() -> None:
    # 73 rows are (0, 0, 0). Their variance was 8e-7, that of the iteration before, "converged".
    assert outcome(counts(), "VII") == "COLLAPSED"
    assert outcome(counts() + 1.0, "VII") == "COLLAPSED"


@pytest.mark.parametrize("structure", [*BY_COMPONENT, "VEI", "EVI", "VEE", "EVE", "EVV"])
@pytest.mark.parametrize("seed", range(3))
def test_outcome_does_not_depend_on_origin_and_unit(structure: str, seed: int) -> None:
    for X in (counts(seed), zeros_and_numbers(seed)):
        expected = outcome(X, structure, 3)
        assert outcome(X + 1.0, structure, 3) == expected
        assert outcome(1000.0 * X, structure, 3) == expected


@pytest.mark.parametrize("structure", ["VVI", "VVV", "VEI", "EVI"])
def test_no_variance_is_next_to_nothing_or_next_to_infinite(structure: str) -> None:
    for seed in range(5):
        X = zeros_and_numbers(seed)
        try:
            fit = fitted(X, structure, 3)
        except ValueError:
            continue
        if fit.status_ is not Status.COLLAPSED:
            values = fit.covariances_
            if values.ndim == 3:
                values = np.linalg.eigvalsh(values)
            assert values.min() > 1e-10
            assert values.max() < 1e3


def test_volumes_that_run_apart_are_a_collapse() -> None:
    # Zeros in 70 % of the rows. "Converged" with variances of 1.5e19 and 1.1e-15.
    rng = np.random.default_rng(10)
    amounts = rng.lognormal(3.0, 1.0, 200) * (rng.random(200) < 0.3)
    X = np.column_stack([rng.normal(40.0, 12.0, 200), amounts])
    for moved in (X, X + 1.0):
        for structure in ("VEI", "VEE"):
            assert outcome(moved, structure) in {"COLLAPSED", "FAILED"}


def test_message_says_what_the_data_are() -> None:
    frame = pytest.importorskip("pandas").DataFrame(counts(), columns=["a", "b", "c"])
    fit = fitted(frame, "VII")
    assert fit.status_ is Status.COLLAPSED
    (cause,) = {restart.cause for restart in fit.restarts_}
    assert "has no spread in 'a'" in cause
    assert "The 200 values of 'a' are 4 distinct ones" in cause
    assert "prior='conjugate'" in cause
    # Which is true.
    assert fitted(frame, "VII", prior="conjugate").converged_


@pytest.mark.parametrize("options", [{"acceleration": "squarem"}, {"acceleration": "quasi_newton"}])
def test_accelerated_fits_know_it(options: dict[str, Any]) -> None:
    assert outcome(counts(), "VII", **options) == "COLLAPSED"


def test_weights_missing_entries_single_precision_labels_and_noise() -> None:
    X = counts()
    rows, repeated = np.unique(X, axis=0, return_counts=True)
    start = np.column_stack([(rows == 0.0).all(axis=1), (rows != 0.0).any(axis=1)]).astype(float)
    start = 0.8 * start + 0.1
    gm = GaussianMixture(
        2, covariance_type="VVI", reg_covar=0.0, init_params=start, tol=0.0, max_iter=500
    )
    with pytest.warns(match="has no spread"):
        assert gm.fit(rows, sample_weight=repeated).status_ is Status.COLLAPSED
    # A row of weight 0 whose value is between the others changes no distance of values.
    between, weights = np.vstack([X, [[1e-9, 0.0, 0.0]]]), np.append(np.ones(200), 0.0)
    heavy = GaussianMixture(
        2, covariance_type="VII", reg_covar=0.0, init_params="kmeans_standardized", tol=1e-5
    ).set_params(random_state=0)
    with pytest.warns(match="has no spread"):
        heavy.fit(between, sample_weight=weights)
    assert heavy.status_ is Status.COLLAPSED
    assert outcome(X.astype(np.float32), "VII") == "COLLAPSED"
    holes = zeros_and_numbers(0)
    holes[np.random.default_rng(1).random(holes.shape) < 0.1] = np.nan
    assert outcome(holes, "VVI") in {"COLLAPSED", "FAILED"}
    assert outcome(X, "VII", noise=True) in {"COLLAPSED", "FAILED"}


def test_what_is_held_fixed_may_be_narrow() -> None:
    X = counts()
    options = {
        "fixed": {"means": [0], "covariances": [0]},
        "means_init": [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]],
        "precisions_init": [1e12, 1.0],
    }
    assert fitted(X, "spherical", **options).converged_


def test_a_prior_of_the_means_alone_gives_no_maximum() -> None:
    assert outcome(counts(), "VII", prior=NormalMeans()) in {"COLLAPSED", "FAILED"}


@pytest.mark.parametrize("structure", MCLUST_STRUCTURES)
@pytest.mark.parametrize("std", [2e-4, 1e-6])
def test_tight_clusters_of_values_that_differ_are_no_collapse(structure: str, std: float) -> None:
    rng = np.random.default_rng(0)
    places = np.array([[0.0, 0.0], [1.0, 0.2], [0.3, 1.0]])
    X = np.repeat(places, 60, axis=0) + std * rng.standard_normal((180, 2))
    for moved in (X, 1e3 * X):
        fit = fitted(moved, structure, 3)
        assert fit.converged_
        assert np.sort(fit.weights_ * 180).round(6).tolist() == [60.0] * 3


def test_one_tight_cluster_beside_a_wide_one() -> None:
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(100, 2)), 1e-5 * rng.normal(size=(100, 2)) + 9.0])
    for structure in ("VII", "VVI", "VVV", "VEV", "VVE"):
        assert fitted(X, structure).converged_


def test_least_std_is_by_the_values() -> None:
    X = np.array([[0.0, 5.0, 1e6], [0.5, 5.0, 1e6 + 1.0], [3.0, 5.0, np.nan], [0.0, 5.0, 1e6]])
    found = Resolution(X)
    assert found.constant.tolist() == [False, True, False]
    assert found.least_std(0) == pytest.approx(0.5e-4)
    assert found.least_std(2) == pytest.approx(1e-4)
    # What differs by a rounding is equal.
    thirds = Resolution(np.array([[0.3], [0.1 + 0.2], [1.0]]))
    assert thirds.least_std(0) == pytest.approx(0.7e-4)
    for shift in (1.0, 1e4):
        assert Resolution(X + shift).least_std(0) == pytest.approx(0.5e-4)

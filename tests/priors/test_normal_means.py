"""The prior of means alone, on data without full rank and on data that nearly lack it."""

from __future__ import annotations

import re
from itertools import permutations

import numpy as np
import pytest
from oracles import Data

from em_toolkit import GaussianMixture, NormalMeans
from em_toolkit.priors.checking import dependent_features, is_positive_definite

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::em_toolkit.estimators.floor.VarianceFloorWarning"),
]

PAIR: Data = np.random.default_rng(0).normal(size=(12, 2)) * [1.0, 1e-5] + [0.0, 3.0]
A, B = PAIR.T
ONE_HOT: Data = np.eye(3)[[2, 1, 0, 2, 1, 0, 0, 1, 0, 2, 2, 1]]
WITHOUT_FULL_RANK = {
    "one-hot": (np.c_[A, ONE_HOT], {1, 2, 3}),
    "duplicate": (np.c_[PAIR, A], {0, 2}),
    "difference": (np.c_[PAIR, 1e-5 * A - B], {0, 1, 2}),
    "more features than rows": (np.random.default_rng(1).normal(size=(3, 4)), {0, 1, 2, 3}),
}


@pytest.mark.parametrize("structure", ["full", "tied", "EEI", "spherical"])
@pytest.mark.parametrize("table", WITHOUT_FULL_RANK)
def test_data_without_full_rank_are_refused_in_any_order(table: str, structure: str) -> None:
    X, dependent = WITHOUT_FULL_RANK[table]
    for order in permutations(range(X.shape[1])):
        Y = X[:, order]
        fit = GaussianMixture(
            2, covariance_type=structure, prior=NormalMeans(), reg_covar=0.01, random_state=0
        )
        with pytest.raises(ValueError, match="covariance of the data is singular") as refusal:
            fit.fit(Y)
        named = re.findall(r"\d+", str(refusal.value).split(" are linearly dependent")[0])
        assert {order[int(name)] for name in named} == dependent
        remedied = NormalMeans(covariance=np.diag(np.nanvar(Y, axis=0)))
        assert np.isfinite(fit.set_params(prior=remedied).fit(Y).lower_bound_)


def test_features_that_are_constant_are_named() -> None:
    X = np.c_[PAIR, np.full(12, 0.1), np.full(12, 1e9)]
    with pytest.raises(ValueError, match=r"no variance in features 2 and 3\. Leave out"):
        GaussianMixture(2, prior=NormalMeans()).fit(X)


def test_weights_that_do_not_count_rows() -> None:
    with pytest.raises(ValueError, match="expected weights that count rows, got a sum of weights"):
        GaussianMixture(2, prior=NormalMeans()).fit(PAIR, sample_weight=np.full(12, 1 / 12))


def nearly_dependent(size: float, seed: int) -> Data:
    """Rows whose last feature is the sum of the others but for so much of a deviation."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 3))
    return np.c_[X, X.sum(axis=1) + size * rng.normal(size=30)] * [1.0, 1e3, 1e-4, 1.0]


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-6])
@pytest.mark.parametrize("structure", ["full", "tied", "EEI", "VII", "spherical"])
def test_the_bound_rises_where_the_prior_is_nearly_singular(structure: str, size: float) -> None:
    for seed in range(2):
        X = nearly_dependent(size, seed)
        fit = GaussianMixture(
            2, covariance_type=structure, prior=NormalMeans(), reg_covar=1e-4 * (seed % 2),
            random_state=seed, init_params="random", tol=1e-10, max_iter=30,
        )  # fmt: skip
        bounds = [fit.fit(X[:, order]).lower_bound_ for order in ([0, 1, 2, 3], [3, 1, 0, 2])]
        # Of V, as many digits are lost as its condition has.
        lost = np.finfo(float).eps * np.linalg.cond(np.corrcoef(X.T))
        assert bounds[0] == pytest.approx(bounds[1], abs=1e-6 + 20 * lost)


def test_rank_is_that_of_the_correlations() -> None:
    units = np.array([1e-150, 1e-5, 1.0, 1e140])
    X = np.random.default_rng(0).normal(size=(20, 4))
    V = np.cov(X.T)
    assert is_positive_definite(V * np.outer(units, units))
    assert dependent_features(V * np.outer(units, units)).size == 0
    Y = np.c_[X[:, :3], X[:, 0] + X[:, 2]]
    W = np.cov(Y.T) * np.outer(units, units)
    assert dependent_features(W).tolist() == [0, 2, 3]
    assert not is_positive_definite(W)
    skew = V.copy()
    skew[0, 1] += 0.5
    assert not is_positive_definite(skew * np.outer(units, units)[::-1, ::-1])

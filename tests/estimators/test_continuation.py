"""A warm start: two bounds of one problem decide that a fit has converged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import brentq
from sklearn.base import clone
from sklearn.mixture import GaussianMixture as PeerMixture
from starts import FAITHFUL

from em_toolkit import GaussianMixture, PoissonMixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

Data = npt.NDArray[Any]

COUNTS = np.random.default_rng(0).poisson([[2.0, 5.0]] * 40 + [[6.0, 1.0]] * 40).astype(float)
SETTINGS: dict[str, Any] = {
    "n_components": 2,
    "warm_start": True,
    "tol": 1e-3,
    "random_state": 0,
    "max_iter": 500,
}


def converged(X: Data, **options: Any) -> GaussianMixture:
    fit = GaussianMixture(**SETTINGS | {"reg_covar": 0.0} | options).fit(X)
    assert fit.converged_
    return fit


@pytest.mark.parametrize("which", [-1, -2], ids=["last bound", "last but one"])
def test_other_data_whose_first_bound_is_the_last_of_the_old(which: int) -> None:
    """Rows of other clusters, so far away that the fitted mixture likes them as the old ones."""
    fit = converged(FAITHFUL)
    target = float(fit.trace_.bounds[which])
    centres = fit.means_[fit.predict(FAITHFUL)]
    skewed = np.random.default_rng(1).exponential(size=FAITHFUL.shape) * [0.3, 5.0]

    def other(scale: float) -> Data:
        return np.asarray(centres + scale * skewed)

    scale = brentq(lambda s: fit.score(other(s)) - target, 1e-3, 10.0, xtol=1e-15, rtol=1e-15)
    X, first = other(scale), fit.score(other(scale))
    assert first == pytest.approx(target, abs=1e-9)
    fit.fit(X)
    assert fit.n_iter_ > 1
    assert fit.lower_bound_ - first > 0.1
    # Two bounds of the new data, and they are near.
    assert abs(fit.trace_.bounds[-2] - fit.trace_.bounds[-3]) < fit.tol


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize(
    "change",
    [
        {"weight_concentration": 3.0},
        {"fixed": None},
        {"reg_covar": 1.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_objective_is_another_problem(change: dict[str, Any]) -> None:
    """What was held fixed and is free now, say: the bound at the start is just the old one."""
    fit = converged(FAITHFUL, fixed={"means": [0]}, means_init=[[3.0, 60.0], [4.0, 80.0]])
    fit.set_params(**change).fit(FAITHFUL)
    assert fit.n_iter_ > 1
    assert abs(fit.trace_.bounds[-2] - fit.trace_.bounds[-3]) < fit.tol


def test_weights_and_labels_are_data() -> None:
    labels = np.full(len(FAITHFUL), -1)
    for other in (
        {"sample_weight": np.linspace(0.5, 1.5, len(FAITHFUL))},
        {"sample_labels": np.where(np.arange(len(FAITHFUL)) == 3, 0, labels)},
    ):
        fit = converged(FAITHFUL)
        assert fit.fit(FAITHFUL, **other).n_iter_ > 1
        assert fit.fit(FAITHFUL, **other).n_iter_ == 1


def test_parameters_changed_by_hand_are_a_new_start() -> None:
    fit = converged(FAITHFUL)
    fit.means_ = fit.means_ + 0.001
    assert fit.fit(FAITHFUL).n_iter_ > 1


@pytest.mark.parametrize("max_iter", [1, 2, 50])
def test_the_same_data_are_continued_as_in_scikit_learn(max_iter: int) -> None:
    options: dict[str, Any] = {
        "n_components": 2,
        "warm_start": True,
        "max_iter": max_iter,
        "reg_covar": 0.0,
        "random_state": 0,
        "init_params": "random",
    }
    ours, theirs = GaussianMixture(**options), PeerMixture(**options)
    for _ in range(100):
        counts = ours.fit(FAITHFUL).n_iter_, theirs.fit(FAITHFUL).n_iter_
        assert counts[0] == counts[1]
        assert ours.converged_ == theirs.converged_
        if ours.converged_:
            break
    assert ours.converged_


def test_a_longer_run_continues_the_same_problem() -> None:
    """What says how long to run, and by whom, is no other problem."""
    poisson = PoissonMixture(2, warm_start=True, random_state=0, tol=1e-6, max_iter=1000)
    poisson.fit(COUNTS)
    again = clone(poisson).fit(COUNTS)
    again.set_params(max_iter=7, n_jobs=1, verbose=0, bound_check="warn").fit(COUNTS)
    assert again.n_iter_ == 1


FORMS = {"full": "VVE", "tied": "EEE", "diag": "VEI", "spherical": "EII"}


@pytest.mark.parametrize("features", [2, 3], ids=["as many features as components", "more"])
@pytest.mark.parametrize("fitted", FORMS)
@pytest.mark.parametrize("changed", FORMS)
def test_covariances_of_another_form_are_not_misread(
    fitted: str, changed: str, features: int
) -> None:
    """Two diagonals have the shape of one matrix of two features."""
    rng = np.random.default_rng(1)
    X = np.vstack([rng.normal(size=(40, features)), rng.normal(size=(40, features)) + 2])
    fit = converged(X, covariance_type=fitted)
    loaded = GaussianMixture.from_json(fit.to_json())
    for mixture in (fit, loaded):
        assert mixture.covariance_type_ == fitted
        for name in (changed, FORMS[changed]):
            mixture.set_params(covariance_type=name)
            if changed == fitted:
                before = mixture.lower_bound_
                assert np.isfinite(mixture.score(X))
                again = GaussianMixture.from_json(mixture.to_json()).fit(X)
                assert again.lower_bounds_[0] > before - 0.5
                assert again.covariance_type_ == name
                continue
            with pytest.raises(ValueError, match=r"A warm start continues .* warm_start=False"):
                mixture.fit(X)
            refused = f"'{name}': expected '{fitted}'.* call fit"
            for ask in (mixture.score, mixture.bic):
                with pytest.raises(ValueError, match=refused):
                    ask(X)
            with pytest.raises(ValueError, match=refused):
                mixture.sample()
            with pytest.raises(ValueError, match="do not define a model"):
                GaussianMixture.from_json(mixture.to_json())
        anew = mixture.set_params(covariance_type=changed, warm_start=False).fit(X)
        assert anew.covariance_type_ == changed


def test_attributes_set_by_hand_are_of_the_type_that_is_set() -> None:
    fit = converged(FAITHFUL, covariance_type="diag")
    by_hand = GaussianMixture(2, covariance_type="diag")
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        setattr(by_hand, name, getattr(fit, name))
    assert np.array_equal(by_hand.predict(FAITHFUL), fit.predict(FAITHFUL))

"""Progress bars, and callbacks that watch a fit or stop it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from recorder import (
    ESTIMATORS,
    PropagatedRecorder,
    Recorder,
    assert_ledger_is_of,
    assert_same_parameters,
    fit_of,
)
from sklearn.base import clone
from sklearn.callback import FitCallback, ProgressBar, ScoringMonitor
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from em_toolkit import GaussianMixture, Status

Data = npt.NDArray[Any]


@pytest.fixture(params=ESTIMATORS)
def estimator(request: pytest.FixtureRequest) -> Any:
    return clone(ESTIMATORS[request.param])


@pytest.fixture
def X(iris: Data) -> Data:
    """Iris, moved and rounded: counts to a Poisson, measurements to the others."""
    return np.round(4.0 * iris + 12.0)


# -- watching -------------------------------------------------------------------------------------


def test_the_progress_bar_shows(
    estimator: Any, X: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = clone(estimator).fit(X)
    assert capsys.readouterr().out == ""
    assert estimator.set_callbacks(ProgressBar()).fit(X) is estimator
    shown = capsys.readouterr().out
    name = type(estimator).__name__
    assert f"{name} - fit" in shown
    assert f"{name} - start #0" in shown
    assert shown.count("100%") >= 2
    assert_same_parameters(estimator, plain)


def test_a_bar_for_every_start(X: Data, capsys: pytest.CaptureFixture[str]) -> None:
    GaussianMixture(2, n_init=3, random_state=0).set_callbacks(ProgressBar()).fit(X)
    shown = capsys.readouterr().out
    assert all(f"start #{start}" in shown for start in range(3))


def test_a_callback_sees_every_iteration(estimator: Any, X: Data) -> None:
    recorder = Recorder()
    assert isinstance(recorder, FitCallback)
    weights = np.random.RandomState(0).uniform(0.5, 2.0, size=len(X))
    estimator.set_callbacks(recorder).fit(X, sample_weight=weights)
    n_iter = estimator.n_iter_
    assert n_iter > 5
    iterations = [
        (hook, "iteration", iteration) for iteration in range(n_iter) for hook in ("begin", "end")
    ]
    assert recorder.events == [
        ("setup", "fit", 0),
        ("begin", "fit", 0),
        ("begin", "start", 0),
        *iterations,
        ("end", "start", 0),
        ("end", "fit", 0),
        ("teardown", "fit", 0),
    ]
    for task in recorder.tasks:
        np.testing.assert_array_equal(task["X"], X)
        np.testing.assert_array_equal(task["metadata"]["sample_weight"], weights)


def test_what_a_callback_sees_is_fitted_and_gets_better(estimator: Any, X: Data) -> None:
    recorder = Recorder()
    estimator.set_callbacks(recorder).fit(X)
    # Without a prior the score is the bound of each iteration.
    np.testing.assert_allclose(recorder.scores, estimator.lower_bounds_, rtol=1e-12)
    assert (np.diff(recorder.scores) > -1e-12).all()
    assert recorder.scores[-1] > recorder.scores[0]
    assert recorder.last is not estimator
    assert_same_parameters(recorder.last, estimator)


def test_the_scoring_monitor(X: Data) -> None:
    monitor = ScoringMonitor(scoring="adjusted_rand_score")
    estimator = clone(ESTIMATORS["gaussian"]).set_callbacks(monitor)
    species = np.repeat([0, 1, 2], 50)
    estimator.fit(X, species)
    rows = monitor.get_logs().data
    scores = [row["adjusted_rand_score"] for row in rows if row["task_name"] == "iteration"]
    assert len(scores) == estimator.n_iter_
    assert scores[-1] == adjusted_rand_score(species, estimator.predict(X))


def test_a_callback_is_told_of_all_rows(X: Data) -> None:
    """Those of weight zero too, so that X, y and the weights belong together."""
    weights = np.r_[np.zeros(10), np.ones(140)]
    recorder = Recorder()
    GaussianMixture(2).set_callbacks(recorder).fit(X, X[:, 0], sample_weight=weights)
    assert recorder.tasks[-1]["X"].shape == X.shape
    recorder = Recorder()
    GaussianMixture(2).set_callbacks(recorder).fit(X)
    assert recorder.tasks[-1]["metadata"] is None


def test_callbacks_of_a_pipeline_and_a_grid_search(
    X: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = PropagatedRecorder()
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0))
    pipeline.set_callbacks(recorder, ProgressBar()).fit(X)
    assert recorder.count("end", "iteration") == pipeline[-1].n_iter_
    assert "GaussianMixture - fit" in capsys.readouterr().out

    recorder = PropagatedRecorder()
    search = GridSearchCV(GaussianMixture(random_state=0), {"n_components": [1, 2]}, cv=2)
    search.set_callbacks(recorder, ProgressBar(max_propagation_depth=None)).fit(X)
    # Two candidates on two folds, and the refit.
    assert recorder.count("end", "start") == 5
    assert recorder.count("end", "iteration") >= 5
    assert recorder.count("setup", "fit") == recorder.count("teardown", "fit") == 1
    assert "GridSearchCV" in capsys.readouterr().out


def test_an_error_in_a_callback_is_passed_on(estimator: Any, X: Data) -> None:
    recorder = Recorder(fail=("end", "iteration", 2), error=RuntimeError)
    with pytest.raises(RuntimeError):
        estimator.set_callbacks(recorder, ProgressBar()).fit(X)
    assert recorder.events[-1] == ("teardown", "fit", 0)


# -- stopping -------------------------------------------------------------------------------------


def test_a_callback_stops_the_fit(estimator: Any, X: Data) -> None:
    recorder = Recorder(stop=("iteration", 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.set_callbacks(recorder).fit(X)
    assert estimator.n_iter_ == 4
    assert estimator.status_ is Status.STOPPED
    assert estimator.converged_ is False
    assert recorder.events[-3:] == [("end", "start", 0), ("end", "fit", 0), ("teardown", "fit", 0)]
    assert_ledger_is_of(estimator, X)
    assert_same_parameters(estimator, fit_of(4, estimator, X))


def test_stopping_an_iteration_leaves_the_other_starts(X: Data) -> None:
    estimator = GaussianMixture(3, init_params="random", n_init=3, random_state=0)
    estimator.set_callbacks(Recorder(stop=("iteration", 1))).fit(X)
    assert [restart.n_iter for restart in estimator.restarts_] == [2, 2, 2]
    assert {restart.status for restart in estimator.restarts_} == {Status.STOPPED}


def test_stopping_a_start_leaves_no_others(X: Data) -> None:
    recorder = Recorder(stop=("start", 1))
    estimator = GaussianMixture(3, init_params="random", n_init=5, random_state=0)
    estimator.set_callbacks(recorder).fit(X)
    assert len(estimator.restarts_) == 2
    assert recorder.count("begin", "start") == 2
    assert estimator.status_ is Status.CONVERGED
    assert estimator.converged_

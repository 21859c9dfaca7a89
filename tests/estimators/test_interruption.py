"""Ctrl-C in a fit: the estimator is fitted with the best parameters until then."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
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
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import em_toolkit.estimators.mixture as mixture_module
from em_toolkit import GaussianMixture, Status
from em_toolkit.engine.monitor import Monitor
from em_toolkit.families import Gaussian
from em_toolkit.models import Mixture

Data = npt.NDArray[Any]


@pytest.fixture(params=ESTIMATORS)
def estimator(request: pytest.FixtureRequest) -> Any:
    return clone(ESTIMATORS[request.param])


@pytest.fixture
def X(iris: Data) -> Data:
    """Iris, moved and rounded: counts to a Poisson, measurements to the others."""
    return np.round(4.0 * iris + 12.0)


def fit_to_the_end(estimator: Any, X: Data) -> None:
    try:
        estimator.fit(X)
    except KeyboardInterrupt:  # which would end the tests
        pytest.fail("the interruption was not caught")


def interrupted_fit(estimator: Any, X: Data) -> Any:
    """Fit, and see that the interruption gives one warning and the status that says so."""
    with pytest.warns(ConvergenceWarning, match="interrupted from the keyboard") as caught:
        fit_to_the_end(estimator, X)
    assert len(caught) == 1
    assert estimator.status_ is Status.INTERRUPTED
    assert_ledger_is_of(estimator, X)
    return estimator


@pytest.mark.parametrize(("hook", "n_iter"), [("begin", 3), ("end", 4)])
def test_interruption_in_a_callback(estimator: Any, X: Data, hook: str, n_iter: int) -> None:
    recorder = Recorder(fail=(hook, "iteration", 3))
    interrupted_fit(estimator.set_callbacks(recorder), X)
    assert estimator.n_iter_ == n_iter
    assert estimator.converged_ is False
    assert_same_parameters(estimator, fit_of(n_iter, estimator, X))
    assert recorder.events[-1] == ("teardown", "fit", 0)


def interrupt_on_call(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int) -> None:
    """From the given call of a function on, Ctrl-C arrives within it (once)."""
    function, calls = getattr(owner, name), []

    def interrupted(*arguments: Any, **others: Any) -> Any:
        calls.append(name)
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments, **others)

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        # The start has its own M-step, and the first E-step is at the start.
        (Mixture, "posterior", 5),
        (Mixture, "statistics", 5),
        (Gaussian, "statistics", 6),
        (Mixture, "maximize", 4),
        (Monitor, "after_m_step", 4),
        (Monitor, "after_e_step", 5),
        (Monitor, "_record", 8),
    ],
)
def test_interruption_within_a_step(
    monkeypatch: pytest.MonkeyPatch, X: Data, owner: Any, name: str, number: int
) -> None:
    estimator = clone(ESTIMATORS["gaussian"])
    expected = fit_of(3, estimator, X)
    interrupt_on_call(monkeypatch, owner, name, number)
    interrupted_fit(estimator, X)
    assert estimator.n_iter_ == 3
    assert_same_parameters(estimator, expected)
    assert estimator.score(X) == pytest.approx(estimator.lower_bound_, rel=1e-12)


def test_an_interrupted_fit_can_be_continued(X: Data) -> None:
    whole = clone(ESTIMATORS["gaussian"]).fit(X)
    estimator = clone(whole).set_params(warm_start=True)
    interrupted_fit(estimator.set_callbacks(Recorder(fail=("end", "iteration", 3))), X)
    estimator.set_callbacks().fit(X)
    assert estimator.n_iter_ == whole.n_iter_ - 4
    assert estimator.status_ is Status.CONVERGED
    np.testing.assert_allclose(estimator.means_, whole.means_, rtol=1e-9)


SEVERAL = GaussianMixture(3, init_params="random", n_init=4, reg_covar=0.0, random_state=0)


@pytest.mark.parametrize("begun", [False, True], ids=["initialization", "iterations"])
def test_interruption_of_a_later_start_keeps_the_best(
    monkeypatch: pytest.MonkeyPatch, X: Data, begun: bool
) -> None:
    estimator = clone(SEVERAL)
    two = clone(SEVERAL).set_params(n_init=2).fit(X)
    if begun:
        # The third start is barely begun, and worse than the first two.
        n_iter = sum(restart.n_iter for restart in two.restarts_)
        interrupt_on_call(monkeypatch, Mixture, "posterior", n_iter + 2 + 2)
    else:
        initializers = dict(mixture_module.INITIALIZERS)
        monkeypatch.setattr(mixture_module, "INITIALIZERS", initializers)
        calls: list[int] = []

        def third_is_interrupted(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return random(*arguments)

        random, initializers["random"] = initializers["random"], third_is_interrupted
    interrupted_fit(estimator, X)
    assert_same_parameters(estimator, two)
    assert estimator.converged_ is True
    assert [restart.status for restart in estimator.restarts_] == [
        Status.CONVERGED,
        Status.CONVERGED,
        Status.INTERRUPTED,
    ]


def test_interruption_when_a_start_ends_keeps_it(X: Data) -> None:
    estimator = clone(SEVERAL).set_callbacks(Recorder(fail=("end", "start", 0)))
    interrupted_fit(estimator, X)
    assert_same_parameters(estimator, clone(SEVERAL).set_params(n_init=1).fit(X))
    assert len(estimator.restarts_) == 1


def test_interruption_before_there_is_anything_to_keep(
    monkeypatch: pytest.MonkeyPatch, X: Data
) -> None:
    interrupt_on_call(monkeypatch, Mixture, "posterior", 1)
    estimator = clone(SEVERAL)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)
    assert not hasattr(estimator, "weights_")


def test_interruption_ends_a_grid_search_and_not_one_of_its_fits(X: Data) -> None:
    recorder = PropagatedRecorder(fail=("end", "iteration", 0))
    search = GridSearchCV(GaussianMixture(random_state=0), {"n_components": [1, 2]}, cv=2)
    with (
        pytest.warns(ConvergenceWarning, match="interrupted"),
        pytest.raises(KeyboardInterrupt),
    ):
        search.set_callbacks(recorder).fit(X)
    assert recorder.count("begin", "start") == 1


def test_an_interrupted_pipeline_can_predict(X: Data) -> None:
    """The interruption goes through to whoever pressed the keys, the last step is fitted."""
    pipeline = make_pipeline(StandardScaler(), clone(ESTIMATORS["gaussian"]))
    pipeline.set_callbacks(PropagatedRecorder(fail=("end", "iteration", 2)))
    with (
        pytest.warns(ConvergenceWarning, match="interrupted"),
        pytest.raises(KeyboardInterrupt),
    ):
        pipeline.fit(X)
    assert pipeline[-1].n_iter_ == 3
    assert pipeline.predict(X).shape == (len(X),)


SCRIPT = """
    import json, sys, warnings
    import numpy as np
    from em_toolkit import GaussianMixture

    class Announce:
        def setup(self, estimator, context): pass
        def teardown(self, estimator, context): pass
        def on_fit_task_begin(self, estimator, context): pass
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "iteration" and context.task_id == 4:
                print("running", flush=True)

    X = np.random.RandomState(0).randn(20000, 4)
    estimator = GaussianMixture(
        6, init_params="random", reg_covar=0.0, tol=0.0, max_iter=10**6, random_state=0
    )
    estimator.set_callbacks(Announce())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X)
    print(json.dumps({
        "warnings": [str(warning.message) for warning in caught],
        "status": str(estimator.status_),
        "n_iter": estimator.n_iter_,
        "rows": len(estimator.trace_),
        "last": str(estimator.trace_.half_step[-1]),
        "gap": abs(estimator.score(X) - estimator.lower_bound_),
        "converged": estimator.converged_,
    }))
"""


def test_a_real_interruption_of_a_long_fit() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    result = json.loads(output)
    assert len(result["warnings"]) == 1
    assert "interrupted from the keyboard" in result["warnings"][0]
    assert result["status"] == str(Status.INTERRUPTED)
    assert result["n_iter"] >= 5
    assert result["rows"] == 2 * result["n_iter"] + 1
    assert result["last"] == "E"
    assert result["gap"] < 1e-10
    assert result["converged"] is False

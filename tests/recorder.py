"""What the tests of callbacks share: estimators that iterate, and a callback that takes notes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from em_toolkit import PPCA, GaussianMixture, PoissonMixture

Data = npt.NDArray[Any]

# Fits of a dozen iterations or more.
ESTIMATORS: dict[str, Any] = {
    "gaussian": GaussianMixture(3, init_params="random", reg_covar=0.0, random_state=0),
    "poisson": PoissonMixture(2, init_params="random", tol=1e-5, random_state=0),
    "ppca": PPCA(2, solver="em", random_state=0),
}


class Recorder:
    """Notes every hook; at chosen tasks asks to stop, or raises."""

    def __init__(
        self,
        *,
        stop: tuple[str, int] | None = None,
        fail: tuple[str, str, int] | None = None,
        error: type[BaseException] = KeyboardInterrupt,
    ) -> None:
        self.events: list[tuple[str, str, int]] = []
        self.tasks: list[dict[str, Any]] = []
        self.scores: list[float] = []
        self.last: Any = None
        self._stop, self._fail, self._error = stop, fail, error

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append(("setup", context.task_name, context.task_id))

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append(("teardown", context.task_name, context.task_id))

    def on_fit_task_begin(self, estimator: Any, context: Any, *, X: Any, metadata: Any) -> None:
        self._note("begin", context)
        self.tasks.append({"X": X, "metadata": metadata})

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, fitted_estimator: Any
    ) -> bool:
        if context.task_name == "iteration":
            self.last = fitted_estimator
            self.scores.append(fitted_estimator.score(X))
        self._note("end", context)
        return (context.task_name, context.task_id) == self._stop

    def _note(self, hook: str, context: Any) -> None:
        event = (hook, context.task_name, context.task_id)
        self.events.append(event)
        if event == self._fail:
            raise self._error

    def count(self, hook: str, task: str) -> int:
        return sum(event[:2] == (hook, task) for event in self.events)


class PropagatedRecorder(Recorder):
    """A recorder that a meta-estimator hands on."""

    max_propagation_depth = None


def assert_ledger_is_of(estimator: Any, X: Data) -> None:
    """The last row is the E-step at exactly the fitted parameters."""
    trace = estimator.trace_
    assert trace.half_step[-1] == "E"
    assert len(trace) == 2 * estimator.n_iter_ + 1
    assert estimator.lower_bound_ == estimator.lower_bounds_[-1] == trace.bounds[-1]
    assert estimator.score(X) == pytest.approx(trace.log_evidence[-1], rel=1e-12)


def assert_same_parameters(a: Any, b: Any) -> None:
    for name in ("means_", "weights_", "rates_", "loadings_", "noise_variance_"):
        if hasattr(b, name):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12)


def fit_of(n_iter: int, estimator: Any, X: Data) -> Any:
    """A clean fit of so many iterations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clone(estimator).set_params(max_iter=n_iter).set_callbacks().fit(X)

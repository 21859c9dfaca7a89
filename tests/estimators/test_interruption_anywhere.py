"""Ctrl-C at any moment of a fit reaches the fit: it ends with the best until then, or raises."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.base import clone

import em_toolkit
from em_toolkit import PPCA, GaussianMixture, PoissonMixture, Status, select_mixture

Data = npt.NDArray[Any]

PACKAGE = str(Path(em_toolkit.__file__).parent)
# Interrupts in a fit, one in each repetition of it.
MOMENTS = 60


class InterruptAt:
    """A KeyboardInterrupt as a function of the package is called, the one with this number.

    Python itself would raise it there if a signal had arrived before; but this one comes at the
    same moment in each repetition. It comes once.

    Parameters
    ----------
    number : int
        Of the call, from 0.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.n_calls = 0
        self.where: list[str] = []

    def __enter__(self) -> InterruptAt:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return
        self.n_calls += 1
        if self.n_calls == self.number + 1:
            caller: FrameType | None = frame
            while caller is not None:
                self.where.append(caller.f_code.co_qualname)
                caller = caller.f_back
            raise KeyboardInterrupt


def moments(run: Callable[[], Any]) -> list[int]:
    """Return numbers of calls that lie evenly over a run, the first and the last included."""
    run()  # what is made once in a process is made now
    with InterruptAt(-1) as watch:
        run()
    return np.unique(np.linspace(0, watch.n_calls - 1, MOMENTS).astype(int)).tolist()


def some_rows(n_rows: int, *, missing: bool = False, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 2)) + 3.0 * rng.integers(0, 2, size=(n_rows, 1))
    if missing:
        X[rng.random(X.shape) < 0.2] = np.nan
        X = X[~np.isnan(X).all(axis=1)]
    return X


COMPLETE, HOLES = some_rows(60), some_rows(60, missing=True)
FEW = {"max_iter": 3, "tol": 0.0, "random_state": 0}
FITS: dict[str, tuple[Any, Data]] = {
    "missing": (GaussianMixture(2, **FEW), HOLES),
    "missing, several starts": (GaussianMixture(2, n_init=3, **FEW), HOLES),
    "short runs": (GaussianMixture(2, init_params="short_em", **FEW), COMPLETE),
    "race": (GaussianMixture(2, init_params="auto", **FEW), COMPLETE),
    "race on what was filled": (GaussianMixture(2, init_params="auto", **FEW), HOLES),
    "noise": (GaussianMixture(2, noise=True, **FEW), COMPLETE),
    "noise and short runs on what was filled": (
        GaussianMixture(2, noise=True, init_params="short_em", **FEW),
        HOLES,
    ),
    "accelerated": (GaussianMixture(2, acceleration="quasi_newton", **FEW), COMPLETE),
    "counts": (
        PoissonMixture(2, init_params="auto", **FEW),
        np.random.default_rng(0).poisson(3.0, (40, 2)).astype(float),
    ),
    "PPCA": (PPCA(1, solver="em", max_iter=5), COMPLETE),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", FITS)
def test_an_interrupt_at_any_moment_ends_the_fit(name: str) -> None:
    estimator, X = FITS[name]

    def fit() -> Any:
        return clone(estimator).fit(X)

    ended = raised = 0
    for number in moments(fit):
        with InterruptAt(number) as interrupt:
            try:
                fitted = fit()
            except KeyboardInterrupt:
                raised += 1
                continue
        if not interrupt.where:  # a call fewer than in the run that was counted
            continue
        assert fitted.status_ is Status.INTERRUPTED, interrupt.where
        ended += 1
    assert raised > 0
    assert ended > 0
    assert raised + ended > 0.9 * MOMENTS


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("init_params", ["short_em", "hierarchical"])
def test_an_interrupt_at_any_moment_ends_a_search(init_params: str) -> None:
    def search() -> Any:
        options = {"init_params": init_params, "max_iter": 3}
        return select_mixture(HOLES, [1, 2], ["full", "diag"], random_state=0, **options)

    for number in moments(search):
        with InterruptAt(number) as interrupt:
            try:
                found = search()
            except KeyboardInterrupt:
                continue
        if not interrupt.where:
            continue
        cut_off = [candidate.status == "interrupted" for candidate in found.candidates]
        assert any(cut_off), interrupt.where

"""The loop: the order of its steps, when it stops, interruption and collapse."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from oracles import Data, gaussian_log_densities, mixture_log_density
from scipy.special import logsumexp
from scipy.stats import norm
from starts import FAITHFUL, faithful_start, gaussian_mixture, poisson

import em_toolkit
from em_toolkit import Status
from em_toolkit.engine import Fit, Rows
from em_toolkit.engine.em import em
from em_toolkit.families import (
    FullCovariances,
    Gaussian,
    GaussianComponents,
    Poisson,
    PoissonRates,
)
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.parameters import CollapseError

# -- the order of steps ---------------------------------------------------------------------------


class Logged(Mixture[Any]):
    """A mixture that writes down which step was taken with what."""

    def __init__(self, family: Any) -> None:
        super().__init__(family)
        self.steps: list[tuple[str, Any]] = []
        self.statistics_of: dict[int, Any] = {}

    def expectation(self, params: Any, X: Data, weights: Data, known: Any = None) -> Any:
        expectation = super().expectation(params, X, weights)
        self.steps.append(("E", params))
        self.statistics_of[id(params)] = expectation.statistics
        return expectation

    def maximize(self, params: Any, stats: Any) -> Any:
        # The statistics are those of an E-step at these very parameters.
        assert self.statistics_of[id(params)] is stats
        new = super().maximize(params, stats)
        self.steps.append(("M", new))
        return new


@pytest.mark.parametrize("n_iter", [0, 1, 2, 7])
def test_steps_take_turns_and_an_e_step_at_the_result_is_the_last(n_iter: int) -> None:
    model, start = Logged(Gaussian()), faithful_start()
    fit = em(model, start, Rows(FAITHFUL), max_iter=n_iter, tol=0.0)

    order = "E" + n_iter * "ME"
    assert "".join(step for step, _ in model.steps) == order
    assert "".join(fit.trace.half_step) == order
    assert fit.trace.iteration.tolist() == [0] + [i for i in range(1, n_iter + 1) for _ in "ME"]
    # Each E-step is taken at what the M-step before it gave.
    made = [start] + [params for step, params in model.steps if step == "M"]
    assert [params for step, params in model.steps if step == "E"] == made
    assert fit.params is made[-1]
    assert fit.trace.n_iter == n_iter
    assert fit.trace.bounds.shape == (n_iter + 1,)


def own_evidence(params: MixtureParameters[GaussianComponents], X: Data) -> float:
    components = params.components
    densities = gaussian_log_densities(X, components.means, components.covariances.sklearn_array)
    return float(mixture_log_density(np.log(params.weights), densities).mean())


def test_the_last_row_is_the_evidence_of_the_parameters_returned() -> None:
    for n_iter in range(4):
        fit = em(gaussian_mixture(), faithful_start(), Rows(FAITHFUL), max_iter=n_iter, tol=0.0)
        assert fit.trace.log_evidence[-1] == pytest.approx(
            own_evidence(fit.params, FAITHFUL), rel=1e-13
        )


# -- stopping -------------------------------------------------------------------------------------


def plain_loop(
    x: Data, weights: Data, means: Data, variances: Data, tol: float, max_iter: int
) -> tuple[int, Data]:
    """EM in one dimension with scikit-learn's order and count, in ten lines."""
    n_iter, change, previous = 0, np.inf, -np.inf
    while n_iter < max_iter and not change < tol:
        joint = np.log(weights) + norm.logpdf(x[:, None], means, np.sqrt(variances))
        evidence = logsumexp(joint, axis=1)
        responsibilities = np.exp(joint - evidence[:, None])
        counts = responsibilities.sum(axis=0)
        weights, means = counts / len(x), x @ responsibilities / counts
        variances = (responsibilities * (x[:, None] - means) ** 2).sum(axis=0) / counts
        change, previous = abs(evidence.mean() - previous), evidence.mean()
        n_iter += 1
    return n_iter, np.concatenate([weights, means, variances])


def as_vector(params: MixtureParameters[GaussianComponents]) -> Data:
    components = params.components
    return np.concatenate(
        [params.weights, components.means.ravel(), components.covariances.values.ravel()]
    )


@pytest.mark.parametrize("tol", [1.0, 1e-2, 1e-3, 1e-5, 1e-8, 0.0])
def test_iterations_are_counted_as_in_scikit_learn(tol: float) -> None:
    x = FAITHFUL[:, 1]
    weights, means, variances = np.array([0.5, 0.5]), np.array([65.0, 75.0]), np.full(2, 100.0)
    n_iter, expected = plain_loop(x, weights, means, variances, tol, max_iter=200)

    components = GaussianComponents(means[:, None], FullCovariances(variances[:, None, None]))
    start = MixtureParameters(weights, components)
    fit = em(gaussian_mixture(), start, Rows(x[:, None]), max_iter=200, tol=tol)

    assert fit.trace.n_iter == n_iter
    assert fit.status is (Status.CONVERGED if tol else Status.MAX_ITER)
    np.testing.assert_allclose(as_vector(fit.params), expected, rtol=1e-11)


def test_no_iteration_gives_the_start() -> None:
    start = faithful_start()
    fit = em(gaussian_mixture(), start, Rows(FAITHFUL), max_iter=0)
    assert fit.params is start
    assert fit.status is Status.START
    assert len(fit.trace) == 1
    assert fit.trace.n_iter == 0


def test_a_fit_that_is_continued_stops_where_one_go_would() -> None:
    """Split anywhere: the bound before the split goes along, or one change would not be seen."""
    model, rows = gaussian_mixture(), Rows(FAITHFUL)
    whole = em(model, faithful_start(), rows, tol=1e-4)
    assert whole.status is Status.CONVERGED
    assert whole.trace.n_iter > 5
    for n_first in range(1, whole.trace.n_iter):
        first = em(model, faithful_start(), rows, max_iter=n_first, tol=1e-4)
        assert first.status is Status.MAX_ITER
        previous_bound = float(first.trace.bounds[-2])
        second = em(model, first.params, rows, tol=1e-4, previous_bound=previous_bound)
        assert first.trace.n_iter + second.trace.n_iter == whole.trace.n_iter
        assert second.params.allclose(whole.params, rtol=0.0, atol=0.0)
        assert second.status is Status.CONVERGED


def test_a_fit_that_had_converged_takes_one_more_iteration() -> None:
    model, rows = gaussian_mixture(), Rows(FAITHFUL)
    first = em(model, faithful_start(), rows, tol=1e-6, max_iter=1000)
    previous_bound = float(first.trace.bounds[-2])
    again = em(model, first.params, rows, tol=1e-6, previous_bound=previous_bound)
    assert (again.trace.n_iter, again.status) == (1, Status.CONVERGED)


@dataclass
class Listening:
    """Writes down what it hears, and stops the fit when told to."""

    stop_at: int = -1
    heard: list[tuple[Any, ...]] = field(default_factory=list)

    def begin(self, iteration: int, bound: float) -> None:
        self.heard.append(("begin", iteration, bound))

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        self.heard.append(("end", iteration, bound, params))
        return iteration == self.stop_at


def test_a_listener_hears_every_iteration_and_may_stop_the_fit() -> None:
    listener = Listening(stop_at=3)
    fit = em(gaussian_mixture(), faithful_start(), Rows(FAITHFUL), tol=0.0, listener=listener)
    assert fit.status is Status.STOPPED
    assert fit.trace.n_iter == 3
    bounds = fit.trace.bounds
    expected = [
        event for i in (1, 2, 3) for event in (("begin", i, bounds[i - 1]), ("end", i, bounds[i]))
    ]
    assert [event[:3] for event in listener.heard] == expected
    assert listener.heard[-1][3] is fit.params


# -- interruption ---------------------------------------------------------------------------------

PACKAGE = Path(em_toolkit.__file__).parent
WATCHED = {
    str(PACKAGE / name)
    for name in (
        "engine/em.py",
        "engine/expectation.py",
        "engine/monitor.py",
        "model.py",
        "models/mixture.py",
        "families/gaussian.py",
    )
}


class InterruptAtLine:
    """Raises KeyboardInterrupt before the n-th line of the loop's or the model's code.

    Ctrl-C comes between any two instructions; this comes at every place in turn.
    """

    def __init__(self, n_line: int) -> None:
        self.n_line = n_line
        self.n_seen = 0

    def __enter__(self) -> InterruptAtLine:
        self._previous = sys.gettrace()
        sys.settrace(self._enter_frame)
        return self

    def __exit__(self, *others: object) -> None:
        sys.settrace(self._previous)

    def _enter_frame(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._count if frame.f_code.co_filename in WATCHED else None

    def _count(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.n_seen += 1
            if self.n_seen == self.n_line:
                raise KeyboardInterrupt
        return self._count


def test_an_interruption_anywhere_leaves_parameters_and_ledger_that_belong_together() -> None:
    model, start, rows = gaussian_mixture("diag"), faithful_start("diag"), Rows(FAITHFUL[:20])
    clean = [em(model, start, rows, max_iter=n, tol=0.0) for n in range(3)]

    def attempt(n_line: int) -> tuple[Fit[Any] | None, int]:
        with InterruptAtLine(n_line) as clock:
            try:
                return em(model, start, rows, max_iter=2, tol=0.0), clock.n_seen
            except KeyboardInterrupt:
                return None, clock.n_seen

    whole, n_lines = attempt(-1)
    assert whole is not None
    assert whole.status is Status.MAX_ITER
    assert n_lines > 200

    outcomes: list[int | None] = []
    for n_line in range(1, n_lines + 1):
        fit, n_seen = attempt(n_line)
        assert n_seen >= n_line
        if fit is None:
            outcomes.append(None)
            continue
        assert fit.status is Status.INTERRUPTED
        expected = clean[fit.trace.n_iter]
        outcomes.append(fit.trace.n_iter)
        assert np.array_equal(as_vector(fit.params), as_vector(expected.params))
        assert np.array_equal(fit.trace.elbo, expected.trace.elbo)
        assert np.array_equal(fit.trace.log_evidence[::2], expected.trace.log_evidence[::2])

    # Before the first E-step is done there is nothing to return, and the last lines hand the
    # result over; in between nothing is lost, and what is kept grows.
    kept = [n_iter for n_iter in outcomes if n_iter is not None]
    assert sorted(set(kept)) == [0, 1, 2]
    assert kept == sorted(kept)
    first = outcomes.index(0)
    assert None not in outcomes[first : first + len(kept)]
    assert n_lines - (first + len(kept)) < 10


# -- collapse -------------------------------------------------------------------------------------


class CollapsesLater(Mixture[Any]):
    """Its M-step number `when` gives a covariance that is not one."""

    def __init__(self, family: Any, when: int, value: float) -> None:
        super().__init__(family)
        self.when, self.value, self.n_steps = when, value, 0

    def maximize(self, params: Any, stats: Any) -> Any:
        self.n_steps += 1
        new = super().maximize(params, stats)
        if self.n_steps < self.when:
            return new
        values = np.array(new.components.covariances.values)
        values[1] = self.value
        components = GaussianComponents(new.components.means, FullCovariances(values))
        return MixtureParameters(new.weights, components)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("when", [1, 3])
def test_a_later_collapse_ends_with_the_last_good_parameters(when: int, value: float) -> None:
    model = CollapsesLater(Gaussian(), when, value)
    fit = em(model, faithful_start(), Rows(FAITHFUL), tol=0.0)
    clean = em(gaussian_mixture(), faithful_start(), Rows(FAITHFUL), max_iter=when - 1, tol=0.0)
    assert fit.status is Status.COLLAPSED
    assert ("component 1" if np.isfinite(value) else "overflowed") in fit.cause
    assert fit.params.allclose(clean.params, rtol=0.0, atol=0.0)
    np.testing.assert_array_equal(fit.trace.elbo, clean.trace.elbo)


def test_a_component_that_shrinks_onto_a_row_is_a_collapse() -> None:
    """Nothing made up: one component falls onto the outlier, and maximum likelihood follows it."""
    X = np.append(np.random.default_rng(0).standard_normal(50), 60.0)[:, None]
    components = GaussianComponents(
        np.array([[0.0], [60.0]]), FullCovariances(np.array([[[1.0]], [[0.5]]]))
    )
    start = MixtureParameters(np.array([0.9, 0.1]), components)
    fit = em(gaussian_mixture(), start, Rows(X), tol=0.0)
    assert fit.status is Status.COLLAPSED
    assert "component 1 has variance" in fit.cause
    assert np.isfinite(fit.params.components.covariances.values).all()
    assert len(fit.trace) == 2 * fit.trace.n_iter + 1
    assert fit.trace.log_evidence[-1] == pytest.approx(own_evidence(fit.params, X), rel=1e-13)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 2)), "component 0 has variance 0"),
        (np.ones((2, 2)), "singular to rounding"),
        (np.full((2, 2), np.nan), "overflowed"),
    ],
)
def test_a_start_without_density_raises(matrix: Data, message: str) -> None:
    components = GaussianComponents(np.zeros((2, 2)), FullCovariances.shared(matrix, 2))
    start = MixtureParameters(np.array([0.5, 0.5]), components)
    with pytest.raises(CollapseError, match=message):
        em(gaussian_mixture(), start, Rows(FAITHFUL))


def test_a_start_that_gives_a_row_no_probability_raises() -> None:
    start = poisson([0.5, 0.5], [[1.0, 0.0], [3.0, 0.0]])
    with pytest.raises(CollapseError, match="no probability"):
        em(Mixture(Poisson()), start, Rows(np.array([[1.0, 0.0], [2.0, 5.0]])))


class LosesARow(Mixture[Any]):
    """Its M-steps end in rates of zero."""

    def maximize(self, params: Any, stats: Any) -> Any:
        new = super().maximize(params, stats)
        return MixtureParameters(new.weights, PoissonRates(0.0 * new.components.rates))


def test_a_row_that_loses_its_probability_later_ends_the_fit() -> None:
    start, counts = poisson([0.5, 0.5], [[1.0], [3.0]]), np.arange(5.0)[:, None]
    fit = em(LosesARow(Poisson()), start, Rows(counts), bound_check="off")
    assert fit.status is Status.COLLAPSED
    assert "no probability" in fit.cause
    assert fit.params is start
    assert len(fit.trace) == 1

"""Acceleration: fewer passes to the same maximum, a bound that never falls, and EM as it was."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Data, gaussian_log_densities, mixture_log_density
from recorder import assert_ledger_is_of
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from starts import FAITHFUL, faithful_start, gaussian_mixture, poisson

from em_toolkit import PPCA, GaussianMixture, PoissonMixture, Status
from em_toolkit.displays import ELBODisplay
from em_toolkit.engine import Fit, Rows
from em_toolkit.engine.acceleration import ACCELERATIONS, Extrapolation, QuasiNewton, Squarem
from em_toolkit.engine.em import em
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import FullCovariances, GaussianComponents, Poisson
from em_toolkit.model import LatentVariableModel
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.parameters import CollapseError, Parameters, probability
from em_toolkit.statistics import Statistics
from em_toolkit.testing import check_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

NAMES = sorted(ACCELERATIONS)
by_name = pytest.mark.parametrize("name", NAMES)


class Passes:
    """Blocks that count how often they are read."""

    def __init__(self, blocks: Any) -> None:
        self.blocks, self.n = blocks, 0

    def __iter__(self) -> Iterator[Any]:
        self.n += 1
        return iter(self.blocks)


@dataclass
class AtRest:
    """A listener that ends the fit when an M-step moves the parameters by less than `residual`."""

    model: Any
    rows: Rows
    residual: float

    def begin(self, iteration: int, bound: float) -> None:
        pass

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        stats = self.model.expectation(params, *next(iter(self.rows))).statistics
        return distance(self.model.maximize(params, stats), params) < self.residual


def distance(a: Any, b: Any) -> float:
    """Between Poisson mixtures: of the first weight and the rates, as R's packages measure it."""
    rates = (a.components.rates - b.components.rates).ravel()
    return float(np.linalg.norm(np.append(rates, a.weights[0] - b.weights[0])))


def run(model: Any, start: Any, rows: Rows, acceleration: str | None, **options: Any) -> Fit[Any]:
    """A fit, whose passes over the data are what it says."""
    blocks = Passes(rows)
    fit = em(model, start, blocks, acceleration=acceleration, **options)
    assert fit.n_passes == blocks.n
    return fit


def assert_monotone(fit: Fit[Any]) -> None:
    """The bounds never fall but for rounding; and not at all where a step is extrapolated."""
    trace, rise = fit.trace, np.diff(fit.trace.bounds)
    assert (rise >= -1e-12 * np.abs(trace.bounds[1:])).all()
    assert (rise[trace.extrapolated[~trace.after_e_step]] >= 0.0).all()
    assert (np.diff(trace.elbo) >= -1e-11 * np.abs(trace.elbo[1:])).all()


# -- Hasselblad's counts --------------------------------------------------------------------------

COUNTS = np.arange(10.0)[:, None]
DEATHS = np.array([162.0, 267, 271, 185, 111, 61, 27, 8, 3, 1])
MAXIMUM = -1989.945859883  # by Nelder-Mead on the log-likelihood, which knows nothing of EM


@pytest.mark.parametrize(
    ("weight", "rates", "n_plain"),
    [(0.5, [[1.0], [3.0]], 2643), (0.3, [[1.0], [2.5]], 2586)],
    ids=["first start", "second start"],
)
def test_hasselblads_maximum_in_few_passes(
    weight: float, rates: list[list[float]], n_plain: int
) -> None:
    """R's packages need 2,643 evaluations from the first start, 66 with SQUAREM, 43 with DAAREM.

    They count until an M-step moves weight and rates by less than 1e-8, without the evaluations
    of the log-likelihood, which come with the pass here. From the second start R's SQUAREM of
    second order runs to its limit.
    """
    model, start = Mixture(Poisson()), poisson([weight, 1.0 - weight], rates)
    rows, n_passes = Rows(COUNTS, DEATHS), {}
    for name in (None, "squarem", "quasi_newton"):
        at_rest = AtRest(model, rows, residual=1e-8)
        fit = run(model, start, rows, name, tol=0.0, max_iter=5000, listener=at_rest)
        assert fit.status is Status.STOPPED
        assert_monotone(fit)
        assert fit.trace.bounds[-1] * DEATHS.sum() == pytest.approx(MAXIMUM, abs=2e-9)
        assert fit.params.weights[0] == pytest.approx(0.359885, abs=3e-6)
        n_passes[name] = fit.n_passes
    assert n_passes[None] == n_plain
    assert n_passes["squarem"] < 0.1 * n_plain
    assert n_passes["quasi_newton"] < 43


# -- Gaussian mixtures ----------------------------------------------------------------------------


def in_a_row(
    seed: int, n_features: int, n_components: int, apart: float, structure: str, n_rows: int = 400
) -> tuple[Any, Any, Rows]:
    """Spherical clusters, `apart` standard deviations from each other; a start at the truth."""
    rng = np.random.default_rng(seed)
    means = np.zeros((n_components, n_features))
    means[:, 0] = apart * np.arange(n_components)
    X = means[rng.integers(n_components, size=n_rows)]
    X += rng.standard_normal(X.shape)
    model = gaussian_mixture(structure)
    covariances = CLASSES[structure].shared(np.eye(n_features), n_components)
    weights = np.full(n_components, 1.0 / n_components)
    return model, MixtureParameters(weights, GaussianComponents(means, covariances)), Rows(X)


@pytest.mark.parametrize(
    ("n_features", "n_components", "apart", "structure"),
    [(1, 2, 2.0, "full"), (2, 2, 2.0, "full"), (2, 3, 2.0, "diag"), (2, 3, 1.5, "tied")],
)
def test_overlapping_clusters_in_a_fraction_of_the_passes(
    n_features: int, n_components: int, apart: float, structure: str
) -> None:
    """Five data sets; each fit until a tol of 1e-9 nats a row, by its own rule.

    All but one at most must come as high as plain EM, to within 1e-7: from the same start one may
    reach another local maximum.
    """
    n_passes, n_reached = dict.fromkeys([None, *NAMES], 0), dict.fromkeys(NAMES, 0)
    for seed in range(5):
        problem = in_a_row(seed, n_features, n_components, apart, structure)
        plain = run(*problem, None, tol=1e-9, max_iter=20_000)
        n_passes[None] += plain.n_passes
        for name in NAMES:
            fast = run(*problem, name, tol=1e-9, max_iter=20_000)
            assert plain.status is fast.status is Status.CONVERGED
            assert_monotone(fast)
            n_passes[name] += fast.n_passes
            n_reached[name] += bool(fast.trace.bounds[-1] >= plain.trace.bounds[-1] - 1e-7)
    for name in NAMES:
        assert n_passes[name] <= 0.4 * n_passes[None]
        assert n_reached[name] >= 4


@by_name
@pytest.mark.parametrize("tol", [1e-3, 1e-5, 1e-9])
def test_easy_data_cost_little_more(name: str, tol: float) -> None:
    """Where plain EM needs few passes there is nothing to gain, and at most a fifth to lose."""
    for seed in range(5):
        for problem in (
            in_a_row(seed, 1, 2, 6.0, "full"),
            in_a_row(seed, 2, 3, 8.0, "tied"),
            in_a_row(seed, 5, 3, 5.0, "diag"),
        ):
            plain = run(*problem, None, tol=tol)
            fast = run(*problem, name, tol=tol)
            assert fast.n_passes <= 1.2 * plain.n_passes
            assert fast.trace.bounds[-1] >= plain.trace.bounds[-1] - tol


def own_bound(params: Any, X: Data) -> float:
    components = params.components
    densities = gaussian_log_densities(X, components.means, components.covariances.sklearn_array)
    with np.errstate(divide="ignore"):
        return float(mixture_log_density(np.log(params.weights), densities).mean())


@given(
    seed=st.integers(0, 2**32 - 1),
    n_features=st.integers(1, 4),
    n_components=st.integers(1, 4),
    apart=st.sampled_from([0.0, 0.5, 2.0, 10.0]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    name=st.sampled_from(NAMES),
)
@settings(deadline=None)
def test_the_bound_never_falls(
    seed: int, n_features: int, n_components: int, apart: float, scale: float, name: str
) -> None:
    """From random starts; few rows, so that some components collapse."""
    rng = np.random.default_rng(seed)
    centers = apart * rng.standard_normal((n_components, n_features))
    X = centers[rng.integers(n_components, size=40)] + rng.standard_normal((40, n_features))
    X *= scale
    means = X[rng.integers(40, size=n_components)]
    covariances = FullCovariances.shared(scale**2 * np.eye(n_features), n_components)
    weights = rng.dirichlet(np.ones(n_components))
    start = MixtureParameters(weights, GaussianComponents(means, covariances))
    # The monitor raises an error if any row of the ledger falls.
    fit = run(gaussian_mixture(), start, Rows(X), name, tol=0.0, max_iter=60)
    trace = fit.trace
    rise = np.diff(trace.bounds)
    assert (rise[trace.extrapolated[~trace.after_e_step]] >= 0.0).all()
    assert len(trace) == 2 * trace.n_iter + 1
    assert np.isfinite(fit.params.components.means).all()
    assert np.isfinite(fit.params.components.covariances.values).all()
    if np.linalg.cond(fit.params.components.covariances.values).max() < 1e8:
        # scipy takes no worse ones.
        assert trace.bounds[-1] == pytest.approx(own_bound(fit.params, X), rel=1e-7, abs=1e-9)


# -- other models ---------------------------------------------------------------------------------


@by_name
def test_ppca_reaches_the_closed_form(name: str) -> None:
    X = load_iris().data
    best = PPCA(2).fit(X)
    plain = PPCA(2, solver="em", tol=1e-10, max_iter=5000, random_state=0).fit(X)
    fast = clone(plain).set_params(acceleration=name).fit(X)
    assert fast.converged_
    assert_ledger_is_of(fast, X)
    assert fast.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-8)
    assert fast.noise_variance_ == pytest.approx(best.noise_variance_, rel=1e-4)
    np.testing.assert_allclose(fast.get_covariance(), best.get_covariance(), atol=1e-3)
    assert fast.n_iter_ < 0.4 * plain.n_iter_


@dataclass(frozen=True, eq=False)
class Recombination(Parameters):
    fraction: float = probability()


@dataclass(frozen=True, eq=False)
class Animals(Statistics):
    """How many are of the first cell's half ½, how many of θ/4, how many of (1 − θ)/4."""

    constant: float
    recombined: float
    others: float


@dataclass(frozen=True)
class SplitCell:
    """The probability of the half θ/4 of the first cell, of shape (n_units,)."""

    share: Data
    entropy: Data


def cells(fraction: float) -> Data:
    return np.array([0.5 + fraction / 4, *2 * [(1.0 - fraction) / 4], fraction / 4])


class Linkage(LatentVariableModel[Recombination, SplitCell, Animals]):
    """Rao's 197 animals in four cells of probabilities ½ + θ/4, (1 − θ)/4, (1 − θ)/4, θ/4.

    The example of Dempster, Laird & Rubin (1977), section 1: z says to which half of the first
    cell, ½ or θ/4, an animal belongs. A unit is an animal, x its cell.
    """

    def posterior(self, params: Recombination, X: Data) -> tuple[SplitCell, Data]:
        cell, probabilities = X[:, 0].astype(int), cells(params.fraction)
        share = params.fraction / 4.0 / probabilities[0]
        entropy = -share * np.log(share) - (1.0 - share) * np.log(1.0 - share)
        first = cell == 0
        return SplitCell(share * first, entropy * first), np.log(probabilities[cell])

    def statistics(
        self, params: Recombination, X: Data, posterior: SplitCell, weights: Data
    ) -> Animals:
        cell = X[:, 0]
        return Animals(
            float(weights @ ((cell == 0) - posterior.share)),
            float(weights @ (posterior.share + (cell == 3))),
            float(weights @ np.isin(cell, (1, 2))),
        )

    def maximize(self, params: Recombination, stats: Animals) -> Recombination:
        return Recombination(stats.recombined / (stats.recombined + stats.others))

    def expected_log_joint(self, params: Recombination, stats: Animals) -> float:
        logs = np.log([0.5, params.fraction / 4, (1.0 - params.fraction) / 4])
        return float(logs @ [stats.constant, stats.recombined, stats.others])


CELLS, ANIMALS = np.arange(4.0)[:, None], np.array([125.0, 18.0, 20.0, 34.0])


@by_name
def test_a_model_of_ones_own_is_accelerated_for_nothing(name: str) -> None:
    rows, start = Rows(CELLS, ANIMALS), Recombination(0.05)
    plain = run(Linkage(), start, rows, None, tol=1e-15)
    fast = run(Linkage(), start, rows, name, tol=1e-15)
    # The root of the score, 197 θ² − 15 θ − 68 = 0.
    best = (15.0 + np.sqrt(15.0**2 + 4 * 197.0 * 68.0)) / (2 * 197.0)
    assert best == pytest.approx(0.6268, abs=5e-5)
    assert fast.params.fraction == pytest.approx(best, abs=1e-7)
    evidence = float(ANIMALS @ np.log(cells(best)))
    assert fast.trace.bounds[-1] * ANIMALS.sum() == pytest.approx(evidence, abs=1e-10)
    assert_monotone(fast)
    assert fast.trace.extrapolated.any()
    assert fast.n_passes <= 1.2 * plain.n_passes
    animals = np.repeat(CELLS, ANIMALS.astype(int), axis=0)
    assert check_model(Linkage(), start, animals)["the bound never falls"] == "passed"


# -- proposals that are no good -------------------------------------------------------------------


class Always:
    """Proposes the same at each iteration."""

    def __init__(self, proposal: Any) -> None:
        self.proposal, self.n_rejected = proposal, 0

    def propose(self, params: Any, maximizer: Any) -> Any:
        return self.proposal

    def reject(self) -> None:
        self.n_rejected += 1


class Idle(Always):
    """Proposes the parameters at hand: nothing is lost, and nothing gained."""

    def propose(self, params: Any, maximizer: Any) -> Any:
        return params


def assert_plain_to_the_bit(fit: Fit[Any], plain: Fit[Any]) -> None:
    np.testing.assert_array_equal(fit.params.to_vector(), plain.params.to_vector())
    for name in ("elbo", "log_evidence", "kl", "energy", "entropy", "iteration"):
        np.testing.assert_array_equal(getattr(fit.trace, name), getattr(plain.trace, name))
    assert fit.status is plain.status
    assert not fit.trace.extrapolated.any()


@pytest.mark.parametrize("tol", [1e-4, 0.0])
def test_rejected_proposals_leave_plain_em_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, tol: float
) -> None:
    garbage = Always(faithful_start())
    monkeypatch.setitem(ACCELERATIONS, "garbage", lambda: garbage)
    problem = (gaussian_mixture(), faithful_start(), Rows(FAITHFUL))
    plain = run(*problem, None, tol=tol, max_iter=30)
    fit = run(*problem, "garbage", tol=tol, max_iter=30)
    assert_plain_to_the_bit(fit, plain)
    assert garbage.n_rejected == fit.trace.n_iter > 5
    assert fit.n_passes == 2 * plain.n_passes - 1


def test_proposals_that_gain_nothing_do_not_end_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lower no bound; but were they kept, the first would look like convergence."""
    monkeypatch.setitem(ACCELERATIONS, "idle", lambda: Idle(None))
    problem = (gaussian_mixture(), faithful_start(), Rows(FAITHFUL))
    plain = run(*problem, None, tol=1e-6)
    fit = run(*problem, "idle", tol=1e-6)
    assert fit.status is Status.CONVERGED
    assert_plain_to_the_bit(fit, plain)


@pytest.mark.parametrize("rate", [0.0, np.nan, np.inf])
def test_a_proposal_without_a_likelihood_is_no_collapse(
    monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    impossible = poisson([0.5, 0.5], [[rate], [rate]])
    monkeypatch.setitem(ACCELERATIONS, "impossible", lambda: Always(impossible))
    problem = (Mixture(Poisson()), poisson([0.5, 0.5], [[1.0], [3.0]]), Rows(COUNTS, DEATHS))
    plain = run(*problem, None, tol=1e-6)
    fit = run(*problem, "impossible", tol=1e-6)
    assert_plain_to_the_bit(fit, plain)
    assert fit.n_passes == 2 * plain.n_passes - 1


class TooFar(Extrapolation):
    """Goes so far in all coordinates that nothing is left of the fit."""

    factor = 1.0

    def forget(self) -> None:
        pass

    def observe(self, theta: Data, image: Data) -> None:
        self.image = image

    def extrapolate(self) -> Data:
        return self.factor * (1.0 + self.image)

    def shorten(self) -> None:
        pass


@pytest.mark.parametrize("factor", [3.0, 10.0, 1e3, 1e200, np.inf, np.nan])
def test_rejections_are_rationed(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """One after four iterations and one more for each eight, however bad an extrapolation is."""
    far = type("Far", (TooFar,), {"factor": factor})
    monkeypatch.setitem(ACCELERATIONS, "too far", far)
    problem = (gaussian_mixture(), faithful_start(), Rows(FAITHFUL))
    plain = run(*problem, None, tol=0.0, max_iter=44)
    fit = run(*problem, "too far", tol=0.0, max_iter=44)
    assert_plain_to_the_bit(fit, plain)
    # What is no density at all is seen without a pass.
    assert fit.n_passes - plain.n_passes == (6 if abs(factor) < 100.0 else 0)


# -- edges ----------------------------------------------------------------------------------------


@by_name
@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_component_of_weight_zero(name: str, empty: int) -> None:
    """It stays empty, wherever it is, and the others reach what they reach without it."""
    start = faithful_start()
    weights = np.insert(start.weights, empty, 0.0)
    means = np.insert(start.components.means, empty, [9.0, 9.0], axis=0)
    matrices = np.insert(start.components.covariances.sklearn_array, empty, np.eye(2), axis=0)
    with_empty = MixtureParameters(weights, GaussianComponents(means, FullCovariances(matrices)))
    fit = run(gaussian_mixture(), with_empty, Rows(FAITHFUL), name, tol=1e-10, max_iter=500)
    plain = run(gaussian_mixture(), start, Rows(FAITHFUL), None, tol=1e-10, max_iter=500)
    assert fit.status is Status.CONVERGED
    assert fit.params.weights[empty] == 0.0
    np.testing.assert_array_equal(fit.params.components.means[empty], [9.0, 9.0])
    assert_monotone(fit)
    assert fit.trace.bounds[-1] == pytest.approx(plain.trace.bounds[-1], abs=1e-8)
    alone = run(gaussian_mixture(), start, Rows(FAITHFUL), name, tol=1e-10, max_iter=500)
    assert fit.n_passes == alone.n_passes
    assert fit.trace.extrapolated.sum() == alone.trace.extrapolated.sum() > 0


@by_name
def test_rates_of_zero_do_not_switch_acceleration_off(name: str) -> None:
    """A feature that is always zero: its rates are on the edge, the others are not."""
    X = np.column_stack([COUNTS, np.zeros(10)])
    start = poisson([0.5, 0.5], [[1.0, 0.0], [3.0, 0.0]])
    alone = poisson([0.5, 0.5], [[1.0], [3.0]])
    model = Mixture(Poisson())
    fit = run(model, start, Rows(X, DEATHS), name, tol=1e-9, max_iter=3000)
    expected = run(model, alone, Rows(COUNTS, DEATHS), name, tol=1e-9, max_iter=3000)
    np.testing.assert_array_equal(fit.params.components.rates[:, 1], 0.0)
    assert fit.trace.extrapolated.any()
    assert fit.n_passes == expected.n_passes
    np.testing.assert_allclose(fit.trace.bounds, expected.trace.bounds, rtol=1e-13)


@by_name
def test_a_component_that_falls_onto_a_row_is_a_collapse(name: str) -> None:
    X = np.append(np.random.default_rng(0).standard_normal(50), 60.0)[:, None]
    components = GaussianComponents(
        np.array([[0.0], [60.0]]), FullCovariances(np.array([[[1.0]], [[0.5]]]))
    )
    start = MixtureParameters(np.array([0.9, 0.1]), components)
    fit = run(gaussian_mixture(), start, Rows(X), name, tol=0.0)
    assert fit.status is Status.COLLAPSED
    assert "component 1 has variance" in fit.cause
    assert np.isfinite(fit.params.components.covariances.values).all()
    assert fit.trace.log_evidence[-1] == pytest.approx(own_bound(fit.params, X), rel=1e-12)


# -- the extrapolations by themselves -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Point(Parameters):
    values: Data


def follow(accelerator: Any, start: Data, step: Callable[[Data], Data], n_steps: int) -> Data:
    """Iterate a map, with every proposal taken: there is no bound to watch."""
    path = [start]
    for _ in range(n_steps):
        image = Point(step(path[-1]))
        proposal = accelerator.propose(Point(path[-1]), image)
        path.append((image if proposal is None else proposal).values)
    return np.array(path)


@pytest.mark.parametrize("rate", [0.2, 0.6, 0.75])
def test_squarem_solves_one_dimension_in_one_extrapolation(rate: float) -> None:
    """θ → 2 + λ (θ − 2), with a steplength of 1/(1 − λ), up to the four that it may at first."""
    path = follow(Squarem(), np.array([5.0]), lambda x: 2.0 + rate * (x - 2.0), 5)[:, 0]
    jump = int(np.argmax(np.abs(path - 2.0) < 1e-12))
    assert jump in (4, 5)
    np.testing.assert_allclose(path[:jump], 2.0 + 3.0 * rate ** np.arange(jump), rtol=1e-12)


def test_a_quasi_newton_step_solves_as_many_dimensions_as_it_remembers() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    rates = axes @ np.diag([0.7, 0.5, 0.3, 0.1]) @ axes.T
    target = rng.standard_normal(4)
    path = follow(QuasiNewton(), np.zeros(4), lambda x: target + rates @ (x - target), 8)
    assert np.linalg.norm(path - target, axis=1).min() < 1e-9
    # Eight steps as they are leave this.
    assert np.linalg.norm(np.linalg.matrix_power(rates, 8) @ target) > 1e-3


@by_name
def test_a_map_that_moves_away_is_not_followed_backwards(name: str) -> None:
    """θ → 1.5 θ, as near a saddle: EM comes from the fixed point 0, and must not go there."""
    path = follow(ACCELERATIONS[name](), np.array([1.0]), lambda x: 1.5 * x, 12)
    assert (np.diff(path[:, 0]) > 0.0).all()
    assert path[-1, 0] > 1.5**12


@by_name
def test_at_rest_nothing_is_proposed(name: str) -> None:
    path = follow(ACCELERATIONS[name](), np.array([1.0, 2.0]), lambda x: x, 12)
    np.testing.assert_array_equal(path, np.tile([1.0, 2.0], (13, 1)))


@by_name
@pytest.mark.parametrize("size", [0.0, 5e-324, 1e-300, 1e-160, 1e160, 1e300, np.inf, np.nan])
@pytest.mark.parametrize("kind", ["noise", "runaway", "jumps", "one way"])
def test_whatever_it_sees_an_accelerator_does_not_raise(name: str, size: float, kind: str) -> None:
    """Steps of any size, that follow no law, or grow without end."""
    rng = np.random.default_rng(0)
    steps = {
        "noise": lambda n: rng.standard_normal(3),
        "runaway": lambda n: np.full(3, np.power(10.0, n)),
        "jumps": lambda n: np.array([0.0, 1.0, (-1e150) ** (n % 3)]),
        "one way": lambda n: np.array([1.0, 0.0, 0.0]),
    }
    accelerator, theta = ACCELERATIONS[name](), np.zeros(3)
    with np.errstate(all="ignore"):
        for n in range(600):
            image = theta + size * steps[kind](n)
            accelerator.propose(Point(theta), Point(image))
            theta = image


@by_name
@pytest.mark.parametrize("error", [ZeroDivisionError, np.linalg.LinAlgError, OverflowError])
@pytest.mark.parametrize("where", ["observe", "extrapolate", "propose"])
def test_an_error_of_arithmetic_in_an_accelerator_is_plain_em(
    name: str, error: type[Exception], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> Any:
        raise error("as numbers are")

    monkeypatch.setattr(ACCELERATIONS[name], where, fails)
    start, options = faithful_start(), {"tol": 1e-8, "max_iter": 500}
    fit = run(gaussian_mixture(), start, Rows(FAITHFUL), name, **options)
    plain = run(gaussian_mixture(), start, Rows(FAITHFUL), None, **options)
    np.testing.assert_array_equal(fit.trace.bounds, plain.trace.bounds)
    assert fit.n_passes == plain.n_passes


@by_name
@pytest.mark.parametrize("error", [ZeroDivisionError, np.linalg.LinAlgError, CollapseError])
@pytest.mark.parametrize("step", ["posterior", "log_prior", "project"])
def test_an_error_of_arithmetic_at_a_proposal_is_a_rejection(
    name: str, error: type[Exception], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model may be asked for what its numbers cannot do: at a proposal alone."""
    kind, original = ACCELERATIONS[name], getattr(Mixture, step)
    n_proposed, is_next = 0, False

    class Noted(kind):  # type: ignore[misc, valid-type]
        def propose(self, params: Any, maximizer: Any) -> Any:
            nonlocal n_proposed, is_next
            proposal = super().propose(params, maximizer)
            is_next = proposal is not None
            n_proposed += is_next
            return proposal

    def fails_there(self: Any, *arguments: Any) -> Any:
        nonlocal is_next
        if is_next:
            is_next = False
            raise error("as numbers are")
        return original(self, *arguments)

    monkeypatch.setitem(ACCELERATIONS, name, Noted)
    monkeypatch.setattr(Mixture, step, fails_there)
    start, options = faithful_start(), {"tol": 1e-8, "max_iter": 500}
    fit = run(gaussian_mixture(), start, Rows(FAITHFUL), name, **options)
    plain = run(gaussian_mixture(), start, Rows(FAITHFUL), None, **options)
    assert n_proposed > 0
    np.testing.assert_array_equal(fit.trace.bounds, plain.trace.bounds)


@by_name
@pytest.mark.parametrize("scale", [1e-6, 1e-12, 1e-30])
@pytest.mark.parametrize("covariance_type", ["diag", "VEE", "full"])
def test_fits_to_the_last_bit_succeed_wherever_plain_em_does(
    name: str, scale: float, covariance_type: str
) -> None:
    """With ``tol=0`` the last steps are rounding, of which there is nothing to learn."""
    X = scale * load_iris().data
    for seed in range(3):
        options: dict[str, Any] = {
            "covariance_type": covariance_type,
            "reg_covar": 0.0,
            "tol": 0.0,
            "max_iter": 300,
            "init_params": "random",
            "random_state": seed,
        }
        plain = GaussianMixture(3, **options).fit(X)
        fast = GaussianMixture(3, acceleration=name, **options).fit(X)
        assert fast.n_passes_ <= 1.3 * plain.n_passes_


# -- interruption, ledger and display -------------------------------------------------------------


@by_name
def test_an_interruption_anywhere_leaves_what_belongs_together(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any E-step, at a proposal or in its stead, and in the accelerator."""
    rows, n_iter = Rows(FAITHFUL), 30
    clean = [
        em(gaussian_mixture(), faithful_start(), rows, tol=0.0, max_iter=n, acceleration=name)
        for n in range(n_iter + 1)
    ]
    whole = clean[-1]
    assert whole.trace.extrapolated.any()
    n_rejected = whole.n_passes - n_iter - 1
    assert n_rejected > 0
    places: list[tuple[Any, str, int]] = [
        (Mixture, "expectation", whole.n_passes),
        (Extrapolation, "propose", n_iter),
        (Extrapolation, "reject", n_rejected),
    ]
    for owner, function, n_calls in places:
        for number in range(1, n_calls + 1):
            if (function, number) == ("expectation", 1):
                continue  # Before the first E-step there is nothing to keep.
            with monkeypatch.context() as patch:
                interrupt_on_call(patch, owner, function, number)
                fit = em(
                    gaussian_mixture(), faithful_start(), rows, tol=0.0, max_iter=n_iter,
                    acceleration=name,
                )  # fmt: skip
            assert fit.status is Status.INTERRUPTED
            expected = clean[fit.trace.n_iter]
            np.testing.assert_array_equal(fit.params.to_vector(), expected.params.to_vector())
            np.testing.assert_array_equal(fit.trace.elbo, expected.trace.elbo)
            np.testing.assert_array_equal(fit.trace.log_evidence, expected.trace.log_evidence)


def interrupt_on_call(patch: pytest.MonkeyPatch, owner: Any, name: str, number: int) -> None:
    original, calls = getattr(owner, name), []

    def interrupted(*arguments: Any) -> Any:
        calls.append(name)
        if len(calls) == number:
            raise KeyboardInterrupt
        return original(*arguments)

    patch.setattr(owner, name, interrupted)


@pytest.fixture(scope="module", params=NAMES)
def accelerated(request: pytest.FixtureRequest) -> GaussianMixture:
    """With a log prior, and so slow that there is something to gain by extrapolating."""
    return GaussianMixture(
        3, acceleration=request.param, tol=1e-8, max_iter=1000, reg_covar=1e-3, random_state=0
    ).fit(FAITHFUL)


def test_the_ledger_of_extrapolations(accelerated: GaussianMixture) -> None:
    trace = accelerated.trace_
    assert_ledger_is_of(accelerated, FAITHFUL)
    assert "".join(trace.half_step) == "E" + accelerated.n_iter_ * "ME"
    extrapolated, m_steps = trace.extrapolated, ~trace.after_e_step
    assert 0 < extrapolated.sum() < m_steps.sum()
    assert not (extrapolated & trace.after_e_step).any()
    assert np.isnan(trace.kl[extrapolated]).all()
    assert np.isnan(trace.log_evidence[extrapolated]).all()
    # All else is as in plain EM: an M-step opens the gap, which the E-step closes.
    steps = np.flatnonzero(m_steps & ~extrapolated)
    assert (trace.kl[steps] > -1e-13).all()
    np.testing.assert_array_equal(trace.log_evidence[steps], trace.log_evidence[steps + 1])
    np.testing.assert_allclose(trace.kl[trace.after_e_step], 0.0, atol=1e-12)
    parts = trace.energy + trace.entropy + trace.log_prior
    np.testing.assert_allclose(trace.elbo, parts, rtol=1e-14)
    words = str(trace)
    assert f"{accelerated.n_iter_} iterations ({extrapolated.sum()} of them extrapolated)" in words
    assert "nan" not in words
    assert accelerated.n_passes_ >= accelerated.n_iter_ + 1


def test_the_m_step_before_an_extrapolation_is_on_record(accelerated: GaussianMixture) -> None:
    """Its ELBO is what the extrapolation had to reach: no row of the ledger falls."""
    trace = accelerated.trace_
    rows = np.flatnonzero(trace.extrapolated)
    assert (trace.bounds[trace.iteration[rows]] >= trace.elbo[rows]).all()
    assert (np.diff(trace.elbo) >= -1e-12).all()


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_display_shows_the_way_that_was_taken(accelerated: GaussianMixture, scale: str) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    trace = accelerated.trace_
    display = ELBODisplay.from_estimator(accelerated, scale=scale, iterations=(0, None))
    taken = ~trace.extrapolated
    (line,) = display.lines_
    x = trace.iteration - 0.5 * (trace.half_step == "M")
    np.testing.assert_array_equal(line.get_xdata(), x[taken])
    if scale == "linear":
        np.testing.assert_array_equal(line.get_ydata(), trace.elbo[taken])
        assert display.evidence_line_ is not None
        evidence = (trace.log_evidence + trace.log_prior)[taken]
        np.testing.assert_allclose(display.evidence_line_.get_ydata(), evidence, rtol=1e-12)
    display.figure_.canvas.draw()
    plt.close(display.figure_)


# -- the estimators -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@by_name
@pytest.mark.parametrize(
    "estimator",
    [
        GaussianMixture(2, tol=1e-7, max_iter=500, random_state=0),
        PoissonMixture(2, tol=1e-7, max_iter=500, random_state=0),
        PPCA(1, solver="em", random_state=0),
    ],
    ids=["gaussian", "poisson", "ppca"],
)
def test_estimators(estimator: Any, name: str) -> None:
    X = np.round(FAITHFUL)
    plain = clone(estimator).fit(X)
    assert plain.acceleration is None
    fast = clone(estimator).set_params(acceleration=name).fit(X)
    assert fast.converged_
    assert_ledger_is_of(fast, X)
    assert fast.lower_bound_ >= plain.lower_bound_ - 1e-6
    copied = pickle.loads(pickle.dumps(fast))
    assert copied.get_params() == fast.get_params()
    np.testing.assert_array_equal(copied.score_samples(X), fast.score_samples(X))
    again = clone(fast).fit(X)
    np.testing.assert_array_equal(again.trace_.elbo, fast.trace_.elbo)


@by_name
def test_passes_are_counted_and_not_iterations(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array's E-step reads all rows once."""
    n_passes = 0
    read = Rows.__iter__

    def counted(self: Rows) -> Any:
        nonlocal n_passes
        n_passes += 1
        return read(self)

    monkeypatch.setattr(Rows, "__iter__", counted)
    mixture = PoissonMixture(
        2, weights_init=[0.5, 0.5], rates_init=[[1.0], [3.0]], acceleration=name, tol=1e-9
    ).fit(COUNTS, sample_weight=DEATHS)
    assert mixture.n_passes_ == n_passes
    assert mixture.n_passes_ > mixture.n_iter_ + 1


@by_name
def test_a_warm_start_goes_on(name: str) -> None:
    whole = GaussianMixture(
        3, acceleration=name, tol=1e-8, max_iter=500, random_state=0
    ).fit(FAITHFUL)  # fmt: skip
    parts = clone(whole).set_params(max_iter=10, warm_start=True)
    bounds = [parts.fit(FAITHFUL).lower_bound_]
    while not parts.converged_ and len(bounds) < 100:
        bounds.append(parts.fit(FAITHFUL).lower_bound_)
    assert parts.converged_
    assert (np.diff(bounds) >= -1e-14).all()
    assert bounds[-1] == pytest.approx(whole.lower_bound_, abs=1e-5)


def test_names_are_checked() -> None:
    with pytest.raises(ValueError, match="'acceleration' parameter of GaussianMixture"):
        GaussianMixture(2, acceleration="warp").fit(FAITHFUL)
    with pytest.raises(ValueError, match=r"expected one of \[None, .*got 'warp'"):
        em(gaussian_mixture(), faithful_start(), FAITHFUL, acceleration="warp")


def test_a_grid_search_over_accelerations() -> None:
    mixture = GaussianMixture(2, tol=1e-6, max_iter=500, random_state=0)
    search = GridSearchCV(mixture, {"acceleration": [None, *NAMES]}, cv=3).fit(FAITHFUL)
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores, scores[0], atol=1e-3)

"""Hostile data: no bound falls, nothing is NaN, and every error names its cause."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from oracles import STRUCTURES, Data

from benchmarks import hostile
from em_toolkit import PPCA, GaussianMixture, PoissonMixture
from em_toolkit.datasets import load_faithful
from em_toolkit.engine.monitor import SAFETY
from em_toolkit.estimators.mixture import MixtureEstimator

# What may be wrong with data or a start, each naming what and where.
CAUSES = [
    r"prior: expected weights that count rows, got a sum of weights of \S+, of which no variance",
    r"prior: the covariance of the data is singular, and no prior of means follows",
    r"Expected n_samples >= n_components but got n_components = \d+, n_samples = \d+",
    r"Expected an observed value in each feature, got none in \d+ of \d+: all entries of feature",
    r"Sample weights must contain at least one non-zero number",
    r"component \d+ has variance \S+ in feature \d+, about a mean of \S+: all the rows that it",
    r"component \d+ has no spread in feature \d+: all the rows that it holds have the value \S+",
    r"the covariance of component \d+ is singular to rounding: within it, feature \d+ is a linear",
    r"the covariance of component \d+ is singular to rounding: its variances along its axes are",
    r"the noise variance is \S+: to rounding, the data lie in a subspace of \d+ dimensions",
    r"feature \d+ is a combination of the others but for a noise of variance \S+",
    r"noise: expected rows that .*, got a box about them of volume 0",
    r"the parameters give some unit of the data no probability",
    r"X: expected entries of at (most|least) \S+ in size",
    r"X: expected features that vary by more than rounding",
    r"sample_weight: expected weights whose largest is from",
    r"Input X contains infinity or a value too large",
    r"the parameters overflowed: the squares of the data exceed the largest number. Scale the data",
]
REMEDIES = [
    "Leave such features out",
    "Scale sample_weight",
    "Give a covariance",
    "Try to decrease",
    "Use fewer components",
    "Expected n_samples",
    "Sample weights must",
    "Divide the feature by a constant",
    "Multiply",
    "Subtract",
    "Divide",
    "Input X contains infinity",
    "Leave such features out",
]


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What every failed fit from now on says, in full."""
    said: list[str] = []

    def listening(fit: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return fit(self, *args, **kwargs)
            except ValueError as error:
                said.append(str(error))
                raise

        return wrapped

    for owner in (MixtureEstimator, PPCA):
        monkeypatch.setattr(owner, "fit", listening(owner.fit))
    return said


@pytest.mark.parametrize("seed", [11, 12])
def test_hostile_fits(seed: int, messages: list[str]) -> None:
    report = hostile.run(60, seed=seed)
    assert report.falls == []
    assert report.not_finite == []
    # No numpy warning, no other exception: it ended well, or with an error that is told below.
    endings = {"converged", "max_iter", "collapsed"}
    others = [outcome for outcome in report.outcomes if outcome not in endings]
    assert all(outcome.startswith("error: ") for outcome in others)
    assert sum(report.outcomes.values()) == 60
    assert sum(report.outcomes[outcome] for outcome in others) == len(messages)
    assert report.outcomes["converged"] > 10
    assert len(messages) > 0
    for message in messages:
        assert any(re.search(cause, message) for cause in CAUSES), message
        assert any(remedy in message for remedy in REMEDIES), message
    # Half of what the monitor allows is a reserve; and the gauge did measure.
    assert 0.05 < report.largest_error < SAFETY / 2


# -- many rows that are alike ---------------------------------------------------------------------

HASSELBLAD = np.array([162, 267, 271, 185, 111, 61, 27, 8, 3, 1])
RNG = np.random.default_rng(0)
ALIKE: dict[str, Data] = {
    "counts in order": np.repeat(np.arange(10.0), 10 * HASSELBLAD)[:, None],
    "counts in turn": np.tile(np.repeat(np.arange(10.0), HASSELBLAD), 10)[:, None],
    "binary": RNG.integers(0, 2, (10_000, 2)).astype(float),
    "binary in order": np.sort(RNG.integers(0, 2, (10_000, 2)).astype(float), axis=0),
    "six points": np.repeat(
        np.array([[0.0, 0], [1, 3], [2, 1], [100, 100], [101, 102], [103, 101]]), 2000, axis=0
    ),
    "geyser, repeated": np.repeat(load_faithful().data, 40, axis=0),
    "geyser, repeated and sorted": np.sort(np.repeat(load_faithful().data, 40, axis=0), axis=0),
    "four values": np.repeat(np.array([[0.3], [0.7], [9.1], [9.7]]), [6000, 2000, 1000, 1000], 0),
}


def all_models() -> Iterator[Any]:
    settings: dict[str, Any] = {"max_iter": 10, "tol": 0.0, "random_state": 0}
    for start in ("kmeans", "random"):
        for structure in STRUCTURES:
            yield GaussianMixture(
                2, covariance_type=structure, reg_covar=1e-3, init_params=start, **settings
            )
        yield PoissonMixture(2, init_params=start, **settings)


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ALIKE)
def test_roundings_of_many_equal_rows_do_not_add_up(name: str, monkeypatch: Any) -> None:
    """Equal terms round in one direction: a plain sum of n of them errs by n roundings, and the
    monitor would take that for a fall. The statement of the models does not grow with n."""
    monkeypatch.setattr(sys.modules["em_toolkit.engine.em"], "Monitor", hostile._ErrorGauge)
    for estimator in all_models():
        hostile._ErrorGauge.largest = 0.0
        counts = isinstance(estimator, PoissonMixture)
        estimator.fit(np.round(ALIKE[name]) if counts else ALIKE[name])
        assert hostile._ErrorGauge.largest < SAFETY / 2, estimator


# -- starts whose weights sum to one but for rounding ---------------------------------------------

FAITHFUL: Data = load_faithful().data


@pytest.mark.parametrize("excess", [9e-9, -9e-9])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_given_weights_need_not_sum_to_one_exactly(excess: float, dtype: Any) -> None:
    """At a maximum an M-step gains nothing, and would lose what the weights had too much."""
    best = GaussianMixture(2, random_state=0, tol=1e-14, max_iter=1000).fit(FAITHFUL)
    weights = (best.weights_ * (1.0 + excess)).astype(dtype)
    again = GaussianMixture(
        2, weights_init=weights, means_init=best.means_, precisions_init=best.precisions_
    ).fit(FAITHFUL)
    np.testing.assert_allclose(again.weights_, best.weights_, rtol=0, atol=1e-7)


@pytest.mark.parametrize("n_components", range(2, 9))
def test_a_warm_start_from_attributes_in_single_precision(n_components: int) -> None:
    """A fit to float32 data keeps its weights in float32, rounded one by one."""
    X = FAITHFUL.astype(np.float32)
    settings: dict[str, Any] = {"tol": 1e-9, "max_iter": 2000, "warm_start": True}
    for mixture in (
        GaussianMixture(n_components, random_state=0, **settings),
        PoissonMixture(n_components, random_state=0, **settings),
    ):
        rows = np.round(X) if isinstance(mixture, PoissonMixture) else X
        bound = mixture.fit(rows).lower_bound_
        assert mixture.fit(rows).lower_bound_ == pytest.approx(bound, rel=1e-6)

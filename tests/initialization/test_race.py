"""The race of many starts: its runners are held to EM of one mixture alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Data, clusters
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from em_toolkit import GaussianMixture
from em_toolkit.data import Rows
from em_toolkit.engine.em import em
from em_toolkit.families import STRUCTURES, FullCovariances, Gaussian, Poisson
from em_toolkit.initialization import from_labels
from em_toolkit.initialization.race import plusplus_partitions, run_race, winners
from em_toolkit.initialization.replicas import Axes, CovarianceKind, Matrix, Replicas, Sphere
from em_toolkit.initialization.scaling import in_one_unit, standardizing
from em_toolkit.models import Mixture
from em_toolkit.priors.conjugate import ConjugatePrior

K = 3


def standardized(n_rows: int = 90, n_features: int = 3, apart: float = 2.0) -> Data:
    X = clusters(np.random.default_rng(0), n_rows, n_features, K, apart=apart)
    return np.asarray((X - X.mean(axis=0)) / X.std(axis=0))


def rng_of(seed: int) -> np.random.RandomState:
    return np.random.RandomState(seed)


def one_hot(labels: Data) -> Data:
    return np.asarray((labels[:, None, :] == np.arange(K)[:, None]).astype(np.float64))


# -- replicas -------------------------------------------------------------------------------------

KINDS: dict[str, tuple[type[CovarianceKind], bool, bool]] = {
    "full": (Matrix, False, False),
    "tied": (Matrix, True, True),
    "EVV": (Matrix, False, True),
    "diag": (Axes, False, False),
    "EEI": (Axes, True, True),
    "EVI": (Axes, False, True),
    "spherical": (Sphere, False, False),
    "EII": (Sphere, True, True),
}


def prior_of_replicas(X: Data, weights: Data) -> ConjugatePrior:
    """A hundredth of a row of the covariance of all, a thousandth of which is diagonal."""
    V = np.cov(X.T, aweights=weights, bias=True)
    V = 0.999 * V + 0.001 * np.diag(np.diag(V))
    return ConjugatePrior(0.01, 0.01 * V, 0.0, np.zeros(X.shape[1]))


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("structure", KINDS)
def test_each_replica_runs_as_if_it_were_alone(structure: str, weighted: bool) -> None:
    """Beside others, it takes the path of `em` on the mixture that it is, to rounding."""
    rng, X = np.random.default_rng(1), standardized()
    weights = rng.uniform(0.5, 2.0, len(X)) if weighted else np.ones(len(X))
    labels = rng.integers(K, size=(5, len(X)))
    kind, *sharing = KINDS[structure]
    replicas = Replicas(X, weights, kind(X.shape[1], *sharing))
    responsibilities, bounds = one_hot(labels), np.zeros(len(labels))
    for _ in range(10):
        responsibilities, bounds = replicas.iterate(responsibilities)

    prior = prior_of_replicas(X, weights)
    mixture = Mixture(Gaussian(STRUCTURES[structure], prior))
    for replica, label in enumerate(labels):
        start = from_labels(mixture, X, weights, label, K)
        fit = em(mixture, start, Rows(X, weights), max_iter=9, tol=0.0)
        posterior, _ = mixture.posterior(fit.params, X)
        np.testing.assert_allclose(
            responsibilities[replica].T, posterior.responsibilities, atol=1e-9
        )
        assert bounds[replica] == pytest.approx(fit.trace.bounds[-1] * weights.sum(), rel=1e-11)


def test_a_component_without_rows_is_of_no_account() -> None:
    X = standardized()
    kind = Matrix(X.shape[1], False, False)
    labels = np.zeros((1, len(X)), dtype=np.int64)
    responsibilities, bounds = Replicas(X, np.ones(len(X)), kind).iterate(one_hot(labels))
    np.testing.assert_allclose(responsibilities[0, 0], 1.0)
    assert np.isfinite(bounds).all()


def test_collinear_features_and_repeated_rows_collapse_nothing() -> None:
    x = np.repeat(np.random.default_rng(0).standard_normal(20), 3)
    X = np.column_stack([x, 2.0 * x, -x])
    replicas = Replicas(standardizing(X, None)(X), np.ones(len(X)), Matrix(3, False, False))
    responsibilities = one_hot(np.arange(len(X))[None] // 3 % K)
    for _ in range(30):
        responsibilities, bounds = replicas.iterate(responsibilities)
    assert np.isfinite(responsibilities).all()
    assert np.isfinite(bounds).all()


def test_a_needle_pays_what_it_is_said_to() -> None:
    """A half of c by the ratio of variances: here a line of equal rows within a wide cluster."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2))
    X[:40, 0] = X[0, 0]
    X = np.asarray((X - X.mean(axis=0)) / X.std(axis=0))
    labels = (np.arange(400)[None] < 40).astype(np.int64)
    weights = np.ones(400)
    replicas = Replicas(X, weights, Matrix(2, False, False))
    natural, log_prior = replicas.maximize(one_hot(labels)[:, :2])
    # N Σ = c V along the line, so that tr Σ⁻¹ V is N / c there, and about one across.
    n, c = 40.0, 0.01
    expected = -0.5 * (n + c * np.log(c / n))
    assert log_prior[0] == pytest.approx(expected, abs=0.2)
    assert natural.shape == (1, 2, 6)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_which_structures_have_one_volume(structure: str) -> None:
    expected = structure == "tied" or (structure.isupper() and structure.startswith("E"))
    assert STRUCTURES[structure].shares_volume() == expected


# -- where they begin -----------------------------------------------------------------------------


def test_partitions_are_of_the_nearest_of_rows() -> None:
    X, weights = standardized(), np.ones(90)
    labels = plusplus_partitions(X, weights, 20, K, rng_of(0))
    for label in labels:
        assert set(label) == set(range(K))
        # Of each component one row is as near to all its rows as any row can be told to be.
        candidates = [np.flatnonzero(label == k) for k in range(K)]
        assert any(
            (cdist(X, X[[i, j, k]]).argmin(axis=1) == label).all()
            for i in candidates[0]
            for j in candidates[1]
            for k in candidates[2]
        )


def test_rows_are_drawn_by_squared_distance_and_weight() -> None:
    """Of 0, 1 and 3 with weights 1, 3 and 1: by hand."""
    X, weights = np.array([[0.0], [1.0], [3.0]]), np.array([1.0, 3.0, 1.0])
    labels = plusplus_partitions(X, weights, 40_000, 2, rng_of(0))
    apart = (labels[:, 0] != labels[:, 1]).mean()
    # 0 then 1 (3/12) of the first 1/5; 1 then 0 (1/5) of the first 3/5; 3 then 0 (9/21) of 1/5.
    # The row in the middle is with 3 only if 0 and 3 are not both drawn.
    assert apart == pytest.approx(0.2 * 3 / 12 + 0.6 * 1 / 5, abs=0.01)


def test_fewer_different_rows_than_components() -> None:
    X = np.repeat([[0.0], [1.0]], 5, axis=0)
    labels = plusplus_partitions(X, np.ones(10), 10, 4, rng_of(0))
    for label in labels:
        assert np.unique(label).size == 2
        assert (label[:5] == label[0]).all()
        assert (label[5:] == label[5]).all()


def test_all_columns_in_one_unit() -> None:
    X = np.random.default_rng(0).normal([5.0, -3.0], [3.0, 4.0], (50, 2))
    weights = np.random.default_rng(1).uniform(size=50)
    scaled = in_one_unit(X, weights)(X)
    V = np.cov(scaled.T, aweights=weights, bias=True)
    np.testing.assert_allclose(np.average(scaled, axis=0, weights=weights), 0.0, atol=1e-12)
    assert np.trace(V) == pytest.approx(2.0)
    np.testing.assert_allclose(
        scaled[:, 0] / scaled[:, 1],
        (X - np.average(X, axis=0, weights=weights))[:, 0]
        / (X - np.average(X, axis=0, weights=weights))[:, 1],
    )
    np.testing.assert_array_equal(in_one_unit(np.ones((3, 2)), None)(np.ones((3, 2))), 0.0)


# -- the race -------------------------------------------------------------------------------------

FULL = Mixture(Gaussian(FullCovariances))


@pytest.mark.parametrize("seed", range(3))
def test_auto_goes_on_with_the_winner_whose_bound_is_best(seed: int) -> None:
    X = load_iris().data
    fits = [
        GaussianMixture(K, init_params=given_, max_iter=1, tol=0.0, n_jobs=1)
        for given_ in winners(FULL, X, None, K, rng_of(seed))
    ]
    with pytest.warns(match="did not converge"):
        best = max((fit.fit(X) for fit in fits), key=lambda fit: fit.lower_bound_)
    auto = GaussianMixture(K, init_params="auto", max_iter=0, random_state=seed).fit(X)
    np.testing.assert_allclose(auto.means_, best.means_, rtol=1e-9)
    np.testing.assert_allclose(auto.covariances_, best.covariances_, rtol=1e-7)


def test_winners_differ_and_come_in_order() -> None:
    X = standardized(apart=1.0)
    found = winners(FULL, X, None, K, rng_of(0))
    assert 1 <= len(found) <= 3
    replicas = Replicas(X, np.ones(len(X)), Matrix(X.shape[1], False, False))
    _, bounds = replicas.iterate(np.array([given_.T for given_ in found]))
    assert (np.diff(bounds) < -0.005).all()


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_of_many_rows_a_sample_runs_and_all_are_classified(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(K, size=9_000)
    X = 8.0 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[labels] + rng.normal(size=(9_000, 2))
    weights = rng.uniform(size=9_000) if weighted else None
    found = winners(FULL, X, weights, K, rng_of(0))
    assert found[0].shape == (9_000, K)
    np.testing.assert_allclose(found[0].sum(axis=1), 1.0)
    assert adjusted_rand_score(found[0].argmax(axis=1), labels) > 0.99


@pytest.mark.parametrize(
    ("family", "X", "k"),
    [
        pytest.param(Poisson(), np.ones((50, 2)), K, id="counts"),
        pytest.param(Gaussian(), np.full((50, 2), 7.0), K, id="constant"),
        pytest.param(Gaussian(), 1e200 * standardized(), K, id="overflow"),
        pytest.param(Gaussian(), np.ones((5_000, 100)), K, id="too much work"),
        pytest.param(Gaussian(), np.ones((20, 3_000)), 2, id="far too much work"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_where_none_is_run(family: Any, X: Data, k: int) -> None:
    assert winners(Mixture(family), X, None, k, rng_of(0)) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(STRUCTURES)))
def test_any_rows_give_responsibilities_or_none(seed: int, structure: str) -> None:
    """Rounded, repeated, far from zero, of unlike scales, with outliers and unlike weights."""
    rng = np.random.default_rng(seed)
    n_rows, d = rng.integers(4, 100), rng.integers(1, 5)
    X, weights = rng.standard_normal((n_rows, d)), 10.0 ** rng.uniform(-8, 8, n_rows)
    spoilers = [
        lambda: np.round(X),
        lambda: np.where(np.arange(d) == 0, 7.0, X),
        lambda: np.where(np.arange(d) == d - 1, X[:, :1], X),
        lambda: X + 1e8,
        lambda: X * 10.0 ** rng.uniform(-100, 100),
        lambda: X * 10.0 ** rng.uniform(-6, 6, d),
        lambda: np.where(np.arange(n_rows)[:, None] == 0, 1e9, X),
        lambda: X[rng.integers(3, size=n_rows)],
    ]
    for spoiler in rng.choice(len(spoilers), rng.integers(4)):
        X = spoilers[spoiler]()
    mixture = Mixture(Gaussian(STRUCTURES[structure]))
    for given_ in winners(mixture, X, weights if seed % 2 else None, K, rng_of(0)):
        assert given_.min() >= 0.0
        np.testing.assert_allclose(given_.sum(axis=1), 1.0)


def test_roundings_that_end_a_race_do_not_end_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).standard_normal((60, 2))
    usual = GaussianMixture(K, init_params="auto", max_iter=0, random_state=0).fit(X)
    monkeypatch.setattr(np.linalg, "inv", raise_error)
    without = GaussianMixture(K, init_params="auto", max_iter=0, random_state=0).fit(X)
    assert np.isfinite(without.means_).all()
    assert not np.array_equal(usual.means_, without.means_)


def raise_error(_: Data) -> Data:
    raise np.linalg.LinAlgError("singular")


def test_one_component_has_all_rows() -> None:
    (found,) = winners(FULL, standardized(), None, 1, rng_of(0))
    np.testing.assert_array_equal(found, np.ones((90, 1)))


def test_the_race_is_not_won_by_a_needle() -> None:
    """Twelve equal values give a component about them a likelihood without bound."""
    X = np.random.default_rng(0).standard_normal((300, 2))
    X[:150] += 3.0
    X[:12, 0] = X[0, 0]
    root = np.linalg.inv(np.linalg.cholesky(np.cov(X.T)))
    for seed in range(5):
        for given_ in winners(FULL, X, None, K, rng_of(seed)):
            for responsibilities in given_.T:
                within = root @ np.cov(X.T, aweights=responsibilities) @ root.T
                assert np.linalg.eigvalsh(within)[0] > 1e-3


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "EEI"])
def test_a_component_collapses_where_most_is_the_prior(structure: str) -> None:
    """Where cV is more than half of W + cV along some line: by the generalized eigenvalues."""
    kind, *sharing = KINDS[structure]
    labels = (np.arange(300) < 20).astype(np.int64)
    found = []
    for width in np.geomspace(0.003, 0.3, 20):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((300, 2)) @ np.array([[1.0, 0.3], [0.0, 1.0]])
        narrow = slice(None) if sharing[0] else labels == 1
        X[narrow, 0] = X[narrow, 0] * width + (3.0 * labels[narrow] if sharing[0] else 0.0)
        X = np.asarray((X - X.mean(axis=0)) / X.std(axis=0))
        prior = prior_of_replicas(X, np.ones(300)).scale
        scatters = np.array(
            [np.cov(X[labels == k].T, bias=True) * (labels == k).sum() for k in (0, 1)]
        )
        if sharing[0]:
            scatters, prior = scatters.sum(axis=0, keepdims=True), 2.0 * prior
        if kind is Axes:
            scatters, prior = scatters * np.eye(2), prior * np.eye(2)
        expected = any(eigh(prior, W + prior, eigvals_only=True)[-1] > 0.5 for W in scatters)
        replicas = Replicas(X, np.ones(300), kind(2, *sharing))
        assert replicas.collapsed(one_hot(labels[None])[:, :2])[0] == expected
        found.append(expected)
    assert 0 < sum(found) < 20


class Scripted:
    """Runners whose bounds and collapses are as they are told, by the label of their first row."""

    def __init__(self, bounds: Data, collapsed: Data) -> None:
        self.bounds, self.fallen = bounds, collapsed
        self.sizes: list[int] = []

    @staticmethod
    def _names(responsibilities: Data) -> Data:
        return responsibilities[:, :, 0].argmax(axis=1)

    def iterate(self, responsibilities: Data) -> tuple[Data, Data]:
        self.sizes.append(len(responsibilities))
        return responsibilities, self.bounds[self._names(responsibilities)]

    def collapsed(self, responsibilities: Data) -> Data:
        return self.fallen[self._names(responsibilities)]

    def maximize(self, responsibilities: Data) -> tuple[Data, None]:
        return self._names(responsibilities), None


def test_the_better_half_goes_on() -> None:
    bounds = np.random.default_rng(0).permutation(40) * 1.0
    runners: Any = Scripted(bounds, np.zeros(40, dtype=bool))
    won = run_race(runners, np.arange(40)[:, None], 40)
    np.testing.assert_array_equal(won, np.argsort(-bounds)[:3])
    assert runners.sizes == [40] * 3 + [20] * 3 + [10] * 6 + [5] * 12


def test_a_race_ends_when_all_that_are_left_are_one_mixture() -> None:
    bounds = np.where(np.arange(40) < 20, 1e-4 * np.arange(40), -100.0)
    runners: Any = Scripted(bounds, np.zeros(40, dtype=bool))
    won = run_race(runners, np.arange(40)[:, None], 40)
    np.testing.assert_array_equal(won, [19])
    assert runners.sizes == [40] * 3


@pytest.mark.parametrize("n_whole", [0, 1, 2, 20])
def test_what_has_collapsed_wins_only_where_all_has(n_whole: int) -> None:
    bounds = np.arange(40.0)
    runners: Any = Scripted(bounds, np.arange(40) >= n_whole)
    won = run_race(runners, np.arange(40)[:, None], 40)
    expected = np.arange(40)[::-1] if n_whole == 0 else np.arange(n_whole)[::-1]
    np.testing.assert_array_equal(won, expected[:3])


def test_spheres_are_in_the_units_of_the_data() -> None:
    """The wide feature has two clusters, the narrow one two others."""
    rng = np.random.default_rng(0)
    wide, narrow = rng.integers(2, size=(2, 200))
    X = np.column_stack([100.0 * wide, 6.0 * narrow]) + rng.standard_normal((200, 2)) * [10.0, 0.5]
    mixture = Mixture(Gaussian(STRUCTURES["spherical"]))
    best = winners(mixture, X, None, 2, rng_of(0))[0]
    assert adjusted_rand_score(best.argmax(axis=1), wide) == 1.0


@pytest.mark.parametrize("n_rows", [90, 9_000])
def test_weights_have_no_unit(monkeypatch: pytest.MonkeyPatch, n_rows: int) -> None:
    """And the rows of a sample, drawn by weight, have one of the same."""
    seen = []

    class Spy(Replicas):
        def __init__(self, X: Data, sample_weight: Data, covariance: CovarianceKind) -> None:
            seen.append(sample_weight)
            super().__init__(X, sample_weight, covariance)

    monkeypatch.setattr("em_toolkit.initialization.race.Replicas", Spy)
    X, weights = standardized(n_rows), np.random.default_rng(0).uniform(size=n_rows)
    for unit in (1.0, 1e9):
        winners(FULL, X, unit * weights, K, rng_of(0))
    np.testing.assert_allclose(seen[0], weights / weights.mean() if n_rows == 90 else 1.0)
    np.testing.assert_allclose(seen[1], seen[0])
    assert len(seen[0]) == min(n_rows, 2_000)


def test_the_largest_ratio_is_a_generalized_eigenvalue() -> None:
    roots = np.random.default_rng(0).standard_normal((2, 4, 4))
    V, covariance = roots @ roots.transpose(0, 2, 1)
    kind = Matrix(4, False, False)
    rows, columns = np.triu_indices(4)
    precisions, log_determinant = kind.inverted(covariance[rows, columns])
    found = kind.largest_ratio(precisions, V[rows, columns])
    assert found == pytest.approx(eigh(V, covariance, eigvals_only=True)[-1])
    assert log_determinant == pytest.approx(np.linalg.slogdet(covariance)[1])


def test_where_all_collapse_the_best_go_on() -> None:
    """Clusters a million times narrower than they are apart: no start is without a needle."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(K), 30)
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[labels] + 1e-6 * rng.normal(size=(90, 2))
    best = winners(FULL, X, None, K, rng_of(0))[0]
    assert adjusted_rand_score(best.argmax(axis=1), labels) == 1.0

"""Starts that begin with clusters of the rows, and those that compare short runs of EM.

Agglomeration is held to R's mclust 6.0.0; k-means on scaled data to scikit-learn's on data scaled
here; short runs to as many fits. (`test_race.py` has the race of "auto".)
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import STRUCTURES, Data, clusters
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from em_toolkit import GaussianMixture, PoissonMixture, select_mixture
from em_toolkit.datasets import load_faithful, load_reaven_miller
from em_toolkit.initialization import agglomeration
from em_toolkit.initialization.agglomeration import LARGEST_TREE, Tree, agglomerated, tree_labels
from em_toolkit.initialization.centroids import kmeans_standardized
from em_toolkit.initialization.recent import Recent
from em_toolkit.initialization.short_runs import SMALLEST_SAMPLE

OURS = ["kmeans_standardized", "hierarchical", "short_em", "auto"]

# -- agglomeration --------------------------------------------------------------------------------

# hclass(hc(X, modelName = "VVV", use = "SVD"), K), a digit for each row. ("VII" gives the same.)
IRIS_3 = (
    "111111111111111111111111111111111111111112111111113232322232222223222223223333222222223222"
    "222222232232322323233232232332323233222333222332233323332332"
)
IRIS_4 = (
    "122211112211221111111111121112211122112113211212114343433343333334333334334444333333334333"
    "333333343343433434344343343443434344333444333443344434443443"
)
DIABETES_4 = (
    "111121211111111211111111221112212211121212111111121211111121122122112221112221211321232232"
    "2332222233232322222222442444244442244242344222244444444"
)
# With J <- faithful + 0.01 * cbind(sin(1:272), sin(2 * 1:272)) for X.
FAITHFUL_6 = (
    "123456512521363645232614312313333532634534543132343523233435456341334352334343313534353361"
    "412343532341655652513453436545633251632565616525215433343652334333312161413345216233533613"
    "235123165234313513634512363165436333612325235553333616122354365451254325331135233545643561"
    "63"
)


def digits(text: str) -> Data:
    return np.array([int(digit) for digit in text])


def without_ties() -> Data:
    """Faithful is in whole minutes, and which of equal merges comes first is nobody's business.

    (hc itself finds 175 and 97, 176 and 96, or 173 and 99 rows, by the order of the rows.)
    """
    i = np.arange(1, 273)
    return np.asarray(load_faithful().data + 0.01 * np.column_stack([np.sin(i), np.sin(2 * i)]))


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        pytest.param(load_iris().data, IRIS_3, id="iris, 3"),
        pytest.param(load_iris().data, IRIS_4, id="iris, 4"),
        pytest.param(load_reaven_miller().data, DIABETES_4, id="diabetes, 4"),
        pytest.param(without_ties(), FAITHFUL_6, id="faithful, 6"),
    ],
)
def test_the_tree_is_that_of_mclust(X: Data, expected: str) -> None:
    labels = digits(expected)
    assert adjusted_rand_score(tree_labels(X, None, labels.max()), labels) == 1.0


@pytest.mark.parametrize(
    ("X", "counts"),
    [
        # table(hclass(hc(X, modelName = "VVV", use = "SVD"), K)) for K = 2, 3, ...
        pytest.param(load_iris().data, [(49, 101), (39, 49, 62)], id="iris"),
        pytest.param(load_reaven_miller().data, [(32, 113), (32, 56, 57)], id="diabetes"),
        pytest.param(
            without_ties(),
            [(98, 174), (83, 91, 98), (33, 65, 83, 91), (31, 33, 34, 83, 91)],
            id="faithful",
        ),
    ],
)
def test_the_sizes_of_clusters_are_those_of_mclust(X: Data, counts: Any) -> None:
    for expected in counts:
        found = np.bincount(tree_labels(X, None, len(expected)))
        assert tuple(np.sort(found)) == expected


def test_ties_are_broken_in_some_way() -> None:
    """As few rows apart from mclust's as mclust's are from its own in another order."""
    assert sorted(np.bincount(tree_labels(load_faithful().data, None, 2))) == [96, 176]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 40), st.integers(1, 4), st.integers(1, 4))
def test_a_tree_knows_no_order_and_no_units(seed: int, n_rows: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    X = clusters(rng, n_rows, d, k)
    weights = rng.integers(1, 4, n_rows).astype(np.float64)
    labels = tree_labels(X, weights, k)
    order = rng.permutation(n_rows)
    moved = X[order] * rng.uniform(0.1, 10.0, d) + rng.normal(size=d)
    permuted = tree_labels(moved, weights[order], k)
    assert adjusted_rand_score(permuted, labels[order]) == 1.0
    repeated = np.repeat(np.arange(n_rows), weights.astype(int))
    assert adjusted_rand_score(tree_labels(X[repeated], None, k), labels[repeated]) == 1.0


def test_the_largest_tree_has_as_many_clusters_as_are_asked_for() -> None:
    X = np.random.default_rng(0).standard_normal((LARGEST_TREE, 4))
    assert tree_labels(X, None, 3).max() == 2


def test_clusters_of_one_tree_are_nested_and_as_if_merged_one_by_one() -> None:
    """Each partition is the one before with two clusters merged; names are in order of rows."""
    X = np.random.default_rng(3).normal(size=(40, 2))
    tree = agglomerated(X, np.ones(40), 1.0)
    np.testing.assert_array_equal(tree.labels(40), np.arange(40))
    np.testing.assert_array_equal(tree.labels(50), np.arange(40))
    for k in range(39, 0, -1):
        labels, finer = tree.labels(k), tree.labels(k + 1)
        _, first = np.unique(labels, return_index=True)
        assert len(first) == k
        assert (np.diff(first) > 0).all()
        # Each of the finer clusters lies within one of the others.
        assert len(np.unique(np.column_stack([labels, finer]), axis=0)) == k + 1


def test_a_search_grows_one_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[int] = []

    def counted(points: Data, *others: Any) -> Tree:
        grown.append(len(points))
        return agglomerated(points, *others)

    monkeypatch.setattr(agglomeration, "agglomerated", counted)
    X = np.random.default_rng(11).normal(size=(60, 2))
    select_mixture(X, range(1, 4), ["EII", "VVV"], n_jobs=1)
    assert grown == [60]
    # Other rows, and the same with other weights, have another.
    select_mixture(X[1:], 2, ["EII"])
    select_mixture(X, 2, ["EII"], sample_weight=np.arange(1.0, 61.0))
    assert grown == [60, 59, 60]


def test_few_trees_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    recent: Recent[Tree] = Recent(2)
    points = np.random.default_rng(0).normal(size=(3, 5, 2))

    def tree(points: Data, variance: float = 1.0) -> Tree:
        weights = np.ones(5)
        return recent.get(
            variance, (points, weights), lambda: agglomerated(points, weights, variance)
        )

    first = tree(points[0])
    assert tree(points[0]) is first
    for other in points[1:]:
        tree(other)
    again = tree(points[0])
    assert again is not first
    np.testing.assert_array_equal(again.kept, first.kept)
    assert tree(points[0], 0.5) is not again


def test_kmeans_that_is_remembered_draws_the_same_numbers() -> None:
    X = np.random.default_rng(3).normal(size=(80, 2))
    after = []
    for _ in range(2):
        source = np.random.RandomState(5)
        labels = [kmeans_standardized(X, None, k, source)(X, slice(80)) for k in (2, 3)]
        after.append((*(each.tolist() for each in labels), source.uniform()))
    assert after[0] == after[1]


def test_more_rows_are_classified_by_the_tree_of_a_sample() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 5 * LARGEST_TREE, p=[0.5, 0.3, 0.2])
    # Half of the rows of the widest are nearer to the centres of the others.
    places, stds = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), np.array([3.0, 0.3, 0.3])
    X = places[labels] + stds[labels, None] * rng.standard_normal((len(labels), 2))
    fit = GaussianMixture(3, init_params="hierarchical", max_iter=0, random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(fit.weights_), [0.2, 0.3, 0.5], atol=0.02)
    order = np.argsort(fit.weights_)[::-1]
    np.testing.assert_allclose(fit.means_[order], places, atol=0.3)


# -- k-means on standardized columns ---------------------------------------------------------------


def labels_of_kmeans(Z: Data, k: int, source: np.random.RandomState) -> Data:
    return np.asarray(KMeans(k, n_init=1, random_state=source).fit(Z).labels_)


def standardized(X: Data) -> Data:
    return np.asarray(StandardScaler().fit_transform(X))


def principal(X: Data) -> Data:
    Z = standardized(X)
    _, lengths, directions = np.linalg.svd(Z, full_matrices=False)
    return np.asarray(Z @ directions.T / np.sqrt(lengths))


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_standardized_is_that_of_standardized_columns(seed: int) -> None:
    X = load_reaven_miller().data
    one_hot = np.eye(3)[labels_of_kmeans(standardized(X), 3, np.random.RandomState(seed))]
    given_ = GaussianMixture(3, init_params=one_hot, max_iter=0).fit(X)
    fit = GaussianMixture(3, init_params="kmeans_standardized", max_iter=0, random_state=seed).fit(
        X
    )
    np.testing.assert_allclose(fit.means_, given_.means_, rtol=1e-12)
    np.testing.assert_allclose(fit.covariances_, given_.covariances_, rtol=1e-9)


def share_at(best: float, X: Data, k: int, init_params: str, n: int, structure: str) -> float:
    """Of n seeds, the share whose fit, gone on with to the end, is at a known optimum or above."""
    found = []
    for seed in range(n):
        fit = GaussianMixture(
            k, covariance_type=structure, init_params=init_params, random_state=seed, n_jobs=1
        ).fit(X)
        fit.set_params(warm_start=True, tol=1e-8, max_iter=5000, acceleration="squarem").fit(X)
        found.append(fit.score(X) * len(X))
    return float(np.mean(np.array(found) > best - 0.05))


def test_standardized_columns_pay_on_diabetes() -> None:
    """The best known log-likelihood, and what scikit-learn's start makes of it."""
    X = load_reaven_miller().data
    assert share_at(-2303.492, X, 3, "kmeans_standardized", 40, "full") > 0.5
    assert share_at(-2303.492, X, 3, "kmeans", 40, "full") < 0.4


# -- short runs -----------------------------------------------------------------------------------


def after(X: Data, labels: Data, n_iter: int) -> Any:
    one_hot = np.eye(labels.max() + 1)[labels]
    mixture = GaussianMixture(
        one_hot.shape[1], init_params=one_hot, max_iter=n_iter, tol=0.0, n_jobs=1
    )
    with pytest.warns(match="did not converge"):
        return mixture.fit(X)


def again(fit: Any, X: Data) -> Any:
    """The fit, after one iteration more."""
    with pytest.warns(match="did not converge"):
        return fit.set_params(warm_start=True, max_iter=1).fit(X)


def best_of(fits: list[Any]) -> Any:
    return max(fits, key=lambda fit: fit.lower_bound_)


@pytest.mark.parametrize("seed", range(4))
def test_without_a_race_auto_goes_on_with_the_best_of_three(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("em_toolkit.initialization.race._WORK", 0)
    X = load_reaven_miller().data
    source = np.random.RandomState(seed)
    best = best_of([after(X, labels_of_kmeans(principal(X), 3, source), 3) for _ in range(3)])
    fit = GaussianMixture(3, init_params="auto", max_iter=0, random_state=seed).fit(X)
    # Gone on with for an iteration, as the winners of a race are.
    assert fit.lower_bound_ > best.lower_bound_
    assert fit.lower_bound_ == pytest.approx(again(best, X).lower_bound_, abs=1e-9)
    np.testing.assert_allclose(fit.means_, best.means_, rtol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_short_em_goes_on_with_the_best_of_ten(seed: int) -> None:
    X = load_reaven_miller().data
    source, Z, fits = np.random.RandomState(seed), standardized(X), []
    for _ in range(10):
        chosen = Z[source.choice(len(X), 3, replace=False)]
        fits.append(after(X, ((Z[:, None] - chosen) ** 2).sum(axis=2).argmin(axis=1), 5))
    fit = GaussianMixture(3, init_params="short_em", max_iter=0, random_state=seed).fit(X)
    assert fit.lower_bound_ == pytest.approx(best_of(fits).lower_bound_, abs=1e-9)
    np.testing.assert_allclose(fit.means_, best_of(fits).means_, rtol=1e-6)


@pytest.mark.parametrize(
    ("X", "k", "structure", "best"),
    [
        # R: Mclust(X, G, "VVV")$loglik, but for faithful in three components, where that is
        # -1127.199, and wine, where it is the best of 1,000 starts.
        pytest.param(load_faithful().data, 2, "full", -1130.264, id="faithful, 2"),
        pytest.param(load_faithful().data, 3, "full", -1114.440, id="faithful, 3"),
        pytest.param(load_iris().data, 2, "full", -214.355, id="iris, 2"),
        pytest.param(load_iris().data, 3, "full", -180.186, id="iris, 3"),
        pytest.param(load_reaven_miller().data, 3, "full", -2303.492, id="diabetes"),
        # The best of 60 starts.
        pytest.param(load_reaven_miller().data, 3, "EVI", -2415.5, id="diabetes, EVI"),
        pytest.param(load_wine().data, 3, "diag", -3294.26, id="wine, diag"),
        pytest.param(load_wine().data, 3, "tied", -3170.58, id="wine, tied"),
    ],
)
def test_auto_finds_the_best_known(X: Data, k: int, structure: str, best: float) -> None:
    """In nine of ten seeds; `benchmarks/starts.py` has the shares of 100 seeds, and the cost."""
    assert share_at(best, X, k, "auto", 20, structure) >= 0.9


# -- all of them ----------------------------------------------------------------------------------


def start(X: Data, init_params: str, weights: Data | None = None, **others: Any) -> Any:
    mixture = GaussianMixture(3, init_params=init_params, max_iter=0, random_state=0, **others)
    return mixture.fit(X, sample_weight=weights)


@pytest.mark.parametrize("init_params", OURS)
@pytest.mark.parametrize("n_rows", [60, SMALLEST_SAMPLE + 500, 21_000])
def test_a_seed_gives_one_start_and_equal_weights_are_none(init_params: str, n_rows: int) -> None:
    X = clusters(np.random.default_rng(0), n_rows, 2, 3, apart=6.0)
    first, again = start(X, init_params), start(X, init_params)
    np.testing.assert_array_equal(first.means_, again.means_)
    weighted = start(X, init_params, np.full(n_rows, 1.0))
    if init_params == "hierarchical":
        np.testing.assert_allclose(weighted.means_, first.means_, rtol=1e-9)
    # Drawn by weight, other rows: but clusters so far apart are found by any.
    order = np.argsort(first.means_[:, 0]), np.argsort(weighted.means_[:, 0])
    if init_params != "short_em":
        np.testing.assert_allclose(weighted.means_[order[1]], first.means_[order[0]], atol=0.5)


@pytest.mark.parametrize("init_params", OURS)
def test_rows_of_weight_zero_are_left_out(init_params: str) -> None:
    rng = np.random.default_rng(0)
    X = clusters(rng, 80, 2, 3)
    weights = rng.integers(0, 3, 80).astype(np.float64)
    kept = weights > 0
    far = np.where(kept[:, None], X, 1e6)
    one, other = start(far, init_params, weights), start(X[kept], init_params, weights[kept])
    np.testing.assert_array_equal(one.means_, other.means_)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("init_params", OURS)
def test_any_structure_and_precision(init_params: str, structure: str) -> None:
    X = clusters(np.random.default_rng(0), 300, 3, 3, apart=6.0)
    double, single = (
        GaussianMixture(
            3, covariance_type=structure, init_params=init_params, random_state=0, tol=1e-8
        ).fit(Y)
        for Y in (X, X.astype(np.float32))
    )
    assert single.means_.dtype == np.float32
    assert single.lower_bound_ == pytest.approx(double.lower_bound_, abs=1e-4)


@pytest.mark.parametrize("init_params", OURS)
def test_data_on_disk(init_params: str, tmp_path: Any) -> None:
    X = clusters(np.random.default_rng(0), SMALLEST_SAMPLE + 500, 2, 3)
    np.save(tmp_path / "X.npy", X)
    on_disk = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(start(on_disk, init_params).means_, start(X, init_params).means_)


@pytest.mark.parametrize("init_params", OURS)
def test_other_families(init_params: str) -> None:
    X = np.random.default_rng(0).poisson([[2.0, 30.0]], (200, 2)).astype(np.float64)
    fit = PoissonMixture(2, init_params=init_params, random_state=0).fit(X)
    assert np.isfinite(fit.rates_).all()


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize("init_params", OURS)
@pytest.mark.parametrize("kind", ["constant", "one constant column", "few different rows"])
def test_degenerate_data_give_finite_parameters(init_params: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    X = {
        "constant": np.full((20, 2), 7.0),
        "one constant column": np.column_stack([rng.standard_normal(20), np.full(20, 1e3)]),
        "few different rows": np.repeat([[0.0, 1.0], [3.0, 4.0]], 10, axis=0),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = GaussianMixture(3, init_params=init_params, random_state=0).fit(X)
    for values in (fit.weights_, fit.means_, fit.covariances_):
        assert np.isfinite(values).all()


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
def test_a_sample_shares_the_weight_of_all() -> None:
    """A prior weighs as much beside the sample as beside the data: here it is all that counts."""
    X = clusters(np.random.default_rng(0), 20 * SMALLEST_SAMPLE, 2, 3)
    fit = start(X, "auto", reg_covar=1e4)
    # Σ_k = S_k + ε (n/K)/N_k I with weights near a third.
    expected = 1e4 / (3.0 * fit.weights_)
    np.testing.assert_allclose(fit.covariances_[:, 0, 0], expected, rtol=0.05)


def test_short_runs_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    from em_toolkit.models import Mixture

    calls: list[int] = []
    posterior = Mixture.posterior

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return posterior(*arguments)

    monkeypatch.setattr(Mixture, "posterior", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GaussianMixture(3, init_params="auto").fit(clusters(np.random.default_rng(0), 60, 2, 3))
    assert len(calls) == 2

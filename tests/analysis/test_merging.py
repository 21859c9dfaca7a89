"""Components merged into clusters: against mclust's clustCombi and brute force."""

from __future__ import annotations

import pickle
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import gaussian_log_densities, mixture_posterior

from em_toolkit import GaussianMixture, PoissonMixture
from em_toolkit.analysis.merging import ComponentMerging, merge_components
from em_toolkit.estimators.merging import MixtureMerging

# What R 4 with mclust gives:
#   library(mclust); data(Baudry_etal_2010_JCGS_examples)
#   x <- round(as.matrix(ex4.1)[seq(1, 600, by = 8), ], 2)
#   m <- Mclust(x, G = 6, modelNames = "EEV"); p <- m$parameters
#   z <- estep(x, m$modelName, p)$z
#   cc <- mclust:::combi(x, list(G = 6, z = z))
#   ent <- sapply(cc$combiz, function(t) -sum(mclust:::xlog(t)))
# with x, p$pro, p$mean and p$variance$sigma:
# fmt: off
EX_4_1 = np.array([
    7.98, -0.99, 1.51, 4.62, 1.48, 4.94, -0.3, 0.04, 0.88, 1.3, -0.41, 4.9, 2.3, 4.94, 0.19,
    0.8, -0.16, -0.07, 1.65, 4.64, 7.84, 0.21, 0.47, -0.36, 2.01, 5.65, 8.76, -0.29, 0.12, 1.1,
    7.2, 0, 1.03, 5.29, 1.73, 5.02, 8.54, -0.41, 3.7, 4.48, 0.32, -0.71, 9.39, 4.46, 1.24, 3.21,
    7.78, 5.42, 0.27, 1.31, 0.46, 1.62, 8.46, 0.24, 7.51, 5.95, -1, -1.2, 8.36, 0.15, 7.99,
    5.08, 7.97, -0.12, 8.77, 5.26, 0.99, 5.32, 1.05, 4.85, 6.78, 0.1, 0.45, 0.22, -0.66, -0.38,
    0.62, 4.59, 7.34, -0.36, -0.3, -0.06, 7.92, 5.39, 1.18, 3.86, 1.08, 4.41, 8.97, 0, 8.45,
    0.28, 0.76, 5.95, 8.41, 4.51, 0.74, 4.46, 0.37, 5.32, -0.34, -0.96, 3.65, 4.98, 1.36, 5.98,
    1.61, 6.31, 7.68, -1.04, 8.36, 0.98, 8.45, -0.17, 8.63, -0.12, 0.87, 2.38, 8.19, 4.53, 0.27,
    1.31, 7.65, 1.46, 7.6, 5.28, 7.87, 0.09, 0.82, 3.12, 0.19, 5.31, 7.94, 5.39, 8.69, -0.22,
    2.28, 4.77, 9.09, -0.07, -0.39, -1.35, 7.61, 7.36, 7.96, 0.64, 7.51, -0.24, 0.93, 5.18
]).reshape(-1, 2)
WEIGHTS = np.array([
    0.29333333266294676, 0.18013251685430115, 0.09542109572941615, 0.14270514043635826,
    0.14666666733690026, 0.1417412469800774
]).reshape(-1)
MEANS = np.array([
    8.1154545462831145, 0.005454542289427231, 1.5539575774685701, 4.9759959281449255,
    0.49031755638365648, 1.5198128251694698, 1.1289749651095984, 4.8900523686551294,
    8.1009090893189022, 5.3299999819927644, -0.1473256801053377, -0.31510342333169616
]).reshape(-1, 2)
COVARIANCES = np.array([
    0.73404254375552946, -0.085264400404620147, -0.085264400404620147, 0.18401649841747136,
    0.74186111905561514, -0.0539302123503358, -0.0539302123503358, 0.17619792311738569,
    0.23425784058698459, 0.17994408092332151, 0.17994408092332151, 0.68380120158601598,
    0.17720033827113041, 0.058944824433838146, 0.058944824433838146, 0.74085870390187059,
    0.31061268900430727, -0.2467278350097559, -0.2467278350097559, 0.60744635316869344,
    0.27482316345400598, 0.22129211106970081, 0.22129211106970081, 0.64323587871899479
]).reshape(-1, 2, 2)
# fmt: on
# cc$combiM[[5]], ..., cc$combiM[[1]]: the two columns that a row joins, from 0.
MERGES = [[1, 3], [2, 4], [1, 2], [0, 2], [0, 1]]
ENTROPIES = [
    7.77156117237609e-16,
    3.09602631710505e-10,
    9.14162881642803e-07,
    1.63954728068377,
    6.66782096096927,
    17.0521004768626,
]
# mergedn, as in entPlot(z, cc$combiM, abc = "normalized").
N_MERGED = [75, 33, 42, 17, 25]
# mclust:::pcws2_reg(1:6, ent), mclust:::pcws2_reg(cumsum(c(0, mergedn)), ent): c, a1, b1, a2, b2.
BY_CLUSTERS = (4, 0.49186427559045931, -0.8197736401870841, 7.7062765980894184, -30.078226750942530)
BY_ROWS = (4, 0.0090695343492339549, -0.34515168578466243, 0.37058061041885659, -54.42202066156078)


@pytest.fixture
def by_mclust() -> ComponentMerging:
    densities = gaussian_log_densities(EX_4_1, MEANS, COVARIANCES)
    return merge_components(mixture_posterior(np.log(WEIGHTS), densities))


def test_tree_and_entropies_are_those_of_mclust(by_mclust):
    assert by_mclust.merges.tolist() == MERGES
    np.testing.assert_allclose(by_mclust.entropies, ENTROPIES, rtol=1e-10, atol=1e-11)
    assert by_mclust.n_merged.tolist() == N_MERGED


@pytest.mark.parametrize(("by_rows", "expected"), [(False, BY_CLUSTERS), (True, BY_ROWS)])
def test_change_point_is_that_of_mclust(by_mclust, by_rows, expected):
    n_clusters, slopes, intercepts = by_mclust.change_point(by_rows=by_rows)
    assert n_clusters == expected[0]
    found = [slopes[0], intercepts[0], slopes[1], intercepts[1]]
    np.testing.assert_allclose(found, expected[1:], rtol=1e-9)
    assert by_mclust.suggested_n_clusters == 4


# -- against brute force --------------------------------------------------------------------------


def random_posterior(seed: int, n_rows: int, n_components: int, sharpness: float) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).standard_normal((n_rows, n_components))
    posterior = np.exp(logits - logits.max(axis=1, keepdims=True))
    return posterior / posterior.sum(axis=1, keepdims=True)


def entropy_of(posterior: np.ndarray, weights: np.ndarray) -> float:
    inside = np.where(posterior > 0.0, posterior, 1.0)
    return float(-(weights[:, None] * posterior * np.log(inside)).sum())


def brute_force(posterior: np.ndarray, weights: np.ndarray) -> list[tuple[float, list[list[int]]]]:
    """Entropy and clusters, as lists of components, from K clusters down to one."""
    groups = [[k] for k in range(posterior.shape[1])]

    def columns(groups):
        return np.stack([posterior[:, group].sum(axis=1) for group in groups], axis=1)

    steps = [(entropy_of(columns(groups), weights), groups)]
    while len(groups) > 1:
        choices = []
        for i, j in combinations(range(len(groups)), 2):
            rest = [group for m, group in enumerate(groups) if m not in (i, j)]
            merged = sorted([*rest, sorted(groups[i] + groups[j])])
            choices.append((entropy_of(columns(merged), weights), merged))
        steps.append(min(choices, key=lambda choice: choice[0]))
        groups = steps[-1][1]
    return steps


posteriors = st.tuples(
    st.integers(0, 10_000), st.integers(2, 30), st.integers(1, 7), st.sampled_from([0.5, 3.0, 40.0])
)


@given(posteriors)
@settings(max_examples=60, deadline=None)
def test_each_step_lowers_the_entropy_most(shape):
    posterior = random_posterior(*shape)
    weights = np.random.default_rng(shape[0]).uniform(0.0, 3.0, posterior.shape[0])
    merging = merge_components(posterior, weights)
    clusters = np.arange(posterior.shape[1])
    for n_clusters in range(posterior.shape[1], 0, -1):
        chosen = merging.clusters(n_clusters)
        # Numbered 0, 1, ... by their first components; and nested.
        assert list(dict.fromkeys(chosen.tolist())) == list(range(n_clusters))
        assert all(len(set(chosen[clusters == g])) == 1 for g in set(clusters.tolist()))
        sums = np.stack([posterior[:, chosen == g].sum(axis=1) for g in range(n_clusters)], axis=1)
        entropy = entropy_of(sums, weights)
        assert merging.entropies[n_clusters - 1] == pytest.approx(entropy, rel=1e-10, abs=1e-12)
        np.testing.assert_allclose(merging.combine(posterior, n_clusters), sums, atol=1e-15)
        clusters = chosen
    # Sharp posteriors leave entropies that differ by rounding alone: any choice is as good.
    for step, (entropy, _) in enumerate(brute_force(posterior, weights)):
        if shape[3] < 10.0:
            assert merging.entropies[-1 - step] == pytest.approx(entropy, rel=1e-10, abs=1e-12)


@given(posteriors, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_order_of_rows_and_components_does_not_matter(shape, seed):
    posterior = random_posterior(*shape[:3], 1.0)
    rng = np.random.default_rng(seed)
    rows, components = rng.permutation(posterior.shape[0]), rng.permutation(posterior.shape[1])
    merging = merge_components(posterior)
    permuted = merge_components(posterior[rows][:, components])
    np.testing.assert_allclose(permuted.entropies, merging.entropies, rtol=1e-10, atol=1e-12)
    for n_clusters in merging.n_clusters:
        original = merging.clusters(int(n_clusters))[components]
        other = permuted.clusters(int(n_clusters))
        assert len(set(zip(original.tolist(), other.tolist(), strict=True))) == n_clusters
    np.testing.assert_array_equal(permuted.n_merged, merging.n_merged)


def test_weight_two_is_a_row_given_twice():
    posterior = random_posterior(3, 25, 5, 2.0)
    counts = np.random.default_rng(3).integers(0, 4, size=25)
    weighted = merge_components(posterior, counts)
    repeated = merge_components(np.repeat(posterior, counts, axis=0))
    np.testing.assert_array_equal(weighted.merges, repeated.merges)
    np.testing.assert_allclose(weighted.entropies, repeated.entropies, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(weighted.n_merged, repeated.n_merged)


def test_rows_merged_are_those_of_the_two_clusters():
    posterior = random_posterior(5, 200, 6, 2.0)
    merging = merge_components(posterior)
    for n_after in range(5, 0, -1):
        pair = merging.merges[5 - n_after]
        labels = merging.combine(posterior, n_after + 1).argmax(axis=1)
        assert merging.n_merged[n_after - 1] == np.isin(labels, pair).sum()
    assert merging.cumulative_merged[0] == 0.0
    assert merging.cumulative_merged[-1] == merging.n_merged.sum()


def test_change_point_is_the_best_of_all():
    entropies = np.array([0.0, 0.3, 0.2, 2.1, 5.2, 7.9, 11.0])
    merging = ComponentMerging(np.zeros((6, 2), dtype=int), entropies, np.ones(6))
    n_clusters = merging.n_clusters

    def misfit(change: int) -> float:
        parts = (n_clusters <= change, n_clusters >= change)
        return sum(
            np.square(
                np.polyval(np.polyfit(n_clusters[p], entropies[p], 1), n_clusters[p]) - entropies[p]
            ).sum()
            for p in parts
        )

    assert merging.suggested_n_clusters == min(range(2, 7), key=misfit) == 3


# -- the ends of the range ------------------------------------------------------------------------


def test_components_without_overlap_have_no_entropy():
    merging = merge_components(np.eye(4)[[0, 1, 2, 3, 3]])
    np.testing.assert_array_equal(merging.entropies, np.zeros(4))


@pytest.mark.parametrize("n_components", [1, 2])
def test_few_components_are_left_as_they_are(n_components):
    merging = merge_components(random_posterior(0, 10, n_components, 1.0))
    assert merging.suggested_n_clusters == n_components
    assert merging.clusters().tolist() == list(range(n_components))
    assert merging.clusters(1).tolist() == [0] * n_components
    assert np.isfinite(merging.change_point(by_rows=True).slopes).all()


@pytest.mark.parametrize(
    ("responsibilities", "weights", "message"),
    [
        ([0.5, 0.5], None, "expected shape"),
        (np.empty((0, 3)), None, "expected shape"),
        ([[0.5, 0.6]], None, "sum to 1"),
        ([[1.5, -0.5]], None, "non-negative"),
        ([[np.nan, 1.0]], None, "non-negative"),
        ([[0.5, 0.5]], [1.0, 2.0], "one for each row"),
        ([[0.5, 0.5]], [-1.0], "non-negative"),
    ],
)
def test_what_is_no_posterior_is_refused(responsibilities, weights, message):
    with pytest.raises(ValueError, match=message):
        merge_components(responsibilities, weights)


def test_numbers_of_clusters_that_there_are_not():
    merging = merge_components(random_posterior(0, 10, 3, 1.0))
    for n_clusters in (0, 4):
        with pytest.raises(ValueError, match="n_clusters: expected 1 to 3"):
            merging.clusters(n_clusters)
    with pytest.raises(ValueError, match="a column for each component"):
        merging.combine(np.full((5, 2), 0.5))


# -- of a fitted mixture --------------------------------------------------------------------------


def two_crosses(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two crosses of two components each, and a ball: five components, three clusters."""
    rng = np.random.default_rng(seed)
    shapes = np.array([[2.5, 0.3], [0.3, 2.5], [2.5, 0.3], [0.3, 2.5], [0.7, 0.7]])
    places = np.array([[0, 0], [0, 0], [12, 0], [12, 0], [6, 9]])
    components = np.repeat(np.arange(5), 120)
    noise = rng.standard_normal((600, 2))
    return places[components] + noise * shapes[components], components


@pytest.mark.parametrize("seed", range(3))
def test_crosses_are_clusters(seed):
    X, components = two_crosses(seed)
    mixture = GaussianMixture(5, init_params=np.eye(5)[components]).fit(X)
    merging = mixture.merge(X)
    assert isinstance(merging, MixtureMerging)
    assert merging.suggested_n_clusters == 3
    assert merging.clusters().tolist() == [0, 0, 1, 1, 2]
    assert np.mean(merging.labels(X) == np.array([0, 0, 1, 1, 2])[components]) > 0.99
    posterior = merging.predict_proba(X, 4)
    assert posterior.shape == (600, 4)
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(merging.labels(X, 5), mixture.predict(X))
    again = pickle.loads(pickle.dumps(merging))
    np.testing.assert_array_equal(again.labels(X), merging.labels(X))


def test_sample_weight_and_other_families():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.poisson(rate, size=(80, 2)) for rate in (2.0, 3.0, 40.0)])
    mixture = PoissonMixture(3, init_params=np.repeat(np.eye(3), 80, axis=0)).fit(X)
    counts = rng.integers(0, 3, size=240)
    weighted, repeated = mixture.merge(X, counts), mixture.merge(np.repeat(X, counts, axis=0))
    assert weighted.clusters(2).tolist() == [0, 0, 1]
    np.testing.assert_allclose(weighted.entropies, repeated.entropies, rtol=1e-12)
    with pytest.raises(ValueError, match="sample_weight"):
        mixture.merge(X, np.ones(3))


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
def test_rows_without_entries_say_nothing_of_clusters() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(300, 2))
    X = np.vstack([noise[:100] * [3, 0.3], noise[100:200] * [0.3, 3], noise[200:] + 9])
    mixture = GaussianMixture(4, random_state=0, init_params="k-means++").fit(X)
    alone = mixture.merge(X)
    with_empty = mixture.merge(np.vstack([X, np.full((300, 2), np.nan)]))
    np.testing.assert_array_equal(with_empty.merges, alone.merges)
    np.testing.assert_allclose(with_empty.entropies, alone.entropies, rtol=1e-12)
    weights = np.append(np.ones(300), np.full(5, 7.0))
    weighted = mixture.merge(np.vstack([X, np.full((5, 2), np.nan)]), sample_weight=weights)
    np.testing.assert_allclose(weighted.entropies, alone.entropies, rtol=1e-12)

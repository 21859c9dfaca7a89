"""The ways to PPCA's maximum: exactness of each, the choice between them, memory, random vectors.

The oracle works in sixty decimal digits and shares nothing with the package.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import Data
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning

from em_toolkit import PPCA, Status
from em_toolkit.data import Block
from em_toolkit.linalg import block_krylov, principal_axes
from em_toolkit.linalg.principal_axes import (
    ACCURACY,
    from_products,
    from_scatter,
    from_triangle,
)
from em_toolkit.linalg.weighted_rows import WeightedRows
from em_toolkit.models import ProbabilisticPCA

IRIS: Data = load_iris().data
EPS = float(np.finfo(np.float64).eps)


def exact_variances(X: Data, weights: Data | None = None) -> Data:
    """The eigenvalues of the covariance of float rows, falling; right to the last digit.

    By Jacobi's rotations in numbers of sixty digits.
    """
    with localcontext() as context:
        context.prec = 60
        to_decimal = np.frompyfunc(lambda value: Decimal(float(value)), 1, 1)
        rows = to_decimal(X)
        counts = to_decimal(np.ones(len(X)) if weights is None else weights)
        total = counts.sum()
        rows = rows - (counts[:, None] * rows).sum(axis=0) / total
        matrix = (counts[:, None] * rows).T.dot(rows) / total
        size = len(matrix)
        for _ in range(12):
            for p in range(size):
                for q in range(p + 1, size):
                    _rotate(matrix, p, q)
        off = max(abs(matrix[p, q]) for p in range(size) for q in range(p))
        assert off <= Decimal(10) ** -45 * max(matrix.diagonal())
        return np.array(sorted((float(v) for v in matrix.diagonal()), reverse=True))


def _rotate(matrix: Data, p: int, q: int) -> None:
    if matrix[p, q] == 0:
        return
    theta = (matrix[q, q] - matrix[p, p]) / (2 * matrix[p, q])
    tangent = (1 if theta >= 0 else -1) / (abs(theta) + (theta * theta + 1).sqrt())
    cosine = 1 / (tangent * tangent + 1).sqrt()
    sine = tangent * cosine
    for view in (matrix, matrix.T):
        row_p, row_q = view[p].copy(), view[q].copy()
        view[p], view[q] = cosine * row_p - sine * row_q, sine * row_p + cosine * row_q


def plane(noise: float, n_rows: int = 500, n_features: int = 4, seed: int = 0) -> Data:
    """Rows near a plane, off it by the noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 2)) @ rng.standard_normal((2, n_features)) + 3.0
    return np.asarray(X + noise * rng.standard_normal(X.shape))


RNG = np.random.default_rng(0)
ROWS: dict[str, Data] = {
    "iris": IRIS,
    "graded": RNG.standard_normal((300, 5)) * np.geomspace(1.0, 1e-2, 5),
    "columns of unlike scale": RNG.standard_normal((300, 4)) * [1e8, 1e8, 1e6, 1e6],
    "far": np.round(10.0 * IRIS) + 1e8,
    "two points": np.where(RNG.random((20_000, 1)) < 0.5, 0.1, 0.7) * [1.0, 1.1, 1.3]
    + 0.01 * RNG.integers(0, 2, (20_000, 3)),
    "counts": 0.1 * RNG.poisson(3.0, (20_000, 3)),
    "heavy tails": RNG.standard_t(1.5, (5_000, 3)),
    "trend": np.sort(RNG.standard_normal((20_000, 3)), axis=0) + 0.1 * RNG.random((20_000, 3)),
    "constant column": np.column_stack([IRIS, np.full(150, 0.1)]),
    "float32": IRIS.astype(np.float32),
    "column order": np.asfortranarray(RNG.standard_normal((3_000, 3)) + 7.0),
    "columns of a wider array": np.hstack([IRIS, IRIS])[:, 2:6],
}


# -- each way, by itself --------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ROWS)
def test_the_scatter_is_as_exact_as_it_says(name: str, weighted: bool) -> None:
    X = ROWS[name]
    weights = np.random.default_rng(1).uniform(0.1, 3.0, len(X)) if weighted else None
    variances = exact_variances(X, weights)
    rows = WeightedRows(X, weights)
    axes = from_scatter(rows, X.shape[1])
    # Of several times what it was on the most hostile rows; and the bound itself is a small one.
    assert np.abs(axes.variances - variances).max() <= 0.5 * axes.error
    assert axes.error <= 200 * EPS * variances.sum()
    leading = from_scatter(rows, 2)
    assert abs(leading.rest - variances[2:].sum()) <= 0.5 * axes.error
    np.testing.assert_allclose(leading.variances, variances[:2], rtol=0, atol=0.5 * axes.error)
    mean = np.average(X.astype(np.float64), axis=0, weights=weights)
    np.testing.assert_allclose(axes.mean, mean, rtol=1e-13, atol=1e-14)
    assert axes.weight == pytest.approx(len(X) if weights is None else weights.sum())
    np.testing.assert_allclose(axes.axes @ axes.axes.T, np.eye(X.shape[1]), atol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ROWS)
def test_the_triangle_squares_nothing(name: str, weighted: bool) -> None:
    X = ROWS[name]
    weights = np.random.default_rng(1).uniform(0.1, 3.0, len(X)) if weighted else None
    variances = exact_variances(X, weights)
    axes = from_triangle(WeightedRows(X, weights))
    # An error of a few ε of the largest in a standard deviation. (Beside the mean's rounding.)
    error = 64 * EPS * np.sqrt(variances[0]) + EPS * np.abs(X).max()
    np.testing.assert_allclose(np.sqrt(axes.variances), np.sqrt(variances), rtol=0, atol=error)


@pytest.mark.parametrize("noise", [1e-4, 1e-6, 1e-8])
def test_a_small_noise_is_lost_in_the_scatter_and_not_in_the_triangle(noise: float) -> None:
    """The negative control of the choice: without it, digits of the noise would be lost."""
    X = plane(noise)
    expected = exact_variances(X)[2:].mean()
    errors = {
        way: abs(axes.noise_variance(2) / expected - 1.0)
        for way, axes in {
            "scatter": from_scatter(WeightedRows(X), 2),
            "triangle": from_triangle(WeightedRows(X)),
        }.items()
    }
    assert errors["triangle"] < 50 * EPS / noise
    assert errors["scatter"] > 10 * errors["triangle"]
    assert PPCA(2).fit(X).noise_variance_ == pytest.approx(expected, rel=50 * EPS / noise)


@pytest.mark.parametrize("weighted", [False, True])
def test_products_of_few_rows(weighted: bool) -> None:
    """Six rows of six thousand numbers: their nonzero eigenvalues are those of 6 × 6."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((6, 6_000)) * rng.geometric(0.5, 6_000) + 1e4
    weights = rng.uniform(0.5, 2.0, 6) if weighted else None
    axes = from_products(WeightedRows(X, weights), 3)
    oracle = from_triangle(WeightedRows(X, weights))
    singular = np.linalg.svd(
        (X - np.average(X, axis=0, weights=weights))
        * np.sqrt(np.ones(6) if weights is None else weights)[:, None],
        full_matrices=False,
    )
    variances = singular[1] ** 2 / axes.weight
    np.testing.assert_allclose(axes.variances, variances[:3], rtol=1e-12)
    np.testing.assert_allclose(oracle.variances, variances, rtol=1e-12, atol=1e-12 * variances[0])
    assert axes.rest == pytest.approx(variances[3:].sum(), rel=1e-12)
    np.testing.assert_allclose(axes.axes @ axes.axes.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(np.abs(axes.axes @ singular[2][:3].T), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(axes.mean, np.average(X, axis=0, weights=weights), rtol=1e-14)


def test_axes_by_products_are_orthonormal_where_the_variances_are_far_apart() -> None:
    rng = np.random.default_rng(11)
    left, _ = np.linalg.qr(rng.standard_normal((40, 39)))
    right, _ = np.linalg.qr(rng.standard_normal((45, 39)))
    lengths = np.r_[1.0, np.full(38, 5e-3)]
    axes = from_products(WeightedRows((left * lengths) @ right.T), 20)
    assert axes.resolves(20)
    np.testing.assert_allclose(axes.axes @ axes.axes.T, np.eye(20), rtol=0, atol=5e-15)


@pytest.mark.parametrize("offset", [0.0, 3.0])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_and_runs_of_any_size(
    monkeypatch: pytest.MonkeyPatch, weighted: bool, order: Any, offset: float
) -> None:
    """Also about zero, where the rows are taken as they are."""
    X = np.asarray(np.random.default_rng(9).standard_normal((1_000, 4)) + offset, order=order)
    weights = np.random.default_rng(1).uniform(0.1, 3.0, 1_000) if weighted else None
    variances = exact_variances(X, weights)
    monkeypatch.setattr("em_toolkit.linalg.weighted_rows._BLOCK_BYTES", 0)
    monkeypatch.setattr("em_toolkit.linalg.weighted_rows._SMALLEST_BLOCK", 7)
    monkeypatch.setattr(principal_axes, "_SMALLEST_BLOCK", 7)
    rows = WeightedRows(X, weights)
    assert rows.block_size == 7
    for run in (1, 3, 64, 1000):
        monkeypatch.setattr(principal_axes, "_RUN", run)
        np.testing.assert_allclose(from_scatter(rows, 4).variances, variances, rtol=1e-13)
    np.testing.assert_allclose(from_triangle(rows).variances, variances, rtol=1e-13)
    mean, total, _ = rows.moments()
    np.testing.assert_allclose(mean, np.average(X, axis=0, weights=weights), atol=1e-14)
    assert total == pytest.approx(variances.sum(), rel=1e-14)


def test_a_sample_far_from_the_mean_is_no_origin() -> None:
    """Rows that are looked at first, and weigh nothing."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((6_400, 3)) * [3.0, 2.0, 1.0]
    weights = np.ones(6_400)
    X[::100] += 1e7
    weights[::100] = 1e-20
    axes = from_scatter(WeightedRows(X, weights), 3)
    assert axes.n_passes == 2
    rest = weights == 1.0
    np.testing.assert_allclose(axes.variances, exact_variances(X[rest]), rtol=1e-4)
    np.testing.assert_allclose(axes.variances, exact_variances(X, weights), rtol=1e-12)


# -- the choice -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["closed_form", "em"])
@pytest.mark.parametrize("noise", [1.0, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4, 1e-6])
def test_the_choice_keeps_the_accuracy(noise: float, solver: str) -> None:
    X = plane(noise, n_rows=1_000, n_features=5)
    variances = exact_variances(X)
    axes = principal_axes.principal_axes(WeightedRows(X), 2, complete=solver == "em")
    expected = variances[2:].mean()
    tolerance = max(ACCURACY, 50 * EPS * np.sqrt(variances[0] / expected))
    assert axes.noise_variance(2) == pytest.approx(expected, rel=tolerance)
    np.testing.assert_allclose(axes.variances[:2], variances[:2], rtol=1e-13)
    # One pass, where the noise is above what the scatter loses; three, where it is not.
    assert axes.n_passes == (1 if noise > 0.005 else 3)
    assert axes.resolves(2)


def test_both_ways_agree_where_the_choice_changes() -> None:
    """On either side of the threshold, and far above: the switch cannot be seen."""
    for noise in np.geomspace(0.002, 0.02, 12):
        X = plane(float(noise), n_rows=2_000, n_features=6)
        scatter, triangle = from_scatter(WeightedRows(X), 2), from_triangle(WeightedRows(X))
        difference = scatter.noise_variance(2) / triangle.noise_variance(2) - 1.0
        assert abs(difference) < ACCURACY
        np.testing.assert_allclose(scatter.variances, triangle.variances[:2], rtol=1e-12)
        np.testing.assert_allclose(
            np.abs(scatter.axes @ triangle.axes[:2].T), np.eye(2), rtol=0, atol=1e-9
        )
    assert scatter.resolves(2)
    assert not from_scatter(WeightedRows(plane(0.002, 2_000, 6)), 2).resolves(2)


@pytest.mark.parametrize("way", ["scatter", "triangle"])
def test_fits_by_either_way_are_the_same(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principal_axes, "ACCURACY", {"scatter": np.inf, "triangle": -1.0}[way])
    for X in (IRIS, load_digits().data[:40], np.round(10.0 * IRIS) + 1e8):
        fit = PPCA(2).fit(X)
        assert (fit.n_passes_ >= 3) == (way == "triangle")
        centred = X - X.mean(axis=0)
        variances = np.linalg.svd(centred, compute_uv=False) ** 2 / len(X)
        noise = variances[2:].sum() / (X.shape[1] - 2)
        assert fit.noise_variance_ == pytest.approx(noise, rel=1e-11)
        np.testing.assert_allclose(fit.explained_variance_, variances[:2], rtol=1e-11)
        ratio = variances[:2] / variances.sum()
        np.testing.assert_allclose(fit.explained_variance_ratio_, ratio, rtol=1e-11)
        log_density = multivariate_normal(fit.mean_, fit.get_covariance()).logpdf(X)
        # scipy's covariance is rounded where the data are far.
        assert fit.lower_bound_ == pytest.approx(log_density.mean(), rel=1e-8)


@pytest.mark.parametrize("factor", [1.0, 2.0, 3.0, 1e-3])
def test_the_default_number_of_components_by_either_way(factor: float) -> None:
    """A feature that is the double of another but for a little noise takes nothing of the rank."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((300, 4))
    doubled = np.column_stack([X, factor * X[:, 0]])
    assert PPCA().fit(X).n_components_ == 3
    assert PPCA().fit(doubled + 1e-6 * rng.standard_normal(doubled.shape)).n_components_ == 4
    # Without noise the doubled one is of rank 4, and one of these goes to the noise.
    assert PPCA().fit(doubled).n_components_ == 3


# -- what the model sees --------------------------------------------------------------------------


@pytest.mark.parametrize("n_axes", [2, 4])
def test_rows_for_the_data(n_axes: int) -> None:
    weights = np.random.default_rng(5).uniform(0.5, 2.0, 150)
    axes = from_triangle(WeightedRows(IRIS, weights))
    block = Block(*axes.leading(n_axes).rows())
    assert len(block.X) == 2 * min(n_axes + 1, 4)
    assert block.weights.sum() == pytest.approx(weights.sum(), rel=1e-14)
    np.testing.assert_allclose(block.weights @ block.X, 0.0, atol=1e-12)
    scatter = (block.weights[:, None] * block.X).T @ block.X / weights.sum()
    centred = IRIS - np.average(IRIS, axis=0, weights=weights)
    expected = (weights[:, None] * centred).T @ centred / weights.sum()
    assert np.trace(scatter) == pytest.approx(np.trace(expected), rel=1e-13)
    leading = axes.axes[:n_axes]
    np.testing.assert_allclose(leading @ scatter, leading @ expected, rtol=0, atol=1e-13)
    if n_axes == 4:
        np.testing.assert_allclose(scatter, expected, rtol=0, atol=1e-13)
    else:
        assert np.abs(scatter - expected).max() > 1e-3


def test_what_is_cut_off_stays_in_the_sum() -> None:
    axes = from_triangle(WeightedRows(IRIS))
    for n_axes in (1, 2, 3):
        cut = axes.leading(n_axes)
        assert cut.total_variance == pytest.approx(axes.total_variance, rel=1e-14)
        assert cut.noise_variance(n_axes) == pytest.approx(axes.noise_variance(n_axes), rel=1e-12)


@pytest.mark.parametrize(
    ("solver", "smallest"), [("closed_form", 1.0), ("closed_form", 1e-3), ("randomized", 1.0)]
)
def test_the_ledger_at_the_maximum_costs_little_and_is_exact(
    solver: str, smallest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the way to it found a few axes or all of them."""
    seen: list[int] = []
    original: Callable[..., Any] = ProbabilisticPCA.posterior

    def posterior(self: Any, params: Any, X: Data) -> Any:
        seen.append(len(X))
        return original(self, params, X)

    monkeypatch.setattr(ProbabilisticPCA, "posterior", posterior)
    stds = np.r_[5.0, 4.0, 3.0, np.full(57, smallest)]
    X = np.random.default_rng(6).standard_normal((400, 60)) * stds + 2.0
    fit = PPCA(3, solver=solver, random_state=0).fit(X)
    if solver == "closed_form":
        assert fit.n_passes_ == (1 if smallest == 1.0 else 3)
    assert seen == [8]
    density = multivariate_normal(fit.mean_, fit.get_covariance())
    # scipy's density goes by the covariance, and loses what its condition number says.
    rel = 1e-12 if smallest == 1.0 else 1e-9
    assert fit.lower_bound_ == pytest.approx(density.logpdf(X).mean(), rel=rel)
    assert abs(fit.trace_.kl[0]) < 1e-11


# -- memory ---------------------------------------------------------------------------------------


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[[Data], Data]:
    def write(X: Data) -> Data:
        path = tmp_path / "rows.npy"
        np.save(path, X)
        return np.load(path, mmap_mode="r")

    return write


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("solver", "noise"),
    [("closed_form", 1.0), ("closed_form", 1e-4), ("em", 1.0), ("em", 1e-4), ("randomized", 1.0)],
)
def test_rows_are_never_copied(
    on_disk: Callable[[Data], Data], solver: str, noise: float, dtype: type
) -> None:
    """Not shifted, not weighted, not to double; in neither way, here told by the noise."""
    X = on_disk(plane(noise, n_rows=60_000, n_features=40).astype(dtype))
    estimator = PPCA(2, solver=solver, max_iter=20, tol=1e-5, random_state=0)
    weights = np.ones(60_000)
    estimator.fit(X[:5_000])  # what it imports
    for sample_weight in (None, weights):
        tracemalloc.start()
        estimator.fit(X, sample_weight=sample_weight)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.25 * X.nbytes
    in_memory = PPCA(2, solver="closed_form").fit(np.array(X))
    assert estimator.mean_.dtype == dtype
    if solver == "closed_form":
        assert estimator.noise_variance_ == pytest.approx(in_memory.noise_variance_, rel=1e-12)
        np.testing.assert_allclose(estimator.loadings_, in_memory.loadings_, atol=1e-6)


# -- random vectors -------------------------------------------------------------------------------


def wide(n_rows: int, n_features: int, decay: float = 0.5, seed: int = 7) -> Data:
    """Variances that fall slowly, with no gap after the leading ones."""
    rng = np.random.default_rng(seed)
    stds = np.arange(1, n_features + 1) ** -decay
    rotation, _ = np.linalg.qr(rng.standard_normal((n_features, n_features)))
    return np.asarray((rng.standard_normal((n_rows, n_features)) * stds) @ rotation + 2.0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n_rows", "n_features"), [(900, 200), (120, 300), (200, 200)])
def test_random_vectors_find_the_closed_form(n_rows: int, n_features: int, weighted: bool) -> None:
    X = wide(n_rows, n_features)
    weights = np.random.default_rng(8).uniform(0.5, 2.0, n_rows) if weighted else None
    exact = PPCA(5).fit(X, sample_weight=weights)
    fit = PPCA(5, solver="randomized", random_state=0).fit(X, sample_weight=weights)
    assert fit.status_ is Status.CONVERGED
    assert fit.converged_
    assert fit.n_passes_ == fit.n_iter_ + 1
    assert len(fit.trace_) == 1
    # To tol=1e-8 nats, of which the variances have their share, and the axes its root.
    assert -1e-7 < fit.lower_bound_ - exact.lower_bound_ < 1e-10
    assert fit.noise_variance_ == pytest.approx(exact.noise_variance_, rel=1e-8)
    np.testing.assert_allclose(fit.explained_variance_, exact.explained_variance_, rtol=1e-7)
    np.testing.assert_allclose(fit.components_, exact.components_, rtol=0, atol=1e-3)
    np.testing.assert_allclose(fit.mean_, exact.mean_, rtol=1e-12)
    assert fit.score(X, sample_weight=weights) == pytest.approx(fit.lower_bound_, rel=1e-12)


def test_a_smaller_tol_comes_nearer() -> None:
    X = wide(900, 300)
    best = PPCA(5).fit(X).lower_bound_
    lost, images = [], []
    for tol in (10.0, 1e-2, 1e-5, 1e-8):
        fit = PPCA(5, solver="randomized", tol=tol, random_state=0).fit(X)
        lost.append(best - fit.lower_bound_)
        images.append(fit.n_iter_)
    assert images[0] < images[1] < images[2] < images[3]
    assert lost[0] > lost[1] > lost[2] > -1e-10
    assert lost[0] > 1e-2 > lost[1]
    assert lost[2] < 1e-4
    assert lost[3] < 1e-7


@pytest.mark.parametrize("most_blocks", [2, 3])
def test_a_space_that_starts_anew_goes_on(
    monkeypatch: pytest.MonkeyPatch, most_blocks: int
) -> None:
    X = wide(900, 300)
    exact, long = PPCA(5).fit(X), PPCA(5, solver="randomized", random_state=0).fit(X)
    monkeypatch.setattr(block_krylov, "_MOST_BLOCKS", most_blocks)
    short = PPCA(5, solver="randomized", random_state=0).fit(X)
    assert short.n_iter_ > long.n_iter_ > most_blocks
    assert abs(short.lower_bound_ - exact.lower_bound_) < 1e-6
    np.testing.assert_allclose(short.components_, exact.components_, rtol=0, atol=1e-2)


def test_few_features_are_exhausted_and_exact() -> None:
    exact, fit = PPCA(2).fit(IRIS), PPCA(2, solver="randomized", random_state=0).fit(IRIS)
    assert (fit.n_iter_, fit.n_passes_) == (1, 2)
    assert fit.lower_bound_ == pytest.approx(exact.lower_bound_, rel=1e-13)
    np.testing.assert_allclose(fit.components_, exact.components_, rtol=0, atol=1e-12)
    assert fit.noise_variance_ == pytest.approx(exact.noise_variance_, rel=1e-12)


def test_random_vectors_do_not_mind_an_offset() -> None:
    """Whole numbers are the same about 1e8, and half of float32's digits are enough for them."""
    whole = np.round(100.0 * wide(400, 150))
    options: dict[str, Any] = {"solver": "randomized", "random_state": 0}
    near = PPCA(4, **options).fit(whole)
    far = PPCA(4, **options).fit(whole + 1e8)
    single = PPCA(4, **options).fit(whole.astype(np.float32))
    for fit in (far, single):
        assert fit.noise_variance_ == pytest.approx(near.noise_variance_, rel=1e-9)
        np.testing.assert_allclose(fit.explained_variance_, near.explained_variance_, rtol=1e-6)
    assert single.loadings_.dtype == np.float32
    np.testing.assert_allclose(far.mean_ - 1e8, near.mean_, rtol=0, atol=1.5e-8)


def test_the_seed_is_the_whole_chance() -> None:
    X = wide(300, 150)
    one, same, other = (
        PPCA(3, solver="randomized", random_state=seed, tol=1e-3).fit(X) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.loadings_, same.loadings_)
    assert np.abs(one.loadings_ - other.loadings_).max() > 1e-12


def test_too_few_iterations_are_said() -> None:
    X = wide(900, 300)
    with pytest.warns(ConvergenceWarning, match="max_iter iterations were not enough"):
        fit = PPCA(5, solver="randomized", max_iter=2, random_state=0).fit(X)
    assert fit.status_ is Status.MAX_ITER
    assert not fit.converged_
    assert fit.n_iter_ == 2
    assert fit.lower_bound_ < PPCA(5).fit(X).lower_bound_ - 1e-3


@pytest.mark.parametrize(
    ("X", "n_components", "message"),
    [
        (IRIS, None, r"solver='randomized'\) expects n_components.*got None"),
        (plane(1e-5), 2, "too little to stand above rounding. solver='closed_form' loses less"),
        (plane(0.0), 3, "too little to stand above rounding|lost in rounding"),
        (np.full((10, 3), 7.0), 1, "lost in rounding"),
        (np.ones((3, 50)) + np.eye(3, 50), 4, "too little to stand|lost in rounding"),
    ],
)
def test_what_random_vectors_cannot_do(X: Data, n_components: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPCA(n_components, solver="randomized", random_state=0).fit(X)


@pytest.mark.parametrize("solver", ["closed_form", "em", "randomized"])
def test_squares_that_overflow_are_named(solver: str) -> None:
    X = 1e200 * np.random.default_rng(0).standard_normal((100, 30))
    with pytest.raises(ValueError, match="Divide the feature by a constant"):
        PPCA(3, solver=solver, random_state=0).fit(X)

"""The compiled E-step for rows with missing entries, against its NumPy twin and more digits.

As in `test_kernels`, each sum is measured by its own natural scale: what it would be if nothing
cancelled. An expectation of a missing entry, x̂_a − μ_a = −Σ_bj C_ab P_bj (x_j − μ_j), is by
Cauchy-Schwarz no larger than √C_aa Σ_j √P_jj |x_j − μ_j|, times what the variances of missing
entries are inflated, which the compiled loops bound.

On hard inputs both are compared to a computation in extended precision, which knows nothing of
P = Σ⁻¹: for each row it factors Σ_oo. The covariances there have factors L with exact
inverses, so that all three are given the same matrix.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Data, clusters, random_covariance
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from em_toolkit import GaussianMixture
from em_toolkit.data import BLOCK_SIZE
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import (
    Box,
    FullCovariances,
    Gaussian,
    GaussianComponents,
    TiedCovariances,
    WithNoise,
    box_about,
)
from em_toolkit.kernels import choice, gaussian_mixture, incomplete_mixture, plan, plan_for
from em_toolkit.kernels.gaussian_mixture import CompiledGaussianMixture
from em_toolkit.kernels.incomplete_mixture import CompiledIncompleteMixture
from em_toolkit.model import Expectation
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.testing import check_model

EPS = np.finfo(np.float64).eps
Precise = np.longdouble
has_extended_precision = pytest.mark.skipif(
    np.finfo(Precise).eps > 1e-18, reason="long double is no longer than double here"
)
NAMES = ["full", "tied", "diag", "spherical"]
MATRICES = ["full", "tied"]


class Case(NamedTuple):
    """What an E-step is given."""

    structure: str
    params: Any
    X: Data
    weights: Data
    box: Box | None = None

    @property
    def plain(self) -> Mixture[GaussianComponents]:
        family = Gaussian(CLASSES[self.structure])
        return Mixture(family if self.box is None else WithNoise(family, self.box))

    @property
    def compiled(self) -> CompiledIncompleteMixture:
        return CompiledIncompleteMixture(Gaussian(CLASSES[self.structure]), box=self.box)

    def expectations(self) -> tuple[Expectation[Any], Expectation[Any]]:
        """By the twin, and compiled."""
        plain, compiled = (
            model.expectation(self.params, self.X, self.weights)
            for model in (self.plain, self.compiled)
        )
        return plain, compiled


def components(structure: str, means: Data, matrices: Data) -> GaussianComponents:
    """From K covariance matrices, of which each structure takes what it can hold."""
    diagonals = np.diagonal(matrices, axis1=1, axis2=2)
    values = {
        "full": matrices,
        "tied": matrices[0],
        "diag": diagonals,
        "spherical": diagonals.mean(axis=1),
    }[structure]
    return GaussianComponents(means, CLASSES[structure].from_sklearn_array(values, *means.shape))


def random_case(
    structure: str, X: Data, K: int, seed: int = 0, condition: float = 10.0, apart: float = 3.0
) -> Case:
    """Rows in some clusters, unequal weights, and components near by."""
    rng = np.random.default_rng(seed)
    d = X.shape[1]
    matrices = np.stack([random_covariance(rng, d, condition) for _ in range(K)])
    means = apart * rng.standard_normal((K, d))
    params = MixtureParameters(
        rng.dirichlet(np.full(K, 5.0)), components(structure, means, matrices)
    )
    return Case(structure, params, X, rng.uniform(0.1, 3.0, len(X)))


def with_holes(X: Data, share: float, seed: int = 0) -> Data:
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


def rows(n: int, d: int, share: float, seed: int = 0) -> Data:
    return with_holes(clusters(np.random.default_rng(seed), n, d, 3), share, seed)


# -- sums and their natural scales ----------------------------------------------------------------


def outputs(found: Expectation[Any]) -> dict[str, Data]:
    stats = found.statistics
    signal = getattr(stats, "signal", stats)
    return {
        "count": stats.count,
        "first moment": signal.first_moment,
        "second moment": signal.second_moment,
        "entropy": np.asarray(found.entropy),
        "log evidence": np.asarray(found.log_evidence),
        "weight": np.asarray(found.weight),
    }


def structured(structure: str, moments: Data) -> Data:
    """Of K matrices what the structure keeps."""
    if structure in MATRICES:
        return moments if structure == "full" else moments.sum(axis=0)[None]
    diagonals = np.diagonal(moments, axis1=1, axis2=2)
    return diagonals if structure == "diag" else diagonals.sum(axis=1, keepdims=True)


def scales(case: Case) -> dict[str, Data]:
    """What the sums would be if nothing cancelled, by the twin's posterior."""
    parts, X = case.params.components, case.X
    K = len(parts.means)
    posterior, log_evidence = case.plain.posterior(case.params, X)
    shares = (posterior.responsibilities + 1e-100) * case.weights[:, None]
    stds = np.sqrt(parts.covariances.variances)
    sizes = np.where(np.isnan(X), 0.0, np.abs(X - parts.means[:, None]))
    reach = (sizes * np.sqrt(parts.covariances.inverse_diagonals)[:, None]).sum(axis=2)
    missing = np.isnan(X)[None] * stds[:, None] * reach[:, :, None]
    sizes = sizes + missing + stds[:, None]
    moments = np.einsum("ik,kij,kil->kjl", shares[:, :K], sizes, sizes)
    return {
        "count": shares.sum(axis=0),
        "first moment": np.einsum("ik,kij->kj", shares[:, :K], sizes),
        "second moment": structured(case.structure, moments),
        "entropy": (case.weights * (1.0 + np.abs(posterior.entropy))).sum(),
        "log evidence": (case.weights * (1.0 + np.abs(log_evidence))).sum(),
        "weight": case.weights.sum(),
    }


def errors(
    found: dict[str, Data], expected: dict[str, Data], scale: dict[str, Data]
) -> dict[str, float]:
    """The largest difference of each output, by its scale."""
    largest = {}
    for name, size in scale.items():
        difference = np.abs(found[name] - expected[name])
        assert difference.shape == np.shape(size)
        largest[name] = float((difference / size).max())
    return largest


def assert_twins(case: Case, rtol: float = 1e-12) -> None:
    """The compiled sums, densities and moments are those of the plain twin."""
    plain, compiled = case.expectations()
    largest = errors(outputs(compiled), outputs(plain), scales(case))
    assert all(error <= rtol for error in largest.values()), largest
    moment = outputs(compiled)["second moment"]
    if moment.ndim == 3:
        np.testing.assert_array_equal(moment, moment.transpose(0, 2, 1))
    (one, evidence), (two, same) = (
        model.posterior(case.params, case.X) for model in (case.plain, case.compiled)
    )
    np.testing.assert_allclose(same, evidence, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(two.responsibilities, one.responsibilities, atol=10.0 * rtol)
    # Of complete rows the plain way says nothing, the compiled one 0.
    zero = np.zeros(one.responsibilities.shape)
    entropy, same_entropy = (zero if q.within is None else q.within.entropy for q in (one, two))
    np.testing.assert_allclose(same_entropy, entropy, rtol=rtol, atol=10.0 * rtol)
    given_shares = [
        outputs(Expectation(m.statistics(case.params, case.X, one, case.weights), 0.0, 0.0, 0.0))
        for m in (case.plain, case.compiled)
    ]
    scale = {name: scales(case)[name] for name in ("count", "first moment", "second moment")}
    assert all(error <= rtol for error in errors(*reversed(given_shares), scale).values())


@pytest.fixture
def always_orthogonalized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incomplete_mixture, "_LARGEST_INFLATION", 0.0)


# -- random inputs --------------------------------------------------------------------------------

# Rows on either side of a panel and a register, features of tiles, components of tiles.
SHAPES = [
    (1, 1, 1),
    (1, 17, 7),
    (5, 2, 3),
    (39, 3, 2),
    (240, 4, 4),
    (241, 5, 5),
    (257, 10, 33),
    (700, 12, 3),
    (700, 13, 2),
    (1000, 1, 3),
    (1000, 16, 7),
    (4100, 5, 5),
    (500, 40, 4),
]


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize(("n", "d", "K"), SHAPES, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.15, 0.6, 1.0])
def test_random_inputs(structure: str, n: int, d: int, K: int, share: float) -> None:
    assert_twins(random_case(structure, rows(n, d, share), K))


@pytest.mark.usefixtures("always_orthogonalized")
@pytest.mark.parametrize("structure", MATRICES)
@pytest.mark.parametrize(("n", "d", "K"), [(5, 2, 3), (241, 5, 5), (700, 12, 3)], ids=str)
@pytest.mark.parametrize("is_sorted", [False, True])
def test_random_inputs_orthogonalized(
    structure: str, n: int, d: int, K: int, is_sorted: bool
) -> None:
    X = rows(n, d, 0.3)
    if is_sorted:
        X = np.repeat(X[: n // 20 + 1], 20, axis=0)
    assert_twins(random_case(structure, X, K))


@pytest.mark.parametrize("structure", MATRICES)
@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(
        st.sampled_from([1, 1, 1, 2, 7, 8, 15, 16, 17, 23, 39, 40, 41, 100, 239, 240, 500]),
        min_size=1,
        max_size=30,
    ),
    d=st.integers(1, 9),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**31),
)
def test_runs_of_any_lengths(
    structure: str, lengths: list[int], d: int, share: float, seed: int
) -> None:
    """Long ones, whose rows go together, beside single rows, across the ends of panels."""
    rng = np.random.default_rng(seed)
    patterns = rng.random((len(lengths), d)) < share
    X = clusters(rng, sum(lengths), d, 3)
    X = np.where(np.repeat(patterns, lengths, axis=0), np.nan, X)
    assert_twins(random_case(structure, X, 3, seed))


@pytest.mark.parametrize("structure", NAMES)
def test_components_far_apart(structure: str) -> None:
    """Where most responsibilities are zero, rows are sorted out."""
    assert_twins(random_case(structure, rows(900, 6, 0.2), 5, apart=300.0))


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize("hardship", ["offset", "column scales", "weight zero", "row weights"])
def test_one_hardship(structure: str, hardship: str) -> None:
    case = random_case(structure, rows(700, 5, 0.3), 5)
    parts, X, pi, weights = case.params.components, case.X, case.params.weights, case.weights
    rng = np.random.default_rng(3)
    means, matrices = parts.means, np.stack([random_covariance(rng, 5) for _ in range(5)])
    if hardship == "offset":
        # By a power of two, so that the rounding of X is no part of the matter.
        means, X = np.round(means, 3) + 2.0**27, np.round(X, 3) + 2.0**27
    elif hardship == "column scales" and structure != "spherical":
        scale = np.array([1e-8, 1e-4, 1.0, 1e4, 1e8])
        means, X, matrices = means * scale, X * scale, matrices * scale * scale[:, None]
    elif hardship == "weight zero":
        pi = np.array([0.3, 0.0, 0.2, 0.5, 0.0])
    elif hardship == "row weights":
        weights = np.where(rng.random(700) < 0.3, 0.0, 10.0 ** rng.uniform(-3.0, 6.0, 700))
    params = MixtureParameters(pi, components(structure, means, matrices))
    assert_twins(Case(structure, params, X, weights))


@pytest.mark.parametrize("structure", NAMES)
def test_equal_rows_do_not_drift(structure: str) -> None:
    """The roundings of a sum of equal terms all go one way: no sum may be long."""
    n = 200_000
    one = random_case(structure, np.array([[0.3, np.nan, -1.2, np.nan, 0.7]]), 3)
    one = one._replace(weights=np.ones(1))
    many = one._replace(X=np.repeat(one.X, n, axis=0), weights=np.ones(n))
    expected = outputs(one.compiled.expectation(*one[1:4]))
    found = outputs(many.compiled.expectation(*many[1:4]))
    mean = {name: values / n for name, values in found.items()}
    largest = errors(mean, expected, scales(one))
    assert all(error <= 3e-14 for error in largest.values()), largest


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize("value", [1e160, 1e200, -1e200])
def test_overflow_falls_back_to_the_twin(structure: str, value: float) -> None:
    case = random_case(structure, rows(300, 5, 0.2), 3)
    X = case.X.copy()
    X[7] = [np.nan, value, 0.0, 1.0, 2.0]
    with np.errstate(over="ignore", invalid="ignore"):
        plain, compiled = case._replace(X=X).expectations()
    assert not np.isfinite(plain.log_evidence)
    for name, values in outputs(plain).items():
        np.testing.assert_array_equal(outputs(compiled)[name], values)


# -- hard inputs, in extended precision -----------------------------------------------------------


def exact_factors(rng: np.random.Generator, d: int, largest: int, scale: Data) -> tuple[Data, Data]:
    """L and L⁻¹, both without rounding: of whole numbers, with ones on the diagonal.

    The features are then scaled by powers of two.
    """
    lower = np.tril(rng.integers(-largest, largest + 1, (d, d)), -1) + np.eye(d, dtype=np.int64)
    inverse = np.eye(d, dtype=np.int64)
    for j in range(d):
        inverse[j] -= lower[j, :j] @ inverse[:j]
    assert (lower @ inverse == np.eye(d)).all()
    assert np.abs(inverse).max() < 2**40
    return lower * scale[:, None], inverse / scale


def hard_case(structure: str, seed: int, d: int, largest: int, unlike_scales: bool) -> Case:
    """Ill-conditioned covariances, rows that are likely, and entries missing."""
    rng = np.random.default_rng(seed)
    K, n = int(rng.integers(1, 4)), int(rng.integers(1, 60))
    scale = 2.0 ** rng.integers(-20, 20, d) if unlike_scales else np.ones(d)
    n_matrices = K if structure == "full" else 1
    lower, inverse = (
        np.stack(factors)
        for factors in zip(
            *(exact_factors(rng, d, largest, scale) for _ in range(n_matrices)), strict=True
        )
    )
    matrices = lower @ lower.transpose(0, 2, 1)
    cls = FullCovariances if structure == "full" else TiedCovariances
    covariances: Any = cls(matrices) if structure == "full" else TiedCovariances(matrices, K)
    covariances.__dict__.update(cholesky=lower, inverse_cholesky=inverse)
    means = np.round(10.0 * rng.standard_normal((K, d))) * scale
    labels = rng.integers(K, size=n)
    noise = rng.standard_normal((n, d))
    X = means[labels] + np.einsum("ijm,im->ij", lower[labels % n_matrices], noise)
    X = with_holes(X, rng.uniform(0.1, 0.8), seed)
    if rng.random() < 0.3:
        X = np.repeat(X[: n // 10 + 1], 20, axis=0)
    params = MixtureParameters(rng.dirichlet(np.ones(K)), GaussianComponents(means, covariances))
    return Case(structure, params, X, rng.uniform(0.1, 3.0, len(X)))


def triangle(matrix: Data) -> Data:
    """The Cholesky factor in extended precision."""
    lower = np.zeros_like(matrix)
    for j in range(len(matrix)):
        lower[j, j] = np.sqrt(matrix[j, j] - lower[j, :j] @ lower[j, :j])
        for i in range(j + 1, len(matrix)):
            lower[i, j] = (matrix[i, j] - lower[i, :j] @ lower[j, :j]) / lower[j, j]
    return lower


def substituted(lower: Data, right: Data) -> Data:
    solution = np.zeros_like(right)
    for j in range(len(lower)):
        solution[j] = (right[j] - lower[j, :j] @ solution[:j]) / lower[j, j]
    return solution


def precise(case: Case) -> tuple[dict[str, Data], dict[str, Data], dict[str, Data]]:
    """The sums in extended precision, their scales, and what roundings of the distances explain.

    A rounding of each product in L⁻¹ (x̂ − μ), and of each sum of them, makes log p(x_o, k)
    uncertain by EPS [(d + 4) Σ_j (Σ_m |L⁻¹_jm| |x̂_m − μ_m|)² + 4 c], with c the size of what is
    constant.
    """
    parts, X = case.params.components, case.X.astype(Precise)
    covariances: Any = parts.covariances
    (K, d), n = parts.means.shape, len(X)
    log_2_pi = np.log(2.0 * Precise("3.14159265358979323846264338327950288"))
    log_joint, uncertainty, entropies = np.empty((3, n, K), Precise)
    expected = np.zeros((K, n, d), Precise)
    conditional = np.zeros((K, n, d, d), Precise)
    for k in range(K):
        matrix = k % len(covariances.cholesky)
        lower = covariances.cholesky[matrix].astype(Precise)
        inverse = covariances.inverse_cholesky[matrix]
        sigma = lower @ lower.T
        for i, row in enumerate(X):
            o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
            deviation = row[o] - parts.means[k, o]
            factor = triangle(sigma[np.ix_(o, o)])
            whitened = substituted(factor, deviation)
            regression = substituted(factor, sigma[np.ix_(o, m)])
            expected[k, i, o], expected[k, i, m] = deviation, regression.T @ whitened
            rest = sigma[np.ix_(m, m)] - regression.T @ regression
            conditional[k, i][np.ix_(m, m)] = rest
            logs = 2.0 * np.log(np.diag(factor)).sum()
            constant = case.params.log_weights[k] - 0.5 * (len(o) * log_2_pi + logs)
            log_joint[i, k] = constant - 0.5 * whitened @ whitened
            of_missing = 2.0 * np.log(np.diag(triangle(rest))).sum()
            entropies[i, k] = 0.5 * (len(m) * (1.0 + log_2_pi) + of_missing)
            sizes = np.square(np.abs(inverse) @ np.abs(expected[k, i])).sum()
            terms = np.abs(np.log(np.abs(np.diag(lower)))).sum() + d
            uncertainty[i, k] = EPS * ((d + 4.0) * sizes + 4.0 * (abs(constant) + terms))
    highest = log_joint.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(log_joint - highest).sum(axis=1, keepdims=True))
    log_posterior = log_joint - highest - log_total
    posterior = np.exp(log_posterior)
    w = case.weights.astype(Precise)
    shares = posterior * w[:, None]
    surprise = -np.maximum(log_posterior, -1e4)
    second = np.einsum("ik,kij,kil->kjl", shares, expected, expected)
    second += np.einsum("ik,kijl->kjl", shares, conditional)
    log_evidence = (highest + log_total)[:, 0]
    sums = {
        "count": shares.sum(axis=0),
        "first moment": np.einsum("ik,kij->kj", shares, expected),
        "second moment": structured(case.structure, second),
        "entropy": (shares * (surprise + entropies)).sum(),
        "log evidence": (w * log_evidence).sum(),
        "weight": w.sum(),
    }
    of_row = (posterior * uncertainty).sum(axis=1, keepdims=True)
    largest = np.exp(np.minimum(0.0, log_posterior + uncertainty + of_row))
    doubt = (largest - posterior) * w[:, None]
    sizes = np.abs(expected) + np.sqrt(np.diagonal(conditional, axis1=2, axis2=3))
    explained = {
        "count": doubt.sum(axis=0),
        "first moment": np.einsum("ik,kij->kj", doubt, sizes),
        "second moment": structured(
            case.structure, np.einsum("ik,kij,kil->kjl", doubt, sizes, sizes)
        ),
        "entropy": (doubt * (1.0 + surprise + np.abs(entropies))).sum(),
        "log evidence": (w[:, None] * largest * uncertainty).sum(),
        "weight": Precise(0.0),
    }
    return sums, scales(case), explained


def assert_precise(case: Case) -> None:
    """The compiled sums are as good as roundings let them be."""
    expected, scale, explained = precise(case)
    allowed = {name: 1e-12 * size + explained[name] for name, size in scale.items()}
    found = case.compiled.expectation(case.params, case.X, case.weights)
    largest = errors(outputs(found), expected, allowed)
    assert all(error <= 1.0 for error in largest.values()), largest


@has_extended_precision
@pytest.mark.parametrize("structure", MATRICES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    d=st.integers(1, 8),
    largest=st.integers(0, 4),
    unlike_scales=st.booleans(),
)
def test_hard_inputs(structure: str, seed: int, d: int, largest: int, unlike_scales: bool) -> None:
    assert_precise(hard_case(structure, seed, d, largest, unlike_scales))


def many_hard_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        hard_case(
            MATRICES[seed % 2],
            seed,
            int(rng.integers(2, 9)),
            int(rng.integers(0, 5)),
            bool(rng.integers(2)),
        )
        for seed in range(60)
    ]


@has_extended_precision
@pytest.mark.parametrize("limit", [0.0, None])
def test_hard_inputs_cost_the_twin_as_much(
    limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The geometric mean of the errors, of which the smallest count as a rounding.

    Whether all columns are orthogonalized, or those alone of which products lose digits.
    """
    if limit is not None:
        monkeypatch.setattr(incomplete_mixture, "_LARGEST_INFLATION", limit)
    logs: dict[str, list[float]] = {}
    for case in many_hard_cases():
        expected, scale, _ = precise(case)
        plain, compiled = (errors(outputs(f), expected, scale) for f in case.expectations())
        for name, error in compiled.items():
            logs.setdefault(name, []).append(float(np.log((error + EPS) / (plain[name] + EPS))))
    ratios = {name: float(np.exp(np.mean(values))) for name, values in logs.items()}
    assert all(ratio <= 1.5 for ratio in ratios.values()), ratios


@has_extended_precision
def test_the_guard_of_products_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it digits are lost, which these tests would see."""
    monkeypatch.setattr(incomplete_mixture, "_LARGEST_INFLATION", np.inf)

    def is_precise(case: Case) -> bool:
        try:
            assert_precise(case)
        except AssertionError:
            return False
        return True

    assert not all(is_precise(case) for case in many_hard_cases())


@pytest.mark.parametrize("structure", NAMES)
def test_a_compiled_mixture_can_be_pickled_after_use(structure: str) -> None:
    case = noisy_case(structure, rows(50, 3, 0.3), 2)
    model = case.compiled
    expected = model.expectation(case.params, case.X, case.weights).log_evidence
    again = pickle.loads(pickle.dumps(model))
    assert again.expectation(case.params, case.X, case.weights).log_evidence == expected


@pytest.fixture
def no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin is not asked for an E-step."""

    def refused(*_: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(Mixture, "posterior", refused)


@pytest.mark.usefixtures("no_fallback")
def test_a_pivot_of_zero() -> None:
    """Of products that are singular to rounding, beside lanes that miss more entries."""
    inverse, lower = np.eye(5), np.eye(5)
    inverse[1, :2], lower[1, :2] = 2.0**30, [-1.0, 2.0**-30]
    product = (inverse.T @ inverse)[:2, :2]
    assert product[0, 0] * product[1, 1] == product[0, 1] ** 2
    covariances: Any = FullCovariances((lower @ lower.T)[None])
    covariances.__dict__.update(cholesky=lower[None], inverse_cholesky=inverse[None])
    X = np.random.default_rng(0).standard_normal((8, 5))
    X[0, :2], X[1:, 2:], X[1:, 1] = np.nan, np.nan, -X[1:, 0]
    params = MixtureParameters(np.ones(1), GaussianComponents(np.zeros((1, 5)), covariances))
    found = CompiledIncompleteMixture(Gaussian()).expectation(params, X, np.ones(8))
    expected = X.copy()
    expected[np.isnan(X)] = 0.0
    np.testing.assert_allclose(found.statistics.first_moment[0], expected.sum(axis=0), atol=1e-12)
    second = expected.T @ expected
    second[:2, :2] += (lower @ lower.T)[:2, :2]
    second[2:, 2:] += 7.0 * np.eye(3)
    np.testing.assert_allclose(found.statistics.second_moment[0], second, atol=1e-12)


def test_a_product_of_many_pivots_does_not_overflow() -> None:
    """Of P_mm = (1 − ρ) I + ρ 1 1ᵀ the determinant is known."""
    m, rho = 999, 0.53
    P = (1.0 - rho) * np.eye(m + 1) + rho
    P[0, 1:] = P[1:, 0] = 0.0
    lower = np.linalg.cholesky(np.linalg.inv(P))
    parts = GaussianComponents(np.zeros((1, m + 1)), FullCovariances((lower @ lower.T)[None]))
    X = np.full((1, m + 1), np.nan)
    X[0, 0] = 0.3
    family = CompiledIncompleteMixture(Gaussian()).family
    log_determinant = (m - 1) * np.log(1.0 - rho) + np.log(1.0 - rho + m * rho)
    # The product of the pivots, were they those of a correlation matrix.
    assert log_determinant < -np.log(np.finfo(np.float64).max)
    within, log_density = family.posterior(parts, X)
    assert within is not None
    found = within.entropy
    expected = 0.5 * (m * (1.0 + np.log(2.0 * np.pi)) - log_determinant)
    assert found[0, 0] == pytest.approx(expected, rel=1e-10)
    assert log_density[0, 0] == pytest.approx(multivariate_normal.logpdf(0.3))


# -- noise ----------------------------------------------------------------------------------------


def noisy_case(structure: str, X: Data, K: int, seed: int = 0) -> Case:
    """With outliers, and a box about the rows."""
    rng = np.random.default_rng(seed)
    X = X.copy()
    X[rng.random(len(X)) < 0.1] *= 8.0
    case = random_case(structure, X, K, seed)
    pi = rng.dirichlet(np.full(K + 1, 5.0))
    params = MixtureParameters(pi, case.params.components)
    return case._replace(params=params, box=box_about(X))


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize(("n", "d", "K"), [(30, 1, 1), (241, 5, 5), (1000, 8, 3)], ids=str)
def test_noise_beside_incomplete_rows(structure: str, n: int, d: int, K: int) -> None:
    assert_twins(noisy_case(structure, rows(n, d, 0.3), K))


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize(("n", "d", "K"), [(30, 1, 1), (241, 5, 5), (1000, 8, 9)], ids=str)
@pytest.mark.parametrize("weight", [0.2, 0.999])
def test_noise_beside_complete_rows(structure: str, n: int, d: int, K: int, weight: float) -> None:
    case = noisy_case(structure, rows(n, d, 0.0), K)
    pi = np.append(case.params.weights[:-1] / case.params.weights[:-1].sum() * (1 - weight), weight)
    params = MixtureParameters(pi, case.params.components)
    case = case._replace(params=params)
    assert case.box is not None
    gaussian = Gaussian(CLASSES[structure])
    plain = Mixture(WithNoise(gaussian, case.box))
    compiled = CompiledGaussianMixture(gaussian, box=case.box)
    one, two = (m.expectation(params, case.X, case.weights) for m in (plain, compiled))
    largest = errors(outputs(two), outputs(one), scales(case))
    assert all(error <= 1e-12 for error in largest.values()), largest
    np.testing.assert_allclose(
        compiled.log_joint(params, case.X), plain.log_joint(params, case.X), rtol=1e-12, atol=1e-12
    )


def test_a_little_signal_is_whitened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """About the centre of the components, whatever the weight of the noise."""
    case = noisy_case("tied", rows(300, 6, 0.0), 6)
    parts = GaussianComponents(
        case.params.components.means + 100.0, case.params.components.covariances
    )
    params = MixtureParameters(np.array([1e-4] * 6 + [1.0 - 6e-4]), parts)
    monkeypatch.setattr(gaussian_mixture, "matrix", None)
    compiled = CompiledGaussianMixture(Gaussian(TiedCovariances), box=case.box)
    compiled.expectation(params, case.X + 100.0, case.weights)


def scipy_log_evidence(case: Case) -> Any:
    """Of the components that scipy evaluates on what is observed, and of noise."""

    def log_evidence(params: Any, X: Data) -> Data:
        assert case.box is not None
        parts = params.components
        K = len(parts.means)
        matrices = parts.covariances.sklearn_array
        joint = np.empty((len(X), K + 1))
        for i, row in enumerate(X):
            o = np.flatnonzero(~np.isnan(row))
            for k in range(K):
                density = multivariate_normal(parts.means[k, o], matrices[k][np.ix_(o, o)])
                joint[i, k] = density.logpdf(row[o]) if len(o) else 0.0
            joint[i, K] = -np.log(case.box.sides[o]).sum()
        return np.asarray(logsumexp(params.log_weights + joint, axis=1))

    return log_evidence


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_compiled_mixture_with_noise_conforms(share: float) -> None:
    case = noisy_case("full", rows(60, 3, share), 2)
    assert case.box is not None
    complete = CompiledGaussianMixture(Gaussian(), box=case.box)
    model = complete if share == 0.0 else case.compiled
    outcome = check_model(model, case.params, case.X, log_evidence=scipy_log_evidence(case))
    assert set(outcome.values()) == {"passed"}


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_a_fit_with_noise_is_that_of_the_plain_twin(
    structure: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = noisy_case("full", rows(400, 3, share), 2).X

    def fit() -> GaussianMixture:
        settings: dict[str, Any] = {"covariance_type": structure, "tol": 1e-6, "max_iter": 200}
        return GaussianMixture(3, noise=True, random_state=0, **settings).fit(X)

    monkeypatch.setattr(choice, "WORTH_COMPILING", 10**30)
    plain = fit()
    monkeypatch.setattr(choice, "WORTH_COMPILING", 0)
    compiled = fit()
    assert compiled.noise_weight_ == pytest.approx(plain.noise_weight_, rel=1e-8)
    np.testing.assert_allclose(compiled.means_, plain.means_, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(compiled.lower_bounds_, plain.lower_bounds_, rtol=1e-9)
    np.testing.assert_array_equal(compiled.predict(X), plain.predict(X))


# -- the choice -----------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", [*NAMES, "VEI", "EEV"])
@pytest.mark.parametrize("has_noise", [False, True])
def test_small_fits_are_plain_and_large_ones_compiled(
    structure: str, has_noise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "WORTH_COMPILING", 10_000_000)
    model: Any = Mixture(Gaussian(CLASSES[structure]))
    if has_noise:
        model = model.with_noise(box_about(rows(50, 4, 0.0)))
    for n_runs, kind in ((0, CompiledGaussianMixture), (1, CompiledIncompleteMixture)):
        assert plan(model, 150, 4, 3, n_runs)[:2] == (model, BLOCK_SIZE)
        fast = plan(model, 1_000_000, 4, 3, n_runs).model
        assert isinstance(fast, kind)
        assert fast.family.n_unlike == model.family.n_unlike
        assert fast.mixing is model.mixing


def test_runs_decide_where_rows_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy takes its time for each run."""
    monkeypatch.setattr(choice, "WORTH_COMPILING", 10_000_000)
    mixture = Mixture(Gaussian())
    X = rows(2000, 4, 0.3)
    X = X[~np.isnan(X).all(axis=1)]
    assert isinstance(plan_for(mixture, X, 3).model, CompiledIncompleteMixture)
    one_run = np.where(np.arange(4) == 0, np.nan, rows(2000, 4, 0.0))
    assert type(plan_for(mixture, one_run, 3).model) is Mixture


def test_families_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "WORTH_COMPILING", 0)

    class Mine(Gaussian):
        """A family whose methods may do anything."""

    class MyNoise(WithNoise[Any, Any]):
        """As may those of this one."""

    box = box_about(rows(50, 2, 0.0))
    for family in (Mine(), MyNoise(Gaussian(), box), WithNoise(Mine(), box)):
        model: Mixture[Any] = Mixture(family)
        for n_runs in (0, 1):
            assert plan(model, 10**6, 2, 3, n_runs).model is model


SMALL_FITS = """
import sys
import numpy as np
from em_toolkit import GaussianMixture
X = np.random.default_rng(0).normal(size=(150, 4))
GaussianMixture(2, noise=True).fit(X)
X[::7, 1] = np.nan
GaussianMixture(2).fit(X)
GaussianMixture(2, covariance_type="diag", noise=True).fit(X)
assert "numba" not in sys.modules
"""


def test_small_fits_do_not_import_the_compiler() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", SMALL_FITS], check=True)

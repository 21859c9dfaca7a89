"""The compiled E-step of Gaussian mixtures, against its plain NumPy twin and extended precision.

Each of the sums is measured by its own natural scale, which is what it would be if nothing
cancelled: Σ_i w_i r_ik (|x_ij − μ_kj| + σ_kj) for a first moment, and so on (`scales`). On data
that are not extreme both must agree to 1e-12 of it.

On extreme data the input may be worth less than that, whoever computes: a squared distance of 1e12
has no digits left that a responsibility could use, and two sums of which each is off by what it
must be need not agree. There both are compared to a computation in extended precision. Each number
may be off by 1e-12 of its scale and by what roundings of the distances explain (`explained`); and
over many cases the compiled sums must be as good as those of the twin. Means, the factors L⁻¹ and
the log-determinants are given to all three as they are.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Data, gaussian_log_densities, mixture_log_density, random_covariance
from oracles import dense as dense_matrices
from sklearn.exceptions import ConvergenceWarning

import em_toolkit
from em_toolkit import GaussianMixture
from em_toolkit.data import BLOCK_SIZE
from em_toolkit.families import (
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    Gaussian,
    GaussianComponents,
    Poisson,
    SphericalCovariances,
    TiedCovariances,
)
from em_toolkit.kernels import choice, gaussian_mixture, plan
from em_toolkit.kernels.gaussian_mixture import (
    PANEL_ROWS,
    CompiledGaussian,
    CompiledGaussianMixture,
)
from em_toolkit.model import Expectation
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.testing import check_model

STRUCTURES: dict[str, type[Covariances]] = {
    "full": FullCovariances,
    "tied": TiedCovariances,
    "diag": DiagonalCovariances,
    "spherical": SphericalCovariances,
}
NAMES = list(STRUCTURES)

EPS = np.finfo(np.float64).eps
Precise = np.longdouble
has_extended_precision = pytest.mark.skipif(
    np.finfo(Precise).eps > 1e-18, reason="long double is no longer than double here"
)


class Case(NamedTuple):
    """What an E-step is given."""

    structure: str
    params: Any
    X: Data
    weights: Data

    @property
    def plain(self) -> Mixture[GaussianComponents]:
        return Mixture(Gaussian(STRUCTURES[self.structure]))

    @property
    def compiled(self) -> CompiledGaussianMixture:
        return CompiledGaussianMixture(Gaussian(STRUCTURES[self.structure]))


def parameters(structure: str, weights: Data, means: Data, matrices: Data) -> Any:
    """From K covariance matrices, of which each structure takes what it can hold."""
    diagonals = np.diagonal(matrices, axis1=1, axis2=2)
    K, d = means.shape
    covariances = {
        "full": lambda: FullCovariances(matrices),
        "tied": lambda: TiedCovariances(matrices[:1], K),
        "diag": lambda: DiagonalCovariances(diagonals),
        "spherical": lambda: SphericalCovariances(diagonals.mean(axis=1, keepdims=True), d),
    }[structure]()
    return MixtureParameters(weights, GaussianComponents(means, covariances))


def random_case(structure: str, n: int, d: int, K: int, seed: int = 0) -> Case:
    """Overlapping clusters, correlated features, unequal weights."""
    rng = np.random.default_rng(seed)
    means = 3.0 * rng.standard_normal((K, d))
    matrices = np.stack([random_covariance(rng, d) for _ in range(K)])
    labels = rng.integers(K, size=n)
    X = means[labels] + 2.0 * rng.standard_normal((n, d))
    params = parameters(structure, rng.dirichlet(np.full(K, 5.0)), means, matrices)
    return Case(structure, params, X, rng.uniform(0.1, 3.0, n))


# -- the six sums, their natural scale, and the same in extended precision ------------------------


def outputs(found: Expectation[Any]) -> dict[str, Data]:
    stats = found.statistics
    return {
        "count": stats.count,
        "first moment": stats.first_moment,
        "second moment": stats.second_moment,
        "entropy": np.asarray(found.entropy),
        "log evidence": np.asarray(found.log_evidence),
        "weight": np.asarray(found.weight),
    }


def second_moment_of(structure: str, shares: Data, deviations: Data) -> Data:
    """Σ_i r_ik a_ik a_ikᵀ for deviations of shape (K, n, d), as the structure keeps it."""
    if structure in {"full", "tied"}:
        moment = np.stack(
            [(a * r[:, None]).T @ a for r, a in zip(shares.T, deviations, strict=True)]
        )
        return moment if structure == "full" else moment.sum(axis=0)[None]
    moment = np.stack([r @ a**2 for r, a in zip(shares.T, deviations, strict=True)])
    return moment if structure == "diag" else moment.sum(axis=1, keepdims=True)


def factors(case: Case) -> list[Data]:
    """L_k⁻¹, as the parameters have them."""
    covariances: Any = case.params.components.covariances
    K, d = case.params.components.means.shape
    if case.structure in {"full", "tied"}:
        inverse = covariances.inverse_cholesky
        return [inverse[k % len(inverse)].astype(Precise) for k in range(K)]
    variances = np.broadcast_to(covariances.values, (K, d)).astype(Precise)
    return [np.diag(1.0 / np.sqrt(row)) for row in variances]


class PreciseSums(NamedTuple):
    """The E-step in extended precision."""

    log_joint: Data
    uncertainty: Data
    outputs: dict[str, Data]
    scales: dict[str, Data]
    explained: dict[str, Data]


def precise(case: Case) -> PreciseSums:
    """The sums, their scales, and what roundings of the distances explain.

    A rounding of each product in L⁻¹ (x − μ), and of each sum of them, makes log p(x_i, k)
    uncertain by no more than e_ik = EPS [(d + 4) Σ_j (Σ_m |L⁻¹_jm| |x_im − μ_km|)² + 4 |c_k|],
    which takes the responsibility from r_ik to r_ik exp(e_ik + Σ_l r_il e_il) at most.
    """
    components = case.params.components
    X, means = case.X.astype(Precise), components.means.astype(Precise)
    d = means.shape[1]
    log_2_pi = np.log(2.0 * Precise("3.14159265358979323846264338327950288"))
    constants = case.params.log_weights.astype(Precise) - 0.5 * (
        d * log_2_pi + components.covariances.log_determinants.astype(Precise)
    )
    log_joint, uncertainty = np.empty((2, X.shape[0], means.shape[0]), Precise)
    for k, factor in enumerate(factors(case)):
        deviations = X - means[k]
        log_joint[:, k] = constants[k] - 0.5 * np.square(deviations @ factor.T).sum(axis=1)
        sizes = np.square(np.abs(deviations) @ np.abs(factor.T)).sum(axis=1)
        constant = abs(constants[k]) if np.isfinite(constants[k]) else 0.0
        uncertainty[:, k] = EPS * ((d + 4.0) * sizes + 4.0 * constant)

    highest = log_joint.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(log_joint - highest).sum(axis=1, keepdims=True))
    log_posterior = log_joint - highest - log_total
    posterior = np.exp(log_posterior)
    log_evidence = (highest + log_total)[:, 0]
    surprise = -np.maximum(log_posterior, -1e4)
    w = case.weights.astype(Precise)
    shares = posterior * w[:, None]
    deviations = X - means[:, None]
    sums = {
        "count": shares.sum(axis=0),
        "first moment": np.einsum("ik,kij->kj", shares, deviations),
        "second moment": second_moment_of(case.structure, shares, deviations),
        "entropy": (shares * surprise).sum(),
        "log evidence": (w * log_evidence).sum(),
        "weight": w.sum(),
    }

    of_row = (posterior * uncertainty).sum(axis=1, keepdims=True)
    largest = np.exp(np.minimum(0.0, log_posterior + uncertainty + of_row))
    doubt = (largest - posterior) * w[:, None]
    explained = {
        "count": doubt.sum(axis=0),
        "first moment": np.einsum("ik,kij->kj", doubt, np.abs(deviations)),
        "second moment": second_moment_of(case.structure, doubt, np.abs(deviations)),
        "entropy": (doubt * (1.0 + surprise)).sum(),
        "log evidence": (w[:, None] * largest * uncertainty).sum(),
        "weight": Precise(0.0),
    }
    return PreciseSums(log_joint, uncertainty, sums, scales(case, shares, log_evidence), explained)


def scales(case: Case, shares: Data, log_evidence: Data) -> dict[str, Data]:
    """What the sums would be if nothing cancelled.

    A share of 1e-100 of the weight is added: what is below is zero by one way and may be a rounding
    more by another.
    """
    components = case.params.components
    deviations = np.abs(case.X - components.means[:, None])
    deviations += np.sqrt(components.covariances.variances)[:, None]
    shares = shares + 1e-100 * case.weights[:, None]
    return {
        "count": shares.sum(axis=0),
        "first moment": np.einsum("ik,kij->kj", shares, deviations),
        "second moment": second_moment_of(case.structure, shares, deviations),
        "entropy": case.weights.sum(),
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
        ratio = np.where(difference == 0.0, 0.0, difference / np.where(size == 0.0, 1.0, size))
        largest[name] = float(ratio.max())
    return largest


def assert_twins(case: Case, rtol: float = 1e-12) -> None:
    """The compiled sums and log joint are those of the plain twin."""
    plain = case.plain.expectation(case.params, case.X, case.weights)
    compiled = case.compiled.expectation(case.params, case.X, case.weights)
    assert compiled.statistics.origin is case.params.components.means
    posterior, log_evidence = case.plain.posterior(case.params, case.X)
    shares = posterior.responsibilities * case.weights[:, None]
    largest = errors(outputs(compiled), outputs(plain), scales(case, shares, log_evidence))
    assert all(error <= rtol for error in largest.values()), largest
    np.testing.assert_allclose(
        case.compiled.log_joint(case.params, case.X),
        case.plain.log_joint(case.params, case.X),
        rtol=rtol,
        atol=rtol,
    )


def assert_precise(case: Case) -> None:
    """The compiled sums are as good as roundings let them be."""
    expected = precise(case)
    allowed = {
        name: 1e-12 * scale + expected.explained[name] for name, scale in expected.scales.items()
    }
    with np.errstate(over="ignore", invalid="ignore"):
        compiled = case.compiled.expectation(case.params, case.X, case.weights)
        log_joint = case.compiled.log_joint(case.params, case.X)
    largest = errors(outputs(compiled), expected.outputs, allowed)
    assert all(error <= 1.0 for error in largest.values()), largest

    possible = np.isfinite(expected.log_joint)
    assert (log_joint[~possible] == -np.inf).all()
    error = np.abs(log_joint[possible] - expected.log_joint[possible])
    tolerance = 1e-12 * (1.0 + np.abs(expected.log_joint)) + expected.uncertainty
    assert (error <= tolerance[possible]).all()


# -- random inputs --------------------------------------------------------------------------------

# Every number of rows on either side of a panel and of a run; of features on either side of a tile
# and of its change of size; of components.
SHAPES = [
    (1, 1, 1),
    (1, 17, 7),
    (5, 2, 3),
    (5, 40, 2),
    (127, 3, 2),
    (128, 40, 3),
    (129, 16, 1),
    (255, 13, 3),
    (255, 1, 3),
    (256, 4, 7),
    (257, 5, 7),
    (257, 10, 33),
    (1000, 11, 4),
    (1000, 1, 33),
    (1000, 12, 3),
    (1000, 13, 2),
    (1000, 16, 7),
    (1000, 17, 33),
    (4100, 2, 2),
    (4100, 5, 5),
    (4100, 40, 33),
]


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize(("n", "d", "K"), SHAPES, ids=str)
def test_random_inputs(structure: str, n: int, d: int, K: int) -> None:
    assert_twins(random_case(structure, n, d, K))


@pytest.mark.parametrize("structure", NAMES)
def test_what_is_returned_has_the_shape_of_the_twin(structure: str) -> None:
    case = random_case(structure, 50, 5, 6)
    plain = case.plain.expectation(case.params, case.X, case.weights)
    compiled = case.compiled.expectation(case.params, case.X, case.weights)
    for name, values in outputs(plain).items():
        assert outputs(compiled)[name].shape == values.shape
    if structure in {"full", "tied"}:
        moment = compiled.statistics.second_moment
        np.testing.assert_array_equal(moment, moment.transpose(0, 2, 1))
    # Blocks of a pass add: the moments are about one origin.
    assert (compiled + plain).weight == pytest.approx(2.0 * plain.weight)


@pytest.mark.parametrize("structure", NAMES)
def test_other_parameters_are_prepared_anew(structure: str) -> None:
    one, other = random_case(structure, 50, 3, 2), random_case(structure, 50, 3, 2, seed=1)
    model = one.compiled
    first = model.expectation(one.params, one.X, one.weights).log_evidence
    second = model.expectation(other.params, one.X, one.weights).log_evidence
    assert model.expectation(one.params, one.X, one.weights).log_evidence == first != second


# -- moments for responsibilities that no parameters gave -----------------------------------------


def responsibilities_of(case: Case, kind: str) -> Data:
    rng = np.random.default_rng(1)
    K = case.params.weights.shape[0]
    labels = rng.integers(K, size=case.X.shape[0])
    return {
        "soft": lambda: rng.dirichlet(np.ones(K), case.X.shape[0]),
        "hard": lambda: np.eye(K)[labels],
        "none for the first": lambda: np.eye(K)[np.maximum(labels, min(1, K - 1))],
    }[kind]()


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize(("n", "d", "K"), SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["soft", "hard", "none for the first"])
def test_moments(structure: str, n: int, d: int, K: int, kind: str) -> None:
    case = random_case(structure, n, d, K)
    shares = case.weights[:, None] * responsibilities_of(case, kind)
    arguments = (case.params.components, case.X, shares)
    found, expected = (
        family.statistics(*arguments)
        for family in (
            CompiledGaussian(Gaussian(STRUCTURES[structure])),
            Gaussian(STRUCTURES[structure]),
        )
    )
    assert found.origin is case.params.components.means
    scale = scales(case, shares, np.zeros(n))
    for name in ("count", "first_moment", "second_moment"):
        error = np.abs(getattr(found, name) - getattr(expected, name))
        assert (error <= 1e-12 * scale[name.replace("_", " ")]).all()


# -- hard inputs ----------------------------------------------------------------------------------


class Hardships(NamedTuple):
    """What makes an E-step lose digits."""

    condition: float = 1.0
    apart: float = 3.0
    offset: float = 0.0
    unlike_scales: bool = False
    weight_zero: bool = False
    row_weights: bool = False
    outliers: bool = False
    equal_rows: bool = False


def hard_case(structure: str, n: int, d: int, K: int, seed: int, hard: Hardships) -> Case:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-8.0, 8.0, d) if hard.unlike_scales else np.ones(d)
    pi = rng.dirichlet(np.ones(K))
    if hard.weight_zero and K > 1:
        pi[0] = 0.0
        pi /= pi.sum()
    weights = np.ones(n)
    if hard.row_weights:
        weights = np.where(rng.random(n) < 0.2, 0.0, 10.0 ** rng.uniform(-3.0, 6.0, n))
        weights[rng.integers(n)] = 1.0
    means = hard.offset + hard.apart * rng.standard_normal((K, d))
    matrices = np.stack([random_covariance(rng, d, hard.condition) for _ in range(K)])
    matrices /= np.sqrt(hard.condition)
    labels = rng.integers(K, size=n)
    X = means[labels] + np.einsum(
        "ijm,im->ij", np.linalg.cholesky(matrices)[labels], rng.standard_normal((n, d))
    )
    if hard.outliers:
        X[rng.random(n) < 0.05] += 1e3 * hard.apart
    if hard.equal_rows:
        X[rng.random(n) < 0.5] = X[0]
    params = parameters(structure, pi, means * scale, matrices * scale * scale[:, None])
    return Case(structure, params, X * scale, weights)


hardships = st.builds(
    Hardships,
    condition=st.floats(0.0, 10.0).map(lambda digits: 10.0**digits),
    apart=st.floats(-1.0, 6.0).map(lambda digits: 10.0**digits),
    offset=st.sampled_from([0.0, 1.0, 1e4, 1e8]),
    unlike_scales=st.booleans(),
    weight_zero=st.booleans(),
    row_weights=st.booleans(),
    outliers=st.booleans(),
    equal_rows=st.booleans(),
)


@has_extended_precision
@pytest.mark.parametrize("structure", NAMES)
@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 600),
    d=st.integers(1, 17),
    K=st.integers(1, 7),
    seed=st.integers(0, 2**31),
    hard=hardships,
)
def test_hard_inputs(structure: str, n: int, d: int, K: int, seed: int, hard: Hardships) -> None:
    assert_precise(hard_case(structure, n, d, K, seed, hard))


@has_extended_precision
@pytest.mark.parametrize("structure", NAMES)
def test_hard_inputs_cost_the_twin_as_much(structure: str) -> None:
    """The geometric mean of the errors, of which the smallest count as a rounding."""
    rng = np.random.default_rng(0)
    logs: dict[str, list[float]] = {}
    for seed in range(60):
        hard = Hardships(
            condition=10.0 ** rng.uniform(0.0, 10.0),
            apart=10.0 ** rng.uniform(0.0, 6.0),
            outliers=bool(rng.integers(2)),
            row_weights=bool(rng.integers(2)),
        )
        n, d, K = int(rng.integers(1, 300)), int(rng.integers(1, 17)), int(rng.integers(2, 7))
        case = hard_case(structure, n, d, K, seed, hard)
        expected = precise(case)
        of_plain, of_compiled = (
            errors(
                outputs(model.expectation(case.params, case.X, case.weights)),
                expected.outputs,
                expected.scales,
            )
            for model in (case.plain, case.compiled)
        )
        for name, error in of_compiled.items():
            logs.setdefault(name, []).append(float(np.log((error + EPS) / (of_plain[name] + EPS))))
    ratios = {name: float(np.exp(np.mean(values))) for name, values in logs.items()}
    assert all(ratio <= 1.5 for ratio in ratios.values()), ratios


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize(
    "hardship", ["offset", "column scales", "weight zero", "row weights", "far apart", "outliers"]
)
def test_one_hardship(structure: str, hardship: str) -> None:
    """Where the input is worth its digits, 1e-12 of the twin holds as on easy data."""
    rng = np.random.default_rng(3)
    case = random_case(structure, 700, 5, 5)
    pi, components = case.params.weights, case.params.components
    means, X, weights = components.means, case.X, case.weights
    matrices = np.stack([random_covariance(rng, 5) for _ in range(5)])
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
    elif hardship == "far apart":
        means = 1e3 * means
        X = means[rng.integers(5, size=700)] + rng.standard_normal((700, 5))
    elif hardship == "outliers":
        X = X.copy()
        X[::50] += 1e4 * rng.standard_normal((14, 5))
    assert_twins(Case(structure, parameters(structure, pi, means, matrices), X, weights))


@pytest.mark.parametrize("structure", NAMES)
def test_a_component_of_weight_zero_has_no_share(structure: str) -> None:
    case = random_case(structure, 300, 3, 3)
    params = MixtureParameters(np.array([0.5, 0.0, 0.5]), case.params.components)
    stats = case.compiled.expectation(params, case.X, case.weights).statistics
    assert stats.count[1] == 0.0
    np.testing.assert_array_equal(stats.first_moment[1], 0.0)


@pytest.mark.parametrize("structure", ["full", "tied"])
@pytest.mark.parametrize("d", [3, 13, 40])
@pytest.mark.parametrize("n_other", [0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256])
def test_few_rows_of_a_panel_in_a_component(structure: str, d: int, n_other: int) -> None:
    """Where responsibilities are zero and one, a panel's rows are sorted out, up to a half."""
    rng = np.random.default_rng(n_other)
    means = np.zeros((2, d))
    means[1] = 1e4
    labels = rng.permutation(np.arange(256) < n_other).astype(int)
    X = means[labels] + rng.standard_normal((256, d))
    matrices = np.stack([random_covariance(rng, d)] * 2)
    params = parameters(structure, np.array([0.5, 0.5]), means, matrices)
    case = Case(structure, params, X, rng.uniform(0.5, 2.0, 256))
    posterior, _ = case.plain.posterior(params, X)
    assert set(np.unique(posterior.responsibilities)) <= {0.0, 1.0}
    assert_twins(case)


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize("d", [1, 5])
def test_equal_rows_do_not_drift(structure: str, d: int) -> None:
    """The roundings of a sum of equal terms all go one way: no sum may be long.

    The expected sums are those of one row, n times. The sums of runs are no longer than 16 panels
    of 256 rows, added in lanes (of 2 numbers at least), and here there are 98 runs: some 240
    halves of EPS at most.
    """
    n, K = 400_000, 5
    for seed in range(5):
        case = random_case(structure, 1, d, K, seed)
        one = outputs(case.compiled.expectation(case.params, case.X, np.ones(1)))
        posterior, log_evidence = case.plain.posterior(case.params, case.X)
        scale = scales(case._replace(weights=np.ones(1)), posterior.responsibilities, log_evidence)
        X = np.repeat(case.X, n, axis=0)
        many = outputs(case.compiled.expectation(case.params, X, np.ones(n)))
        mean = {name: values / n for name, values in many.items()}
        largest = errors(mean, one, scale)
        assert all(error <= 3e-14 for error in largest.values()), largest


# -- one covariance matrix: whitened once, or for each component ----------------------------------


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which loops ran, in turn."""
    taken: list[str] = []

    def watched(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            taken.append(name)
            return function(*arguments)

        return call

    for name, module in (
        ("shared", gaussian_mixture.tied),
        ("single", gaussian_mixture.matrix),
    ):
        for function in ("expectation", "log_joint"):
            monkeypatch.setattr(module, function, watched(name, getattr(module, function)))
    return taken


def tied_case(farthest: float, condition: float, seed: int = 0) -> Case:
    """Six components in eight features, the farthest so many standard deviations off centre.

    A standard deviation is measured as the products that whiten would have it if none cancelled.
    """
    rng = np.random.default_rng(seed)
    matrix = random_covariance(rng, 8, condition)
    pi = rng.dirichlet(np.full(6, 5.0))
    inverse = np.abs(np.linalg.inv(np.linalg.cholesky(matrix)))
    directions = rng.standard_normal((6, 8))
    directions -= pi @ directions
    distances = [(inverse @ np.abs(direction)).max() for direction in directions]
    means = 5.0 + directions * (farthest / max(distances))
    X = means[rng.integers(6, size=700)]
    X = X + rng.multivariate_normal(np.zeros(8), matrix, 700, method="cholesky")
    params = parameters("tied", pi, means, np.stack([matrix] * 6))
    return Case("tied", params, X, rng.uniform(0.1, 3.0, 700))


@has_extended_precision
@pytest.mark.parametrize("condition", [1.0, 1e6])
@pytest.mark.parametrize(
    ("farthest", "route"),
    [
        (1.0, "shared"),
        (15.9, "shared"),
        (16.1, "single"),
        (1e4, "single"),
        (1e6, "single"),
        (1e8, "single"),
    ],
)
def test_the_guard_of_the_shared_whitening(
    routes: list[str], farthest: float, route: str, condition: float
) -> None:
    """On both sides of it the compiled sums are as good as those of the twin."""
    for seed in range(5):
        case = tied_case(farthest, condition, seed)
        assert_precise(case)
        if condition == 1.0:
            # The distances of the rows are then worth their digits.
            assert_twins(case)
    assert set(routes) == {route}


def test_the_guard_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whitening about a centre far away costs digits, which these tests would see."""
    monkeypatch.setattr(gaussian_mixture, "_FARTHEST_FROM_CENTER", np.inf)
    with pytest.raises(AssertionError):
        assert_twins(tied_case(1e6, 1.0))


def test_parameters_on_both_sides_of_the_guard_in_turn(routes: list[str]) -> None:
    """It is decided anew for each: what EM does on its way from a poor start."""
    near, far = tied_case(10.0, 10.0), tied_case(1e4, 10.0)
    model = near.compiled
    sums = [
        model.expectation(case.params, case.X, case.weights).log_evidence
        for case in (near, far, near)
    ]
    assert routes == ["shared", "single", "shared"]
    assert sums[0] == sums[2]


def test_whitening_once_is_not_done_where_it_is_no_gain(routes: list[str]) -> None:
    case = random_case("tied", 100, 2, 2)
    case.compiled.expectation(case.params, case.X, case.weights)
    assert routes == ["single"]


def test_a_guard_that_cannot_be_computed_is_not_passed(routes: list[str]) -> None:
    """An overflow of the distances, of which one is not a number."""
    case = tied_case(1.0, 1.0)
    means = case.params.components.means.copy()
    means[0], means[1] = 1.7e308, -1.7e308
    params = MixtureParameters(
        np.array([0.6, 0.08, 0.08, 0.08, 0.08, 0.08]),
        GaussianComponents(means, case.params.components.covariances),
    )
    with np.errstate(over="ignore", invalid="ignore"):
        case.compiled.expectation(params, case.X, case.weights)
    assert routes[0] == "single"


# -- overflow, and rows that no component gives a probability -------------------------------------


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize("value", [1e160, 1e200, -1e200])
@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_overflow_falls_back_to_the_twin(structure: str, value: float, weight: float) -> None:
    case = random_case(structure, 300, 5, 5)
    X, weights = case.X.copy(), case.weights.copy()
    X[7, 1], weights[7] = value, weight
    with np.errstate(over="ignore", invalid="ignore"):
        plain = case.plain.expectation(case.params, X, weights)
        compiled = case.compiled.expectation(case.params, X, weights)
    assert not np.isfinite(plain.log_evidence)
    for name, values in outputs(plain).items():
        np.testing.assert_array_equal(outputs(compiled)[name], values)


@pytest.mark.parametrize("structure", NAMES)
def test_the_other_blocks_do_not_fall_back(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(structure, 300, 5, 5)

    def slow_way(*_: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(Mixture, "posterior", slow_way)
    case.compiled.expectation(case.params, case.X, case.weights)
    X = case.X.copy()
    X[7] = 1e200
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(NotImplementedError):
        case.compiled.expectation(case.params, X, case.weights)


# -- fits -----------------------------------------------------------------------------------------


@pytest.fixture
def always_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "WORTH_COMPILING", 0)


def start_of(structure: str, X: Data, K: int) -> dict[str, Any]:
    """A start that no rounding of the data reaches."""
    d = X.shape[1]
    precisions = {
        "full": np.stack([np.eye(d)] * K),
        "tied": np.eye(d),
        "diag": np.ones((K, d)),
        "spherical": np.ones(K),
    }[structure]
    return {
        "weights_init": np.full(K, 1.0 / K),
        "means_init": np.array(X[:K], dtype=np.float64),
        "precisions_init": precisions,
    }


def fit_of(structure: str, X: Any, start: dict[str, Any] | None = None) -> GaussianMixture:
    start = start_of(structure, X, 5) if start is None else start
    mixture = GaussianMixture(5, covariance_type=structure, tol=0.0, max_iter=8, **start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X)


def attributes(fit: GaussianMixture) -> dict[str, Data]:
    names = ("weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bounds_")
    return {name: np.asarray(getattr(fit, name)) for name in names}


@pytest.fixture(scope="module")
def rows() -> Data:
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 5)) + 3.0 * rng.normal(size=(5, 5))[rng.integers(5, size=500)]


@pytest.mark.parametrize("structure", NAMES)
def test_a_fit_is_that_of_the_plain_twin(
    structure: str, rows: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "WORTH_COMPILING", 10**30)
    plain = fit_of(structure, rows)
    monkeypatch.setattr(choice, "WORTH_COMPILING", 0)
    compiled = fit_of(structure, rows)
    for name, values in attributes(plain).items():
        np.testing.assert_allclose(attributes(compiled)[name], values, rtol=1e-10, atol=1e-10)


def layouts(X: Data, folder: Path) -> Iterator[tuple[str, Any]]:
    read_only = X.copy()
    read_only.setflags(write=False)
    yield "read-only", read_only
    yield "Fortran", np.asfortranarray(X)
    yield "every second column", np.repeat(X, 2, axis=1)[:, ::2]
    yield "reversed", X[::-1].copy()[::-1]
    yield "other byte order", X.astype(X.dtype.newbyteorder())
    yield "list", X.tolist()
    np.save(folder / "rows.npy", X)
    yield "memmap", np.load(folder / "rows.npy", mmap_mode="r")
    # Three bytes off what a float is aligned to.
    raw = np.empty(X.nbytes + 3, dtype=np.uint8)
    raw[3:] = np.frombuffer(X.tobytes(), dtype=np.uint8)
    yield "not aligned", raw[3:].view(np.float64).reshape(X.shape)


@pytest.mark.usefixtures("always_compiled")
@pytest.mark.parametrize("structure", NAMES)
def test_how_the_rows_are_stored_does_not_matter(
    structure: str, rows: Data, tmp_path: Path
) -> None:
    """To the bit."""
    start = start_of(structure, rows, 5)
    expected = attributes(fit_of(structure, rows, start))
    for layout, X in layouts(rows, tmp_path):
        found = attributes(fit_of(structure, X, start))
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=f"{layout}: {name}")


@pytest.mark.usefixtures("always_compiled")
@pytest.mark.parametrize("structure", NAMES)
def test_rows_of_single_precision(structure: str, rows: Data) -> None:
    """Computed as if they were double, and what is fitted cast back."""
    X = rows.astype(np.float32)
    start = start_of(structure, X, 5)
    single = attributes(fit_of(structure, X, start))
    double = attributes(fit_of(structure, X.astype(np.float64), start))
    np.testing.assert_array_equal(single["lower_bounds_"], double["lower_bounds_"])
    for name in ("weights_", "means_", "covariances_"):
        assert single[name].dtype == np.float32
        np.testing.assert_array_equal(single[name], double[name].astype(np.float32))


@pytest.mark.usefixtures("always_compiled")
@pytest.mark.parametrize("structure", NAMES)
def test_responsibilities_in_the_order_of_Fortran(structure: str, rows: Data) -> None:
    given = np.random.default_rng(0).dirichlet(np.ones(5), rows.shape[0])
    found = fit_of(structure, rows, {"init_params": np.asfortranarray(given)})
    expected = fit_of(structure, rows, {"init_params": given})
    np.testing.assert_allclose(found.lower_bounds_, expected.lower_bounds_, rtol=1e-13)


@pytest.mark.usefixtures("always_compiled")
@pytest.mark.parametrize("structure", NAMES)
def test_a_start_in_the_order_of_Fortran(structure: str, rows: Data) -> None:
    start = start_of(structure, rows, 5)
    other = {name: np.asfortranarray(values) for name, values in start.items()}
    found, expected = fit_of(structure, rows, other), fit_of(structure, rows, start)
    np.testing.assert_allclose(found.lower_bounds_, expected.lower_bounds_, rtol=1e-13)


# -- the conformance suite ------------------------------------------------------------------------


def scipy_log_evidence(structure: str) -> Any:
    def log_evidence(params: Any, X: Data) -> Data:
        components = params.components
        matrices = dense_matrices(
            structure, components.covariances.sklearn_array, *components.means.shape
        )
        densities = gaussian_log_densities(X, components.means, matrices)
        return mixture_log_density(np.log(params.weights), densities)

    return log_evidence


@pytest.mark.parametrize("structure", NAMES)
@pytest.mark.parametrize("floor", [0.0, 0.7], ids=["without a floor", "on the floor"])
@pytest.mark.parametrize("in_one_feature", [False, True])
def test_compiled_mixtures_conform(
    structure: str, in_one_feature: bool, floor: float, routes: list[str]
) -> None:
    # So many that a tied covariance is whitened once.
    d, K = (1, 2) if in_one_feature else (5, 5) if structure == "tied" else (3, 3)
    rng = np.random.default_rng(0)
    means = rng.normal(0.0, 1.0, (K, d))
    matrices = np.stack([random_covariance(rng, d, 4.0) for _ in range(K)])
    params = parameters(structure, rng.dirichlet(np.full(K, 10.0)), means, matrices)
    X = means[rng.integers(K, size=60)] + rng.standard_normal((60, d))
    family = Gaussian(STRUCTURES[structure], floor=floor)
    outcome = check_model(
        CompiledGaussianMixture(family), params, X, log_evidence=scipy_log_evidence(structure)
    )
    assert set(outcome.values()) == {"passed"}
    if structure == "tied":
        assert set(routes) == {"single" if in_one_feature else "shared"}


# -- the choice -----------------------------------------------------------------------------------


@pytest.fixture
def at_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worth compiling, whatever the session has it at."""
    monkeypatch.setattr(choice, "WORTH_COMPILING", 10_000_000)


@pytest.mark.usefixtures("at_its_default")
@pytest.mark.parametrize("structure", NAMES)
def test_small_fits_are_plain_and_large_ones_compiled(structure: str) -> None:
    family = Gaussian(STRUCTURES[structure], floor=0.7)
    model = Mixture(family)
    assert plan(model, 150, 4, 3)[:2] == (model, BLOCK_SIZE)
    fast = plan(model, 1_000_000, 4, 3).model
    assert isinstance(fast, CompiledGaussianMixture)
    assert isinstance(fast.family, Gaussian)
    assert (fast.family.structure, fast.family.floor) == (family.structure, 0.7)


@pytest.mark.usefixtures("always_compiled")
def test_other_families_are_plain() -> None:
    model = Mixture(Poisson())
    assert plan(model, 1_000_000, 4, 3)[:2] == (model, BLOCK_SIZE)


@pytest.mark.usefixtures("always_compiled")
@pytest.mark.parametrize("structure", NAMES)
@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 10**8), d=st.integers(1, 512), K=st.integers(1, 1000))
def test_sizes_of_blocks(structure: str, n: int, d: int, K: int) -> None:
    """Whole panels; neither so few that Python shows, nor so many that a copy is a burden."""
    size = plan(Mixture(Gaussian(STRUCTURES[structure])), n, d, K).block_size
    assert size % PANEL_ROWS == 0
    assert 2048 <= size < max(2048, 2**20 / d) + PANEL_ROWS


# -- in other processes: what is imported, and where compiled loops are kept ----------------------

FITS = """
import json, sys, warnings
said = []
warnings.simplefilter("always")
warnings.showwarning = lambda message, *others, **more: said.append(str(message))
import numpy as np
import em_toolkit
from em_toolkit.kernels import choice
loaded = ["numba" in sys.modules]
worth, n, d = json.loads(sys.argv[1])
if worth is not None:
    choice.WORTH_COMPILING = worth
bounds = []
for rows in n:
    X = np.random.default_rng(0).normal(size=(rows, d))
    start = dict(weights_init=[0.4, 0.6], means_init=X[:2], precisions_init=np.ones((2, d)))
    fit = em_toolkit.GaussianMixture(2, covariance_type="diag", tol=0.0, max_iter=3, **start)
    bounds.append(fit.fit(X).lower_bound_)
    loaded.append("numba" in sys.modules)
print(json.dumps([em_toolkit.__file__, loaded, bounds, said]))
"""


def fits(
    worth: int | None, n: list[int], d: int, folder: Path | None = None, **environment: str
) -> Any:
    """What a new process, working in a folder, imports from it and fits."""
    process = subprocess.run(
        [sys.executable, "-c", FITS, json.dumps([worth, n, d])],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | environment,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_small_fits_do_not_import_the_compiler() -> None:
    """The import of the package and a fit as large as iris do not; a large fit does."""
    _, loaded, *_ = fits(None, [150, 400_000], 4)
    assert loaded == [False, False, True]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, nothing of it compiled."""
    source = Path(em_toolkit.__file__).parent
    shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / source.name


def compiled_fits_of(package: Path, **environment: str) -> tuple[float, list[str]]:
    """The bound of compiled fits by the copy, and what its warnings say of the cache."""
    file, loaded, bounds, said = fits(
        0,
        [100, 100],
        2,
        package.parent,
        PYTHONDONTWRITEBYTECODE="1",
        NUMBA_CACHE_DIR="",
        **environment,
    )
    assert Path(file).parent == package
    assert loaded[-1]
    return float(bounds[0]), [message for message in said if "NUMBA_CACHE_DIR" in message]


def bound_here() -> float:
    X = np.random.default_rng(0).normal(size=(100, 2))
    start = {"weights_init": [0.4, 0.6], "means_init": X[:2], "precisions_init": np.ones((2, 2))}
    return float(fit_of_two(X, start).lower_bound_)


def fit_of_two(X: Data, start: dict[str, Any]) -> GaussianMixture:
    mixture = GaussianMixture(2, covariance_type="diag", tol=0.0, max_iter=3, **start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X)


def test_compiled_loops_are_kept(package: Path) -> None:
    found, said = compiled_fits_of(package)
    assert found == pytest.approx(bound_here(), rel=1e-12)
    assert said == []
    kept = {file.name.split("-")[0] for file in (package / "kernels/__pycache__").glob("*.nbi")}
    assert "diagonal.expectation" in kept


def test_nowhere_to_keep_compiled_loops(package: Path) -> None:
    """Each process compiles them, fits, and says once what would help."""
    (package / "kernels/__pycache__").touch()
    nowhere = package.parent / "file"
    nowhere.touch()
    found, said = compiled_fits_of(
        package, HOME=str(nowhere), XDG_CACHE_HOME=str(nowhere / "cache"), NUMBA_OPT="0"
    )
    assert found == pytest.approx(bound_here(), rel=1e-12)
    assert list(package.parent.rglob("*.nbi")) == []
    assert len(said) == 1
    assert "Set the environment variable NUMBA_CACHE_DIR" in said[0]


@pytest.mark.parametrize("integer", [np.int8, np.int32, np.int64])
def test_plan_takes_the_integers_of_a_grid(integer: Any) -> None:
    """``np.arange`` in a grid gives them; products of theirs overflow."""
    model = Mixture(Gaussian())
    assert plan(model, 10**8, 30, integer(5)).block_size == plan(model, 10**8, 30, 5).block_size


def test_plan_leaves_models_of_others_alone() -> None:
    class Mine(Gaussian):
        """A family whose methods may do anything."""

    model = Mixture(Mine())
    assert plan(model, 10**7, 3, 5).model is model


def test_a_compiled_mixture_can_be_pickled_after_use() -> None:
    case = tied_case(1.0, 1.0)
    model = case.compiled
    expected = model.expectation(case.params, case.X, case.weights).log_evidence
    again = pickle.loads(pickle.dumps(model))
    assert again.expectation(case.params, case.X, case.weights).log_evidence == expected

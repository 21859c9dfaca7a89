"""What a mixture must not depend on: order, blocks, units, origin, the float that holds the data.

Fits start from given responsibilities and take a few iterations, so that both sides of an equation
go the same way; what is left between them is rounding, some 1e-15 times the condition of the
covariances (below 1e4 here) times what EM makes of a disturbance on its way (some tens).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import STRUCTURES, Data, clusters, dense, random_covariance
from sklearn.datasets import load_iris, load_wine
from sklearn.preprocessing import StandardScaler

from em_toolkit import PPCA, GaussianMixture, NormalInverseWishart, PoissonMixture
from em_toolkit.datasets import load_faithful
from em_toolkit.engine import Rows
from em_toolkit.engine.em import em
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import Gaussian
from em_toolkit.model import Block
from em_toolkit.models import Mixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
few = settings(max_examples=15, deadline=None)

structures = st.sampled_from(STRUCTURES)
seeds = st.integers(0, 2**31)
exponents = st.floats(-8.0, 8.0)


class Problem:
    """Data in a few clusters, and responsibilities to start from: of the right cluster, mostly."""

    def __init__(self, seed: int, n_features: int | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.n_components = int(self.rng.integers(1, 4))
        d = int(self.rng.integers(1, 5)) if n_features is None else n_features
        self.X = clusters(self.rng, 40 * (d + 1), d, self.n_components)
        self.start = self.rng.dirichlet(np.ones(self.n_components), self.X.shape[0])

    def fit(self, structure: str, X: Data, start: Data, **parameters: Any) -> GaussianMixture:
        weights = parameters.pop("sample_weight", None)
        settings_ = {"reg_covar": 0.0, "max_iter": 8, "tol": 0.0} | parameters
        mixture = GaussianMixture(
            self.n_components, covariance_type=structure, init_params=start, **settings_
        )
        return mixture.fit(X, sample_weight=weights)


def assert_alike(
    fit: GaussianMixture, weights: Data, means: Data, matrices: Data, rtol: float = 1e-9
) -> None:
    """Parameters agree, each matrix and its mean measured by the matrix's own diagonal."""
    np.testing.assert_allclose(fit.weights_, weights, rtol=0, atol=rtol)
    found = dense(fit.covariance_type, fit.covariances_, *fit.means_.shape)
    for mean, matrix, expected_mean, expected in zip(
        fit.means_, found, means, matrices, strict=True
    ):
        std = np.sqrt(np.diag(expected))
        assert (np.abs(mean - expected_mean) <= rtol * (std + np.abs(expected_mean))).all()
        assert (np.abs(matrix - expected) <= rtol * np.outer(std, std)).all()


def matrices_of(fit: GaussianMixture) -> Data:
    return dense(fit.covariance_type, fit.covariances_, *fit.means_.shape)


# -- order and blocks -----------------------------------------------------------------------------


@few
@given(structures, seeds)
def test_the_order_of_rows_does_not_matter(structure: str, seed: int) -> None:
    problem = Problem(seed)
    order = problem.rng.permutation(problem.X.shape[0])
    fit = problem.fit(structure, problem.X, problem.start)
    other = problem.fit(structure, problem.X[order], problem.start[order])
    assert_alike(other, fit.weights_, fit.means_, matrices_of(fit))
    np.testing.assert_allclose(other.trace_.elbo, fit.trace_.elbo, rtol=0, atol=1e-10)


@few
@given(structures, seeds)
def test_the_order_of_components_is_that_of_the_start(structure: str, seed: int) -> None:
    problem = Problem(seed)
    order = problem.rng.permutation(problem.n_components)
    fit = problem.fit(structure, problem.X, problem.start)
    other = problem.fit(structure, problem.X, problem.start[:, order])
    assert_alike(other, fit.weights_[order], fit.means_[order], matrices_of(fit)[order])
    np.testing.assert_allclose(
        other.predict_proba(problem.X), fit.predict_proba(problem.X)[:, order], rtol=0, atol=1e-9
    )


@few
@given(structures, seeds, st.integers(1, 300))
def test_the_size_of_blocks_does_not_matter(structure: str, seed: int, size: int) -> None:
    problem = Problem(seed)
    model = Mixture(Gaussian(CLASSES[structure]))
    X, weights = problem.X, problem.rng.uniform(0.1, 3.0, problem.X.shape[0])
    start = model.from_responsibilities([(Block(X, weights), problem.start)])
    whole, parts = (
        em(model, start, Rows(X, weights, block_size=n), max_iter=8, tol=0.0) for n in (10**6, size)
    )
    np.testing.assert_allclose(
        parts.params.to_vector(), whole.params.to_vector(), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(parts.trace.elbo, whole.trace.elbo, rtol=0, atol=1e-10)


@few
@given(structures, seeds, st.sampled_from([0.0, 1e-3]))
def test_a_whole_weight_is_a_row_repeated(structure: str, seed: int, reg_covar: float) -> None:
    problem = Problem(seed)
    counts = problem.rng.integers(0, 4, problem.X.shape[0])
    rows = np.repeat(np.arange(counts.size), counts)
    weighted = problem.fit(
        structure, problem.X, problem.start, sample_weight=counts, reg_covar=reg_covar
    )
    repeated = problem.fit(structure, problem.X[rows], problem.start[rows], reg_covar=reg_covar)
    assert_alike(weighted, repeated.weights_, repeated.means_, matrices_of(repeated))
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=0, abs=1e-10)


@few
@given(seeds, st.integers(1, 100))
def test_poisson_mixtures_depend_on_neither(seed: int, n_rows: int) -> None:
    """Order of rows and columns, and rows given as a table with frequencies."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(rng.choice([1.0, 6.0], (n_rows + 20, 1)), (n_rows + 20, 3)).astype(float)
    start = rng.dirichlet(np.ones(2), X.shape[0])
    settings_: dict[str, Any] = {"max_iter": 8, "tol": 0.0}
    fit = PoissonMixture(2, init_params=start, **settings_).fit(X)
    rows, columns = rng.permutation(X.shape[0]), rng.permutation(3)
    other = PoissonMixture(2, init_params=start[rows], **settings_).fit(X[rows][:, columns])
    np.testing.assert_allclose(other.rates_, fit.rates_[:, columns], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(other.weights_, fit.weights_, rtol=1e-10)
    table, inverse, counts = np.unique(X, axis=0, return_inverse=True, return_counts=True)
    # A row's responsibilities are those of its place in the table from the first E-step on: from
    # the fit on, the rows and the table go the same way.
    begin: dict[str, Any] = {"weights_init": fit.weights_, "rates_init": fit.rates_}
    by_rows = PoissonMixture(2, **begin, **settings_).fit(table[inverse])
    by_table = PoissonMixture(2, **begin, **settings_).fit(table, sample_weight=counts)
    np.testing.assert_allclose(by_table.rates_, by_rows.rates_, rtol=1e-10, atol=1e-12)


# -- priors and what is held fixed ----------------------------------------------------------------


@few
@given(structures, seeds)
def test_a_prior_follows_the_order_of_rows_and_of_components(structure: str, seed: int) -> None:
    """Concentrations and fixed parts are those of a component, wherever it stands."""
    problem = Problem(seed)
    K, rng = problem.n_components, problem.rng
    rows, order = rng.permutation(problem.X.shape[0]), rng.permutation(K)
    alpha, held, kept = rng.uniform(1.0, 50.0, K), rng.random(K) < 0.5, rng.random(K) < 0.5
    of_shared = {"covariances": True} if structure == "tied" else {"covariances": kept}
    fit = problem.fit(
        structure, problem.X, problem.start, prior="conjugate", weight_concentration=alpha,
        fixed={"weights": kept, "means": held} | of_shared,
    )  # fmt: skip
    if structure != "tied":
        of_shared = {"covariances": kept[order]}
    other = problem.fit(
        structure, problem.X[rows], problem.start[rows][:, order], prior="conjugate",
        weight_concentration=alpha[order],
        fixed={"weights": kept[order], "means": held[order]} | of_shared,
    )  # fmt: skip
    assert_alike(other, fit.weights_[order], fit.means_[order], matrices_of(fit)[order])
    np.testing.assert_allclose(other.trace_.elbo, fit.trace_.elbo, rtol=0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(structures, seeds)
def test_the_conjugate_prior_moves_with_the_data(structure: str, seed: int) -> None:
    """Its defaults are moments of the data: for diagonal covariances, which have the mean of the
    variances, only if all features are scaled alike."""
    problem = Problem(seed)
    X, d = problem.X, problem.X.shape[1]
    A = affine_map(structure if structure != "diag" else "spherical", problem.rng, d)
    if structure == "diag":
        A = np.diag(np.full(d, np.abs(np.linalg.det(A)) ** (1.0 / d)))
    b = A @ problem.rng.uniform(-10.0, 10.0, d)
    fit = problem.fit(structure, X, problem.start, prior="conjugate")
    moved = problem.fit(structure, X @ A.T + b, problem.start, prior="conjugate")
    assert_alike(moved, fit.weights_, fit.means_ @ A.T + b, A @ matrices_of(fit) @ A.T, rtol=1e-8)


@few
@given(structures, seeds)
def test_a_strong_prior_is_all_there_is(structure: str, seed: int) -> None:
    problem = Problem(seed)
    X, (n, d) = problem.X, problem.X.shape
    center, K = problem.rng.standard_normal(d), problem.n_components
    strong = NormalInverseWishart(shrinkage=1e9 * n, mean=center, dof=1e9 * n, scale=2e9 * n)
    fit = problem.fit(
        structure, X, problem.start, prior=strong, weight_concentration=1e9 * n, max_iter=1
    )
    np.testing.assert_allclose(fit.weights_, 1.0 / K, rtol=1e-7)
    np.testing.assert_allclose(fit.means_, np.tile(center, (K, 1)), atol=1e-7)
    # κ (μ − m)(μ − m)ᵀ is of the size of a rounding; ν + d + 2 is ν, to 1e-9.
    for matrix in matrices_of(fit):
        np.testing.assert_allclose(matrix, 2.0 * np.eye(d), rtol=1e-5, atol=1e-5)


# -- affine maps ----------------------------------------------------------------------------------


def affine_map(structure: str, rng: np.random.Generator, d: int) -> Data:
    """A matrix under which the structure is closed, of condition at most 30."""
    if structure in ("full", "tied"):
        rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
        return np.asarray(random_covariance(rng, d, 30.0) @ rotation * 10.0 ** rng.uniform(-3, 3))
    if structure == "diag":
        return np.diag(rng.choice([-1.0, 1.0], d) * 10.0 ** rng.uniform(-6, 6, d))
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return np.asarray(rotation * 10.0 ** rng.uniform(-6, 6))


@settings(max_examples=40, deadline=None)
@given(structures, seeds)
def test_affine_maps_of_the_data_are_affine_maps_of_the_fit(structure: str, seed: int) -> None:
    problem = Problem(seed)
    X, d = problem.X, problem.X.shape[1]
    A = affine_map(structure, problem.rng, d)
    b = A @ problem.rng.uniform(-10.0, 10.0, d)
    fit = problem.fit(structure, X, problem.start)
    moved = problem.fit(structure, X @ A.T + b, problem.start)
    assert_alike(moved, fit.weights_, fit.means_ @ A.T + b, A @ matrices_of(fit) @ A.T, rtol=1e-8)
    np.testing.assert_allclose(
        moved.predict_proba(X @ A.T + b), fit.predict_proba(X), rtol=0, atol=1e-8
    )
    log_volume = np.linalg.slogdet(A)[1]
    assert moved.lower_bound_ == pytest.approx(fit.lower_bound_ - log_volume, rel=0, abs=1e-9)


@few
@given(seeds)
def test_a_map_that_breaks_the_structure_does_break_it(seed: int) -> None:
    """So that the test above could fail: a shear is no map of diagonal covariances."""
    problem = Problem(seed, n_features=2)
    shear = np.array([[1.0, 0.0], [1.0, 1.0]])
    fit = problem.fit("diag", problem.X, problem.start)
    moved = problem.fit("diag", problem.X @ shear.T, problem.start)
    with pytest.raises(AssertionError):
        assert_alike(moved, fit.weights_, fit.means_ @ shear.T, shear @ matrices_of(fit) @ shear.T)


# -- far from zero, large and small ---------------------------------------------------------------


def whole_fit(structure: str, X: Data, seed: int, **parameters: Any) -> GaussianMixture:
    """A fit as a user makes it, of maximum likelihood."""
    settings_ = {"reg_covar": 0.0, "tol": 1e-6, "max_iter": 200} | parameters
    return GaussianMixture(3, covariance_type=structure, random_state=seed, **settings_).fit(X)


def three_clusters(seed: int) -> Data:
    return clusters(np.random.default_rng(seed), 200, 3, 3, apart=4.0)


def assert_moved(far: GaussianMixture, near: GaussianMixture, X: Data, offset: float) -> None:
    """Numbers at 1e8 are 1.5e-8 apart: so much goes from a mean in each iteration, and EM may
    enlarge it while it is on its way (400 times at most in 500 fits)."""
    np.testing.assert_array_equal(far.predict(X + offset), near.predict(X))
    np.testing.assert_allclose(far.means_ - offset, near.means_, rtol=0, atol=3e-5)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=0, atol=3e-5)
    np.testing.assert_allclose(far.weights_, near.weights_, rtol=0, atol=3e-5)


def assert_scaled(scaled: GaussianMixture, unit: GaussianMixture, X: Data, scale: float) -> None:
    np.testing.assert_array_equal(scaled.predict(scale * X), unit.predict(X))
    np.testing.assert_allclose(scaled.means_ / scale, unit.means_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(scaled.covariances_ / scale**2, unit.covariances_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(scaled.weights_, unit.weights_, rtol=0, atol=1e-9)
    bound = unit.lower_bound_ - X.shape[1] * np.log(scale)
    assert scaled.lower_bound_ == pytest.approx(bound, rel=0, abs=1e-9)
    assert scaled.n_iter_ == unit.n_iter_


# The same examples each time: a row between two components is a tie that rounding may break.
fixed = settings(max_examples=12, deadline=None, derandomize=True)


@fixed
@given(structures, st.integers(0, 10**6), st.sampled_from([1e8, -1e8, 2.0**30]))
def test_an_offset_that_rounds_nothing_moves_the_means_alone(
    structure: str, seed: int, offset: float
) -> None:
    """Multiples of 2⁻²⁰ stay what they are at 1e8, and so must everything but the means."""
    X = np.round(three_clusters(seed) * 2.0**20) / 2.0**20
    assert (X + offset - offset == X).all()
    assert_moved(whole_fit(structure, X + offset, seed), whole_fit(structure, X, seed), X, offset)


@fixed
@given(structures, st.integers(0, 10**6))
def test_an_offset_that_rounds_the_data_moves_the_fit_by_as_little(
    structure: str, seed: int
) -> None:
    X = three_clusters(seed)
    assert 0.0 < np.abs(X + 1e8 - 1e8 - X).max() <= 0.75e-8
    assert_moved(whole_fit(structure, X + 1e8, seed), whole_fit(structure, X, seed), X, 1e8)


@fixed
@given(structures, st.integers(0, 10**6), exponents)
def test_a_scale_scales_the_parameters(structure: str, seed: int, exponent: float) -> None:
    X, scale = three_clusters(seed), 10.0**exponent
    assert_scaled(whole_fit(structure, scale * X, seed), whole_fit(structure, X, seed), X, scale)


REAL: dict[str, Data] = {
    "iris": load_iris().data,
    "wine": StandardScaler().fit_transform(load_wine().data)[:, :6],
    "geyser": StandardScaler().fit_transform(load_faithful().data),
}


@pytest.mark.parametrize("init_params", ["kmeans", "random"])
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_real_data_shifted_and_scaled(structure: str, name: str, init_params: str) -> None:
    X = REAL[name]
    unit = whole_fit(structure, X, 0, init_params=init_params)
    for scale in (1e-8, 1e-4, 1e8):
        scaled = whole_fit(structure, scale * X, 0, init_params=init_params)
        assert_scaled(scaled, unit, X, scale)
    for offset in (1e8, -1e8):
        far = whole_fit(structure, X + offset, 0, init_params=init_params)
        if init_params == "kmeans":
            assert_moved(far, unit, X, offset)
        else:
            # From random responsibilities the components begin almost equal, and what EM makes
            # of their differences is all that there is: the labels are what must not change.
            np.testing.assert_array_equal(far.predict(X + offset), unit.predict(X))
            np.testing.assert_allclose(far.means_ - offset, unit.means_, rtol=0, atol=1e-2)


@few
@given(structures, seeds)
def test_an_m_step_at_1e8_loses_the_rounding_of_the_means_alone(structure: str, seed: int) -> None:
    """One step, in which nothing can be enlarged: the covariances keep nearly all digits."""
    problem = Problem(seed)
    X = np.round(problem.X * 2.0**20) / 2.0**20
    near = problem.fit(structure, X, problem.start, max_iter=0)
    far = problem.fit(structure, X + 1e8, problem.start, max_iter=0)
    np.testing.assert_allclose(far.means_ - 1e8, near.means_, rtol=0, atol=1.5e-8)
    np.testing.assert_allclose(
        far.covariances_, near.covariances_, rtol=0, atol=1e-14 * np.abs(X).max() ** 2
    )


# -- single precision -----------------------------------------------------------------------------


@few
@given(structures, seeds)
def test_float32_data_are_computed_in_double(structure: str, seed: int) -> None:
    """The same numbers in either type: the fit differs by the last rounding of its attributes."""
    problem = Problem(seed)
    single = problem.X.astype(np.float32)
    fit = problem.fit(structure, single, problem.start)
    double = problem.fit(structure, single.astype(np.float64), problem.start)
    assert fit.means_.dtype == fit.covariances_.dtype == np.float32
    one_rounding = np.finfo(np.float32).eps
    np.testing.assert_allclose(fit.means_, double.means_, rtol=one_rounding)
    np.testing.assert_allclose(fit.covariances_, double.covariances_, rtol=one_rounding, atol=1e-30)
    np.testing.assert_allclose(fit.weights_, double.weights_, rtol=one_rounding)
    assert fit.lower_bound_ == pytest.approx(double.lower_bound_, rel=0, abs=1e-10)


# -- probabilistic PCA ----------------------------------------------------------------------------


@few
@given(seeds, st.sampled_from(["closed_form", "em"]), exponents)
def test_ppca_turns_with_the_data(seed: int, solver: str, exponent: float) -> None:
    """Its structure is closed under rotations and one scale."""
    problem = Problem(seed, n_features=4)
    n_components = int(problem.rng.integers(1, 4))
    scale = 10.0**exponent
    A = scale * np.linalg.qr(problem.rng.standard_normal((4, 4)))[0]
    b = scale * problem.rng.uniform(-10.0, 10.0, 4)
    moved_X = problem.X @ A.T + b
    fit, moved = (
        PPCA(n_components, solver=solver, tol=1e-14, max_iter=3000, random_state=0).fit(X)
        for X in (problem.X, moved_X)
    )
    bound = fit.lower_bound_ - 4 * np.log(scale)
    # The closed form to rounding; EM, whose start does not turn with the data, to its tol.
    rtol = {"closed_form": 1e-11, "em": 1e-4}[solver]
    assert moved.lower_bound_ == pytest.approx(bound, rel=0, abs=1e-9)
    assert moved.noise_variance_ == pytest.approx(scale**2 * fit.noise_variance_, rel=rtol)
    expected = A @ fit.get_covariance() @ A.T
    np.testing.assert_allclose(
        moved.get_covariance(), expected, rtol=0, atol=rtol * np.abs(expected).max()
    )
    if solver == "closed_form":
        np.testing.assert_allclose(
            moved.score_samples(moved_X) + 4 * np.log(scale),
            fit.score_samples(problem.X), rtol=0, atol=1e-9,
        )  # fmt: skip

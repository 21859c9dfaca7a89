"""Every covariance structure against dense matrices and scipy's densities."""

from __future__ import annotations

import pickle
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from oracles import STRUCTURES, Data, dense, gaussian_log_densities, random_covariance
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from em_toolkit import GaussianMixture
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import (
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    Gaussian,
    GaussianComponents,
    SphericalCovariances,
    TiedCovariances,
)
from em_toolkit.parameters import CollapseError

K, D = 3, 4


@pytest.fixture(params=STRUCTURES)
def structure(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def public_values(structure: str, rng: np.random.Generator, n_components: int = K) -> Data:
    """Random covariances in scikit-learn's shape, of condition 10."""
    return {
        "full": np.stack([random_covariance(rng, D) for _ in range(n_components)]),
        "tied": random_covariance(rng, D),
        "diag": rng.uniform(1.0, 10.0, (n_components, D)),
        "spherical": rng.uniform(1.0, 10.0, n_components),
    }[structure]


@pytest.fixture
def values(structure: str) -> Data:
    return public_values(structure, np.random.default_rng(1))


@pytest.fixture
def covariances(structure: str, values: Data) -> Covariances:
    return CLASSES[structure].from_sklearn_array(values, K, D)


@pytest.fixture
def matrices(structure: str, values: Data) -> Data:
    return dense(structure, values, K, D)


def reduced(structure: str, scatters: Data) -> Data:
    """K dense scatter matrices as the structure keeps them: what a maximizer needs of them."""
    diagonals = np.stack([np.diag(scatter) for scatter in scatters])
    return {
        "full": scatters,
        "tied": scatters.sum(axis=0)[None],
        "diag": diagonals,
        "spherical": diagonals.sum(axis=1, keepdims=True),
    }[structure]


def close(actual: Any, expected: Any, rtol: float = 3e-14) -> None:
    """To roundings (3e-15 measured) of the largest entry: for matrices of condition 10."""
    expected = np.asarray(expected)
    assert np.shape(actual) == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


# -- shapes and counts ----------------------------------------------------------------------------


def test_public_shape_and_sizes(covariances: Covariances, values: Data, structure: str) -> None:
    np.testing.assert_array_equal(covariances.sklearn_array, values)
    assert (covariances.n_components, covariances.n_features) == (K, D)
    expected = {"full": K * D * (D + 1) // 2, "tied": D * (D + 1) // 2, "diag": K * D}
    assert covariances.n_parameters == expected.get(structure, K)


def test_alike(structure: str) -> None:
    matrix = random_covariance(np.random.default_rng(2), D)
    alike = CLASSES[structure].shared(matrix, K)
    expected = {
        "full": np.stack([matrix] * K),
        "tied": matrix,
        "diag": np.stack([np.diag(matrix)] * K),
        "spherical": np.full(K, np.trace(matrix) / D),
    }[structure]
    close(alike.sklearn_array, expected)


def test_values_cannot_be_changed(covariances: Covariances, values: Data) -> None:
    with pytest.raises(ValueError, match="read-only"):
        covariances.values[0] = 0.0
    before = covariances.values.copy()
    values *= 2.0
    np.testing.assert_array_equal(covariances.values, before)


# -- against dense matrices -----------------------------------------------------------------------


def test_log_determinants_and_diagonals(covariances: Covariances, matrices: Data) -> None:
    close(covariances.log_determinants, np.log(np.linalg.det(matrices)))
    close(covariances.variances, [np.diag(matrix) for matrix in matrices])
    close(covariances.inverse_diagonals, [np.diag(np.linalg.inv(matrix)) for matrix in matrices])


def test_distances_and_whitening(covariances: Covariances, matrices: Data) -> None:
    rng = np.random.default_rng(3)
    X, means = rng.standard_normal((50, D)), rng.standard_normal((K, D))
    deviations = X[:, None, :] - means
    inverses = np.linalg.inv(matrices)
    expected = np.einsum("ikd,kde,ike->ik", deviations, inverses, deviations)
    close(covariances.squared_distances(X, means), expected)
    for k in range(K):
        whitened = covariances.whiten(deviations[:, k].copy(), k)
        # Not only the lengths: the inner products too.
        close(whitened @ whitened.T, deviations[:, k] @ inverses[k] @ deviations[:, k].T)


def test_log_density_is_scipys(structure: str, covariances: Covariances, matrices: Data) -> None:
    rng = np.random.default_rng(4)
    X, means = 3.0 * rng.standard_normal((50, D)), rng.standard_normal((K, D))
    log_density = Gaussian(CLASSES[structure]).log_density(
        GaussianComponents(means, covariances), X
    )
    close(log_density, gaussian_log_densities(X, means, matrices))


def test_outer(structure: str) -> None:
    rng = np.random.default_rng(5)
    left, right = rng.standard_normal((2, K, D))
    products = np.stack([np.outer(a, b) for a, b in zip(left, right, strict=True)])
    symmetric = 0.5 * (products + products.transpose(0, 2, 1))
    close(CLASSES[structure].outer(left, right), reduced(structure, symmetric))


def test_second_moment(structure: str) -> None:
    rng = np.random.default_rng(6)
    X, origin = rng.standard_normal((40, D)), rng.standard_normal((K, D))
    responsibilities = rng.uniform(0.0, 2.0, (40, K))
    expected = np.zeros((K, D, D))
    for k in range(K):
        for i in range(40):
            deviation = X[i] - origin[k]
            expected[k] += responsibilities[i, k] * np.outer(deviation, deviation)
    moment = CLASSES[structure].second_moment(X, origin, responsibilities)
    close(moment, reduced(structure, expected))
    if moment.ndim == 3:
        np.testing.assert_array_equal(moment, moment.transpose(0, 2, 1))


def test_scatter_about_any_means(structure: str) -> None:
    """Also about those that were asked for before others, and about the origin itself."""
    rng = np.random.default_rng(6)
    X, origin, *others = rng.standard_normal((40, D)), *rng.standard_normal((3, K, D))
    responsibilities = rng.uniform(0.0, 2.0, (40, K))
    family = Gaussian(CLASSES[structure])
    components = GaussianComponents(origin, CLASSES[structure].shared(np.eye(D), K))
    stats = family.statistics(components, X, responsibilities)
    for means in (others[0], others[1], others[0], origin, others[1]):
        expected = family.structure.second_moment(X, means, responsibilities)
        close(stats.scatter_about(means, family.structure), expected)


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10, 1e13])
@pytest.mark.parametrize("is_own", [True, False])
def test_traces_are_as_exact_as_the_monitor_is_told(condition: float, is_own: bool) -> None:
    """However ill-conditioned: against the factor in exact arithmetic, given its digits."""
    rng = np.random.default_rng(8)
    for _ in range(20):
        axes = np.linalg.qr(rng.standard_normal((D, D)))[0]
        root = axes * np.sqrt(rng.permutation(np.geomspace(1.0, condition, D)))
        matrix = root @ root.T
        covariances = FullCovariances(0.5 * (matrix + matrix.T)[None])
        rows = root @ (np.eye(D) if is_own else rng.standard_normal((D, 30)))
        scatter = rows @ rows.T
        factor = [[Fraction(x) for x in row] for row in covariances.inverse_cholesky[0].tolist()]
        exact = sum(
            factor[i][j] * Fraction(scatter[j, m]) * factor[i][m]
            for i in range(D)
            for j in range(D)
            for m in range(D)
        )
        found = covariances.inner_product(scatter[None])
        stated = np.finfo(float).eps * D * covariances.diagonal_product(scatter[None])
        assert abs(Fraction(found) - exact) <= stated


def test_inner_product(structure: str, covariances: Covariances, matrices: Data) -> None:
    rng = np.random.default_rng(7)
    scatters = np.stack([random_covariance(rng, D) for _ in range(K)])
    expected = sum(
        np.trace(np.linalg.inv(m) @ scatter) for m, scatter in zip(matrices, scatters, strict=True)
    )
    close(covariances.inner_product(reduced(structure, scatters)), expected)


def test_from_scatter_is_the_maximum_of_its_structure(structure: str) -> None:
    """−½ Σ [N_k log |Σ_k| + tr Σ_k⁻¹ A_k] by dense matrices, stationary in all coordinates."""
    rng = np.random.default_rng(8)
    scatters = np.stack([10.0 * random_covariance(rng, D) for _ in range(K)])
    count = rng.uniform(5.0, 15.0, K)
    best = CLASSES[structure].from_scatter(reduced(structure, scatters), count, D)
    assert best.n_components == K

    def objective(vector: Data) -> float:
        values = best.from_vector(vector).sklearn_array
        return -0.5 * sum(
            n * np.log(np.linalg.det(m)) + np.trace(np.linalg.solve(m, a))
            for n, m, a in zip(count, dense(structure, values, K, D), scatters, strict=True)
        )

    vector = best.to_vector()
    highest, step = objective(vector), 1e-4
    for j in range(vector.size):
        up, down = (objective(vector + sign * step * np.eye(vector.size)[j]) for sign in (1, -1))
        # Terms of size 100 leave the slope 1e-14 · 100 / step; the third derivative, step².
        assert abs(up - down) / (2 * step) < 1e-6
        assert max(up, down) < highest


def test_or_previous(structure: str) -> None:
    rng = np.random.default_rng(9)
    new, old = (
        CLASSES[structure].from_sklearn_array(public_values(structure, rng), K, D) for _ in range(2)
    )
    every, some = np.full(3, True), np.array([True, False, True])
    news, olds = (dense(structure, each.sklearn_array, K, D) for each in (new, old))
    mixed = np.where(some[:, None, None], news, olds)
    without_data = new.or_previous(some, every, old)
    unsettled = new.or_previous(every, some, old)
    # A shared matrix is known as long as any component is, and settled when all are.
    expected = (news, olds) if structure == "tied" else (mixed, mixed)
    for found, matrices in zip((without_data, unsettled), expected, strict=True):
        np.testing.assert_array_equal(dense(structure, found.sklearn_array, K, D), matrices)


# -- precisions -----------------------------------------------------------------------------------


def precision_factors(structure: str, matrices: Data, rotated: bool) -> Data:
    """P with P Pᵀ = Σ⁻¹ in scikit-learn's shape; rotated, P is not triangular."""
    factors = np.stack([np.linalg.inv(np.linalg.cholesky(matrix)).T for matrix in matrices])
    if rotated:
        rng = np.random.default_rng(10)
        rotations = [np.linalg.qr(rng.standard_normal((D, D)))[0] for _ in factors]
        factors = np.stack([p @ q for p, q in zip(factors, rotations, strict=True)])
    diagonals = np.stack([1.0 / np.sqrt(np.diag(matrix)) for matrix in matrices])
    return {
        "full": factors,
        "tied": factors[0],
        "diag": diagonals,
        "spherical": diagonals[:, 0],
    }[structure]


def precisions_of(structure: str, matrices: Data) -> Data:
    inverses = np.linalg.inv(matrices)
    diagonals = np.stack([np.diag(inverse) for inverse in inverses])
    return {
        "full": inverses,
        "tied": inverses[0],
        "diag": diagonals,
        "spherical": diagonals[:, 0],
    }[structure]


def test_precisions(structure: str, covariances: Covariances, matrices: Data) -> None:
    close(covariances.precisions, precisions_of(structure, matrices))
    factors = covariances.precisions_cholesky
    close(factors, precision_factors(structure, matrices, rotated=False))
    if structure in ("full", "tied"):
        np.testing.assert_array_equal(factors, np.triu(factors))


def test_from_precisions(structure: str, matrices: Data, values: Data) -> None:
    made = CLASSES[structure].from_precisions(precisions_of(structure, matrices), K, D)
    assert made.n_components == K
    close(made.sklearn_array, values)
    close(made.log_determinants, np.log(np.linalg.det(matrices)))
    close(made.precisions, precisions_of(structure, matrices))


@pytest.mark.parametrize("rotated", [False, True])
def test_from_any_factor_of_the_precisions(
    structure: str, matrices: Data, values: Data, rotated: bool
) -> None:
    factors = precision_factors(structure, matrices, rotated)
    if rotated and structure in ("full", "tied"):
        assert np.abs(np.tril(factors, -1)).max() > 0.1
    made = CLASSES[structure].from_precisions_cholesky(factors, K, D)
    close(made.sklearn_array, values)
    close(made.log_determinants, np.log(np.linalg.det(matrices)))
    close(made.precisions_cholesky, precision_factors(structure, matrices, rotated=False))
    X, means = np.random.default_rng(11).standard_normal((20, D)), np.zeros((K, D))
    expected = np.einsum("id,kde,ie->ik", X, np.linalg.inv(matrices), X)
    close(made.squared_distances(X, means), expected)


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_a_factor_of_an_ill_conditioned_precision_keeps_its_digits(structure: str) -> None:
    """Condition 1e14: the product P Pᵀ could not be factored to more than two digits."""
    lower = np.linalg.inv(np.diag([1.0, 1e-3, 1e-5, 1e-7]) + np.tril(np.ones((D, D)) * 1e-8, -1))
    factors = np.stack([lower.T] * K) if structure == "full" else lower.T
    made = CLASSES[structure].from_precisions_cholesky(factors, K, D)
    close(made.precisions_cholesky, factors)
    expected = -2.0 * np.log(np.diag(lower)).sum()
    close(made.log_determinants, np.full(K, expected))


def test_bad_precisions_are_named(structure: str, matrices: Data) -> None:
    good = precisions_of(structure, matrices)
    assert CLASSES[structure].precisions_problem(good) == ""
    axis_aligned = structure in ("diag", "spherical")
    complaint = "positive" if axis_aligned else "symmetric, positive-definite"
    assert CLASSES[structure].precisions_problem(-good) == complaint
    if not axis_aligned:
        skew = good + np.triu(np.ones((D, D)), 1)
        assert CLASSES[structure].precisions_problem(skew) == complaint


# -- coordinates ----------------------------------------------------------------------------------


def test_coordinates_and_back(structure: str, covariances: Covariances, values: Data) -> None:
    vector = covariances.to_vector()
    assert vector.shape == (covariances.n_parameters,)
    close(covariances.from_vector(vector).sklearn_array, values)


def test_any_coordinates_are_covariances(structure: str, covariances: Covariances) -> None:
    rng = np.random.default_rng(12)
    for _ in range(20):
        vector = rng.uniform(-2.0, 2.0, covariances.n_parameters)
        made = covariances.from_vector(vector)
        assert type(made) is type(covariances)
        assert (np.linalg.eigvalsh(dense(structure, made.sklearn_array, K, D)) > 0.0).all()
        # Coordinates of -2..2 make conditions of up to 1e4.
        close(made.to_vector(), vector, rtol=1e-10)


# -- draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [np.random.RandomState, np.random.default_rng])
def test_moments_of_draws(covariances: Covariances, matrices: Data, source: Any) -> None:
    n = 40_000
    rng = source(13)
    for k, matrix in enumerate(matrices):
        rows = covariances.draw(n, k, rng)
        assert rows.shape == (n, D)
        variances = np.diag(matrix)
        assert (np.abs(rows.mean(axis=0)) < 5.0 * np.sqrt(variances / n)).all()
        # var of a product of two normals: Σ_ii Σ_jj + Σ_ij².
        spread = np.sqrt((np.outer(variances, variances) + matrix**2) / n)
        assert (np.abs(rows.T @ rows / n - matrix) < 5.0 * spread).all()


# -- degenerate matrices --------------------------------------------------------------------------


def test_good_matrices_have_nothing_to_complain_of(covariances: Covariances) -> None:
    covariances.check_about(np.random.default_rng(14).standard_normal((K, D)))
    covariances.check_about(np.full((K, D), 1e8))


@pytest.mark.parametrize("variance", [0.0, -1.0, 1e-320])
def test_a_component_without_spread_is_named_with_its_feature(variance: float) -> None:
    variances = np.ones((K, D))
    variances[1, 2] = variance
    means = np.arange(12.0).reshape(K, D)
    message = r"component 1 has variance \S+ in feature 2, about a mean of 6:"
    full = np.stack([np.diag(row) for row in variances])
    for flat in (DiagonalCovariances(variances), FullCovariances(full)):
        with pytest.raises(CollapseError, match=message):
            flat.check_about(means)
    with pytest.raises(CollapseError, match=r"component 1 has variance \S+ in feature 0"):
        SphericalCovariances(np.array([[1.0], [variance], [1.0]]), D).check_about(means)
    with pytest.raises(CollapseError, match=r"component 0 has variance \S+ in feature 2"):
        TiedCovariances(np.diag(variances[1])[None], K).check_about(means)


@pytest.mark.parametrize(("mean", "std", "good"), [
    (1e8, 1e-6, True), (1e8, 1e-8, False), (1.0, 1e-14, True), (1.0, 1e-16, False),
    (0.0, 1e-140, True), (-1e8, 1e-8, False),
])  # fmt: skip
def test_spread_is_judged_by_the_spacing_of_numbers_at_the_mean(
    mean: float, std: float, good: bool
) -> None:
    covariances = SphericalCovariances(np.array([[std**2]]), 2)
    means = np.array([[mean, 0.0]])
    if good:
        covariances.check_about(means)
    else:
        with pytest.raises(CollapseError, match="component 0 has variance"):
            covariances.check_about(means)


@pytest.mark.parametrize("residual", [0.0, -1e-3, 1e-16])
def test_a_linear_combination_is_named(residual: float) -> None:
    """In component 2, feature 3 is the sum of the first two (but for a residual variance)."""
    factor = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.3, 1.0], [1.5, 1.0, 0.0]])
    singular = factor @ factor.T
    singular[3, 3] += residual
    good = random_covariance(np.random.default_rng(15), D)
    message = "covariance of component 2 is singular to rounding: within it, feature 3"
    with pytest.raises(CollapseError, match=message):
        FullCovariances(np.stack([good, good, singular])).check_about(np.zeros((3, D)))
    with pytest.raises(CollapseError, match="feature 3 is a linear combination"):
        TiedCovariances(singular[None], K).check_about(np.zeros((K, D)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_overflow_is_named(structure: str, values: Data, value: float) -> None:
    broken = np.array(values)
    broken.flat[0] = value
    with pytest.raises(CollapseError, match=r"overflowed.*Scale the data"):
        CLASSES[structure].from_sklearn_array(broken, K, D).check_about(np.zeros((K, D)))
    means = np.zeros((K, D))
    means[2, 1] = value
    with pytest.raises(CollapseError, match="overflowed"):
        CLASSES[structure].from_sklearn_array(values, K, D).check_about(means)


# -- far from zero --------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 10**4, 10**8, 10**12])
def test_scatters_about_a_far_origin_are_exact(structure: str, offset: int) -> None:
    """Whole numbers near a whole origin: nothing has to be rounded, wherever they are."""
    rng = np.random.default_rng(16)
    X, origin = rng.integers(-9, 10, (30, D)), rng.integers(-3, 4, (K, D))
    responsibilities = rng.integers(0, 2, (30, K)) ** 2
    expected = np.zeros((K, D, D))
    for k in range(K):
        deviations = X - origin[k]
        expected[k] = deviations.T @ (responsibilities[:, k, None] * deviations)
    moment = CLASSES[structure].second_moment(
        (X + offset).astype(float), (origin + offset).astype(float), responsibilities.astype(float)
    )
    np.testing.assert_array_equal(moment, reduced(structure, expected))


def exact_covariances(X: Data, responsibilities: Data) -> tuple[Data, Data]:
    """Weighted means and covariances by exact rational arithmetic."""
    rows = [[Fraction(value) for value in row] for row in X.tolist()]
    means, matrices = [], []
    for column in responsibilities.T.tolist():
        weights = [Fraction(weight) for weight in column]
        total = sum(weights)
        mean = [sum(w * row[j] for w, row in zip(weights, rows, strict=True)) / total
                for j in range(X.shape[1])]  # fmt: skip
        means.append(mean)
        matrices.append(
            [
                [
                    sum(
                        w * (row[i] - mean[i]) * (row[j] - mean[j])
                        for w, row in zip(weights, rows, strict=True)
                    )
                    / total
                    for j in range(X.shape[1])
                ]
                for i in range(X.shape[1])
            ]
        )
    return np.array(means, dtype=np.float64), np.array(matrices, dtype=np.float64)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
def test_the_m_step_far_from_zero_keeps_all_digits(structure: str, offset: float) -> None:
    """From an origin half a standard deviation off, against exact arithmetic on the same rows."""
    rng = np.random.default_rng(17)
    X = offset + rng.standard_normal((60, D))
    responsibilities = rng.dirichlet(np.ones(K), 60)
    means, matrices = exact_covariances(X, responsibilities)
    count = responsibilities.sum(axis=0)
    expected = CLASSES[structure].from_scatter(
        reduced(structure, count[:, None, None] * matrices), count, D
    )

    family = Gaussian(CLASSES[structure])
    begin = GaussianComponents(means + 0.5, CLASSES[structure].shared(np.eye(D), K))
    found = family.maximize(begin, family.statistics(begin, X, responsibilities))
    # A mean is rounded to the spacing of numbers at the offset; covariances are about that mean,
    # so that only the square of its rounding enters.
    np.testing.assert_allclose(found.means, means, rtol=4e-16, atol=1e-15)
    close(found.covariances.sklearn_array, expected.sklearn_array, rtol=2e-15)


# -- what a density needs of a fit ----------------------------------------------------------------

MATRIX_TYPES = ["full", "tied", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]


@pytest.mark.parametrize("covariance_type", MATRIX_TYPES)
def test_densities_are_read_off_the_published_factors(
    covariance_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows of many features: to factor, invert or multiply matrices took ten times as long."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(60, 4)), 4.0 + rng.normal(size=(60, 4)) * [1, 2, 3, 4]])
    fit = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    covariances = np.broadcast_to(fit.covariances_, (2, 4, 4))
    expected = logsumexp(
        [
            np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
            for weight, mean, covariance in zip(fit.weights_, fit.means_, covariances, strict=True)
        ],
        axis=0,
    )
    labels = fit.predict(X)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("work that grows with the cube of the features")

    for name in ("cholesky", "inv", "solve", "svd", "eigh", "qr"):
        monkeypatch.setattr(np.linalg, name, refuse)
    monkeypatch.setattr("scipy.linalg.lapack.dtrtri", refuse)
    np.testing.assert_allclose(fit.score_samples(X), expected, rtol=1e-10)
    np.testing.assert_array_equal(fit.predict(X), labels)
    with pytest.raises(AssertionError, match="cube"):
        # The control: what does need the matrices.
        _ = fit.params_.components.covariances.values


def test_covariances_from_factors_are_those_of_their_values() -> None:
    rng = np.random.default_rng(1)
    factors = np.triu(rng.normal(size=(3, 5, 5))) + 3.0 * np.eye(5)
    # Any factor will do: columns of the other sign, and one that is not triangular.
    factors[1] *= [1.0, -1.0, 1.0, -1.0, 1.0]
    factors[2] = factors[2] @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
    made = FullCovariances.from_factors(factors)
    expected = np.linalg.inv(factors @ factors.transpose(0, 2, 1))
    given = FullCovariances(expected)
    assert (made.n_components, made.n_features) == (3, 5)
    rows = rng.normal(size=(7, 5))
    for k in range(3):
        squares = [np.square(one.whiten(rows.copy(), k)).sum(axis=1) for one in (made, given)]
        np.testing.assert_allclose(*squares, rtol=1e-10)
    np.testing.assert_allclose(made.log_determinants, given.log_determinants, rtol=1e-10)
    copied = pickle.loads(pickle.dumps(made))
    for one in (copied, made):
        np.testing.assert_allclose(one.values, expected, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(one.cholesky, given.cholesky, rtol=1e-10, atol=1e-14)
        assert not one.values.flags.writeable
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        FullCovariances.from_factors(np.diag([1.0, 0.0])[None])


@pytest.mark.parametrize("kind", [FullCovariances, TiedCovariances])
@pytest.mark.parametrize("exponent", [1.0, 5.0, 7.0, 30.0])
def test_draws_of_features_in_unlike_units(kind: Any, exponent: float) -> None:
    """In any order of the columns, and without NumPy's word that the matrix is indefinite."""
    correlations = np.array([[1.0, 0.5, 0.3], [0.5, 1.0, 0.4], [0.3, 0.4, 1.0]])
    n_rows = 40_000
    for units in permutations([1.0, 10.0**-exponent, 10.0**exponent]):
        covariances = kind.shared(correlations * np.outer(units, units), 2)
        for rng in (np.random.RandomState(0), np.random.default_rng(0)):
            rows = covariances.draw(n_rows, 1, rng) / units
            found = np.cov(rows.T)
            np.testing.assert_allclose(found, correlations, atol=6.0 / np.sqrt(n_rows))


def test_draws_of_features_in_large_units_are_numpys_to_the_bit() -> None:
    matrix = np.array([[1e12, 2e9], [2e9, 9e7]])
    rows = FullCovariances.shared(matrix, 1).draw(5, 0, np.random.RandomState(0))
    expected = np.random.RandomState(0).multivariate_normal([0, 0], matrix, 5, check_valid="ignore")
    np.testing.assert_array_equal(rows, expected)

"""A Gaussian mixture used as a density: marginals, conditionals, regression and divergence.

The densities that these are held to come from scipy and from sums on grids.
"""

from __future__ import annotations

import math
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    STRUCTURES,
    dense,
    gaussian_log_densities,
    mixture_log_density,
    mixture_posterior,
    random_covariance,
)
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from em_toolkit import GaussianMixture, NormalInverseWishart, PoissonMixture
from em_toolkit.analysis.conditioning import condition, marginal
from em_toolkit.analysis.conditioning import dense as dense_of
from em_toolkit.analysis.regression import (
    conditional_log_density,
    conditional_mean,
    predict_conditional,
)
from em_toolkit.estimators.gaussian_mixture import STRUCTURES as KNOWN
from em_toolkit.families import (
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    GaussianComponents,
    SphericalCovariances,
    TiedCovariances,
)
from em_toolkit.models import MixtureParameters

CLASSES = {
    "full": FullCovariances,
    "tied": TiedCovariances,
    "diag": DiagonalCovariances,
    "spherical": SphericalCovariances,
}


class SharedAxes(Covariances):
    """A structure that the package does not know: eigenvalues along axes that are all shared."""

    n_components = property(lambda self: self.values.shape[0])
    n_features = property(lambda self: self.values.shape[1])
    variances = property(lambda self: self.values @ np.square(self.axes()).T)
    log_determinants = property(lambda self: np.log(self.values).sum(axis=1))

    def axes(self):
        return np.linalg.qr(np.vander(np.arange(1.0, 1.0 + self.n_features)))[0]

    def whiten(self, deviations, component):
        return deviations @ self.axes() / np.sqrt(self.values[component])

    def check_rank(self):
        pass


SharedAxes.__abstractmethods__ = frozenset()
ALL = [*STRUCTURES, "shared axes"]


class Density(GaussianMixture):
    """A subclass: what is returned is of its class."""


def random_covariances(rng, structure, n_components, n_features):
    """The package's object, and the matrices that it should stand for."""
    if structure == "shared axes":
        covariances = SharedAxes(rng.uniform(0.3, 4.0, (n_components, n_features)))
        axes = covariances.axes()
        return covariances, np.stack([(axes * row) @ axes.T for row in covariances.values])
    public = {
        "full": lambda: np.stack([random_covariance(rng, n_features) for _ in range(n_components)]),
        "tied": lambda: random_covariance(rng, n_features),
        "diag": lambda: rng.uniform(0.3, 4.0, (n_components, n_features)),
        "spherical": lambda: rng.uniform(0.3, 4.0, n_components),
    }[structure]()
    covariances = CLASSES[structure].from_sklearn_array(public, n_components, n_features)
    return covariances, dense(structure, public, n_components, n_features)


def random_mixture(rng, structure, n_components, n_features):
    """Parameters, and weights, means and matrices."""
    covariances, matrices = random_covariances(rng, structure, n_components, n_features)
    weights = rng.dirichlet(np.ones(n_components))
    means = 2.0 * rng.standard_normal((n_components, n_features))
    params = MixtureParameters(weights, GaussianComponents(means, covariances))
    return params, (weights, means, matrices)


def log_pdf(weights, means, matrices, X):
    return mixture_log_density(np.log(weights), gaussian_log_densities(X, means, matrices))


def plain(params):
    """Weights, means and matrices of what the package returns, by its public arrays alone."""
    covariances = params.components.covariances
    (structure,) = [name for name, known in CLASSES.items() if type(covariances) is known]
    means = params.components.means
    return params.weights, means, dense(structure, covariances.sklearn_array, *means.shape)


mixtures = st.tuples(
    st.integers(0, 10_000), st.sampled_from(ALL), st.integers(1, 4), st.integers(2, 5)
)


def split(rng, n_features):
    """Features in random order, cut into two parts."""
    order = rng.permutation(n_features)
    cut = int(rng.integers(1, n_features))
    return order[:cut], order[cut:]


# -- the law of total probability -----------------------------------------------------------------


@given(mixtures)
@settings(max_examples=80, deadline=None)
def test_joint_is_marginal_times_conditional(shape):
    rng = np.random.default_rng(shape[0])
    params, joint = random_mixture(rng, *shape[1:])
    chosen, _ = split(rng, shape[3])
    rest = np.setdiff1d(np.arange(shape[3]), chosen)
    X = 3.0 * rng.standard_normal((3, shape[3]))
    log_given = log_pdf(*plain(marginal(params, chosen)), X[:, chosen])
    for row, log_marginal in zip(X, log_given, strict=True):
        conditional = condition(params, chosen, row[chosen])
        log_rest = log_pdf(*plain(conditional), row[None, rest])
        log_joint = log_pdf(*joint, row[None])
        np.testing.assert_allclose(log_marginal + log_rest, log_joint, rtol=1e-9, atol=1e-9)


@given(mixtures)
@settings(max_examples=60, deadline=None)
def test_conditional_log_density_is_joint_less_marginal(shape):
    rng = np.random.default_rng(shape[0])
    params, (weights, means, matrices) = random_mixture(rng, *shape[1:])
    chosen, targets = split(rng, shape[3])
    targets = targets[: int(rng.integers(1, targets.size + 1))]
    both = np.concatenate([chosen, targets])
    X = 3.0 * rng.standard_normal((4, shape[3]))

    def log_density(features):
        block = matrices[:, features][:, :, features]
        return log_pdf(weights, means[:, features], block, X[:, features])

    found = conditional_log_density(params, X[:, chosen], X[:, targets], chosen, targets)
    expected = log_density(both) - log_density(chosen)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(mixtures)
@settings(max_examples=40, deadline=None)
def test_order_of_components_does_not_matter(shape):
    rng = np.random.default_rng(shape[0])
    params, _ = random_mixture(rng, *shape[1:])
    order = rng.permutation(shape[2])
    covariances = params.components.covariances
    if not isinstance(covariances, TiedCovariances):
        others = () if not isinstance(covariances, SphericalCovariances) else (shape[3],)
        covariances = type(covariances)(covariances.values[order], *others)
    permuted = MixtureParameters(
        params.weights[order], GaussianComponents(params.components.means[order], covariances)
    )
    chosen, _ = split(rng, shape[3])
    X = rng.standard_normal((3, chosen.size))
    one = condition(params, chosen, X[0])
    other = condition(permuted, chosen, X[0])
    np.testing.assert_allclose(other.weights, one.weights[order], rtol=1e-10)
    np.testing.assert_allclose(other.components.means, one.components.means[order], rtol=1e-10)
    one, other = (predict_conditional(each, X, chosen) for each in (params, permuted))
    np.testing.assert_allclose(other.mean, one.mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(other.covariance, one.covariance, rtol=1e-10, atol=1e-12)


# -- against sums on a grid -----------------------------------------------------------------------

# Far beyond the tails, and so fine that sums of smooth densities are integrals to rounding.
GRID = np.linspace(-25.0, 25.0, 1001)
STEP = GRID[1] - GRID[0]


@pytest.mark.parametrize("structure", ALL)
def test_marginal_is_the_integral_of_the_joint(structure):
    rng = np.random.default_rng(1)
    params, joint = random_mixture(rng, structure, 3, 3)
    points = 2.0 * rng.standard_normal((5, 2))
    whole = np.empty((5, GRID.size, 3))
    whole[:, :, [2, 0]] = points[:, None, :]
    whole[:, :, 1] = GRID
    integral = np.exp(log_pdf(*joint, whole.reshape(-1, 3))).reshape(5, -1).sum(axis=1) * STEP
    found = log_pdf(*plain(marginal(params, [2, 0])), points)
    np.testing.assert_allclose(np.exp(found), integral, rtol=1e-10)


@pytest.mark.parametrize("structure", ALL)
def test_condition_is_the_joint_normalized(structure):
    rng = np.random.default_rng(2)
    params, joint = random_mixture(rng, structure, 3, 3)
    values = np.array([0.7, -1.3])
    line = np.column_stack([np.full(GRID.size, values[1]), GRID, np.full(GRID.size, values[0])])
    density = np.exp(log_pdf(*joint, line))
    found = np.exp(log_pdf(*plain(condition(params, [2, 0], values)), GRID[:, None]))
    np.testing.assert_allclose(found, density / (density.sum() * STEP), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("structure", ALL)
def test_regression_is_that_of_the_joint_on_a_grid(structure):
    rng = np.random.default_rng(3)
    params, (weights, means, matrices) = random_mixture(rng, structure, 3, 4)
    kept = [3, 0, 2]
    X = 2.0 * rng.standard_normal((4, 1))
    # Given feature 3; targets 0 and 2; feature 1 integrated out, by leaving its row and column out.
    coarse = np.linspace(-20.0, 20.0, 201)
    left, right = (axis.ravel() for axis in np.meshgrid(coarse, coarse))
    moments = predict_conditional(params, X, given=3, targets=[0, 2])
    for i, value in enumerate(X[:, 0]):
        plane = np.column_stack([np.full(left.size, value), left, right])
        block = matrices[:, kept][:, :, kept]
        mass = np.exp(log_pdf(weights, means[:, kept], block, plane))
        mass /= mass.sum()
        mean = mass @ plane[:, 1:]
        deviations = plane[:, 1:] - mean
        np.testing.assert_allclose(moments.mean[i], mean, rtol=1e-8, atol=1e-8)
        covariance = (mass[:, None] * deviations).T @ deviations
        np.testing.assert_allclose(moments.covariance[i], covariance, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("structure", ALL)
def test_many_rows_are_as_one_by_one(structure):
    rng = np.random.default_rng(4)
    params, _ = random_mixture(rng, structure, 4, 5)
    # More rows than are held at a time: each holds 5 · 4 + 9 numbers.
    X = 3.0 * rng.standard_normal((20_000, 2))
    mean, covariance = predict_conditional(params, X, [4, 1], [0, 3, 2])
    np.testing.assert_array_equal(conditional_mean(params, X, [4, 1], [0, 3, 2]), mean)
    for i in (0, 9_039, 19_999):
        one = predict_conditional(params, X[i : i + 1], [4, 1], [0, 3, 2])
        np.testing.assert_allclose(mean[i], one.mean[0], rtol=1e-12)
        np.testing.assert_allclose(covariance[i], one.covariance[0], rtol=1e-12, atol=1e-14)
        whole = condition(params, [4, 1], X[i])
        weights, means, _ = plain(whole)
        np.testing.assert_allclose((weights @ means)[[0, 2, 1]], mean[i], rtol=1e-10)


# -- structures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", ALL)
def test_structures_are_kept(structure):
    params, (_, _, matrices) = random_mixture(np.random.default_rng(5), structure, 3, 4)
    kept = CLASSES.get(structure, FullCovariances)
    for result in (marginal(params, [3, 1]), condition(params, [0, 2], [0.5, 1.0])):
        assert type(result.components.covariances) is kept
        assert result.components.covariances.n_components == 3
        assert result.components.covariances.n_features == 2
    np.testing.assert_allclose(dense_of(params.components.covariances), matrices, rtol=1e-12)


def test_dense_takes_the_matrices_of_a_structure_that_has_them():
    class WithMatrices(SharedAxes):
        matrices = property(lambda self: np.stack([np.diag(row) for row in self.values]))

    WithMatrices.__abstractmethods__ = frozenset()
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(dense_of(WithMatrices(values))[1], np.diag([3.0, 4.0]))


# -- far out, and close to singular ---------------------------------------------------------------


@pytest.mark.parametrize("distance", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("structure", ALL)
def test_weights_are_right_where_all_densities_underflow(structure, distance):
    means = np.array([[-1e-2 / 8.0, 0.0], [1e-2 / 8.0, 1.0]])
    covariances = {
        "full": lambda: FullCovariances(np.array([[[1.0, 0.5], [0.5, 2.0]]] * 2)),
        "tied": lambda: TiedCovariances(np.array([[[1.0, 0.5], [0.5, 2.0]]]), 2),
        "diag": lambda: DiagonalCovariances(np.array([[1.0, 3.0], [1.0, 3.0]])),
        "spherical": lambda: SphericalCovariances(np.ones((2, 1)), 2),
        "shared axes": lambda: SharedAxes(np.ones((2, 2))),
    }[structure]()
    log_odds = np.longdouble(distance) * np.longdouble(means[1, 0] - means[0, 0])
    # Weights that leave odds of three to one; at the last distance no weight of doubles does.
    odds = float(3.0 * np.exp(-log_odds)) if distance < 1e5 else 1.0
    weights = np.array([1.0, odds]) / (1.0 + odds)
    params = MixtureParameters(weights, GaussianComponents(means, covariances))
    assert norm.pdf(distance) == 0.0
    found = condition(params, 0, distance).weights
    exact = log_odds + np.log(np.longdouble(weights[1])) - np.log(np.longdouble(weights[0]))
    # A rounding of the squared distance is what the log odds can be known to.
    tolerance = 8.0 * np.finfo(float).eps * distance**2 + 1e-12
    assert np.log(found[1]) == pytest.approx(float(-np.log1p(np.exp(-exact))), abs=tolerance)
    assert found.sum() == pytest.approx(1.0, rel=1e-14)


def test_far_out_the_widest_component_takes_all():
    components = GaussianComponents(
        np.array([[0.0, 1.0], [1e4, 2.0]]), DiagonalCovariances(np.array([[4.0, 1.0], [1.0, 1.0]]))
    )
    params = MixtureParameters(np.array([1e-9, 1.0 - 1e-9]), components)
    np.testing.assert_array_equal(condition(params, 0, 1e100).weights, [1.0, 0.0])
    mean, covariance = predict_conditional(params, [[-1e100], [1e4]], given=0)
    np.testing.assert_array_equal(mean, [[1.0], [2.0]])
    np.testing.assert_allclose(covariance[:, 0, 0], 1.0)


def test_conditional_density_keeps_its_digits_far_out():
    covariances = FullCovariances(np.array([[[1.0, 0.5], [0.5, 1.0]]]))
    params = MixtureParameters(np.ones(1), GaussianComponents(np.zeros((1, 2)), covariances))
    x = 2.0**30
    found = conditional_log_density(params, [[x]], [[0.5 * x + 1.0]], given=0)
    # N(y; x/2, 3/4) at y = x/2 + 1: of an x whose square has no digits left for it.
    expected = -0.5 * (math.log(2.0 * math.pi * 0.75) + 1.0 / 0.75)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_conditional_variance_of_features_that_are_almost_equal(structure):
    # y = x + 1e-6 z: of Σ_yy − Σ_yx Σ_xx⁻¹ Σ_xy a difference keeps four digits.
    precisions_cholesky = np.array([[1.0, -1e6], [0.0, 1e6]])
    if structure == "full":
        precisions_cholesky = precisions_cholesky[None]
    covariances = CLASSES[structure].from_precisions_cholesky(precisions_cholesky, 1, 2)
    params = MixtureParameters(np.ones(1), GaussianComponents(np.zeros((1, 2)), covariances))
    rest = condition(params, 0, 3.0)
    assert rest.components.covariances.variances[0, 0] == pytest.approx(1e-12, rel=1e-9, abs=0.0)
    assert rest.components.means[0, 0] == pytest.approx(3.0, rel=1e-14)
    # Var x = 1, Var y = 1 + 1e-12: given y, the variance of x is 1e-12 / (1 + 1e-12).
    exact = Fraction(1, 10**12) / (1 + Fraction(1, 10**12))
    rest = condition(params, 1, 3.0)
    assert rest.components.covariances.variances[0, 0] == pytest.approx(
        float(exact), rel=1e-9, abs=0.0
    )


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_marginal_of_features_that_are_almost_equal(structure):
    # x, y = x + 1e-6 z and w = x + u: of Σ the determinant of x and y keeps four digits.
    factor = np.array([[1.0, 0.0, 0.0], [1.0, 1e-6, 0.0], [1.0, 0.0, 1.0]])
    precisions_cholesky = np.linalg.inv(factor).T
    if structure == "full":
        precisions_cholesky = precisions_cholesky[None]
    covariances = CLASSES[structure].from_precisions_cholesky(precisions_cholesky, 1, 3)
    params = MixtureParameters(np.ones(1), GaussianComponents(np.zeros((1, 3)), covariances))
    for features in ([0, 1], [1, 0]):
        found = marginal(params, features).components.covariances.log_determinants
        np.testing.assert_allclose(found, math.log(1e-12), atol=1e-9)


def test_features_of_very_unlike_scales():
    scales = np.array([1e-9, 1.0, 1e9])
    rng = np.random.default_rng(6)
    matrix = random_covariance(rng, 3)

    def params(scales):
        covariances = FullCovariances((matrix * np.outer(scales, scales))[None])
        return MixtureParameters(np.ones(1), GaussianComponents(scales[None], covariances))

    scaled = condition(params(scales), [2, 0], [2e9, -1e-9])
    unit = condition(params(np.ones(3)), [2, 0], [2.0, -1.0])
    np.testing.assert_allclose(scaled.components.means, unit.components.means, rtol=1e-11)
    found, expected = (p.components.covariances.variances for p in (scaled, unit))
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_a_component_of_weight_zero_stays_so():
    params, _ = random_mixture(np.random.default_rng(7), "full", 2, 2)
    params = MixtureParameters(np.array([0.0, 1.0]), params.components)
    np.testing.assert_array_equal(condition(params, 0, 0.3).weights, [0.0, 1.0])
    only = MixtureParameters(
        np.ones(1),
        GaussianComponents(
            params.components.means[1:], FullCovariances(params.components.covariances.values[1:])
        ),
    )
    found, expected = (predict_conditional(each, [[0.3]], 0) for each in (params, only))
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-12)


# -- what cannot be used --------------------------------------------------------------------------

BAD_FEATURES = [
    ([], "at least one feature"),
    ([0, 0], "at most once"),
    ([0, 3], "indices from 0 to 2"),
    ([-1], "indices from 0 to 2"),
    ([0.5], "indices or names"),
    ("width", "no names"),
    ([True, False], "mask of 3 entries"),
]


@pytest.mark.parametrize(("features", "message"), BAD_FEATURES)
def test_features_that_there_are_not(features, message):
    params, _ = random_mixture(np.random.default_rng(8), "full", 2, 3)
    with pytest.raises(ValueError, match=f"features: .*{message}"):
        marginal(params, features)
    with pytest.raises(ValueError, match=f"features: .*{message}"):
        condition(params, features, np.zeros(np.size(features)))
    with pytest.raises(ValueError, match=f"given: .*{message}"):
        predict_conditional(params, np.zeros((1, np.size(features))), features)


def test_conditioning_that_leaves_nothing_or_too_much():
    params, _ = random_mixture(np.random.default_rng(9), "full", 2, 3)
    with pytest.raises(ValueError, match="got all 3"):
        condition(params, [0, 1, 2], np.zeros(3))
    with pytest.raises(ValueError, match="feature 1, which is in both"):
        predict_conditional(params, np.zeros((1, 2)), [0, 1], [1, 2])
    with pytest.raises(ValueError, match="values: expected shape"):
        condition(params, [0, 1], [0.0])
    with pytest.raises(ValueError, match="values: expected finite"):
        condition(params, 0, np.nan)
    with pytest.raises(ValueError, match=r"X_given: expected shape \(n_rows, 2\)"):
        predict_conditional(params, np.zeros((1, 3)), [0, 1])
    with pytest.raises(ValueError, match=r"X_given: expected finite numbers, .* in row 1"):
        predict_conditional(params, [[0.0], [np.inf]], 0)
    with pytest.raises(ValueError, match="X_targets: expected shape"):
        conditional_log_density(params, [[0.0]], [[0.0]], 0)
    with pytest.raises(ValueError, match="squared distance"):
        condition(params, 0, 1e200)
    singular = GaussianComponents(np.zeros((1, 2)), FullCovariances(np.ones((1, 2, 2))))
    with pytest.raises(ValueError, match="singular"):
        condition(MixtureParameters(np.ones(1), singular), 0, 1.0)


def test_marginal_of_all_features_only_reorders():
    params, (weights, means, matrices) = random_mixture(np.random.default_rng(10), "full", 2, 3)
    found = plain(marginal(params, [2, 0, 1]))
    np.testing.assert_array_equal(found[0], weights)
    np.testing.assert_array_equal(found[1], means[:, [2, 0, 1]])
    np.testing.assert_allclose(found[2], matrices[:, [2, 0, 1]][:, :, [2, 0, 1]], rtol=1e-13)


# -- divergence -----------------------------------------------------------------------------------


def closed_form(p, q):
    """KL between two normal densities."""
    (mean_p, matrix_p), (mean_q, matrix_q) = p, q
    shift, inverse = mean_q - mean_p, np.linalg.inv(matrix_q)
    logs = np.linalg.slogdet(matrix_q)[1] - np.linalg.slogdet(matrix_p)[1]
    return 0.5 * (np.trace(inverse @ matrix_p) + shift @ inverse @ shift - shift.size + logs)


def random_density(rng, structure, n_components, n_features):
    """A fitted estimator, whose start was random, and weights, means and matrices."""
    params, plain = random_mixture(rng, structure, n_components, n_features)
    covariances = params.components.covariances
    mixture = GaussianMixture(
        n_components,
        covariance_type=structure,
        weights_init=params.weights,
        means_init=params.components.means,
        precisions_init=covariances.precisions,
        max_iter=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(rng.standard_normal((n_components + 1, n_features))), plain


@pytest.mark.parametrize("structures", [("full", "diag"), ("tied", "full"), ("spherical", "full")])
@pytest.mark.parametrize("seed", range(3))
def test_divergence_of_single_normals(structures, seed):
    rng = np.random.default_rng(seed)
    (p, (_, mean_p, matrix_p)), (q, (_, mean_q, matrix_q)) = (
        random_density(rng, structure, 1, 3) for structure in structures
    )
    estimate, standard_error = p.kl_divergence(q, 20_000, seed)
    exact = closed_form((mean_p[0], matrix_p[0]), (mean_q[0], matrix_q[0]))
    assert abs(estimate - exact) < 4.0 * standard_error
    assert 0.0 < standard_error < 0.1 * exact


def test_divergence_of_mixtures_is_the_integral():
    rng = np.random.default_rng(11)
    p, plain_p = random_density(rng, "diag", 3, 1)
    q, plain_q = random_density(rng, "spherical", 2, 1)
    log_p, log_q = log_pdf(*plain_p, GRID[:, None]), log_pdf(*plain_q, GRID[:, None])
    exact = STEP * np.sum(np.exp(log_p) * (log_p - log_q))
    estimate, standard_error = p.kl_divergence(q, 50_000, 0)
    assert abs(estimate - exact) < 4.0 * standard_error


def test_standard_error_is_the_spread_of_the_estimates():
    rng = np.random.default_rng(12)
    p, _ = random_density(rng, "full", 2, 2)
    q, _ = random_density(rng, "full", 3, 2)
    runs = [p.kl_divergence(q, 500, seed) for seed in range(300)]
    spread = np.std([run.estimate for run in runs], ddof=1)
    # The relative standard error of a spread from 300 runs is 4 %.
    assert np.mean([run.standard_error for run in runs]) == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_divergence_from_itself_is_zero(structure):
    density, _ = random_density(np.random.default_rng(13), structure, 3, 2)
    assert density.kl_divergence(density, 100, 0) == (0.0, 0.0)


def test_divergence_of_other_families():
    X = np.array([[1.0], [3.0], [5.0]])
    p, q = PoissonMixture().fit(X), PoissonMixture().fit(X + 2.0)
    found = p.kl_divergence(q, 20_000, 0)
    exact = 3.0 * math.log(3.0 / 5.0) + 5.0 - 3.0
    assert abs(found.estimate - exact) < 4.0 * found.standard_error


def test_divergences_that_cannot_be_taken():
    rng = np.random.default_rng(14)
    p, _ = random_density(rng, "full", 2, 2)
    q, _ = random_density(rng, "full", 2, 3)
    with pytest.raises(ValueError, match="density of the same features, 2, got one of 3"):
        p.kl_divergence(q)
    with pytest.raises(ValueError, match="n_samples"):
        p.kl_divergence(p, 1)


# -- the estimator --------------------------------------------------------------------------------


@pytest.fixture(params=STRUCTURES)
def fitted(request, iris):
    return Density(3, covariance_type=request.param, random_state=0).fit(iris)


@pytest.fixture
def frame(iris):
    return pd.DataFrame(iris, columns=["a", "b", "c", "d"])


@pytest.fixture
def named(frame):
    return Density(3, random_state=0).fit(frame)


def public(mixture):
    matrices = dense(mixture.covariance_type, mixture.covariances_, *mixture.means_.shape)
    return mixture.weights_, mixture.means_, matrices


def test_marginal_is_a_fitted_mixture(fitted, iris):
    found = fitted.marginal([3, 1])
    weights, means, matrices = public(fitted)
    assert type(found) is Density
    assert found.covariance_type == fitted.covariance_type
    assert found.n_features_in_ == 2
    block = matrices[:, [3, 1]][:, :, [3, 1]]
    X = iris[:, [3, 1]]
    expected = log_pdf(weights, means[:, [3, 1]], block, X)
    np.testing.assert_allclose(found.score_samples(X), expected, rtol=1e-9)
    posterior = mixture_posterior(
        np.log(weights), gaussian_log_densities(X, means[:, [3, 1]], block)
    )
    np.testing.assert_allclose(found.predict_proba(X), posterior, rtol=1e-8, atol=1e-12)
    precisions = dense(found.covariance_type, found.precisions_, 3, 2)
    np.testing.assert_allclose(precisions @ public(found)[2], [np.eye(2)] * 3, atol=1e-9)
    assert found.bic(X) == pytest.approx(
        -2.0 * expected.sum() + found.model_.n_parameters(found.params_) * np.log(len(X))
    )
    assert found.sample(5)[0].shape == (5, 2)


def test_condition_is_a_fitted_mixture(fitted, iris):
    found = fitted.condition({1: 0.3, 3: -1.0})
    assert type(found) is Density
    assert found.n_features_in_ == 2
    assert found.covariance_type == fitted.covariance_type
    X = iris[:20].copy()
    X[:, 1], X[:, 3] = 0.3, -1.0
    _, means, matrices = public(fitted)
    block = matrices[:, [1, 3]][:, :, [1, 3]]
    given = log_pdf(fitted.weights_, means[:, [1, 3]], block, np.array([[0.3, -1.0]]))
    expected = log_pdf(*public(fitted), X) - given
    np.testing.assert_allclose(found.score_samples(X[:, [0, 2]]), expected, rtol=1e-9, atol=1e-9)
    again = fitted.condition([-1.0, 0.3], features=[3, 1])
    np.testing.assert_allclose(again.means_, found.means_, rtol=1e-12)


def test_predictions_are_means_of_conditionals(fitted, iris):
    mean, covariance = fitted.predict_conditional(
        iris[:7, [2, 0]], given=[2, 0], targets=[3, 1], return_cov=True
    )
    assert mean.shape == (7, 2)
    assert covariance.shape == (7, 2, 2)
    for i in range(7):
        rest = fitted.condition(iris[i, [2, 0]], features=[2, 0])
        weights, means, matrices = public(rest)
        expected = weights @ means
        np.testing.assert_allclose(mean[i], expected[::-1], rtol=1e-9)
        deviations = means - expected
        total = np.einsum("k,kij->ij", weights, matrices)
        total += np.einsum("k,ki,kj->ij", weights, deviations, deviations)
        np.testing.assert_allclose(covariance[i], total[::-1, ::-1], rtol=1e-8, atol=1e-12)
    alone = fitted.predict_conditional(iris[:7, [2, 0]], given=[2, 0], targets=[3, 1])
    np.testing.assert_array_equal(alone, mean)


def test_conditional_scores_add_to_the_joint(fitted, iris):
    rest = fitted.conditional_score_samples(iris, given=[1, 3])
    given = fitted.marginal([1, 3]).score_samples(iris[:, [1, 3]])
    np.testing.assert_allclose(rest + given, fitted.score_samples(iris), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("structure", KNOWN)
def test_every_structure_is_a_density(structure, iris):
    gm = GaussianMixture(3, covariance_type=structure, random_state=0).fit(iris)
    given = gm.marginal([1, 3]).score_samples(iris[:, [1, 3]])
    rest = gm.conditional_score_samples(iris, given=[1, 3])
    np.testing.assert_allclose(rest + given, gm.score_samples(iris), rtol=1e-9, atol=1e-9)
    conditional = gm.condition(iris[7, [1, 3]], features=[1, 3])
    density = conditional.score_samples(iris[7:8, [0, 2]])
    np.testing.assert_allclose(density, rest[7], rtol=1e-9, atol=1e-9)


def test_features_by_name(named, frame):
    found = named.marginal(["d", "a"])
    assert found.feature_names_in_.tolist() == ["d", "a"]
    np.testing.assert_array_equal(found.means_, named.means_[:, [3, 0]])
    found.score_samples(frame[["d", "a"]])
    with pytest.raises(ValueError, match="feature names"):
        found.score_samples(frame[["a", "b"]])
    np.testing.assert_array_equal(
        named.marginal([False, True, False, True]).means_, named.means_[:, [1, 3]]
    )
    rest = named.condition({"c": 1.0, "a": 0.0})
    assert rest.feature_names_in_.tolist() == ["b", "d"]
    from_series = named.condition(pd.Series({"a": 0.0, "c": 1.0}))
    np.testing.assert_allclose(from_series.means_, rest.means_, rtol=1e-12)
    # Columns by name, whatever their order and whatever else there is; or by position.
    mean = named.predict_conditional(frame, given=["c", "a"], targets="b")
    by_position = named.predict_conditional(frame[["c", "a"]].to_numpy(), given=[2, 0], targets=1)
    np.testing.assert_array_equal(mean, by_position)
    with pytest.raises(ValueError, match=r"columns \['c', 'a'\].*'a' is not there"):
        named.predict_conditional(frame[["c", "b"]], given=["c", "a"])


def test_features_that_the_estimator_has_not(named, iris):
    for method in (
        named.marginal,
        lambda features: named.condition(np.zeros(np.size(features)), features),
        lambda features: named.predict_conditional(iris, given=features),
        lambda features: named.predict_conditional(iris[:, :1], given=3, targets=features),
    ):
        for features, message in [
            ("width", r"expected some of \['a', 'b', 'c', 'd'\], got 'width'"),
            (["a", 0], "at most once"),
            ([4], "from 0 to 3"),
            ([], "at least one"),
        ]:
            with pytest.raises(ValueError, match=message):
                method(features)
    with pytest.raises(ValueError, match="got all 4"):
        named.condition(dict.fromkeys("abcd", 0.0))
    with pytest.raises(ValueError, match="a mapping from features to values"):
        named.condition([1.0])
    with pytest.raises(ValueError, match="expected 2 columns"):
        named.predict_conditional(iris, given=[0, 1])
    with pytest.raises(ValueError, match="NaN"):
        named.predict_conditional([[np.nan]], given=0)


def test_unfitted_ones_say_so():
    mixture = Density()
    for use in (
        lambda: mixture.marginal(0),
        lambda: mixture.condition({0: 1.0}),
        lambda: mixture.predict_conditional([[0.0]], given=0),
        lambda: mixture.conditional_score_samples([[0.0, 1.0]], given=0),
        lambda: mixture.kl_divergence(mixture),
    ):
        with pytest.raises(NotFittedError):
            use()


def test_what_tells_of_a_fit_is_left_behind(iris):
    start = Density(3, random_state=0).fit(iris)
    whole = Density(
        3,
        weights_init=start.weights_,
        means_init=start.means_,
        precisions_init=start.precisions_,
        init_params=start.predict_proba(iris),
        warm_start=True,
        prior=NormalInverseWishart(mean=np.zeros(4)),
        fixed={"means": [0]},
    ).fit(iris)
    part = whole.marginal([0, 1])
    of_a_fit = {"converged_", "n_iter_", "trace_", "status_", "lower_bound_", "restarts_"}
    assert of_a_fit <= set(vars(whole))
    assert not of_a_fit & set(vars(part))
    assert whole.means_init is start.means_
    loaded = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(
        loaded.score_samples(iris[:, :2]), part.score_samples(iris[:, :2])
    )
    with pytest.raises(NotFittedError):
        clone(part).predict(iris[:, :2])
    # Nothing of the old start stands in the way of a new fit.
    assert part.fit(iris[:100, :2]).converged_


def test_marginal_of_a_marginal_and_condition_of_a_condition(fitted, iris):
    np.testing.assert_allclose(
        fitted.marginal([3, 1, 0]).marginal([2, 1]).score_samples(iris[:, [0, 1]]),
        fitted.marginal([0, 1]).score_samples(iris[:, [0, 1]]),
        rtol=1e-10,
    )
    twice = fitted.condition({0: 0.1}).condition({0: 0.2})
    once = fitted.condition({0: 0.1, 1: 0.2})
    np.testing.assert_allclose(twice.weights_, once.weights_, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(twice.means_, once.means_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(public(twice)[2], public(once)[2], rtol=1e-9, atol=1e-12)


def test_single_precision_stays_so(iris):
    small = Density(2, random_state=0).fit(iris.astype(np.float32))
    assert small.marginal([0, 1]).means_.dtype == np.float32
    assert small.condition({0: 0.0}).covariances_.dtype == np.float32
    X = iris[:5, :1].astype(np.float32)
    mean, covariance = small.predict_conditional(X, given=0, return_cov=True)
    assert mean.dtype == covariance.dtype == np.float32
    large = Density(2, random_state=0).fit(iris)
    expected = large.predict_conditional(iris[:5, :1], given=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-2, atol=1e-2)


def test_divergence_of_estimators(iris, named, frame):
    one = Density(1).fit(iris)
    other = SklearnGaussianMixture(1, covariance_type="diag").fit(iris)
    exact = closed_form(
        (one.means_[0], one.covariances_[0]), (other.means_[0], np.diag(other.covariances_[0]))
    )
    estimate, standard_error = one.kl_divergence(other, 20_000, random_state=0)
    assert abs(estimate - exact) < 4.0 * standard_error
    assert named.kl_divergence(named, 100) == (0.0, 0.0)
    # Features of the same names are the same features, in whatever order.
    reordered = named.marginal(["d", "b", "a", "c"])
    assert named.kl_divergence(reordered, 100).estimate == pytest.approx(0.0, abs=1e-12)
    again = one.kl_divergence(other, 20_000, random_state=0)
    assert again == (estimate, standard_error)
    with pytest.raises(ValueError, match="density of the same features"):
        named.kl_divergence(named.marginal(["a", "b"]))
    with pytest.raises(ValueError, match="density of the same features"):
        named.kl_divergence(Density().fit(frame.rename(columns={"a": "z"})))


def test_a_density_that_excludes_what_is_drawn(iris):
    one = Density(1).fit(iris)
    counts = PoissonMixture(1).fit(np.abs(iris).round())

    class Excluding(type(counts)):
        def score_samples(self, X):
            return np.where(np.asarray(X)[:, 0] > 0.0, -1.0, -np.inf)

    counts.__class__ = Excluding
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate, standard_error = one.kl_divergence(counts, 100)
    assert estimate == np.inf
    assert math.isnan(standard_error)


def test_oracle_agrees_with_textbook_regression():
    """The matrices that the tests stand on: one normal density is linear regression."""
    matrix = np.array([[2.0, 0.6], [0.6, 1.0]])
    params = MixtureParameters(
        np.ones(1), GaussianComponents(np.array([[1.0, -1.0]]), FullCovariances(matrix[None]))
    )
    X = np.array([[0.0], [4.0]])
    mean, covariance = predict_conditional(params, X, given=0)
    np.testing.assert_allclose(mean, -1.0 + 0.3 * (X - 1.0), rtol=1e-14)
    np.testing.assert_allclose(covariance[:, 0, 0], 1.0 - 0.18, rtol=1e-14)
    slice_ = multivariate_normal([1.0, -1.0], matrix).pdf(np.column_stack([np.zeros(1001), GRID]))
    assert mean[0, 0] == pytest.approx(slice_ @ GRID / slice_.sum(), rel=1e-10)

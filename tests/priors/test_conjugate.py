"""The conjugate prior: scipy's densities, mclust's figures, data where likelihood collapses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from oracles import STRUCTURES, Data, clusters, dense, gaussian_log_densities, mixture_log_density
from scipy.optimize import minimize
from scipy.stats import invgamma, invwishart, multivariate_normal
from sklearn.datasets import load_iris

from em_toolkit import GaussianMixture, NormalInverseWishart, NormalMeans
from em_toolkit.data import Block
from em_toolkit.datasets import load_faithful
from em_toolkit.engine import ELBODecreaseError, Rows, Status
from em_toolkit.estimators.gaussian_mixture import STRUCTURES as CLASSES
from em_toolkit.families import Gaussian, GaussianComponents
from em_toolkit.kernels import choice
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.priors import ConjugatePrior, Moments
from em_toolkit.testing import ModelCheckError, check_maximize

FAITHFUL: Data = load_faithful().data
IRIS: Data = load_iris().data
SPECIES: Data = load_iris().target
LONG: Data = (FAITHFUL[:, 0] > 3).astype(int)
EXACT: dict[str, Any] = {"tol": 1e-15, "max_iter": 20_000, "reg_covar": 0.0}


@pytest.fixture(params=STRUCTURES)
def structure(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def prior_of(structure: str, X: Data, n_components: int, **hyperparameters: Any) -> ConjugatePrior:
    moments = Moments.of(Rows(X))
    prior = NormalInverseWishart(**hyperparameters)
    return prior.for_data(moments, CLASSES[structure], n_components)


def scipy_log_prior(
    structure: str, means: Data, matrices: Data, dof: float, scale: Data, kappa: float, center: Data
) -> float:
    """By scipy's normal, inverse-Wishart and inverse-gamma densities; one of what is shared."""
    log_prior = 0.0
    for k, (mean, matrix) in enumerate(zip(means, matrices, strict=True)):
        if kappa > 0.0:
            log_prior += multivariate_normal(center, matrix / kappa).logpdf(mean)
        if structure == "tied" and k > 0:
            continue
        variances = np.diag(matrix)
        if structure in ("full", "tied"):
            log_prior += invwishart(dof, scale).logpdf(matrix)
        elif structure == "diag":
            log_prior += invgamma(dof / 2, scale=np.diag(scale) / 2).logpdf(variances).sum()
        else:
            of_all = np.trace(scale) / len(scale)
            log_prior += invgamma(dof / 2, scale=of_all / 2).logpdf(variances[0])
    return log_prior


def random_params(
    structure: str, rng: np.random.Generator, n_components: int = 3, d: int = 3
) -> MixtureParameters[GaussianComponents]:
    cls = CLASSES[structure]
    factors = rng.standard_normal((n_components, d, d + 2))
    scatter = sum(cls.outer(factors[:, :, j].copy(), factors[:, :, j].copy()) for j in range(d + 2))
    covariances = cls.from_scatter(np.asarray(scatter), np.full(n_components, 3.0), d)
    means = rng.standard_normal((n_components, d))
    return MixtureParameters(
        np.full(n_components, 1.0 / n_components), GaussianComponents(means, covariances)
    )


# -- the density ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [0.0, 0.01, 2.5])
@pytest.mark.parametrize("d", [1, 3])
def test_the_log_prior_is_scipys_but_for_a_constant(structure: str, kappa: float, d: int) -> None:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((d, d + 2))
    scale, dof, center = factor @ factor.T, d + 0.7, rng.standard_normal(d)
    given = {"mean": center} if kappa else {}
    X = rng.standard_normal((20, d))
    prior = prior_of(structure, X, 3, shrinkage=kappa, dof=dof, scale=scale, **given)
    model = Mixture(Gaussian(CLASSES[structure], prior))
    differences = []
    for _ in range(10):
        params = random_params(structure, rng, 3, d)
        matrices = dense(structure, params.components.covariances.sklearn_array, 3, d)
        theirs = scipy_log_prior(
            structure, params.components.means, matrices, dof, scale, kappa, center
        )
        differences.append(model.log_prior(params) - theirs)
    np.testing.assert_allclose(differences, differences[0], rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_bound_is_the_score_and_the_prior(structure: str) -> None:
    hyperparameters: dict[str, Any] = {
        "dof": 7.0, "scale": np.diag([0.3, 20.0]), "shrinkage": 0.5, "mean": [3.0, 70.0]
    }  # fmt: skip
    excess = []
    for seed, max_iter in [(0, 0), (0, 3), (1, 50)]:
        fit = GaussianMixture(
            3, covariance_type=structure, prior=NormalInverseWishart(**hyperparameters),
            reg_covar=0.0, random_state=seed, max_iter=max_iter,
        ).fit(FAITHFUL)  # fmt: skip
        matrices = dense(structure, fit.covariances_, 3, 2)
        log_prior = scipy_log_prior(
            structure, fit.means_, matrices, 7.0, np.diag([0.3, 20.0]), 0.5, np.array([3.0, 70.0])
        )
        excess.append(272 * (fit.lower_bound_ - fit.score(FAITHFUL)) - log_prior)
        log_densities = gaussian_log_densities(FAITHFUL, fit.means_, matrices)
        plain = mixture_log_density(np.log(fit.weights_), log_densities).mean()
        assert fit.score(FAITHFUL) == pytest.approx(plain, rel=1e-12)
        p = fit.bic(FAITHFUL) + 2 * 272 * plain
        assert p / np.log(272) == pytest.approx(fit.model_.n_parameters(fit.params_), rel=1e-9)
    np.testing.assert_allclose(excess, excess[0], rtol=0, atol=1e-8)


def test_no_optimizer_improves_the_fit() -> None:
    """On two components of one feature, with an objective that knows of scipy alone."""
    x = FAITHFUL[:, :1]
    prior = NormalInverseWishart(shrinkage=3.0, mean=[3.0], dof=5.0, scale=0.4)
    fit = GaussianMixture(2, prior=prior, random_state=0, **EXACT).fit(x)

    def objective(vector: Data) -> float:
        share, means = 1 / (1 + np.exp(-vector[0])), vector[1:3][:, None]
        matrices = np.exp(vector[3:])[:, None, None]
        log_weights = np.log([share, 1 - share])
        likelihood = mixture_log_density(log_weights, gaussian_log_densities(x, means, matrices))
        log_prior = scipy_log_prior(
            "full", means, matrices, 5.0, np.array([[0.4]]), 3.0, np.array([3.0])
        )
        return -float(likelihood.sum() + log_prior)

    share = fit.weights_[0]
    found = np.r_[np.log(share / (1 - share)), fit.means_.ravel(), np.log(fit.covariances_.ravel())]
    best = minimize(objective, found, method="BFGS", options={"gtol": 1e-7})
    assert objective(found) - best.fun < 1e-7
    np.testing.assert_allclose(best.x, found, rtol=0, atol=1e-4)
    # Maximum likelihood is elsewhere.
    plain = GaussianMixture(2, random_state=0, **EXACT).fit(x)
    assert np.abs(plain.means_ - fit.means_).max() > 1e-3


def test_a_prior_of_the_means_alone(structure: str) -> None:
    """Its density is scipy's, the bound has it, and no optimizer finds better means."""
    center, V = np.array([0.0, 100.0]), np.array([[0.05, 0.1], [0.1, 9.0]])
    fit = GaussianMixture(
        2, covariance_type=structure, prior=NormalMeans(center, V), random_state=0, **EXACT
    ).fit(FAITHFUL)
    matrices = dense(structure, fit.covariances_, 2, 2)

    def objective(means: Data) -> float:
        means = means.reshape(2, 2)
        densities = gaussian_log_densities(FAITHFUL, means, matrices)
        likelihood = mixture_log_density(np.log(fit.weights_), densities).sum()
        return -float(likelihood + multivariate_normal(center, V).logpdf(means).sum())

    normalized = 2 * multivariate_normal(center, V).logpdf(center)
    top = objective(fit.means_.ravel())
    assert 272 * fit.lower_bound_ == pytest.approx(-top - normalized, rel=1e-11)
    best = minimize(objective, fit.means_.ravel(), method="BFGS", options={"gtol": 1e-6})
    assert top - best.fun < 1e-6
    plain = GaussianMixture(2, covariance_type=structure, random_state=0, **EXACT).fit(FAITHFUL)
    assert np.abs(plain.means_ - fit.means_).max() > 0.05
    with pytest.raises(ValueError, match="symmetric, positive-definite"):
        GaussianMixture(2, prior=NormalMeans(center, [1.0, 2.0])).fit(FAITHFUL)
    with pytest.raises(ValueError, match="covariance of the data is singular"):
        GaussianMixture(2, prior=NormalMeans()).fit(np.c_[FAITHFUL, np.ones(272)])


# -- mclust ---------------------------------------------------------------------------------------

# me(X, modelName, unmap(labels), prior = priorControl(),
#    control = emControl(tol = c(1e-14, 1e-14), itmax = c(5000, 5000)))$loglik of mclust 6.0.0,
# with X = faithful and labels eruptions > 3, and X = iris[, 1:4] and labels Species.
FAITHFUL_FIGURES = {
    "full": -1130.509263671, "tied": -1140.260935482, "diag": -1229.215689930,
    "spherical": -1709.580829607,
}  # fmt: skip
IRIS_FIGURES = {
    "full": -192.695283865, "tied": -257.739376609, "diag": -312.904087069,
    "spherical": -384.478676216,
}  # fmt: skip


def conjugate_fit(structure: str, X: Data, labels: Data, prior: Any = "conjugate") -> Any:
    start = np.eye(labels.max() + 1)[labels]
    return GaussianMixture(
        start.shape[1], covariance_type=structure, prior=prior, init_params=start, **EXACT
    ).fit(X)


def test_mclusts_log_likelihoods(structure: str) -> None:
    """To what EM has left to go when it stops: 1e-6 nats in all."""
    geyser = conjugate_fit(structure, FAITHFUL, LONG)
    assert 272 * geyser.score(FAITHFUL) == pytest.approx(FAITHFUL_FIGURES[structure], abs=1e-6)
    flowers = conjugate_fit(structure, IRIS, SPECIES)
    assert 150 * flowers.score(IRIS) == pytest.approx(IRIS_FIGURES[structure], abs=1e-6)


def test_mclusts_parameters() -> None:
    """Those of faithful, VVV."""
    fit = conjugate_fit("full", FAITHFUL, LONG)
    np.testing.assert_allclose(fit.weights_, [0.356075729483, 0.643924270517], atol=1e-7)
    means = [[2.03703413779, 54.48526503111], [4.2900518575, 79.9728328252]]
    np.testing.assert_allclose(fit.means_, means, rtol=1e-7)
    covariances = [
        [[0.0706689210841, 0.474768639576], [0.4747686395764, 32.060484426664]],
        [[0.165608532038, 0.931411206209], [0.931411206209, 34.906364296235]],
    ]
    np.testing.assert_allclose(fit.covariances_, covariances, rtol=1e-6)


def test_mclusts_figures_with_other_hyperparameters() -> None:
    """prior = priorControl(shrinkage = 1, mean = c(3, 70), scale = diag(c(.5, 30)))."""
    prior = NormalInverseWishart(shrinkage=1.0, mean=[3.0, 70.0], scale=np.diag([0.5, 30.0]))
    fit = conjugate_fit("full", FAITHFUL, LONG, prior)
    assert 272 * fit.score(FAITHFUL) == pytest.approx(-1130.853879857, abs=1e-6)
    # One feature: mclust's models V and E.
    one = FAITHFUL[:, :1]
    for structure, figure in [("full", -276.396313758), ("tied", -287.309151117)]:
        fit = conjugate_fit(structure, one, LONG)
        assert 272 * fit.score(one) == pytest.approx(figure, abs=1e-6)


def test_without_shrinkage_the_means_have_no_prior() -> None:
    """N_k + ν + d + 1 in the denominator, as in mclust's mstep(); its me() has one more."""
    prior = NormalInverseWishart(shrinkage=0.0)
    fit = GaussianMixture(
        2, prior=prior, reg_covar=0.0, init_params=np.eye(2)[LONG], max_iter=0
    ).fit(FAITHFUL)
    # mstep(X, "VVV", z, prior = priorControl(shrinkage = 0)): that of the rows is left alone.
    rows = FAITHFUL[LONG == 0]
    np.testing.assert_allclose(fit.means_[0], rows.mean(axis=0), rtol=1e-13)
    expected = (np.cov(FAITHFUL.T) / 2 + np.cov(rows.T) * (len(rows) - 1)) / (len(rows) + 7)
    np.testing.assert_allclose(fit.covariances_[0], expected, rtol=1e-12)


# -- where the likelihood has no maximum ----------------------------------------------------------


def collapses(mixture: GaussianMixture, X: Data) -> bool:
    """Whether a component shrinks onto a point, at the start or later."""
    try:
        return mixture.fit(X).status_ is Status.COLLAPSED
    except ValueError as error:
        return "some components have ill-defined empirical covariance" in str(error)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_duplicated_points(structure: str) -> None:
    """Clouds, and a value repeated: without a prior, a component shrinks onto it."""
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((150, 2))
    X = np.vstack([cloud, np.repeat([[4.0, 4.0]], 30, axis=0), cloud[:100] * 0.5 + [8.0, -2.0]])
    groups = np.repeat([0, 1, 2], [150, 30, 100])
    parameters: dict[str, Any] = {
        "covariance_type": structure, "reg_covar": 0.0, "init_params": np.eye(3)[groups],
        "tol": 1e-8, "max_iter": 1000,
    }  # fmt: skip
    assert collapses(GaussianMixture(3, **parameters), X)
    fit = GaussianMixture(3, prior="conjugate", **parameters).fit(X)
    assert fit.converged_
    np.testing.assert_array_equal(fit.predict(X), groups)
    matrices = dense(structure, fit.covariances_, 3, 2)
    assert np.linalg.eigvalsh(matrices).min() > 0.01
    np.testing.assert_allclose(fit.means_[1], [4.0, 4.0], atol=0.01)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random"])
def test_rounded_data_from_any_start(init_params: str) -> None:
    """Eight components on a grid of few points: maximum likelihood collapses in most seeds."""
    rng = np.random.default_rng(1)
    X = np.round(rng.standard_normal((120, 2)) * 1.5)
    collapsed = 0
    for seed in range(6):
        parameters: dict[str, Any] = {
            "reg_covar": 0.0, "init_params": init_params, "random_state": seed, "max_iter": 500
        }  # fmt: skip
        collapsed += collapses(GaussianMixture(8, **parameters), X)
        fit = GaussianMixture(8, prior="conjugate", **parameters).fit(X)
        assert fit.converged_
        assert np.isfinite(fit.score(X))
        assert np.linalg.eigvalsh(fit.covariances_).min() > 1e-3
    assert collapsed >= 5


def test_a_component_without_data_is_where_its_prior_is_highest(structure: str) -> None:
    prior = prior_of(structure, FAITHFUL, 3, shrinkage=0.5)
    start = GaussianMixture(3, covariance_type=structure, random_state=0).fit(FAITHFUL)
    fit = GaussianMixture(
        3, covariance_type=structure, prior=NormalInverseWishart(shrinkage=0.5), reg_covar=0.0,
        weights_init=[0.5, 0.5, 0.0], means_init=start.means_, precisions_init=start.precisions_,
        tol=1e-12, max_iter=5000,
    ).fit(FAITHFUL)  # fmt: skip
    assert fit.weights_[2] == 0.0
    np.testing.assert_allclose(fit.means_[2], FAITHFUL.mean(axis=0), rtol=1e-12)
    if structure != "tied":
        mode = dense(structure, fit.covariances_, 3, 2)[2]
        np.testing.assert_allclose(mode, prior.scale / prior.pseudo_count, rtol=1e-9, atol=1e-12)


# -- hyperparameters ------------------------------------------------------------------------------


def test_moments_of_complete_rows() -> None:
    for offset in (0.0, 1e8):
        X = np.round(IRIS * 1024) / 1024 + offset
        moments = Moments.of(Rows(X, block_size=40))
        np.testing.assert_allclose(moments.mean, (X - offset).mean(axis=0) + offset, rtol=1e-15)
        np.testing.assert_allclose(moments.covariance, np.cov((X - offset).T), rtol=1e-7, atol=1e-8)
    counts = np.random.default_rng(0).integers(0, 4, 150)
    weighted, repeated = Moments.of(Rows(IRIS, counts)), np.repeat(IRIS, counts, axis=0)
    np.testing.assert_allclose(weighted.covariance, np.cov(repeated.T), rtol=1e-12)
    np.testing.assert_allclose(weighted.mean, repeated.mean(axis=0), rtol=1e-14)
    assert weighted.weight == len(repeated)


def test_moments_of_observed_entries() -> None:
    X = IRIS.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    moments = Moments.of(Rows(X, block_size=40))
    np.testing.assert_allclose(moments.mean, np.nanmean(X, axis=0), rtol=1e-13)
    deviations = X - np.nanmean(X, axis=0)
    both = deviations[:, 0] * deviations[:, 2]
    expected = np.nansum(both) / (np.isfinite(both).sum() - 1)
    assert moments.covariance[0, 2] == pytest.approx(expected, rel=1e-12)


def test_a_singular_covariance_of_the_data_is_replaced_by_its_diagonal() -> None:
    few = np.random.default_rng(0).standard_normal((4, 6))
    prior = prior_of("full", few, 2)
    np.testing.assert_allclose(prior.scale, np.diag(few.var(axis=0, ddof=1)) / 2 ** (1 / 3))
    fit = GaussianMixture(2, reg_covar=0.0, prior="conjugate", random_state=0).fit(few)
    assert np.linalg.eigvalsh(fit.covariances_).min() > 0.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_whole_weights_are_repeated_rows(structure: str) -> None:
    counts = np.random.default_rng(1).integers(0, 4, 150)
    rows = np.repeat(np.arange(150), counts)
    start = np.random.default_rng(2).dirichlet(np.ones(3), 150)
    parameters: dict[str, Any] = {
        "covariance_type": structure, "prior": "conjugate", "max_iter": 10, "tol": 1e-3,
        "weight_concentration": 2.0,
    }  # fmt: skip
    weighted = GaussianMixture(3, init_params=start, **parameters).fit(IRIS, sample_weight=counts)
    repeated = GaussianMixture(3, init_params=start[rows], **parameters).fit(IRIS[rows])
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-9, atol=1e-11)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-11)
    # Unlike maximum likelihood: a prior counts rows.
    twice = GaussianMixture(3, init_params=start, **parameters).fit(
        IRIS, sample_weight=2.0 * counts
    )
    assert np.abs(twice.covariances_ - weighted.covariances_).max() > 1e-4


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"dof": 1.0}, r"expected dof > 1 for 2 features, got 1.0. None is 4"),
        ({"dof": np.nan}, "expected dof"),
        ({"shrinkage": -1.0}, "expected shrinkage >= 0, got -1.0"),
        ({"mean": [1.0]}, "expected a mean of 2 finite numbers"),
        ({"mean": [1.0, np.inf]}, "expected a mean of 2 finite numbers"),
        ({"mean": [1.0, 1.0], "shrinkage": 0.0}, "has no effect. Give a positive shrinkage"),
        ({"scale": -1.0}, "symmetric, positive-definite matrix of shape .2, 2."),
        ({"scale": [[1.0, 2.0], [2.0, 1.0]]}, "positive-definite"),
        ({"scale": [[1.0, 0.5], [0.0, 1.0]]}, "symmetric"),
        ({"scale": [1.0, 2.0]}, "positive-definite"),
        ({"scale": np.nan}, "positive-definite"),
    ],
)
def test_hyperparameters_that_define_no_prior(
    hyperparameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, prior=NormalInverseWishart(**hyperparameters)).fit(FAITHFUL)


def test_weights_that_do_not_count_rows() -> None:
    """Those that sum to one, say: half a row more would be half of the data."""
    weights = np.full(272, 1.0 / 272)
    with pytest.raises(ValueError, match="expected weights that count rows, got a sum of weights"):
        GaussianMixture(2, prior="conjugate").fit(FAITHFUL, sample_weight=weights)
    given = NormalInverseWishart(scale=1.0)
    fit = GaussianMixture(2, prior=given, random_state=0).fit(FAITHFUL, sample_weight=weights)
    assert np.isfinite(fit.lower_bound_)


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="The 'prior' parameter"):
        GaussianMixture(2, prior="wishart").fit(FAITHFUL)


# -- through the other ways of a fit --------------------------------------------------------------


def test_the_compiled_loops_serve_it(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from em_toolkit.kernels.gaussian_mixture import CompiledGaussianMixture

    parameters: dict[str, Any] = {
        "covariance_type": structure, "prior": "conjugate", "weight_concentration": 3.0,
        "fixed": {"weights": [0], "means": [1]}, "random_state": 0, "max_iter": 15, "tol": 0.0,
    }  # fmt: skip
    with pytest.warns(Warning, match="did not converge"):
        plain = GaussianMixture(3, **parameters).fit(IRIS)
    monkeypatch.setattr(choice, "WORTH_COMPILING", 0)
    mixture = GaussianMixture(3, **parameters)
    model = choice.plan(mixture._model_for(IRIS, None), 150, 4, 3).model
    assert isinstance(model, CompiledGaussianMixture)
    with pytest.warns(Warning, match="did not converge"):
        mixture.fit(IRIS)
    np.testing.assert_allclose(mixture.covariances_, plain.covariances_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(mixture.lower_bounds_, plain.lower_bounds_, rtol=1e-10)


@pytest.mark.parametrize("acceleration", ["squarem", "quasi_newton"])
def test_accelerated(acceleration: str) -> None:
    X = clusters(np.random.default_rng(5), 300, 2, 3, apart=1.0)
    settings: dict[str, Any] = {"prior": "conjugate", "random_state": 0, "tol": 1e-9}
    plain = GaussianMixture(3, max_iter=20_000, **settings).fit(X)
    fast = GaussianMixture(3, max_iter=20_000, acceleration=acceleration, **settings).fit(X)
    assert fast.n_passes_ < plain.n_passes_
    assert fast.lower_bound_ > plain.lower_bound_ - 1e-6


def test_with_missing_entries_and_labels(structure: str) -> None:
    X = IRIS.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    labels = np.where(np.arange(150) % 10 == 0, SPECIES, -1)
    fit = GaussianMixture(
        3, covariance_type=structure, prior="conjugate", reg_covar=0.0, random_state=0, tol=1e-6,
        max_iter=1000,
    ).fit(X, sample_labels=labels)  # fmt: skip
    assert fit.converged_
    assert (np.diff(fit.trace_.elbo) > -1e-12).all()
    assert (fit.trace_.log_prior != 0.0).all()


# -- broken on purpose ----------------------------------------------------------------------------


def _one_step(structure: str, prior: ConjugatePrior, params: Any, family: Any = Gaussian) -> None:
    X = np.random.default_rng(3).standard_normal((40, 3))
    model = Mixture(family(CLASSES[structure], prior))
    check_maximize(model, params, Block(X, np.ones(40)), np.random.default_rng(4))


class OneRowTooMany(Gaussian):
    """An M-step that divides by N_k + c + 1."""

    def maximize(self, components: Any, stats: Any) -> Any:
        more = replace(self.prior, pseudo_count=self.prior.pseudo_count + 1.0)  # type: ignore
        return Gaussian(self.structure, more).maximize(components, stats)


class ShrunkenTwice(Gaussian):
    """An M-step that shrinks the means twice as much as the density says."""

    def maximize(self, components: Any, stats: Any) -> Any:
        more = replace(self.prior, shrinkage=2.0 * self.prior.shrinkage)  # type: ignore
        return Gaussian(self.structure, more).maximize(components, stats)


class ForgottenMeans(Gaussian):
    """A density without the term of the means."""

    def log_prior(self, components: Any, weights: Any) -> float:
        bare = replace(self.prior, shrinkage=0.0)  # type: ignore
        return bare.log_density(components.means, components.covariances, weights)


@pytest.mark.parametrize("broken", [OneRowTooMany, ShrunkenTwice, ForgottenMeans])
def test_a_wrong_prior_is_caught(structure: str, broken: type[Gaussian]) -> None:
    rng = np.random.default_rng(2)
    prior = prior_of(structure, rng.standard_normal((30, 3)), 3, shrinkage=2.0, mean=[1.0, 0, 2.0])
    params = random_params(structure, rng)
    _one_step(structure, prior, params)
    with pytest.raises(ModelCheckError):
        _one_step(structure, prior, params, broken)


def test_a_prior_left_out_of_the_bound_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class LeftOut(Gaussian):
        def log_prior(self, components: Any, weights: Any) -> float:
            return 0.0

    best = GaussianMixture(2, random_state=0, **EXACT).fit(FAITHFUL)
    mixture = GaussianMixture(
        2, prior="conjugate", weights_init=best.weights_, means_init=best.means_,
        precisions_init=best.precisions_,
    )  # fmt: skip
    mixture.fit(FAITHFUL)
    monkeypatch.setattr("em_toolkit.estimators.gaussian_mixture.Gaussian", LeftOut)
    with pytest.raises(ELBODecreaseError):
        mixture.fit(FAITHFUL)

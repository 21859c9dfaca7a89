"""PPCA: known figures, EM against the closed form, scikit-learn's PCA and brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import Data
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from em_toolkit import PPCA
from em_toolkit.data import Block
from em_toolkit.engine import Rows
from em_toolkit.models import PPCAParameters, ProbabilisticPCA

IRIS: Data = load_iris().data
SOLVERS = ["closed_form", "em"]
DATA: dict[str, Data] = {
    "iris": IRIS,
    "wine": StandardScaler().fit_transform(load_wine().data),
    "breast cancer": StandardScaler().fit_transform(load_breast_cancer().data),
    "forty digits": load_digits().data[:40],
    "twenty rows": np.random.default_rng(0).standard_normal((20, 50)) * np.geomspace(5, 1, 50),
}


def exact(n_components: int, solver: str = "em", **parameters: Any) -> PPCA:
    """A PPCA whose EM goes on until nothing changes: the bound is flat at its maximum, and an
    error δ of the parameters costs it δ² only."""
    settings = {"tol": 0.0, "max_iter": 1500, "random_state": 0} | parameters
    return PPCA(n_components, solver=solver, **settings)


@pytest.fixture(params=SOLVERS)
def solver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# -- known figures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_components", "log_likelihood", "noise_variance"),
    [(1, -470.669458, 0.1141391), (2, -404.962780, 0.0506821), (3, -379.914630, 0.0236762)],
)
def test_known_figures_of_iris(
    solver: str, n_components: int, log_likelihood: float, noise_variance: float
) -> None:
    fit = PPCA(n_components, solver=solver, tol=1e-13, random_state=0).fit(IRIS)
    assert 150 * fit.score(IRIS) == pytest.approx(log_likelihood, rel=0, abs=5e-7)
    assert 150 * fit.lower_bound_ == pytest.approx(log_likelihood, rel=0, abs=5e-7)
    assert fit.noise_variance_ == pytest.approx(noise_variance, rel=0, abs=5e-8)


# -- EM, closed form, scikit-learn ----------------------------------------------------------------


# How many iterations EM needs until its last digits stand still.
CASES = [
    ("iris", 1, 1000), ("iris", 2, 1000), ("iris", 3, 2000), ("wine", 1, 300), ("wine", 4, 700),
    ("breast cancer", 2, 700), ("forty digits", 2, 500), ("twenty rows", 1, 1200),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "n_components", "max_iter", "weighted"),
    [(*case, False) for case in CASES] + [("iris", 2, 1000, True), ("forty digits", 2, 700, True)],
)
def test_em_reaches_the_closed_form(
    name: str, n_components: int, max_iter: int, weighted: bool
) -> None:
    X = DATA[name]
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(X)) if weighted else None
    em = exact(n_components, max_iter=max_iter).fit(X, sample_weight=weights)
    closed = exact(n_components, "closed_form").fit(X, sample_weight=weights)
    projectors = [fit.components_.T @ fit.components_ for fit in (em, closed)]
    np.testing.assert_allclose(*projectors, rtol=0.0, atol=1e-10)
    assert em.noise_variance_ == pytest.approx(closed.noise_variance_, rel=1e-10)
    assert em.lower_bound_ == pytest.approx(closed.lower_bound_, rel=1e-12)
    np.testing.assert_allclose(em.get_covariance(), closed.get_covariance(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(em.loadings_, closed.loadings_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(em.mean_, closed.mean_, rtol=1e-13, atol=1e-14)
    # And no step of the way went down: bound_check="raise" watched it.
    assert em.trace_.bounds[0] < em.trace_.bounds[-1]
    assert np.diff(em.trace_.elbo).min() > -1e-11


def test_the_default_tol_is_enough_for_the_evidence() -> None:
    em = PPCA(2, solver="em", random_state=0).fit(IRIS)
    assert em.converged_
    assert em.lower_bound_ == pytest.approx(PPCA(2).fit(IRIS).lower_bound_, rel=0, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_every_start_reaches_the_same_representative(seed: int) -> None:
    """The likelihood leaves a rotation of z open; the estimator does not."""
    X = DATA["wine"]
    fit = exact(3, random_state=seed, max_iter=300).fit(X)
    reference = exact(3, "closed_form").fit(X)
    np.testing.assert_allclose(fit.components_, reference.components_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.transform(X), reference.transform(X), rtol=0, atol=1e-8)


def as_maximum_likelihood(pca: PCA) -> PCA:
    """scikit-learn's PCA with its covariance divided by n, where it divides by n − 1."""
    ratio = (pca.n_samples_ - 1) / pca.n_samples_
    pca.explained_variance_ = ratio * pca.explained_variance_
    pca.noise_variance_ = ratio * pca.noise_variance_
    return pca


@pytest.mark.parametrize(
    ("name", "n_components", "solver"),
    [(name, n_components, "closed_form") for name, n_components, _ in CASES]
    + [("iris", 2, "em"), ("wine", 2, "em"), ("forty digits", 2, "em")],
)
def test_against_scikit_learn(name: str, n_components: int, solver: str) -> None:
    X = DATA[name]
    ours = exact(n_components, solver, max_iter=800).fit(X)
    theirs = as_maximum_likelihood(PCA(n_components, svd_solver="full").fit(X))
    # scikit-learn averages the noise over the min(n, d) − q singular values that there are, not
    # over all d − q directions: with fewer rows than features it defines another model.
    wide = X.shape[0] < X.shape[1]
    if wide:
        theirs.noise_variance_ *= (X.shape[0] - n_components) / (X.shape[1] - n_components)
    assert ours.noise_variance_ == pytest.approx(theirs.noise_variance_, rel=1e-8)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-8)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-8)
    close = {"rtol": 1e-8, "atol": 1e-8}
    np.testing.assert_allclose(ours.get_covariance(), theirs.get_covariance(), **close)
    np.testing.assert_allclose(ours.get_precision(), theirs.get_precision(), **close)
    np.testing.assert_allclose(ours.components_, theirs.components_, **close)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, **close)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, **close)
    ratios = theirs.explained_variance_ratio_
    np.testing.assert_allclose(ours.explained_variance_ratio_, ratios, **close)
    assert ours.n_components_ == theirs.n_components_
    assert ours.n_samples_ == theirs.n_samples_


# -- the density, by brute force ------------------------------------------------------------------


@pytest.fixture
def fitted() -> PPCA:
    return PPCA(2).fit(IRIS)


def test_covariance_and_precision(fitted: PPCA) -> None:
    covariance = fitted.get_covariance()
    expected = fitted.loadings_ @ fitted.loadings_.T + fitted.noise_variance_ * np.eye(4)
    np.testing.assert_allclose(covariance, expected, rtol=1e-14)
    np.testing.assert_allclose(fitted.get_precision() @ covariance, np.eye(4), atol=1e-13)
    np.testing.assert_allclose(
        fitted.get_precision(), np.linalg.inv(covariance), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_the_marginal_density_is_scipys(solver: str, n_components: int) -> None:
    fit = exact(n_components, solver, max_iter=50).fit(IRIS)
    X = np.vstack([IRIS, 10.0 * IRIS])
    oracle = multivariate_normal(fit.mean_, fit.get_covariance())
    np.testing.assert_allclose(fit.score_samples(X), oracle.logpdf(X), rtol=1e-11)
    assert fit.score(X) == pytest.approx(oracle.logpdf(X).mean(), rel=1e-11)


def test_the_marginal_density_is_the_integral_over_z() -> None:
    fit = PPCA(1).fit(IRIS)
    std = np.sqrt(fit.noise_variance_)
    for x in IRIS[::30]:

        def joint(z: float, x: Data = x) -> float:
            mean = fit.mean_ + fit.loadings_[:, 0] * z
            return float(norm.pdf(z) * norm.pdf(x, mean, std).prod())

        peak = fit.transform(x[None])[0, 0]
        density, _ = quad(joint, -12, 12, points=[peak], epsabs=0, epsrel=1e-12, limit=500)
        assert fit.score_samples(x[None])[0] == pytest.approx(np.log(density), rel=1e-10)


def test_the_marginal_density_is_the_integral_over_the_plane_of_z(fitted: PPCA) -> None:
    """On a grid finer than the posterior, where the trapezoidal rule is exact for Gaussians."""
    step = 0.04
    assert np.sqrt(np.linalg.eigvalsh(fitted.posterior(IRIS)[1]).min()) > 1.5 * step
    points = np.arange(-6.0, 6.0, step)
    z = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2)
    log_prior = norm.logpdf(z).sum(axis=1)
    means = fitted.mean_ + z @ fitted.loadings_.T
    std = np.sqrt(fitted.noise_variance_)
    for x in IRIS[::30]:
        log_joint = norm.logpdf(x, means, std).sum(axis=1) + log_prior
        log_density = np.log(step**2 * np.exp(log_joint).sum())
        # The rule errs by exp(−2 π² (σ/step)²) of the integral, the edge by exp(−6²/2).
        assert fitted.score_samples(x[None])[0] == pytest.approx(log_density, rel=1e-6)


def test_the_posterior_by_explicit_matrices(fitted: PPCA) -> None:
    W, noise = fitted.loadings_, fitted.noise_variance_
    # From the joint Gaussian of (x, z), not by M = WᵀW + σ²I.
    gain = W.T @ np.linalg.inv(W @ W.T + noise * np.eye(4))
    means, covariance = fitted.posterior(IRIS)
    np.testing.assert_allclose(means, (IRIS - fitted.mean_) @ gain.T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariance, np.eye(2) - gain @ W, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(fitted.transform(IRIS), means)
    assert covariance.shape == (2, 2)


def test_inverse_transform(fitted: PPCA) -> None:
    z = np.random.default_rng(2).standard_normal((7, 2))
    expected = fitted.mean_ + z @ fitted.loadings_.T
    np.testing.assert_allclose(fitted.inverse_transform(z), expected, rtol=1e-14)
    # What comes back from z is shrunken towards the prior, along each axis by 1 − σ²/λ.
    shrink = 1.0 - fitted.noise_variance_ / fitted.explained_variance_
    np.testing.assert_allclose(fitted.transform(expected), z * shrink, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="expects 2 columns, one for each component, got 4"):
        fitted.inverse_transform(IRIS)


def test_with_little_noise_the_rows_come_back() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((100, 2)) @ rng.standard_normal((2, 6)) + 3.0
    X += 1e-6 * rng.standard_normal(X.shape)
    fit = PPCA(2).fit(X)
    assert fit.noise_variance_ == pytest.approx(1e-12, rel=0.3)
    np.testing.assert_allclose(fit.inverse_transform(fit.transform(X)), X, rtol=0, atol=1e-5)


def test_moments_of_samples() -> None:
    n = 50_000
    fit = PPCA(2, random_state=4).fit(IRIS)
    X, latent = fit.sample(n)
    assert X.shape == (n, 4)
    assert latent.shape == (n, 2)
    covariance = fit.get_covariance()
    variances = np.diag(covariance)
    assert (np.abs(X.mean(axis=0) - fit.mean_) < 5 * np.sqrt(variances / n)).all()
    spread = np.sqrt((np.outer(variances, variances) + covariance**2) / n)
    assert (np.abs(np.cov(X.T) - covariance) < 5 * spread).all()
    # The latent variables that are returned are those of the rows.
    assert (np.abs(latent.T @ latent / n - np.eye(2)) < 5 * np.sqrt((1 + np.eye(2)) / n)).all()
    residuals = X - fit.inverse_transform(latent)
    noise = fit.noise_variance_
    assert np.square(residuals).mean() == pytest.approx(noise, rel=5 * np.sqrt(2 / (4 * n)))
    with pytest.raises(ValueError, match="at least one sample"):
        fit.sample(0)


@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_free_parameters_are_counted_without_rotations(n_components: int) -> None:
    """The number of directions in which the mean and the covariance can go."""
    params = PPCAParameters(
        np.ones(5), np.random.default_rng(11).standard_normal((5, n_components)), 0.7
    )

    def density(vector: Data) -> Data:
        moved = params.from_vector(vector)
        covariance = moved.loadings @ moved.loadings.T + moved.noise_variance * np.eye(5)
        return np.concatenate([moved.mean, covariance.ravel()])

    vector, step = params.to_vector(), 1e-5
    moves = step * np.eye(vector.size)
    jacobian = [(density(vector + move) - density(vector - move)) / (2 * step) for move in moves]
    # Differences err by 1e-10; the directions that there are have slopes of 0.1 and more.
    rank = np.linalg.matrix_rank(jacobian, tol=1e-6)
    assert ProbabilisticPCA().n_parameters(params) == rank
    assert vector.size - rank == n_components * (n_components - 1) // 2


# -- compression ----------------------------------------------------------------------------------


def seen_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of every block that the model is given from now on."""
    seen: list[int] = []
    original: Callable[..., Any] = ProbabilisticPCA.posterior

    def posterior(self: Any, params: Any, X: Data) -> Any:
        seen.append(X.shape[0])
        return original(self, params, X)

    monkeypatch.setattr(ProbabilisticPCA, "posterior", posterior)
    return seen


@pytest.mark.parametrize("n_rows", [9, 40, 150])
def test_iterations_do_not_see_the_rows(monkeypatch: pytest.MonkeyPatch, n_rows: int) -> None:
    seen = seen_rows(monkeypatch)
    fit = PPCA(2, solver="em", max_iter=25, tol=0.0, random_state=0).fit(IRIS[:n_rows])
    assert len(seen) == 26
    assert max(seen) <= 2 * 4
    assert fit.n_passes_ == 1
    assert fit.n_iter_ == 25


def test_the_bound_of_the_compressed_rows_is_that_of_the_data(solver: str) -> None:
    for weights in (np.ones(150), np.random.default_rng(7).uniform(0.1, 3.0, 150)):
        fit = PPCA(2, solver=solver, max_iter=7, random_state=0).fit(IRIS, sample_weight=weights)
        log_density = multivariate_normal(fit.mean_, fit.get_covariance()).logpdf(IRIS)
        expected = np.average(log_density, weights=weights)
        assert fit.lower_bound_ == pytest.approx(expected, rel=1e-12)
        assert fit.trace_.log_evidence[-1] == pytest.approx(expected, rel=1e-12)


def test_em_on_all_rows_takes_the_same_path() -> None:
    """The engine on the data themselves, from the same start."""
    from em_toolkit.engine.em import em
    from em_toolkit.linalg.principal_axes import principal_axes
    from em_toolkit.linalg.weighted_rows import WeightedRows
    from em_toolkit.models.probabilistic_pca import random_start

    weights = np.random.default_rng(8).uniform(0.5, 2.0, 150)
    centred = IRIS - weights @ IRIS / weights.sum()
    axes = principal_axes(WeightedRows(IRIS, weights), 2, complete=True)
    block = Block(*axes.rows())
    assert block.X.shape == (8, 4)
    assert block.weights.sum() == pytest.approx(weights.sum(), rel=1e-14)
    np.testing.assert_allclose(block.weights @ block.X, 0.0, atol=1e-11)
    np.testing.assert_allclose(
        (block.weights[:, None] * block.X).T @ block.X,
        (weights[:, None] * centred).T @ centred,
        rtol=1e-12,
        atol=1e-11,
    )
    start = random_start(axes, 2, np.random.default_rng(9))
    fits = [
        em(ProbabilisticPCA(), start, blocks, max_iter=30, tol=0.0)
        for blocks in ([block], Rows(centred, weights))
    ]
    np.testing.assert_allclose(fits[0].trace.elbo, fits[1].trace.elbo, rtol=1e-12)
    np.testing.assert_allclose(fits[0].params.loadings, fits[1].params.loadings, rtol=0, atol=1e-11)

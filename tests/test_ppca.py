"""PPCA: known figures, EM against the closed form, scikit-learn's PCA and brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles import Data
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from em_toolkit import PPCA, Status
from em_toolkit.engine import Rows
from em_toolkit.models import ProbabilisticPCA

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


def on_its_way(n_components: int, solver: str) -> PPCA:
    """A PPCA whose EM is cut short: for what holds of every iterate."""
    return exact(n_components, solver, max_iter=50)


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


# -- weights, shift, scale ------------------------------------------------------------------------


def assert_same(a: PPCA, b: PPCA, rtol: float = 1e-10) -> None:
    for name in ("mean_", "loadings_", "components_", "explained_variance_", "noise_variance_"):
        one, other = getattr(a, name), getattr(b, name)
        size = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=rtol * size, err_msg=name)
    np.testing.assert_allclose(a.explained_variance_ratio_, b.explained_variance_ratio_, rtol=rtol)


def test_whole_weights_are_repeated_rows(solver: str) -> None:
    counts = np.random.default_rng(5).integers(0, 4, 150)
    weighted = on_its_way(2, solver).fit(IRIS, sample_weight=counts)
    repeated = on_its_way(2, solver).fit(np.repeat(IRIS, counts, axis=0))
    assert_same(weighted, repeated)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-12)
    score = weighted.score(IRIS, sample_weight=counts)
    assert score == pytest.approx(repeated.score(np.repeat(IRIS, counts, axis=0)), rel=1e-12)


def test_a_row_of_weight_zero_is_absent(solver: str) -> None:
    weights = np.ones(150)
    weights[::3] = 0.0
    X = IRIS.copy()
    X[::3] = 1e12
    left_out = on_its_way(2, solver).fit(X, sample_weight=weights)
    assert_same(left_out, on_its_way(2, solver).fit(IRIS[weights > 0]), rtol=1e-14)
    assert left_out.n_samples_ == 100


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_only_the_proportions_of_weights_matter(solver: str, factor: float) -> None:
    weights = np.random.default_rng(6).uniform(0.5, 2.0, 150)
    one = on_its_way(2, solver).fit(IRIS, sample_weight=weights)
    other = on_its_way(2, solver).fit(IRIS, sample_weight=factor * weights)
    assert_same(other, one)
    assert other.lower_bound_ == pytest.approx(one.lower_bound_, rel=1e-12)


def test_an_offset_of_1e8_moves_the_mean_and_nothing_else(solver: str) -> None:
    """Iris in tenths of a centimetre are whole numbers, which no offset rounds."""
    whole = np.round(10.0 * IRIS)
    near, far = (on_its_way(2, solver).fit(whole + offset) for offset in (0.0, 1e8))
    # The mean is rounded to the spacing of numbers at 1e8; what is about it is not.
    np.testing.assert_allclose(far.mean_ - 1e8, near.mean_, rtol=0, atol=1.5e-8)
    for name in ("loadings_", "noise_variance_", "explained_variance_", "components_"):
        one, other = getattr(far, name), getattr(near, name)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9, err_msg=name)
    assert far.lower_bound_ == pytest.approx(near.lower_bound_, rel=1e-12)
    latent = [near.transform(whole), far.transform(whole + 1e8)]
    np.testing.assert_allclose(*latent, rtol=0, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e8])
def test_a_scale_scales_the_parameters(solver: str, scale: float) -> None:
    unit, scaled = on_its_way(2, solver).fit(IRIS), on_its_way(2, solver).fit(scale * IRIS)
    np.testing.assert_allclose(scaled.loadings_, scale * unit.loadings_, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(scaled.mean_, scale * unit.mean_, rtol=1e-13)
    assert scaled.noise_variance_ == pytest.approx(scale**2 * unit.noise_variance_, rel=1e-10)
    bound = unit.lower_bound_ - 4 * np.log(scale)
    assert scaled.lower_bound_ == pytest.approx(bound, rel=1e-12)
    np.testing.assert_allclose(
        scaled.transform(scale * IRIS), unit.transform(IRIS), rtol=0, atol=1e-9
    )


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
    from em_toolkit.models.probabilistic_pca import Block, compress, random_start

    weights = np.random.default_rng(8).uniform(0.5, 2.0, 150)
    centred = IRIS - weights @ IRIS / weights.sum()
    block = compress(centred, weights)
    assert block.X.shape == (8, 4)
    assert block.weights.sum() == pytest.approx(weights.sum(), rel=1e-14)
    np.testing.assert_allclose(block.weights @ block.X, 0.0, atol=1e-11)
    np.testing.assert_allclose(
        (block.weights[:, None] * block.X).T @ block.X,
        (weights[:, None] * centred).T @ centred,
        rtol=1e-12,
        atol=1e-11,
    )
    start = random_start(Block(centred, weights), 2, np.random.default_rng(9))
    fits = [
        em(ProbabilisticPCA(), start, blocks, max_iter=30, tol=0.0)
        for blocks in ([block], Rows(centred, weights))
    ]
    np.testing.assert_allclose(fits[0].trace.elbo, fits[1].trace.elbo, rtol=1e-12)
    np.testing.assert_allclose(fits[0].params.loadings, fits[1].params.loadings, rtol=0, atol=1e-11)


# -- the rest of the surface ----------------------------------------------------------------------


def test_axes_are_orthonormal_ordered_and_signed(solver: str) -> None:
    fit = on_its_way(3, solver).fit(IRIS)
    np.testing.assert_allclose(fit.components_ @ fit.components_.T, np.eye(3), atol=1e-14)
    lengths = np.linalg.norm(fit.loadings_, axis=0)
    assert (np.diff(lengths) < 0.0).all()
    np.testing.assert_allclose(fit.loadings_, (fit.components_.T * lengths), rtol=0, atol=1e-14)
    np.testing.assert_allclose(fit.explained_variance_, lengths**2 + fit.noise_variance_)
    largest = np.abs(fit.components_).argmax(axis=1)
    assert (fit.components_[np.arange(3), largest] > 0.0).all()


def test_the_default_number_of_components() -> None:
    assert PPCA().fit(IRIS).n_components_ == 3
    # Two rows span a line: the noise gets nothing from it, so one component is all there is.
    assert PPCA().fit(DATA["twenty rows"]).n_components_ == 18


def test_status_and_ledger() -> None:
    closed = PPCA(2).fit(IRIS)
    assert closed.status_ is Status.CLOSED_FORM
    assert closed.converged_
    assert (closed.trace_.n_iter, len(closed.trace_)) == (0, 1)
    assert abs(closed.trace_.kl[0]) < 1e-14
    em = PPCA(2, solver="em", random_state=0).fit(IRIS)
    assert em.status_ is Status.CONVERGED
    assert len(em.trace_) == 2 * em.n_iter_ + 1
    assert em.lower_bounds_[-1] == em.lower_bound_ == em.trace_.bounds[-1]
    assert np.abs(em.trace_.kl[::2]).max() < 1e-13
    short = PPCA(2, solver="em", max_iter=3, tol=0.0, random_state=0)
    with pytest.warns(Warning, match="did not converge"):
        short.fit(IRIS)
    assert short.status_ is Status.MAX_ITER
    assert not short.converged_


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: PPCA(4).fit(IRIS),
            r"n_components from 1 to n_features - 1 = 3, got n_components=4 with n_features=4.*"
            r"no noise.*GaussianMixture\(n_components=1\)",
        ),
        (lambda: PPCA(7).fit(IRIS), "got n_components=7"),
        (lambda: PPCA(0).fit(IRIS), "n_components"),
        (lambda: PPCA(1).fit(IRIS[:, :1]), r"1 feature\(s\)"),
        (lambda: PPCA(1).fit(IRIS[:1]), r"minimum of 2 is required"),
        (lambda: PPCA(1, solver="svd").fit(IRIS), "'solver' parameter"),
        (lambda: PPCA(1).fit(np.where(IRIS > 7, np.nan, IRIS)), "NaN"),
        (lambda: PPCA(1).fit(IRIS, sample_weight=np.zeros(150)), "non-zero"),
        (lambda: PPCA(1).fit(IRIS, sample_weight=-np.ones(150)), "[Nn]egative"),
    ],
)
def test_bad_input_in_words(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("n_components", [2, 3])
def test_data_in_a_subspace_leave_no_noise(solver: str, n_components: int) -> None:
    rng = np.random.default_rng(10)
    X = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 5))
    with pytest.raises(ValueError, match=r"subspace|lost in rounding") as info:
        on_its_way(n_components, solver).fit(X)
    assert "Use fewer components, or remove duplicate and constant features." in str(info.value)
    # With fewer components than dimensions there is noise, and a fit.
    assert on_its_way(1, solver).fit(X).noise_variance_ > 0.01


def test_constant_data_leave_no_noise(solver: str) -> None:
    with pytest.raises(ValueError, match="noise"):
        PPCA(1, solver=solver).fit(np.full((10, 3), 7.0))


def test_a_constant_feature_is_no_obstacle(solver: str) -> None:
    X = np.column_stack([IRIS, np.full(150, 3.0)])
    fit = exact(2, solver).fit(X)
    np.testing.assert_allclose(fit.components_[:, 4], 0.0, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T, ddof=0))
    assert fit.noise_variance_ == pytest.approx(eigenvalues[:3].mean(), rel=1e-10)


def test_isotropic_data_need_no_loadings(solver: str) -> None:
    """All eigenvalues equal: the loadings vanish, and nothing divides by them."""
    X = np.vstack([np.eye(3), -np.eye(3)])
    fit = exact(1, solver, max_iter=400).fit(X)
    assert np.isfinite(fit.components_).all()
    assert np.linalg.norm(fit.components_) == pytest.approx(1.0)
    # EM comes near as slowly as 1/t.
    error = {"closed_form": 1e-15, "em": 1e-3}[solver]
    assert fit.noise_variance_ == pytest.approx(1 / 3, abs=error)
    np.testing.assert_allclose(fit.get_covariance(), np.eye(3) / 3, rtol=0, atol=2 * error)


def test_float32_in_float32_out(solver: str) -> None:
    X = IRIS.astype(np.float32)
    fit, double = on_its_way(2, solver).fit(X), on_its_way(2, solver).fit(X.astype(np.float64))
    for name in ("mean_", "loadings_", "components_", "explained_variance_"):
        value = getattr(fit, name)
        assert value.dtype == np.float32
        # Computed in double from the same numbers, but for the centre, and rounded once.
        np.testing.assert_allclose(value, getattr(double, name), rtol=3e-7, atol=3e-7)
    assert fit.transform(X).dtype == fit.score_samples(X).dtype == np.float32
    assert fit.get_covariance().dtype == fit.get_precision().dtype == np.float32
    assert fit.inverse_transform(fit.transform(X)).dtype == np.float32
    assert fit.score(X) == pytest.approx(double.score(X), rel=1e-5)


def test_float32_far_from_zero_keeps_its_digits(solver: str) -> None:
    """Whole numbers near 1e6 are exact in float32; their mean in float32 would not be."""
    whole = np.round(10.0 * IRIS)
    fit = on_its_way(2, solver).fit((whole + 1e6).astype(np.float32))
    near = on_its_way(2, solver).fit(whole)
    np.testing.assert_allclose(fit.loadings_, near.loadings_, rtol=0, atol=1e-5)
    assert fit.noise_variance_ == pytest.approx(near.noise_variance_, rel=1e-6)


def test_names_and_frames() -> None:
    frame = pd.DataFrame(IRIS, columns=["a", "b", "c", "d"])
    fit = PPCA(2).fit(frame)
    assert fit.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert fit.get_feature_names_out().tolist() == ["ppca0", "ppca1"]
    latent = clone(fit).set_output(transform="pandas").fit_transform(frame)
    assert isinstance(latent, pd.DataFrame)
    assert latent.columns.tolist() == ["ppca0", "ppca1"]
    np.testing.assert_array_equal(latent, fit.transform(frame))
    pipeline = make_pipeline(StandardScaler(), PPCA(2)).fit(IRIS)
    scaled = StandardScaler().fit_transform(IRIS)
    np.testing.assert_allclose(pipeline.transform(IRIS), PPCA(2).fit_transform(scaled), atol=1e-12)
    assert pipeline.score(IRIS) == pytest.approx(PPCA(2).fit(scaled).score(scaled))

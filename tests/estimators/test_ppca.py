"""PPCA in use: weights, origin and scale of the data, input, attributes and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles import Data
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from em_toolkit import PPCA, Status

IRIS: Data = load_iris().data
SOLVERS = ["closed_form", "em"]


def on_its_way(n_components: int, solver: str, max_iter: int = 50) -> PPCA:
    """A PPCA whose EM is cut short: for what holds of every iterate."""
    return PPCA(n_components, solver=solver, tol=0.0, max_iter=max_iter, random_state=0)


@pytest.fixture(params=SOLVERS)
def solver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
    # Of 20 rows about their mean, 19 directions are left, and one of them to the noise.
    wide = np.random.default_rng(0).standard_normal((20, 50))
    assert PPCA().fit(wide).n_components_ == 18
    assert PPCA().fit(np.repeat(wide, 4, axis=0)).n_components_ == 18
    assert PPCA().fit(IRIS, sample_weight=[1.0] * 4 + [0.0] * 146).n_components_ == 2


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
    fit = on_its_way(2, solver, max_iter=1000).fit(X)
    np.testing.assert_allclose(fit.components_[:, 4], 0.0, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T, ddof=0))
    assert fit.noise_variance_ == pytest.approx(eigenvalues[:3].mean(), rel=1e-8)


def test_isotropic_data_need_no_loadings(solver: str) -> None:
    """All eigenvalues equal: the loadings vanish, and nothing divides by them."""
    X = np.vstack([np.eye(3), -np.eye(3)])
    fit = on_its_way(1, solver, max_iter=400).fit(X)
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

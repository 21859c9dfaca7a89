"""PPCA where scikit-learn's PCA is its measure: the number of components, whitening, attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import Data
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from em_toolkit import PPCA
from em_toolkit.analysis.dimension import log_evidence

IRIS: Data = load_iris().data
TABLES: dict[str, Data] = {
    "iris": IRIS,
    "wine": StandardScaler().fit_transform(load_wine().data),
    "wine, unscaled": load_wine().data,
    "breast cancer": StandardScaler().fit_transform(load_breast_cancer().data),
    "digits": load_digits().data[:, 2:6] + np.random.default_rng(0).normal(size=(1797, 4)),
    "noise": np.random.default_rng(1).standard_normal((40, 6)),
    "wide": np.random.default_rng(2).standard_normal((15, 40)),
}
NOT_WIDE = [name for name in TABLES if name != "wide"]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 0.9])
def test_a_share_of_the_variance(name: str, share: float) -> None:
    X = TABLES[name]
    ours, theirs = PPCA(share).fit(X), PCA(share).fit(X)
    assert ours.n_components_ == theirs.n_components_
    assert ours.explained_variance_ratio_.sum() > share
    np.testing.assert_allclose(
        ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-10
    )


@pytest.mark.parametrize("solver", ["closed_form", "em"])
def test_a_share_on_either_side_of_a_component(solver: Any) -> None:
    # Variances of 4, 2 and 2: a half of the variance is one component's, and more than that two's.
    axes = np.diag([2.0, np.sqrt(2.0), np.sqrt(2.0)])
    X = np.vstack([axes, -axes])
    for share, expected in ((0.49, 1), (0.51, 2)):
        fit = PPCA(share, solver=solver, tol=1e-2, random_state=0).fit(X)
        assert fit.n_components_ == PCA(share).fit(X).n_components_ == expected


@pytest.mark.parametrize("name", NOT_WIDE)
def test_the_dimension_of_most_evidence(name: str) -> None:
    X = TABLES[name]
    fit = PPCA("mle").fit(X)
    assert fit.n_components_ == PCA("mle").fit(X).n_components_
    assert fit.n_components == "mle"


@pytest.mark.parametrize("name", NOT_WIDE)
def test_minkas_evidence_is_scikit_learns(name: str) -> None:
    """Its values too, which decide by differences: from the private function that PCA calls."""
    from sklearn.decomposition._pca import _assess_dimension

    X = TABLES[name]
    variances = np.linalg.eigvalsh(np.cov(X.T, ddof=0))[::-1]
    theirs = [_assess_dimension(variances, k, len(X)) for k in range(1, X.shape[1])]
    np.testing.assert_allclose(log_evidence(variances, len(X)), theirs, rtol=1e-9)


def test_the_dimension_of_most_evidence_finds_the_truth() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((2000, 3)) @ rng.standard_normal((3, 10))
    X += 0.1 * rng.standard_normal(X.shape)
    assert PPCA("mle").fit(X).n_components_ == 3
    assert PPCA("mle").fit(1e-9 * X).n_components_ == 3
    assert PPCA("mle").fit(1e9 * X).n_components_ == 3


def test_a_weight_of_two_is_the_row_twice_for_the_dimension() -> None:
    X = TABLES["wine"][:30]
    weights = np.full(30, 4.0)
    four_times = PPCA("mle").fit(np.repeat(X, 4, axis=0))
    assert PPCA("mle").fit(X, sample_weight=weights).n_components_ == four_times.n_components_
    assert four_times.n_components_ > PPCA("mle").fit(X).n_components_


def test_a_constant_feature_does_not_take_the_noise_away() -> None:
    X = np.column_stack([IRIS, np.full(150, 3.0)])
    assert 1 <= PPCA("mle").fit(X).n_components_ <= 3


def test_equal_variances_have_no_evidence_and_no_error() -> None:
    X = np.vstack([np.eye(4), -np.eye(4)])
    assert PPCA("mle").fit(X).n_components_ == 1


@pytest.mark.parametrize("name", TABLES)
def test_singular_values(name: str) -> None:
    X = TABLES[name]
    ours, theirs = PPCA(2).fit(X), PCA(2).fit(X)
    np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-10)


def test_singular_values_of_weighted_rows() -> None:
    counts = np.random.default_rng(5).integers(0, 4, 150)
    weighted = PPCA(2).fit(IRIS, sample_weight=counts)
    repeated = PCA(2).fit(np.repeat(IRIS, counts, axis=0))
    np.testing.assert_allclose(weighted.singular_values_, repeated.singular_values_, rtol=1e-10)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("solver", ["closed_form", "randomized"])
def test_whitening(name: str, solver: Any) -> None:
    X = TABLES[name]
    n_components = 2
    ours = PPCA(n_components, whiten=True, solver=solver, random_state=0).fit(X)
    theirs = PCA(n_components, whiten=True, svd_solver="full").fit(X)
    # The variance of the model is divided by n, where PCA's is by n - 1.
    signs = np.sign((ours.components_ * theirs.components_).sum(axis=1))
    scale = np.sqrt(len(X) / (len(X) - 1)) * signs
    atol = 1e-9 if solver == "closed_form" else 2e-3
    whitened = ours.transform(X)
    np.testing.assert_allclose(whitened, scale * theirs.transform(X), rtol=0, atol=atol)
    np.testing.assert_allclose(whitened.var(axis=0), 1.0, rtol=0, atol=atol)
    size = np.abs(X).max()
    expected = theirs.inverse_transform(theirs.transform(X))
    np.testing.assert_allclose(ours.inverse_transform(whitened), expected, rtol=0, atol=atol * size)


def test_whitening_changes_nothing_but_coordinates() -> None:
    plain, white = PPCA(2).fit(IRIS), PPCA(2, whiten=True).fit(IRIS)
    np.testing.assert_array_equal(plain.score_samples(IRIS), white.score_samples(IRIS))
    np.testing.assert_array_equal(plain.posterior(IRIS)[0], white.posterior(IRIS)[0])
    np.testing.assert_array_equal(plain.transform(IRIS), plain.posterior(IRIS)[0])
    assert white.set_params(whiten=False).transform(IRIS).tolist() == plain.transform(IRIS).tolist()


def test_whitening_in_single_precision() -> None:
    X = IRIS.astype(np.float32)
    white = PPCA(2, whiten=True).fit(X)
    assert white.transform(X).dtype == white.inverse_transform(white.transform(X)).dtype
    assert white.transform(X).dtype == np.float32


@pytest.mark.parametrize("n_components", [0, -1, 0.0, 1.0, 1.5, -0.5, np.nan, "MLE", "auto"])
def test_what_pca_refuses_is_refused(n_components: Any) -> None:
    """But 0, which PCA takes for no component at all; PPCA needs one."""
    with pytest.raises(ValueError, match=r"^The 'n_components' parameter of PPCA must be"):
        PPCA(n_components).fit(IRIS)
    if n_components != 0 or isinstance(n_components, float):
        with pytest.raises(ValueError, match=r"^The 'n_components' parameter of PCA must be"):
            PCA(n_components).fit(IRIS)


def test_the_dimension_of_most_evidence_needs_rows() -> None:
    message = "n_components='mle' is only supported if n_samples >= n_features"
    for estimator in (PPCA("mle"), PCA("mle")):
        with pytest.raises(ValueError, match=message):
            estimator.fit(TABLES["wide"])


@pytest.mark.parametrize("n_components", [0.9, "mle", None])
def test_random_vectors_need_a_number(n_components: Any) -> None:
    with pytest.raises(ValueError, match=r"expects n_components as a whole number.*Give a number"):
        PPCA(n_components, solver="randomized").fit(IRIS)


def test_a_share_that_leaves_no_noise() -> None:
    assert PCA(0.9999).fit(IRIS).n_components_ == 4
    with pytest.raises(ValueError, match=r"more than 3 component.*Give a smaller share"):
        PPCA(0.9999).fit(IRIS)

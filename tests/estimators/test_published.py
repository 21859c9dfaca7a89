"""What a fit publishes, at any condition: has factors, and is accepted as a start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg

from em_toolkit import GaussianMixture
from em_toolkit.families import STRUCTURES, FullCovariances

Data = npt.NDArray[np.floating]
MATRIX_TYPES = ["full", "tied", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]


def rows_of(condition: float, seed: int, dtype: npt.DTypeLike, scales: Data | float = 1.0) -> Data:
    """Two clusters along the diagonal, of correlations of this condition."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    roots = axes * np.sqrt(np.geomspace(1.0, 1.0 / condition, 4))
    clusters = [rng.normal(size=(60, 4)) @ roots.T + 3.0 * k for k in range(2)]
    return (np.vstack(clusters) * scales).astype(dtype)


def fit_to(X: Data, covariance_type: str) -> GaussianMixture | None:
    """None for rows whose covariance the structure finds singular to rounding."""
    mixture = GaussianMixture(
        2, covariance_type=covariance_type, reg_covar=0.0, random_state=0, max_iter=5
    )
    try:
        return mixture.fit(X)
    except ValueError:
        return None


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("condition", [1e3, 1e11, 6e11, 1e12, 1e13, 1e14, 1e15])
def test_published_precisions_are_accepted(covariance_type: str, condition: float) -> None:
    n_tried = 0
    for seed in range(3):
        X = rows_of(condition, seed, np.float64)
        fit = fit_to(X, covariance_type)
        if fit is None:
            continue
        n_tried += 1
        start = GaussianMixture(
            2,
            covariance_type=covariance_type,
            reg_covar=0.0,
            max_iter=0,
            weights_init=fit.weights_,
            means_init=fit.means_,
            precisions_init=fit.precisions_,
        ).fit(X)
        # The entries hold the smallest eigenvalue to so many digits.
        tolerance = 1e-9 + 100.0 * 2e-16 * condition
        assert start.lower_bound_ == pytest.approx(fit.lower_bound_, abs=tolerance)
    assert n_tried > 0 or condition >= 1e14


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance_type", MATRIX_TYPES)
@pytest.mark.parametrize(
    ("dtype", "conditions"),
    [(np.float64, [1e3, 1e13, 1e14, 1e15]), (np.float32, [1e3, 1e6, 1e7, 1e8, 1e9])],
)
def test_what_is_published_has_a_cholesky_factor(
    covariance_type: str, dtype: type, conditions: list[float]
) -> None:
    for condition in conditions:
        for seed in range(4):
            X = rows_of(condition, seed, dtype)
            fit = fit_to(X, covariance_type)
            if fit is None:
                continue
            for published in (fit.covariances_, fit.precisions_):
                assert published.dtype == dtype
                for matrix in published.reshape(-1, 4, 4):
                    np.testing.assert_array_equal(matrix, matrix.T)
                    for lower in (True, False):
                        scipy.linalg.cholesky(matrix, lower=lower)
                        scipy.linalg.cholesky(matrix.astype(np.float64), lower=lower)
                    np.linalg.cholesky(matrix)
            GaussianMixture(
                2,
                covariance_type=covariance_type,
                means_init=fit.means_,
                precisions_init=fit.precisions_,
                weights_init=fit.weights_,
            )._given(4)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "EEE", "VEE", "VVV"])
def test_precisions_of_features_in_unlike_units_are_accepted(covariance_type: str) -> None:
    scales = np.array([1e-8, 1.0, 1e6, 1e10])
    rng = np.random.default_rng(0)
    matrix = np.corrcoef(rng.normal(size=(4, 9))) / np.outer(scales, scales)
    given = matrix if covariance_type in ("tied", "EEE") else np.stack([matrix, matrix])
    mixture = GaussianMixture(2, covariance_type=covariance_type, precisions_init=given)
    covariances = mixture._given(4)["covariances"]
    np.testing.assert_allclose(covariances.precisions.reshape(given.shape), given, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance_type", MATRIX_TYPES)
def test_published_precisions_of_features_in_unlike_units_are_accepted(
    covariance_type: str,
) -> None:
    n_tried = 0
    for reach in (1.0, 2.0, 3.0, 3.5):
        X = rows_of(1e2, 0, np.float64, 10.0 ** np.array([-reach, 0.0, reach / 2, reach]))
        fit = fit_to(X, covariance_type)
        if fit is not None:
            n_tried += 1
            fit.set_params(precisions_init=fit.precisions_, max_iter=1).fit(X)
    assert n_tried > 1


def test_what_shares_nothing_is_still_refused() -> None:
    """The control: roundings excuse no more than roundings."""
    rng = np.random.default_rng(0)
    matrices = np.stack([np.corrcoef(rng.normal(size=(4, 9))) for _ in range(2)])
    for name, condition in [("EVE", 1.0), ("VEV", 1.0), ("EVV", 1e6), ("EEV", 1e6)]:
        matrices[1, 0, 0] += condition
        with pytest.raises(ValueError, match=f"'{name} precision' should be of one"):
            GaussianMixture(2, covariance_type=name, precisions_init=matrices)._given(4)
    with pytest.raises(ValueError, match="positive-definite"):
        GaussianMixture(2, precisions_init=np.ones((2, 4, 4)))._given(4)


def test_matrices_that_have_factors_are_published_to_the_bit() -> None:
    matrices = np.stack([np.eye(3), np.diag([1e-9, 1.0, 1e9]) + 1e-6])
    np.testing.assert_array_equal(FullCovariances.with_factors(matrices), matrices)
    singular = np.ones((1, 3, 3))
    grown = FullCovariances.with_factors(singular)
    np.testing.assert_allclose(grown, singular, rtol=1e-14)
    assert np.isfinite(scipy.linalg.cholesky(grown[0])).all()


def stretched(matrix: Data) -> Data:
    """The matrix with twice its largest eigenvalue: another volume and another shape."""
    eigenvalues, axes = np.linalg.eigh(matrix)
    return np.asarray(matrix + eigenvalues[-1] * np.outer(axes[:, -1], axes[:, -1]))


def turned(matrix: Data) -> Data:
    """The matrix with its largest and its smallest axes turned by a sixteenth of a circle."""
    eigenvalues, axes = np.linalg.eigh(matrix)
    cosine, sine = np.cos(np.pi / 8), np.sin(np.pi / 8)
    first, last = axes[:, 0].copy(), axes[:, -1].copy()
    axes[:, 0], axes[:, -1] = cosine * first + sine * last, cosine * last - sine * first
    return np.asarray(axes * eigenvalues @ axes.T)


BROKEN = {"EVE": stretched, "EVV": stretched, "EEV": stretched, "VEV": stretched,
          "VVE": turned, "VEE": turned}  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance_type", BROKEN)
@pytest.mark.parametrize("condition", [1e2, 1e4, 1e5, 1e6, 5e6])
def test_single_precision_accepts_its_own_and_refuses_what_does_not_share(
    covariance_type: str, condition: float
) -> None:
    n_tried = 0
    for seed in range(4):
        X = rows_of(condition, seed, np.float32)
        fit = fit_to(X, covariance_type)
        if fit is None:
            continue
        n_tried += 1
        known = GaussianMixture.from_parameters(
            fit.weights_, fit.means_, fit.covariances_, covariance_type=covariance_type
        )
        np.testing.assert_array_equal(known.predict(X), known.predict(X.astype(np.float64)))
        fit.set_params(precisions_init=fit.precisions_)._given(4)
        # Of volumes, single precision keeps no digit at the larger conditions.
        if condition > 1e5:
            continue
        for values in (fit.covariances_, fit.precisions_):
            broken = values.copy()
            broken[1] = BROKEN[covariance_type](values[1].astype(np.float64))
            broken = FullCovariances.with_factors(broken)
            with pytest.raises(ValueError, match="covariance' should be of one"):
                GaussianMixture.from_parameters(
                    fit.weights_, fit.means_, broken, covariance_type=covariance_type
                )
            with pytest.raises(ValueError, match="precision' should be of one"):
                fit.set_params(precisions_init=broken)._given(4)
    assert n_tried > 0

"""Numbers at the ends of what floating point holds: a fit, or an error that says what to do."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from em_toolkit import PPCA, GaussianMixture, PoissonMixture
from em_toolkit.covariances.common_axes import EVECovariances, VVECovariances
from em_toolkit.families import STRUCTURES
from em_toolkit.parameters import CollapseError

Data = npt.NDArray[Any]
RNG = np.random.default_rng(0)
ROWS = np.vstack([RNG.normal(size=(40, 3)), 5.0 + RNG.normal(size=(40, 3)) * [1.0, 2.0, 3.0]])
HOLES = np.where(RNG.random(ROWS.shape) < 0.1, np.nan, ROWS)


def fit_without_numpy_warnings(estimator: Any, X: Data, weights: Data | None = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        return estimator.fit(X, sample_weight=weights)


@pytest.mark.parametrize("settings", [{}, {"reg_covar": 0.0}, {"noise": True}], ids=str)
@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("scale", [1e140, 1e150, 1e-100, 1e-140])
def test_data_of_any_scale(covariance_type: str, scale: float, settings: dict[str, Any]) -> None:
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0, **settings)
    fit = fit_without_numpy_warnings(mixture, scale * ROWS)
    if scale > 1.0 or "reg_covar" in settings:
        # reg_covar is a number beside the data: where it is none, a change of units is all.
        unit = GaussianMixture(
            2, covariance_type=covariance_type, random_state=0, **{**settings, "reg_covar": 0.0}
        ).fit(ROWS)
        np.testing.assert_array_equal(fit.predict(scale * ROWS), unit.predict(ROWS))
        np.testing.assert_allclose(
            fit.score_samples(scale * ROWS),
            unit.score_samples(ROWS) - 3.0 * np.log(scale),
            rtol=1e-6,
        )


@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("scales", [[1e-140, 1.0, 1e140], [1e-160, 1e-160, 1e-160], [1e-170, 1, 1]])
def test_no_numpy_warning_where_there_is_no_fit(covariance_type: str, scales: list[float]) -> None:
    mixture = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0.0, random_state=0)
    try:
        fit = fit_without_numpy_warnings(mixture, ROWS * scales)
    except ValueError as error:
        assert "scale" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(fit.score_samples(ROWS * scales)).all()


@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("X", [1e153 * ROWS, 1e300 * ROWS, 1e153 * HOLES], ids=range(3))
def test_squares_that_are_no_numbers(covariance_type: str, X: Data) -> None:
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0)
    with pytest.raises(ValueError, match=r"X: expected entries of at most .* Divide the feature"):
        fit_without_numpy_warnings(mixture, X)


def test_the_feature_is_named() -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    table.loc[3, "b"] = 1e200
    with pytest.raises(ValueError, match=r"got 1e\+200 in feature 'b'"):
        fit_without_numpy_warnings(GaussianMixture(2), table)
    with pytest.raises(ValueError, match="pass the data as float64"):
        fit_without_numpy_warnings(GaussianMixture(2), (1e30 * ROWS).astype(np.float32))
    with pytest.raises(ValueError, match="X: expected entries of at most"):
        fit_without_numpy_warnings(PPCA(1), 1e153 * ROWS)


@pytest.mark.parametrize("size", [5e-324, 1e-312, 1e307, 1.7e308])
@pytest.mark.parametrize(
    "estimator",
    [GaussianMixture(2), GaussianMixture(2, noise=True), PPCA(1), PoissonMixture(2)],
    ids=["gaussian", "noise", "ppca", "poisson"],
)
def test_weights_of_which_no_sums_can_be_made(estimator: Any, size: float) -> None:
    X = np.abs(ROWS).round()
    with pytest.raises(ValueError, match=r"sample_weight: .* Divide all weights by their mean"):
        fit_without_numpy_warnings(estimator, X, np.full(80, size))


@pytest.mark.parametrize("size", [1e-270, 1e-100, 1e100, 1e250])
def test_the_size_of_weights_is_theirs_alone(size: float) -> None:
    """Where sums can be made, what all weights are multiplied by changes nothing."""
    mixture = GaussianMixture(2, random_state=0)
    fit = fit_without_numpy_warnings(mixture, ROWS, np.full(80, size))
    other = GaussianMixture(2, random_state=0).fit(ROWS, sample_weight=np.full(80, 2.0))
    np.testing.assert_allclose(fit.covariances_, other.covariances_, rtol=1e-9)


@pytest.mark.parametrize("offset", [2**62, -(2**62), 2**61])
@pytest.mark.parametrize("noise", [None, True])
def test_integers_that_floating_point_does_not_tell_apart(offset: int, noise: bool | None) -> None:
    X = np.random.default_rng(0).integers(0, 500, size=(80, 3)).astype(np.int64)
    with pytest.raises(ValueError, match="Subtract an offset from the feature first"):
        fit_without_numpy_warnings(GaussianMixture(2, noise=noise), X + offset)
    # The control: integers as large that differ by more.
    fit = fit_without_numpy_warnings(GaussianMixture(2, random_state=0), X * 2**40 + offset)
    assert np.isfinite(fit.covariances_).all()


@pytest.mark.parametrize("structure", [EVECovariances, VVECovariances])
def test_a_singular_maximum_is_no_numpy_warning(structure: type[EVECovariances]) -> None:
    """As in an ordinary selection: a component of fewer rows than features."""
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=(2, 4)), rng.normal(size=(30, 4))
    scatter = np.stack([few.T @ few, many.T @ many])
    previous = structure.shared(np.eye(4), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = structure.from_scatter(scatter, np.array([2.0, 30.0]), 4, previous)
        singular = structure(np.stack([np.eye(4), np.zeros((4, 4))]))
        singular.__dict__["cholesky"] = np.stack([np.eye(4), np.zeros((4, 4))])
        assert singular.log_determinants[1] == -np.inf
    assert found.values.shape == (2, 4, 4)


@pytest.mark.parametrize("covariance_type", ["EVV", "VVE"])
@pytest.mark.parametrize("seed", [17, 28, 53])
def test_scatters_of_nothing_but_rounding(covariance_type: str, seed: int) -> None:
    """Of a component that weights of unlike sizes leave no rows: they may even be negative."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, rng.integers(2, 5))) + 3.0 * rng.integers(3, size=80)[:, None]
    weights = 10.0 ** rng.uniform(-300.0, 300.0, size=80)
    mixture = GaussianMixture(
        2, covariance_type=covariance_type, noise=True, random_state=seed, max_iter=30
    )
    # A fit, or an error that says what collapsed.
    with suppress(CollapseError):
        fit = fit_without_numpy_warnings(mixture, X, weights)
        assert np.isfinite(fit.covariances_).all()


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_a_floor_that_is_nothing_beside_the_data(covariance_type: str) -> None:
    """Squares of the data, in units of the floor, that are no number: 1e302 / 1e-6."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((60, 5)) * 10.0 ** rng.uniform(150.0, 151.3)
        weights = 10.0 ** rng.uniform(-3.0, 2.0, len(X))
        mixture = GaussianMixture(
            4, covariance_type=covariance_type, init_params="random", max_iter=20, tol=0.0
        )
        mixture.set_params(random_state=seed)
        cause = ""
        try:
            fit_without_numpy_warnings(mixture, X, weights)
        except ValueError as error:
            cause = str(error)
        if cause:
            assert cause.startswith("Fitting the mixture model failed because some components")
        else:
            assert np.isfinite(mixture.covariances_).all()

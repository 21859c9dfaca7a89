"""The box of the noise against principal directions in sixty digits, whatever the order of rows."""

from __future__ import annotations

import mpmath
import numpy as np
import numpy.typing as npt
import pytest

from em_toolkit import GaussianMixture
from em_toolkit.families import box_about

Data = npt.NDArray[np.float64]


def volume_in_sixty_digits(X: Data, weights: Data | None = None) -> float:
    """The smaller of the volumes along features and along the directions of the covariance."""
    with mpmath.workdps(60):
        rows = mpmath.matrix(X.tolist())
        parts = [mpmath.mpf(float(w)) for w in (np.ones(len(X)) if weights is None else weights)]
        n, d = X.shape
        total = mpmath.fsum(parts)
        mean = [mpmath.fsum(parts[i] * rows[i, j] for i in range(n)) / total for j in range(d)]
        scatter = mpmath.matrix(d, d)
        for a in range(d):
            for b in range(d):
                scatter[a, b] = mpmath.fsum(
                    parts[i] * (rows[i, a] - mean[a]) * (rows[i, b] - mean[b]) for i in range(n)
                )
        _, axes = mpmath.eigsy(scatter)
        turned, volumes = rows * axes, []
        for one in (rows, turned):
            sides = [max(one[:, j]) - min(one[:, j]) for j in range(d)]
            volumes.append(mpmath.fprod(sides))
        return float(min(volumes))


def correlated(n_rows: int, scales: Data, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    d = len(scales)
    # Along a diagonal: the box in principal directions is much smaller.
    rows = rng.normal(size=(n_rows, 1)) * np.ones(d) + 0.1 * rng.normal(size=(n_rows, d))
    return rows * scales


SCALES = {
    "one unit": np.array([1.0, 1.0, 1.0]),
    "1e5": np.array([1.0, 1e-5, 1.0]),
    "1e10": np.array([1.0, 1e10]),
    "1e10, three": np.array([1e-5, 1.0, 1e5]),
    "1e16": np.array([1e-8, 1.0, 1e8, 3.0]),
}


@pytest.mark.parametrize("reach", [None, 3.0, 6.0], ids=["unweighted", "1e±3", "1e±6"])
@pytest.mark.parametrize("name", SCALES)
def test_the_volume_is_right_whatever_the_order_of_the_rows(name: str, reach: float | None) -> None:
    X, rng = correlated(60, SCALES[name]), np.random.default_rng(1)
    weights = None if reach is None else 10.0 ** rng.uniform(-reach, reach, len(X))
    expected = volume_in_sixty_digits(X, weights)
    for _ in range(4):
        order = rng.permutation(len(X))
        box = box_about(X[order], None if weights is None else weights[order])
        assert box.volume == pytest.approx(expected, rel=1e-11)
        # Every row is in it.
        places = (X - box.center) @ box.axes.T / box.lengths
        if name in ("one unit", "1e5"):
            assert np.abs(places).max() < 0.5 + 1e-9
    # The control: it is the principal directions that matter here.
    assert expected < 0.9 * np.ptp(X, axis=0).prod()


@pytest.mark.parametrize("reach", [0.0, 3.0, 6.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scales", [[1.0, 1.0, 1.0], [1e-6, 1.0, 1e4]])
def test_rows_in_a_plane_are_refused_whatever_their_weights(
    reach: float, seed: int, scales: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, 3))
    X[:, 2] = X[:, 0] + X[:, 1]
    X *= scales
    weights = 10.0 ** rng.uniform(-reach, reach, len(X))
    with pytest.raises(ValueError, match="features are linear combinations of others"):
        GaussianMixture(2, noise=True).fit(X, sample_weight=weights)
    # The control: rows off the plane by little more than roundings fill a box.
    X += 1e-7 * rng.normal(size=X.shape) * scales
    assert box_about(X, weights).volume > 0.0


def test_directions_of_rows_of_next_to_no_weight_are_no_axes() -> None:
    """The box lies along the features, as where directions are hidden otherwise."""
    rng = np.random.default_rng(0)
    X = correlated(60, np.ones(3))
    X[:40, 2] = X[:40, 0]
    weights = np.where(np.arange(60) < 40, 1.0, 1e-40)
    for _ in range(3):
        order = rng.permutation(60)
        box = box_about(X[order], weights[order])
        np.testing.assert_array_equal(box.axes, np.eye(3))
        np.testing.assert_array_equal(box.lengths, np.ptp(X, axis=0))


def test_directions_that_equal_variances_leave_open_are_no_axes() -> None:
    rng = np.random.default_rng(0)
    # A design in two levels, and its centre: the covariance is a multiple of the identity.
    X = np.array([[a, b] for a in (-1.1, 1.1) for b in (-1.1, 1.1)] * 7 + [[0.0, 0.0]] * 3)
    for _ in range(5):
        box = box_about(X[rng.permutation(len(X))] + 0.3)
        np.testing.assert_array_equal(box.axes, np.eye(2))


def test_one_feature() -> None:
    X = np.array([[1.0], [4.0], [2.0]])
    assert box_about(X, np.array([1.0, 2.0, 1e-9])).volume == pytest.approx(3.0, rel=1e-15)

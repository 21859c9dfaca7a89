"""Rows that are filled to start from: draws from the conditional distribution, by products."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from em_toolkit.covariances.matrix import MatrixCovariances
from em_toolkit.families import Covariances, DiagonalCovariances, FullCovariances
from em_toolkit.initialization import filled

Data = npt.NDArray[np.float64]
SCALES = np.array([1e-6, 1.0, 1e3, 1e8, 10.0, 1.0])


def holes_in(X: Data, share: float, rng: np.random.Generator) -> Data:
    missing = rng.random(X.shape) < share
    missing[missing.all(axis=1)] = False
    return np.where(missing, np.nan, X)


def normal_rows(n_rows: int, rng: np.random.Generator) -> tuple[Data, Data, Data]:
    """Rows of one normal distribution with two factors, its mean and its covariance."""
    n_features = SCALES.size
    loadings = rng.normal(size=(n_features, 2))
    correlated = loadings @ loadings.T + 0.3 * np.eye(n_features)
    rows = rng.multivariate_normal(np.full(n_features, 3.0), correlated, n_rows)
    return SCALES * rows, 3.0 * SCALES, correlated * np.outer(SCALES, SCALES)


def mean_squared_distance(
    holes: Data, complete: Data, mean: Data, covariance: Data, weights: Data
) -> float:
    """Of what was drawn, about its conditional mean, by the conditional covariance: 1 by entry."""
    total, count = 0.0, 0.0
    for row, drawn, weight in zip(holes, complete, weights, strict=True):
        m = np.isnan(row)
        if not m.any():
            continue
        seen = ~m
        regression = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen][:, m]).T
        expected = mean[m] + regression @ (row[seen] - mean[seen])
        left = covariance[np.ix_(m, m)] - regression @ covariance[seen][:, m]
        deviation = drawn[m] - expected
        total += weight * float(deviation @ np.linalg.solve(left, deviation))
        count += weight * m.sum()
    return total / count


@pytest.mark.parametrize("weighted", [False, True])
def test_draws_are_those_of_the_conditional_distribution(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    X, mean, covariance = normal_rows(6000, rng)
    holes, weights = holes_in(X, 0.3, rng), np.ones(len(X))
    given = None
    if weighted:
        # Rows of next to no weight, of another distribution.
        holes[::2] = np.where(np.isnan(holes[::2]), np.nan, SCALES * rng.normal(size=(3000, 6)))
        weights[::2] = 1e-12
        given = weights * 1e-300
    complete = filled(holes, given, FullCovariances, np.random.RandomState(0))
    np.testing.assert_array_equal(complete[~np.isnan(holes)], holes[~np.isnan(holes)])
    assert np.isfinite(complete).all()
    distance = mean_squared_distance(holes, complete, mean, covariance, weights)
    assert distance == pytest.approx(1.0, abs=0.1)
    # The control: draws that know of no correlations are far from it.
    alone = filled(holes, given, DiagonalCovariances, np.random.RandomState(0))
    assert mean_squared_distance(holes, alone, mean, covariance, weights) > 2.0


def test_means_and_variances_alone_where_the_structure_has_no_correlations() -> None:
    rng = np.random.default_rng(1)
    X, mean, covariance = normal_rows(20_000, rng)
    holes = holes_in(X, 0.5, rng)
    complete = filled(holes, None, DiagonalCovariances, np.random.RandomState(0))
    deviations = (complete - mean) / np.sqrt(np.diagonal(covariance))
    missing = np.isnan(holes)
    for feature, gone in enumerate(missing.T):
        assert deviations[gone, feature].mean() == pytest.approx(0.0, abs=0.05)
        assert deviations[gone, feature].std() == pytest.approx(1.0, abs=0.05)
        other = (feature + 1) % len(SCALES)
        rows = gone & ~missing[:, other]
        assert abs(np.corrcoef(deviations[rows][:, [feature, other]].T)[0, 1]) < 0.05


@pytest.mark.parametrize("structure", [FullCovariances, DiagonalCovariances])
def test_nothing_is_done_for_each_pattern_of_missing_entries(
    structure: type[Covariances], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix factored for each pattern took hundreds of times as long as the fit that follows."""

    def refuse(*_: object) -> None:
        raise AssertionError("a matrix for each pattern")

    monkeypatch.setattr(MatrixCovariances, "completion", refuse)
    factored: list[int] = []
    cholesky = np.linalg.cholesky

    def counted(matrix: Data) -> Data:
        factored.append(len(matrix))
        return np.asarray(cholesky(matrix))

    monkeypatch.setattr(np.linalg, "cholesky", counted)
    rng = np.random.default_rng(2)
    X = holes_in(rng.normal(size=(300, 30)), 0.2, rng)
    assert np.isfinite(filled(X, None, structure, np.random.RandomState(0))).all()
    assert len(factored) < 10


@pytest.mark.parametrize(
    ("n_rows", "n_features", "share"),
    [(8, 30, 0.5), (40, 3, 0.9), (5, 2, 0.4)],
    ids=["fewer rows than features", "columns never seen together", "a handful"],
)
def test_few_rows_are_filled_within_reach_of_what_was_seen(
    n_rows: int, n_features: int, share: float
) -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_rows, n_features)) + 1e6
    holes = holes_in(X, share, rng)
    holes[0] = X[0]
    holes[1:, 0] = 7.0
    holes[0, 0] = np.nan
    complete = filled(holes, None, FullCovariances, np.random.RandomState(0))
    assert np.isfinite(complete).all()
    spread = np.nanstd(holes, axis=0) + 1.0
    assert (np.abs(complete - np.nanmean(holes, axis=0)) < 20.0 * spread).all()

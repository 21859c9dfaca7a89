"""Completed rows in the container in which they came: arrays, DataFrames of pandas and polars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from pandas.testing import assert_frame_equal

from em_toolkit import PPCA, GaussianMixture
from em_toolkit.datasets import load_airquality

AIR = load_airquality(as_frame=True).data
ROWS = AIR.to_numpy(dtype=float)
Complete = Callable[[GaussianMixture, Any], Any]


@pytest.fixture(params=["impute", "sample_missing"])
def complete(request: pytest.FixtureRequest) -> Complete:
    def impute(fit: GaussianMixture, X: Any) -> Any:
        return fit.impute(X)

    def sample_missing(fit: GaussianMixture, X: Any) -> Any:
        return fit.sample_missing(X, random_state=0)

    return {"impute": impute, "sample_missing": sample_missing}[request.param]


@pytest.fixture(scope="module")
def fit() -> GaussianMixture:
    return GaussianMixture(2, random_state=0).fit(AIR)


@pytest.fixture
def expected(complete: Complete) -> Any:
    return complete(GaussianMixture(2, random_state=0).fit(ROWS), ROWS)


def test_an_array_stays_an_array(complete: Complete, expected: Any) -> None:
    assert type(expected) is np.ndarray
    rows = ROWS.tolist()
    plain = GaussianMixture(2, random_state=0).fit(ROWS)
    assert type(complete(plain, rows)) is np.ndarray
    masked = np.ma.masked_invalid(ROWS)
    np.testing.assert_array_equal(complete(plain, masked), expected)


def test_a_pandas_frame_keeps_index_columns_and_what_was_seen(
    fit: GaussianMixture, complete: Complete, expected: Any
) -> None:
    frame = AIR.set_index(pd.date_range("1973-05-01", periods=len(AIR), name="day"))
    before = frame.copy()
    completed = complete(fit, frame)
    assert isinstance(completed, pd.DataFrame)
    assert completed.index.equals(frame.index)
    assert completed.index.name == "day"
    assert completed.columns.equals(frame.columns)
    np.testing.assert_allclose(completed.to_numpy(dtype=float), expected, rtol=1e-12)
    assert_frame_equal(completed.where(frame.notna()), frame, check_dtype=False)
    assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        ("float64", "float64"),
        ("float32", "float32"),
        ("Float64", "Float64"),
        ("Float32", "Float32"),
        ("Int64", "Float64"),
        ("Int16", "Float64"),
        ("double[pyarrow]", "double[pyarrow]"),
        ("int64[pyarrow]", "double[pyarrow]"),
        (object, "float64"),
    ],
)
def test_dtypes_of_pandas(complete: Complete, given: Any, returned: str) -> None:
    frame = AIR.rename(columns=str).astype({"ozone": given})
    assert frame["ozone"].isna().sum() == 37
    frame = frame.astype({"temperature": "int16"})
    fit = GaussianMixture(2, random_state=0).fit(frame)
    completed = complete(fit, frame)
    assert completed.dtypes["ozone"] == pd.Series([1.0], dtype=returned).dtype
    assert completed.dtypes["temperature"] == np.int16
    assert completed.dtypes["wind"] == frame.dtypes["wind"]
    assert not completed.isna().to_numpy().any()
    seen = frame["ozone"].notna()
    assert (completed["ozone"][seen].astype(float) == frame["ozone"][seen].astype(float)).all()


def test_a_complete_frame_is_returned_as_it_is(complete: Complete, fit: GaussianMixture) -> None:
    whole = AIR.dropna().astype({"temperature": "int8", "wind": "float32"})
    completed = complete(fit, whole)
    assert_frame_equal(completed, whole)
    assert completed is not whole


def test_columns_without_names(complete: Complete, expected: Any) -> None:
    frame = pd.DataFrame(ROWS, index=range(1000, 1000 + len(ROWS)))
    completed = complete(GaussianMixture(2, random_state=0).fit(frame), frame)
    assert completed.columns.tolist() == [0, 1, 2, 3]
    assert completed.index[0] == 1000
    np.testing.assert_array_equal(completed, expected)


def test_a_polars_frame_keeps_columns_and_what_was_seen(complete: Complete, expected: Any) -> None:
    frame = pl.DataFrame(AIR.to_dict(orient="list"))
    frame = frame.with_columns(
        pl.col("ozone").fill_nan(None).cast(pl.Int32), pl.col("solar").cast(pl.Float32)
    )
    assert frame["ozone"].null_count() == 37
    completed = complete(GaussianMixture(2, random_state=0).fit(frame), frame)
    assert isinstance(completed, pl.DataFrame)
    assert completed.columns == frame.columns
    assert completed.dtypes == [pl.Float64, pl.Float32, *frame.dtypes[2:]]
    assert sum(completed.null_count().row(0)) == 0
    np.testing.assert_allclose(completed.to_numpy(), expected, rtol=1e-6)


def test_nan_in_polars_is_missing_too(complete: Complete) -> None:
    frame = pl.DataFrame(ROWS, schema=["a", "b", "c", "d"])
    completed = complete(GaussianMixture(2, random_state=0).fit(frame), frame)
    assert np.isfinite(completed.to_numpy()).all()


@pytest.mark.parametrize(
    ("container", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)]
)
def test_the_container_that_the_configuration_asks_for(
    fit: GaussianMixture, complete: Complete, expected: Any, container: str, kind: Any
) -> None:
    polars = pl.DataFrame(ROWS, schema=list(AIR.columns))
    plain = GaussianMixture(2, random_state=0).fit(ROWS)
    with sklearn.config_context(transform_output=container):
        of_array, of_pandas, of_polars = (
            complete(plain, ROWS),
            complete(fit, AIR),
            complete(fit, polars),
        )
    for completed in (of_array, of_pandas, of_polars):
        assert isinstance(completed, kind)
        np.testing.assert_allclose(completed.to_numpy().astype(float), expected, rtol=1e-12)
    assert list(of_array.columns) == ["x0", "x1", "x2", "x3"]
    assert list(of_pandas.columns) == list(of_polars.columns) == list(AIR.columns)


def test_noise_fills_frames_too(complete: Complete) -> None:
    fit = GaussianMixture(2, noise=True, random_state=0).fit(AIR)
    completed = complete(fit, AIR)
    assert isinstance(completed, pd.DataFrame)
    assert not completed.isna().to_numpy().any()


@pytest.mark.parametrize("bad", [["a", "b", "c"], pd.date_range("2020-01-01", periods=3)])
def test_columns_that_hold_no_numbers_are_named(bad: Any) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "bad": bad, "y": [1, 2, 4]})
    for estimator in (GaussianMixture(), PPCA()):
        with pytest.raises(ValueError, match="got others in 'bad': leave them out"):
            estimator.fit(frame)

"""The data sets that ship with the package."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from em_toolkit.datasets import load_airquality, load_faithful, load_reaven_miller


def test_faithful_is_the_data_set_of_r():
    faithful = load_faithful()
    assert faithful.data.shape == (272, 2)
    assert faithful.data.dtype == np.float64
    assert faithful.feature_names == ["eruptions", "waiting"]
    # summary(faithful), var(faithful) and head(faithful, 2) in R
    np.testing.assert_allclose(faithful.data.mean(axis=0), [3.4877831, 70.8970588], atol=5e-8)
    expected = [[1.3027283, 13.9778078], [13.9778078, 184.8233124]]
    np.testing.assert_allclose(np.cov(faithful.data.T), expected, atol=5e-8)
    np.testing.assert_array_equal(faithful.data[:2], [[3.6, 79.0], [1.8, 54.0]])


def test_airquality_is_the_data_set_of_r():
    air = load_airquality()
    assert air.feature_names == ["ozone", "solar", "wind", "temperature"]
    assert air.data.shape == (153, 4)
    # summary(airquality), sum(complete.cases(airquality)), cor(airquality[, 1:4], use = "complete")
    assert np.isnan(air.data).sum(axis=0).tolist() == [37, 7, 0, 0]
    expected = [42.1293103, 185.9315068, 9.9575163, 77.8823529]
    np.testing.assert_allclose(np.nanmean(air.data, axis=0), expected, atol=5e-8)
    complete = air.data[~np.isnan(air.data).any(axis=1)]
    assert len(complete) == 111
    expected = [0.3483416929, -0.6124965797, 0.6985414096]
    np.testing.assert_allclose(np.corrcoef(complete.T)[0, 1:], expected, atol=5e-9)
    np.testing.assert_array_equal(air.data[[4, 152], 2:], [[14.3, 56.0], [11.5, 68.0]])


def test_airquality_says_what_it_is():
    air = load_airquality(as_frame=True)
    assert air.frame is air.data
    for words in ("Chambers", "1983", "parts per billion", "langleys", "miles per hour"):
        assert words in air.DESCR


def test_the_description_names_source_and_units():
    description = load_faithful().DESCR
    for words in ("Azzalini", "Bowman", "1990", "minutes"):
        assert words in description


def test_as_frame():
    arrays, frames = load_faithful(), load_faithful(as_frame=True)
    assert arrays.frame is None
    assert isinstance(frames.data, pd.DataFrame)
    assert frames.frame is frames.data
    assert list(frames.data.columns) == arrays.feature_names
    np.testing.assert_array_equal(frames.data.to_numpy(), arrays.data)


@pytest.mark.parametrize("as_frame", [False, True])
def test_return_x_y(as_frame):
    X, y = load_faithful(return_X_y=True, as_frame=as_frame)
    assert y is None
    assert isinstance(X, pd.DataFrame) == as_frame
    np.testing.assert_array_equal(np.asarray(X), load_faithful().data)


def test_every_call_gives_its_own_array():
    load_faithful().data[:] = 0.0
    assert load_faithful().data.min() > 0.0


def test_arrays_do_not_need_pandas():
    # scikit-learn imports pandas where it finds it, so hide it.
    code = (
        "import sys; sys.modules['pandas'] = None;"
        "from em_toolkit.datasets import load_faithful; assert load_faithful().data.size == 544"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reaven_miller_is_the_diabetes_of_mclust():
    diabetes = load_reaven_miller()
    assert diabetes.data.shape == (145, 3)
    assert diabetes.feature_names == ["glucose", "insulin", "sspg"]
    # table(class), var(diabetes[, 2:4]), head(diabetes, 2) and diabetes[104, ] in R, with
    # data(diabetes, package = "mclust")
    assert np.bincount(diabetes.target).tolist() == [36, 76, 33]
    assert [diabetes.target_names[t] for t in diabetes.target[[0, 103]]] == ["normal", "chemical"]
    expected = [
        [4087.097, 19679.844, -3063.464],
        [19679.844, 102121.77, -13504.357],
        [-3063.464, -13504.357, 14625.313],
    ]
    np.testing.assert_allclose(np.cov(diabetes.data.T), expected, rtol=2e-7)
    np.testing.assert_array_equal(diabetes.data[:2], [[80, 356, 124], [97, 289, 117]])
    np.testing.assert_array_equal(diabetes.data[103], [75, 45, 392])
    for words in ("Reaven", "Miller", "1979", "row 104"):
        assert words in diabetes.DESCR


def test_groups_as_frame():
    arrays, frames = load_reaven_miller(), load_reaven_miller(as_frame=True)
    assert list(frames.frame.columns) == ["glucose", "insulin", "sspg", "target"]
    assert list(frames.data.columns) == frames.feature_names
    np.testing.assert_array_equal(arrays.data, frames.data.to_numpy())
    np.testing.assert_array_equal(arrays.target, frames.target.to_numpy())
    X, y = load_reaven_miller(return_X_y=True)
    np.testing.assert_array_equal(X, arrays.data)
    np.testing.assert_array_equal(y, arrays.target)

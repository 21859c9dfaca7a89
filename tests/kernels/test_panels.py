"""Panels of the compiled loops hold what the data do, wherever they begin and end."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_toolkit.kernels.instructions import LANES
from em_toolkit.kernels.panels import load, load_weights, new_panel

WIDTH = 6 * LANES


def check_load(n_rows: int, n_features: int, start: int, n_padding: int = 0) -> None:
    """Against slices of NumPy. What lies behind the data is NaN, and must not be seen."""
    behind = np.full(3 * LANES * n_features, np.nan)
    X = np.arange(1.0, n_rows * n_features + 1.0)
    X = np.concatenate([X, behind])[: X.size].reshape(n_rows, n_features)
    panel = np.full((n_features + n_padding, WIDTH), -1.0)
    loaded = load(X, start, panel)
    expected = X[start : start + WIDTH].T
    assert loaded == expected.shape[1]
    np.testing.assert_array_equal(panel[:n_features, :loaded], expected)
    last = np.broadcast_to(expected[:, -1:], (n_features, WIDTH - loaded))
    np.testing.assert_array_equal(panel[:n_features, loaded:], last)
    np.testing.assert_array_equal(panel[n_features:], -1.0)


@pytest.mark.parametrize("n_features", [*range(1, 2 * LANES + 3), 33, 64])
def test_every_number_of_features(n_features: int) -> None:
    for n_rows, start in [(3 * WIDTH, 0), (3 * WIDTH, WIDTH), (WIDTH, 0), (WIDTH + 1, WIDTH)]:
        check_load(n_rows, n_features, start, n_padding=n_features % 2)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3 * WIDTH), st.data())
def test_any_place(n_features: int, n_rows: int, data: st.DataObject) -> None:
    check_load(n_rows, n_features, data.draw(st.integers(0, n_rows - 1)))


def test_a_new_panel_is_zero_and_stored_by_whole_registers() -> None:
    for n_values in range(1, 20):
        panel = new_panel(n_values, WIDTH)
        np.testing.assert_array_equal(panel, np.zeros((n_values, WIDTH)))
        assert panel.flags.c_contiguous
        assert panel.ctypes.data % (8 * LANES) == 0
        panel[:] = np.nan  # What the next one is made of.


@pytest.mark.parametrize("n_rows", [1, WIDTH - 1, WIDTH, WIDTH + 1, 3 * WIDTH])
def test_weights_are_zero_beyond_the_last_row(n_rows: int) -> None:
    weights, panel = np.arange(1.0, n_rows + 1.0), np.full(WIDTH, np.nan)
    for start in range(0, n_rows, WIDTH):
        load_weights(weights, start, panel)
        given = weights[start : start + WIDTH]
        np.testing.assert_array_equal(panel, np.pad(given, (0, WIDTH - given.size)))


AT_THE_END_OF_MEMORY = """
import ctypes, mmap
import numpy as np
from em_toolkit.kernels.panels import load, load_weights, new_panel

pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
begin = ctypes.addressof(ctypes.c_char.from_buffer(pages))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(begin + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
numbers = np.frombuffer(pages, count=mmap.PAGESIZE // 8)
for n_features in range(1, 40):
    panel = np.empty((n_features, 48))
    for n_rows in range(1, min(50, numbers.size // n_features)):
        X = numbers[numbers.size - n_rows * n_features :].reshape(n_rows, n_features)
        assert load(X, 0, panel) == min(n_rows, 48)
print("nothing beyond was read")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects a page as Linux has it")
def test_nothing_is_read_beyond_the_last_row() -> None:
    command = [sys.executable, "-c", AT_THE_END_OF_MEMORY]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "nothing beyond was read\n", done.stderr

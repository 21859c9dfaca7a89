"""Columns and values that no one wants modelled."""

from __future__ import annotations

import numpy as np
import pytest

from em_toolkit.cli.columns import numeric_columns
from em_toolkit.cli.messages import InputError
from em_toolkit.cli.options import ReadingOptions
from em_toolkit.cli.reading import read_table
from em_toolkit.cli.suspects import equal_rows, suspicious_values

RNG = np.random.default_rng(0)
WEEKS = [20190101 + 100 * (k // 4) + 7 * (k % 4) for k in range(28)]
X = RNG.normal(50, 10, size=40).round(2)


def read(path, cells, **options):
    names = ",".join(cells)
    rows = zip(*cells.values(), strict=True)
    path.write_text("\n".join([names, *(",".join(map(str, row)) for row in rows)]))
    options = ReadingOptions(**options)
    return numeric_columns(read_table(path, options), options, takes_missing=True)


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("id", range(1, 41), "counts the rows (1 to 40)"),
        ("nr", range(1000, 1040), "counts the rows (1000 to 1039)"),
        ("c", [7] * 40, "is constant (7)"),
        ("label", [0, 1] * 20, "is a result of an earlier fit"),
        ("em_label", [0, 1] * 20, "is a result of an earlier fit"),
        ("responsibility_0", [0.25, 0.5] * 20, "is a result of an earlier fit"),
        ("latent_0", [0.25, 0.5] * 20, "is a result of an earlier fit"),
    ],
)
def test_what_is_left_out_is_told_and_can_be_chosen(tmp_path, name, values, reason):
    prefix = "em_" if name.startswith("em_") else ""
    columns = {"x": X, name: values, prefix + "responsibility_0": [0.25, 0.5] * 20}
    numbers = read(tmp_path / "table.csv", columns)
    assert numbers.names == ["x"]
    assert any(f"'{name}' is not used" in note and reason in note for note in numbers.notes)
    assert read(tmp_path / "table.csv", columns, columns=f"x,{name}").names == ["x", name]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("label", [0, 1] * 20),  # a person's own
        ("year", [1990 + i for i in range(40)][::-1]),
        ("even", range(0, 80, 2)),
        ("half", [i + 0.5 for i in range(40)]),
        ("zero or one", [0, 1] * 20),
    ],
)
def test_what_only_resembles_it_is_used(tmp_path, name, values):
    numbers = read(tmp_path / "table.csv", {"x": X, name: values})
    assert numbers.names == ["x", name]
    assert numbers.notes == []


def test_nothing_is_left(tmp_path):
    columns = {"id": range(40), "c": [7] * 40}
    with pytest.raises(InputError, match=r"'id' counts the rows .*'c' is constant .*--columns"):
        read(tmp_path / "table.csv", columns)


@pytest.mark.parametrize("code", [-999, -99, -9, -1, -200, 999, 9999, 1e6, 99999])
def test_codes_are_told_and_read_as_missing(tmp_path, code):
    coded = np.where(np.arange(40) % 7 == 0, code, X)
    numbers = read(tmp_path / "table.csv", {"x": coded, "y": X})
    (note,) = numbers.notes
    assert f"'x': {code:g} stands in 6 rows" in note
    assert f"--missing {code:g}" in note
    numbers = read(tmp_path / "table.csv", {"x": coded, "y": X}, missing=f"{code:g},abc")
    np.testing.assert_array_equal(np.isnan(numbers.X[:, 0]), coded == code)
    np.testing.assert_array_equal(numbers.X[:, 1], X)


@pytest.mark.parametrize(
    "values",
    [
        X,
        np.round(X),
        X - 50,
        np.where(np.arange(40) % 7 == 0, 0, X),  # zeros are amounts
        np.where(np.arange(40) == 7, 999, X),  # an outlier
        np.clip(X, 45, 60),  # the ends of a scale
        RNG.poisson(0.3, 40),
        np.r_[np.zeros(20), np.ones(20)],
    ],
)
def test_ordinary_values_are_no_codes(values):
    assert suspicious_values("x", np.asarray(values, dtype=float)) == []


def test_texts_that_stand_for_missing_values(tmp_path):
    columns = {"x": ["x", 1, 2, 4], "y": [1, 3, 2, 5]}
    with pytest.raises(InputError, match=r"'x' is not a number .--missing x if"):
        read(tmp_path / "table.csv", columns)
    numbers = read(tmp_path / "table.csv", columns, missing="x")
    np.testing.assert_array_equal(numbers.X[:, 0], [np.nan, 1, 2, 4])


def test_rows_of_a_component_that_are_all_equal():
    data = np.array([[0.0, 1], [0, 2], [3, 3], [4, 1], [0, np.nan]])
    (note,) = equal_rows(np.array([0, 0, 1, 1, 0]), data, ["a", "b"])
    assert "all 3 rows of component 0 have a = 0" in note
    assert equal_rows(np.array([0, 1, 0, 1, 0]), data, ["a", "b"]) == []
    # A column that is constant everywhere tells nothing of a component.
    assert equal_rows(np.array([0, 0, 1, 1]), np.ones((4, 1)), ["a"]) == []


@pytest.mark.parametrize(
    ("header", "cells", "reason"),
    [
        (
            "MESS_DATUM",
            [20190101 + 100 * (k // 4) + 7 * (k % 4) for k in range(28)],
            "holds dates (20190101)",
        ),
        ("user_id", [100_000 + 7 * k for k in range(28)], "holds keys, each once"),
        ("PLZ", [f"0{1001 + 13 * k}" for k in range(28)], "holds codes, with leading zeros"),
    ],
)
def test_dates_keys_and_codes_are_no_measurements(tmp_path, header, cells, reason):
    rows = [f"{cell},{1.5 + k % 5},{k % 7}" for k, cell in enumerate(cells)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join([f"{header},a,b", *rows]))
    numbers = numeric_columns(read_table(path))
    assert numbers.names == ["a", "b"]
    assert any(reason in note for note in numbers.notes)
    chosen = numeric_columns(read_table(path), ReadingOptions(columns=f"{header},a"))
    np.testing.assert_array_equal(chosen.X[:, 0], np.array(cells, dtype=float))


def test_codes_with_letters_are_codes(tmp_path):
    codes = [f"{31000 + 7 * k}" for k in range(40)]
    codes[3::20] = ["2A109", "2B004"]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["commune,x", *(f"{c},{k % 9}" for k, c in enumerate(codes))]))
    assert numeric_columns(read_table(path)).names == ["x"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["($66.13)", "$1,200.50", "$3"], [-66.13, 1200.5, 3]),
        (["52,33-", "12,5", "7,25"], [-52.33, 12.5, 7.25]),
        (["(1.5)", "2.5", "#DIV/0!"], [-1.5, 2.5, np.nan]),
        (["k.A.", "2.5", "3.5"], [np.nan, 2.5, 3.5]),
        (["WAHR", "FALSCH", "WAHR"], [1, 0, 1]),
    ],
)
def test_numbers_of_accountants_and_spreadsheets(tmp_path, cells, expected):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["n;b", *(f"{cell};{k}" for k, cell in enumerate(cells))]))
    numbers = numeric_columns(read_table(path), ReadingOptions(columns="n"), takes_missing=True)
    np.testing.assert_array_equal(numbers.X[:, 0], expected)


def test_marks_beside_larger_plain_integers_set_groups_apart(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("n;b\n2.280;x\n797;y\n1.105;z\n640;w\n")
    numbers = numeric_columns(read_table(path))
    np.testing.assert_array_equal(numbers.X[:, 0], [2280, 797, 1105, 640])
    assert any("--decimal" in note for note in numbers.notes)
    # The control: decimals beside smaller integers.
    path.write_text("n;b\n2.280;x\n2;y\n1.105;z\n1;w\n")
    np.testing.assert_array_equal(numeric_columns(read_table(path)).X[:, 0], [2.28, 2, 1.105, 1])


@pytest.mark.parametrize("unit", ["kg", " kg", " m/s", " m²"])
def test_units_belong_into_the_header(tmp_path, unit):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["name,mass", *(f"x{k},{12.5 + k}{unit}" for k in range(9))]))
    with pytest.raises(InputError, match=f"units such as that of '12.5{unit}' into the names"):
        numeric_columns(read_table(path))

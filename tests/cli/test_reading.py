"""Reading tables: what is numeric in a file, and where in it a bad cell stands."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_toolkit.cli.columns import numeric_columns
from em_toolkit.cli.messages import InputError
from em_toolkit.cli.options import ReadingOptions
from em_toolkit.cli.reading import read_table


def numbers_of(path, text, takes_missing=False, **options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    options = ReadingOptions(**options)
    return numeric_columns(read_table(path, options), options, takes_missing=takes_missing)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=2,
        max_size=6,
    ),
    separator=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_any_numbers_are_read_exactly(tmp_path_factory, rows, separator, ending, mark):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=ending)
    writer.writerow(["one", "two, and more", "three; or less"])
    writer.writerows(rows)
    # Columns that are constant are used if they are asked for.
    path = tmp_path_factory.getbasetemp() / "any.csv"
    numbers = numbers_of(path, mark + text.getvalue(), columns="1,2,3")
    assert numbers.names == ["one", "two, and more", "three; or less"]
    told = [note for note in numbers.notes if "was read as" in note]
    ambiguous = [f"{cell!r}" for row in rows for cell in row if _looks_grouped(f"{cell!r}")]
    if not told:
        np.testing.assert_array_equal(numbers.X, rows)
    assert len(told) <= len(ambiguous)


def _looks_grouped(text):
    return re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", text)


@settings(max_examples=60, deadline=None)
@given(
    remarks=st.lists(st.text("xyz\n,", max_size=5), min_size=10, max_size=30),
    blanks=st.lists(st.integers(0, 2), min_size=30, max_size=30),
    data=st.data(),
)
def test_the_line_of_a_bad_cell_is_that_of_the_file(tmp_path_factory, remarks, blanks, data):
    bad = data.draw(st.integers(0, len(remarks) - 1))
    text = "value,remark\n"
    for row, remark in enumerate(remarks):
        text += "\n" * blanks[row]
        if row == bad:
            expected = text.count("\n") + 1
        text += f'{"oops" if row == bad else row},"{remark}"\n'
    with pytest.raises(InputError, match=rf"line {expected}, column 'value': 'oops' is not"):
        numbers_of(tmp_path_factory.getbasetemp() / "lines.csv", text)


def test_decimal_commas(tmp_path):
    text = "a;b;c\n1,5;2;x,y\n-2,5;3;z\n4;5e1;w\n"
    table = read_table(_written(tmp_path / "euro.csv", text))
    numbers = numeric_columns(table)
    np.testing.assert_array_equal(numbers.X, [[1.5, 2.0], [-2.5, 3.0], [4.0, 50.0]])
    assert any("decimal commas" in note for note in numbers.notes)
    assert (table.separator, numbers.decimal) == (";", ",")


def test_commas_are_no_decimals_beside_points(tmp_path):
    text = "a;b\n1,500;2.5\n2,500;3.5\n4;5.5\n5;6\n6;7\n7;8\n"
    numbers = numbers_of(tmp_path / "thousands.csv", text)
    np.testing.assert_array_equal(numbers.X[:3], [[1500, 2.5], [2500, 3.5], [4, 5.5]])
    assert numbers.notes == []


def _written(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "names", "note"),
    [
        ("id,a,b\n1,2,x\n2,3,y\n3,4,z\n", ["id", "a"], "'b' is not used: it holds no numbers"),
        ('"",a\n"1",2\n"2",3\n"3",5\n', ["a"], "'column 1' is not used: it only names the rows"),
        ("a,b,\n1,2,\n2,3,\n3,5,\n", ["a", "b"], "'column 3' is not used: it is empty"),
        ("column 1,b\n1,2\n2,3\n3,5\n", ["column 1", "b"], ""),
        ("1,2\n2,3\n3,5\n", ["column 1", "column 2"], "the first row (1, 2) was read as data"),
        (
            "a,b\n1,2\nx,3\ny,5\n4,6\n",
            ["b"],
            "'a' is not used: 2 cells of 4 are text, the first 'x'",
        ),
        (" a , b\n1 , 2\n 2, 3\n3,5\n", ["a", "b"], ""),
        ("yes,a\nTrue,2\nFalse,3\nTrue,5\n", ["yes", "a"], "True and False were read as 1 and 0"),
        (
            "ip,a\n192.168.100.200,2\n10.1.0.3,3\n8.8.8.8,5\n",
            ["a"],
            "'ip' is not used: it holds IP",
        ),
        ("day,a\n31.01.2024,2\n01.02.2024,3\n,5\n", ["a"], "'day' is not used: it holds dates"),
    ],
)
def test_which_columns_are_used(tmp_path, text, names, note):
    numbers = numbers_of(tmp_path / "table.csv", text)
    assert numbers.names == names
    assert [note in said for said in numbers.notes] == ([True] if note else [])


def test_named_columns_come_in_the_order_named(tmp_path):
    text = '"",a,"b, c"\n1,2,3\n4,5,6\n'
    numbers = numbers_of(tmp_path / "table.csv", text, columns='"b, c", column 1')
    assert numbers.names == ["b, c", "column 1"]
    np.testing.assert_array_equal(numbers.X, [[3, 1], [6, 4]])
    assert numbers.notes == []


def test_parquet_types(tmp_path):
    frame = pd.DataFrame(
        {
            "integer": [1, 2, 3],
            "nullable": pd.array([4, 5, 6], dtype="Int64"),
            "single": np.array([0.5, 1.5, 2.5], dtype=np.float32),
            "exact": [Decimal("1.5"), Decimal("2.5"), Decimal("3")],
            "digits": ["7", "8.5", "9"],
            "flag": [True, False, True],
            "day": pd.date_range("2020-01-01", periods=3),
            "word": pd.array(["x", "y", "z"], dtype="string"),
            "nested": [[1], [2], [3]],
        },
        index=pd.Index([10, 20, 30], name="key"),
    )
    frame.to_parquet(tmp_path / "table.parquet")
    numbers = numeric_columns(read_table(tmp_path / "table.parquet"))
    assert numbers.names == ["integer", "nullable", "single", "exact", "digits", "flag"]
    expected = [[1, 4, 0.5, 1.5, 7, 1], [2, 5, 1.5, 2.5, 8.5, 0], [3, 6, 2.5, 3, 9, 1]]
    np.testing.assert_array_equal(numbers.X, expected)
    skipped = [note.split("'")[1] for note in numbers.notes if "not used" in note]
    assert skipped == ["key", "day", "word", "nested"]
    keys = numeric_columns(read_table(tmp_path / "table.parquet"), ReadingOptions(columns="key"))
    np.testing.assert_array_equal(keys.X, [[10], [20], [30]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n1.500;1,82\n12.100;1,75\n", [[1500, 1.82], [12100, 1.75]]),
        ("a;b\n1.234.567,5;1\n-2.000;2\n", [[1234567.5, 1], [-2000, 2]]),
        ("a;b\n1,500;1.82\n12,100;1.75\n", [[1500, 1.82], [12100, 1.75]]),
        ('a,b\n"1,500",1.82\n"1,234,567.5",-3\n', [[1500, 1.82], [1234567.5, -3]]),
        ("a;b\n1,5;2\n2,25;3\n", [[1.5, 2], [2.25, 3]]),
    ],
)
def test_points_and_commas_are_decimals_or_thousands(tmp_path, text, expected):
    np.testing.assert_array_equal(numbers_of(tmp_path / "marks.csv", text).X, expected)


def test_two_decimal_marks_in_a_column_are_refused(tmp_path):
    text = "a;b\n1.5;1\n2.25;2\n1,82;3\n1,75;4\n"
    with pytest.raises(InputError, match=r"'1,82' has a decimal comma, and '1\.5' a decimal point"):
        numbers_of(tmp_path / "mixed.csv", text)


def test_each_column_has_its_own_decimal_mark(tmp_path):
    numbers = numbers_of(tmp_path / "mixed.csv", "a;b\n1.5;1,82\n2.25;1,75\n")
    np.testing.assert_array_equal(numbers.X, [[1.5, 1.82], [2.25, 1.75]])
    assert numbers.notes == ["decimal commas were read as decimal points in b; a has points"]


@pytest.mark.parametrize("mark", ["?", ".", "-", "--", "NA", "n/a", "null", ""])
def test_marks_of_missing_cells(tmp_path, mark):
    path = tmp_path / "holes.csv"
    path.write_text(f"a,b\n1,2\n{mark},3\n4,5\n")
    numbers = numeric_columns(read_table(path), takes_missing=True)
    np.testing.assert_array_equal(numbers.X, [[1, 2], [np.nan, 3], [4, 5]])

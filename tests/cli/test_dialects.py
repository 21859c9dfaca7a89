"""Dialects of text tables: any of them is read as it was meant, or what is open is told."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from em_toolkit.cli.columns import numeric_columns
from em_toolkit.cli.messages import InputError
from em_toolkit.cli.options import Format, ReadingOptions
from em_toolkit.cli.reading import read_table


def read(path, content, takes_missing=True, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = ReadingOptions(**options)
    table = read_table(path, options)
    return numeric_columns(table, options, takes_missing=takes_missing)


# -- the round trip -------------------------------------------------------------------------------

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "blank": " "}
GROUPS = ["", ",", ".", " ", "'", "’", "\u00a0", "\u202f", "\u2009"]


def written(value, n_decimals, decimal, group, minus):
    """A number as a person of some country writes it, by Python's own formatting."""
    text = f"{abs(value):,.{n_decimals}f}"
    text = text.replace(",", "\0").replace(".", decimal).replace("\0", group)
    return (minus if value < 0 else "") + text


@st.composite
def dialects(draw):
    separator = draw(st.sampled_from(list(SEPARATORS.values())))
    decimal = draw(st.sampled_from(".,"))
    group = draw(st.sampled_from(GROUPS))
    assume(group != decimal)
    # Cells and groups of digits by one sign: the file is refused, or --separator says what it is.
    assume(group != separator or separator != " ")
    return {
        "separator": separator,
        "decimal": decimal,
        "group": group,
        "minus": draw(st.sampled_from("-\u2212")),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "header": draw(st.booleans()),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])),
        "ending": draw(st.sampled_from(["\n", "\r\n"])),
    }


COMPANIONS = {
    "day": ["31.01.2024", "01.02.2024", "29.02.2024"],
    "time": ["18.00.00", "18.30.15", "09.05.00"],
    "iso": ["2024-01-31", "2024-02-01", "2024-02-29"],
    "ip": ["192.168.100.200", "10.0.0.1", "8.8.4.4"],
    "remark": ["x", "3,5", "0.100"],
    "quoted": ["1,5; 2,5", "a | b", 'said "so"'],
}


@settings(max_examples=150, deadline=None)
@given(
    dialect=dialects(),
    values=st.lists(
        st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**5), 10**5)),
        min_size=5,
        max_size=12,
        unique=True,
    ),
    n_decimals=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    companions=st.lists(st.sampled_from(list(COMPANIONS)), max_size=2, unique=True),
)
def test_numbers_come_back_or_a_note_tells(
    tmp_path_factory, dialect, values, n_decimals, companions
):
    numbers = np.array(
        [[v / 10**n for v, n in zip(row, n_decimals, strict=True)] for row in values]
    )
    rows = [
        [
            *(COMPANIONS[name][i % 3] for name in companions),
            *(
                written(x, n, dialect["decimal"], dialect["group"], dialect["minus"])
                for x, n in zip(row, n_decimals, strict=True)
            ),
        ]
        for i, row in enumerate(numbers)
    ]
    names = [*companions, "first", "second"]
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=dialect["separator"],
        quoting=dialect["quoting"],
        lineterminator=dialect["ending"],
    )
    writer.writerows([names, *rows] if dialect["header"] else rows)
    content = text.getvalue().encode(dialect["encoding"])
    path = tmp_path_factory.getbasetemp() / "dialect.csv"
    last = f"{len(names) - 1},{len(names)}"
    found = read(path, content, columns=last)
    if not dialect["header"] and any("--no-header" in note for note in found.notes):
        found = read(path, content, columns=last, header=False)
    assert len(found.X) == len(numbers)
    for position, (values_read, meant) in enumerate(zip(found.X.T, numbers.T, strict=True)):
        is_told = any(
            note.startswith(f"column '{found.names[position]}'") and "--decimal" in note
            for note in found.notes
        )
        if not is_told:
            np.testing.assert_array_equal(values_read, meant)
    # A person who follows the notes gets what was meant.
    if dialect["header"]:
        group = {"’": "'", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "": None}.get(
            dialect["group"], dialect["group"]
        )
        said = read(path, content, columns=last, decimal=dialect["decimal"], thousands=group)
        np.testing.assert_array_equal(said.X, numbers)
        assert not any("--decimal" in note for note in said.notes)


# -- decimal marks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a,b\n"0,100",1\n"1,250",2\n"2,500",4\n', [0.1, 1.25, 2.5]),
        ("a;b\n0.100;x\n0.250;3,5\n2.500;z\n", [0.1, 0.25, 2.5]),
        ("d;a\n31.01.2024;1,25\n01.02.2024;2,5\n", [1.25, 2.5]),
        ("t;a\n18.00.00;2,6\n19.00.00;3,5\n", [2.6, 3.5]),
        ("ip;a\n192.168.100.200;2,6\n192.168.100.201;3,5\n", [2.6, 3.5]),
        ("m;a\n01.2024;2,6\n02.2024;3,5\n", [2.6, 3.5]),
        ('a;b\n"10,5";x\n"1,5E+01";y\n', [10.5, 15.0]),
        ("a;b\n1'234.5;x\n-2’345’678.25;y\n", [1234.5, -2345678.25]),
        ("a;b\n1\u00a0234,5;x\n2\u202f345\u202f678,5;y\n", [1234.5, 2345678.5]),
        ("a\tb\n12,345,678\tx\n1,234,567\ty\n", [12345678, 1234567]),
        ("a\tb\n12,34,567\tx\n1,234,568\ty\n", [1234567, 1234568]),
        ("a\tb\n\u221212.5\tx\n3\ty\n", [-12.5, 3]),
        ("sep=;\na;b\n1;x\n2;y\n", [1, 2]),
        ("x\n1,5\n2,5\n0,25\n", [1.5, 2.5, 0.25]),
        ('p,b\n$50.6,x\n-$3,y\n"$1,200.5",z\n', [50.6, -3, 1200.5]),
        ("p;b\n50,6 €;x\n1.200,50 €;z\n", [50.6, 1200.5]),
        ("p,b\nCHF 1'200.50,x\nCHF 3,y\n", [1200.5, 3]),
        ("p,b\n50%,x\n4.5%,y\n", [50, 4.5]),
        ("f,b\nTRUE,x\nfalse,y\n", [1, 0]),
    ],
)
def test_forms_of_numbers(tmp_path, text, expected):
    numbers = read(tmp_path / "table.csv", text)
    np.testing.assert_array_equal(numbers.X[:, 0], expected)
    assert numbers.X.shape[1] == (2 if text.startswith("a,b") else 1)
    assert not any("--decimal" in note for note in numbers.notes)


@pytest.mark.parametrize(
    ("text", "guess", "other"),
    [
        ("Datum;x\n31.01.2024;9,996\n01.02.2024;8,123\n", 9.996, {"decimal": "."}),
        ("d\tx\nu\t9,996\nv\t8,123\n", 9996.0, {"decimal": ","}),
        ('d,x\nu,"9,996"\nv,"8,123"\n', 9996.0, {"thousands": "."}),
        ("d;x\nu;9.996\nv;8.123\n", 9.996, {"thousands": "."}),
        # One slip among grouped numbers turns them all.
        ("d;x\nu;9.996\nv;8.123\nw;7.125\nz;3,5\n", 9996.0, {"exclude": "d"}),
    ],
)
def test_numbers_that_can_be_read_in_two_ways_are_told(tmp_path, text, guess, other):
    numbers = read(tmp_path / "table.csv", text)
    assert numbers.X[0, 0] == guess
    (note,) = [note for note in numbers.notes if "was read as" in note]
    assert "--decimal" in note
    assert "--thousands" in note
    again = read(tmp_path / "table.csv", text, **other)
    if "exclude" not in other:
        assert {again.X[0, 0], guess} == {9.996, 9996.0}
        assert not any("was read as" in note for note in again.notes)


def test_percentages_beside_shares_are_no_numbers(tmp_path):
    text = "a,p\n1,45%\n2,0.5\n4,60%\n5,0.4\n"
    assert read(tmp_path / "table.csv", text).names == ["a"]
    with pytest.raises(InputError, match="'45%' is not a number"):
        read(tmp_path / "table.csv", text, columns="p")


# -- headers --------------------------------------------------------------------------------------

IRIS = "5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n4.7,3.2,Iris-virginica\n"


@pytest.mark.parametrize(
    ("text", "names", "n_rows", "note"),
    [
        (IRIS, ["column 1", "column 2"], 3, "no header"),
        ("x,5,2.5\ny,6,3.5\nx,7,1.5\n", ["column 2", "column 3"], 3, "no header"),
        ("31.01.2024;1,5\n01.02.2024;2,5\n", ["column 2"], 2, "no header"),
        ("?,5,2.5\n3,6,3.5\n4,7,1.5\n", ["column 1", "column 2", "column 3"], 3, "no header"),
        ("name,a\nx,1\ny,2\n", ["a"], 2, ""),
        ("Datum;a\n31.01.2024;1,5\n01.02.2024;2,5\n", ["a"], 2, ""),
        (
            "land,1990,1991,1992\nA,1.5,2.5,3\nB,3,4,7\n",
            ["1990", "1991", "1992"],
            2,
            "names of the",
        ),
        ("0,1\n1.5,2.5\n2.5,3.5\n", ["0", "1"], 2, "taken as the names"),
        (",0,1\n0,1.5,2.5\n1,2.5,3.5\n", ["0", "1"], 2, "taken as the names"),
        ("a b\n1 1.5 2.5\n2 2.5 3.5\n", ["a", "b"], 2, ""),
        ("# made by numpy\n# a b\n1.5 2.5\n2.5 3.5\n", ["a", "b"], 2, "#"),
    ],
)
def test_a_header_is_told_by_types(tmp_path, text, names, n_rows, note):
    numbers = read(tmp_path / "table.csv", text)
    assert numbers.names == names
    assert len(numbers.X) == n_rows
    said = [
        said for said in numbers.notes if "header" in said or "first row" in said or "#" in said
    ]
    assert [note in line for line in said] == ([True] if note else [])


def test_a_person_decides_on_the_header(tmp_path):
    path = tmp_path / "table.csv"
    assert read(path, IRIS, header=True).names == ["5.1", "3.5"]
    numbers = read(path, "1990,1991,1992\n1.5,2.5,3\n3,4,7\n", header=False)
    assert numbers.names == ["column 1", "column 2", "column 3"]
    np.testing.assert_array_equal(numbers.X[0], [1990, 1991, 1992])
    with pytest.raises(InputError, match=r"line 1, column 'column 1': 'a' is not .* --header"):
        read(path, "a\n1\n2\n", header=False)


# -- files ----------------------------------------------------------------------------------------

PLAIN = "größe;b\n1,5;2\n2,5;4\n3;5\n"
EXPECTED = [[1.5, 2], [2.5, 4], [3, 5]]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_found(tmp_path, encoding):
    numbers = read(tmp_path / "table.csv", PLAIN.encode(encoding))
    assert numbers.names == ["größe", "b"]
    np.testing.assert_array_equal(numbers.X, EXPECTED)
    assert any("--encoding" in note for note in numbers.notes) == (encoding == "latin-1")


def test_an_encoding_that_a_person_names(tmp_path):
    path = tmp_path / "table.csv"
    assert read(path, PLAIN.encode("cp850"), encoding="cp850").names == ["größe", "b"]
    with pytest.raises(InputError, match="no encoding is called 'klingon'"):
        read(path, PLAIN, encoding="klingon")
    with pytest.raises(InputError, match=r"line 1: not ascii text; --encoding"):
        read(path, PLAIN, encoding="ascii")


def zipped(content, **others):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in {"inner.csv": content, **others}.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("table.csv.gz", gzip.compress),
        ("table.csv", gzip.compress),
        ("table.txt", bytes),
        ("table.data", bytes),
        ("table.csv.zip", zipped),
        ("table.zip", zipped),
    ],
)
def test_suffixes_and_compressions(tmp_path, name, pack):
    path = tmp_path / name
    np.testing.assert_array_equal(read(path, pack(PLAIN.encode())).X, EXPECTED)
    assert read_table(path).stem == "table"


def test_a_format_that_a_person_names(tmp_path):
    path = tmp_path / "table.results"
    with pytest.raises(InputError, match="--format csv, tsv"):
        read(path, PLAIN)
    np.testing.assert_array_equal(read(path, PLAIN, format=Format.CSV).X, EXPECTED)
    with pytest.raises(InputError, match="two, three"):
        read(tmp_path / "table.zip", zipped("", two=PLAIN, three=PLAIN))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input(tmp_path, monkeypatch, pack):
    class Piped:
        buffer = io.BytesIO(pack(PLAIN.encode()))

    monkeypatch.setattr("sys.stdin", Piped)
    table = read_table(Path("-"))
    np.testing.assert_array_equal(numeric_columns(table).X, EXPECTED)
    assert table.stem == "stdin"


def test_excel(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "table.xlsx"
    frame = pd.DataFrame(
        {
            "day": pd.date_range("2024-01-31", periods=4),
            "a": [1.5, 2.5, None, 3],
            "text": ["3,5", "x", "y", "z"],
            "comma": ["1,5", "2,5", "3,25", "4"],
            "flag": [True, False, True, True],
        }
    )
    with pd.ExcelWriter(path) as book:
        frame.to_excel(book, sheet_name="first", index=False, startrow=2)
        frame.rename(columns={"a": "b"}).to_excel(book, sheet_name="second", index=False)
    options = ReadingOptions()
    table = read_table(path, options)
    assert table.header == "row 3"
    numbers = numeric_columns(table, options, takes_missing=True)
    assert numbers.names == ["a", "comma", "flag"]
    np.testing.assert_array_equal(
        numbers.X, [[1.5, 1.5, 1], [2.5, 2.5, 0], [np.nan, 3.25, 1], [3, 4, 1]]
    )
    assert table.place(0) == "row 4"
    assert any("sheet 'first' of 2" in note for note in numbers.notes)
    assert "b" in read_table(path, ReadingOptions(sheet="second")).frame
    with pytest.raises(InputError, match="the sheets are first, second"):
        read_table(path, ReadingOptions(sheet="third"))


def test_lines_about_a_table(tmp_path):
    path = tmp_path / "table.csv"
    text = "Title\n\nyear;a;b\n1990;1,5;2\n1991;2,5;4\n1992;4;7\n____\n(C) office\n"
    with pytest.raises(InputError, match=r"line 3: 3 cells.*--skip-rows 2"):
        read(path, text)
    with pytest.raises(InputError, match=r"line 7: 1 cell,.*--skip-footer 2"):
        read(path, text, skip_rows=2)
    numbers = read(path, text, skip_rows=2, skip_footer=2)
    np.testing.assert_array_equal(numbers.X, [[1990, 1.5, 2], [1991, 2.5, 4], [1992, 4, 7]])


def test_columns_of_the_same_name_are_chosen_by_position(tmp_path):
    text = 'a,a,"b, c"\n1,2,3\n4,5,9\n'
    path = tmp_path / "table.csv"
    numbers = read(path, text)
    assert numbers.names == ["a (column 1)", "a (column 2)", "b, c"]
    assert any("2 columns are named 'a'" in note for note in numbers.notes)
    np.testing.assert_array_equal(read(path, text, columns="2,3").X, [[2, 3], [5, 9]])
    np.testing.assert_array_equal(read(path, text, exclude="2").X, [[1, 3], [4, 9]])
    with pytest.raises(InputError, match=r"did you mean 'a \(column 1\)' or 'a \(column 2\)'"):
        read(path, text, columns="a")
    with pytest.raises(InputError, match=r'the columns are .*, "b, c"$'):
        read(path, text, columns="zzz")


def test_rows_that_end_with_separators(tmp_path):
    numbers = read(tmp_path / "table.csv", "a;b;;\n1,5;2;;\n2,5;4;;\n3;5;;\n;;;\n;;;\n")
    np.testing.assert_array_equal(numbers.X, EXPECTED)
    assert "2 rows without any value were left out" in numbers.notes
    with pytest.raises(InputError, match="line 4, column 'b': 'x'"):
        read(tmp_path / "table.csv", "a;b\n1;2\n;\n3;x\n4;5\n", columns="b")


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u202f", "\u2009"])
@pytest.mark.parametrize("separator", ["\t", ";", "|"])
def test_groups_set_apart_by_blanks_are_no_columns(tmp_path, separator, blank):
    rows = [["ip", "n"], ["192.168.0.1", f"12{blank}345"], ["10.0.0.1", f"1{blank}250"]]
    text = "".join(separator.join(row) + "\n" for row in rows)
    numbers = read(tmp_path / "table.txt", text)
    assert numbers.names == ["n"]
    np.testing.assert_array_equal(numbers.X[:, 0], [12345, 1250])


def test_blanks_separate_where_other_signs_are_in_the_cells(tmp_path):
    text = "31.01.2024 7 0,5\n01.02.2024 8 1,5\n02.02.2024 9 2,25\n"
    numbers = read(tmp_path / "table.txt", text, columns="2,3")
    np.testing.assert_array_equal(numbers.X, [[7, 0.5], [8, 1.5], [9, 2.25]])


def test_utf16_without_a_mark_may_hold_other_signs(tmp_path):
    text = "\u22121,0\n\u22122,\u22122\n\u22123,\u22125\n"
    numbers = read(tmp_path / "table.csv", text.encode("utf-16-le"))
    np.testing.assert_array_equal(numbers.X, [[-1, 0], [-2, -2], [-3, -5]])

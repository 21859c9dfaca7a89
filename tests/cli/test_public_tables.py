"""Remakes of public tables, with their separators, dates, codes and encodings, on the way in.

Each was taken through fit, select and compare by hand; what made people stumble is held here.
"""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from em_toolkit.cli import main, pictures
from em_toolkit.cli.columns import numeric_columns
from em_toolkit.cli.options import ReadingOptions
from em_toolkit.cli.reading import read_table

RNG = np.random.default_rng(1)
N = 60
A = np.where(np.arange(N) % 5 < 2, RNG.normal(60, 5, N), RNG.normal(110, 8, N)).round(1)
B = np.where(np.arange(N) % 5 < 2, RNG.normal(5, 0.5, N), RNG.normal(8, 0.8, N)).round(2)
ROWS = range(N)


def german(value, n_decimals=1, group="."):
    text = f"{value:,.{n_decimals}f}"
    return text.replace(",", "\0").replace(".", ",").replace("\0", group)


def table(*lines, ending="\n"):
    return ending.join(lines) + ending


DESTATIS = table(
    "Statistik über Ämter",
    "Stand: 31.12.2023",
    "Stichtag;Bevölkerung;Quote",
    *(
        f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2023;{german(A[i] * 1000)};{german(B[i], 2)}"
        for i in ROWS
    ),
    "31.12.2023;...;-",
    "__________",
    "(C)opyright Statistisches Bundesamt",
).encode("latin-1")

# file, content, options, names, columns, part of a note
TABLES = {
    "destatis": (
        "12411-0001.csv",
        DESTATIS,
        {"skip_rows": 2, "skip_footer": 2},
        {"Bevölkerung": np.r_[(A * 1000).round(), np.nan], "Quote": np.r_[B, np.nan]},
        "Windows-1252",
    ),
    "wine quality": (
        "winequality-red.csv",
        table('"fixed acidity";"quality"', *(f"{A[i]};{B[i]}" for i in ROWS)),
        {},
        {"fixed acidity": A, "quality": B},
        "",
    ),
    "air quality": (
        "AirQualityUCI.csv",
        table(
            "Date;Time;CO(GT);AH;;",
            *(
                f"10/03/2004;{i % 24:02d}.00.00;{'-200' if i % 7 == 0 else german(A[i])};"
                f"{german(B[i] / 10, 4)};;"
                for i in ROWS
            ),
            *[";;;;;"] * 14,
        ),
        {"missing": "-200"},
        {"CO(GT)": np.where(np.arange(N) % 7 == 0, np.nan, A), "AH": (B / 10).round(4)},
        "14 rows without any value",
    ),
    "adult": (
        "adult.data",
        table(
            *(
                f"{A[i]}, Private, {'?' if i % 9 == 0 else B[i]}, {'Cuba' if i else '?'}, <=50K"
                for i in ROWS
            )
        ),
        {},
        {"column 1": A, "column 3": np.where(np.arange(N) % 9 == 0, np.nan, B)},
        "no header",
    ),
    "gapminder": (
        "life_expectancy.csv",
        table("country,1990,1991,1992", *(f'"C, {i}",{A[i]},{B[i]},{A[i] + 1:.1f}' for i in ROWS)),
        {},
        {"1990": A, "1991": B, "1992": (A + 1).round(1)},
        "--no-header",
    ),
    "excel export": (
        "export.csv",
        table(
            "sep=;",
            "Nr;Umsatz;Marge",
            *(f"{i + 1};{german(A[i] * 100, 2)} €;{german(B[i], 2)}%" for i in ROWS),
            ending="\r\n",
        ).encode("utf-8-sig"),
        {},
        {"Umsatz": (A * 100).round(2), "Marge": B},
        "counts the rows",
    ),
    "excel text": (
        "unicode.txt",
        table("x\ty", *(f"{german(A[i])}\t{german(B[i], 2)}" for i in ROWS)).encode("utf-16"),
        {},
        {"x": A, "y": B},
        "decimal commas",
    ),
    "swiss": (
        "gemeinden.csv",
        table("Gemeinde;Einwohner;Satz", *(f"G{i};{A[i] * 100:,.0f};{B[i]}" for i in ROWS)).replace(
            ",", "’"
        ),
        {},
        {"Einwohner": (A * 100).round(), "Satz": B},
        "",
    ),
    "french": (
        "communes.csv",
        table(
            "commune;population;taux",
            *(f"É{i};{german(A[i] * 1000, 0, chr(0x202F))};{german(B[i], 2)} %" for i in ROWS),
        ),
        {},
        {"population": (A * 1000).round(), "taux": B},
        "sign %",
    ),
    "american": (
        "sales.csv",
        table("state,sales,price", *(f'S{i},"{A[i] * 100:,.0f}",${B[i]:.2f}' for i in ROWS)),
        {},
        {"sales": (A * 100).round(), "price": B},
        "sign $",
    ),
    "log": (
        "server.log",
        table(
            "# software: httpd",
            *(
                f"2024-01-{i % 28 + 1:02d} {i % 24:02d}:05:00 192.168.1.{i} {A[i]} {B[i]}"
                for i in ROWS
            ),
        ),
        {},
        {"column 4": A, "column 5": B},
        "IP addresses",
    ),
    "R": (
        "table.csv.gz",
        gzip.compress(
            pd.DataFrame({"id": ROWS, "x": A, "y": B, "flag": A > 80, "c": 1}).to_csv().encode()
        ),
        {},
        {"x": A, "y": B, "flag": (A > 80).astype(float)},
        "constant",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_numbers_of_a_public_table(tmp_path, case):
    name, content, options, columns, note = TABLES[case]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = ReadingOptions(**options)
    numbers = numeric_columns(read_table(path, options), options, takes_missing=True)
    assert numbers.names == list(columns)
    np.testing.assert_array_equal(numbers.X, np.column_stack(list(columns.values())))
    assert any(note in line for line in numbers.notes) or not note
    assert not any("--decimal" in line for line in numbers.notes)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(pictures, "save", lambda figure, path: path.touch())

    def command(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return command


ALL_OPTIONS = [
    *("--skip-rows", "1", "--skip-footer", "1", "--separator", ";", "--encoding", "latin-1"),
    *("--decimal", ",", "--thousands", ".", "--header", "--missing", "-999,weg"),
    *("--exclude", "3", "--format", "txt"),
]


@pytest.mark.parametrize("command", [["fit"], ["select", "-k", "2"], ["compare"]])
def test_every_command_takes_every_option(run, tmp_path, command):
    content = table(
        "Titel", "größe;b;c", *(f"{german(A[i])};{german(B[i])};x" for i in ROWS), "Ende"
    )
    (tmp_path / "table.out").write_bytes(content.encode("latin-1"))
    code, out, err = run(command[0], "table.out", *command[1:], *ALL_OPTIONS)
    assert (code, err) == (0, "")
    assert f"table.out: {N} rows (names from line 2), 2 columns: größe, b" in out


def test_names_of_results_and_notes_on_components(run, tmp_path):
    name, content, *_ = TABLES["air quality"]
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    code, out, err = run("fit", f"{name}.gz", "--seed", "0", "--columns", "3,4")
    assert code == 0
    assert "component 1 has no spread in column 'CO(GT)': held at reg_covar" in err
    assert "--missing -200" in out
    assert "component" in out[out.index("all 9 rows of component") :]
    folder = tmp_path / "AirQualityUCI_em"
    labelled = pd.read_csv(folder / "AirQualityUCI_labelled.csv", sep=";", decimal=",")
    assert len(labelled) == N
    np.testing.assert_allclose(labelled["responsibility_0"] + labelled["responsibility_1"], 1)
    parameters = json.loads((folder / "AirQualityUCI_parameters.json").read_text())
    assert parameters["columns"] == ["CO(GT)", "AH"]


def test_a_result_is_not_modelled_again(run, tmp_path):
    name, content, *_ = TABLES["wine quality"]
    (tmp_path / name).write_text(content)
    run("fit", name, "--out", "out")
    code, out, _ = run("fit", "out/winequality-red_labelled.csv")
    assert code == 0
    assert "2 columns: fixed acidity, quality" in out
    assert "'responsibility_1' are not used: each is a result of an earlier fit" in out

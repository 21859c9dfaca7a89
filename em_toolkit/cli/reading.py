"""Reading a person's file into a table, cell by cell as they stand there."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

# Numbers with a decimal mark, and whole or decimal ones whose digits the mark puts into groups.
_WITH = {mark: re.compile(rf"[-+]?[\d.,]*[{mark}]\d+") for mark in ",."}
_GROUPED = {
    mark: re.compile(rf"[-+]?\d{{1,3}}([{mark}]\d{{3}})+([{other}]\d*)?")
    for mark, other in (",.", ".,")
}
_NOT_UTF8 = "not UTF-8 text; save the table as CSV in UTF-8"


class InputError(Exception):
    """What a person gave cannot be used; the message says in one line why, and what to do."""


@dataclass(frozen=True)
class Table:
    """A table as it stands in a file.

    Parameters
    ----------
    path : Path
    frame : DataFrame
        The cells: text, just as it was written, where the file is text.
    places : sequence of str
        Where each row stands in the file: "line 2" is the first below the header of a text file.
    row_names : set of str
        Columns that name the rows: the index of a frame, or columns without a name in the file,
        as R and pandas write them.
    separator, decimal : str
        Between cells, and within numbers.
    notes : list of str
        What a person should know of the reading.
    """

    path: Path
    frame: pd.DataFrame
    places: Sequence[str]
    row_names: frozenset[str] = frozenset()
    separator: str = ","
    decimal: str = "."
    notes: list[str] = field(default_factory=list)

    def where(self, row: int, column: str) -> str:
        """The place of a cell, for a person who looks for it in the file."""
        return f"{self.path}, {self.places[row]}, column '{column}'"


def read_table(path: Path) -> Table:
    """Read a file.

    Parameters
    ----------
    path : Path
        With the suffix .csv (separated by commas, semicolons, tabs or bars), .tsv or .parquet.

    Returns
    -------
    Table

    Raises
    ------
    InputError
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        found = f"'{path.suffix}'" if path.suffix else "none"
        raise InputError(
            f"{path}: the suffix must be {', '.join(_READERS)}; got {found}: what kind of file "
            "is this?"
        )
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not content.strip():
        raise InputError(f"{path}: the file is empty")
    table = reader(path, content)
    if table.frame.empty:
        raise InputError(f"{path}: the table has column names and no rows")
    return table


def _read_text(path: Path, content: bytes) -> Table:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: {_NOT_UTF8}") from None
    if "\0" in text:
        raise InputError(f"{path}: {_NOT_UTF8}")
    separator = _separator(text)
    records, lines = _records(path, text, separator)
    if not records:
        raise InputError(f"{path}: the file is empty")
    header = [name.strip() for name in records[0]]
    for record, line in zip(records, lines, strict=True):
        if len(record) != len(header):
            raise InputError(
                f"{path}, line {line}: {count(len(record), 'cell')}, where the header has "
                f"{count(len(header), 'column')}"
            )
    notes = []
    if all(number(name, ".") is not None for name in header):
        first = ", ".join(header[:5])
        notes.append(f"line 1 ({first}) was taken as the names of the columns, not as data")
    names = [name or f"column {position}" for position, name in enumerate(header, start=1)]
    _check_names(path, names)
    cells = list(zip(*records[1:], strict=True)) or [() for _ in names]
    decimal = _decimal(path, separator, cells)
    if decimal == ",":
        notes.append("decimal commas were read as decimal points")
    frame = pd.DataFrame(dict(zip(names, cells, strict=True)), dtype=object)
    places = [f"line {line}" for line in lines[1:]]
    row_names = frozenset(names) - frozenset(header)
    return Table(path, frame, places, row_names, separator, decimal, notes)


def _check_names(path: Path, names: list[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{path}: {times} columns are named '{name}'; rename them")


def _separator(text: str) -> str:
    header = next(iter(text.lstrip().splitlines()), "")[:10_000]
    counts = {mark: len(next(csv.reader([header], delimiter=mark))) for mark in ",;\t|"}
    return max(counts, key=lambda mark: counts[mark])


def _decimal(path: Path, separator: str, cells: list[tuple[str, ...]]) -> str:
    """A comma, if numbers are written with commas, and with points for thousands at most."""
    if separator == ",":
        return "."
    texts = [text.strip() for column in cells for text in column]
    commas = [text for text in texts if _WITH[","].fullmatch(text)]
    points = [text for text in texts if _WITH["."].fullmatch(text)]
    if not commas:
        return "."
    if all(_GROUPED["."].fullmatch(text) for text in points):
        return ","
    if all(_GROUPED[","].fullmatch(text) for text in commas):
        return "."
    raise InputError(
        f"{path}: '{commas[0]}' has a decimal comma, and '{points[0]}' a decimal point; write all "
        "numbers with one of them"
    )


def _records(path: Path, text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """The rows that are not blank, and the line that each begins on."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    records, lines, begun = [], [], 1
    try:
        for record in reader:
            if len(record) > 1 or "".join(record).strip():
                records.append(record)
                lines.append(begun)
            begun = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {begun}: not a row of a CSV file: {error}") from None
    return records, lines


def _read_parquet(path: Path, content: bytes) -> Table:
    import pyarrow as pa

    try:
        frame = pd.read_parquet(io.BytesIO(content))
        n_columns = len(frame.columns)
        if not isinstance(frame.index, pd.RangeIndex):
            frame = frame.reset_index()
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a parquet file that can be read: {reason}") from None
    names = [str(name) for name in frame.columns]
    _check_names(path, names)
    frame.columns = pd.Index(names, dtype=object)
    places = [f"row {row}" for row in range(1, len(frame) + 1)]
    return Table(path, frame, places, frozenset(names[: len(names) - n_columns]))


_READERS: dict[str, Callable[[Path, bytes], Table]] = {
    ".csv": _read_text,
    ".tsv": _read_text,
    ".parquet": _read_parquet,
}


def number(cell: Any, decimal: str) -> float | None:
    """A cell as a number, NaN apart; None if it is none. Thousands may be in groups: 1,234.5."""
    if not isinstance(cell, str):
        # Python takes True for a number.
        is_number = isinstance(cell, Real | Decimal) and not isinstance(cell, bool)
        return float(cell) if is_number else None
    thousands = "." if decimal == "," else ","
    if _GROUPED[thousands].fullmatch(cell.strip()):
        cell = cell.replace(thousands, "")
    elif decimal == "," and "." in cell:
        return None
    try:
        # Python alone takes 1_000 for a number.
        return float(cell.replace(decimal, ".")) if "_" not in cell else None
    except ValueError:
        return None


def count(how_many: int, noun: str) -> str:
    """A number with its noun."""
    return f"{how_many} {noun}" + ("" if how_many == 1 else "s")

"""Reading tables: the cells of a file, just as they stand there."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa

from em_toolkit.cli import dialects
from em_toolkit.cli.files import Content, decode, load, stem
from em_toolkit.cli.messages import InputError, listed, quoted
from em_toolkit.cli.options import Format, ReadingOptions
from em_toolkit.cli.text import read_text

_DEFAULTS = ReadingOptions()
_SAMPLED_ROWS = 200


@dataclass(frozen=True)
class Table:
    """A table as it stands in a file.

    Parameters
    ----------
    path : Path
    frame : DataFrame
        The cells: text, just as it was written, where the file is text.
    place : callable
        From the number of a row to its place in the file: "line 2" is the first below the header
        of a text file.
    row_names : set of str
        Columns that name the rows: the index of a frame, or columns without a name in the file,
        as R and pandas write them.
    separator : str
        Between cells.
    header : str
        The place of the names of the columns, "" if the file has none.
    notes : list of str
        What a person should know of the reading.
    """

    path: Path
    frame: pd.DataFrame
    place: Callable[[int], str]
    row_names: frozenset[str] = frozenset()
    separator: str = ","
    header: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """The name of the file without its suffixes, for the names of results."""
        return stem(self.path)

    def where(self, row: int, column: str) -> str:
        """Return the place of a cell, for a person who looks for it in the file.

        Parameters
        ----------
        row : int
            Of `frame`, counted from 0.
        column : str
        """
        return f"{self.path}, {self.place(row)}, column '{column}'"


def read_table(path: Path, options: ReadingOptions = _DEFAULTS) -> Table:
    """Read a file.

    Parameters
    ----------
    path : Path
        Of text, Parquet or Excel, compressed or not; `-` stands for standard input.
    options : ReadingOptions, optional

    Returns
    -------
    Table

    Raises
    ------
    InputError
        If there is no such file, or its content is no table.
    """
    source = load(path, options.format)
    readers: dict[Format, Callable[[Content, ReadingOptions], Table]]
    readers = {Format.PARQUET: _read_parquet, Format.EXCEL: _read_excel}
    table = readers.get(source.format, _read_text)(source, options)
    if table.frame.empty:
        raise InputError(f"{table.path}: the table has column names and no rows")
    return table


def _read_text(source: Content, options: ReadingOptions) -> Table:
    text, notes = decode(source, options.encoding)
    found = read_text(source.path, text, options)
    notes += found.notes
    names, row_names = _unique(found.names, notes)
    frame = found.cells.set_axis(pd.Index(names, dtype=object), axis=1)
    # A table that is written may have cells that are empty, or hold blanks.
    written = {dialects.NONE: ";", dialects.BLANK: ","}
    separator = written.get(found.separator, found.separator)
    return Table(source.path, frame, found.place, row_names, separator, found.header, notes)


def _unique(names: Sequence[str], notes: list[str]) -> tuple[list[str], frozenset[str]]:
    """Names that differ, and those of them that were made up; a note where some were equal."""
    times = Counter(name for name in names if name)
    unique, made_up = [], []
    for position, name in enumerate(names, start=1):
        if times[name] != 1:
            name = f"{name} (column {position})" if name else f"column {position}"
        unique.append(name)
    for name, number in times.items():
        if number > 1:
            own = [new for new, old in zip(unique, names, strict=True) if old == name]
            notes.append(
                f"{number} columns are named {quoted(name)}; they are called {listed(own)}"
            )
    if any(names):
        made_up = [new for new, old in zip(unique, names, strict=True) if not old]
    return unique, frozenset(made_up)


def _read_parquet(source: Content, options: ReadingOptions) -> Table:
    try:
        frame = pd.read_parquet(io.BytesIO(source.content))
        n_columns = len(frame.columns)
        if not isinstance(frame.index, pd.RangeIndex):
            frame = frame.reset_index()
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{source.path}: not a parquet file that can be read: {reason}") from None
    notes: list[str] = []
    names, _ = _unique([str(name) for name in frame.columns], notes)
    frame = frame.set_axis(pd.Index(names, dtype=object), axis=1)
    row_names = frozenset(names[: len(names) - n_columns])
    return Table(source.path, frame, lambda row: f"row {row + 1}", row_names, notes=notes)


def _read_excel(source: Content, options: ReadingOptions) -> Table:
    path, notes = source.path, []
    try:
        with pd.ExcelFile(io.BytesIO(source.content)) as book:
            sheets = [str(name) for name in book.sheet_names]
            sheet = options.sheet or sheets[0]
            if sheet not in sheets:
                raise InputError(f"{path}: no sheet '{sheet}'; the sheets are {listed(sheets)}")
            cells = pd.read_excel(
                book,
                sheet_name=sheet,
                header=None,
                dtype=object,
                skiprows=options.skip_rows,
                skipfooter=options.skip_footer,
            )
    except ImportError as error:
        raise InputError(
            f'{path}: Excel files need another package: pip install "em_toolkit[excel]" ({error})'
        ) from None
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not an Excel file that can be read: {reason}") from None
    if len(sheets) > 1 and options.sheet is None:
        notes.append(f"the sheet '{sheet}' of {len(sheets)} was read (--sheet names another)")
    # Cells that were only formatted are no columns.
    cells = cells.dropna(how="all").dropna(how="all", axis=1)
    if cells.empty:
        raise InputError(f"{path}: the sheet '{sheet}' is empty")
    header = dialects.find_header(cells.iloc[:_SAMPLED_ROWS].values.tolist(), options.header)
    notes += [header.note] if header.note else []
    rows = options.skip_rows + 1 + cells.index.to_numpy()
    first, names = "", [""] * cells.shape[1]
    if header.is_there:
        first = f"row {rows[0]}"
        names = ["" if pd.isna(cell) else str(cell).strip() for cell in cells.iloc[0]]
        cells, rows = cells.iloc[1:], rows[1:]
    unique, row_names = _unique(names, notes)
    frame = cells.reset_index(drop=True).set_axis(pd.Index(unique, dtype=object), axis=1)
    return Table(path, frame, lambda row: f"row {rows[row]}", row_names, ",", first, notes)

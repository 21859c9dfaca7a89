"""Text files with a table in them: Arrow reads the cells, and this module finds the table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv

from em_toolkit.cli import dialects
from em_toolkit.cli.messages import InputError, count
from em_toolkit.cli.numbers import TEXT
from em_toolkit.cli.options import ReadingOptions

_BLOCK = 1 << 24  # bytes; no row may be longer
_REMARKS = re.compile(r"(?:[ \t]*#.*\n|[ \t]*\n)*")


@dataclass(frozen=True)
class TextTable:
    """The cells of a text file and where they stand.

    Parameters
    ----------
    cells : DataFrame
        Of text, without the row of names; its columns are numbered.
    names : list of str
        "" for a column without a name.
    place : callable
        From the number of a row to its line.
    header : str
        The line of the names, "" if there is none.
    separator : str
    notes : list of str
    """

    cells: pd.DataFrame
    names: list[str]
    place: Callable[[int], str]
    header: str
    separator: str
    notes: list[str]


def read_text(path: Path, text: str, options: ReadingOptions) -> TextTable:
    """Find the table in a text and read its cells.

    Parameters
    ----------
    path : Path
        For messages.
    text : str
    options : ReadingOptions

    Raises
    ------
    InputError
        If there is no table, or a row has more or fewer cells than others.
    """
    above, text, notes = _without_lines_about(text, options)
    separator = dialects.first_line_separator(text)
    if separator is not None:
        above, text = above + 1, _from_line(text, 1)
    if options.separator is not None:
        separator = dialects.named_separator(options.separator)
    separator = separator or dialects.find_separator(text)
    if separator == dialects.BLANK:
        text = "".join(map(dialects.squeezed, text.splitlines(keepends=True)))
    else:
        text = _without_blanks_before_quotes(text, separator)
    rows = dialects.sample(text, separator)
    if not rows:
        _check_rows(path, text, separator, above, None, 0)
        raise InputError(f"{path}: the file is empty")
    header = dialects.find_header(rows, options.header)
    notes += [header.note] if header.note else []
    first_row = [cell.strip() for cell in rows[0]] if header.is_there else None
    names = _names(rows, first_row)
    try:
        begins = [line for line, _ in islice(dialects.rows_of(text, separator), 2)]
    except dialects.BadRow:
        begins = []
    if len(begins) < 2:
        # Perhaps since a quotation mark is never closed.
        _check_rows(path, text, separator, above, first_row, len(names))
        begins += [text.count("\n") + 1]
    begin = begins[1 if header.is_there else 0]
    cells, misfits = _cells(_from_line(text, begin), separator, len(names))
    if misfits or text.count('"') % 2:
        _check_rows(path, text, separator, above, first_row, len(names))
    is_blank = (cells == "").all(axis=1)
    n_blank = int(is_blank.sum()) - len(re.findall(r"(?m)^\n", _from_line(text, begin)))
    if n_blank > 0 and separator != dialects.NONE:
        notes.append(f"{count(n_blank, 'row')} without any value were left out")
    rows_kept = np.flatnonzero(~is_blank)

    def place(row: int) -> str:
        above_it = cells.iloc[: rows_kept[row]]
        n_breaks = sum(int(above_it[name].str.count("\n").sum()) for name in cells)
        return f"line {above + begin + 1 + int(rows_kept[row]) + n_breaks}"

    return TextTable(
        cells[~is_blank].reset_index(drop=True),
        names,
        place,
        f"line {above + begins[0] + 1}" if header.is_there else "",
        separator,
        notes,
    )


def _without_lines_about(text: str, options: ReadingOptions) -> tuple[int, str, list[str]]:
    """Return the number of lines above the table, the text without those about it, and notes."""
    above = options.skip_rows
    text = _from_line(text, above)
    if options.skip_footer:
        lines = text.rstrip("\n").rsplit("\n", options.skip_footer)
        text = lines[0] + "\n" if len(lines) > options.skip_footer else ""
    remarks = _REMARKS.match(text)
    if remarks is None or not remarks[0].strip():
        return above, text, []
    lines = remarks[0].splitlines()
    body = text[remarks.end() :]
    # numpy.savetxt and gnuplot write the names as the last remark.
    names = re.sub(r"^[ \t]*#+[ \t]*", "", next(line for line in reversed(lines) if line.strip()))
    separator = dialects.find_separator(body)
    rows = dialects.sample(body, separator)
    head = dialects.sample(names, separator)
    is_header = bool(rows and head) and len(head[0]) == dialects.width_of(rows) > 1
    if is_header and not dialects.find_header(rows).is_there:
        lines, body = lines[:-1], names + "\n" + body
    skipped = [line for line in lines if line.strip()]
    note = f"{count(len(skipped), 'line')} above the table, with # in front, skipped"
    return above + len(lines), body, [note] if skipped else []


def _from_line(text: str, line: int) -> str:
    begin = 0
    for _ in range(line):
        begin = text.find("\n", begin) + 1
        if begin == 0:
            return ""
    return text[begin:]


def _without_blanks_before_quotes(text: str, separator: str) -> str:
    """Return the text with cells such as ` "x, y"` in the form that Arrow knows as quoted."""
    sign = re.escape(separator)
    if separator == "\t" or not re.search(rf'{sign} +"', text):
        return text
    return re.sub(rf'({sign}) +"', r'\1"', text)


def _names(rows: list[list[str]], header: list[str] | None) -> list[str]:
    width = dialects.width_of(rows)
    if header is None:
        return [""] * width
    if len(header) == width + 1 and not header[-1]:
        return header[:-1]
    if len(header) == width - 1 and len(rows) > 1:
        last = [row[-1].strip() for row in rows[1:] if len(row) == width]
        # Rows may end with a separator; R leaves out the name of the rows' names.
        return ["", *header] if any(last) else [*header, ""]
    return header


def _cells(text: str, separator: str, width: int) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of so many cells, blank ones too, and the others."""
    labels = [str(position) for position in range(width)]
    misfits: list[str] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        misfits.append(row.text)
        return "skip"

    if not text:
        return pd.DataFrame(columns=labels, dtype=TEXT), []
    if "\n " in text:
        text = re.sub(r"(?m)^ +$", "", text)
    table = arrow_csv.read_csv(
        pa.BufferReader(text.encode()),
        arrow_csv.ReadOptions(column_names=labels, block_size=_BLOCK),
        arrow_csv.ParseOptions(
            delimiter=separator,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(labels, pa.large_string()), strings_can_be_null=False
        ),
    )
    return table.to_pandas(types_mapper={pa.large_string(): TEXT}.get), misfits


def _check_rows(
    path: Path, text: str, separator: str, above: int, header: list[str] | None, width: int
) -> None:
    """Raise InputError at the first row that has not so many cells as there are columns."""
    sizes = []
    try:
        for line, row in dialects.rows_of(text, separator):
            sizes.append((line, len(row)))
    except dialects.BadRow as error:
        where = f"{path}, line {above + error.line + 1}"
        raise InputError(f"{where}: not a row of a CSV file: {error}") from None
    below = sizes[1:] if header else sizes
    wrong = [(line, n_cells) for line, n_cells in below if n_cells != width]
    if not wrong:
        return
    usual = Counter(n_cells for _, n_cells in below).most_common(1)[0][0]
    first_usual = next(line for line, n_cells in sizes if n_cells == usual)
    last_usual = next(line for line, n_cells in reversed(sizes) if n_cells == usual)
    line, n_cells = wrong[0]
    advice = ""
    if first_usual > sizes[0][0]:
        advice = (
            f"; rows of {count(usual, 'cell')} begin in line {above + first_usual + 1}: "
            f"--skip-rows {above + first_usual} if the header stands there"
        )
    elif line > last_usual:
        n_lines = text.rstrip().count("\n") - last_usual
        advice = f"; --skip-footer {n_lines} leaves out what stands below the table"
    than = f"the header has {count(width, 'column')}" if header else f"most rows have {width}"
    raise InputError(
        f"{path}, line {above + line + 1}: {count(n_cells, 'cell')}, where {than}{advice}"
    )

"""The dialect of a text file: the sign between cells, the header, the lines above it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from em_toolkit.cli.messages import InputError, listed
from em_toolkit.cli.numbers import kind_of

BLANK = " "
NONE = "\x1f"  # the unit separator: stands for a table of one column
_SEPARATORS = ("\t", ";", "|", BLANK, ",")
_SEPARATOR_NAMES = {"tab": "\t", "\\t": "\t", "blank": BLANK, "space": BLANK, "semicolon": ";"}
_SEPARATOR_NAMES |= {"comma": ",", "bar": "|"}
_FIRST_LINE = re.compile(r'"?sep=(.)"?[;,\t ]*\n')
_SAMPLED_ROWS, _SAMPLED_CHARACTERS = 200, 1_000_000


class BadRow(Exception):
    """A row that no table has, and the line that it begins on, counted from 0."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def named_separator(given: str) -> str:
    """Return the sign that a person means by --separator."""
    separator = _SEPARATOR_NAMES.get(given.lower(), given)
    if len(separator) != 1:
        raise InputError(f"--separator is one sign, tab or blank; got '{given}'")
    return separator


def first_line_separator(text: str) -> str | None:
    """Return the separator that Excel's first line `sep=;` names, None if there is no such line."""
    found = _FIRST_LINE.match(text)
    return found[1] if found else None


def rows_of(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the line that it begins on, counted from 0.

    Parameters
    ----------
    text : str
    separator : str
        The sign between cells; `BLANK` stands for any run of blanks and tabs.

    Raises
    ------
    BadRow
        At a quotation mark that is never closed.
    """
    lines = io.StringIO(text, newline="")
    source = (squeezed(line) for line in lines) if separator == BLANK else lines
    reader = csv.reader(source, delimiter=separator, strict=True, skipinitialspace=True)
    begun = 0
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield begun, row
            begun = reader.line_num
    except csv.Error as error:
        raise BadRow(begun, str(error)) from None


def squeezed(line: str) -> str:
    """Return a line with one blank for each run of blanks and tabs outside of quotation marks."""
    parts = re.sub(r'"[^"]*"|[ \t]+', lambda part: part[0] if part[0][0] == '"' else " ", line)
    return parts.strip(" \t\n") + "\n"


def sample(text: str, separator: str) -> list[list[str]]:
    """Return the first rows of a table; an unclosed quotation mark ends them.

    Parameters
    ----------
    text : str
    separator : str
        As in `rows_of`.

    Returns
    -------
    rows : list of list of str
        The cells of each row.
    """
    rows: list[list[str]] = []
    try:
        for _, row in islice(rows_of(text[:_SAMPLED_CHARACTERS], separator), _SAMPLED_ROWS):
            rows.append(row)
    except BadRow:
        pass  # the whole text is read by another parser, which tells what is wrong with it
    is_cut = len(text) > _SAMPLED_CHARACTERS and len(rows) < _SAMPLED_ROWS
    return rows[:-1] if is_cut and len(rows) > 1 else rows


@dataclass(frozen=True)
class _Split:
    """A text as one separator splits it."""

    separator: str
    width: int
    header_fits: bool
    score: float
    is_plain: bool = False


def find_separator(text: str) -> str:
    """Return the separator that splits the rows most evenly, and into most numbers.

    The header must hold it, so that decimal commas in a table of one column are none. Blanks also
    stand between groups of digits: another sign comes first that splits all rows alike, and leaves
    several numbers in no cell.
    """
    splits = [_split(text, separator) for separator in _SEPARATORS]
    splits = [split for split in splits if split.width > 1]
    fitting = [split for split in splits if split.header_fits and split.score > 0.5]
    fitting = [split for split in fitting if split.is_plain] or fitting
    if fitting:
        return max(fitting, key=lambda split: split.score).separator
    cells = [row[0] for row in sample(text, NONE)[1:] if row]
    if not splits or sum(map(_is_typed, cells)) > 0.5 * len(cells):
        return NONE
    return max(splits, key=lambda split: split.score).separator


def _split(text: str, separator: str) -> _Split:
    rows = sample(text, separator)
    if not rows:
        return _Split(separator, 0, False, 0.0)
    below = rows[1:] or rows
    width, n_even = Counter(map(len, below)).most_common(1)[0]
    cells = [cell for row in below[:50] if len(row) == width for cell in row]
    typed = sum(map(_is_typed, cells)) / max(len(cells), 1)
    # R writes one name less than there are columns.
    header_fits = len(rows[0]) > 1 and abs(len(rows[0]) - width) <= 1
    is_plain = separator != BLANK and n_even == len(below) and not any(map(_holds_numbers, cells))
    return _Split(separator, width, header_fits, n_even / len(below) + typed, is_plain)


def _is_typed(cell: str) -> bool:
    return kind_of(cell) != "text"


def _holds_numbers(cell: str) -> bool:
    """Return whether a cell is no number itself, and several stand in it."""
    parts = [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', cell)]
    return kind_of(cell) != "number" and sum(kind_of(part) == "number" for part in parts) > 1


def width_of(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of cells that most rows below the first have."""
    return Counter(map(len, rows[1:] or rows)).most_common(1)[0][0]


@dataclass(frozen=True)
class Header:
    """A decision on whether the first row holds the names of the columns.

    Parameters
    ----------
    is_there : bool
    note : str
        A remark where the decision is open.
    """

    is_there: bool
    note: str = ""


def find_header(rows: Sequence[Sequence[Any]], given: bool | None = None) -> Header:
    """Decide by the columns' types whether the first row holds their names.

    A column speaks for a header if its first cell differs in kind from the numbers, dates, times
    or truth values below; against one if it is of their kind, or occurs again below.

    Parameters
    ----------
    rows : sequence of rows
        The first rows of the table.
    given : bool, optional
        What a person says.
    """
    first = [str(cell) for cell in rows[0]]
    shown = listed([name for name in first if name.strip()], 5)
    taken_for_data = f"there is no header: the first row ({shown}) was read as data"
    taken_for_names = f"the first row ({shown}) was taken as the names of the columns"
    if given is not None:
        return Header(given)
    kinds = [kind_of(cell) for cell in rows[0]]
    below = rows[1:]
    n_for = n_against = 0
    for position, kind in enumerate(kinds):
        column = [row[position] for row in below if position < len(row)]
        typical = _typical_kind(column)
        if kind == "missing" or typical == "missing":
            continue
        if typical == "text":
            n_against += kind == "text" and rows[0][position] in column and len(set(column)) > 1
        elif kind == typical:
            n_against += 1
        else:
            n_for += 1
    if n_for >= n_against and (n_for or not below or "text" in kinds):
        doubtful = n_against > 0
        return Header(True, f"{taken_for_names}; --no-header if it is data" if doubtful else "")
    are_counted = len(kinds) > 2 or any("." in str(cell) for row in below for cell in row)
    if are_counted and _counts(rows[0]) and not any(_counts(row) for row in below):
        return Header(True, f"{taken_for_names}; --no-header if it is data")
    return Header(False, f"{taken_for_data}; --header if it holds the names of the columns")


def _typical_kind(cells: Sequence[Any]) -> str:
    kinds = Counter(kind_of(cell) for cell in cells)
    del kinds["missing"]
    if not kinds:
        return "missing"
    kind, times = kinds.most_common(1)[0]
    return kind if times >= 0.8 * kinds.total() else "text"


def _counts(row: Sequence[Any]) -> bool:
    """Return whether cells count by one: years, or the numbers that pandas gives to columns."""
    texts = [str(cell).strip() for cell in row]
    numbers = [int(text) for text in texts if text.isascii() and text.isdigit()]
    if len(numbers) < 2 or len(numbers) < len(texts) - 2:
        return False
    by_one = all(later == earlier + 1 for earlier, later in pairwise(numbers))
    return by_one and (len(numbers) > 2 or numbers[0] == 0)

"""Decimal marks: which of point and comma is the decimal mark of a column, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from em_toolkit.cli.messages import InputError, listed, quoted
from em_toolkit.cli.numbers import MARKS, Column
from em_toolkit.cli.reading import Table
from em_toolkit.statistics import BoolArray

_NAMES = {".": "decimal point", ",": "decimal comma"}
# A column is of two minds if so many of its marked cells are numbers with the other mark alone.
_SLIPS = 0.1
_FEW = 0.1


@dataclass(frozen=True)
class Marks:
    """The decimal marks of the numeric columns.

    Parameters
    ----------
    columns : mapping of str to Column
    marks : dict of str to str
        By column.
    doubtful : dict of str to str
        By column: why the mark is a guess.
    usual : str
        The mark of most columns.
    """

    columns: Mapping[str, Column]
    marks: dict[str, str]
    doubtful: dict[str, str]
    usual: str

    def of(self, name: str) -> str:
        """Return the decimal mark of a column."""
        return self.marks.get(name, self.usual)

    def check(self, table: Table, name: str) -> None:
        """Raise InputError if cells of a column have decimal points, and others commas.

        Parameters
        ----------
        table : Table
        name : str
            Of the column.
        """
        column = self.columns.get(name)
        if column is None:
            return
        n_of = {mark: int(column.decisive(mark).sum()) for mark in MARKS}
        if min(n_of.values()) <= max(1, _SLIPS * sum(n_of.values())):
            return
        cells = {mark: np.flatnonzero(column.decisive(mark))[0] for mark in MARKS}
        texts = {mark: table.frame[name].iloc[cell] for mark, cell in cells.items()}
        raise InputError(
            f"{table.where(int(cells[',']), name)}: {quoted(texts[','])} has a decimal comma, and "
            f"{quoted(texts['.'])} a decimal point; write all numbers of the column with one of "
            "them, or leave it out by --exclude"
        )

    def notes(self, names: Sequence[str]) -> list[str]:
        """Return notes on decimal commas, and on the columns that could be read in two ways."""
        commas = [name for name in names if self.marks.get(name) == ","]
        points = [name for name in names if self.marks.get(name) == "."]
        notes = []
        if commas:
            where = f" in {listed(commas)}; {listed(points)} has points" if points else ""
            notes.append(f"decimal commas were read as decimal points{where}")
        for name, why in self.doubtful.items():
            if name in names:
                notes.append(f"column '{name}': {why}")
        return notes


def decide_marks(
    columns: Mapping[str, Column], separator: str, known: Mapping[str, str] | None = None
) -> Marks:
    """Decide the decimal mark of each numeric column.

    The cells that are numbers with one of the marks alone decide: 1.5 and 1,234.5 with the point,
    1,5 and 0,123 with the comma. A column without such cells follows the others. If they are of
    two minds, or do not know, a comma is decimal in a table separated by semicolons, and a point
    elsewhere, and a note tells it.

    Parameters
    ----------
    columns : mapping of str to Column
        The numeric ones.
    separator : str
        Between the cells of the table.
    known : mapping of str to str, optional
        The marks of columns in another table of the same kind: that of a fit.
    """
    known = known or {}
    marks: dict[str, str] = {}
    doubtful: dict[str, str] = {}
    open_columns = []
    for name, column in columns.items():
        n_of = Counter({mark: int(column.decisive(mark).sum()) for mark in MARKS})
        if n_of.total():
            mark, n_decisive = n_of.most_common(1)[0]
            marks[name] = mark
            grouped = _with_either(column)
            few = grouped is not None and n_decisive <= max(1, _FEW * grouped.n_cells)
            if grouped is not None and few and (grouped.sign != mark or grouped.is_mixed):
                doubtful[name] = grouped.told(mark)
        elif column.is_marked.any() and (column.fits["."] | column.fits[","]).any():
            open_columns.append(name)
    votes = Counter(marks.values())
    usual = votes.most_common(1)[0][0] if votes else "."
    for name in open_columns:
        ambiguous = _with_either(columns[name])
        if ambiguous is None:
            continue
        if name in known:
            marks[name] = known[name]
            continue
        if len(votes) == 1 and not ambiguous.is_mixed:
            marks[name] = usual
            # Integers below a thousand beside them, or quotation marks in a table separated by
            # commas, say that the marks are between groups.
            if ambiguous.sign != usual and ambiguous.are_alone and separator != ",":
                doubtful[name] = ambiguous.told(usual)
            continue
        marks[name] = "," if separator == ";" and ambiguous.sign == "," else "."
        if ambiguous.are_groups:
            marks[name] = "." if ambiguous.sign == "," else ","
        doubtful[name] = ambiguous.told(marks[name])
    for name, mark in known.items():
        if marks.get(name, mark) != mark:
            doubtful[name] = (
                f"numbers with a {_NAMES[marks[name]]}, where the fit had a {_NAMES[mark]}"
            )
    if not votes and marks:
        usual = Counter(marks.values()).most_common(1)[0][0]
    return Marks(columns, marks, doubtful, usual)


@dataclass(frozen=True)
class _Ambiguous:
    """Cells such as 9,996 that are numbers with either mark."""

    example: str
    sign: str
    is_mixed: bool
    n_cells: int
    values: dict[str, float]
    are_groups: bool
    are_alone: bool

    def told(self, mark: str) -> str:
        """Return a note on how they were read, and on the way to the other reading."""
        other = "." if mark == "," else ","
        return (
            f"{quoted(self.example)} was read as {self.values[mark]:.15g}, with a {_NAMES[mark]}; "
            f"if it is {self.values[other]:.15g}, say --decimal {other} (or --thousands {mark})"
        )


def _with_either(column: Column) -> _Ambiguous | None:
    is_either = column.fits["."] & column.fits[","] & column.is_marked
    if not is_either.any():
        return None
    first = int(np.flatnonzero(is_either)[0])
    example = str(column.texts.iloc[first])
    sign = "," if "," in example else "."
    values = {mark: column.value(first, mark) for mark in MARKS}
    is_comma = column.texts[is_either].str.contains(",", regex=False)
    is_mixed = bool(is_comma.any() and not is_comma.all())
    is_plain = column.fits["."] & column.fits[","] & ~is_either
    return _Ambiguous(
        example,
        sign,
        is_mixed,
        int(is_either.sum()),
        values,
        _are_groups(column, is_either, sign),
        not is_plain.any(),
    )


def _are_groups(column: Column, is_either: BoolArray, sign: str) -> bool:
    """Whether 2.280 beside 797 has a mark between groups: plain integers there are larger."""
    is_plain = column.fits["."] & column.fits[","] & ~is_either
    if not is_plain.any():
        return False
    values = column.values(sign)
    return bool(np.median(values[is_plain]) > values[is_either].max())

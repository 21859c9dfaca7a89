"""The columns of a table that a model is fitted to, and complaints about cells in them."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from em_toolkit.cli.marks import Marks, decide_marks
from em_toolkit.cli.messages import InputError, count, listed, quoted
from em_toolkit.cli.numbers import Column, Missing
from em_toolkit.cli.options import ReadingOptions
from em_toolkit.cli.reading import Table
from em_toolkit.cli.suspects import reason_to_leave_out, suspicious_values
from em_toolkit.statistics import Array, BoolArray

_DEFAULTS = ReadingOptions()
# Of a column of numbers, so many cells may be text before the column counts as text itself.
_TEXT_SHARE = 0.1


@dataclass(frozen=True)
class Numbers:
    """The numeric columns to work with.

    Parameters
    ----------
    names : list of str of length n_features
    X : ndarray of shape (n_rows, n_features)
        Finite numbers, and NaN for missing cells where these are wanted.
    notes : list of str
        Which columns were left out, and why; how ambiguous numbers were read.
    decimals : list of str of length n_features
        The decimal mark of each column in the file.
    decimal : str
        The decimal mark of most of them.
    signs : dict of str to str
        The sign of currency or percent that was left out, by column.
    marks : dict of str to str
        The decimal mark of each column in which there are commas or points.
    """

    names: list[str]
    X: Array
    notes: list[str]
    decimals: list[str] = field(default_factory=list)
    decimal: str = "."
    signs: dict[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)


def numeric_columns(
    table: Table,
    options: ReadingOptions = _DEFAULTS,
    *,
    names: Sequence[str] | None = None,
    takes_missing: bool = False,
    known_marks: Mapping[str, str] | None = None,
) -> Numbers:
    """Return the columns to work with.

    Parameters
    ----------
    table : Table
    options : ReadingOptions, optional
        Its `columns`, `exclude`, `missing`, `decimal` and `thousands`.
    names : sequence of str, optional
        The columns, in this order, whatever the options say: those of a model.
    takes_missing : bool, default=False
        Whether missing cells are NaN; by default they are an error.
    known_marks : mapping of str to str, optional
        The decimal marks of columns in another table of the same kind.

    Returns
    -------
    Numbers

    Raises
    ------
    InputError
        If a named column does not exist, no column is numeric, or a cell of a column to work with
        is text, infinite or (unless it may be) missing; it names the cell.
    """
    frame, notes = table.frame, list(table.notes)
    chosen = names if names is not None else options.columns and _named(table, options.columns)
    if options.columns == "" and names is None:
        raise InputError("--columns names no column")
    for name in names or ():
        _check_name(table, name)
    excluded = _named(table, options.exclude) if options.exclude and names is None else []
    missing = Missing.of(_split(options.missing))
    columns = {
        str(name): Column.of(frame[name], missing, options.decimal, options.thousands)
        for name in frame.columns
    }
    is_numeric = {name: _is_numeric(column) for name, column in columns.items()}
    marks = decide_marks(
        {name: column for name, column in columns.items() if is_numeric[name]},
        table.separator,
        known_marks,
    )
    used = [name for name in chosen or columns if name not in excluded]
    values = {name: columns[name].values(marks.of(name)) for name in used}
    left_out = []
    if not chosen:
        for name in used.copy():
            reason = _reason_to_skip(table, name, columns[name], is_numeric[name])
            if not reason and columns[name].has_leading_zeros:
                reason = "it holds codes, with leading zeros (--columns can choose it)"
            if not reason:
                reason = reason_to_leave_out(name, values[name], list(columns))
                left_out += [f"'{name}' {reason}"] if reason else []
                reason = reason and f"it {reason} (--columns can choose it)"
            if reason:
                notes.append(f"column '{name}' is not used: {reason}")
                used.remove(name)
    if not used and left_out:
        raise InputError(
            f"{table.path}: no column to model: {'; '.join(left_out)}; --columns can choose them"
        )
    if not used:
        advice = "; if their names stand further down, say --skip-rows" if table.header else ""
        units = [example for column in columns.values() if (example := column.with_unit)]
        if units:
            advice = (
                f"; write units such as that of {quoted(units[0])} into the names of the columns"
            )
        raise InputError(
            f"{table.path}: no column holds numbers; columns: {listed(list(columns), 40)}{advice}"
        )
    for name in used:
        # To a model that takes missing cells a column of nothing else is no news.
        if columns[name].is_missing.all() and not (names and takes_missing):
            raise InputError(f"{table.path}: the column '{name}' is empty")
        _check_cells(table, name, columns[name], values[name], marks, takes_missing)
    if len(frame) < 2 and names is None:
        raise InputError(f"{table.path}: one row of data; two at least are needed")
    X = np.column_stack([values[name] for name in used])
    notes += marks.notes(used) + _notes_on_forms(used, columns)
    for name in used:
        notes += suspicious_values(name, values[name])
    notes += _note_on_missing(used, X)
    signs = {name: columns[name].sign for name in used if columns[name].sign}
    own = {name: marks.marks[name] for name in used if name in marks.marks}
    return Numbers(used, X, notes, [marks.of(name) for name in used], marks.usual, signs, own)


def complete_rows(numbers: Numbers, path: Path) -> Numbers:
    """Return numbers without the rows in which one is missing, and a note on how many these are.

    Parameters
    ----------
    numbers : Numbers
    path : Path
        Of the table, for the message.

    Raises
    ------
    InputError
        If no row is complete.
    """
    complete = ~np.isnan(numbers.X).any(axis=1)
    if complete.all():
        return numbers
    if not complete.any():
        raise InputError(f"{path}: a value is missing in each row; leave out columns by --exclude")
    told = f"left out: {count(int((~complete).sum()), 'row')} with missing cells"
    return replace(numbers, X=numbers.X[complete], notes=[*numbers.notes, told])


def _is_numeric(column: Column) -> bool:
    """Return whether a column was meant to hold numbers, a few slips apart."""
    is_text = column.is_text & ~column.fits["."] & ~column.fits[","]
    n_text = int(is_text.sum())
    if n_text and column.are_codes(is_text):
        return False
    n_numbers = len(column.fixed) - n_text - int(column.is_missing.sum())
    return n_numbers > n_text and n_text <= max(1.0, _TEXT_SHARE * (n_numbers + n_text))


def _split(given: str | None) -> list[str]:
    return next(csv.reader([given or ""], skipinitialspace=True), [])


def _named(table: Table, wanted: str) -> list[str]:
    """Return the columns that a person names, or gives the positions of."""
    known = [str(name) for name in table.frame.columns]
    names = []
    for given in map(str.strip, _split(wanted)):
        is_position = given not in known and given.isdigit() and 0 < int(given) <= len(known)
        name = known[int(given) - 1] if is_position else given
        _check_name(table, name)
        names.append(name)
    return list(dict.fromkeys(names))


def _check_name(table: Table, name: str) -> None:
    known = [str(other) for other in table.frame.columns]
    if name in known:
        return
    folded = {other.lower(): other for other in known}
    twins = [other for other in known if other.startswith(f"{name} (column ")]
    close = twins or [folded[near] for near in difflib.get_close_matches(name.lower(), folded)]
    advice = f"the columns are {listed(known)}"
    if name.isdigit():
        advice = f"nor is there one at position {name}: there are {count(len(known), 'column')}"
    elif close:
        advice = "did you mean " + " or ".join(f"'{other}'" for other in close) + "?"
    raise InputError(f"{table.path}: no column is named '{name}'; {advice}")


def _reason_to_skip(table: Table, name: str, column: Column, is_numeric: bool) -> str:
    if column.is_missing.all():
        return "it is empty"
    if name in table.row_names:
        return "it only names the rows (--columns can choose it)"
    if is_numeric:
        return ""
    if column.form:
        return f"it holds {column.form}"
    is_text = column.is_text & ~column.fits["."] & ~column.fits[","]
    if is_text.sum() == column.is_text.sum() and not np.isfinite(column.fixed).any():
        return "it holds no numbers"
    first = int(np.flatnonzero(is_text)[0])
    return (
        f"{count(int(is_text.sum()), 'cell')} of {len(column.fixed)} are text, the "
        f"first {quoted(table.frame[name].iloc[first])} in {table.place(first)}"
    )


def _check_cells(
    table: Table, name: str, column: Column, values: Array, marks: Marks, takes_missing: bool
) -> None:
    series, mark = table.frame[name], marks.of(name)
    marks.check(table, name)
    is_text = column.is_text & ~column.fits[mark]
    is_hole = np.isnan(values) & ~is_text & (not takes_missing)

    def not_a_number(cell: Any) -> str:
        other = "," if mark == "." else "."
        names = {".": "a decimal point", ",": "a decimal comma"}
        if column.fits[other][np.flatnonzero(is_text)[0]]:
            return f"{quoted(cell)} has {names[other]}, and other cells of the column {names[mark]}"
        code = str(cell).strip()
        code = f'"{code}"' if "," in code or " " in code else code
        is_slip = is_text.sum() <= 0.5 * len(is_text) and len(code) < 20
        hints = [f"--missing {code} if it stands for a missing value"] if is_slip else []
        if not table.header and is_text[0]:
            hints.append("--header if the first row holds the names of the columns")
        return f"{quoted(cell)} is not a number" + (f" ({', '.join(hints)})" if hints else "")

    complaints: list[tuple[BoolArray, Callable[[Any], str]]] = [
        (is_text, not_a_number),
        (
            is_hole,
            lambda cell: (
                f"the value is missing ({quoted(cell)}), and only 'em-toolkit fit --model "
                "gaussian-mixture' and 'em-toolkit select' take missing values: fill it in, or "
                "leave out the row or the column"
            ),
        ),
        (np.isinf(values), lambda cell: f"{quoted(cell)} is not a finite number"),
    ]
    for is_bad, complaint in complaints:
        if is_bad.any():
            first, n_others = int(np.flatnonzero(is_bad)[0]), int(is_bad.sum()) - 1
            others = f" (and {n_others} more in this column)" if n_others else ""
            said = complaint(series.iloc[first])
            raise InputError(f"{table.where(first, name)}: {said}{others}")


def _notes_on_forms(names: Sequence[str], columns: dict[str, Column]) -> list[str]:
    notes = []
    signs: dict[str, list[str]] = {}
    for name in names:
        if columns[name].sign:
            signs.setdefault(columns[name].sign, []).append(name)
    for sign, having in signs.items():
        percent = ": 5% is 5, not 0.05" if sign == "%" else ""
        notes.append(f"the sign {sign} was left out of {listed(having)}{percent}")
    truths = [name for name in names if columns[name].form == "True and False"]
    if truths:
        notes.append(f"True and False were read as 1 and 0 in {listed(truths)}")
    return notes


def _note_on_missing(names: Sequence[str], values: Array) -> list[str]:
    counts = np.isnan(values).sum(axis=0)
    if not counts.any():
        return []
    holes = [f"{name} ({n})" for name, n in zip(names, counts, strict=True) if n]
    shown = ", ".join(holes[:8]) + (", ..." if len(holes) > 8 else "")
    return [f"{counts.sum()} of {values.size} cells are missing: {shown}"]

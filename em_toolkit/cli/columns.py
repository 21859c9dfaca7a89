"""The numeric columns of a table, and what is wrong with a cell in them."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from em_toolkit.cli.reading import InputError, Table, count, number
from em_toolkit.statistics import Array, BoolArray

_MISSING = {"", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#n/a", "?", ".", "-", "--"}
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
        Which columns were left out, and why.
    """

    names: list[str]
    X: Array
    notes: list[str]


@dataclass(frozen=True)
class _Column:
    """A column as numbers: NaN where a cell is missing or text."""

    values: Array
    is_missing: BoolArray
    is_text: BoolArray

    @property
    def is_numeric(self) -> bool:
        """Whether the column was meant to hold numbers, a few slips apart."""
        n_text = int(self.is_text.sum())
        n_numbers = len(self.values) - n_text - int(self.is_missing.sum())
        return n_numbers > n_text and n_text <= max(1.0, _TEXT_SHARE * (n_numbers + n_text))


def numeric_columns(
    table: Table, wanted: str | None = None, *, takes_missing: bool = False
) -> Numbers:
    """The columns to work with.

    Parameters
    ----------
    table : Table
    wanted : str, optional
        Names separated by commas; by default every numeric column that has a name.
    takes_missing : bool, default=False
        Whether missing cells are NaN; by default they are an error.

    Returns
    -------
    Numbers

    Raises
    ------
    InputError
        If a named column is missing, no column is numeric, or a cell of a column to work with is
        text, infinite or (unless it may be) missing; it names the cell.
    """
    frame, notes = table.frame, list(table.notes)
    names = list(frame.columns) if wanted is None else _named(table, wanted)
    columns = {name: _column(frame[name], table.decimal) for name in names}
    if wanted is None:
        for name in names:
            reason = _reason_to_skip(table, name, columns[name])
            if reason:
                notes.append(f"column '{name}' is not used: {reason}")
                del columns[name]
    if not columns:
        raise InputError(
            f"{table.path}: no column holds numbers; columns: {', '.join(map(str, frame.columns))}"
        )
    for name, column in columns.items():
        _check_cells(table, name, column, takes_missing)
    if len(frame) < 2:
        raise InputError(f"{table.path}: one row of data; two at least are needed")
    values = np.column_stack([column.values for column in columns.values()])
    notes += _note_on_missing(list(columns), values)
    return Numbers(list(columns), values, notes)


def _note_on_missing(names: list[str], values: Array) -> list[str]:
    counts = np.isnan(values).sum(axis=0)
    if not counts.any():
        return []
    holes = [f"{name} ({n})" for name, n in zip(names, counts, strict=True) if n]
    listed = ", ".join(holes[:8]) + (", ..." if len(holes) > 8 else "")
    return [f"{counts.sum()} of {values.size} cells are missing: {listed}"]


def _named(table: Table, wanted: str) -> list[str]:
    known = [str(name) for name in table.frame.columns]
    names = [name.strip() for name in next(csv.reader([wanted], skipinitialspace=True), [])]
    if not names:
        raise InputError("--columns names no column")
    for name in names:
        if name in known:
            continue
        folded = {other.lower(): other for other in known}
        close = difflib.get_close_matches(name.lower(), folded)
        hint = " or ".join(f"'{folded[match]}'" for match in close)
        listed = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        advice = f"did you mean {hint}?" if close else f"the columns are {listed}"
        raise InputError(f"{table.path}: no column is named '{name}'; {advice}")
    return list(dict.fromkeys(names))


def _column(series: pd.Series[Any], decimal: str) -> _Column:
    is_missing = series.isna().to_numpy(dtype=bool)
    if types.is_integer_dtype(series.dtype) or types.is_float_dtype(series.dtype):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return _Column(values, is_missing, np.zeros(len(values), dtype=bool))
    cells = series.tolist()
    numbers = [number(cell, decimal) for cell in cells]
    values = np.array([math.nan if value is None else value for value in numbers])
    says_missing = np.array([_says_missing(cell) for cell in cells], dtype=bool)
    is_text = np.array([value is None for value in numbers], dtype=bool)
    is_text &= ~(is_missing | says_missing)
    return _Column(values, np.isnan(values) & ~is_text, is_text)


def _says_missing(cell: Any) -> bool:
    return isinstance(cell, str) and cell.strip().lower() in _MISSING


def _reason_to_skip(table: Table, name: str, column: _Column) -> str:
    if column.is_missing.all():
        return "it is empty"
    if name in table.row_names:
        return "it only names the rows (--columns can choose it)"
    if column.is_numeric:
        return ""
    if column.is_text.all():
        return "it holds no numbers"
    first = int(np.flatnonzero(column.is_text)[0])
    return (
        f"{count(int(column.is_text.sum()), 'cell')} of {len(column.values)} are text, the "
        f"first {_quoted(table.frame[name].iloc[first])} in {table.places[first]}"
    )


def _check_cells(table: Table, name: str, column: _Column, takes_missing: bool) -> None:
    series = table.frame[name]
    if column.is_missing.all():
        raise InputError(f"{table.path}: the column '{name}' is empty")
    is_hole = column.is_missing & (not takes_missing)
    complaints: list[tuple[BoolArray, Callable[[Any], str]]] = [
        (column.is_text, lambda cell: f"{_quoted(cell)} is not a number"),
        (
            is_hole,
            lambda cell: (
                f"the value is missing ({_quoted(cell)}), which 'em-toolkit fit --model "
                "gaussian-mixture' alone can do with: fill it in, or leave out the row or the "
                "column"
            ),
        ),
        (np.isinf(column.values), lambda cell: f"{_quoted(cell)} is not a finite number"),
    ]
    for is_bad, complaint in complaints:
        if is_bad.any():
            first, n_others = int(np.flatnonzero(is_bad)[0]), int(is_bad.sum()) - 1
            others = f" (and {n_others} more in this column)" if n_others else ""
            said = complaint(series.iloc[first])
            raise InputError(f"{table.where(first, name)}: {said}{others}")


def _quoted(cell: Any) -> str:
    text = " ".join(str(cell).split())
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"

"""Columns and values that no one wants modelled: counters of rows, codes, earlier results."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from em_toolkit.cli.messages import count
from em_toolkit.statistics import Array, IntArray

# Fewer rows may count upwards by chance.
_FEWEST_COUNTED = 20
_FEWEST_CODED = 3
_FEWEST_DATES = 5
_FEWEST_VALUES = 10
_NAMES_OF_KEYS = re.compile(
    r"(?i)(^|[\W_])(id|ids|uid|key|nr|no|number|nummer|code|zip|plz|postcode|zipcode)$"
)
_RESULTS = re.compile(r"(em_)*(label|responsibility_\d+|latent_\d+)")
_NINES = re.compile(r"-?9{2,}")


def reason_to_leave_out(name: str, values: Array, names: Sequence[str]) -> str:
    """Return why a numeric column is left out unless it is asked for, "" if it is not.

    Parameters
    ----------
    name : str
    values : ndarray of shape (n_rows,)
        NaN where a cell is missing.
    names : sequence of str
        Those of all columns of the table.
    """
    found = _RESULTS.fullmatch(name)
    prefix = (found[1] or "") if found else ""
    if found and (found[2] != "label" or prefix + "responsibility_0" in names):
        return "is a result of an earlier fit"
    present = values[~np.isnan(values)]
    if len(present) > 1 and (present == present[0]).all():
        return f"is constant ({present[0]:g})"
    counts = np.arange(len(values)) + values[0] if len(values) else values
    if len(values) >= _FEWEST_COUNTED and (values == counts).all() and values[0] % 1 == 0:
        return f"counts the rows ({values[0]:.0f} to {values[-1]:.0f})"
    if not np.isfinite(present).all():
        return ""
    if len(present) >= _FEWEST_DATES and _are_dates(present):
        return f"holds dates ({present[0]:.0f})"
    if _NAMES_OF_KEYS.search(name) and _tell_rows_apart(present):
        return f"holds keys, each once ({present[0]:.0f}, {present[1]:.0f}, ...)"
    return ""


def _are_dates(values: Array) -> bool:
    """Return whether all are dates written as yyyymmdd."""
    if not ((values % 1 == 0) & (values >= 18000101) & (values <= 21001231)).all():
        return False
    months, days = values // 100 % 100, values % 100
    return bool(((months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)).all())


def _tell_rows_apart(values: Array) -> bool:
    return bool(
        len(values) >= _FEWEST_COUNTED
        and (values % 1 == 0).all()
        and (values >= 0).all()
        and len(np.unique(values)) == len(values)
    )


def suspicious_values(name: str, values: Array) -> list[str]:
    """Return notes on a constant column, and on values that look like codes for missing ones.

    A code occurs several times at an end of the values: it is the only negative value, or made of
    nines and apart from the others, or further from them than they are from each other.

    Parameters
    ----------
    name : str
    values : ndarray of shape (n_rows,)
        NaN where a cell is missing.
    """
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if len(distinct) == 1 and counts[0] > 1:
        return [f"column '{name}' is constant ({distinct[0]:g}), which tells no rows apart"]
    if len(distinct) < 4:
        return []
    notes = []
    for end, others in ((0, distinct[1:]), (-1, distinct[:-1])):
        value, times = distinct[end], int(counts[end])
        # A suspicious neighbour (-999 beside -888) must not hide a code.
        with np.errstate(over="ignore"):
            spread = others[-1] - others[0]
            gap = abs(value - others[0 if end == 0 else -1])
        is_far = gap > spread
        is_negative = value < 0.0 <= others[0]
        is_nines = bool(_NINES.fullmatch(f"{value:.15g}")) and gap > 0.1 * spread
        if times >= _FEWEST_CODED and value != 0.0 and (is_far or is_negative or is_nines):
            notes.append(
                f"column '{name}': {value:g} stands in {count(times, 'row')}, apart from all other "
                f"values; if it is a code for missing values, say --missing {value:g}"
            )
    return notes


def equal_rows(labels: Array | IntArray, X: Array, names: Sequence[str]) -> list[str]:
    """Return a note for each component of one row, or whose rows are all equal in a feature.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
    X : ndarray of shape (n_rows, n_features)
    names : sequence of str of length n_features
    """
    notes = []
    varies = [len(np.unique(column[~np.isnan(column)])) > 1 for column in X.T]
    for k in np.unique(labels):
        rows = X[labels == k]
        if len(rows) == 1:
            notes.append(
                f"component {k} is a single row: a total or another outlier rather than a cluster"
            )
        for name, column, matters in zip(names, rows.T, varies, strict=True):
            present = column[~np.isnan(column)]
            if matters and len(present) > 1 and (present == present[0]).all():
                # A value among few is a category, which no one wants to lose as a code.
                is_code = len(np.unique(X[:, names.index(name)])) >= _FEWEST_VALUES
                or_code = f"--missing {present[0]:g} if it is a code, or " if is_code else ""
                notes.append(
                    f"all {len(rows)} rows of component {k} have {name} = {present[0]:g}: a value "
                    f"of its own rather than a cluster; {or_code}leave the column out by --exclude"
                )
    return notes

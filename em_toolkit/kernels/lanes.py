"""The missing entries of the rows of a panel, dealt out to lanes.

A lane is a run of neighbouring rows that miss the same entries, if the run is long, or else one
row: what a lane's pattern says of its missing entries is cheap to find (`conditional`), and for few
rows it is cheaper to find it again than to look for it.
"""

from __future__ import annotations

import math

from em_toolkit.kernels.compiling import summing
from em_toolkit.kernels.instructions import LANES
from em_toolkit.statistics import Array, BoolArray, IntArray

# Rows of a run from which on loops over its rows are faster than loops over lanes.
LONG = LANES


@summing
def survey(X: Array, changes: BoolArray) -> int:
    """Return the largest number of entries that a row of a block misses.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    changes : ndarray of bool of shape (n_rows,)
        Set: whether a row misses other entries than the one before.
    """
    most = 0
    for i in range(X.shape[0]):
        row, before = X[i], X[i - 1 if i > 0 else 0]
        count, differences = 0, 0
        for j in range(row.shape[0]):
            is_missing = row[j] != row[j]
            count += is_missing
            differences += is_missing != (before[j] != before[j])
        changes[i] = differences > 0
        most = max(most, count)
    return most


@summing
def _end_of_lane(changes: BoolArray, row: int, start: int, stop: int) -> int:
    """Return the end of the run of a row, counted from the start of a panel.

    The end of the panel, which is filled up with its last row, is the latest end.
    """
    n_rows = min(stop, changes.shape[0]) - start
    end = row + 1
    while end < n_rows and not changes[start + end]:
        end += 1
    return end if end < n_rows else stop - start


@summing
def most_lanes(changes: BoolArray, width: int) -> int:
    """Return the largest number of lanes of a panel.

    Parameters
    ----------
    changes : ndarray of bool of shape (n_rows,)
        Of the block (`survey`).
    width : int
        Rows in a panel.
    """
    most = 0
    for start in range(0, changes.shape[0], width):
        count, row = 0, 0
        while row < width:
            end = _end_of_lane(changes, row, start, start + width)
            count += 1 if end - row >= LONG else end - row
            row = end
        most = max(most, count)
    return most


@summing
def deal(changes: BoolArray, start: int, width: int, starts: IntArray, stops: IntArray) -> int:
    """Deal the rows of a panel out to lanes; return how many lanes there are.

    Parameters
    ----------
    changes : ndarray of bool of shape (n_rows,)
        Of the block (`survey`).
    start, width : int
        The first row of the panel, and how many it has.
    starts, stops : ndarray of int of shape (n_slots,), a multiple of `LANES`
        The rows of each lane, counted from the first of the panel; set.
    """
    n_lanes, row = 0, 0
    while row < width:
        end = _end_of_lane(changes, row, start, start + width)
        length = end - row if end - row >= LONG else 1
        for first in range(row, end, length):
            starts[n_lanes], stops[n_lanes] = first, first + length
            n_lanes += 1
        row = end
    return n_lanes


@summing
def list_missing(
    panel: Array,
    none: int,
    n_lanes: int,
    starts: IntArray,
    missing: IntArray,
    n_missing: IntArray,
    most: IntArray,
) -> None:
    """List the features that each lane misses.

    Parameters
    ----------
    panel : ndarray of shape (n_features, width)
        NaN where an entry is missing.
    none : int
        The number of a feature that does not exist.
    n_lanes : int
    starts : ndarray of int of shape (n_slots,)
        As in `deal`. Behind the last lane, up to a multiple of `LANES`, are some that miss nothing.
    missing : ndarray of int of shape (> most missing, n_slots)
        Set: the missing features of a lane, ascending, and behind them `none`.
    n_missing : ndarray of int of shape (n_slots,)
        Set: how many features each lane misses.
    most : ndarray of int of shape (n_slots / LANES,)
        Set: the largest of these numbers in each group of lanes.
    """
    for group in range((n_lanes + LANES - 1) // LANES):
        first, largest = group * LANES, 0
        for lane in range(first, first + LANES):
            count = 0
            if lane < n_lanes:
                row = starts[lane]
                for j in range(panel.shape[0]):
                    # Without a branch, which could not be foreseen.
                    missing[count, lane] = j
                    count += math.isnan(panel[j, row])
            else:
                starts[lane] = 0
            n_missing[lane] = count
            largest = max(largest, count)
        most[group] = largest
        for lane in range(first, first + LANES):
            for place in range(n_missing[lane], largest):
                missing[place, lane] = none

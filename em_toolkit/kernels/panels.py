"""Panels: a few rows of the data, turned so that each feature is contiguous.

All kernels take one panel after the other. A loop over its rows is what vectorizes, however few
the features are.
"""

from __future__ import annotations

import numpy as np

from em_toolkit.kernels.compiling import allocating, summing
from em_toolkit.kernels.instructions import LANES, Code, Value, Vectors, emitted
from em_toolkit.statistics import Array

# Panels whose sums are taken one after the other. Thousands of equal rows round in one direction,
# so that no sum may be long: a run of panels first, then the runs.
RUN = 16


@allocating
def new_panel(n_values: int, width: int) -> Array:
    """Return a panel of zeros; each row begins where a register fits into one line of the cache.

    Parameters
    ----------
    n_values : int
        Numbers for each row of the data, such as features or components.
    width : int
        Rows of the data, a multiple of `LANES`.

    Returns
    -------
    panel : ndarray of shape (n_values, width)
    """
    room = np.zeros(n_values * width + LANES)
    start = -(room.ctypes.data // room.itemsize) % LANES
    return room[start : start + n_values * width].reshape((n_values, width))


@emitted
def _load_tile(
    code: Code, X: Vectors, panel: Vectors, first: Value, i: Value, j: Value, stop: Value
) -> None:
    """x_j, x_(j+1), ... before `stop`, of as many rows from `first` on as a register holds."""
    rows = [X.vector(row, j) for row in code.after(first, LANES)]
    for feature, column in zip(code.after(j, LANES), code.transposed(rows), strict=True):
        with code.is_below(feature, stop):
            panel.set_vector(column, feature, i)


@summing
def load(X: Array, start: int, panel: Array) -> int:
    """Load rows of X into the columns of a panel; return how many there were.

    The last panel is filled up with its last row. Features beyond those of X are padding, and are
    left alone.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    start : int
        The first row.
    panel : ndarray of shape (>= n_features, width)
        Set.
    """
    width, n_features = panel.shape[1], X.shape[1]
    n_rows = min(width, X.shape[0] - start)
    # A vector that begins within a row may end in the next one: none may end beyond the last.
    reach = (n_features - 1) // LANES * LANES + LANES
    n_safe = min(n_rows, (X.size - reach) // n_features + 1 - start)
    n_tiled = max(n_safe, 0) // LANES * LANES
    for i in range(0, n_tiled, LANES):
        for j in range(0, n_features, LANES):
            _load_tile(X, panel, start + i, i, j, n_features)
    for i in range(n_tiled, n_rows):
        row = X[start + i]
        for j in range(n_features):
            panel[j, i] = row[j]
    for j in range(panel.shape[0]):
        for i in range(n_rows, width):
            panel[j, i] = panel[j, n_rows - 1]
    return n_rows


@summing
def load_weights(weights: Array, start: int, panel_weights: Array) -> None:
    """Load the weights of the rows of a panel; zero for what only fills it up.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)
    start : int
        The first row of the panel.
    panel_weights : ndarray of shape (width,)
        Set.
    """
    # A sum of indices might be negative for all that the compiler knows, and count from the end.
    given = weights[start : start + panel_weights.shape[0]]
    for i in range(given.shape[0]):
        panel_weights[i] = given[i]
    for i in range(given.shape[0], panel_weights.shape[0]):
        panel_weights[i] = 0.0


@summing
def load_responsibilities(responsibilities: Array, start: int, shares: Array) -> None:
    """Load rows of responsibilities into columns of a panel; zero for what only fills it up.

    Parameters
    ----------
    responsibilities : ndarray of shape (n_rows, n_components)
    start : int
        The first row of the panel.
    shares : ndarray of shape (n_components, width)
        Set.
    """
    n_rows = min(shares.shape[1], responsibilities.shape[0] - start)
    for k in range(shares.shape[0]):
        share = shares[k]
        for i in range(n_rows):
            share[i] = responsibilities[start + i, k]
        for i in range(n_rows, share.shape[0]):
            share[i] = 0.0


@summing
def set_constant(constants: Array, start: int, values: Array) -> None:
    """Set the values of components of constant density, for all rows of a panel.

    Parameters
    ----------
    constants : ndarray of shape (n_constants,)
    start : int
        The first of these components: the constants from there on are taken.
    values : ndarray of shape (n_constants, width)
        Set from row `start` on.
    """
    for k in range(start, constants.shape[0]):
        for i in range(values.shape[1]):
            values[k, i] = constants[k]


@summing
def unload(panel_values: Array, start: int, n_rows: int, out: Array) -> None:
    """Store the values of a panel as rows of `out`.

    Parameters
    ----------
    panel_values : ndarray of shape (n_values, width)
    start : int
        The first row of the panel.
    n_rows : int
        How many rows of the data the panel has, without those that fill it up.
    out : ndarray of shape (n_rows of the block, n_values)
    """
    for i in range(n_rows):
        for k in range(out.shape[1]):
            out[start + i, k] = panel_values[k, i]


@summing
def add_totals(responsibilities: Array, count: Array) -> None:
    """Add Σ_i r_ik to the counts.

    Parameters
    ----------
    responsibilities : ndarray of shape (n_components, width)
        The r_ik.
    count : ndarray of shape (n_components,)
        Added to.
    """
    for k in range(count.shape[0]):
        total, share = 0.0, responsibilities[k]
        for i in range(share.shape[0]):
            total += share[i]
        count[k] += total


@summing
def end_of_run(panel: int, n_panels: int, run: Array, total: Array) -> None:
    """Add the sums of a run to the total after its last panel, and begin anew.

    Parameters
    ----------
    panel, n_panels : int
        The number of the panel just done, and how many there are.
    run, total : ndarray of shape (n_sums,)
    """
    if (panel + 1) % RUN == 0 or panel + 1 == n_panels:
        for i in range(total.shape[0]):
            total[i] += run[i]
            run[i] = 0.0


@summing
def mirror(matrices: Array) -> None:
    """Copy lower triangles to upper ones, of shape (n_matrices, n_features, n_features)."""
    for k in range(matrices.shape[0]):
        matrix = matrices[k]
        for j in range(matrix.shape[0]):
            for i in range(j):
                matrix[i, j] = matrix[j, i]

"""Colours and axes for all displays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from em_toolkit.statistics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#333333"
# Of rows that belong to no component.
NOISE = "#c4c4c4"
# Lines are darker than areas and points of the same colour, to stand out from them and from white.
DARKER = 0.75

# Ten colours that remain apart in every kind of colour vision (Petroff 2021, Accessible color
# sequences for data visualization).
_COLORS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)


def palette(n_colors: int) -> Array:
    """Return RGB colours in [0, 1], of shape (n_colors, 3): ten, then darker shades of them."""
    codes = [_COLORS[i % len(_COLORS)] for i in range(n_colors)]
    colors = [[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in codes]
    shades = 0.6 ** (np.arange(n_colors) // len(_COLORS))
    return np.reshape(colors, (n_colors, 3)) / 255.0 * shades[:, None]


def axes_to_draw_on(ax: Axes | None) -> Axes:
    """Return the given axes, or those of a new figure as wide as a page of text."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(8.0, 5.0), layout="constrained")
    return ax

"""A criterion against the number of components, a line for each covariance: mclust's picture."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from textwrap import fill
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from em_toolkit.displays.style import DARKER, INK, axes_to_draw_on, palette
from em_toolkit.options import check_option
from em_toolkit.selection import CRITERIA, MixtureSelection
from em_toolkit.statistics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.text import Annotation, Text

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
# The picture reaches from the best score to this many times as far as the median, unless nearly
# all of the scores lie within.
_REACH, _WORTH_CUTTING = 3.0, 1.5
_MCLUST = re.compile("[EV][IEV]{2}")
# Lines in a column of a legend within the axes.
_MOST_IN_COLUMN = 7
_THIN, _THICK = 1.3, 2.4
# To the right of the axes, in units of their size: a piece of each line, its name, and the
# distance between two names where there is room.
_SAMPLE, _NAMES, _LARGEST_GAP = (1.05, 1.08, 1.11), 1.125, 0.05
_NOTE_WIDTH = 88
# The colours of the palette that thin lines can be told by.
_COLORS = (0, 1, 9, 2, 4, 5, 8, 3, 6, 7)


class ModelSelectionDisplay:
    """A criterion against the number of components, with a line for each covariance type.

    The best combination has a ring and its name, and its line is thicker. mclust's names come in
    pairs of one colour and marker, which differ in the first letter: hollow markers and dashes
    where all components have the same volume (E), filled ones where each has its own (V).

    Where a fit failed, a line has no marker and is dotted from the one before to the one after; a
    note says which. Scores far worse than most would leave no room for the others: by default they
    lie outside the picture, and a note says which lines are nowhere in it.

    It is recommended to make one with `from_selection`.

    Parameters
    ----------
    n_components : sequence of int
        The numbers of components, ascending.
    scores : mapping of str to array-like of shape (n_numbers,)
        The scores of each covariance type, by its name; NaN where there is none.
    criterion : {"bic", "icl", "aic", "cv"}, default="bic"
        What the scores are: for "cv" the higher the better, otherwise the lower.
    best : tuple of (str, int), default=None
        The name and number of components of the combination to mark; that of the best score by
        default.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each covariance type, in the order of `scores`.
    best_mark_ : matplotlib Line2D
        The ring around the best score.
    best_label_ : matplotlib Annotation
        Its name.
    labels_ : list of matplotlib Text
        The names of the lines to the right of the axes, from bottom to top; empty if they are in a
        legend, or not wanted.

    Examples
    --------
    >>> from em_toolkit.displays import ModelSelectionDisplay
    >>> scores = {"tied": [2607.6, 2325.2, 2314.3], "full": [2607.6, 2322.2, 2333.8]}
    >>> display = ModelSelectionDisplay(n_components=[1, 2, 3], scores=scores)
    >>> display.plot().figure_.savefig("bic.png")  # doctest: +SKIP
    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Line2D]
    best_mark_: Line2D
    best_label_: Annotation
    labels_: list[Text]

    def __init__(
        self,
        *,
        n_components: Sequence[int],
        scores: Mapping[str, npt.ArrayLike],
        criterion: str = "bic",
        best: tuple[str, int] | None = None,
    ) -> None:
        self.n_components = n_components
        self.scores = scores
        self.criterion = criterion
        self.best = best

    @classmethod
    def from_selection(
        cls,
        selection: MixtureSelection[Any],
        *,
        ax: Axes | None = None,
        crop: bool = True,
        legend: bool | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the result of `em_toolkit.selection.select_mixture`.

        Parameters
        ----------
        selection : MixtureSelection
        ax, crop, legend, line_kw
            As in `plot`.

        Returns
        -------
        display : ModelSelectionDisplay
        """
        if not isinstance(selection, MixtureSelection):
            raise TypeError(
                f"selection: expected what select_mixture returned, got {type(selection).__name__}."
            )
        numbers = sorted({candidate.n_components for candidate in selection.candidates})
        # Mixtures that have no covariance type are one line, named after what they are.
        other = type(selection.best_estimator_).__name__
        scores: dict[str, Array] = {}
        for candidate, score in zip(selection.candidates, selection.scores, strict=True):
            name = candidate.covariance_type or other
            line = scores.setdefault(name, np.full(len(numbers), np.nan))
            line[numbers.index(candidate.n_components)] = score
        best = selection.candidates[selection.best_index_]
        display = cls(
            n_components=numbers,
            scores=scores,
            criterion=selection.criterion,
            best=(best.covariance_type or other, best.n_components),
        )
        return display.plot(ax, crop=crop, legend=legend, line_kw=line_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        crop: bool = True,
        legend: bool | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        crop : bool, default=True
            Whether scores far worse than most may lie outside the picture.
        legend : bool, default=None
            Whether to name the lines to the right of the axes, each near its end. By default if the
            figure is new; axes that are given, to the right of which there may be others, have a
            legend within them.
        line_kw : mapping, default=None
            Passed to ``Axes.plot`` for the lines.

        Returns
        -------
        self : ModelSelectionDisplay
        """
        numbers, lines = self._checked()
        name, number = self._best(numbers, lines)
        is_new = ax is None
        self.ax_ = axes_to_draw_on(ax)
        self.figure_ = self.ax_.figure
        self.lines_, self.labels_ = [], []
        for label, style in _styles(list(lines)).items():
            style |= {"label": label, "linewidth": _THICK if label == name else _THIN}
            style |= dict(line_kw or {})
            self.lines_ += self.ax_.plot(numbers, lines[label], **style)
            self._bridge_gaps(numbers, lines[label], style["color"])
        self._mark_best(name, number, numbers, float(lines[name][numbers.index(number)]))
        self._set_limits(numbers, lines, crop)
        seen = self._seen(lines)
        self._label_axes(numbers, lines, seen)
        if legend or (legend is None and is_new):
            self._label_ends(numbers[-1], {label: lines[label] for label in seen}, name)
        elif legend is None:
            self._list_within()
        return self

    def _checked(self) -> tuple[list[int], dict[str, Array]]:
        check_option("criterion", self.criterion, CRITERIA)
        numbers = [int(number) for number in self.n_components]
        if not numbers or numbers != sorted(set(numbers)):
            raise ValueError(
                "n_components: expected at least one number, each once and in ascending order, got "
                f"{numbers}."
            )
        lines = {name: np.asarray(values, dtype=np.float64) for name, values in self.scores.items()}
        for name, values in lines.items():
            if values.shape != (len(numbers),):
                raise ValueError(
                    f"scores: expected one for each of the {len(numbers)} numbers of components, "
                    f"got shape {values.shape} for {name!r}."
                )
        if not any(np.isfinite(values).any() for values in lines.values()):
            raise ValueError("scores: expected at least one that is a finite number, got none.")
        return numbers, lines

    def _losses(self, values: npt.ArrayLike) -> Array:
        """Return losses, of which the lowest is the best; NaN for what cannot be drawn."""
        losses = CRITERIA[self.criterion].losses(values)
        return np.where(np.isfinite(losses), losses, np.nan)

    def _best(self, numbers: list[int], lines: Mapping[str, Array]) -> tuple[str, int]:
        if self.best is None:
            losses = self._losses(list(lines.values()))
            row, column = np.unravel_index(np.nanargmin(losses), losses.shape)
            return list(lines)[row], numbers[column]
        name, number = self.best
        if name not in lines or number not in numbers:
            raise ValueError(
                "best: expected the name of a line and a number of components that is drawn, got "
                f"{self.best!r}."
            )
        return name, number

    def _mark_best(self, name: str, number: int, numbers: list[int], score: float) -> None:
        ring: dict[str, Any] = {"markersize": 15.0, "markeredgewidth": 1.6, "zorder": 4.0}
        (self.best_mark_,) = self.ax_.plot(
            [number], [score], "o", color=INK, markerfacecolor="none", **ring
        )
        # Where nothing is better there is no line.
        side = 1.0 if CRITERIA[self.criterion].greater_is_better else -1.0
        sides = {numbers[-1]: "right", numbers[0]: "left"} if len(numbers) > 1 else {}
        self.best_label_ = self.ax_.annotate(
            f"{name}, {number}",
            (number, score),
            xytext=(0.0, 12.0 * side),
            textcoords="offset points",
            ha=sides.get(number, "center"),
            va="bottom" if side > 0.0 else "top",
            color=INK,
            fontweight="bold",
        )

    def _bridge_gaps(self, numbers: list[int], scores: Array, color: Any) -> None:
        known = np.flatnonzero(np.isfinite(scores))
        for before, after in pairwise(known):
            if after - before > 1:
                ends = [before, after]
                places = [numbers[end] for end in ends]
                self.ax_.plot(places, scores[ends], ":", color=color, linewidth=_THIN, zorder=1.5)

    def _set_limits(self, numbers: list[int], lines: Mapping[str, Array], crop: bool) -> None:
        """Set the limits of the scores, and of the numbers of components."""
        losses = self._losses(list(lines.values()))
        known = losses[np.isfinite(losses)]
        best, worst = float(known.min()), float(known.max())
        reach = best + _REACH * (float(np.median(known)) - best)
        if crop and worst - best > _WORTH_CUTTING * (reach - best) > 0.0:
            worst = reach
        height = (worst - best) or abs(best) or 1.0
        # Room for the name of the best.
        limits = [best - 0.14 * height, worst + 0.05 * height]
        greater_is_better = CRITERIA[self.criterion].greater_is_better
        self.ax_.set_ylim(*([-limit for limit in limits[::-1]] if greater_is_better else limits))
        margin = 0.05 * (numbers[-1] - numbers[0]) or 0.5
        self.ax_.set_xlim(numbers[0] - margin, numbers[-1] + margin)

    def _seen(self, lines: Mapping[str, Array]) -> list[str]:
        """Return the lines that have a score within the limits."""
        bottom, top = self.ax_.get_ylim()
        return [
            name for name, scores in lines.items() if ((scores >= bottom) & (scores <= top)).any()
        ]

    def _label_axes(
        self, numbers: list[int], lines: Mapping[str, Array], seen: Collection[str]
    ) -> None:
        from matplotlib.ticker import FixedLocator, MaxNLocator, ScalarFormatter

        kind = CRITERIA[self.criterion]
        self.ax_.set_xlabel("\n".join(["number of components", *_notes(numbers, lines, seen)]))
        self.ax_.set_ylabel(f"{kind.label} ({kind.direction})")
        few = len(numbers) <= 20
        ticks = FixedLocator(numbers) if few else MaxNLocator(integer=True)
        self.ax_.xaxis.set_major_locator(ticks)
        formatter = self.ax_.yaxis.get_major_formatter()
        if isinstance(formatter, ScalarFormatter):
            formatter.set_useOffset(False)

    def _label_ends(self, last: int, lines: Mapping[str, Array], best: str) -> None:
        """Write the names in a column to the right, each near the end of its line."""
        from matplotlib.transforms import blended_transform_factory
        from sklearn.isotonic import isotonic_regression

        self.ax_.spines[["top", "right"]].set_visible(False)
        handles = {str(line.get_label()): line for line in self.lines_}
        bottom, top = self.ax_.get_ylim()
        ends = {name: (_last(scores) - bottom) / (top - bottom) for name, scores in lines.items()}
        names = sorted(lines, key=lambda name: ends[name])
        gap = min(_LARGEST_GAP, 1.0 / max(len(names) - 1, 1))
        steps = gap * np.arange(len(names))
        wanted = np.clip([ends[name] for name in names], 0.0, 1.0)
        heights = steps + isotonic_regression(wanted - steps, y_min=0.0, y_max=1.0 - steps[-1])
        beside = self.ax_.transAxes
        from_point = blended_transform_factory(self.ax_.transData, beside)
        edge = from_point.inverted().transform(beside.transform((_SAMPLE[0], 0.0)))[0]
        for name, height in zip(names, heights, strict=True):
            line = handles[name]
            if 0.0 <= ends[name] <= 1.0 and np.isfinite(lines[name][-1]):
                leader = {"color": line.get_color(), "linewidth": 0.6, "alpha": 0.6}
                self.ax_.plot(
                    [last, edge],
                    [ends[name], height],
                    transform=from_point,
                    clip_on=False,
                    **leader,
                )
            self.ax_.plot(
                _SAMPLE, [height] * 3, transform=beside, clip_on=False, **_look(line), markevery=[1]
            )
            weight = "bold" if name == best else "normal"
            self.labels_.append(
                self.ax_.text(
                    _NAMES, height, name, transform=beside, va="center", fontweight=weight
                )
            )

    def _list_within(self) -> None:
        self.ax_.legend(
            loc="best",
            frameon=False,
            handlelength=3.0,
            ncols=-(-len(self.lines_) // _MOST_IN_COLUMN),
        )


def _last(scores: Array) -> float:
    return float(scores[np.isfinite(scores)][-1])


def _look(line: Line2D) -> dict[str, Any]:
    names = ("color", "linestyle", "linewidth", "marker", "markersize", "markerfacecolor")
    return {name: getattr(line, f"get_{name}")() for name in names}


def _notes(numbers: list[int], lines: Mapping[str, Array], seen: Collection[str]) -> list[str]:
    """Return notes on what is not in the picture, and why."""
    known = {name: np.isfinite(scores) for name, scores in lines.items()}
    hidden = [name for name in lines if known[name].any() and name not in seen]
    gaps = [
        f"{name} ({'all' if not known[name].any() else _ranges(missing)})"
        for name in lines
        if (
            missing := [k for k, is_known in zip(numbers, known[name], strict=True) if not is_known]
        )
    ]
    notes = {"outside the picture": hidden, "no fit": gaps}
    return [
        fill(f"{what}: {', '.join(names)}", width=_NOTE_WIDTH)
        for what, names in notes.items()
        if names
    ]


def _ranges(numbers: Sequence[int]) -> str:
    """Return whole numbers as text, such as ``"3, 5–9"``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the styles of the lines: up to fourteen, distinct in every kind of colour vision."""
    kinds = {name: name[1:] if _MCLUST.fullmatch(name) else name for name in names}
    distinct = list(dict.fromkeys(kinds.values()))
    colors = DARKER * palette(len(_COLORS))[list(_COLORS)]
    styles = {}
    for name, kind in kinds.items():
        place = distinct.index(kind)
        style = {
            "color": colors[place % len(colors)],
            "marker": _MARKERS[place % len(_MARKERS)],
            "markersize": 6.0,
        }
        if kind != name and name.startswith("E"):
            style |= {"linestyle": (0, (4, 2)), "markerfacecolor": "white"}
        styles[name] = style
    return styles

"""The bound by iteration: the picture of what EM did."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from em_toolkit.displays.style import DARKER, INK, axes_to_draw_on, palette
from em_toolkit.engine.trace import Trace
from em_toolkit.options import check_option
from em_toolkit.statistics import Array, BoolArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

# A start is left below the picture if no gap would otherwise have this share of its height, and
# the end of a fit to its right if the bound rises there by less than that share.
_READABLE_GAP, _READABLE_RISE = 1 / 40, 1 / 200
# Half-steps of more iterations than this lie too close together to be marked one by one.
_MARKED_ITERATIONS = 30
_UNIT = "nats per sample"


@dataclass(frozen=True)
class _Path:
    """The rows of a trace that are shown, each M-step half-way between its E-steps."""

    x: Array
    elbo: Array
    # What the bound is a bound of: log evidence plus log prior. NaN where no E-step measured it.
    ceiling: Array
    after_e_step: BoolArray
    has_prior: bool

    @classmethod
    def of(cls, trace: Trace, first: int, last: int) -> Self:
        x = trace.iteration.astype(np.float64) - np.where(trace.after_e_step, 0.0, 0.5)
        # A failed fit, whose trace its error carries, may end in a row without a number; and where
        # a step was extrapolated, the M-step is no part of the path.
        shown = (x >= first) & (x <= last) & np.isfinite(trace.elbo) & ~trace.extrapolated
        return cls(
            x=x[shown],
            elbo=trace.elbo[shown],
            ceiling=(trace.elbo + trace.kl)[shown],
            after_e_step=trace.after_e_step[shown],
            has_prior=bool(np.any(trace.log_prior != 0.0)),
        )

    @property
    def has_m_steps(self) -> bool:
        """Whether there is anything between E-steps."""
        return not self.after_e_step.all()

    @property
    def floor(self) -> float:
        """The lowest bound that can be shown with a visible gap."""
        gaps = np.nan_to_num(self.ceiling - self.elbo)
        for i in range(self.x.size):
            lowest, highest = self.elbo[i:].min(), self.elbo[i:].max()
            if gaps[i:].max() > _READABLE_GAP * (highest - lowest):
                return float(lowest)
        return float(self.elbo.min())

    def end(self, floor: float) -> float:
        """Return the iteration after which the bound is flat, if most iterations come later."""
        highest = self.elbo.max()
        rising = self.x[highest - self.elbo > _READABLE_RISE * (highest - floor)]
        end = np.ceil(rising.max(initial=self.x[0])) + 1.0
        return float(end if end - self.x[0] < 0.5 * (self.x[-1] - self.x[0]) else self.x[-1])


@dataclass(frozen=True)
class _View:
    """The scale, limits and labels of the axes."""

    scale: str
    ylabel: str
    values: Callable[[Array], Array]
    xlim: tuple[float | None, float | None] = (None, None)
    ylim: tuple[float | None, float | None] = (None, None)
    notes: tuple[str, ...] = ()


def _linear(paths: Collection[_Path], crop: bool) -> _View:
    """Return a view of the bound, without a start far below and a flat end."""
    start = min(float(path.elbo.min()) for path in paths)
    floor = min(path.floor for path in paths)
    top = max(float(path.elbo.max()) for path in paths)
    view = _View("linear", f"ELBO ({_UNIT})", lambda bounds: bounds)
    if start < floor:
        which = "the start" if len(paths) == 1 else "the lowest start"
        note = f"{which}, at {_signed(start, 3)}, is far below"
        view = replace(view, ylim=_widened(floor, top), notes=(note,))
    first = min(float(path.x[0]) for path in paths)
    end = max(float(path.x[-1]) for path in paths)
    seen = max(path.end(floor) for path in paths)
    if crop and seen < end:
        note = f"the first {seen:.0f} of {end:.0f}"
        view = replace(view, xlim=_widened(first, seen), notes=(note, *view.notes))
    return view


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def _log(paths: Collection[_Path], crop: bool) -> _View:
    """Return a view of the distance to the best bound, on a logarithmic axis."""
    best = max(float(path.elbo.max()) for path in paths)

    def distances(bounds: Array) -> Array:
        # What differs in the last digits differs by rounding.
        below = best - bounds > 16.0 * np.spacing(abs(best))
        return np.where(below, best - bounds, np.nan)

    if not any(np.isfinite(distances(path.elbo)).any() for path in paths):
        raise ValueError(
            "scale='log' shows distances to the best bound, and all bounds shown here are equal "
            "to it. Use scale='linear'."
        )
    return _View("log", f"distance to the best ELBO, {_signed(best, 6)}\n({_UNIT})", distances)


def _signed(value: float, digits: int) -> str:
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


_VIEWS: dict[str, Callable[[Collection[_Path], bool], _View]] = {"linear": _linear, "log": _log}


class ELBODisplay:
    """The evidence lower bound (ELBO) by iteration.

    For one fit: the textbook's picture of EM as coordinate ascent. After an E-step the bound
    touches the log evidence (plus the log prior, where there is one). An M-step raises the bound,
    and the evidence still more: the gap that opens is the Kullback-Leibler divergence from the
    old posterior to the new one, and the next E-step closes it. Where a step was extrapolated,
    the path goes from E-step to E-step. For several fits: a line each, through the bounds after
    the E-steps.

    It is recommended to make one with `from_estimator` or `from_estimators`.

    Parameters
    ----------
    traces : mapping of str to Trace
        The ledger of each fit, by the name that the legend gives it.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        The bound of each fit: of all half-steps if there is one fit, after the E-steps if there
        are several. An M-step's x coordinate lies half-way between those of its E-steps.
    evidence_line_ : matplotlib Line2D or None
        Log evidence plus log prior at the parameters of each half-step; None for several fits.
    gap_ : matplotlib PolyCollection or None
        The shaded gap between the two; None for several fits.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from em_toolkit import GaussianMixture
    >>> from em_toolkit.displays import ELBODisplay
    >>> gm = GaussianMixture(n_components=3, random_state=0).fit(load_iris().data)
    >>> display = ELBODisplay(traces={"iris": gm.trace_})
    >>> display.plot().figure_.savefig("elbo.png")  # doctest: +SKIP
    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Line2D]
    evidence_line_: Line2D | None
    gap_: PolyCollection | None

    def __init__(self, *, traces: Mapping[str, Trace]) -> None:
        self.traces = traces

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        scale: str = "linear",
        iterations: tuple[int, int | None] | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the path of one fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted by EM.
        name : str, default=None
            What to call it; the name of its class by default.
        ax, scale, iterations, line_kw
            As in `plot`.

        Returns
        -------
        display : ELBODisplay
        """
        name = type(estimator).__name__ if name is None else name
        return cls.from_estimators(
            {name: estimator}, ax=ax, scale=scale, iterations=iterations, line_kw=line_kw
        )

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        *,
        ax: Axes | None = None,
        scale: str = "linear",
        iterations: tuple[int, int | None] | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the paths of several fitted estimators, to compare them.

        Parameters
        ----------
        estimators : mapping of str to estimator
            Estimators fitted by EM, by the name that the legend gives them.
        ax, scale, iterations, line_kw
            As in `plot`.

        Returns
        -------
        display : ELBODisplay
        """
        if not isinstance(estimators, Mapping):
            raise TypeError(
                "estimators: expected a mapping of names to fitted estimators, such as "
                f"{{'full': gm}}, got {type(estimators).__name__}. For a single estimator there "
                "is from_estimator."
            )
        traces = {name: _trace_of(estimator) for name, estimator in estimators.items()}
        return cls(traces=traces).plot(ax, scale=scale, iterations=iterations, line_kw=line_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        scale: str = "linear",
        iterations: tuple[int, int | None] | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the bound of each fit.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        scale : {"linear", "log"}, default="linear"
            ``"log"`` draws the distance to the best bound among those shown, on a logarithmic
            axis, where steady convergence is a straight line. The best bound itself, usually the
            last one, is at distance zero and left out.
        iterations : (first, last), default=None
            The iterations to show, both included, where None stands for the last there is. By
            default all, but that the picture of a single fit ends, and says so, where the bound
            has all but arrived. A start that lies so low that nothing else could be seen is left
            below a linear axis, with a note.
        line_kw : mapping, default=None
            Passed to ``Axes.plot`` for the lines of the bound.

        Returns
        -------
        self : ELBODisplay
        """
        check_option("scale", scale, _VIEWS)
        is_single = len(self.traces) == 1
        paths = self._paths(*(iterations or (0, None)))
        view = _VIEWS[scale](paths.values(), is_single and iterations is None)
        self.ax_ = axes_to_draw_on(ax)
        self.figure_ = self.ax_.figure
        self.lines_, self.evidence_line_, self.gap_ = [], None, None
        has_half_steps = is_single and any(path.has_m_steps for path in paths.values())
        draw = self._draw_half_steps if has_half_steps else self._draw_bounds
        draw(paths, view, dict(line_kw or {}))
        self._finish(view)
        return self

    def _paths(self, first: int, last: int | None) -> dict[str, _Path]:
        if not self.traces:
            raise ValueError("traces: expected the trace of at least one fit, got none.")
        n_iter = max(trace.n_iter for trace in self.traces.values())
        stop = n_iter if last is None else last
        if not 0 <= first <= min(stop, n_iter):
            raise ValueError(
                "iterations: expected (first, last) with 0 <= first <= last, and first not after "
                f"the last iteration there is, {n_iter}; got ({first}, {last})."
            )
        paths = {name: _Path.of(trace, first, stop) for name, trace in self.traces.items()}
        return {name: path for name, path in paths.items() if path.x.size}

    def _draw_half_steps(
        self, paths: Mapping[str, _Path], view: _View, line_kw: dict[str, Any]
    ) -> None:
        ((name, path),) = paths.items()
        elbo, ceiling = view.values(path.elbo), view.values(path.ceiling)
        line_color, gap_color = palette(2)
        self.gap_ = self.ax_.fill_between(
            path.x, elbo, ceiling, color=gap_color, alpha=0.45, linewidth=0.0
        )
        (self.evidence_line_,) = self.ax_.plot(path.x, ceiling, color=INK, linewidth=1.5)
        style: dict[str, Any] = {"color": DARKER * line_color, "linewidth": 1.5} | line_kw
        self.lines_ = self.ax_.plot(path.x, elbo, **style)
        evidence = "log evidence + log prior" if path.has_prior else "log evidence"
        entries = {evidence: self.evidence_line_, "KL gap": self.gap_}
        if (view.xlim[1] or path.x[-1]) - path.x[0] <= _MARKED_ITERATIONS:
            entries |= self._mark_half_steps(path, elbo)
        else:
            entries["ELBO"] = self.lines_[0]
        self.ax_.legend(
            entries.values(),
            entries.keys(),
            title=name,
            alignment="left",
            loc="best",
            frameon=False,
        )

    def _mark_half_steps(self, path: _Path, elbo: Array) -> dict[str, Line2D]:
        color = self.lines_[0].get_color()
        marks: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5.5}
        after_e, after_m = path.after_e_step, ~path.after_e_step
        (e_marks,) = self.ax_.plot(path.x[after_e], elbo[after_e], color=color, **marks)
        (m_marks,) = self.ax_.plot(
            path.x[after_m], elbo[after_m], color=color, markerfacecolor="white", **marks
        )
        return {"ELBO after an E-step": e_marks, "ELBO after an M-step": m_marks}

    def _draw_bounds(
        self, paths: Mapping[str, _Path], view: _View, line_kw: dict[str, Any]
    ) -> None:
        for color, (name, path) in zip(palette(len(paths)), paths.items(), strict=True):
            x, bounds = path.x[path.after_e_step], view.values(path.elbo[path.after_e_step])
            style: dict[str, Any] = {"color": color, "linewidth": 1.8, "label": name} | line_kw
            if np.isnan(bounds).all():
                style["label"] = f"{name} (the best)"
            elif x.size == 1:
                # A closed form, or a start: the level to compare the others with.
                style["marker"] = "o"
                self.ax_.axhline(bounds[0], color=color, linewidth=1.0, linestyle=":")
            self.lines_ += self.ax_.plot(x, bounds, **style)
        self.ax_.legend(loc="best", frameon=False)

    def _finish(self, view: _View) -> None:
        from matplotlib.ticker import MaxNLocator, ScalarFormatter

        notes = f" ({'; '.join(view.notes)})" if view.notes else ""
        self.ax_.set(xlabel=f"iteration{notes}", ylabel=view.ylabel, yscale=view.scale)
        self.ax_.set_xlim(*view.xlim)
        self.ax_.set_ylim(*view.ylim)
        numbers = self.ax_.yaxis.get_major_formatter()
        if isinstance(numbers, ScalarFormatter):
            # Whole numbers, however little the bound moves: no "-1.184e1" above the axis.
            numbers.set_useOffset(False)
        ticks = MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
        self.ax_.xaxis.set_major_locator(ticks)


def _trace_of(estimator: Any) -> Trace:
    check_is_fitted(estimator)
    trace = getattr(estimator, "trace_", None)
    if not isinstance(trace, Trace):
        raise TypeError(
            f"{type(estimator).__name__}: expected an estimator of em_toolkit, which keeps the "
            "ledger of its fit in trace_; this one has none."
        )
    return trace

"""Mixtures over their data: ellipses in two features, densities in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import _check_sample_weight

from em_toolkit.displays.bins import edges_of_counts, edges_of_values
from em_toolkit.displays.marginals import Densities, Moments, densities, moments
from em_toolkit.displays.style import DARKER, INK, NOISE, axes_to_draw_on, palette
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.families import Box
from em_toolkit.options import did_you_mean
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import Array

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Ellipse

_STANDARD_DEVIATIONS = (1.0, 2.0)
# Probabilities at more points than this are drawn as a line alone.
_MARKED_POINTS = 60
_MOST_ABOVE_BARS = 3.0
# Length of a tick, of the side of the axes.
_TICK = 0.025
_TINY = float(np.finfo(np.float64).tiny)


class MixtureDisplay:
    """A fitted mixture over its data, in one or two of the features.

    Two features: each row is a point, whose colour mixes those of the components by its
    responsibilities; each component has its number at its mean, and the ellipses at 1 and 2
    standard deviations of its covariance in these two features, which hold 39.3 % and 86.5 % of a
    Gaussian; a row that misses one of the two is a tick on the axis of the other. One feature: the
    histogram of the rows, coloured in the same way, under the density of the mixture and its
    terms, the densities of the components times their weights.

    It is recommended to make one with `from_estimator`.

    Parameters
    ----------
    X : ndarray of shape (n_rows, 1) or (n_rows, 2)
        The features to show; NaN where an entry is missing.
    responsibilities : ndarray of shape (n_rows, n_components)
        If there is noise, which is grey, a further column for it comes last.
    weights : ndarray of shape (n_components,)
    components : Moments or Densities
        For two features the components' means and covariances, for one their densities.
    sample_weight : ndarray of shape (n_rows,), default=None
        How many times each row counts: the area of its point, or its part of the histogram.
    feature_names : sequence of str, default=None
        Labels of the axes.
    noise_weight : float, default=0
        The weight of noise.
    noise_density : float, default=0
        For one feature: the density of noise.
    note : str, default=""
        A line below the axis, such as why these features are shown.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each component: its mean (two features), or its density times its weight (one).
    points_ : matplotlib PathCollection or None
        For two features: the rows.
    ticks_ : list of matplotlib LineCollection
        For two features: the rows that miss the second one, and those that miss the first; none
        if there are none.
    ellipses_ : list of list of matplotlib Ellipse
        For two features: those of each component, at 1 and at 2 standard deviations; none for a
        component of weight zero.
    bars_ : matplotlib BarContainer or None
        For one feature: the histogram.
    mixture_line_ : matplotlib Line2D or None
        For one feature: the density of the mixture.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from em_toolkit import GaussianMixture
    >>> from em_toolkit.displays import MixtureDisplay
    >>> X = load_iris().data
    >>> gm = GaussianMixture(n_components=3, random_state=0).fit(X)
    >>> display = MixtureDisplay.from_estimator(gm, X, features=(2, 3))  # doctest: +SKIP
    >>> display.figure_.savefig("iris.png")  # doctest: +SKIP
    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Line2D]
    points_: PathCollection | None
    ticks_: list[LineCollection]
    ellipses_: list[list[Ellipse]]
    bars_: BarContainer | None
    mixture_line_: Line2D | None

    def __init__(
        self,
        *,
        X: Array,
        responsibilities: Array,
        weights: Array,
        components: Moments | Densities,
        sample_weight: Array | None = None,
        feature_names: Sequence[str] | None = None,
        noise_weight: float = 0.0,
        noise_density: float = 0.0,
        note: str = "",
    ) -> None:
        self.X = X
        self.responsibilities = responsibilities
        self.weights = weights
        self.components = components
        self.sample_weight = sample_weight
        self.feature_names = feature_names
        self.noise_weight = noise_weight
        self.noise_density = noise_density
        self.note = note

    @classmethod
    def from_estimator(
        cls,
        estimator: MixtureEstimator,
        X: npt.ArrayLike,
        *,
        features: Sequence[int | str] | int | str | None = None,
        sample_weight: npt.ArrayLike | None = None,
        ax: Axes | None = None,
        bins: int | str | Sequence[float] | None = None,
        legend: bool | None = None,
        scatter_kw: Mapping[str, Any] | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw a fitted mixture over data.

        Parameters
        ----------
        estimator : GaussianMixture, PoissonMixture or another mixture
            Fitted.
        X : array-like of shape (n_rows, n_features)
            The rows, with all features of the fit.
        features : one or two of int or str, default=None
            The features to show, by column or by name; by default the first two (or the only one),
            and a note below the axis says so if there are others.
        sample_weight : array-like of shape (n_rows,), default=None
            How many times each row counts.
        ax, bins, legend, scatter_kw, line_kw
            As in `plot`.

        Returns
        -------
        display : MixtureDisplay
        """
        if not isinstance(estimator, MixtureEstimator):
            raise TypeError(
                "estimator: expected a mixture of em_toolkit, such as GaussianMixture, got "
                f"{type(estimator).__name__}."
            )
        rows = np.asarray(estimator._fitted_rows(X), dtype=np.float64)
        responsibilities = np.asarray(estimator.predict_proba(X), dtype=np.float64)
        columns, names = _columns(features, estimator)
        n_features = estimator.n_features_in_
        note = ""
        if features is None and n_features > len(columns):
            note = f"the first {len(columns)} of {n_features} features; features= shows others"
        shown = rows[:, columns]
        counts = None
        if sample_weight is not None:
            counts = _check_sample_weight(
                sample_weight, rows, dtype=np.float64, ensure_non_negative=True
            )
        params = estimator.params_
        look = _LOOKS[len(columns)]
        display = cls(
            X=shown,
            responsibilities=responsibilities,
            weights=np.asarray(estimator.weights_, dtype=np.float64),
            components=look(params.components, columns, shown),
            sample_weight=counts,
            feature_names=names,
            note=note,
            **_noise_of(estimator, columns),
        )
        return display.plot(ax, bins=bins, legend=legend, scatter_kw=scatter_kw, line_kw=line_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        bins: int | str | Sequence[float] | None = None,
        legend: bool | None = None,
        scatter_kw: Mapping[str, Any] | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the rows and the components.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        bins : int, sequence of float or str, default=None
            Of the histogram, as in ``numpy.histogram_bin_edges``. By default Freedman and
            Diaconis's rule, and a bin for each count; at most 100.
        legend : bool, default=None
            Whether to list the components and their weights to the right of the axes. By default
            if the figure is new: to the right of axes that are given there may be others.
        scatter_kw : mapping, default=None
            Passed to ``Axes.scatter`` for the rows.
        line_kw : mapping, default=None
            Passed to the ellipses, or to ``Axes.plot`` for the densities.

        Returns
        -------
        self : MixtureDisplay
        """
        has_legend = ax is None if legend is None else legend
        self.ax_ = axes_to_draw_on(ax)
        self.figure_ = self.ax_.figure
        self.lines_, self.ellipses_, self.ticks_ = [], [], []
        self.points_ = self.bars_ = self.mixture_line_ = None
        counts = np.ones(len(self.X)) if self.sample_weight is None else self.sample_weight
        kept = counts > 0.0
        rows, shares, counts = self.X[kept], self.responsibilities[kept], counts[kept]
        if isinstance(self.components, Moments):
            whole = ~np.isnan(rows).any(axis=1)
            sizes = counts / counts.mean()
            self._draw_points(rows[whole], shares[whole], sizes[whole], dict(scatter_kw or {}))
            self._draw_ticks(rows, shares)
            self._draw_ellipses(self.components, dict(line_kw or {}))
        else:
            seen = ~np.isnan(rows[:, 0])
            values, shares, counts = rows[seen, 0], shares[seen], counts[seen]
            default_edges = edges_of_counts if self.components.discrete else edges_of_values
            edges = default_edges(values) if bins is None else np.histogram_bin_edges(values, bins)
            tallest = self._draw_histogram(values, shares * counts[:, None], edges)
            self._draw_densities(self.components, tallest, dict(line_kw or {}))
        if self.note:
            self.ax_.set_xlabel(f"{self.ax_.get_xlabel()}\n({self.note})")
        if has_legend:
            self._list_components()
        return self

    # -- two features ---------------------------------------------------------------------------

    def _draw_points(
        self, rows: Array, shares: Array, sizes: Array, scatter_kw: dict[str, Any]
    ) -> None:
        # Small and faint enough for the crowd to show its density.
        crowd = np.sqrt(max(len(rows), 1))
        style: dict[str, Any] = {
            "s": np.clip(400.0 / crowd, 3.0, 30.0) * sizes,
            "alpha": np.clip(70.0 / crowd, 0.15, 0.75),
            "c": _mixed_colors(shares, len(self.weights)),
            "linewidths": 0.0,
        }
        self.points_ = self.ax_.scatter(rows[:, 0], rows[:, 1], **style | scatter_kw)
        x, y = self.feature_names or ("feature 0", "feature 1")
        self.ax_.set(xlabel=x, ylabel=y)

    def _draw_ticks(self, rows: Array, shares: Array) -> None:
        from matplotlib.collections import LineCollection

        transforms = self.ax_.get_xaxis_transform(), self.ax_.get_yaxis_transform()
        for axis, transform in enumerate(transforms):
            alone = ~np.isnan(rows[:, axis]) & np.isnan(rows[:, 1 - axis])
            if not alone.any():
                continue
            ends = np.empty((int(alone.sum()), 2, 2))
            ends[:, :, axis] = rows[alone, axis, None]
            ends[:, :, 1 - axis] = 0.0, _TICK
            colors = _mixed_colors(shares[alone], len(self.weights))
            ticks = LineCollection(list(ends), colors=colors, linewidths=1.2, alpha=0.8)
            ticks.set_transform(transform)
            self.ax_.add_collection(ticks, autolim=False)
            self.ax_.update_datalim(ends[:, 0], updatex=axis == 0, updatey=axis == 1)
            self.ticks_.append(ticks)

    def _draw_ellipses(self, components: Moments, line_kw: dict[str, Any]) -> None:
        from matplotlib.patches import Ellipse
        from matplotlib.patheffects import withStroke

        for k, color in enumerate(DARKER * palette(len(self.weights))):
            variances, directions = np.linalg.eigh(components.covariances[k])
            minor, major = np.sqrt(np.maximum(variances, 0.0))
            angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
            ellipses = []
            for s in _STANDARD_DEVIATIONS if self.weights[k] > 0.0 else ():
                width = 2.4 - 0.7 * s
                style: dict[str, Any] = {
                    "edgecolor": color,
                    "facecolor": "none",
                    "linewidth": width,
                    "zorder": 3.0,
                    # To be seen on a crowd of points of the same hue.
                    "path_effects": [
                        withStroke(linewidth=width + 1.2, foreground="white", alpha=0.5)
                    ],
                }
                sizes = 2.0 * s * major, 2.0 * s * minor
                ellipses.append(
                    Ellipse(components.means[k], *sizes, angle=angle, **style | line_kw)
                )
                self.ax_.add_patch(ellipses[-1])
            self.ellipses_.append(ellipses)
            self.lines_.append(self._number(k, components.means[k], color))
        self.ax_.autoscale_view()

    # -- one feature ----------------------------------------------------------------------------

    def _draw_histogram(self, values: Array, shares: Array, edges: Array) -> float:
        parts = np.stack([np.histogram(values, edges, weights=share)[0] for share in shares.T])
        heights = parts.sum(axis=0) / (shares.sum() * np.diff(edges))
        colors = _mixed_colors((parts / np.maximum(parts.sum(axis=0), _TINY)).T, len(self.weights))
        self.bars_ = self.ax_.bar(
            edges[:-1], heights, np.diff(edges), align="edge", color=colors, alpha=0.4
        )
        return float(heights.max())

    def _draw_densities(
        self, components: Densities, tallest: float, line_kw: dict[str, Any]
    ) -> None:
        grid, terms = components.grid, self.weights[:, None] * components.values
        of_noise = self.noise_weight * self.noise_density
        total = terms.sum(axis=0) + of_noise
        has_marks = components.discrete and len(grid) <= _MARKED_POINTS
        style: dict[str, Any] = {"linewidth": 1.8, "markersize": 4.0}
        style["marker"] = "o" if has_marks else ""
        (self.mixture_line_,) = self.ax_.plot(
            grid, total, **{"color": INK, "linestyle": "--"} | style | line_kw
        )
        if of_noise > 0.0:
            self.ax_.plot(grid[[0, -1]], [of_noise, of_noise], color=NOISE, linewidth=1.8)
        # A component that collapsed on a few values is a spike, beside which nothing is seen.
        top = min(float(total.max()), _MOST_ABOVE_BARS * tallest)
        for k, color in enumerate(DARKER * palette(len(terms))):
            self.lines_ += self.ax_.plot(grid, terms[k], **{"color": color} | style | line_kw)
            if self.weights[k] > 0.0:
                peak = terms[k].argmax()
                self._number(k, (grid[peak], min(terms[k, peak], top)), color)
        (name,) = self.feature_names or ("feature 0",)
        unit = "probability" if components.discrete else "density"
        self.ax_.set(xlabel=name, ylabel=unit, ylim=(0.0, 1.06 * max(top, tallest)))

    # -- both -----------------------------------------------------------------------------------

    def _number(self, component: int, place: Sequence[float] | Array, color: Array) -> Line2D:
        x, y = place
        # Above all else; and of two that meet the later one, whole.
        order = 4.0 + component / 1000.0
        (mark,) = self.ax_.plot(
            [x], [y], "o", color=color, markerfacecolor="white", markersize=13.0, zorder=order
        )
        self.ax_.text(
            x,
            y,
            str(component),
            color=color,
            fontsize=9,
            fontweight="bold",
            ha="center",
            va="center_baseline",
            zorder=order,
            clip_on=True,
        )
        return mark

    def _list_components(self) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles: list[Artist] = [
            Patch(color=color, label=f"{k}: {weight:.1%}")
            for k, (color, weight) in enumerate(
                zip(palette(len(self.weights)), self.weights, strict=True)
            )
        ]
        if self.noise_weight > 0.0:
            handles.append(Patch(color=NOISE, label=f"noise: {self.noise_weight:.1%}"))
        if self.mixture_line_ is None:
            handles.append(Line2D([], [], color=INK, label="1 and 2 std"))
            if self.ticks_:
                tick = Line2D([], [], color=INK, marker="|", linestyle="", markersize=9.0)
                tick.set_label("the other is missing")
                handles.append(tick)
        else:
            handles.append(Line2D([], [], color=INK, linestyle="--", label="mixture"))
        self.ax_.legend(
            handles=handles,
            title="weights",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
            ncols=1 + len(handles) // 21,
        )


def _mixed_colors(shares: Array, n_components: int) -> Array:
    """Return the colours of the components and of noise, mixed by shares.

    `shares` has shape (n_colors, n_components), with a further column if there is noise.
    """
    from matplotlib.colors import to_rgb

    colors = np.vstack([palette(n_components), to_rgb(NOISE)])
    return np.clip(shares @ colors[: shares.shape[1]], 0.0, 1.0)


def _noise_of(estimator: MixtureEstimator, columns: list[int]) -> dict[str, float]:
    """Return the weight of noise, and its density along one feature: 1 by the side of the box."""
    box: Box | None = getattr(estimator, "noise_box_", None)
    if box is None:
        return {}
    weight = float(estimator.params_.weights[-1])
    return {"noise_weight": weight, "noise_density": 1.0 / float(box.sides[columns[0]])}


def _moments(components: Parameters, columns: list[int], rows: Array) -> Moments:
    return moments(components, columns)


def _densities(components: Parameters, columns: list[int], rows: Array) -> Densities:
    low, high = float(np.nanmin(rows)), float(np.nanmax(rows))
    margin = 0.05 * (high - low) or 1.0
    return densities(components, columns[0], low - margin, high + margin)


_LOOKS: dict[int, Callable[[Parameters, list[int], Array], Moments | Densities]] = {
    1: _densities,
    2: _moments,
}


def _columns(
    features: Sequence[int | str] | int | str | None, estimator: MixtureEstimator
) -> tuple[list[int], list[str]]:
    """Return the columns that are meant by `features`, and their names."""
    n_features = estimator.n_features_in_
    known = getattr(estimator, "feature_names_in_", None)
    names = [f"feature {j}" for j in range(n_features)] if known is None else list(known)
    if features is None:
        features = tuple(range(min(n_features, 2)))
    asked = [features] if isinstance(features, int | str) else list(features)
    columns = [names.index(name) if name in names else name for name in asked]
    good = [j for j in columns if isinstance(j, int | np.integer) and 0 <= j < n_features]
    if not (len(good) == len(set(good)) == len(asked) and len(good) in _LOOKS):
        named = f" or names among {names}" if known is not None else ""
        unknown = next(filter(None, (did_you_mean(j, names) for j in columns if j not in good)), "")
        raise ValueError(
            f"features: expected one or two different columns from 0 to {n_features - 1}{named}, "
            f"got {features!r}.{unknown}"
        )
    return [int(j) for j in good], [names[j] for j in good]

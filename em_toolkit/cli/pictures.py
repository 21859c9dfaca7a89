"""The pictures of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from em_toolkit.cli.messages import count
from em_toolkit.displays import ELBODisplay, MixtureDisplay
from em_toolkit.displays.style import INK, palette
from em_toolkit.statistics import Array

_MOST_NAMES = 30
_FEW_ITERATIONS = 15


def new_figure(width: float, height: float) -> Figure:
    """Return a figure that belongs to no window.

    Parameters
    ----------
    width, height : float
        In inches.
    """
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG.

    Parameters
    ----------
    figure : Figure
    path : Path
    """
    figure.savefig(path, dpi=150)


def bound(fitted: Any) -> Figure:
    """Draw the bound by iteration; of a long fit the beginning, and the way to its end."""
    if fitted.n_iter_ <= _FEW_ITERATIONS:
        figure = new_figure(8.0, 5.0)
        draw_bound(fitted, figure.subplots())
        return figure
    figure = new_figure(13.0, 5.0)
    left, right = figure.subplots(1, 2)
    ELBODisplay.from_estimator(fitted, ax=left, iterations=(0, _FEW_ITERATIONS))
    left.set_title(f"The bound in the first {_FEW_ITERATIONS} iterations")
    ELBODisplay.from_estimator(fitted, ax=right, scale="log")
    right.set_title(f"Its distance to the end, in all {fitted.n_iter_} iterations")
    return figure


def draw_bound(fitted: Any, ax: Axes) -> None:
    """Draw the bound by iteration on given axes.

    Parameters
    ----------
    fitted : estimator
    ax : Axes
    """
    ELBODisplay.from_estimator(fitted, ax=ax)
    ax.set_title(f"The bound: {count(fitted.n_iter_, 'iteration')}")


def mixture(fitted: Any, means: Array, X: Array, names: Sequence[str]) -> Figure:
    """Draw the data and the components, in the one or two features that tell most.

    Parameters
    ----------
    fitted : mixture estimator
    means : ndarray of shape (n_components, n_features)
    X : ndarray of shape (n_rows, n_features)
        NaN where an entry is missing.
    names : sequence of str of length n_features
        Of the columns.
    """
    figure = new_figure(9.0, 6.0)
    draw_mixture(fitted, means, X, names, figure.subplots())
    return figure


def draw_mixture(fitted: Any, means: Array, X: Array, names: Sequence[str], ax: Axes) -> None:
    """Draw what `mixture` does, on given axes.

    Parameters
    ----------
    fitted, means, X, names
        As in `mixture`.
    ax : Axes
    """
    features = telling_features(fitted.weights_, means, X)
    MixtureDisplay.from_estimator(fitted, X, features=features, ax=ax, legend=True)
    chosen = [names[j] for j in features]
    ax.set_xlabel(chosen[0])
    if len(chosen) > 1:
        ax.set_ylabel(chosen[1])
    title = f"{len(X)} rows, {count(len(means), 'component')}"
    if len(chosen) < len(names):
        title += f"\n{len(chosen)} of {len(names)} columns: "
        title += (
            "those whose means differ most between components" if len(means) > 1 else "the first"
        )
    ax.set_title(title)


def telling_features(weights: Array, means: Array, X: Array) -> list[int]:
    """Return the one or two features whose means differ most between components, for their spread.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
    means : ndarray of shape (n_components, n_features)
    X : ndarray of shape (n_rows, n_features)
        NaN where an entry is missing.
    """
    between = weights @ np.square(means - weights @ means)
    spread = np.nanvar(X, axis=0)
    shares = np.divide(between, spread, out=np.zeros_like(between), where=spread > 0.0)
    best = np.argsort(-shares, kind="stable")[:2]
    return sorted(int(j) for j in best)


def _name_features(ax: Axes, names: Sequence[str]) -> None:
    if len(names) > _MOST_NAMES:
        ax.set_xlabel("column of the table")
        return
    crowded = sum(map(len, names)) > 50
    ax.set_xticks(
        np.arange(len(names)),
        labels=[name if len(name) <= 20 else name[:19] + "…" for name in names],
        rotation=40 if crowded else 0,
        ha="right" if crowded else "center",
    )


def ppca(fitted: Any, X: Array, names: Sequence[str]) -> Figure:
    """Draw the rows in the first latent coordinates, and the directions of the components.

    Parameters
    ----------
    fitted : PPCA
    X : ndarray of shape (n_rows, n_features)
    names : sequence of str of length n_features
        Of the columns.
    """
    figure = new_figure(12.0, 5.0)
    left, right = figure.subplots(1, 2)
    latent = fitted.transform(X)
    if latent.shape[1] == 1:
        left.hist(latent[:, 0], bins="auto", color=palette(1)[0])
        left.set(ylabel="rows")
    else:
        left.scatter(latent[:, 0], latent[:, 1], s=12, color=palette(1)[0], alpha=0.7, linewidth=0)
        left.set(ylabel="latent 1")
    left.set(xlabel="latent 0", title="The rows in latent coordinates")
    shown = min(len(fitted.components_), 4)
    for k, color in enumerate(palette(shown)):
        label = f"component {k}: {fitted.explained_variance_ratio_[k]:.0%} of the variance"
        right.plot(fitted.components_[k], "o-", color=color, markersize=4, label=label)
    right.axhline(0.0, color=INK, linewidth=0.8)
    right.set(title="The directions of the components", ylabel="weight of the column")
    _name_features(right, names)
    right.legend(frameon=False)
    return figure


def digits(fitted: Any, X: Array, labels: Array) -> Figure:
    """Draw handwritten digits: their first latent coordinates, components and reconstructions.

    Parameters
    ----------
    fitted : PPCA
    X : ndarray of shape (n_rows, 64)
    labels : ndarray of int of shape (n_rows,)
        The digit that each row is.
    """
    figure = new_figure(14.0, 5.0)
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.0, 1.6))
    left, right = halves
    ax = left.subplots()
    latent = fitted.transform(X)
    for digit, color in enumerate(palette(10)):
        rows = latent[labels == digit]
        ax.scatter(rows[:, 0], rows[:, 1], s=7, color=color, alpha=0.5, linewidth=0)
        ax.text(
            *np.median(rows[:, :2], axis=0),
            str(digit),
            color=color,
            fontsize=17,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=3.5, foreground="white")],
        )
    ax.set(
        xlabel="latent 0",
        ylabel="latent 1",
        title=f"{len(X)} digits in the first two of {latent.shape[1]} latent coordinates",
    )
    shown = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    panels = [
        ("the first ten components", fitted.components_[:10], "RdBu_r"),
        ("ten digits (64 numbers each)", X[shown], "gray_r"),
        (
            f"the same from {latent.shape[1]} latent coordinates",
            fitted.inverse_transform(latent[shown]),
            "gray_r",
        ),
    ]
    for part, (title, images, colors) in zip(right.subfigures(3, 1), panels, strict=True):
        part.suptitle(title)
        largest = float(np.abs(images).max())
        lowest = -largest if colors == "RdBu_r" else 0.0
        for image_ax, image in zip(part.subplots(1, 10), images, strict=True):
            image_ax.imshow(image.reshape(8, 8), cmap=colors, vmin=lowest, vmax=largest)
            image_ax.set_axis_off()
    return figure

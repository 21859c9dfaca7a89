"""`em-toolkit demo`: the main job on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from em_toolkit import PPCA
from em_toolkit.cli import pictures
from em_toolkit.cli.columns import Numbers
from em_toolkit.cli.comparison import (
    LEGEND,
    Contestant,
    Outcome,
    comparison_table,
    compete,
    gaussian_mixtures,
)
from em_toolkit.cli.models import MODELS, component_tables
from em_toolkit.cli.printing import say_warnings, say_written, warnings_as_notes
from em_toolkit.cli.writing import check_folder, new_files
from em_toolkit.datasets import load_faithful
from em_toolkit.statistics import Array

_N_LATENT = 10
_TOL = 1e-12

_WELCOME = """\
Expectation-maximization (EM) fits models with something unseen: here, which group a row belongs
to, or a few coordinates behind many numbers. Every half-step of it raises a lower bound (ELBO) on
the log-likelihood, until that stops rising. The toolkit writes down every half-step, and checks
it."""

_FAITHFUL = """\
272 eruptions of a geyser: how long each lasted, and the wait until the next, in minutes. A
Gaussian mixture finds two kinds without being told of any: short ones with short waits, long ones
with long waits."""

_WINE = """\
178 wines from three growers, 13 chemical measurements each, standardized. The mixture is not told
who grew which; {n_right} of 178 wines end up with the others of their grower."""

_DIGITS = """\
1797 handwritten digits of 8 x 8 grey values. Probabilistic PCA finds {n_latent} coordinates that
stand for {share:.0%} of the variation of all 64, in closed form, and by EM step by step."""

_NOT_QUITE = """\
On the digits, scikit-learn divides the covariance by n - 1 where the maximum of the likelihood has
n: hence its slightly lower log-likelihood. Parameters are compared after that is undone. EM stops
where an iteration gains less than {tol:.0e} nats a row, close to the closed form."""


def run_demo(out: Path, console: Console) -> None:
    """Fit, compare with scikit-learn, print, and write pictures.

    Parameters
    ----------
    out : Path
        The folder for the pictures.
    console : Console
        Where to print.

    Raises
    ------
    InputError
        If nothing can be written there.
    """
    check_folder(out)
    _say(_WELCOME, console)
    with warnings_as_notes() as warned:
        faithful, geyser = _faithful()
        wine, growers, n_right = _wine()
        digits, pixels, labels = _digits()
    ppca = digits[1].fitted
    groups = {"Old Faithful": faithful, "wine": wine, "digits": digits}

    files = {
        "faithful.png": "the eruptions and the two components; the bound",
        "wine.png": "the wines in two of the 13 measurements; the bound",
        "digits.png": "the digits in two dimensions; components, reconstructions",
        "digits_bound.png": "the bound of PPCA by EM, iteration by iteration",
    }
    with new_files(out) as folder:
        drawn = [
            _mixture_and_bound(faithful[0].fitted, geyser),
            _mixture_and_bound(wine[0].fitted, growers),
            pictures.digits(ppca, pixels, labels),
            pictures.bound(digits[0].fitted),
        ]
        for name, figure in zip(files, drawn, strict=True):
            pictures.save(figure, folder / name)

    _head("Old Faithful", console)
    _say(_FAITHFUL, console)
    rows = MODELS["gaussian-mixture"].summary(faithful[0].fitted, geyser)
    for grid in component_tables(rows, console.width):
        console.print("", grid)
    _head("Wine", console)
    _say(_WINE.format(n_right=n_right), console)
    _head("Digits", console)
    share = float(ppca.explained_variance_ratio_.sum())
    _say(_DIGITS.format(n_latent=_N_LATENT, share=share), console)
    _head("Side by side with scikit-learn", console)
    console.print("", comparison_table(groups, "data"), "")
    console.print(LEGEND, style="dim", highlight=False)
    _say(_NOT_QUITE.format(tol=_TOL), console)
    say_warnings(warned)

    console.print()
    say_written(out, files, console)


def _faithful() -> tuple[list[Outcome], Numbers]:
    faithful = load_faithful()
    X: Array = faithful.data
    contestants = gaussian_mixtures({"n_components": 2, "random_state": 0})
    return compete(contestants, X), Numbers(faithful.feature_names, X, [])


def _wine() -> tuple[list[Outcome], Numbers, int]:
    """Return the fits, the data, and how many wines are with the others of their grower."""
    wine = load_wine()
    X: Array = StandardScaler().fit_transform(wine.data)
    outcomes = compete(gaussian_mixtures({"n_components": 3, "random_state": 0}), X)
    table = np.zeros((3, 3), dtype=int)
    np.add.at(table, (wine.target, outcomes[0].fitted.predict(X)), 1)
    n_right = int(table.max(axis=0).sum())
    return outcomes, Numbers(list(wine.feature_names), X, []), n_right


def _digits() -> tuple[list[Outcome], Array, Array]:
    digits = load_digits()
    X: Array = digits.data
    n_rows = len(X)

    def ours(fitted: Any) -> list[Array]:
        return [fitted.mean_, fitted.get_covariance()]

    def theirs(fitted: Any) -> list[Array]:
        return [fitted.mean_, fitted.get_covariance() * (n_rows - 1) / n_rows]

    def bounds(fitted: Any) -> Array:
        return np.asarray(fitted.trace_.elbo)

    contestants = [
        Contestant("PPCA, EM", _by_em, ours, bounds),
        Contestant("PPCA, closed", lambda: PPCA(_N_LATENT), ours, bounds),
        Contestant("scikit-learn", lambda: PCA(_N_LATENT), theirs, lambda fitted: np.empty(0)),
    ]
    return compete(contestants, X), X, digits.target


def _by_em() -> PPCA:
    return PPCA(_N_LATENT, solver="em", tol=_TOL, random_state=0)


def _mixture_and_bound(fitted: Any, numbers: Numbers) -> Any:
    figure = pictures.new_figure(13.0, 5.2)
    left, right = figure.subplots(1, 2)
    pictures.draw_mixture(fitted, fitted.means_, numbers.X, numbers.names, left)
    pictures.draw_bound(fitted, right)
    return figure


def _head(title: str, console: Console) -> None:
    console.print(f"\n[bold]{title}[/bold]")


def _say(text: str, console: Console) -> None:
    console.print(" ".join(text.split()), highlight=False)

"""`em-toolkit compare`: side by side with scikit-learn, with the same settings and start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from em_toolkit import GaussianMixture, Status
from em_toolkit.cli.columns import complete_rows, numeric_columns
from em_toolkit.cli.messages import InputError, count
from em_toolkit.cli.models import MODELS
from em_toolkit.cli.options import ReadingOptions
from em_toolkit.cli.printing import say_data, say_notes, warnings_as_notes, with_names
from em_toolkit.cli.reading import read_table
from em_toolkit.families import SCIKIT_LEARN_STRUCTURES
from em_toolkit.statistics import Array

_MOST_FITS = 5
_ENOUGH_SECONDS = 2.0
# A bound that is this much lower than before, relative to its size, has fallen: rounding is less.
_FALL = 1e-10

LEGEND = (
    "log-likelihood: of all rows, in nats; the higher the better. Seconds: the median of up to "
    f"{_MOST_FITS} fits, in turns. Largest difference: of any parameter from scikit-learn's, "
    "|a - b| / max(1, |b|). Decreases: how often the bound fell, of the steps on record. "
    "*: not converged. reg_covar is the least variance in em_toolkit; scikit-learn adds it to "
    "every variance, which makes the parameters differ a little."
)


@dataclass(frozen=True)
class Contestant:
    """A program that fits a model.

    Parameters
    ----------
    name : str
    build : callable
        Gives an estimator to fit.
    parameters : callable
        From the fitted estimator to the parameters to compare.
    bounds : callable
        From the fitted estimator to the bounds that it has on record.
    """

    name: str
    build: Callable[[], Any]
    parameters: Callable[[Any], Sequence[Array]]
    bounds: Callable[[Any], Array]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a contestant's fit; `failure` is empty if it fitted."""

    name: str
    fitted: Any = None
    log_likelihood: float = np.nan
    seconds: float = np.nan
    parameters: Sequence[Array] = ()
    n_steps: int = 0
    n_decreases: int = 0
    failure: str = ""

    @property
    def iterations(self) -> str:
        """The number of iterations, with a star if they were not enough."""
        if not self.n_steps:
            return "-"
        return f"{self.fitted.n_iter_}" + ("" if self.fitted.converged_ else "*")

    @property
    def decreases(self) -> str:
        """The number of recorded steps that lowered the bound."""
        return f"{self.n_decreases} of {self.n_steps}" if self.n_steps else "-"


def gaussian_mixtures(settings: Mapping[str, Any]) -> list[Contestant]:
    """Ours and scikit-learn's Gaussian mixture with the same settings."""

    def parameters(fitted: Any) -> list[Array]:
        return [fitted.weights_, fitted.means_, fitted.covariances_]

    return [
        Contestant(
            "em_toolkit",
            lambda: GaussianMixture(**settings),
            parameters,
            lambda fitted: fitted.trace_.elbo,
        ),
        Contestant(
            "scikit-learn",
            lambda: SklearnGaussianMixture(**settings),
            parameters,
            lambda fitted: np.asarray(fitted.lower_bounds_),
        ),
    ]


def compete(contestants: Sequence[Contestant], X: Array) -> list[Outcome]:
    """Fit with every contestant, in turns, so that a busy machine is unfair to none.

    Parameters
    ----------
    contestants : sequence of Contestant
    X : ndarray of shape (n_rows, n_features)

    Returns
    -------
    list of Outcome
        In the order of the contestants.
    """
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    fits: dict[str, Any] = {}
    failures: dict[str, str] = {}
    began = perf_counter()
    for _ in range(_MOST_FITS):
        for contestant in contestants:
            if contestant.name in failures:
                continue
            estimator, start = contestant.build(), perf_counter()
            try:
                fits[contestant.name] = estimator.fit(X)
            except ValueError as error:
                failures[contestant.name] = " ".join(str(error).split())
            if getattr(estimator, "status_", None) is Status.INTERRUPTED:
                raise KeyboardInterrupt
            seconds[contestant.name].append(perf_counter() - start)
        if perf_counter() - began > _ENOUGH_SECONDS:
            break
    return [
        Outcome(contestant.name, failure=failures[contestant.name])
        if contestant.name in failures
        else _outcome(contestant, fits[contestant.name], X, seconds[contestant.name])
        for contestant in contestants
    ]


def _outcome(contestant: Contestant, fitted: Any, X: Array, seconds: list[float]) -> Outcome:
    bounds = contestant.bounds(fitted)
    falls = np.diff(bounds) < -_FALL * np.maximum(1.0, np.abs(bounds[1:]))
    return Outcome(
        contestant.name,
        fitted,
        log_likelihood=float(fitted.score(X)) * len(X),
        seconds=float(np.median(seconds)),
        parameters=contestant.parameters(fitted),
        n_steps=len(falls),
        n_decreases=int(falls.sum()),
    )


def largest_difference(ours: Outcome, theirs: Outcome) -> float:
    """Return max |a - b| / max(1, |b|) over all parameters; NaN if one of the two failed.

    Parameters
    ----------
    ours, theirs : Outcome
        The fits with parameters a and b, of equal shapes.
    """
    if ours.failure or theirs.failure:
        return float("nan")
    pairs = zip(ours.parameters, theirs.parameters, strict=True)
    return max(float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b)))) for a, b in pairs)


def comparison_table(groups: Mapping[str, Sequence[Outcome]], what: str) -> Grid:
    """Return the table for a screen of 80 columns.

    Parameters
    ----------
    groups : mapping of str to sequence of Outcome
        By the name of the case; the last of a group is the one that the others are compared with.
    what : str
        The kind of case, as the heading of the first column.
    """
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    grid.add_column(what, no_wrap=True)
    grid.add_column("program", no_wrap=True)
    for heading in (
        "log-\nlikelihood",
        "iterations",
        "seconds",
        "largest\ndifference",
        "decreases",
    ):
        grid.add_column(heading, justify="right", no_wrap=True)
    for case, outcomes in groups.items():
        for i, outcome in enumerate(outcomes):
            is_last = i == len(outcomes) - 1
            difference = "" if is_last else f"{largest_difference(outcome, outcomes[-1]):.0e}"
            entries = ("failed", "", "", "", "")
            if not outcome.failure:
                entries = (
                    f"{outcome.log_likelihood:.4f}",
                    outcome.iterations,
                    f"{outcome.seconds:.4f}",
                    difference.replace("nan", "-"),
                    outcome.decreases,
                )
            grid.add_row("" if i else case, outcome.name, *entries, end_section=is_last)
    return grid


def failures(groups: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """Return a line for each cause of a failure."""
    causes: dict[str, list[str]] = {}
    for case, outcomes in groups.items():
        for outcome in outcomes:
            if outcome.failure:
                causes.setdefault(outcome.failure, []).append(f"{case} ({outcome.name})")
    return [f"{', '.join(failed)}: {cause}" for cause, failed in causes.items()]


def compare_table(
    path: Path, *, reading: ReadingOptions, settings: Mapping[str, Any], console: Console
) -> None:
    """Fit ours and scikit-learn's Gaussian mixture with each covariance structure to a table.

    Parameters
    ----------
    path : Path
    reading : ReadingOptions
        How to read the table, and which of its columns.
    settings : mapping
        Of the estimators; None stands for their default.
    console : Console
        Where to print.

    Raises
    ------
    InputError
        If the data or the settings cannot be used.
    """
    table = read_table(path, reading)
    numbers = complete_rows(numeric_columns(table, reading, takes_missing=True), table.path)
    given = {name: value for name, value in settings.items() if value is not None}
    given = MODELS["gaussian-mixture"].defaults(numbers.X) | given
    n_components, n_rows = given["n_components"], len(numbers.X)
    if n_components > n_rows:
        raise InputError(f"{n_components} components need as many rows; {table.path} has {n_rows}")
    with warnings_as_notes(), console.status("Fitting ..."):
        groups: dict[str, Any] = {
            structure: compete(gaussian_mixtures(given | {"covariance_type": structure}), numbers.X)
            for structure in SCIKIT_LEARN_STRUCTURES
        }
    ours = {structure: outcomes[0] for structure, outcomes in groups.items()}
    if all(outcome.failure for outcome in ours.values()):
        raise InputError(with_names(ours["full"].failure, numbers))
    say_data(table, numbers, numbers.notes, console)
    console.print("", comparison_table(groups, "covariance"), "")
    say_notes([with_names(line, numbers) for line in failures(groups)], console, "failed")
    console.print(LEGEND, style="dim", highlight=False)
    bics = {
        name: outcome.fitted.bic(numbers.X)
        for name, outcome in ours.items()
        if not outcome.failure and outcome.fitted.converged_
    }
    if bics:
        best = min(bics, key=lambda name: bics[name])
        console.print(
            f"The lowest BIC with {count(n_components, 'component')}, {bics[best]:.1f}, is that of "
            f"{best}.",
            highlight=False,
        )

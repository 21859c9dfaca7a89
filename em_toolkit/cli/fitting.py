"""`em-toolkit fit`: a model of a person's own table."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from em_toolkit import Status
from em_toolkit.cli import pictures
from em_toolkit.cli.columns import Numbers, numeric_columns
from em_toolkit.cli.exit_codes import ExitCode
from em_toolkit.cli.messages import InputError, count
from em_toolkit.cli.models import MODELS, Model, component_tables
from em_toolkit.cli.options import ReadingOptions, saved_reading
from em_toolkit.cli.printing import (
    say_data,
    say_notes,
    say_warnings,
    say_written,
    warnings_as_notes,
    with_names,
)
from em_toolkit.cli.progress import FitProgress, fit_progress
from em_toolkit.cli.reading import Table, read_table
from em_toolkit.cli.suspects import equal_rows
from em_toolkit.cli.writing import ACCOUNT, check_folder, new_files, versions, write_json
from em_toolkit.estimators.serialization import document_of
from em_toolkit.statistics import Array


def fit_table(
    path: Path,
    *,
    model: str,
    n_components: int,
    out: Path,
    reading: ReadingOptions,
    settings: Mapping[str, Any],
    console: Console,
) -> ExitCode:
    """Fit a model to the table in a file; write labels, parameters and pictures.

    Parameters
    ----------
    path : Path
    model : str
        A name in `em_toolkit.cli.models.MODELS`.
    n_components : int
    out : Path
        The folder for the results.
    reading : ReadingOptions
        How to read the table, and which of its columns.
    settings : mapping
        Of the estimator; None stands for its default.
    console : Console
        Where to print.

    Returns
    -------
    code : ExitCode

    Raises
    ------
    InputError
        If the data or the settings cannot be used. Nothing is written then.
    """
    check_folder(out)
    kind = MODELS[model]
    given = _settings_for(kind, model, n_components, settings)
    table = read_table(path, reading)
    numbers = numeric_columns(table, reading, takes_missing=kind.takes_missing)
    check_number(n_components, numbers, table.path)
    notes = numbers.notes + kind.check(table, numbers)
    with warnings_as_notes() as warned, fit_progress() as progress:
        fitted = _fit(kind, kind.defaults(numbers.X) | given, numbers, progress)
    result = Result(table, numbers, model, fitted, reading)
    with new_files(out) as folder:
        result.write(folder)
        written = sorted(file.name for file in folder.iterdir())

    say_data(table, numbers, notes, console)
    result.say(console)
    say_warnings([with_names(message, numbers) for message in warned])
    result.say_components(console)
    say_written(out, {name: contents(name, kind) for name in written}, console)
    return code_of([fitted.status_])


def code_of(statuses: Iterable[Status]) -> ExitCode:
    """Return the exit code for fits that ended so, of which the last one is what was written."""
    statuses = list(statuses)
    if Status.INTERRUPTED in statuses:
        return ExitCode.STOPPED
    last = statuses[-1]
    done = last.converged or last in (Status.CLOSED_FORM, Status.START)
    return ExitCode.DONE if done else ExitCode.NOT_CONVERGED


def check_number(n_components: int, numbers: Numbers, path: Path) -> None:
    """Raise InputError if there are fewer rows than components.

    Parameters
    ----------
    n_components : int
    numbers : Numbers
    path : Path
        Of the table, for the message.
    """
    if n_components > len(numbers.X):
        raise InputError(
            f"{n_components} components need as many rows; {path} has {len(numbers.X)}"
        )


@dataclass(frozen=True)
class Result:
    """A fit to a person's table, and what is written and printed of it.

    Parameters
    ----------
    table : Table
    numbers : Numbers
        What was fitted.
    model : str
        A name in `em_toolkit.cli.models.MODELS`.
    fitted : estimator
    reading : ReadingOptions
        How the table was read; `predict` reads others alike.
    """

    table: Table
    numbers: Numbers
    model: str
    fitted: Any
    reading: ReadingOptions

    @property
    def kind(self) -> Model:
        """The entry of the model in `MODELS`."""
        return MODELS[self.model]

    @cached_property
    def _criteria(self) -> dict[str, float]:
        return self.kind.criteria(self.fitted, self.numbers.X)

    @cached_property
    def _labelled(self) -> tuple[pd.DataFrame, list[str]]:
        return beside_table(self.table, self._beside)

    @cached_property
    def _beside(self) -> dict[str, Array]:
        return self.kind.columns(self.fitted, self.numbers.X)

    def write(self, folder: Path) -> None:
        """Write the table with labels, pictures and parameters, named after the table.

        Parameters
        ----------
        folder : Path
            What else is in it is of the same run, too: the account names all files.
        """
        stem, numbers, fitted = self.table.stem, self.numbers, self.fitted
        self._write_table(self._labelled[0], folder / f"{stem}_labelled.csv")
        if np.isnan(numbers.X).any():
            filled = _imputed(self.table, numbers, fitted.impute(numbers.X))
            self._write_table(filled, folder / f"{stem}_imputed.csv")
        figure = self.kind.draw(fitted, numbers)
        pictures.save(figure, folder / f"{stem}_components.png")
        if fitted.trace_.n_iter > 0:
            pictures.save(pictures.bound(fitted), folder / f"{stem}_bound.png")
        name = f"{stem}{ACCOUNT}"
        files = [*(file.name for file in folder.iterdir()), name]
        write_json(folder / name, self._account() | {"files": sorted(files)})

    def _write_table(self, frame: pd.DataFrame, path: Path) -> None:
        """Write a table with the separator and the decimals of the table that was read."""
        frame.to_csv(path, index=False, sep=self.table.separator, decimal=self.numbers.decimal)

    def _account(self) -> dict[str, Any]:
        fitted = self.fitted
        return {
            "model": self.model,
            "file": self.table.path.name,
            "columns": self.numbers.names,
            "n_rows": len(self.numbers.X),
            "settings": fitted.get_params(),
            "parameters": self.kind.parameters(fitted),
            "bound": {
                "lower_bound_per_row": fitted.lower_bound_,
                "lower_bounds_per_row": fitted.trace_.bounds,
                **self._criteria,
            },
            "status": str(fitted.status_),
            "converged": fitted.converged_,
            "n_iter": fitted.trace_.n_iter,
            "versions": versions(),
            "reading": {
                **saved_reading(self.reading),
                "signs": self.numbers.signs,
                "marks": self.numbers.marks,
            },
            "estimator": document_of(self._named),
        }

    @property
    def _named(self) -> Any:
        """The model with the names of the columns, by which `predict` will find them."""
        model = copy(self.fitted)
        model.feature_names_in_ = np.array(self.numbers.names, dtype=object)
        return model

    def say(self, console: Console) -> None:
        """Print how the fit ended, and how well it does."""
        n_iter, n_components = self.fitted.trace_.n_iter, self.fitted.n_components
        steps = f" ({count(n_iter, 'iteration')})" if n_iter else ""
        what = f"{self.model}, {count(n_components, 'component')}"
        console.print(f"{what}: {self.fitted.status_}{steps}", highlight=False)
        criteria = [f"{_NAMES[name]} {value:.4f}" for name, value in self._criteria.items()]
        console.print(", ".join(criteria), highlight=False)

    def say_components(self, console: Console) -> None:
        """Print the table of the components."""
        rows = self.kind.summary(self.fitted, self.numbers)
        for grid in component_tables(rows, console.width):
            console.print("", grid)
        console.print()
        labels = self._beside.get("label")
        spikes = [] if labels is None else equal_rows(labels, self.numbers.X, self.numbers.names)
        say_notes(
            [*spikes, *self._labelled[1], *self.kind.notes(self.fitted, self.numbers)], console
        )


_NAMES = {"log_likelihood": "log-likelihood", "bic": "BIC", "aic": "AIC"}


def _settings_for(
    kind: Model, model: str, n_components: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    known = inspect.signature(kind.estimator).parameters
    given = {name: value for name, value in settings.items() if value is not None}
    # The seed is always given, and means nothing to a model without a random start.
    foreign = [name for name in given if name not in known and name != "random_state"]
    if foreign:
        option = "--" + foreign[0].replace("_", "-")
        raise InputError(f"{option} means nothing to the model {model}; leave it out")
    return {"n_components": n_components} | {k: v for k, v in given.items() if k in known}


def _fit(kind: Model, settings: dict[str, Any], numbers: Numbers, progress: FitProgress) -> Any:
    try:
        fitted = kind.estimator(**settings).set_callbacks(progress).fit(numbers.X)
        return fitted.set_callbacks()
    except ValueError as error:
        raise InputError(with_names(str(error), numbers)) from None


def beside_table(table: Table, beside: Mapping[str, Array]) -> tuple[pd.DataFrame, list[str]]:
    """Return the whole table with new columns, and a note if they had to be renamed.

    Parameters
    ----------
    table : Table
    beside : mapping
        From the names of the new columns to their values.
    """
    prefix, notes = "", []
    while any(prefix + name in table.frame.columns for name in beside):
        prefix += "em_"
    if prefix:
        notes.append(
            f"the new columns begin with {prefix}, since the table has names of its own such as "
            f"'{next(name for name in beside if name in table.frame.columns)}'"
        )
    new = {prefix + name: values for name, values in beside.items()}
    return table.frame.assign(**new), notes


def _imputed(table: Table, numbers: Numbers, filled: Array) -> pd.DataFrame:
    """The whole table, with numbers in the place of missing cells; all others stay as they are."""
    frame = table.frame.copy()
    pairs = zip(numbers.X.T, filled.T, strict=True)
    for name, mark, (values, whole) in zip(numbers.names, numbers.decimals, pairs, strict=True):
        cells = frame[name].tolist()
        for row in np.flatnonzero(np.isnan(values)):
            cells[row] = f"{whole[row]:.6g}".replace(".", mark)
        frame[name] = pd.Series(cells, dtype=object, index=frame.index)
    return frame


def contents(name: str, kind: Model) -> str:
    """Return the contents of a file, by the end of its name.

    Parameters
    ----------
    name : str
        Of a file that the command line writes.
    kind : Model
        The model whose results it holds.
    """
    explanations = {
        "_labelled.csv": f"your table, with {kind.beside}",
        "_imputed.csv": "your table, with what is expected in the place of missing cells",
        "_parameters.json": "the parameters, the bound, and how they were found",
        "_components.png": "a picture of the data and the components",
        "_selection.csv": "every fit, and how it ended",
        "_selection.png": "a picture of the criterion",
        "_bound.png": "a picture of the bound, half-step by half-step",
    }
    return next(text for ending, text in explanations.items() if name.endswith(ending))

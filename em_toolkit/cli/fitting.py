"""`em-toolkit fit`: a model of a person's own table."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from em_toolkit.cli import pictures
from em_toolkit.cli.columns import Numbers, numeric_columns
from em_toolkit.cli.models import MODELS, Model, component_tables
from em_toolkit.cli.printing import (
    say_data,
    say_notes,
    say_warnings,
    say_written,
    warnings_as_notes,
    with_names,
)
from em_toolkit.cli.reading import InputError, Table, count, read_table
from em_toolkit.cli.writing import check_folder, new_files, versions, write_json
from em_toolkit.statistics import Array


def fit_table(
    path: Path,
    *,
    model: str,
    n_components: int,
    out: Path,
    columns: str | None,
    settings: Mapping[str, Any],
    console: Console,
) -> None:
    """Fit a model to the table in a file; write labels, parameters and pictures.

    Parameters
    ----------
    path : Path
    model : str
        A name in `em_toolkit.cli.models.MODELS`.
    n_components : int
    out : Path
        The folder for the results.
    columns : str or None
        Names of columns separated by commas.
    settings : mapping
        Of the estimator; None stands for its default.
    console : Console
        Where to print.

    Raises
    ------
    InputError
        If the data or the settings cannot be used. Nothing is written then.
    """
    check_folder(out)
    kind = MODELS[model]
    given = _settings_for(kind, model, n_components, settings)
    table = read_table(path)
    numbers = numeric_columns(table, columns, takes_missing=kind.takes_missing)
    n_rows = len(numbers.X)
    if n_components > n_rows:
        raise InputError(f"{n_components} components need as many rows; {path} has {n_rows}")
    notes = numbers.notes + kind.check(table, numbers)
    with warnings_as_notes() as warned, console.status("Fitting ..."):
        fitted = _fit(kind, given, numbers)
    beside = kind.columns(fitted, numbers.X)
    frame, renamed = _labelled(table, beside)
    criteria = kind.criteria(fitted, numbers.X)

    with new_files(out) as folder:
        frame.to_csv(
            folder / f"{path.stem}_labelled.csv",
            index=False,
            sep=table.separator,
            decimal=table.decimal,
        )
        if np.isnan(numbers.X).any():
            _imputed(table, numbers, fitted.impute(numbers.X)).to_csv(
                folder / f"{path.stem}_imputed.csv",
                index=False,
                sep=table.separator,
                decimal=table.decimal,
            )
        content = _account(model, path, numbers, fitted, kind, criteria)
        write_json(folder / f"{path.stem}_parameters.json", content)
        figure = kind.draw(fitted, numbers)
        pictures.save(figure, folder / f"{path.stem}_components.png")
        if fitted.trace_.n_iter > 0:
            pictures.save(pictures.bound(fitted), folder / f"{path.stem}_bound.png")
        written = sorted(file.name for file in folder.iterdir())

    say_data(path, numbers, notes, console)
    steps = f" ({count(fitted.trace_.n_iter, 'iteration')})" if fitted.trace_.n_iter else ""
    what = f"{model}, {count(n_components, 'component')}"
    console.print(f"{what}: {fitted.status_}{steps}", highlight=False)
    console.print(
        ", ".join(f"{_NAMES[name]} {value:.4f}" for name, value in criteria.items()),
        highlight=False,
    )
    say_warnings(warned)
    for grid in component_tables(kind.summary(fitted, numbers), console.width):
        console.print("", grid)
    console.print()
    say_notes(renamed, console)
    say_written(out, {name: _contents(name, kind) for name in written}, console)


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


def _fit(kind: Model, settings: dict[str, Any], numbers: Numbers) -> Any:
    try:
        return kind.estimator(**settings).fit(numbers.X)
    except ValueError as error:
        raise InputError(with_names(str(error), numbers)) from None


def _labelled(table: Table, beside: Mapping[str, Array]) -> tuple[Any, list[str]]:
    """The whole table with the new columns, and a note if they had to be renamed."""
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
    for name, values, whole in zip(numbers.names, numbers.X.T, filled.T, strict=True):
        cells = frame[name].tolist()
        for row in np.flatnonzero(np.isnan(values)):
            cells[row] = f"{whole[row]:.6g}".replace(".", table.decimal)
        frame[name] = pd.Series(cells, dtype=object, index=frame.index)
    return frame


def _account(
    model: str,
    path: Path,
    numbers: Numbers,
    fitted: Any,
    kind: Model,
    criteria: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "model": model,
        "file": path.name,
        "columns": numbers.names,
        "n_rows": len(numbers.X),
        "settings": fitted.get_params(),
        "parameters": kind.parameters(fitted),
        "bound": {
            "lower_bound_per_row": fitted.lower_bound_,
            "lower_bounds_per_row": fitted.trace_.bounds,
            **criteria,
        },
        "status": str(fitted.status_),
        "converged": fitted.converged_,
        "n_iter": fitted.trace_.n_iter,
        "versions": versions(),
    }


def _contents(name: str, kind: Model) -> str:
    explanations = {
        "_labelled.csv": f"your table, with {kind.beside}",
        "_imputed.csv": "your table, with what is expected in the place of missing cells",
        "_parameters.json": "the parameters, the bound, and how they were found",
        "_components.png": "a picture of the data and the components",
        "_bound.png": "a picture of the bound, half-step by half-step",
    }
    return next(text for ending, text in explanations.items() if name.endswith(ending))

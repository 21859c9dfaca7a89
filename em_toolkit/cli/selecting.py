"""`em-toolkit select`: how many components, and of which shape."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from rich.console import Console

from em_toolkit import ModelSelectionDisplay, select_mixture
from em_toolkit.cli import pictures
from em_toolkit.cli.columns import numeric_columns
from em_toolkit.cli.fitting import Result, check_number, contents
from em_toolkit.cli.models import MODELS
from em_toolkit.cli.printing import (
    say_data,
    say_warnings,
    say_written,
    warnings_as_notes,
    with_names,
)
from em_toolkit.cli.reading import InputError, read_table
from em_toolkit.cli.writing import check_folder, new_files
from em_toolkit.options import Criterion

_MODEL, _MOST = "gaussian-mixture", 9


def select_for_table(
    path: Path,
    *,
    most_components: int | None,
    criterion: str,
    out: Path,
    columns: str | None,
    seed: int,
    n_jobs: int | None,
    console: Console,
) -> None:
    """Choose a Gaussian mixture for the table in a file; write what `fit_table` writes of it.

    Parameters
    ----------
    path : Path
    most_components : int or None
        One to so many are tried, with each of mclust's covariance structures; by default 9, or as
        many as there are rows.
    criterion : {"bic", "icl", "aic", "cv"}
    out : Path
        The folder for the results.
    columns : str or None
        Names of columns separated by commas.
    seed : int
    n_jobs : int or None
        Processes.
    console : Console
        Where to print.

    Raises
    ------
    InputError
        If the data or the settings cannot be used. Nothing is written then.
    """
    check_folder(out)
    table = read_table(path)
    numbers = numeric_columns(table, columns, takes_missing=True)
    if most_components is None:
        most_components = min(_MOST, len(numbers.X))
    check_number(most_components, numbers, path)
    with warnings_as_notes() as warned:
        try:
            selection = select_mixture(
                numbers.X,
                range(1, most_components + 1),
                criterion=cast(Criterion, criterion),
                random_state=seed,
                n_jobs=n_jobs,
                verbose=int(console.is_terminal),
            )
        except ValueError as error:
            raise InputError(with_names(str(error), numbers)) from None
    result = Result(path, table, numbers, _MODEL, selection.best_estimator_)
    with new_files(out) as folder:
        result.write(folder)
        selection.to_frame().to_csv(folder / f"{path.stem}_selection.csv", index=False)
        figure = pictures.new_figure(9.0, 6.0)
        ModelSelectionDisplay.from_selection(selection, ax=figure.subplots(), legend=True)
        pictures.save(figure, folder / f"{path.stem}_selection.png")
        written = sorted(file.name for file in folder.iterdir())

    say_data(path, numbers, numbers.notes, console)
    # What warnings of the search say is in its summary, too.
    summary = str(selection).replace("to_frame()", f"{path.stem}_selection.csv")
    console.print(summary, highlight=False, markup=False, soft_wrap=True)
    console.print()
    result.say(console)
    say_warnings([message for message in warned if not message.startswith("select_mixture")])
    result.say_components(console)
    say_written(out, {name: contents(name, MODELS[_MODEL]) for name in written}, console)

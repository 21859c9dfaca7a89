"""`em-toolkit select`: how many components, and of which shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from em_toolkit import ModelSelectionDisplay, Status, select_mixture
from em_toolkit.cli import pictures
from em_toolkit.cli.columns import numeric_columns
from em_toolkit.cli.exit_codes import ExitCode
from em_toolkit.cli.fitting import Result, check_number, code_of, contents
from em_toolkit.cli.messages import InputError
from em_toolkit.cli.models import MODELS
from em_toolkit.cli.options import ReadingOptions
from em_toolkit.cli.printing import (
    say_data,
    say_warnings,
    say_written,
    warnings_as_notes,
    with_names,
)
from em_toolkit.cli.progress import lines_now_and_then
from em_toolkit.cli.reading import read_table
from em_toolkit.cli.writing import check_folder, new_files
from em_toolkit.options import Criterion
from em_toolkit.selection.reporting import note_on_constants

_MODEL, _MOST = "gaussian-mixture", 9


def select_for_table(
    path: Path,
    *,
    most_components: int | None,
    criterion: str,
    out: Path,
    reading: ReadingOptions,
    settings: Mapping[str, Any],
    n_jobs: int | None,
    console: Console,
) -> ExitCode:
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
    reading : ReadingOptions
        How to read the table, and which of its columns.
    settings : mapping
        Of the mixtures, the seed among them; None stands for what `select_mixture` takes.
    n_jobs : int or None
        Processes.
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
    table = read_table(path, reading)
    numbers = numeric_columns(table, reading, takes_missing=True)
    if most_components is None:
        most_components = min(_MOST, len(numbers.X))
    check_number(most_components, numbers, table.path)
    given = {name: value for name, value in settings.items() if value is not None}
    with warnings_as_notes() as warned, lines_now_and_then():
        try:
            selection = select_mixture(
                numbers.X,
                range(1, most_components + 1),
                criterion=cast(Criterion, criterion),
                n_jobs=n_jobs,
                verbose=1,
                **given,
            )
        except ValueError as error:
            raise InputError(with_names(str(error), numbers)) from None
    all_numbers = numbers
    if selection.left_out:
        # It is told with the choice.
        numbers = replace(
            numbers,
            names=[numbers.names[feature] for feature in selection.features_],
            X=numbers.X[:, selection.features_],
        )
    result = Result(table, numbers, _MODEL, selection.best_estimator_, reading)
    with new_files(out) as folder:
        selection.to_frame().to_csv(folder / f"{table.stem}_selection.csv", index=False)
        figure = pictures.new_figure(9.0, 6.0)
        ModelSelectionDisplay.from_selection(selection, ax=figure.subplots(), legend=True)
        pictures.save(figure, folder / f"{table.stem}_selection.png")
        result.write(folder)
        written = sorted(file.name for file in folder.iterdir())

    say_data(table, numbers, numbers.notes, console)
    # What warnings of the search say is in its summary, too.
    note = note_on_constants(selection.left_out)
    summary = with_names(str(selection).removesuffix(note), numbers) + with_names(note, all_numbers)
    summary = summary.replace("to_frame()", f"{table.stem}_selection.csv")
    console.print(summary, highlight=False, markup=False, soft_wrap=True)
    console.print()
    result.say(console)
    say_warnings([message for message in warned if not message.startswith("select_mixture")])
    result.say_components(console)
    say_written(out, {name: contents(name, MODELS[_MODEL]) for name in written}, console)
    stopped = any(c.status == Status.INTERRUPTED.name.lower() for c in selection.candidates)
    ended = [Status.INTERRUPTED] if stopped else []
    return code_of([*ended, selection.best_estimator_.status_])

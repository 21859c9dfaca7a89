"""`em-toolkit predict`: a model that was fitted before, applied to new rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from em_toolkit.cli.columns import Numbers, numeric_columns
from em_toolkit.cli.exit_codes import ExitCode
from em_toolkit.cli.fitting import beside_table
from em_toolkit.cli.messages import InputError, count, listed
from em_toolkit.cli.models import MODELS, Model
from em_toolkit.cli.options import ReadingOptions, read_alike
from em_toolkit.cli.printing import say_data, say_notes
from em_toolkit.cli.reading import Table, read_table
from em_toolkit.cli.writing import new_file
from em_toolkit.estimators.serialization import estimator_from
from em_toolkit.statistics import Array

_SEPARATORS = {".csv": None, ".tsv": "\t"}


def predict_table(model: Path, path: Path, out: Path | None, reading: ReadingOptions) -> ExitCode:
    """Apply a saved model to the table in a file; write the table with what the model says.

    Parameters
    ----------
    model : Path
        What `fit` or `to_json` wrote.
    path : Path
        A table with the columns of the model, in any order and among others.
    out : Path or None
        The file for the results; None is stdout.
    reading : ReadingOptions
        How to read the table; its columns are those of the model.

    Returns
    -------
    code : ExitCode

    Raises
    ------
    InputError
        If the model or the data cannot be used. Nothing is written then.
    """
    if out is not None and out.suffix.lower() not in _SEPARATORS:
        raise InputError(
            f"--out {out}: expected a name that ends in .csv or .tsv, got '{out.suffix}'"
        )
    kind, fitted = read_model(model)
    saved = _saved_reading(model)
    reading, words = read_alike(reading, saved)
    table = read_table(path, reading)
    numbers = _columns_of(fitted, kind, model, table, reading, saved.get("marks", {}))
    checked = kind.check(table, numbers) + _notes_on_signs(numbers, saved.get("signs", {}))
    if words:
        checked.append(f"the table was read as in the fit, with {words}")
    unseen = int(np.isnan(numbers.X).all(axis=1).sum())
    if unseen:
        checked.append(
            f"{count(unseen, 'row')} without any value: what is said of them is what is known of "
            "any row"
        )
    beside = _predictions(kind, fitted, numbers)
    frame, notes = beside_table(table, beside)
    separator = table.separator
    if out is None:
        frame.to_csv(sys.stdout, index=False, sep=separator, decimal=numbers.decimal)
    else:
        separator = _SEPARATORS[out.suffix.lower()] or separator
        with new_file(out) as file:
            frame.to_csv(file, index=False, sep=separator, decimal=numbers.decimal)
    console = Console(stderr=out is None)
    say_data(table, numbers, [*numbers.notes, *checked, *notes], console)
    mean = float(np.mean(beside["log_density"]))
    console.print(f"mean log density: {mean:.4f} nats a row", highlight=False)
    say_notes(kind.notes(fitted, numbers), console)
    if out is not None:
        console.print(f"Written to {out}", highlight=False, markup=False, soft_wrap=True)
    return ExitCode.DONE


def read_model(path: Path) -> tuple[Model, Any]:
    """Return a saved model, and what the command line knows of its kind.

    Raises
    ------
    InputError
        If it is not there, or is no model.
    """
    kinds = {kind.estimator: kind for kind in MODELS.values()}
    try:
        fitted = estimator_from(path, list(kinds))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return kinds[type(fitted)], fitted


def _columns_of(
    fitted: Any,
    kind: Model,
    model: Path,
    table: Table,
    reading: ReadingOptions,
    marks: Mapping[str, str],
) -> Numbers:
    """Return the columns of the model, in its order."""
    # scikit-learn would warn of arrays, which are in the order of the names by then.
    names = vars(fitted).pop("feature_names_in_", None)
    there = [str(name) for name in table.frame.columns]
    if names is None:
        numbers = numeric_columns(
            table, reading, takes_missing=kind.takes_missing, known_marks=marks
        )
        if len(numbers.names) != fitted.n_features_in_:
            raise InputError(
                f"{model} does not say the names of its {fitted.n_features_in_} columns, and "
                f"{table.path} has {len(numbers.names)} columns of numbers: fit it with names"
            )
        return numbers
    missing = [f"'{name}'" for name in names if name not in there]
    if missing:
        folded = {name.lower(): name for name in there}
        meant = [folded[name.lower()] for name in names if name.lower() in folded]
        advice = f"the columns are {listed(there)}"
        if not table.header:
            advice = "the table has no header: --header if its first row holds the names"
        elif [name for name in meant if name not in names]:
            advice = (
                f"there are {listed([name for name in meant if name not in names])}: rename them"
            )
        raise InputError(
            f"{table.path}: the model in {model} needs the columns {', '.join(missing)}, which are "
            f"not there; {advice}"
        )
    return numeric_columns(
        table,
        reading,
        names=[str(name) for name in names],
        takes_missing=kind.takes_missing,
        known_marks=marks,
    )


def _saved_reading(path: Path) -> dict[str, Any]:
    """Return the options with which the table of a fit was read; none for what `to_json` wrote."""
    account = json.loads(path.read_text(encoding="utf-8"))
    saved = account.get("reading", {})
    parts = [saved.get(name, {}) for name in ("signs", "marks")] if isinstance(saved, dict) else []
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise InputError(f"{path}: expected an object in 'reading', got {saved!r:.60}")
    return saved


def _notes_on_signs(numbers: Numbers, fitted: Mapping[str, str]) -> list[str]:
    """Notes on percentages that were none in the fit, or are none now."""
    notes = []
    for name in numbers.names:
        before, now = fitted.get(name, ""), numbers.signs.get(name, "")
        if before != now and "%" in (before, now):
            had, has = (f"the sign {sign}" if sign else "no sign" for sign in (before, now))
            notes.append(
                f"column '{name}' has {has} here, and had {had} in the fit: 5% was read as 5, and "
                "0.05 as 0.05; write it as in the fit"
            )
    return notes


def _predictions(kind: Model, fitted: Any, numbers: Numbers) -> dict[str, Array]:
    """Return the columns that are written beside each row."""
    beside = kind.columns(fitted, numbers.X) | {"log_density": fitted.score_samples(numbers.X)}
    if np.isnan(numbers.X).any():
        filled = fitted.impute(numbers.X)
        for name, given, whole in zip(numbers.names, numbers.X.T, filled.T, strict=True):
            if np.isnan(given).any():
                beside[f"{name}_imputed"] = whole
    return beside

"""What all commands print: notes, warnings, and the files that were written."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from em_toolkit.cli.columns import Numbers
from em_toolkit.cli.messages import count, listed
from em_toolkit.cli.reading import Table


@contextmanager
def warnings_as_notes() -> Iterator[list[str]]:
    """What the block warns of, once each, in a list that is filled at its end."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        message = " ".join(str(warning.message).split())
        # Libraries warn each other of what will change in them: nothing for a person to act on.
        matters = issubclass(warning.category, UserWarning | RuntimeWarning)
        if matters and message not in notes:
            notes.append(message)


def say_data(table: Table, numbers: Numbers, notes: list[str], console: Console) -> None:
    """Print what was read, and notes on it."""
    n_rows, n_columns = numbers.X.shape
    header = f"names from {table.header}" if table.header else "no names of columns"
    line = (
        f"{table.path}: {n_rows} rows ({header}), {count(n_columns, 'column')}: "
        f"{listed(numbers.names)}"
    )
    console.print(line, highlight=False, markup=False)
    say_notes(notes, console)


def say_notes(notes: list[str], console: Console, word: str = "note") -> None:
    """Print notes, a line each."""
    for note in notes:
        console.print(f"{word}: {note}", style="yellow", highlight=False, markup=False)


def say_warnings(warned: list[str]) -> None:
    """Print warnings on stderr, a line each."""
    for message in warned:
        print(f"em-toolkit: warning: {message}", file=sys.stderr)


def say_written(out: Path, files: Mapping[str, str], console: Console) -> None:
    """Say which files were written, and what is in them."""
    console.print(f"Written to {out}:", highlight=False, markup=False, soft_wrap=True)
    width = max(map(len, files))
    for name, contents in files.items():
        line = f"  {name:{width}}  {contents}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def with_names(message: str, numbers: Numbers) -> str:
    """Return an estimator's message, which knows features by number, with the columns' names."""

    def name_of(found: re.Match[str]) -> str:
        number = int(found[0])
        return f"'{numbers.names[number]}'" if number < len(numbers.names) else found[0]

    def named(found: re.Match[str]) -> str:
        return f"column{found[1]} {re.sub(r'[0-9]+', name_of, found[2])}"

    return re.sub(r"\bfeature(s?) (\d+(?:(?:, | and )\d+\b(?! more))*)", named, message)

"""The notes, warnings and lists of files that all commands print."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from em_toolkit.cli.columns import Numbers
from em_toolkit.cli.messages import count, listed
from em_toolkit.cli.reading import Table

_OF_A_COLUMN = re.compile(r"column '(.+?)'(:? .*)")


@contextmanager
def warnings_as_notes() -> Iterator[list[str]]:
    """Collect the warnings of a block, once each, in a list that is filled at its end."""
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
    """Print the columns and rows that were read, and notes on them.

    Parameters
    ----------
    table : Table
    numbers : Numbers
    notes : list of str
    console : Console
    """
    n_rows, n_columns = numbers.X.shape
    header = f"names from {table.header}" if table.header else "no names of columns"
    line = (
        f"{table.path}: {n_rows} rows ({header}), {count(n_columns, 'column')}: "
        f"{listed(numbers.names)}"
    )
    console.print(line, highlight=False, markup=False)
    say_notes(notes, console)


def say_notes(notes: list[str], console: Console, word: str = "note") -> None:
    """Print notes, a line each; one note for columns of which the same is to be said.

    Parameters
    ----------
    notes : list of str
    console : Console
    word : str, default="note"
        At the beginning of each line.
    """
    for note in together(notes):
        console.print(f"{word}: {note}", style="yellow", highlight=False, markup=False)


def together(notes: list[str]) -> list[str]:
    """Return notes in their order, those that say the same of several columns in one."""
    columns: dict[str, list[str]] = {}
    for note in notes:
        found = _OF_A_COLUMN.fullmatch(note)
        columns.setdefault(found[2] if found else note, []).append(found[1] if found else "")
    told = []
    for rest, names in columns.items():
        if names == [""]:
            told.append(rest)
        elif len(names) == 1:
            told.append(f"column '{names[0]}'{rest}")
        else:
            plural = re.sub("^ is not used: it ", " are not used: each ", rest)
            shown = ", ".join(f"'{name}'" for name in names)
            told.append(f"columns {shown}{plural}")
    return told


def say_warnings(warned: list[str]) -> None:
    """Print warnings on stderr, a line each, wrapped on a terminal."""
    for message in warned:
        text = f"em-toolkit: warning: {message}"
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns
            text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
        print(text, file=sys.stderr)


def say_written(out: Path, files: Mapping[str, str], console: Console) -> None:
    """Say which files were written, and what is in them.

    Parameters
    ----------
    out : Path
        The folder.
    files : mapping of str to str
        The contents of each file, by its name.
    console : Console
    """
    console.print(f"Written to {out}:", highlight=False, markup=False, soft_wrap=True)
    width = max(map(len, files))
    for name, contents in files.items():
        line = f"  {name:{width}}  {contents}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def with_names(message: str, numbers: Numbers) -> str:
    """Return an estimator's message, which knows features by number, with the columns' names.

    Parameters
    ----------
    message : str
    numbers : Numbers
        For the names.
    """

    def name_of(found: re.Match[str]) -> str:
        number = int(found[0])
        return f"'{numbers.names[number]}'" if number < len(numbers.names) else found[0]

    def named(found: re.Match[str]) -> str:
        return f"column{found[1]} {re.sub(r'[0-9]+', name_of, found[2])}"

    return re.sub(r"\bfeature(s?) (\d+(?:(?:, | and )\d+\b(?! more))*)", named, message)

"""The words that the command line's messages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class InputError(Exception):
    """An input that cannot be used; the message says in one line why, and how to mend it."""


def count(how_many: int, noun: str) -> str:
    """Return a number with its noun.

    Parameters
    ----------
    how_many : int
    noun : str
        In the singular, of a regular plural.
    """
    return f"{how_many} {noun}" + ("" if how_many == 1 else "s")


def listed(names: Sequence[Any], most: int = 12) -> str:
    """Return names in a row as `--columns` takes them: quoted where they hold a comma.

    Parameters
    ----------
    names : sequence
    most : int, default=12
        How many are named before the dots.
    """
    shown = [str(name) for name in names[:most]]
    shown = [f'"{name}"' if "," in name else name for name in shown]
    return ", ".join(shown) + (", ..." if len(names) > most else "")


def quoted(cell: Any) -> str:
    """Return a cell in quotes, cut to forty characters."""
    text = " ".join(str(cell).split())
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"

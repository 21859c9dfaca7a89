"""Names that a user may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A question that ends an error message, or nothing if no known name is near.

    Parameters
    ----------
    name : object
        What was given.
    known : iterable of str
        The names that exist; upper and lower case are told apart in none of them.
    """
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""

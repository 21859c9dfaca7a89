"""Options that are chosen by name: their types, and the error for a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Literal, Protocol, TypeAlias

import numpy.typing as npt


class SupportsArray(Protocol):
    """An array, or an object such as a DataFrame that NumPy can make one of."""

    def __array__(self) -> npt.NDArray[Any]: ...


# numpy's ArrayLike includes every string, and so would let a misspelt name pass.
Matrix: TypeAlias = SupportsArray | Sequence[Sequence[float]]

CovarianceType = Literal[
    "full",
    "tied",
    "diag",
    "spherical",
    "EII",
    "VII",
    "EEI",
    "VEI",
    "EVI",
    "VVI",
    "EEE",
    "VEE",
    "EVE",
    "VVE",
    "EEV",
    "VEV",
    "EVV",
    "VVV",
]
InitParams = Literal[
    "kmeans",
    "kmeans_sample",
    "kmeans_standardized",
    "k-means++",
    "random",
    "random_from_data",
    "hierarchical",
    "short_em",
    "auto",
]
BoundCheck = Literal["raise", "warn", "off"]
Acceleration = Literal["squarem", "quasi_newton"]
Stopping = Literal["step", "distance"]
Solver = Literal["closed_form", "em", "randomized"]
Criterion = Literal["bic", "icl", "aic", "cv"]
Scale = Literal["linear", "log"]


def did_you_mean(value: Any, options: Iterable[Any]) -> str:
    """Return " Did you mean 'EEE'?" for the option that is nearest to `value`, or "".

    Capitals, blanks and signs between letters make no difference; beyond them, similar spellings
    are compared. Nothing is returned if no option is near, or `value` is not a string.

    Parameters
    ----------
    value : object
        What was given.
    options : iterable
        What there is to choose from; only strings are compared.

    Examples
    --------
    >>> from em_toolkit.options import did_you_mean
    >>> did_you_mean("eee", ["full", "EEE"])
    " Did you mean 'EEE'?"
    >>> did_you_mean("something else", ["full", "EEE"])
    ''
    """
    if not isinstance(value, str):
        return ""
    by_letters: dict[str, str] = {}
    for option in options:
        if isinstance(option, str):
            by_letters.setdefault(_letters(option), option)
    near = get_close_matches(_letters(value), by_letters, n=1)
    return f" Did you mean {by_letters[near[0]]!r}?" if near else ""


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum() or sign == "+")


def check_option(argument: str, value: Any, options: Iterable[Any]) -> None:
    """Raise a `ValueError` if `value` is not one of the options.

    Parameters
    ----------
    argument : str
        The name of the argument, with which the message begins.
    value : object
        What was given.
    options : iterable
        What there is to choose from.
    """
    known = list(options)
    if value not in known:
        raise ValueError(
            f"{argument}: expected one of {known}, got {value!r}.{did_you_mean(value, known)}"
        )

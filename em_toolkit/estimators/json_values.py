"""Values of parameters and attributes as what JSON can hold, and back.

Numbers are written with as many digits as it takes to read the same bits. What JSON has no word
for is an object with a ``type``: an array and its dtype, a number that is not finite, a record.
An object may name the types in `_MAKERS` and no other: reading imports and runs nothing of its
choice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from inspect import Parameter, signature
from typing import Any, Literal

import numpy as np

from em_toolkit.engine import Restart, Status, Trace
from em_toolkit.families import Box
from em_toolkit.priors import NormalInverseWishart, NormalMeans

_RECORDS: dict[str, type[Any]] = {
    record.__name__: record for record in (Box, NormalInverseWishart, NormalMeans, Restart, Trace)
}
_ENUMERATIONS: dict[str, type[Enum]] = {"Status": Status}
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# The types of the entries of an array, by its dtype.
_ENTRIES: dict[str, tuple[type, ...]] = {
    **{f"float{bits}": (int, float) for bits in (16, 32, 64)},
    **{f"{sign}int{bits}": (int,) for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "bool": (bool,),
    "str": (str,),
    "object": (str,),
}


def check_names(
    given: Iterable[str], known: Sequence[str], required: Sequence[str], where: str
) -> None:
    """Raise ValueError unless all required names, and none but known ones, are there.

    Parameters
    ----------
    given : iterable of str
    known, required : sequence of str
    where : str
        What holds the names, for the error.
    """
    given = list(given)
    for name in given:
        if name not in known:
            raise ValueError(
                f"unknown field {name!r} in {where}; expected some of {', '.join(known)}."
            )
    for name in required:
        if name not in given:
            raise ValueError(f"{where} lacks the field {name!r}.")


# -- writing --------------------------------------------------------------------------------------


def encoded(value: Any, where: str) -> Any:
    """Return a value as numbers, strings, lists and objects.

    Parameters
    ----------
    value : object
        A number, a string, None, an array, a prior, a random state or a part of a fit, or lists,
        tuples and mappings of these.
    where : str
        The name of the value, for errors.

    Raises
    ------
    TypeError
        If the value is none of these.
    """
    name = type(value).__name__
    if type(value) is _ENUMERATIONS.get(name):
        return {"type": name, "name": value.name}
    if type(value) is _RECORDS.get(name):
        parts = {item.name: getattr(value, item.name) for item in fields(value) if item.init}
        return {"type": name} | {part: encoded(v, where) for part, v in parts.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"type": "float", "value": repr(value)}
    if isinstance(value, list):
        return [encoded(item, where) for item in value]
    if isinstance(value, tuple | range):
        return {"type": "tuple", "items": [encoded(item, where) for item in value]}
    if isinstance(value, Mapping):
        pairs = [[encoded(key, where), encoded(item, where)] for key, item in value.items()]
        return {"type": "mapping", "items": pairs}
    if isinstance(value, np.random.RandomState):
        return {"type": "RandomState", "state": encoded(value.get_state(legacy=True), where)}
    if hasattr(value, "__array__"):
        return _encoded_array(np.asarray(value), where)
    raise TypeError(
        f"{where}: expected a number, a name, an array, a prior, or lists and mappings of these, "
        f"got an object of type {name}, which cannot be written as JSON."
    )


def _encoded_array(array: np.ndarray[Any, Any], where: str) -> dict[str, Any]:
    dtype = "str" if array.dtype.kind == "U" else array.dtype.name
    entries = array.astype(object).ravel()
    if not all(isinstance(entry, _ENTRIES.get(dtype, ())) for entry in entries):
        raise TypeError(
            f"{where}: expected an array of numbers or of names, got one of dtype {array.dtype}, "
            "which cannot be written as JSON."
        )
    if array.dtype.kind == "f":
        for place in np.flatnonzero(~np.isfinite(array.ravel())):
            entries[place] = repr(entries[place])
    content = {"type": "array", "dtype": dtype, "values": entries.reshape(array.shape).tolist()}
    # The roundings of a matrix product depend on how its factors lie in memory.
    by_columns = array.flags.f_contiguous and not array.flags.c_contiguous
    return content | ({"order": "F"} if by_columns else {})


def json_text(value: Any, margin: str = "") -> str:
    """Return JSON text with a line for each field and for each row of numbers.

    Parameters
    ----------
    value : object
        What JSON can hold.
    margin : str
        What the lines after the first begin with.
    """
    if isinstance(value, dict) and value:
        texts = [f"{json.dumps(k)}: {json_text(v, margin + '  ')}" for k, v in value.items()]
        brackets = "{}"
    elif isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        texts, brackets = [json_text(item, margin + "  ") for item in value], "[]"
    else:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    lines = f",\n{margin}  ".join(texts)
    return f"{brackets[0]}\n{margin}  {lines}\n{margin}{brackets[1]}"


# -- reading --------------------------------------------------------------------------------------


def decoded(value: Any, where: str) -> Any:
    """Return the value that `encoded` made this of.

    Parameters
    ----------
    value : object
        What was read of JSON.
    where : str
        The name of the value, for errors.

    Raises
    ------
    ValueError
        If an object is not of a known type, or has other fields than this type has.
    """
    if isinstance(value, list):
        return [decoded(item, where) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("type")
    maker = _MAKERS.get(name) if isinstance(name, str) else None
    if maker is None:
        raise ValueError(f"{where}: unknown type {name!r}; expected one of {', '.join(_MAKERS)}.")
    parts = {part: decoded(item, where) for part, item in value.items() if part != "type"}
    parameters = signature(maker).parameters
    required = [part for part, known in parameters.items() if known.default is Parameter.empty]
    check_names(parts, list(parameters), required, f"{where} (of type {name})")
    try:
        return maker(**parts)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: no value of type {name} can be made of what is there: {error}"
        ) from None


def _array(dtype: str, values: list[Any], order: Literal["C", "F"] = "C") -> np.ndarray[Any, Any]:
    entries = np.array(values, dtype=object)
    known = _ENTRIES[dtype]
    if dtype.startswith("float"):
        flat = [_NOT_FINITE.get(e, e) if isinstance(e, str) else e for e in entries.ravel()]
    else:
        flat = entries.ravel().tolist()
    for entry in flat:
        if not isinstance(entry, known) or (bool not in known and isinstance(entry, bool)):
            raise ValueError(f"an entry of an array of {dtype} is {entry!r:.60}")
    return np.array(np.array(flat, dtype=dtype).reshape(entries.shape), order=order)


def _float(value: str) -> float:
    return _NOT_FINITE[value]


def _tuple(items: list[Any]) -> tuple[Any, ...]:
    return tuple(items)


def _mapping(items: list[Any]) -> dict[Any, Any]:
    return dict(items)


def _random_state(state: tuple[Any, ...]) -> np.random.RandomState:
    generator = np.random.RandomState()
    generator.set_state(state)
    return generator


def _member_of(enumeration: type[Enum]) -> Callable[..., Enum]:
    def member(name: str) -> Enum:
        return enumeration[name]

    return member


_MAKERS: dict[str, Callable[..., Any]] = {
    "array": _array,
    "float": _float,
    "tuple": _tuple,
    "mapping": _mapping,
    "RandomState": _random_state,
    **{name: _member_of(enumeration) for name, enumeration in _ENUMERATIONS.items()},
    **_RECORDS,
}

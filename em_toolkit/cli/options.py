"""The options for reading a table, which all commands on tables share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import typer


class Format(StrEnum):
    """The kinds of file that hold a table."""

    CSV = "csv"
    TSV = "tsv"
    TXT = "txt"
    PARQUET = "parquet"
    EXCEL = "excel"


class Decimal(StrEnum):
    """The decimal marks."""

    POINT = "."
    COMMA = ","


class Thousands(StrEnum):
    """The signs between groups of three digits."""

    POINT = "."
    COMMA = ","
    BLANK = " "
    APOSTROPHE = "'"


@dataclass(frozen=True)
class ReadingOptions:
    """The options for reading a table; None stands for what the table itself suggests.

    A command takes all of them by one parameter of this type, see `with_reading_options`.
    """

    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="The columns to use, by name or by position (1 is the first); by default all "
            "numeric ones.",
        ),
    ] = None
    exclude: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Columns to leave out, by name or by position."),
    ] = None
    missing: Annotated[
        str | None,
        typer.Option(
            metavar="-999,x", help="Codes for missing values, besides NA, ?, - and the like."
        ),
    ] = None
    decimal: Annotated[
        Decimal | None,
        typer.Option(help="The decimal mark; by default each column's own."),
    ] = None
    thousands: Annotated[
        Thousands | None,
        typer.Option(help="The sign between groups of three digits; by default any that fits."),
    ] = None
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first row holds the names of the columns; by default it does where "
            "its cells differ in kind from those below.",
            show_default=False,
        ),
    ] = None
    skip_rows: Annotated[
        int, typer.Option(metavar="N", min=0, help="Lines above the header to skip.")
    ] = 0
    skip_footer: Annotated[
        int, typer.Option(metavar="N", min=0, help="Lines at the end to skip.")
    ] = 0
    separator: Annotated[
        str | None,
        typer.Option(
            metavar="SIGN",
            help="The sign between cells: , ; | tab or blank; by default the one that fits.",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The encoding of a text file: utf-8, latin-1, cp1252, utf-16 ..."
        ),
    ] = None
    format: Annotated[
        Format | None,
        typer.Option(help="The kind of file; by default by the end of its name."),
    ] = None
    sheet: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The sheet of an Excel file; by default the first."),
    ] = None


# What an account keeps of the options: how cells are read, which is the same for other tables.
_KEPT = ("missing", "decimal", "thousands")


def saved_reading(reading: ReadingOptions) -> dict[str, Any]:
    """Return the options that `predict` takes from a fit, as JSON can hold them.

    Parameters
    ----------
    reading : ReadingOptions
    """
    values = {name: getattr(reading, name) for name in _KEPT}
    return {k: getattr(value, "value", value) for k, value in values.items() if value is not None}


def read_alike(reading: ReadingOptions, saved: Mapping[str, Any]) -> tuple[ReadingOptions, str]:
    """Return options completed by those of a fit, and which these are, in words.

    Parameters
    ----------
    reading : ReadingOptions
        What a person says, which counts first.
    saved : mapping
        What `saved_reading` returned.
    """
    kinds: dict[str, Callable[[Any], Any]]
    kinds = {"missing": str, "decimal": Decimal, "thousands": Thousands}
    options = {
        name: kind(saved[name])
        for name, kind in kinds.items()
        if name in saved and getattr(reading, name) is None
    }
    words = " ".join(f"--{name} {saved[name]}" for name in options)
    return replace(reading, **options), words


def with_reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command whose parameter of type `ReadingOptions` is replaced by its options.

    Parameters
    ----------
    command : callable
        For typer, with a parameter `reading: ReadingOptions`.
    """
    own = get_type_hints(command, include_extras=True)
    hints = get_type_hints(ReadingOptions, include_extras=True)
    names = [field.name for field in fields(ReadingOptions)]

    @functools.wraps(command)
    def with_options(**given: Any) -> Any:
        return command(reading=ReadingOptions(**{name: given.pop(name) for name in names}), **given)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == "reading":
            parameters += [
                inspect.Parameter(
                    field.name,
                    parameter.kind,
                    default=field.default,
                    annotation=hints[field.name],
                )
                for field in fields(ReadingOptions)
            ]
        else:
            parameters.append(parameter.replace(annotation=own[parameter.name]))
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    vars(with_options)["__signature__"] = inspect.Signature(parameters)
    return with_options

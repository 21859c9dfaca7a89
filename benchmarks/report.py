"""Tables in Markdown, and pictures, beside each other in a folder."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

RESULTS = Path(__file__).with_name("results")


def parser_of(description: str | None) -> ArgumentParser:
    """A parser with the options that all commands share."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, few runs: does it work?")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of the table and the picture (benchmarks/results; with --quick a new one)",
    )
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds a fit beyond which a peer is left out"
    )
    return parser


def folder_of(arguments: Namespace) -> Path:
    """Where to write; a quick run does not overwrite what a full one found."""
    default = Path(tempfile.mkdtemp(prefix="benchmarks-")) if arguments.quick else RESULTS
    folder: Path = arguments.out or default
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(folder: Path, name: str, text: str, picture: Figure) -> None:
    """The table (printed, too) and the picture of a command."""
    print(f"\n{text}\nwritten: {folder / name}.md, {folder / name}.png")
    (folder / f"{name}.md").write_text(text)
    picture.savefig(folder / f"{name}.png", dpi=150)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 2) -> str:
    """In Markdown, with columns wide enough to be read as text; the first `n_left` are text."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = [
        "-" * width if column < n_left else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    lines = []
    for row in (header, rule, *rows):
        cells = [
            cell.ljust(width) if column < n_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def three_digits(value: float) -> str:
    """As many digits as a noisy measurement deserves: 0.123, 1.23, 12.3, 123, 1,234."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def plain_numbers(axis: Axis, ticks: Sequence[float] | None = None) -> None:
    """Write 0.1, 1, 10 on a logarithmic axis, and not powers; at these ticks if they are given."""
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    if ticks is not None:
        axis.set_ticks(ticks)
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _in_words(value)))
    axis.set_minor_formatter(NullFormatter())


def _in_words(value: float) -> str:
    return f"{value / 1e6:,g} million" if value >= 1e6 else f"{value:,g}"

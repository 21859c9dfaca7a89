"""Progress of a search: a line or a bar for each fit while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from em_toolkit.selection.candidate import Candidate
from em_toolkit.selection.criteria import CRITERIA

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def progress(n_fits: int, criterion: str, verbose: int) -> Iterator[Callable[[Candidate], None]]:
    """Give someone to tell of each candidate: a bar of rich where it can be drawn, else lines.

    Parameters
    ----------
    n_fits : int
        How many candidates there will be.
    criterion : {"bic", "icl", "aic", "cv"}
        What is told of each.
    verbose : int
        0 tells nothing.
    """
    console = _rich_console() if verbose > 0 else None
    if console is not None:
        from rich.progress import Progress

        with Progress(console=console) as bar:
            task = bar.add_task("select_mixture", total=n_fits)
            yield lambda candidate: bar.update(
                task, advance=1, description=_line(candidate, criterion)
            )
        return
    n_done = 0

    def say(candidate: Candidate) -> None:
        nonlocal n_done
        n_done += 1
        print(f"[{n_done}/{n_fits}] {_line(candidate, criterion)}", file=sys.stderr, flush=True)

    yield say if verbose > 0 else lambda candidate: None


def _line(candidate: Candidate, criterion: str) -> str:
    score, kind = candidate.score(criterion), CRITERIA[criterion]
    outcome = "failed" if np.isnan(score) else f"{kind.label} {score:.{kind.decimals}f}"
    return f"{candidate.name}: {outcome} ({candidate.seconds:.2g} s)"


def _rich_console() -> Console | None:
    """A console on stderr on which a bar can move; None without rich or without a terminal."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console(stderr=True)
    return console if console.is_terminal or console.is_jupyter else None

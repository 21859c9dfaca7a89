"""Whether fits have become slower: em_toolkit as it is here, beside earlier revisions of it.

    python -m benchmarks.earlier REVISION [REVISION ...] [--quick]

The files of each revision (what git calls so: a commit, a tag, HEAD~3) are unpacked into a folder
of their own, and the fits of `benchmarks.compare` are made by all, by turns, each in a process.
Above 1 is slower than the revision: the median over the runs of the ratio of two that were made one
after the other, and the middle half of these ratios. The exit code is 1 if one of them did
something else, by the log-likelihood of what it returns.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.compare import CASES
from benchmarks.peers.session import OURS, ROOT, Peer
from benchmarks.race import Race, race
from benchmarks.report import table, three_digits

_RUNS = 21


def unpacked(revision: str, folder: Path) -> Peer:
    """The program as it was, in a folder."""
    named = subprocess.run(
        ["git", "rev-parse", "--short", "--verify", f"{revision}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if named.returncode != 0:
        raise SystemExit(f"{revision!r} is no revision that git knows here")
    name = named.stdout.strip()
    command = ["git", "archive", "--format=tar", name]
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as archive,
        tarfile.open(fileobj=archive.stdout, mode="r|") as files,
    ):
        files.extractall(folder / name, filter="data")
    return Peer(name, OURS.command, folder=folder / name)


def lines(entry: Race) -> list[list[str]]:
    """Of a case: one for each revision."""
    ours = entry.of(OURS)
    if ours is None:
        return [[str(entry.case), OURS.name, entry.absences[OURS], "", "", ""]]
    rows = []
    for theirs in entry.results:
        if theirs is not ours:
            low, middle, high = np.percentile(ours.times / theirs.times, [25, 50, 75])
            rows.append(
                [
                    str(entry.case),
                    theirs.peer.name,
                    three_digits(1e3 * ours.time),
                    three_digits(1e3 * theirs.time),
                    f"{middle:.3f}" + ("" if entry.is_same(theirs) else " NOT THE SAME"),
                    f"{low:.3f} to {high:.3f}",
                ]
            )
    return rows + [
        [str(entry.case), p.name, cause, "", "", ""] for p, cause in entry.absences.items()
    ]


HEADER = ["case", "revision", "here: ms per iteration", "there", "here ÷ there", "(half)"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="+", metavar="REVISION")
    parser.add_argument("--quick", action="store_true", help="small sizes, few runs")
    options = parser.parse_args(arguments)
    cases = [replace(case, n_runs=_RUNS) for case in CASES]
    if options.quick:
        cases = [case.quick() for case in cases[:1]]
    rows, is_sound = [], True
    with tempfile.TemporaryDirectory() as name:
        earlier = [unpacked(revision, Path(name)) for revision in options.revisions]
        for case in cases:
            entry = race(case, [OURS, *earlier])
            rows += lines(entry)
            is_sound &= entry.is_sound
            print(" | ".join(rows[-1]), flush=True)
    print(f"\n{table(HEADER, rows)}")
    return 0 if is_sound else 1


if __name__ == "__main__":
    sys.exit(main())

"""The parent's side of the protocol: what the peers are, and a process for each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.peers.worker import Report
from benchmarks.workload import Case, Solution

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = Path(__file__).parents[1] / ".peers"

# Of the log-likelihood per row, relative: far above the rounding of a sum of this many rows, far
# below what a change of the algorithm does in a few iterations.
_SAME = 1e-10
_ALL = ("full", "tied", "diag", "spherical")


@dataclass(frozen=True)
class Peer:
    """A program that fits Gaussian mixtures.

    Parameters
    ----------
    name : str
    command : tuple of str
        Starts its worker.
    install : str
        The command that installs it.
    structures : tuple of str
        The covariance types it has.
    extra_e_steps : int
        E-steps of a fit beyond one for each M-step.
    tolerance : float
        Within which its log-likelihood agrees if it does the same, relative.
    note : str
        What a reader of its times should know.
    folder : Path
        Where its worker runs.
    """

    name: str
    command: tuple[str, ...]
    install: str = ""
    structures: tuple[str, ...] = _ALL
    extra_e_steps: int = 1
    tolerance: float = _SAME
    note: str = ""
    folder: Path = ROOT

    def version(self) -> str | None:
        """Of the library; None where it is not installed."""
        if shutil.which(self.command[0]) is None:
            return None
        answer = subprocess.run(self.command, cwd=self.folder, capture_output=True, text=True)
        return answer.stdout.strip() if answer.returncode == 0 else None


def python_in(environment: Path) -> str:
    """The interpreter of a virtual environment."""
    return str(environment / "bin" / "python")


OURS = Peer("em_toolkit", (sys.executable, "-m", "benchmarks.peers.ours"))
SCIKIT_LEARN = Peer("scikit-learn", (sys.executable, "-m", "benchmarks.peers.scikit_learn"))


def all_peers(environments: Path = ENVIRONMENTS) -> list[Peer]:
    """All programs known here, installed or not; ours is the first."""
    install = f"python -m benchmarks.peers.install {os.path.relpath(environments)}"
    return [
        OURS,
        SCIKIT_LEARN,
        Peer(
            "oneDAL",
            (python_in(environments / "onedal"), "-m", "benchmarks.peers.onedal"),
            install,
            structures=("full", "diag"),
            extra_e_steps=0,
        ),
        Peer(
            "pomegranate",
            (python_in(environments / "pomegranate"), "-m", "benchmarks.peers.pomegranate"),
            install,
            structures=("full", "diag"),
            extra_e_steps=0,
            tolerance=1e-6,
            note="sums its weights in single precision, and agrees to that",
        ),
        Peer(
            "mclust",
            ("Rscript", str(Path(__file__).with_name("mclust.R"))),
            "apt-get install r-base-core r-cran-mclust (or install.packages('mclust') in R)",
            note="runs on one core",
        ),
    ]


class PeerError(RuntimeError):
    """A worker ended where a fit was expected."""


class Session:
    """A process of one peer with the data of one case.

    Parameters
    ----------
    peer : Peer
    case : Case
    folder : Path
        Where the workload of the case was written.
    """

    def __init__(self, peer: Peer, case: Case, folder: Path) -> None:
        self.peer = peer
        self.case = case
        self._output = folder / f"{peer.name}.solution"
        self._complaints = folder / f"{peer.name}.log"
        size = (case.n_rows, case.n_features, case.n_components)
        with self._complaints.open("w") as complaints:
            self._process = subprocess.Popen(
                [*peer.command, folder, self._output, *map(str, size), case.covariance_type],
                cwd=peer.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )

    def fit(self, n_iter: int) -> Report:
        """A fit of so many iterations."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(n_iter, file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            last = self._complaints.read_text().splitlines()[-1:]
            raise PeerError(f"{self.peer.name} failed: {' '.join(last) or 'without a message'}")
        return Report(**json.loads(answer))

    def solution(self) -> Solution:
        """The parameters of the last fit."""
        return Solution.read(self._output, self.case)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Its input ends, and so does it; one that is in the middle of a fit would not see that.
        if error is not None:
            self._process.kill()
        self._process.communicate()

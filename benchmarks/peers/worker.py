"""The worker's side of the protocol; it runs in the interpreter of each Python peer.

    python -m benchmarks.peers.NAME
        writes the version of the library.
    python -m benchmarks.peers.NAME FOLDER OUTPUT N_ROWS N_FEATURES N_COMPONENTS COVARIANCE_TYPE
        reads the data and the start in FOLDER; then, for each line of its input, a number of
        iterations, makes a fit, writes the parameters to OUTPUT and a line of JSON (`Report`).

It needs numpy and the peer, nothing else.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
import warnings
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """The data, and the start: a sphere of the same variance for every component."""

    X: Array
    weights: Array
    means: Array
    variance: float
    covariance_type: str

    @classmethod
    def read(cls, folder: Path, n: int, d: int, K: int, covariance_type: str) -> Task:
        return cls(
            X=np.fromfile(folder / "X").reshape(n, d),
            weights=np.fromfile(folder / "weights"),
            means=np.fromfile(folder / "means").reshape(K, d),
            variance=float(np.fromfile(folder / "variance")[0]),
            covariance_type=covariance_type,
        )


@dataclass(frozen=True)
class Report:
    """What a fit took.

    Parameters
    ----------
    seconds : float
    n_iter : int
        M-steps.
    working_mb : float
        Peak resident memory above that just before the fit.
    total_mb : float
        Peak resident memory above that before the first fit of the process: with what the
        library loads and compiles for it, and with what it keeps for the next one.
    """

    seconds: float
    n_iter: int
    working_mb: float
    total_mb: float


class Worker(ABC):
    """One peer on one task."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @staticmethod
    @abstractmethod
    def version() -> str:
        """Of the library."""

    @abstractmethod
    def fit(self, n_iter: int) -> Any:
        """A whole fit from the start; this is what is timed."""

    @abstractmethod
    def solution(self, fitted: Any) -> tuple[int, Array, Array, Array]:
        """Iterations, weights, means, and covariances of scikit-learn's shape."""


def serve(worker_class: type[Worker]) -> None:
    """Do what the command line and the input say."""
    if len(sys.argv) == 1:
        print(worker_class.version())
        return
    folder, output, n, d, K, covariance_type = sys.argv[1:]
    warnings.simplefilter("ignore")  # that max_iter iterations did not suffice for tol = 0
    task = Task.read(Path(folder), int(n), int(d), int(K), covariance_type)
    worker = worker_class(task)
    at_first = _resident_mb()
    for line in sys.stdin:
        _trim()
        before = _resident_mb()
        _forget_peak()
        began = perf_counter()
        fitted = worker.fit(int(line))
        seconds, peak = perf_counter() - began, _peak_mb()
        n_iter, *parameters = worker.solution(fitted)
        np.concatenate([np.ravel(values) for values in parameters]).tofile(output)
        report = Report(seconds, n_iter, peak - before, peak - at_first)
        print(json.dumps(asdict(report)), flush=True)


_STATUS = Path("/proc/self/status")


def _resident_mb() -> float:
    return _status_mb("VmRSS") if _STATUS.exists() else _peak_mb()


def _peak_mb() -> float:
    if _STATUS.exists():
        return _status_mb("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: bytes


def _status_mb(key: str) -> float:
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[key].split()[0]) * 1024 / 1e6


def _trim() -> None:
    """Hand back what glibc keeps of earlier fits, which would hide what the next one takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _forget_peak() -> None:
    """Begin the peak anew, where the system can: elsewhere only a higher one is seen."""
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")

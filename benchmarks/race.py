"""Fits of one case by several programs: a process each, in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import numpy as np

from benchmarks.peers.session import OURS, SCIKIT_LEARN, Peer, PeerError, Session
from benchmarks.peers.worker import Report
from benchmarks.workload import Case, Workload, mean_log_likelihood
from em_toolkit.statistics import Array

# Waiting threads of OpenBLAS and OpenMP keep a core busy for a moment after a fit.
_SECONDS_BETWEEN_FITS = 0.2


@dataclass(frozen=True)
class Result:
    """The fits of one peer.

    Parameters
    ----------
    peer : Peer
    case : Case
    reports : tuple of Report
        One for each run.
    log_likelihood : float
        In nats per row, at the parameters of the last fit.
    """

    peer: Peer
    case: Case
    reports: tuple[Report, ...]
    log_likelihood: float

    @property
    def times(self) -> Array:
        """Seconds per iteration in each run: the whole fit divided by its M-steps."""
        return np.array([report.seconds / report.n_iter for report in self.reports])

    @property
    def time(self) -> float:
        """The median of `times`."""
        return float(np.median(self.times))

    @property
    def n_iter(self) -> int:
        """M-steps of the last fit."""
        return self.reports[-1].n_iter

    @property
    def working_mb(self) -> float:
        """Peak memory of a fit above what there was before it."""
        return max(report.working_mb for report in self.reports)

    def is_same(self, other: Result) -> bool:
        """Whether both took the same steps: as many, and to the same likelihood."""
        error = abs(self.log_likelihood - other.log_likelihood)
        tolerance = max(self.peer.tolerance, other.peer.tolerance)
        is_close = error <= tolerance * max(1.0, abs(other.log_likelihood))
        return self.n_iter == other.n_iter and is_close


@dataclass(frozen=True)
class Race:
    """What became of a case.

    Parameters
    ----------
    case : Case
    results : tuple of Result
    absences : dict of Peer to str
        Why a peer that has the structure of the case has no result.
    """

    case: Case
    results: tuple[Result, ...]
    absences: dict[Peer, str]

    def of(self, peer: Peer) -> Result | None:
        """The result of a peer, if it has one."""
        return next((result for result in self.results if result.peer.name == peer.name), None)

    def is_same(self, result: Result) -> bool:
        """Whether a result is scikit-learn's, or ours where that has none."""
        reference = self.of(SCIKIT_LEARN) or self.of(OURS)
        return reference is not None and result.is_same(reference)

    @property
    def is_sound(self) -> bool:
        """Whether we finished, and all that finished did the same."""
        return self.of(OURS) is not None and all(map(self.is_same, self.results))


def race(case: Case, peers: Sequence[Peer], limit: float = np.inf) -> Race:
    """Fit the case by each peer that has its structure, by turns, in an order that rotates.

    Parameters
    ----------
    case : Case
    peers : sequence of Peer
    limit : float
        In seconds: a peer of which a fit would take longer is left out.

    Returns
    -------
    Race
    """
    workload = Workload.of(case)
    sessions: list[Session] = []
    absences: dict[Peer, str] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        workload.write(folder)
        for peer in peers:
            if case.covariance_type in peer.structures:
                sessions.append(stack.enter_context(Session(peer, case, folder)))
                absences |= _warm_up(sessions[-1], limit)

        reports: dict[Peer, list[Report]] = {session.peer: [] for session in sessions}
        for run in range(case.n_runs):
            first = run % len(sessions)
            for session in sessions[first:] + sessions[:first]:
                if session.peer not in absences:
                    sleep(_SECONDS_BETWEEN_FITS)
                    try:
                        reports[session.peer].append(session.fit(case.n_iter))
                    except PeerError as error:
                        absences[session.peer] = str(error)

        results = tuple(
            Result(
                session.peer,
                case,
                tuple(reports[session.peer]),
                mean_log_likelihood(workload.X, session.solution(), case.covariance_type),
            )
            for session in sessions
            if session.peer not in absences
        )
    return Race(case, results, absences)


def _warm_up(session: Session, limit: float) -> dict[Peer, str]:
    """Two short fits, untimed; why the peer is left out, if it is.

    The first pays for imports, compilation, threads and fresh memory, the second shows how long
    the fits will take.
    """
    try:
        session.fit(1)
        seconds = session.fit(1).seconds
    except PeerError as error:
        return {session.peer: str(error)}
    if seconds * session.case.n_iter > limit:
        return {session.peer: f"left out: {seconds:.0f} s for a fit of one iteration"}
    return {}

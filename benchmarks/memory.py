"""Memory of a fit above its data: em_toolkit and scikit-learn, a million rows, 50 components.

    python -m benchmarks.memory [--quick]

Each fits in a fresh process, two iterations from given parameters. Memory is the peak of what the
process holds, above what it held before: the data and the imported library. The first fit of a
process also loads what it needs, the compiler for one: how much that is, a fit of few rows shows in
a process of its own. The next fit of a process shows what a fit itself takes.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.session import OURS, SCIKIT_LEARN, Peer, Session
from benchmarks.report import table, three_digits
from benchmarks.workload import Case, Solution, Workload, mean_log_likelihood

CASE = Case(1_000_000, 8, 50, "full", n_iter=2)
# Enough rows for all to be loaded that more would need.
_FEW_ROWS = 5_000


class Fits(NamedTuple):
    """Two fits of a process.

    Parameters
    ----------
    first, further : float
        Peak memory above that before the fit, in MB.
    solution : Solution
    """

    first: float
    further: float
    solution: Solution


def fits(peer: Peer, case: Case) -> Fits:
    """In a fresh process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Workload.of(case).write(folder)
        with Session(peer, case, folder) as session:
            first, further = (session.fit(case.n_iter).working_mb for _ in range(2))
            return Fits(first, further, session.solution())


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    case = CASE.quick() if parser.parse_args().quick else CASE
    workload, lines, likelihoods = Workload.of(case), [], []
    for peer in (OURS, SCIKIT_LEARN):
        few = fits(peer, replace(case, n_rows=min(_FEW_ROWS, case.n_rows)))
        all_rows = fits(peer, case)
        solution = all_rows.solution
        likelihoods.append(mean_log_likelihood(workload.X, solution, case.covariance_type))
        memory = [few.first, all_rows.first, all_rows.further]
        lines.append([peer.name, *map(three_digits, memory), f"{likelihoods[-1]:.9f}"])
    header = ["program", "first fit of few rows, MB", "first fit, MB", "a further fit, MB"]
    header.append("log-likelihood per row")
    print(f"{case}; the data take {workload.X.nbytes / 1e6:.0f} MB\n")
    print(table(header, lines, n_left=1))
    return 0 if abs(likelihoods[0] - likelihoods[1]) < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())

"""Memory of a fit above its data: em_toolkit and scikit-learn, a million rows, 50 components.

    python -m benchmarks.memory [--quick]

Each fits in a fresh process, two iterations from given parameters. Memory is the peak of what the
process holds, above what it held before: the data and the imported library. The first fit of a
process also loads and compiles what it needs; the next one shows what the fit itself takes.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from benchmarks.peers.session import OURS, SCIKIT_LEARN, Session
from benchmarks.report import table, three_digits
from benchmarks.workload import Case, Workload, mean_log_likelihood

CASE = Case(1_000_000, 8, 50, "full", n_iter=2)


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    case = CASE.quick() if parser.parse_args().quick else CASE
    workload, lines, likelihoods = Workload.of(case), [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workload.write(folder)
        for peer in (OURS, SCIKIT_LEARN):
            with Session(peer, case, folder) as session:
                first, further = session.fit(case.n_iter), session.fit(case.n_iter)
                solution = session.solution()
            likelihoods.append(mean_log_likelihood(workload.X, solution, case.covariance_type))
            lines.append(
                [
                    peer.name,
                    three_digits(first.working_mb),
                    three_digits(further.working_mb),
                    f"{likelihoods[-1]:.9f}",
                ]
            )
    header = ["program", "first fit, MB", "a further fit, MB", "log-likelihood per row"]
    print(f"{case}; the data take {workload.X.nbytes / 1e6:.0f} MB\n")
    print(table(header, lines, n_left=1))
    return 0 if abs(likelihoods[0] - likelihoods[1]) < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the ledger of the bound costs: a fit with its monitor, and with one that watches nothing.

    python -m benchmarks.trace_cost [--quick]

The two take turns in one process, and the ratio is the median over the pairs. What it shows is
the cost of keeping and checking the ledger; the entropies, which the E-step sums for it, are summed
in both.
"""

from __future__ import annotations

import sys
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.report import table, three_digits
from benchmarks.workload import Case, Workload
from em_toolkit import GaussianMixture
from em_toolkit.engine.monitor import Monitor
from em_toolkit.model import Expectation

CASES = [
    Case(5_000, 4, 3, "full", n_iter=50, n_runs=301),
    Case(200_000, 2, 5, "full", n_iter=5, n_runs=1001),
    Case(200_000, 10, 10, "full", n_iter=5, n_runs=301),
    Case(20_000, 128, 8, "full", n_iter=5, n_runs=61),
]


class NoMonitor(Monitor):
    """Keeps the evidence, which the estimator reports, and watches nothing."""

    def after_e_step(
        self,
        iteration: int,
        params: Any,
        expectation: Expectation[Any],
        extrapolated: bool = False,
    ) -> None:
        self.bound = expectation.log_evidence / expectation.weight
        self._builder.rows.append(
            {
                "iteration": iteration,
                "half_step": "E",
                "elbo": self.bound,
                "log_evidence": self.bound,
                "kl": 0.0,
                "energy": np.nan,
                "entropy": np.nan,
                "reconstruction": np.nan,
                "kl_to_prior": np.nan,
                "log_prior": 0.0,
                "extrapolated": extrapolated,
                "seconds": np.nan,
            }
        )

    def after_m_step(self, iteration: int, params: Any, expectation: Expectation[Any]) -> None:
        """Nothing is recorded."""


@contextmanager
def monitored_by(monitor: type[Monitor]) -> Iterator[None]:
    """In this context, what the engine takes for its monitor."""
    engine: Any = sys.modules["em_toolkit.engine.em"]
    original, engine.Monitor = engine.Monitor, monitor
    try:
        yield
    finally:
        engine.Monitor = original


def seconds_of(monitor: type[Monitor], case: Case, workload: Workload) -> float:
    """Of a fit."""
    precision = np.eye(case.n_features) / workload.variance
    estimator = GaussianMixture(
        case.n_components,
        tol=0.0,
        reg_covar=0.0,
        max_iter=case.n_iter,
        weights_init=workload.weights,
        means_init=workload.means,
        precisions_init=np.tile(precision, (case.n_components, 1, 1)),
    )
    with monitored_by(monitor):
        began = perf_counter()
        estimator.fit(workload.X)
        return perf_counter() - began


def pairs(case: Case) -> np.typing.NDArray[np.float64]:
    """Seconds with and without, of shape (n_runs, 2)."""
    workload = Workload.of(case)
    times = np.empty((case.n_runs, 2))
    monitors = list(enumerate((Monitor, NoMonitor)))
    for _, monitor in monitors:
        seconds_of(monitor, case, workload)
    for run in range(case.n_runs):
        for column, monitor in monitors if run % 2 == 0 else reversed(monitors):
            times[run, column] = seconds_of(monitor, case, workload)
    return times


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, few runs")
    cases = [case.quick() for case in CASES] if parser.parse_args().quick else CASES
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for case in cases:
            times = pairs(case)
            low, middle, high = np.percentile(times[:, 0] / times[:, 1], [25, 50, 75])
            lines.append(
                [
                    str(case),
                    *map(three_digits, 1e3 * np.median(times, axis=0) / case.n_iter),
                    f"{middle - 1.0:+.1%}",
                    f"{low - 1.0:+.1%} to {high - 1.0:+.1%}",
                ]
            )
    header = ["case", "ms per iteration", "without ledger", "cost", "(half of the pairs)"]
    print(table(header, lines, n_left=1))


if __name__ == "__main__":
    main()

"""What missing entries cost: fits of rows with holes, beside fits of the complete rows.

    python -m benchmarks.missing [--quick] [--out FOLDER]

A fifth of the entries is missing, in a few patterns or in one of its own for each row. Both fits
make the same number of iterations from the same start. They take turns in one process, and the
ratio is the median over the pairs. A fit with holes begins by sorting its rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import em_toolkit
from benchmarks.machine import machine
from benchmarks.report import folder_of, parser_of, table, three_digits
from benchmarks.workload import Case, Workload
from em_toolkit import GaussianMixture
from em_toolkit.statistics import Array, BoolArray

_SHARE = 0.2


@dataclass(frozen=True)
class Holes:
    """A case, the number of patterns in which entries are missing, and whether there is noise."""

    case: Case
    n_patterns: int
    has_noise: bool = False

    def __str__(self) -> str:
        return f"{self.case}{', noise' if self.has_noise else ''}"

    def quick(self) -> Holes:
        """Everything small: to see that it works."""
        return replace(self, case=self.case.quick(), n_patterns=min(self.n_patterns, 20))

    def made(self, X: Array) -> Array:
        """The rows with holes."""
        rng = np.random.default_rng(0)
        patterns = _distinct_patterns(rng, self.n_patterns, X.shape[1])
        # Each pattern as often as any other, in random order.
        which = rng.permutation(np.arange(X.shape[0]) % self.n_patterns)
        return np.where(patterns[which], np.nan, X)


CASES = [
    Holes(Case(20_000, 10, 5, "full", n_iter=10, n_runs=15), 200),
    Holes(Case(20_000, 20, 5, "full", n_iter=10, n_runs=11), 200),
    Holes(Case(200_000, 10, 5, "full", n_iter=5, n_runs=7), 200),
    Holes(Case(20_000, 20, 5, "tied", n_iter=10, n_runs=11), 200),
    Holes(Case(20_000, 20, 5, "full", n_iter=3, n_runs=7), 20_000),
    Holes(Case(20_000, 50, 5, "full", n_iter=3, n_runs=7), 20_000),
    Holes(Case(20_000, 20, 5, "tied", n_iter=3, n_runs=7), 20_000),
    Holes(Case(20_000, 20, 5, "diag", n_iter=10, n_runs=11), 20_000),
    Holes(Case(200_000, 10, 5, "spherical", n_iter=5, n_runs=7), 800),
    Holes(Case(20_000, 20, 5, "full", n_iter=10, n_runs=7), 200, has_noise=True),
    Holes(Case(20_000, 20, 5, "diag", n_iter=10, n_runs=11), 20_000, has_noise=True),
]


def _distinct_patterns(rng: np.random.Generator, n_patterns: int, n_features: int) -> BoolArray:
    """That many different ones, none of which misses all."""
    patterns = np.zeros((0, n_features), dtype=bool)
    while len(patterns) < n_patterns:
        drawn = rng.random((2 * n_patterns, n_features)) < _SHARE
        patterns = np.unique(np.vstack([patterns, drawn[~drawn.all(axis=1)]]), axis=0)
    return np.asarray(patterns[rng.permutation(len(patterns))[:n_patterns]])


def seconds_of(X: Array, holes: Holes, workload: Workload) -> float:
    """Of a fit."""
    case = holes.case
    shape = GaussianMixture(case.n_components, covariance_type=case.covariance_type)._shapes(
        case.n_features
    )["precisions_cholesky_"]
    identity = np.eye(case.n_features) if len(shape) > 1 and case.covariance_type != "diag" else 1.0
    start: dict[str, Any] = {
        "weights_init": workload.weights,
        "means_init": workload.means,
        "precisions_init": np.broadcast_to(identity / workload.variance, shape),
    }
    if holes.has_noise:
        start["weights_init"] = np.append(0.9 * workload.weights, 0.1)
        start["noise"] = True
    estimator = GaussianMixture(
        case.n_components,
        covariance_type=case.covariance_type,
        tol=0.0,
        reg_covar=0.0,
        max_iter=case.n_iter,
        **start,
    )
    began = perf_counter()
    estimator.fit(X)
    return perf_counter() - began


def pairs(holes: Holes) -> Array:
    """Seconds without and with holes, of shape (n_runs, 2)."""
    case = holes.case
    workload = Workload.of(case)
    data = list(enumerate((workload.X, holes.made(workload.X))))
    times = np.empty((case.n_runs, 2))
    for _, X in data:
        seconds_of(X, replace(holes, case=replace(case, n_iter=1)), workload)
    for run in range(case.n_runs):
        for column, X in data if run % 2 == 0 else reversed(data):
            times[run, column] = seconds_of(X, holes, workload)
    return times


def line(holes: Holes) -> list[str]:
    """What was found of a case."""
    times = pairs(holes)
    low, middle, high = np.percentile(times[:, 1] / times[:, 0], [25, 50, 75])
    return [
        str(holes),
        f"{holes.n_patterns:,}",
        *map(three_digits, 1e3 * np.median(times, axis=0) / holes.case.n_iter),
        three_digits(middle),
        f"{three_digits(low)} to {three_digits(high)}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser_of(__doc__).parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    lines = []
    for holes in CASES:
        lines.append(line(holes.quick() if options.quick else holes))
        print(" | ".join(lines[-1]), flush=True)
    header = ["case", "patterns", "complete: ms per iteration", "with holes", "ratio", "(half)"]
    versions = {"em_toolkit": em_toolkit.__version__, "numpy": np.__version__}
    text = (
        f"{machine(versions)}\n\n{table(header, lines, n_left=1)}\n\n"
        "Fits of 3 to 10 iterations, with and without a fifth of their entries. Milliseconds are "
        "those of the whole\nfit by its iterations, what it does before the first one included; "
        "the ratio is the median of some pairs, and\nits middle half. With noise, the smaller of "
        "two boxes is sought about complete rows, for as long as some\niterations take; rows with "
        "holes have one box.\n"
    )
    path = folder_of(options) / "missing.md"
    path.write_text(text)
    print(f"\n{text}\nwritten: {path}")


if __name__ == "__main__":
    main()

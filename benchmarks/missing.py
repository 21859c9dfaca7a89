"""What missing entries cost: fits of rows with holes, beside fits of the complete rows.

    python -m benchmarks.missing [--quick]

A fifth of the entries is missing, in a few patterns or in one of its own for each row. Both fits
make the same number of iterations from the same start. They take turns in one process, and the
ratio is the median over the pairs.
"""

from __future__ import annotations

import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.report import table, three_digits
from benchmarks.workload import Case, Workload
from em_toolkit import GaussianMixture
from em_toolkit.statistics import Array, BoolArray

_SHARE = 0.2


@dataclass(frozen=True)
class Holes:
    """A case, and the number of patterns in which entries are missing."""

    case: Case
    n_patterns: int

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
    Holes(Case(20_000, 20, 5, "full", n_iter=3, n_runs=7), 20_000),
    Holes(Case(20_000, 20, 5, "tied", n_iter=3, n_runs=7), 20_000),
    Holes(Case(20_000, 20, 5, "diag", n_iter=10, n_runs=7), 20_000),
    Holes(Case(200_000, 10, 5, "full", n_iter=5, n_runs=7), 200),
]


def _distinct_patterns(rng: np.random.Generator, n_patterns: int, n_features: int) -> BoolArray:
    """That many different ones, none of which misses all."""
    patterns = np.zeros((0, n_features), dtype=bool)
    while len(patterns) < n_patterns:
        drawn = rng.random((2 * n_patterns, n_features)) < _SHARE
        patterns = np.unique(np.vstack([patterns, drawn[~drawn.all(axis=1)]]), axis=0)
    return np.asarray(patterns[rng.permutation(len(patterns))[:n_patterns]])


def seconds_of(X: Array, case: Case, workload: Workload) -> float:
    """Of a fit."""
    shape = GaussianMixture(case.n_components, covariance_type=case.covariance_type)._shapes(
        case.n_features
    )["precisions_cholesky_"]
    identity = np.eye(case.n_features) if len(shape) > 1 and case.covariance_type != "diag" else 1.0
    estimator = GaussianMixture(
        case.n_components,
        covariance_type=case.covariance_type,
        tol=0.0,
        reg_covar=0.0,
        max_iter=case.n_iter,
        weights_init=workload.weights,
        means_init=workload.means,
        precisions_init=np.broadcast_to(identity / workload.variance, shape),
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
        seconds_of(X, replace(case, n_iter=1), workload)
    for run in range(case.n_runs):
        for column, X in data if run % 2 == 0 else reversed(data):
            times[run, column] = seconds_of(X, case, workload)
    return times


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, few runs")
    cases = [case.quick() for case in CASES] if parser.parse_args().quick else CASES
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for holes in cases:
            times = pairs(holes)
            low, middle, high = np.percentile(times[:, 1] / times[:, 0], [25, 50, 75])
            lines.append(
                [
                    str(holes.case),
                    f"{holes.n_patterns:,}",
                    *map(three_digits, 1e3 * np.median(times, axis=0) / holes.case.n_iter),
                    three_digits(middle),
                    f"{three_digits(low)} to {three_digits(high)}",
                ]
            )
    header = ["case", "patterns", "complete: ms per iteration", "with holes", "ratio", "(half)"]
    print(table(header, lines, n_left=1))


if __name__ == "__main__":
    main()

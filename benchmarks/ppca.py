"""em_toolkit.PPCA against scikit-learn's PCA: the same model, time and memory.

    python -m benchmarks.ppca [--quick]

Three tables. The first compares the closed form with ``PCA(svd_solver="covariance_eigh")`` for
many rows, the others ``solver="randomized"`` with ``PCA(svd_solver="randomized")`` for thousands of
features, at the default tolerance and at a loose one. The estimators take turns in one process, so
that what else the machine does hits both. A time is that of a whole ``fit(X)``, validation
included, and em_toolkit's includes the ledger of the bound, which scikit-learn does not have.
Memory is the peak of what Python and NumPy allocated beside the data (tracemalloc), in a fit that
is not timed. Where other work shares the cores, waiting BLAS threads distort the times of both:
``OPENBLAS_NUM_THREADS=1`` is then the fairer comparison.

The log-likelihoods check that both did the same work. In the first table they must agree to
rounding. In the others, scikit-learn makes a fixed number of steps towards the maximum and
em_toolkit as many as its ``tol`` asks for: em_toolkit's must not be lower, and the column
"difference" says by how much it is higher. Otherwise the line is marked, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import scipy
import sklearn
from sklearn.decomposition import PCA

import em_toolkit
from benchmarks.machine import machine
from em_toolkit import PPCA
from em_toolkit.options import Solver
from em_toolkit.statistics import Array

# Of the log-likelihood, in nats per row.
SAME = 1e-8


@dataclass(frozen=True)
class Case:
    """One line of a table.

    Parameters
    ----------
    n_rows, n_features, n_components : int
    decay : float
        The standard deviation along the j-th axis is j to the power −decay, plus a floor of noise
        of 0.05: with 0.5 the variances fall slowly, and no gap ends the leading ones.
    n_runs : int
        Fits of each estimator, of whose times the median is taken.
    """

    n_rows: int
    n_features: int
    n_components: int
    decay: float = 1.0
    n_runs: int = 7

    def quick(self) -> Case:
        """Fewer rows, features and runs: to see that everything works."""
        n_features = min(self.n_features, 400)
        n_rows = min(self.n_rows // 10 + 500, 20_000)
        return replace(self, n_rows=n_rows, n_features=n_features, n_runs=3)


EXACT = [
    Case(1_000_000, 10, 3),
    Case(50_000, 30, 5),
    Case(200_000, 64, 8),
    Case(100_000, 128, 10),
    Case(20_000, 256, 10),
]
TRUNCATED = [
    Case(20_000, 2_000, 10, n_runs=5),
    Case(10_000, 2_000, 50, n_runs=5),
    Case(10_000, 2_000, 50, decay=0.5, n_runs=5),
    Case(4_000, 5_000, 20, n_runs=5),
    Case(4_000, 5_000, 20, decay=0.5, n_runs=5),
    Case(2_000, 10_000, 10, n_runs=5),
]


@dataclass(frozen=True)
class Outcome:
    """The fits of one case: seconds, megabytes, and log-likelihood per row."""

    case: Case
    our_times: Array
    their_times: Array
    our_peak: float
    their_peak: float
    our_bound: float
    their_bound: float


def data(case: Case) -> Array:
    """Correlated rows about a mean that is not zero."""
    rng = np.random.default_rng(0)
    stds = np.arange(1, case.n_features + 1) ** -case.decay + 0.05
    X = rng.standard_normal((case.n_rows, case.n_features)) * stds
    # A reflection mixes all features at the price of one product with a vector.
    normal = rng.standard_normal(case.n_features)
    normal /= np.linalg.norm(normal)
    X -= np.outer(2.0 * (X @ normal), normal)
    return np.asarray(X + 3.0)


def log_likelihood(pca: PCA, n_rows: int) -> float:
    """Per row, of the model with the maximum likelihood's divisor n and all d − q directions."""
    n_features, q = pca.n_features_in_, pca.n_components_
    shrink = (n_rows - 1) / n_rows
    variances = shrink * pca.explained_variance_
    left = n_features - q
    noise = shrink * pca.noise_variance_ * (min(n_rows, n_features) - q) / left
    logs = np.log(variances).sum() + left * np.log(noise)
    return -0.5 * float(n_features * (np.log(2.0 * np.pi) + 1.0) + logs)


def peak_of(estimator: Any, X: Array) -> float:
    """Megabytes that a fit allocated beside the data."""
    gc.collect()
    tracemalloc.start()
    estimator.fit(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def measure(case: Case, solver: Solver, tol: float, svd_solver: str) -> Outcome:
    """Fit both estimators by turns."""
    X = data(case)
    ours: Any = PPCA(case.n_components, solver=solver, tol=tol, random_state=0)
    theirs: Any = PCA(case.n_components, svd_solver=svd_solver, random_state=0)
    # The first fits pay for imports and threads.
    our_peak, their_peak = peak_of(ours, X), peak_of(theirs, X)
    times: dict[Any, list[float]] = {ours: [], theirs: []}
    for run in range(case.n_runs):
        # Each goes first as often as the other, but for one run.
        for estimator in (ours, theirs) if run % 2 == 0 else (theirs, ours):
            began = perf_counter()
            estimator.fit(X)
            times[estimator].append(perf_counter() - began)
    return Outcome(
        case,
        our_times=np.array(times[ours]),
        their_times=np.array(times[theirs]),
        our_peak=our_peak,
        their_peak=their_peak,
        our_bound=ours.lower_bound_,
        their_bound=log_likelihood(theirs, case.n_rows),
    )


HEADER = (
    f"{'':29}{'milliseconds a fit':>24}{'em_toolkit':>14}{'':12}{'peak memory, MB':>24}"
    f"{'log-likelihood per row':>26}\n"
    f"{'rows':>9}{'features':>10}{'q':>4}{'decay':>6}{'em_toolkit':>12}{'scikit-learn':>14}"
    f"{'/ s.-learn':>12}{'(range)':>12}{'em_toolkit':>12}{'scikit-learn':>14}"
    f"{'em_toolkit':>14}{'difference':>12}"
)


def line(outcome: Outcome, is_good: bool) -> str:
    """A line of a table."""
    case, ratios = outcome.case, outcome.our_times / outcome.their_times
    ours, theirs = 1e3 * np.median(outcome.our_times), 1e3 * np.median(outcome.their_times)
    spread = f"{ratios.min():.2f}-{ratios.max():.2f}"
    return (
        f"{case.n_rows:9}{case.n_features:10}{case.n_components:4}{case.decay:6.1f}"
        f"{ours:12.1f}{theirs:14.1f}{ours / theirs:12.2f}{spread:>12}"
        f"{outcome.our_peak:12.2f}{outcome.their_peak:14.2f}"
        f"{outcome.our_bound:14.6f}{outcome.our_bound - outcome.their_bound:12.1e}"
        f"{'' if is_good else '  NOT THE SAME'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer runs")
    arguments = parser.parse_args()
    packages = (em_toolkit, np, scipy, sklearn)
    print(machine({package.__name__: package.__version__ for package in packages}))
    all_good = True
    tables: list[tuple[Sequence[Case], Solver, float, str]] = [
        (EXACT, "closed_form", 1e-8, "covariance_eigh"),
        (TRUNCATED, "randomized", 1e-8, "randomized"),
        (TRUNCATED, "randomized", 1e-2, "randomized"),
    ]
    for cases, solver, tol, svd_solver in tables:
        title = f'PPCA(solver="{solver}", tol={tol:g}), PCA(svd_solver="{svd_solver}")'
        print(f"\n{title}\n{HEADER}", flush=True)
        for case in cases:
            size = case.quick() if arguments.quick else case
            outcome = measure(size, solver, tol, svd_solver)
            lowest = outcome.their_bound - SAME * max(1.0, abs(outcome.their_bound))
            highest = 2.0 * outcome.their_bound - lowest if cases is EXACT else np.inf
            is_good = lowest <= outcome.our_bound <= highest
            print(line(outcome, is_good), flush=True)
            all_good &= is_good
    print(
        "\nMedians of whole fits. A ratio below 1 means that em_toolkit is faster; the range is "
        "that of the ratios of\nthe single runs, in turns. Memory is beside the data."
    )
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())

"""em_toolkit.GaussianMixture against scikit-learn's: the same start, the same iterations.

    python -m benchmarks.compare [--quick]

Both estimators start from the same given weights, means and precisions, make the same number of
iterations (``tol=0``) at ``reg_covar=0``, where the two define the same path, and take turns, so
that what else the machine does hits both. A time is that of the whole ``fit``, validation
included, divided by the iterations. That is fair, since both run the same steps: n iterations are
n M-steps and n + 1 E-steps, the last of which gives scikit-learn its labels and em_toolkit the
evidence of the parameters it returns. It is a little more than an iteration of a long fit costs.
Where other work shares the cores, waiting BLAS threads distort the times of both:
``OPENBLAS_NUM_THREADS=1`` is then the fairer comparison.

The log-likelihoods, each by the estimator's own ``score``, check that both did the same work: if
they differ by more than rounding, the difference is marked, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import scipy
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

import em_toolkit
from em_toolkit.statistics import Array

# Of the log-likelihood per row, relative: far above the rounding of a sum of this many rows, far
# below what a change of the algorithm does in a few iterations.
SAME = 1e-10


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Parameters
    ----------
    n_rows, n_features, n_components : int
    covariance_type : {"full", "tied", "diag", "spherical"}
    n_iter : int
        Iterations of a fit.
    n_runs : int
        Fits of each estimator, of whose times the median is taken.
    """

    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str
    n_iter: int
    n_runs: int = 5

    def quick(self) -> Case:
        """Fewer rows, iterations and runs: to see that everything works."""
        return replace(self, n_rows=self.n_rows // 10 + 2_000, n_iter=2, n_runs=3)


CASES = [
    Case(200_000, 2, 5, "full", n_iter=8),
    Case(200_000, 10, 10, "full", n_iter=4),
    Case(200_000, 10, 10, "tied", n_iter=4),
    Case(200_000, 10, 10, "spherical", n_iter=4),
    Case(100_000, 32, 16, "full", n_iter=3),
    Case(20_000, 128, 8, "full", n_iter=3),
    Case(200_000, 32, 64, "diag", n_iter=2),
]


@dataclass(frozen=True)
class Outcome:
    """The fits of one case.

    Parameters
    ----------
    case : Case
    ours, theirs : ndarray of shape (n_runs,)
        Milliseconds per iteration of em_toolkit and of scikit-learn.
    our_score, their_score : float
        Log-likelihood in nats per row.
    """

    case: Case
    ours: Array
    theirs: Array
    our_score: float
    their_score: float

    @property
    def is_same(self) -> bool:
        """Whether both reached the same likelihood, to rounding."""
        return abs(self.our_score - self.their_score) <= SAME * max(1.0, abs(self.their_score))


def data_and_start(case: Case) -> tuple[Array, dict[str, Any]]:
    """Rows of Gaussians that overlap a little, and a start near them.

    The means of the start are off by a standard deviation or so, as k-means might leave them;
    its covariance is that of all the data, without correlations. Every component then keeps rows
    enough for a covariance matrix, also with 128 features.
    """
    rng = np.random.default_rng(0)
    n_components, shape = case.n_components, (case.n_components, case.n_features)
    centers = 2.0 * rng.standard_normal(shape)
    labels = rng.integers(n_components, size=case.n_rows)
    X = np.asarray(centers[labels] + rng.standard_normal((case.n_rows, case.n_features)))
    variances = X.var(axis=0)
    precisions = {
        "full": np.tile(np.diag(1.0 / variances), (n_components, 1, 1)),
        "tied": np.diag(1.0 / variances),
        "diag": np.tile(1.0 / variances, (n_components, 1)),
        "spherical": np.full(n_components, 1.0 / variances.mean()),
    }
    return X, {
        "weights_init": np.full(n_components, 1.0 / n_components),
        "means_init": centers + rng.standard_normal(shape),
        "precisions_init": precisions[case.covariance_type],
    }


def milliseconds(estimator: Any, X: Array) -> float:
    """Of one iteration: a whole fit divided by its iterations."""
    began = perf_counter()
    estimator.fit(X)
    return 1e3 * (perf_counter() - began) / estimator.max_iter


def measure(case: Case) -> Outcome:
    """Fit both estimators by turns, and keep the times and the likelihoods."""
    X, start = data_and_start(case)
    options: dict[str, Any] = {
        "covariance_type": case.covariance_type,
        "tol": 0.0,
        "reg_covar": 0.0,
        "max_iter": case.n_iter,
        **start,
    }
    ours: Any = em_toolkit.GaussianMixture(case.n_components, **options)
    theirs: Any = SklearnGaussianMixture(case.n_components, **options)
    for estimator in (ours, theirs):
        # The first fit pays for imports, threads and memory.
        estimator.set_params(max_iter=1).fit(X)
        estimator.set_params(max_iter=case.n_iter)
    times: dict[Any, list[float]] = {ours: [], theirs: []}
    for run in range(case.n_runs):
        # Each goes first as often as the other, but for one run.
        for estimator in (ours, theirs) if run % 2 == 0 else (theirs, ours):
            times[estimator].append(milliseconds(estimator, X))
    return Outcome(
        case,
        ours=np.array(times[ours]),
        theirs=np.array(times[theirs]),
        our_score=float(ours.score(X)),
        their_score=float(theirs.score(X)),
    )


def machine() -> Iterator[str]:
    """On what the times were taken."""
    yield f"processor     {_processor()}, {os.cpu_count()} cores"
    yield f"system        {platform.system()}, Python {platform.python_version()}"
    versions = {"em_toolkit": em_toolkit, "numpy": np, "scipy": scipy, "scikit-learn": sklearn}
    yield "versions      " + ", ".join(f"{k} {v.__version__}" for k, v in versions.items())
    pools = [
        f"{pool['num_threads']} ({pool['internal_api']} {pool['version']})"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    yield "BLAS threads  " + ", ".join(pools)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


HEADER = (
    f"{'':35}{'milliseconds per iteration':>26}{'scikit-learn':>14}{'':12}"
    f"{'log-likelihood per row':>28}\n"
    f"{'rows':>8}{'features':>10}{'K':>4}  {'covariance':11}"
    f"{'em_toolkit':>12}{'scikit-learn':>14}{'/ em_toolkit':>14}{'(range)':>12}"
    f"{'em_toolkit':>14}{'scikit-learn':>14}{'difference':>12}"
)


def line(outcome: Outcome) -> str:
    """A line of the table."""
    case, ratios = outcome.case, outcome.theirs / outcome.ours
    ours, theirs = np.median(outcome.ours), np.median(outcome.theirs)
    spread = f"{ratios.min():.2f}-{ratios.max():.2f}"
    difference = outcome.our_score - outcome.their_score
    return (
        f"{case.n_rows:8}{case.n_features:10}{case.n_components:4}  {case.covariance_type:11}"
        f"{ours:12.1f}{theirs:14.1f}{theirs / ours:14.2f}{spread:>12}"
        f"{outcome.our_score:14.8f}{outcome.their_score:14.8f}{difference:12.1e}"
        f"{'' if outcome.is_same else '  NOT THE SAME'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer runs")
    arguments = parser.parse_args()
    cases = [case.quick() for case in CASES] if arguments.quick else CASES
    print("\n".join(machine()), end="\n\n")
    print(HEADER, flush=True)
    is_same = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for case in cases:
            outcome = measure(case)
            print(line(outcome), flush=True)
            is_same &= outcome.is_same
    print(
        "\nMedians; a time is a whole fit divided by its iterations. A ratio above 1 means that "
        "em_toolkit is faster;\nthe range is that of the ratios of the single runs, in turns."
    )
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())

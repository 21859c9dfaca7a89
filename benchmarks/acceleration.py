"""Plain EM and its accelerations: passes over the data, and seconds, to the same log-likelihood.

    python -m benchmarks.acceleration [--quick] [--out FOLDER]

Plain EM runs until an iteration gains less than 1e-9 nats per unit of weight. Then, from the same
start, it and each acceleration run until the bound is as high as that, to within the same 1e-9.
All passes count, those at rejected proposals too. One that converges elsewhere, at another local
maximum, is named with the difference, in nats per unit of weight; it is no error.

Clusters lie in a row, from one mean to the next as many standard deviations as the case says;
mixtures start from k-means, where no start is published. Hasselblad's deaths (women of 80 and
older, 1096 days) are the example by which R's packages are compared (daarem, turboEM).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

import em_toolkit
from benchmarks.machine import machine
from benchmarks.report import folder_of, parser_of, table, three_digits, write
from em_toolkit.engine import Blocks, Executor, Rows, Threads, number_of_threads
from em_toolkit.engine.acceleration import ACCELERATIONS
from em_toolkit.engine.em import em
from em_toolkit.families import STRUCTURES, Gaussian, Poisson, PoissonRates
from em_toolkit.initialization import kmeans
from em_toolkit.kernels import plan
from em_toolkit.model import LatentVariableModel
from em_toolkit.models import Mixture, MixtureParameters, PPCAParameters, ProbabilisticPCA
from em_toolkit.options import Acceleration, CovarianceType

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOL = 1e-9
MAX_ITER = 50_000
METHODS: list[Acceleration | None] = [None, *ACCELERATIONS]


@dataclass(frozen=True)
class Problem:
    """What to fit, and from where."""

    name: str
    model: LatentVariableModel[Any, Any, Any]
    start: Any
    blocks: Blocks


def deaths(weight: float, rates: tuple[float, float]) -> Problem:
    """Hasselblad's counts."""
    days = np.array([162.0, 267, 271, 185, 111, 61, 27, 8, 3, 1])
    weights = np.array([weight, 1.0 - weight])
    start = MixtureParameters(weights, PoissonRates(np.array(rates)[:, None]))
    rows = Rows(np.arange(10.0)[:, None], days)
    name = f"deaths: Poisson, K = 2, from ({weight:g}, {rates[0]:g}, {rates[1]:g})"
    return Problem(name, Mixture(Poisson()), start, rows)


def clusters(
    n_rows: int, n_features: int, n_components: int, structure: CovarianceType, apart: float
) -> Problem:
    """Clusters in a row."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features))
    X[:, 0] += apart * rng.integers(n_components, size=n_rows)
    mixture: Mixture[Any] = Mixture(Gaussian(STRUCTURES[structure]))
    start = kmeans(mixture, X, None, n_components, np.random.RandomState(0))
    model, block_size, _ = plan(mixture, n_rows, n_features, n_components)
    name = f"{apart:g} σ: {n_rows:,} × {n_features}, K = {n_components}, {structure}"
    return Problem(name, model, start, Rows(X, None, block_size))


def low_rank(n_rows: int, n_features: int, n_components: int) -> Problem:
    """Probabilistic PCA where the directions fade into the noise, and no closed form helps."""
    rng = np.random.default_rng(0)
    lengths = np.linspace(1.5, 1.0, n_features)
    X = rng.standard_normal((n_rows, n_features)) * lengths
    loadings = rng.standard_normal((n_features, n_components))
    start = PPCAParameters(X.mean(axis=0), loadings, 1.0)
    name = f"PPCA: {n_rows:,} × {n_features}, q = {n_components}"
    return Problem(name, ProbabilisticPCA(), start, Rows(X))


def problems(n_rows: int) -> list[tuple[str, list[Callable[[], Problem]]]]:
    """By kind; made when their turn comes."""
    return [
        (
            "slow",
            [
                lambda: deaths(0.5, (1.0, 3.0)),
                lambda: deaths(0.3, (1.0, 2.5)),
                lambda: clusters(n_rows, 1, 2, "full", 1.5),
                lambda: clusters(n_rows, 1, 3, "full", 2.0),
                lambda: clusters(n_rows, 2, 3, "full", 2.0),
                lambda: clusters(n_rows, 2, 3, "tied", 1.5),
                lambda: clusters(n_rows, 5, 2, "full", 1.5),
                lambda: clusters(n_rows, 5, 5, "diag", 2.0),
                lambda: clusters(n_rows, 10, 3, "spherical", 1.5),
                lambda: low_rank(n_rows, 20, 5),
            ],
        ),
        (
            "easy",
            [
                lambda: clusters(n_rows, 1, 2, "full", 5.0),
                lambda: clusters(n_rows, 2, 3, "tied", 5.0),
                lambda: clusters(n_rows, 10, 5, "full", 5.0),
            ],
        ),
    ]


class Until:
    """Ends a fit when the bound is high enough, and keeps its path."""

    def __init__(self, target: float) -> None:
        self.target = target
        self.began = perf_counter()
        self.seconds = np.inf
        self.bounds: list[float] = []

    def begin(self, iteration: int, bound: float) -> None:
        pass

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        self.bounds.append(bound)
        self.seconds = perf_counter() - self.began
        return bound >= self.target


@dataclass(frozen=True)
class Run:
    """A fit.

    Parameters
    ----------
    n_passes : int
    seconds : float
    bounds : list of float
        After each iteration, in nats per unit of weight.
    """

    n_passes: int
    seconds: float
    bounds: list[float]


def fit(problem: Problem, method: Acceleration | None, target: float, executor: Executor) -> Run:
    """One fit, to the target or until it converges."""
    until = Until(target)
    found = em(
        problem.model,
        problem.start,
        problem.blocks,
        tol=TOL,
        max_iter=MAX_ITER,
        acceleration=method,
        listener=until,
        executor=executor,
    )
    return Run(found.n_passes, until.seconds, until.bounds)


def runs(problem: Problem) -> dict[str | None, Run]:
    """Of all methods; the first pass, which may compile, is not timed."""
    with Threads(number_of_threads(None)) as executor:
        em(problem.model, problem.start, problem.blocks, max_iter=1, executor=executor)
        target = fit(problem, None, np.inf, executor).bounds[-1] - TOL
        return {name: fit(problem, name, target, executor) for name in METHODS}


HEADER = [
    "kind",
    "data",
    "log-likelihood",
    *(f"{name or 'plain EM'}: {what}" for name in METHODS for what in ("passes", "seconds")),
    *(f"{name} ÷ plain" for name in ACCELERATIONS),
]


def line(kind: str, problem: Problem, found: dict[str | None, Run]) -> list[str]:
    """A line of the table: the ratios are those of passes."""
    plain = found[None]
    figures = [
        text for run in found.values() for text in (f"{run.n_passes:,}", three_digits(run.seconds))
    ]
    return [
        kind,
        problem.name,
        f"{plain.bounds[-1]:.6f}",
        *figures,
        *(_share(found[name], plain) for name in ACCELERATIONS),
    ]


def _share(run: Run, plain: Run) -> str:
    share = f"{run.n_passes / plain.n_passes:.3f}"
    short = plain.bounds[-1] - run.bounds[-1]
    return share if short <= TOL else f"{share} ({-short:.0e})"


def picture(found: list[tuple[Problem, dict[str | None, Run]]]) -> Figure:
    """The distance to the best bound by iteration, for the slowest fits."""
    from matplotlib.figure import Figure

    slowest = sorted(found, key=lambda pair: pair[1][None].n_passes)[-4:]
    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    for axes, (problem, by_method) in zip(np.ravel(figure.subplots(2, 2)), slowest, strict=False):
        best = max(max(run.bounds) for run in by_method.values())
        for name, run in by_method.items():
            short = best - np.array(run.bounds)
            short[short < 1e-12] = np.nan
            passes = np.linspace(2.0, run.n_passes, len(run.bounds))
            axes.loglog(passes, short, label=name or "plain EM")
        axes.set(title=problem.name, xlabel="passes", ylabel="nats below the best bound")
        axes.legend(frameon=False)
    return figure


def measure(n_rows: int) -> Iterator[tuple[str, Problem, dict[str | None, Run]]]:
    """All cases, one after the other."""
    for kind, makers in problems(n_rows):
        for make in makers:
            problem = make()
            print(problem.name, end=" ... ", flush=True)
            found = runs(problem)
            print(" ".join(f"{run.n_passes:,}" for run in found.values()), "passes", flush=True)
            yield kind, problem, found


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    found = list(measure(500 if arguments.quick else 20_000))
    lines = [line(*case) for case in found]
    versions = {"em_toolkit": em_toolkit.__version__, "numpy": np.__version__}
    text = (
        f"{machine(versions)}\n\n{table(HEADER, lines)}\n\n"
        "Log-likelihood, where plain EM stopped, and differences from it in nats per row. A "
        "difference in brackets: it converged elsewhere.\n"
    )
    write(folder_of(arguments), "acceleration", text, picture([case[1:] for case in found]))
    is_fast = all(
        run.n_passes <= 1.2 * by_method[None].n_passes
        for _, _, by_method in found
        for run in by_method.values()
    )
    return 0 if is_fast else 1


if __name__ == "__main__":
    sys.exit(main())

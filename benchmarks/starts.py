"""Where EM starts: how often a start leads to the best known optimum, and what it costs.

    python -m benchmarks.starts [--further] [--quick] [--seeds N] [--out FOLDER]

Each initializer, with each of N seeds (100), starts a fit with the defaults of `GaussianMixture`,
which is timed; the fit is then gone on with, accelerated, until an iteration gains less than 1e-8
nats per row, and the log-likelihood there says which optimum it had gone for.

The best known is the highest log-likelihood found here by any start whose components are sound: in
each, every variance along a principal axis, in units of all rows' variance along it, is above
1/1000. Below are needles, of rounded or near-collinear rows, which the likelihood rewards without
limit; a fit that ends in one does not count as at the best. Where the best known is rare, the
most frequent sound optimum is told of as well.

Cost is the median over seeds of the seconds of a fit by those of "kmeans" with the same seed: of
the processor, on one thread, which other work on the machine disturbs little.

Twenty further problems, of random sizes, tell whether a start does well on the others alone. Some
have so many components for their rows that the highest sound optimum is one of chance, and rare;
so that to which EM leads from the true components is a mark, too.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import em_toolkit
from benchmarks.machine import machine
from benchmarks.report import folder_of, parser_of, table
from em_toolkit import GaussianMixture
from em_toolkit.datasets import load_faithful, load_reaven_miller
from em_toolkit.initialization import INITIALIZERS
from em_toolkit.options import CovarianceType, InitParams

Data = npt.NDArray[Any]

# Without chance for these data, all of which are smaller than the sample.
CERTAIN = {"hierarchical"}
SOUND = 1e-3
# In nats; EM has ended nearer to an optimum than this, and optima are farther apart.
NEAR = 0.1


@dataclass(frozen=True)
class Problem:
    """What to fit; of simulated rows, their components."""

    name: str
    X: Data
    n_components: int
    structure: CovarianceType = "full"
    labels: Data | None = None


@dataclass(frozen=True)
class Run:
    """A fit: its log-likelihood when it is gone on with, whether it is sound, and its seconds."""

    log_likelihood: float
    is_sound: bool
    seconds: float


def overlapping(
    seed: int, n_rows: int, n_features: int, n_components: int, apart: float
) -> tuple[Data, Data]:
    """Rows of a mixture whose covariances have a condition of 10, and means so far apart.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
    labels : ndarray of shape (n_rows,)
    """
    rng = np.random.default_rng(seed)
    means = apart * rng.standard_normal((n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 5.0)))
    roots = []
    for _ in range(n_components):
        axes = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
        variances = np.geomspace(1.0, 10.0, n_features) * rng.uniform(0.5, 2.0)
        roots.append(axes * np.sqrt(variances))
    noise = rng.standard_normal((n_rows, n_features))
    return means[labels] + np.einsum("ijk,ik->ij", np.array(roots)[labels], noise), labels


def simulated(seed: int, n_rows: int, n_features: int, n_components: int, apart: float) -> Problem:
    """A problem of overlapping components."""
    X, labels = overlapping(seed, n_rows, n_features, n_components, apart)
    name = f"simulated {n_rows} × {n_features}, {apart:g} apart"
    return Problem(name, X, n_components, labels=labels)


def problems() -> list[Problem]:
    """Real data, and simulated ones that overlap, the last badly."""
    faithful, iris, wine = load_faithful().data, load_iris().data, load_wine().data
    return [
        Problem("faithful", faithful, 2),
        Problem("faithful", faithful, 3),
        Problem("iris", iris, 2),
        Problem("iris", iris, 3),
        Problem("diabetes", load_reaven_miller().data, 3),
        Problem("wine", wine, 3, "diag"),
        Problem("wine", wine, 3, "tied"),
        Problem("wine", wine, 3, "full"),
        simulated(1, 500, 2, 3, 3.0),
        simulated(2, 500, 4, 3, 1.5),
        simulated(3, 1000, 2, 4, 4.0),
        simulated(4, 1000, 5, 5, 2.0),
        simulated(5, 1000, 3, 6, 2.5),
    ]


def further_problems() -> list[Problem]:
    """Simulated ones, on which no start was tried while it was made."""
    rng = np.random.default_rng(2000)
    return [
        simulated(
            2000 + number,
            int(rng.choice([200, 300, 500, 1000])),
            int(rng.integers(2, 6)),
            int(rng.integers(2, 7)),
            float(rng.choice([1.5, 2.0, 2.5, 3.0, 4.0])),
        )
        for number in range(20)
    ]


def run(problem: Problem, init_params: InitParams, seed: int) -> Run:
    """A fit, gone on with."""
    mixture = GaussianMixture(
        problem.n_components,
        covariance_type=problem.structure,
        init_params=init_params,
        random_state=seed,
        n_jobs=1,
    )
    began = process_time()
    mixture.fit(problem.X)
    seconds = process_time() - began
    mixture.set_params(warm_start=True, tol=1e-8, max_iter=2000, acceleration="quasi_newton")
    mixture.fit(problem.X)
    log_likelihood = mixture.score(problem.X) * len(problem.X)
    return Run(log_likelihood, is_sound(mixture, problem.X), seconds)


def is_sound(mixture: GaussianMixture, X: Data) -> bool:
    """Whether no component is a needle."""
    root = np.linalg.inv(np.linalg.cholesky(np.cov(X.T)))
    d = X.shape[1]
    values, kind = mixture.covariances_, mixture.covariance_type
    if kind == "tied":
        values = np.array([values])
    elif kind == "diag":
        values = values[:, :, None] * np.eye(d)
    return bool(np.linalg.eigvalsh(root @ values @ root.T).min() > SOUND)


def from_the_truth(problem: Problem) -> float:
    """The log-likelihood to which EM leads from the components that the rows were drawn from."""
    true = np.eye(problem.n_components)[problem.labels]
    mixture = GaussianMixture(
        problem.n_components, init_params=true, tol=1e-8, max_iter=5000, n_jobs=1
    )
    return float(mixture.fit(problem.X).score(problem.X)) * len(problem.X)


def measure(problem: Problem, n_seeds: int, names: list[InitParams]) -> dict[str, list[Run]]:
    """Fits by initializer; one round of all after the other, so that all share what disturbs."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    run(problem, "kmeans", 0)
    for seed in range(n_seeds):
        for name in names:
            if name not in CERTAIN or seed < 3:
                runs[name].append(run(problem, name, seed))
    return runs


def best_of(runs: dict[str, list[Run]]) -> tuple[float, float]:
    """The best known of the sound optima, and the most frequent."""
    sound = [r.log_likelihood for found in runs.values() for r in found if r.is_sound]
    return max(sound), float(Counter(np.round(sound, 1)).most_common(1)[0][0])


def share_at(mark: float, found: list[Run]) -> float:
    """The share of fits that are sound, and at this log-likelihood or above."""
    return float(np.mean([r.is_sound and r.log_likelihood > mark - NEAR for r in found]))


def cost_of(found: list[Run], default: list[Run]) -> float:
    """The median of the seconds by those of the default."""
    ratios = [r.seconds / d.seconds for r, d in zip(found, default, strict=False)]
    return float(np.median(ratios))


HEADER = ["data", "K, structure", "start", "at the best", "at the usual", "median − best", "cost"]


def lines(problem: Problem, runs: dict[str, list[Run]]) -> Iterator[list[str]]:
    """Of the table: one for each initializer."""
    best, usual = best_of(runs)
    for name, found in runs.items():
        yield [
            f"{problem.name}: {best:.2f}",
            f"{problem.n_components}, {problem.structure}",
            name,
            f"{share_at(best, found):.0%}",
            f"{share_at(usual, found):.0%} ({usual:.1f})",
            f"{np.median([r.log_likelihood for r in found]) - best:+.2f}",
            f"{cost_of(found, runs['kmeans']):.2f}",
        ]


COMPARED: list[InitParams] = ["kmeans", "hierarchical", "short_em", "auto"]
FURTHER_HEADER = ["data", "components", "truth − best", *COMPARED, "cost of auto"]


def further_line(problem: Problem, runs: dict[str, list[Run]]) -> list[str]:
    """Of the second table: what starts reach."""
    (best, _), truth = best_of(runs), from_the_truth(problem)
    return [
        problem.name,
        str(problem.n_components),
        f"{truth - best:+.2f}",
        *(f"{share_at(best, runs[n]):.0%}, {share_at(truth, runs[n]):.0%}" for n in COMPARED),
        f"{cost_of(runs['auto'], runs['kmeans']):.2f}",
    ]


def document(rows: list[list[str]], n_seeds: int) -> str:
    """The table, and what is in it."""
    return (
        f"{_machine()}\n\n{table(HEADER, rows, n_left=3)}\n\n"
        "Log-likelihoods in nats, the best known after the name of the data. At the best, at the "
        f"usual: the share of {n_seeds} seeds that reach the best known optimum, and the one that "
        "most starts reach (in brackets), or a better one. Cost: seconds of a fit, start included, "
        'by those from "kmeans", on one thread.\n'
    )


def further_document(rows: list[list[str]], n_seeds: int) -> str:
    """The second table, and what is in it."""
    return (
        f"{_machine()}\n\n{table(FURTHER_HEADER, rows, n_left=1)}\n\n"
        "Data on which no start was tried while it was made. By start, of "
        f"{n_seeds} seeds: the share that reaches the best known optimum, and the share that "
        "reaches the one to which EM leads from the true components, or a better one. Cost: "
        'seconds of a fit, start included, by those from "kmeans", on one thread.\n'
    )


def _machine() -> str:
    return machine({"em_toolkit": em_toolkit.__version__, "numpy": np.__version__})


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--further", action="store_true", help="the twenty further problems")
    parser.add_argument("--seeds", type=int, default=100, help="how many of them")
    arguments = parser.parse_args()
    n_problems, n_seeds = (1, 2) if arguments.quick else (None, arguments.seeds)
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows: list[list[str]] = []
    with threadpool_limits(1):
        for problem in (further_problems() if arguments.further else problems())[:n_problems]:
            if arguments.further:
                found = [further_line(problem, measure(problem, n_seeds, COMPARED))]
            else:
                found = list(lines(problem, measure(problem, n_seeds, list(INITIALIZERS))))
            print("\n".join(" | ".join(row) for row in found), flush=True)
            rows += found
    if arguments.further:
        name, text = "starts_further", further_document(rows, n_seeds)
    else:
        name, text = "starts", document(rows, n_seeds)
    path = folder_of(arguments) / f"{name}.md"
    path.write_text(text)
    print(f"\n{text}\nwritten: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

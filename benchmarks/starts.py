"""Where EM starts: how often a start leads to the best known optimum, and what it costs.

    python -m benchmarks.starts [--quick] [--out FOLDER]

Each initializer, with each of 100 seeds, starts a fit with the defaults of `GaussianMixture`, which
is timed; the fit is then gone on with, accelerated, until an iteration gains less than 1e-8 nats
per row, and the log-likelihood there says which optimum it had gone for.

The best known is the highest log-likelihood found here by any start whose components are sound: in
each, every variance along a principal axis, in units of all rows' variance along it, is above
1/1000. Below are needles, of rounded or near-collinear rows, which the likelihood rewards without
limit; a fit that ends in one does not count as at the best. Where the best known is rare, the
most frequent sound optimum is told of as well.

Cost is the median over seeds of the seconds of a fit by those of "kmeans" with the same seed.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

import em_toolkit
from benchmarks.machine import machine
from benchmarks.report import folder_of, parser_of, table
from em_toolkit import GaussianMixture
from em_toolkit.datasets import load_faithful, load_reaven_miller
from em_toolkit.initialization import INITIALIZERS

Data = npt.NDArray[Any]

# Without chance for these data, all of which are smaller than the sample.
CERTAIN = {"hierarchical"}
SOUND = 1e-3
# In nats; EM has ended nearer to an optimum than this, and optima are farther apart.
NEAR = 0.1


@dataclass(frozen=True)
class Problem:
    """What to fit."""

    name: str
    X: Data
    n_components: int
    structure: str = "full"


@dataclass(frozen=True)
class Run:
    """A fit: its log-likelihood when it is gone on with, whether it is sound, and its seconds."""

    log_likelihood: float
    is_sound: bool
    seconds: float


def overlapping(seed: int, n_rows: int, n_features: int, n_components: int, apart: float) -> Data:
    """Rows of a mixture whose covariances have a condition of 10, and means so far apart."""
    rng = np.random.default_rng(seed)
    means = apart * rng.standard_normal((n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 5.0)))
    roots = []
    for _ in range(n_components):
        axes = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
        variances = np.geomspace(1.0, 10.0, n_features) * rng.uniform(0.5, 2.0)
        roots.append(axes * np.sqrt(variances))
    noise = rng.standard_normal((n_rows, n_features))
    return np.asarray(means[labels] + np.einsum("ijk,ik->ij", np.array(roots)[labels], noise))


def problems() -> list[Problem]:
    """Real data, and simulated ones that overlap, the last badly."""
    faithful, iris, wine = load_faithful().data, load_iris().data, load_wine().data
    simulated = [
        (1, 500, 2, 3, 3.0),
        (2, 500, 4, 3, 1.5),
        (3, 1000, 2, 4, 4.0),
        (4, 1000, 5, 5, 2.0),
        (5, 1000, 3, 6, 2.5),
    ]
    return [
        Problem("faithful", faithful, 2),
        Problem("faithful", faithful, 3),
        Problem("iris", iris, 2),
        Problem("iris", iris, 3),
        Problem("diabetes", load_reaven_miller().data, 3),
        Problem("wine", wine, 3, "diag"),
        Problem("wine", wine, 3, "tied"),
        Problem("wine", wine, 3, "full"),
        *(
            Problem(f"simulated {n} × {d}, {apart:g} apart", overlapping(seed, n, d, k, apart), k)
            for seed, n, d, k, apart in simulated
        ),
    ]


def run(problem: Problem, init_params: str, seed: int) -> Run:
    """A fit, gone on with."""
    mixture = GaussianMixture(
        problem.n_components,
        covariance_type=problem.structure,
        init_params=init_params,
        random_state=seed,
        n_jobs=1,
    )
    began = perf_counter()
    mixture.fit(problem.X)
    seconds = perf_counter() - began
    mixture.set_params(warm_start=True, tol=1e-8, max_iter=2000, acceleration="quasi_newton")
    mixture.fit(problem.X)
    log_likelihood = mixture.score(problem.X) * len(problem.X)
    return Run(log_likelihood, is_sound(mixture, problem.X), seconds)


def is_sound(mixture: GaussianMixture, X: Data) -> bool:
    """Whether no component is a needle."""
    root = np.linalg.inv(np.linalg.cholesky(np.cov(X.T)))
    d = X.shape[1]
    matrices = {
        "full": lambda: mixture.covariances_,
        "tied": lambda: mixture.covariances_[None],
        "diag": lambda: mixture.covariances_[:, :, None] * np.eye(d),
    }[mixture.covariance_type]()
    return bool(np.linalg.eigvalsh(root @ matrices @ root.T).min() > SOUND)


def measure(problem: Problem, n_seeds: int) -> dict[str, list[Run]]:
    """Fits by initializer; one round of all after the other, so that all share what disturbs."""
    runs: dict[str, list[Run]] = {name: [] for name in INITIALIZERS}
    run(problem, "kmeans", 0)
    for seed in range(n_seeds):
        for name, found in runs.items():
            if name not in CERTAIN or seed < 3:
                found.append(run(problem, name, seed))
    return runs


HEADER = ["data", "K, structure", "start", "at the best", "at the usual", "median − best", "cost"]


def lines(problem: Problem, runs: dict[str, list[Run]]) -> Iterator[list[str]]:
    """Of the table: one for each initializer."""
    sound = [r.log_likelihood for found in runs.values() for r in found if r.is_sound]
    best = max(sound)
    usual, _ = Counter(np.round(sound, 1)).most_common(1)[0]
    where = f"{problem.n_components}, {problem.structure}"
    for name, found in runs.items():
        reached = np.array([r.log_likelihood for r in found])
        ok = np.array([r.is_sound for r in found])
        cost = np.median(
            [r.seconds / k.seconds for r, k in zip(found, runs["kmeans"], strict=False)]
        )
        yield [
            f"{problem.name}: {best:.2f}",
            where,
            name,
            f"{np.mean(ok & (reached > best - NEAR)):.0%}",
            f"{np.mean(ok & (reached > usual - NEAR)):.0%} ({usual:.1f})",
            f"{np.median(reached) - best:+.2f}",
            f"{cost:.2f}",
        ]


def document(rows: list[list[str]]) -> str:
    """The table, and what is in it."""
    versions = {"em_toolkit": em_toolkit.__version__, "numpy": np.__version__}
    return (
        f"{machine(versions)}\n\n{table(HEADER, rows, n_left=3)}\n\n"
        "Log-likelihoods in nats, the best known after the name of the data. At the best, at the "
        "usual: the share of 100 seeds that reach the best known optimum, and the one that most "
        "starts reach (in brackets), or a better one. Cost: seconds of a fit, start included, "
        'by those from "kmeans".\n'
    )


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows: list[list[str]] = []
    for problem in problems()[:1] if arguments.quick else problems():
        rows += lines(problem, measure(problem, 2 if arguments.quick else 100))
        print("\n".join(" | ".join(row) for row in rows[-len(INITIALIZERS) :]), flush=True)
    text, folder = document(rows), folder_of(arguments)
    (folder / "starts.md").write_text(text)
    print(f"\n{text}\nwritten: {folder / 'starts.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

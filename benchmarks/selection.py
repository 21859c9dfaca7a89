"""Whether the choice of a mixture depends on what it should not.

    python -m benchmarks.selection [--quick]

Tables with discrete columns, on which the likelihood of normal components has no maximum, are given
to `select_mixture` as they are, moved by 1, and in other units. The winner should be the same, and
its likelihood should not be one that rounding alone keeps finite: in the standard deviations of the
columns, no component may be narrower in any direction than `NARROWEST`, or wider than `WIDEST`.

Units that all columns share concern no structure. Where each column has one of its own, EII, VII
and the structures of axes that share a shape or a direction (EEV, VEV, EVE, VVE) are other models,
as they compare variances of different columns: only the other eight are searched then.

In wide tables of two groups that differ by one standard deviation in every column, the groups
should be found. Last, what a search costs, and by how much each start is the better one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from benchmarks.report import folder_of, parser_of, table
from em_toolkit import GaussianMixture, MixtureSelection, select_mixture
from em_toolkit.datasets import load_faithful
from em_toolkit.options import CovarianceType
from em_toolkit.statistics import Array

NARROWEST, WIDEST = 1e-6, 1e3
MOST_COMPONENTS = 4
IN_ANY_UNITS: tuple[CovarianceType, ...] = ("EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV")
# Two scores are of the same fit if they differ by less, in nats.
SAME = 0.05

Random = np.random.Generator


def _small_counts(rng: Random) -> Array:
    return rng.poisson(0.3, (200, 3)).astype(np.float64)


def _flags(rng: Random) -> Array:
    return (rng.random((200, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.float64)


def _mostly_zero_amount(rng: Random) -> Array:
    amounts = rng.lognormal(3.0, 1.0, 200) * (rng.random(200) < 0.3)
    return np.column_stack([rng.normal(40.0, 12.0, 200), amounts])


def _dummies(rng: Random) -> Array:
    kinds = np.eye(3)[rng.integers(3, size=200)]
    return np.column_stack([rng.normal(40.0, 12.0, 200), kinds])


def _zero_inflated_pair(rng: Random) -> Array:
    return np.asarray(rng.gamma(2.0, 1.0, (200, 2)) * (rng.random((200, 2)) < 0.5))


def _rare_flag(rng: Random) -> Array:
    return np.column_stack([rng.normal(size=(200, 2)), rng.random(200) < 0.03])


def _numbers(rng: Random) -> Array:
    return np.vstack([rng.normal(0.0, 1.0, (120, 3)), rng.normal(3.0, 1.5, (80, 3))])


TABLES: dict[str, Callable[[Random], Array]] = {
    "small counts": _small_counts,
    "0/1 columns": _flags,
    "a number, a mostly-zero amount": _mostly_zero_amount,
    "a number, three dummies": _dummies,
    "zero-inflated pair": _zero_inflated_pair,
    "two numbers, a rare flag": _rare_flag,
    "numbers": _numbers,
}


def search(
    X: Array, types: Sequence[CovarianceType] | None = None
) -> MixtureSelection[GaussianMixture]:
    """What is chosen, without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return select_mixture(X, range(1, MOST_COMPONENTS + 1), types, random_state=0)


def _matrices(fitted: GaussianMixture) -> Array:
    """The covariances, of shape (n_components, n_features, n_features)."""
    n_features, values = fitted.n_features_in_, fitted.covariances_
    if fitted.covariance_type == "EEE":
        return np.broadcast_to(values, (fitted.n_components, n_features, n_features))
    if values.ndim == 3:
        return values
    return np.stack([value * np.eye(n_features) for value in values])


def extremes(X: Array, selection: MixtureSelection[GaussianMixture]) -> tuple[float, float]:
    """The least and greatest standard deviations of components, in those of the columns."""
    stds = X[:, selection.features_].std(axis=0)
    scaled = _matrices(selection.best_estimator_) / np.outer(stds, stds)
    variances = np.linalg.eigvalsh(scaled)
    return float(np.sqrt(max(variances.min(), 0.0))), float(np.sqrt(variances.max()))


def same_choice(
    one: MixtureSelection[GaussianMixture],
    other: MixtureSelection[GaussianMixture],
    log_units: float = 0.0,
) -> bool:
    """Whether both chose the same mixture, of the same score but for the units."""
    scores = [each.scores[each.best_index_] for each in (one, other)]
    return one.best_params_ == other.best_params_ and abs(scores[1] - scores[0] - log_units) < SAME


def row_of(make: Callable[[Random], Array], n_seeds: int) -> list[str]:
    """What became of one kind of table, over the seeds."""
    stayed = dict.fromkeys(("X + 1", "1000 X", "X / 1000", "own units"), 0)
    narrowest, widest, n_failed, n_fits = np.inf, 0.0, 0, 0
    for seed in range(n_seeds):
        X = make(np.random.default_rng(seed))
        found = search(X)
        least, greatest = extremes(X, found)
        narrowest, widest = min(narrowest, least), max(widest, greatest)
        n_failed += int(np.isnan(found.scores).sum())
        n_fits += len(found.scores)
        stayed["X + 1"] += same_choice(found, search(X + 1.0))
        for name, factor in (("1000 X", 1e3), ("X / 1000", 1e-3)):
            shift = 2.0 * X.size * np.log(factor)
            stayed[name] += same_choice(found, search(X * factor), shift)
        units = np.resize([1e3, 1e-3, 1.0], X.shape[1])
        shift = 2.0 * len(X) * np.log(units).sum()
        in_own = search(X * units, IN_ANY_UNITS)
        stayed["own units"] += same_choice(search(X, IN_ANY_UNITS), in_own, shift)
    return [
        *(f"{count}/{n_seeds}" for count in stayed.values()),
        f"{narrowest:.2g}" + ("" if narrowest > NARROWEST else " !"),
        f"{widest:.2g}" + ("" if widest < WIDEST else " !"),
        f"{n_failed / n_fits:.0%}",
    ]


def wide_row(n_columns: int, kind: CovarianceType) -> list[str]:
    """Two groups that differ by one standard deviation in every column."""
    groups = np.repeat([0, 1], 250)
    X = np.random.default_rng(0).normal(size=(500, n_columns)) + groups[:, None]
    found = search(X, [kind])
    index = adjusted_rand_score(groups, found.best_estimator_.predict(X))
    return [str(n_columns), kind, str(found.best_params_["n_components"]), f"{index:.3f}"]


def cost_row(name: str, X: Array) -> list[str]:
    """Seconds of a search from both starts and from the tree, and which was better how often."""
    began = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        tree = select_mixture(X, init_params="hierarchical", random_state=0)
        middle = perf_counter()
        both = select_mixture(X, random_state=0)
    seconds = middle - began, perf_counter() - middle
    gains = both.scores - tree.scores
    return [
        name,
        *(f"{each:.1f}" for each in seconds),
        f"{int((gains < -SAME).sum())} of {len(gains)}",
        f"{max(-np.nanmin(gains), 0.0):.1f}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser_of(__doc__).parse_args(arguments)
    n_seeds = 1 if options.quick else 20
    rows = []
    for name, make in TABLES.items():
        rows.append([name, *row_of(make, n_seeds)])
        print(rows[-1], flush=True)
    wide = [
        wide_row(n_columns, kind)
        for n_columns in ((40,) if options.quick else (40, 60, 100))
        for kind in ("EII", "VII", "VVI", "EEE")
    ]
    costs = (
        []
        if options.quick
        else [
            cost_row("Old Faithful", load_faithful().data),
            cost_row("iris", load_iris().data),
        ]
    )
    text = "\n".join(
        [
            f"Tables of 200 rows, {n_seeds} of each kind; one to {MOST_COMPONENTS} components. How "
            "often the winner is the\nsame after X is moved and in other units (each column in "
            "its own: among the eight structures that\nthen remain what they are); the narrowest "
            "and the widest of the winners, in standard deviations of\nthe columns; the share of "
            "fits that failed.\n",
            table(
                [
                    "table",
                    "X + 1",
                    "1000 X",
                    "X / 1000",
                    "own units",
                    "narrowest",
                    "widest",
                    "failed",
                ],
                rows,
                n_left=1,
            ),
            "\n500 rows in two groups that differ by one standard deviation in every column, one "
            f"to {MOST_COMPONENTS} components.\n",
            table(["columns", "covariances", "chosen", "adjusted Rand index"], wide, n_left=0),
            "\n1 to 9 components, 14 structures: seconds of a search from the tree and from both "
            "starts; how many\nscores the second start makes better, and by how much at most.\n",
            table(["data", "tree", "both", "better", "gain"], costs, n_left=1),
        ]
    )
    path = folder_of(options) / "selection.md"
    path.write_text(text + "\n")
    print(f"{text}\nwritten: {path}")


if __name__ == "__main__":
    main()

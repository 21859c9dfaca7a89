"""How often confidence intervals hold the truth.

    python -m benchmarks.coverage [--quick]

Rows are drawn from a known mixture of two normal components, which a fit is started from, so that
labels cannot switch; the intervals are those of `GaussianMixture.inference`. Standard errors beside
the standard deviations of the estimates over the draws say whether the scale is right.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.report import folder_of, parser_of, table
from em_toolkit import GaussianMixture
from em_toolkit.statistics import Array

LEVEL = 0.95
COLUMNS = ("weights", "means", "covariances")
WEIGHTS = np.array([0.4, 0.6])
MATRIX = np.array([[1.0, 0.3], [0.3, 1.0]])
OF_STRUCTURE = {
    "full": np.stack([MATRIX, [[1.5, -0.4], [-0.4, 0.5]]]),
    "tied": MATRIX,
    "diag": np.array([[1.0, 0.5], [1.5, 0.8]]),
    "spherical": np.array([1.0, 0.6]),
}


def matrices_of(structure: str) -> Array:
    """The two covariance matrices."""
    values = OF_STRUCTURE[structure]
    if structure == "diag":
        return np.stack([np.diag(variances) for variances in values])
    if structure == "spherical":
        return values[:, None, None] * np.eye(2)
    return np.broadcast_to(values, (2, 2, 2))


def draw(
    rng: np.random.Generator, structure: str, n_rows: int, apart: float
) -> tuple[Array, Array]:
    """Rows, and the means of their components."""
    means = np.array([[0.0, 0.0], [apart, apart / 3.0]])
    labels = rng.choice(2, n_rows, p=WEIGHTS)
    factors = np.linalg.cholesky(matrices_of(structure))[labels]
    noise = rng.standard_normal((n_rows, 2))
    return means[labels] + np.einsum("ijl,il->ij", factors, noise), means


def run(
    structure: str, n_rows: int, apart: float, n_draws: int, level: float
) -> dict[str, tuple[float, float]]:
    """For each kind of parameter its coverage, and the mean ratio of errors to deviations.

    Beside them, under "none", the share of draws whose data do not determine the parameters.
    """
    rng = np.random.default_rng(0)
    hits: dict[str, list[Array]] = {}
    errors: dict[str, list[Array]] = {}
    estimates: dict[str, list[Array]] = {}
    failed = 0
    for _ in range(n_draws):
        X, means = draw(rng, structure, n_rows, apart)
        truth = {"weights": WEIGHTS, "means": means, "covariances": OF_STRUCTURE[structure]}
        fit = GaussianMixture(
            2,
            covariance_type=structure,
            weights_init=WEIGHTS,
            means_init=means,
            tol=1e-7,
            max_iter=5000,
            stopping="distance",
        ).fit(X)
        try:
            inference = fit.inference(X)
            intervals = inference.confidence_intervals(level)
        except ValueError:
            failed += 1
            continue
        for name, ends in intervals.items():
            held = (ends[..., 0] <= truth[name]) & (truth[name] <= ends[..., 1])
            hits.setdefault(name, []).append(held)
            errors.setdefault(name, []).append(inference.standard_errors[name])
            estimates.setdefault(name, []).append(getattr(fit, f"{name}_"))
    found = {}
    for name, held in hits.items():
        ratio = np.median(errors[name], axis=0) / np.std(estimates[name], axis=0)
        found[name] = float(np.mean(held)), float(ratio.mean())
    return found | {"none": (failed / n_draws, np.nan)}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser_of(__doc__).parse_args(arguments)
    n_draws = 20 if options.quick else 500
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for structure in OF_STRUCTURE:
        for n_rows, apart in ((200, 4.0), (1000, 4.0), (1000, 2.5)):
            found = run(structure, n_rows, apart, n_draws, LEVEL)
            cells = [f"{found[name][0]:.3f} ({found[name][1]:.2f})" for name in COLUMNS]
            rows.append([structure, str(n_rows), str(apart), *cells, f"{found['none'][0]:.3f}"])
    text = (
        f"Shares of {n_draws} draws whose {LEVEL:.0%} intervals hold the truth; in brackets the "
        "median standard\nerror over the standard deviation of the estimates. Two components whose "
        "means are so far apart.\n\n"
        + table(["covariances", "rows", "apart", *COLUMNS, "undetermined"], rows, n_left=1)
    )
    path = folder_of(options) / "coverage.md"
    path.write_text(text)
    print(f"{text}\nwritten: {path}")


if __name__ == "__main__":
    main()

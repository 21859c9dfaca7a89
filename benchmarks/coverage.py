"""How often confidence intervals hold the truth.

    python -m benchmarks.coverage [--quick]

Rows are drawn from a known mixture of two normal components, which a fit is started from, so that
labels cannot switch, and entries are left out at random; the intervals are those of
`GaussianMixture.inference`. Standard errors beside the standard deviations of the estimates over
the draws say whether the scale is right.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.report import folder_of, parser_of, table
from em_toolkit import GaussianMixture
from em_toolkit.families import (
    SCIKIT_LEARN_STRUCTURES,
    STRUCTURES,
    Gaussian,
    GaussianComponents,
)
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.options import CovarianceType
from em_toolkit.statistics import Array, BoolArray

LEVEL = 0.95
COLUMNS = ("weights", "means", "covariances")
WEIGHTS = np.array([0.4, 0.6])
MATRIX = np.array([[1.0, 0.3], [0.3, 1.0]])
OTHER = np.array([[1.5, -0.4], [-0.4, 0.5]])
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])
# As `covariances_` has them.
OF_STRUCTURE: dict[CovarianceType, Array] = {
    "full": np.stack([MATRIX, OTHER]),
    "tied": MATRIX,
    "diag": np.array([[1.0, 0.5], [1.5, 0.8]]),
    "spherical": np.array([1.0, 0.6]),
    "EVI": np.array([[1.0, 0.6], [0.5, 1.2]]),
    "VEE": np.stack([OTHER, 0.5 * OTHER]),
    "VVE": np.stack([TURN @ np.diag(along) @ TURN.T for along in ([1.5, 0.5], [0.4, 0.8])]),
    "EEV": np.stack([OTHER, TURN @ OTHER @ TURN.T]),
}


def mixture_of(
    structure: CovarianceType, apart: float
) -> tuple[Mixture[GaussianComponents], MixtureParameters[GaussianComponents]]:
    """The two components, whose means are so far apart."""
    means = np.array([[0.0, 0.0], [apart, apart / 3.0]])
    covariances = STRUCTURES[structure].from_sklearn_array(OF_STRUCTURE[structure], 2, 2)
    params = MixtureParameters(WEIGHTS, GaussianComponents(means, covariances))
    return Mixture(Gaussian(STRUCTURES[structure])), params


def run(
    structure: CovarianceType, n_rows: int, apart: float, missing: float, n_draws: int, level: float
) -> dict[str, tuple[float, float]]:
    """For each kind of parameter its coverage, and the mean ratio of errors to deviations.

    Beside them, under "none", the share of draws whose data do not determine the parameters.
    """
    rng = np.random.default_rng(0)
    mixture, params = mixture_of(structure, apart)
    means = params.components.means
    truth = {"weights": WEIGHTS, "means": means, "covariances": OF_STRUCTURE[structure]}
    hits: dict[str, list[BoolArray]] = {}
    errors: dict[str, list[Array]] = {}
    estimates: dict[str, list[Array]] = {}
    failed = 0
    for _ in range(n_draws):
        X, _ = mixture.sample(params, n_rows, rng)
        X[rng.random(X.shape) < missing] = np.nan
        fit = GaussianMixture(
            2,
            covariance_type=structure,
            weights_init=WEIGHTS,
            means_init=means,
            precisions_init=params.components.covariances.precisions,
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
    for name, held_in_draws in hits.items():
        ratio = np.median(errors[name], axis=0) / np.std(estimates[name], axis=0)
        found[name] = float(np.mean(held_in_draws)), float(ratio.mean())
    return found | {"none": (failed / n_draws, np.nan)}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser_of(__doc__).parse_args(arguments)
    n_draws = 5 if options.quick else 500
    warnings.simplefilter("ignore", ConvergenceWarning)
    cases = [
        (structure, n_rows, apart, 0.0)
        for structure in SCIKIT_LEARN_STRUCTURES
        for n_rows, apart in ((200, 4.0), (1000, 4.0), (1000, 2.5))
    ]
    cases += [
        (structure, 1000, 4.0, missing)
        for structure in OF_STRUCTURE
        for missing in (0.0, 0.4)
        if missing > 0.0 or structure not in SCIKIT_LEARN_STRUCTURES
    ]
    rows = []
    for structure, n_rows, apart, missing in cases:
        found = run(structure, n_rows, apart, missing, n_draws, LEVEL)
        cells = [f"{found[name][0]:.3f} ({found[name][1]:.2f})" for name in COLUMNS]
        of_case = [structure, str(n_rows), str(apart), f"{missing:.0%}"]
        rows.append([*of_case, *cells, f"{found['none'][0]:.3f}"])
    text = (
        f"Shares of {n_draws} draws whose {LEVEL:.0%} intervals hold the truth; in brackets the "
        "median standard\nerror over the standard deviation of the estimates. Two components whose "
        "means are so far apart,\nand entries missing at random.\n\n"
        + table(
            ["covariances", "rows", "apart", "missing", *COLUMNS, "undetermined"], rows, n_left=1
        )
    )
    path = folder_of(options) / "coverage.md"
    path.write_text(text)
    print(f"{text}\nwritten: {path}")


if __name__ == "__main__":
    main()

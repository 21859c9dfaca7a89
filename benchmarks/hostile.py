"""A thousand hostile fits: does any bound fall, any parameter become NaN, any error lack a cause?

    python -m benchmarks.hostile [--fits 1000] [--seed 0] [--compiled]

Data: tight, overlapping, near-degenerate, duplicated rows, constant columns, one feature, as many
components as rows, far from zero, badly scaled, discrete columns (counts, flags, amounts that are
mostly zero, dummies), units of 1e-160 to 1e160, weights of 1e-300 to 1e300; of half of them up to
60 % is missing. Every covariance structure, every kind of start, `reg_covar` from 0 to 0.1, priors,
parameters held fixed, and probabilistic PCA by EM. It prints how the fits ended, which warnings
left the package, and the largest rounding error seen as a multiple of what the models stated (the
monitor allows 16 times).
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from em_toolkit import (
    PPCA,
    ELBODecreaseError,
    GaussianMixture,
    NormalInverseWishart,
    NormalMeans,
    PoissonMixture,
    VarianceFloorWarning,
)
from em_toolkit.engine.monitor import SAFETY, Monitor
from em_toolkit.families import STRUCTURES
from em_toolkit.kernels import choice
from em_toolkit.options import CovarianceType
from em_toolkit.statistics import Array, IntArray

Rng = np.random.Generator


def overlapping(rng: Rng, n: int, d: int) -> Array:
    return rng.standard_normal((n, d))


def tight(rng: Rng, n: int, d: int) -> Array:
    centers = 10.0 ** rng.uniform(0, 6) * rng.standard_normal((4, d))
    return centers[rng.integers(4, size=n)] + 10.0 ** rng.uniform(-8, 0) * rng.standard_normal(
        (n, d)
    )


def near_degenerate(rng: Rng, n: int, d: int) -> Array:
    factors = rng.standard_normal((n, max(1, d // 2)))
    plane = factors @ rng.standard_normal((factors.shape[1], d))
    return plane + 10.0 ** rng.uniform(-15, -1) * rng.standard_normal((n, d))


def duplicated(rng: Rng, n: int, d: int) -> Array:
    distinct = rng.standard_normal((max(2, n // 8), d))
    return distinct[rng.integers(distinct.shape[0], size=n)]


def constant_column(rng: Rng, n: int, d: int) -> Array:
    X = rng.standard_normal((n, d))
    X[:, 0] = 10.0 ** rng.uniform(-3, 6)
    return X


def one_feature(rng: Rng, n: int, d: int) -> Array:
    return rng.standard_normal((n, 1)) ** 3


def far_from_zero(rng: Rng, n: int, d: int) -> Array:
    return 10.0 ** rng.uniform(3, 9) * rng.choice([-1, 1], d) + rng.standard_normal((n, d))


def badly_scaled(rng: Rng, n: int, d: int) -> Array:
    return rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-8, 8, d)


def heavy_tailed(rng: Rng, n: int, d: int) -> Array:
    return rng.standard_cauchy((n, d))


def rounded(rng: Rng, n: int, d: int) -> Array:
    return np.round(2.0 * rng.standard_normal((n, d)))


def grouped(rng: Rng, n: int, d: int) -> Array:
    """Thousands of rows, few of them distinct: roundings that all go one way."""
    distinct = 10.0 ** rng.uniform(-2, 2) * rng.standard_normal((int(rng.integers(3, 12)), d))
    return distinct[rng.integers(distinct.shape[0], size=40 * n)]


def discrete(rng: Rng, n: int, d: int) -> Array:
    """Counts, 0/1 columns, amounts that are mostly zero, dummies, and a number beside them."""
    columns = {
        "counts": rng.poisson(0.3, n),
        "flag": rng.random(n) < 0.1,
        "amount": np.where(rng.random(n) < 0.8, 0.0, rng.exponential(50.0, n)),
        "number": rng.standard_normal(n),
    }
    dummies = np.eye(3)[rng.integers(3, size=n)]
    chosen = rng.choice(list(columns), size=max(1, d - 2))
    X = np.column_stack([*(columns[name].astype(np.float64) for name in chosen), dummies])
    return X[:, rng.permutation(X.shape[1])[: max(1, d)]]


def extreme(rng: Rng, n: int, d: int) -> Array:
    """Ordinary rows in units of 1e-160 to 1e160."""
    return np.asarray(overlapping(rng, n, d) * 10.0 ** rng.uniform(-160.0, 160.0))


DATA: list[Callable[[Rng, int, int], Array]] = [
    overlapping,
    tight,
    near_degenerate,
    duplicated,
    constant_column,
    one_feature,
    far_from_zero,
    badly_scaled,
    heavy_tailed,
    rounded,
    grouped,
    discrete,
    extreme,
]


def conjugate(rng: Rng, d: int) -> Any:
    """No prior mostly, else mclust's or one at odds with the data."""
    if rng.random() < 0.6:
        return None
    if rng.random() < 0.5:
        return "conjugate"
    if rng.random() < 0.3:
        return NormalMeans(rng.standard_normal(d), 10.0 ** rng.uniform(-6, 6))
    return NormalInverseWishart(
        shrinkage=rng.choice([0.0, 0.01, 10.0]),
        dof=d + 10.0 ** rng.uniform(-2, 3),
        scale=rng.choice([None, 10.0 ** rng.uniform(-6, 6)]),
    )


def concentration(rng: Rng, n_components: int) -> Any:
    """None mostly, else one for all, or for each its own, of which some may be one."""
    if rng.random() < 0.6:
        return 1.0
    if rng.random() < 0.5:
        return 1.0 + 10.0 ** rng.uniform(-3, 4)
    return 1.0 + 10.0 ** rng.uniform(-3, 4, n_components) * (rng.random(n_components) > 0.3)


def held(rng: Rng, n_components: int, covariance_type: CovarianceType) -> dict[str, Any] | None:
    """Nothing mostly, else some components of each part."""
    if rng.random() < 0.7:
        return None
    parts = ("weights", "means", "covariances")
    fixed: dict[str, Any] = {name: rng.random(n_components) < 0.3 for name in parts}
    if not STRUCTURES[covariance_type].shares_nothing(2, 2):
        fixed["covariances"] = bool(rng.random() < 0.3)
    return fixed


def noise(rng: Rng) -> bool | float | None:
    """None mostly, else in the box of the data, or of a volume of any size."""
    if rng.random() < 0.7:
        return None
    return True if rng.random() < 0.7 else float(10.0 ** rng.uniform(-9, 9))


def labels(rng: Rng, estimator: Any, n_rows: int) -> IntArray | None:
    """None mostly, else of a few rows or of most, noise included; right or wrong."""
    if rng.random() < 0.7:
        return None
    n_labels = estimator.n_components + (getattr(estimator, "noise", None) is not None)
    known = rng.random(n_rows) < 10.0 ** rng.uniform(-2, 0)
    return np.where(known, rng.integers(n_labels, size=n_rows), -1)


def gaussian_mixture(rng: Rng, X: Array, seed: int) -> Any:
    n, d = X.shape
    near_n = rng.random() < 0.15 and n < 25
    n_components = n - int(rng.integers(2)) if near_n else 1 + int(rng.integers(min(8, n)))
    start: dict[str, Any] = {}
    if rng.random() < 0.2:
        start["means_init"] = 10.0 ** rng.uniform(0, 9) * rng.standard_normal((n_components, d))
    if rng.random() < 0.2:
        weights = rng.dirichlet(np.ones(n_components)) * (rng.random(n_components) > 0.2)
        start["weights_init"] = (weights + 1e-300) / np.sum(weights + 1e-300)
    covariance_type: CovarianceType = rng.choice(list(STRUCTURES)).item()
    return GaussianMixture(
        n_components,
        covariance_type=covariance_type,
        prior=conjugate(rng, d),
        weight_concentration=concentration(rng, n_components),
        fixed=held(rng, n_components, covariance_type),
        noise=None if "weights_init" in start else noise(rng),
        reg_covar=rng.choice([0.0, 1e-12, 1e-6, 1e-3, 0.1]),
        init_params=rng.choice(["kmeans", "k-means++", "random", "random_from_data"]),
        max_iter=int(rng.integers(1, 300)),
        tol=rng.choice([0.0, 1e-8, 1e-3]),
        random_state=seed,
        warm_start=bool(rng.random() < 0.2),
        **start,
    )


def ppca(rng: Rng, X: Array, seed: int) -> Any:
    n_components = 1 + int(rng.integers(max(1, X.shape[1] - 1)))
    return PPCA(n_components, solver="em", max_iter=300, tol=1e-12, random_state=seed)


def poisson_mixture(rng: Rng, X: Array, seed: int) -> Any:
    n_components = 1 + int(rng.integers(min(6, X.shape[0])))
    fixed = {"rates": rng.random(n_components) < 0.3} if rng.random() < 0.3 else None
    return PoissonMixture(
        n_components,
        weight_concentration=concentration(rng, n_components),
        fixed=fixed,
        init_params=rng.choice(["kmeans", "k-means++", "random", "random_from_data"]),
        max_iter=300,
        tol=1e-10,
        random_state=seed,
    )


@dataclass
class Report:
    """How the fits ended."""

    outcomes: Counter[str]
    not_finite: list[str]
    falls: list[str]
    largest_error: float
    warned: list[str] = field(default_factory=list)


class _ErrorGauge(Monitor):
    """A monitor that also keeps the largest rounding error, in units of the models' statement."""

    largest = 0.0

    def _record(self, half_step: str, *others: Any) -> float:
        elbo, stated = self._elbo, self._tolerance()
        kl = super()._record(half_step, *others)
        stated = max(stated, self._tolerance(), np.finfo(np.float64).tiny) / SAFETY
        errors = [elbo - self._elbo if np.isfinite(elbo) else 0.0]
        if half_step == "E":
            errors.append(abs(kl))
        _ErrorGauge.largest = max(_ErrorGauge.largest, max(errors) / stated)
        return kl


def run(n_fits: int, seed: int) -> Report:
    """Fit, and count how the fits ended."""
    engine: Any = sys.modules["em_toolkit.engine.em"]
    report = Report(Counter(), [], [], 0.0)
    _ErrorGauge.largest = 0.0
    original, engine.Monitor = engine.Monitor, _ErrorGauge
    try:
        for index in range(n_fits):
            _run_one(index, np.random.default_rng([seed, index]), report)
    finally:
        engine.Monitor = original
    report.largest_error = _ErrorGauge.largest
    return report


def _run_one(index: int, rng: Rng, report: Report) -> None:
    n, d = int(rng.integers(2, 120)), int(rng.integers(1, 9))
    make = DATA[index % len(DATA)]
    X = make(rng, n, d)
    kind = rng.choice(["gaussian", "gaussian", "gaussian", "gaussian", "ppca", "poisson"])
    if kind == "poisson":
        X = np.minimum(np.abs(np.round(X)), 1e9)
    # A third each: no weights, weights, weights of which some are zero.
    share_of_zeros = (np.nan, 0.0, 0.2)[rng.integers(3)]
    n = X.shape[0]
    spread = 10.0 ** rng.uniform(-3, 3, n) * (rng.random(n) > share_of_zeros)
    if rng.random() < 0.05:
        spread *= 10.0 ** rng.uniform(-300.0, 300.0)
    sample_weight = None if np.isnan(share_of_zeros) else spread
    makers = {"gaussian": gaussian_mixture, "ppca": ppca, "poisson": poisson_mixture}
    if kind == "ppca" and X.shape[1] == 1:
        X = np.hstack([X, X**2])
    estimator = makers[kind](rng, X, index)
    if kind == "gaussian" and rng.random() < 0.5:
        X[rng.random(X.shape) < rng.uniform(0.0, 0.6)] = np.nan
    if rng.random() < 0.15:
        with np.errstate(over="ignore"):
            X = X.astype(np.float32)
    given: dict[str, Any] = {"sample_weight": sample_weight}
    if kind != "ppca":
        given["sample_labels"] = labels(rng, estimator, n)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(X, **given)
            if getattr(estimator, "warm_start", False):
                estimator.fit(X + rng.choice([0.0, 1.0, 1e6]), **given)
        except ELBODecreaseError as error:
            report.falls.append(f"fit {index} ({make.__name__}, {estimator}): {error}")
            return
        except ValueError as error:
            report.outcomes["error: " + re.sub(r"\d+", "N", str(error))[:70]] += 1
            return
    # Of a volume of noise that is less than that of the rows, a user is warned.
    unexpected = [
        w
        for w in caught
        if not issubclass(w.category, ConvergenceWarning | VarianceFloorWarning)
        and not str(w.message).startswith("noise=")
    ]
    report.warned += [
        f"fit {index} ({make.__name__}, {estimator}): {w.message} ({w.filename}:{w.lineno})"
        for w in unexpected
    ]
    report.outcomes[estimator.status_.name.lower()] += 1
    # The volume of a box may exceed the numbers; its logarithm, which the fit takes, does not.
    values = [
        v
        for k, v in vars(estimator).items()
        if k.endswith("_") and k != "noise_volume_" and _is_numeric(v)
    ]
    trace = estimator.trace_
    values += [trace.elbo, trace.energy, trace.entropy, trace.log_evidence, trace.kl]
    if not all(np.isfinite(value).all() for value in values):
        report.not_finite.append(f"fit {index} ({make.__name__}, {estimator})")


def _is_numeric(value: Any) -> bool:
    return isinstance(value, float) or (
        isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.number)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compiled", action="store_true", help="fit by the compiled loops")
    arguments = parser.parse_args()
    if arguments.compiled:
        choice.WORTH_COMPILING = 0
    report = run(arguments.fits, arguments.seed)
    for outcome, count in report.outcomes.most_common():
        print(f"{count:6d}  {outcome}")
    print(f"fits with a parameter or trace that is not finite: {len(report.not_finite)}")
    for fit in report.not_finite:
        print("  ", fit)
    print(f"NumPy's warnings, and others that are not told on purpose: {len(report.warned)}")
    for warned in report.warned:
        print("  ", warned)
    print(f"fits whose bound fell: {len(report.falls)}")
    for fall in report.falls:
        print("  ", fall)
    print(
        f"largest rounding error: {report.largest_error:.2g} times the models' statement "
        f"(allowed: {SAFETY:g})"
    )


if __name__ == "__main__":
    main()

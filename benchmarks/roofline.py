"""How fast the machine multiplies matrices, and the multiplications that EM cannot do without.

The floor counts the operations of one iteration that grow with the rows, each sum and each product
as one, for n rows, d features and K components:

- full: 2nKd². Whitening the rows by a triangular matrix takes d² of each row and component, and a
  symmetric second moment d² again.
- tied: nd² + 4nKd. One whitening for all components, the products of rows and means, and those of
  responsibilities and rows; the total scatter does not change between iterations.
- diag: 8nKd. Rows and squared rows with precisions, and responsibilities with both.
- spherical: 4nKd. Rows with means, and responsibilities with rows; the norms of the rows do not
  change between iterations.

An exponential for each row and component comes on top. With few features it is most of the work,
and the fraction of this roofline says little; with many it nears what can be had.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from benchmarks.workload import Case

FLOORS: dict[str, Callable[[int, int, int], float]] = {
    "full": lambda n, d, K: 2.0 * n * K * d**2,
    "tied": lambda n, d, K: n * d**2 + 4.0 * n * K * d,
    "diag": lambda n, d, K: 8.0 * n * K * d,
    "spherical": lambda n, d, K: 4.0 * n * K * d,
}


def floor(case: Case) -> float:
    """Operations of an iteration."""
    return FLOORS[case.covariance_type](case.n_rows, case.n_features, case.n_components)


def multiplication_rate(size: int = 2048, n_runs: int = 5) -> float:
    """Operations a second of a product of two square matrices on all cores: the best of some."""
    left, right = np.random.default_rng(0).standard_normal((2, size, size))
    seconds = []
    for _ in range(n_runs):
        began = perf_counter()
        left @ right
        seconds.append(perf_counter() - began)
    return 2.0 * size**3 / min(seconds)

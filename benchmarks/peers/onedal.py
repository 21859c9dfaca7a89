"""oneDAL's EM for Gaussian mixtures, through daal4py.

With maxIterations=m it runs m E-steps and m M-steps, and returns the parameters after the last
(compared with scikit-learn's after m iterations, for m = 1, 2, 3, 10: equal to 1e-13): no E-step
on those, hence one fewer than the others in each fit. It adds to a covariance only where it finds
it ill-conditioned, which those of the cases are not.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import daal4py  # type: ignore[import-not-found,import-untyped,unused-ignore]
import numpy as np

from benchmarks.peers.worker import Array, Task, Worker, serve

_STORAGE = {"full": "full", "diag": "diagonal"}


class OneDAL(Worker):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        d = task.means.shape[1]
        start = {"full": np.eye(d), "diag": np.ones((1, d))}[task.covariance_type]
        self.covariances = [task.variance * start for _ in task.weights]

    @staticmethod
    def version() -> str:
        return version("daal4py")

    def fit(self, n_iter: int) -> Any:
        return daal4py.em_gmm(
            nComponents=self.task.weights.size,
            maxIterations=n_iter,
            accuracyThreshold=0.0,
            covarianceStorage=_STORAGE[self.task.covariance_type],
        ).compute(self.task.X, self.task.weights[None, :], self.task.means, self.covariances)

    def solution(self, fitted: Any) -> tuple[int, Array, Array, Array]:
        covariances = np.stack([np.asarray(covariance) for covariance in fitted.covariances])
        return int(fitted.nIterations[0, 0]), fitted.weights, fitted.means, covariances


if __name__ == "__main__":
    serve(OneDAL)

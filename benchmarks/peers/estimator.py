"""Estimators with scikit-learn's interface: em_toolkit's and scikit-learn's own."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks.peers.worker import Array, Task, Worker


class EstimatorWorker(Worker):
    """Fits ``estimator_class(...)``, at ``tol=0`` and without regularization."""

    estimator_class: ClassVar[Any]
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        (K, d), identity = task.means.shape, np.eye(task.means.shape[1])
        shapes = {
            "full": np.tile(identity, (K, 1, 1)),
            "tied": identity,
            "diag": np.ones((K, d)),
            "spherical": np.ones(K),
        }
        self.start = {
            "weights_init": task.weights,
            "means_init": task.means,
            "precisions_init": shapes[task.covariance_type] / task.variance,
        }

    def fit(self, n_iter: int) -> Any:
        return self.estimator_class(
            self.task.weights.size,
            covariance_type=self.task.covariance_type,
            tol=0.0,
            reg_covar=0.0,
            max_iter=n_iter,
            **self.start,
            **self.options,
        ).fit(self.task.X)

    def solution(self, fitted: Any) -> tuple[int, Array, Array, Array]:
        return fitted.n_iter_, fitted.weights_, fitted.means_, fitted.covariances_

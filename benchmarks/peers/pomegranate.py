"""pomegranate 1's GeneralMixtureModel of Normal distributions, in double precision.

max_iter=m gives m E-steps and m M-steps, one E-step fewer than the others in each fit. Its weights
are summed in single precision, whatever the data's: the parameters agree to some 1e-7.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found,unused-ignore]
from pomegranate.distributions import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    Normal,
)
from pomegranate.gmm import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    GeneralMixtureModel,
)

from benchmarks.peers.worker import Array, Task, Worker, serve


class Pomegranate(Worker):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.X = torch.from_numpy(task.X)
        d = task.means.shape[1]
        start = {"full": np.eye(d), "diag": np.ones(d)}[task.covariance_type]
        self.covariance = torch.from_numpy(task.variance * start)

    @staticmethod
    def version() -> str:
        return version("pomegranate")

    def fit(self, n_iter: int) -> Any:
        components = [
            Normal(torch.tensor(mean), self.covariance.clone(), self.task.covariance_type)
            for mean in self.task.means
        ]
        # It stops when the likelihood gains less than tol, which at 0 rounding could do.
        model = GeneralMixtureModel(
            components, priors=torch.tensor(self.task.weights), max_iter=n_iter, tol=-np.inf
        )
        return n_iter, model.fit(self.X)

    def solution(self, fitted: Any) -> tuple[int, Array, Array, Array]:
        n_iter, model = fitted
        weights = model.priors.numpy()
        means = np.stack([component.means.numpy() for component in model.distributions])
        covariances = np.stack([component.covs.numpy() for component in model.distributions])
        # A sum in single precision is 1 to 1e-7, which is no density.
        return n_iter, weights / weights.sum(), means, covariances


if __name__ == "__main__":
    serve(Pomegranate)

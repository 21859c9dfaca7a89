"""em_toolkit.GaussianMixture."""

from __future__ import annotations

import em_toolkit
from benchmarks.peers.estimator import EstimatorWorker
from benchmarks.peers.worker import serve


class Ours(EstimatorWorker):
    estimator_class = em_toolkit.GaussianMixture

    @staticmethod
    def version() -> str:
        return em_toolkit.__version__


if __name__ == "__main__":
    serve(Ours)

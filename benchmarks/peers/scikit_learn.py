"""sklearn.mixture.GaussianMixture."""

from __future__ import annotations

import sklearn
from sklearn.mixture import GaussianMixture

from benchmarks.peers.estimator import EstimatorWorker
from benchmarks.peers.worker import serve


class ScikitLearn(EstimatorWorker):
    estimator_class = GaussianMixture

    @staticmethod
    def version() -> str:
        return str(sklearn.__version__)


if __name__ == "__main__":
    serve(ScikitLearn)

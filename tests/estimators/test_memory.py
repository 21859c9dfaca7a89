"""How much memory a fit takes above its data: so much for a block of rows, and not for all.

NumPy reports its arrays to ``tracemalloc``. The bound is the size of the data themselves: a copy of
them breaks it, and an array with a number for each row and component does six times over. Each
thread has blocks of its own, so that it is one thread that is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import Data

from em_toolkit import GaussianMixture, PoissonMixture
from em_toolkit.families import FullCovariances, Gaussian
from em_toolkit.initialization import INITIALIZERS
from em_toolkit.initialization.agglomeration import LARGEST_TREE
from em_toolkit.initialization.race import winners
from em_toolkit.initialization.short_runs import SMALLEST_SAMPLE
from em_toolkit.models import Mixture
from em_toolkit.statistics import sum_of_products

N, D, K = 200_000, 8, 50
OURS = sorted(set(INITIALIZERS) - {"kmeans"})


def peak(run: Callable[[], Any]) -> int:
    """The bytes in use at the worst moment of a call, above those before it."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(0)
    centers = 3.0 * rng.standard_normal((K, D))
    return np.asarray(centers[rng.integers(K, size=N)] + rng.standard_normal((N, D)))


@pytest.fixture(scope="module")
def given(data: Data) -> dict[str, Any]:
    return {
        "weights_init": np.full(K, 1.0 / K),
        "means_init": data[:K],
        "precisions_init": np.stack([np.eye(D)] * K),
    }


@pytest.fixture(scope="module")
def fitted(data: Data, given: dict[str, Any]) -> GaussianMixture:
    mixture = GaussianMixture(K, max_iter=0, n_jobs=1, **given).fit(data[: N // 4])
    mixture.predict(data[: N // 4])
    return mixture


def test_the_measure_sees_a_copy_and_an_array_by_row_and_component(data: Data) -> None:
    assert peak(lambda: data.copy()) >= data.nbytes
    assert peak(lambda: np.empty((N, K))) >= 6 * data.nbytes
    assert peak(lambda: np.asarray(data)) < 0.01 * data.nbytes


@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_fit_from_given_parameters(data: Data, given: dict[str, Any], dtype: Any) -> None:
    X = data.astype(dtype)
    mixture = GaussianMixture(K, max_iter=2, n_jobs=1, **given)
    # The first fit also loads the libraries that it needs, with what memory they take.
    mixture.fit(X[: N // 4])
    assert peak(lambda: mixture.fit(X)) < data.nbytes


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_a_start(data: Data, name: str, weighted: bool) -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2.0, N) if weighted else None
    mixture = Mixture(Gaussian(FullCovariances))
    source = np.random.RandomState(0)
    # A tree needs the costs of all pairs of its sample, whatever the number of rows is.
    allowed = 12 * LARGEST_TREE**2 if name == "hierarchical" else data.nbytes
    assert peak(lambda: INITIALIZERS[name](mixture, data, weights, K, source)) < allowed


def test_a_start_that_is_a_race(data: Data) -> None:
    """Of fewer components, for which "auto" has a hundred mixtures run side by side."""
    mixture = Mixture(Gaussian(FullCovariances))
    assert winners(mixture, data[:SMALLEST_SAMPLE], None, 3, np.random.RandomState(0))
    source = np.random.RandomState(0)
    assert peak(lambda: INITIALIZERS["auto"](mixture, data, None, 3, source)) < data.nbytes


def test_kmeans_takes_what_scikit_learn_takes_for_it(data: Data) -> None:
    """A copy of the data and its own arrays, but none by row and component."""
    mixture = Mixture(Gaussian(FullCovariances))
    source, X = np.random.RandomState(0), data[: N // 4]
    used = peak(lambda: INITIALIZERS["kmeans"](mixture, X, None, K, source))
    assert X.nbytes < used < 6 * X.nbytes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_start_from_responsibilities(data: Data, dtype: Any) -> None:
    responsibilities = np.full((N, K), 1.0 / K, dtype=dtype)
    estimator = GaussianMixture(K, init_params=responsibilities, max_iter=0, n_jobs=1)
    # The first fit also loads the libraries that it needs.
    estimator.fit(data)
    assert peak(lambda: estimator.fit(data)) < data.nbytes


def test_a_whole_fit_of_counts(data: Data) -> None:
    X = np.random.default_rng(0).poisson(3.0, (N, D)).astype(np.float64)
    mixture = PoissonMixture(K, init_params="kmeans_sample", max_iter=0, random_state=0, n_jobs=1)
    assert peak(lambda: mixture.fit(X)) < X.nbytes


@pytest.mark.parametrize(
    "name", ["predict", "predict_proba", "score_samples", "score", "bic", "aic"]
)
def test_a_use_of_the_fit_takes_its_result(data: Data, fitted: GaussianMixture, name: str) -> None:
    results = []
    used = peak(lambda: results.append(getattr(fitted, name)(data)))
    assert used < np.asarray(results[0]).nbytes + 0.8 * data.nbytes


# -- data larger than memory ----------------------------------------------------------------------

MORE_THAN_MEMORY = """
import resource, sys
import numpy as np
from em_toolkit import GaussianMixture

path, rows, dtype = sys.argv[1], int(sys.argv[2]), sys.argv[3]
X = np.memmap(path, mode="r", dtype=dtype, shape=(rows, 8))

def fit(X):
    return GaussianMixture(
        2,
        covariance_type="diag",
        init_params="kmeans_sample",
        max_iter=1,
        tol=0.0,
        random_state=0,
        n_jobs=1,
    ).fit(X)

fit(X[: rows // 8])  # so that all libraries are loaded, with what memory they take
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
limit = 1024 * int(status["VmData"].split()[0]) + X.nbytes // 4
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.array(X)
except MemoryError:
    print("a copy does not fit")
try:
    GaussianMixture(2, init_params="kmeans").fit(X)
except MemoryError:
    print("scikit-learn's k-means does not fit")
mixture = fit(X)
print("fitted", np.sort(mixture.means_[:, 0]).round(1).tolist())
print("predicted", np.bincount(mixture.predict(X[: rows // 4])).min() > 0)
print("scored", mixture.score(X[: rows // 4]) < 0.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_file_larger_than_memory_is_fitted(tmp_path: Path, dtype: str) -> None:
    n_rows, rng = 4_000_000, np.random.default_rng(0)
    path = tmp_path / "rows"
    block = rng.standard_normal((50_000, 8)).astype(dtype)
    block[::2] += 10.0
    with path.open("wb") as file:
        for _ in range(n_rows // len(block)):
            block.tofile(file)
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MORE_THAN_MEMORY, str(path), str(n_rows), dtype],
        capture_output=True,
        text=True,
        env=os.environ | one_thread,
        check=False,
    )
    path.unlink()
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "a copy does not fit",
        "scikit-learn's k-means does not fit",
        "fitted [0.0, 10.0]",
        "predicted True",
        "scored True",
    ]


def test_products_of_many_features_are_not_all_held_at_once() -> None:
    rows = np.random.default_rng(0).standard_normal((4096, 600))
    whole = 8 * 600**2
    assert peak(lambda: sum_of_products(rows, rows)) < 8 * whole
    np.testing.assert_allclose(sum_of_products(rows, rows), rows.T @ rows, rtol=0, atol=1e-9)

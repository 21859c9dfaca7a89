"""Fixtures that several test modules share."""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from blas_threads import set_blas_threads
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from em_toolkit.kernels import choice

Data = npt.NDArray[Any]


def _kernel_cache() -> Path:
    """A folder for what is compiled from just these sources.

    numba compiles a kernel anew if its own file has changed, but not if those have that it calls.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(choice.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return Path(tempfile.gettempdir()) / f"em_toolkit-kernels-{digest.hexdigest()[:16]}"


# Before numba is imported, which is when a test first needs it; processes of tests inherit it.
os.environ.setdefault("NUMBA_CACHE_DIR", str(_kernel_cache()))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--compiled", action="store_true", help="compiled loops for fits of every size"
    )


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """A job in the background of a shell ignores SIGINT, and so would what tests interrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def compiled(request: pytest.FixtureRequest) -> Iterator[None]:
    """With ``--compiled``, what the compiled loops are too heavy for is fitted by them too."""
    if not request.config.getoption("--compiled"):
        yield
        return
    before, choice.WORTH_COMPILING = choice.WORTH_COMPILING, 0
    yield
    choice.WORTH_COMPILING = before


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The matrices here are small: threads would only wait for each other."""
    set_blas_threads(1)
    # No context: while one is open, its thread is in control of what it has set of BLAS since.
    threadpool_limits(limits=1, user_api="openmp")


# -- what scikit-learn's own tests ask for ------------------------------------------------------


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def global_dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[0, 42, 99])
def global_random_seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


# -- real data ------------------------------------------------------------------------------------


class RealData(NamedTuple):
    """Rows, and the number of components that the tests fit to them."""

    X: Data
    n_components: int


def _standardized(X: Data) -> Data:
    return np.asarray(StandardScaler().fit_transform(X))


@pytest.fixture(scope="session")
def real_data() -> dict[str, RealData]:
    """Standardized iris, wine and breast cancer, and digits reduced to ten features."""
    digits = PCA(10, random_state=0).fit_transform(load_digits().data)
    return {
        "iris": RealData(_standardized(load_iris().data), 3),
        "wine": RealData(_standardized(load_wine().data), 3),
        "breast_cancer": RealData(_standardized(load_breast_cancer().data), 2),
        "digits": RealData(digits, 10),
    }


@pytest.fixture
def iris(real_data: dict[str, RealData]) -> Data:
    """Standardized iris: 150 rows, 4 features."""
    return real_data["iris"].X.copy()

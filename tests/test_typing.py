"""What a type checker says of a user's program, and whether all that is public has a type."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from em_toolkit import PPCA, GaussianMixture, PoissonMixture, em, options, select_mixture
from em_toolkit.displays.elbo import _VIEWS
from em_toolkit.engine.acceleration import ACCELERATIONS
from em_toolkit.engine.monitor import BOUND_CHECKS
from em_toolkit.engine.stopping import STOPPING_RULES
from em_toolkit.estimators.ppca import _SOLVERS
from em_toolkit.families import STRUCTURES
from em_toolkit.initialization import INITIALIZERS
from em_toolkit.selection import CRITERIA

# A line that a checker must refuse says so, with the code of the error.
PROGRAM = """\
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import pandas as pd

from em_toolkit import PPCA, GaussianMixture, Inference, PoissonMixture, Restart, Status, Trace
from em_toolkit import select_mixture

X = np.random.default_rng(0).normal(size=(100, 2))
table = pd.DataFrame(X, columns=["a", "b"])

gm = GaussianMixture(2, covariance_type="VEI", random_state=0).fit(table)
assert_type(gm, GaussianMixture)
assert_type(gm.fit(X, sample_weight=np.ones(100)).set_params(tol=0.1), GaussianMixture)
assert_type(gm.trace_, Trace)
assert_type(gm.status_, Status)
assert_type(gm.restarts_, list[Restart])
assert_type(gm.lower_bound_, float)
assert_type(gm.converged_, bool)
assert_type(gm.score(X), float)
assert_type(gm.predict(X), npt.NDArray[np.int64])
assert_type(gm.fit_predict(X), npt.NDArray[np.int64])
assert_type(gm.inference(X), Inference)
assert_type(gm.marginal([0]), GaussianMixture)
assert_type(gm.impute(table), pd.DataFrame)
assert_type(gm.impute(X), npt.NDArray[Any])
assert_type(gm.impute([[1.0, 2.0]]), npt.NDArray[Any])
assert_type(gm.sample_missing(table, random_state=0), pd.DataFrame)
assert_type(PPCA(1).fit(X).status_, Status)
assert_type(PoissonMixture(2).fit(X), PoissonMixture)
assert_type(select_mixture(X).best_estimator_, GaussianMixture)
assert_type(select_mixture(X, estimator=PoissonMixture()).best_estimator_, PoissonMixture)
rows: npt.NDArray[np.float64] = PPCA(1).fit_transform(X)
means: npt.NDArray[np.float64] = gm.means_
GaussianMixture(2, init_params=np.eye(2), means_init=[[0.0, 1.0], [2.0, 3.0]])

gm.predcit(X)  # attr-defined
gm.mean_  # attr-defined
gm.trace_.rates  # attr-defined
PPCA(1).fit(X).predict(X)  # attr-defined
PPCA(1).fit_transfrom(X)  # attr-defined
select_mixture(X).best_estimator_.rates_  # attr-defined
GaussianMixture(2, covariance_type="ful")  # arg-type
GaussianMixture(2, init_params="kmean")  # arg-type
GaussianMixture(2, stopping="near")  # arg-type
PoissonMixture(2, acceleration="fast")  # arg-type
PPCA(1, solver="svd")  # arg-type
PPCA(1, bound_check="never")  # arg-type
GaussianMixture("2")  # arg-type
GaussianMixture(2, n_comp=3)  # call-arg
select_mixture(X, criterion="BIC")  # call-overload
"""
MARK = re.compile(r"  # ([a-z-]+)$")
ERROR = re.compile(r"^program\.py:(\d+): error: .*\[([a-z-]+)\]$")


def errors_of(folder: Path, program: str, cache: Path) -> set[tuple[int, str]]:
    """The lines and codes of the errors that mypy finds, with no settings but its own."""
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "program.py"]
    environment = {**os.environ, "MYPY_CACHE_DIR": str(cache)}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    matches = [ERROR.match(line) for line in found.stdout.splitlines()]
    errors = {(int(match[1]), match[2]) for match in matches if match}
    assert found.stdout.count(" error: ") == len(errors), found.stdout + found.stderr
    assert errors or "Success" in found.stdout, found.stdout + found.stderr
    return errors


def test_a_users_program(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    cache = pytestconfig.cache
    assert cache is not None
    marks = [MARK.search(line) for line in PROGRAM.splitlines()]
    expected = {(number, mark[1]) for number, mark in enumerate(marks, start=1) if mark}
    assert len(expected) == 15
    assert errors_of(tmp_path, PROGRAM, cache.mkdir("mypy")) == expected


@pytest.mark.parametrize("estimator", [GaussianMixture(2), PoissonMixture(2), PPCA(1)], ids=str)
def test_every_attribute_has_a_type(estimator: Any) -> None:
    X = np.random.default_rng(0).poisson(4.0, size=(60, 3)).astype(float)
    hints = get_type_hints(type(estimator))
    public = {name for name in vars(estimator.fit(X)) if not name.startswith("_")}
    assert public - set(estimator.get_params()) <= set(hints)
    assert {"trace_", "status_", "feature_names_in_"} <= set(hints)


@pytest.mark.parametrize(
    ("names", "registry"),
    [
        (options.CovarianceType, STRUCTURES),
        (options.InitParams, INITIALIZERS),
        (options.BoundCheck, BOUND_CHECKS),
        (options.Acceleration, ACCELERATIONS),
        (options.Stopping, STOPPING_RULES),
        (options.Solver, _SOLVERS),
        (options.Criterion, CRITERIA),
        (options.Scale, _VIEWS),
    ],
)
def test_the_types_name_what_there_is(names: Any, registry: dict[str, Any]) -> None:
    assert sorted(get_args(names)) == sorted(registry)


@pytest.mark.parametrize(
    "function",
    [
        em,
        select_mixture,
        *(
            getattr(kind, name)
            for kind in (GaussianMixture, PoissonMixture, PPCA)
            for name in dir(kind)
            if not name.startswith("_")
            and callable(getattr(kind, name))
            and getattr(kind, name).__module__.startswith("em_toolkit")
        ),
    ],
    ids=lambda function: function.__qualname__,
)
def test_every_public_function_has_types(function: Any) -> None:
    function = getattr(function, "__wrapped__", function)
    code = function.__code__
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    assert {name for name in arguments if name not in ("self", "cls")} | {"return"} <= set(
        function.__annotations__
    )

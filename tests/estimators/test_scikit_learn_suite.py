"""scikit-learn's own tests of its mixtures, run on em_toolkit's.

The test modules of the installed scikit-learn are loaded a second time, with em_toolkit's class
in the place of ``sklearn.mixture.GaussianMixture``, and their tests become tests of this module.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
import sklearn.mixture

from em_toolkit import GaussianMixture

# Warnings that scikit-learn's tests do not know, or do not look at.
pytestmark = pytest.mark.filterwarnings(
    "ignore::em_toolkit.VarianceFloorWarning", "ignore::sklearn.exceptions.ConvergenceWarning"
)
# What is left out, and why. Everything else must pass.
_FREE_FUNCTION = "tests a private function of scikit-learn's module; the class does not occur in it"
_ARRAY_API = "array-API input, which em_toolkit does not take"
LEFT_OUT = {
    "test_suffstat_sk_full": _FREE_FUNCTION,
    "test_suffstat_sk_tied": _FREE_FUNCTION,
    "test_suffstat_sk_diag": _FREE_FUNCTION,
    "test_gaussian_suffstat_sk_spherical": _FREE_FUNCTION,
    "test_compute_log_det_cholesky": _FREE_FUNCTION,
    "test_gaussian_mixture_log_probabilities": _FREE_FUNCTION,
    "test_gaussian_mixture_precisions_init": (
        "calls the private _initialize and _set_parameters; test_drop_in.py tests the same "
        "through max_iter=0"
    ),
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": (
        "counts the calls of a private function of scikit-learn's; test_drop_in.py tests that a "
        "start given in full draws no random number"
    ),
    "test_gaussian_mixture_array_api_compliance": _ARRAY_API,
    "test_gaussian_mixture_raises_where_array_api_not_implemented": _ARRAY_API,
}


def _with_our_class(file_name: str) -> ModuleType:
    """One of scikit-learn's test modules, loaded anew with our class for scikit-learn's."""
    path = Path(sklearn.mixture.__file__).parent / "tests" / file_name
    name = f"em_toolkit_runs_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with patch.object(sklearn.mixture, "GaussianMixture", GaussianMixture):
        spec.loader.exec_module(module)
    return module


def _tests_of(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


_gaussian = _with_our_class("test_gaussian_mixture.py")
_base = _with_our_class("test_mixture.py")

globals().update(
    {name: test for name, test in _tests_of(_gaussian).items() if name not in LEFT_OUT}
)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", sorted(_tests_of(_base)))
def test_of_all_mixtures(name: str) -> None:
    """Of PoissonMixture tests/test_poisson.py has the same on counts: these rows are none."""
    getattr(_base, name)(GaussianMixture())


def test_the_tests_run_on_our_class() -> None:
    assert _gaussian.GaussianMixture is GaussianMixture
    assert sklearn.mixture.GaussianMixture is not GaussianMixture


def test_nothing_is_left_out_that_does_not_exist() -> None:
    """A test that scikit-learn renames or drops must not stay on the list unnoticed."""
    assert set(LEFT_OUT) <= set(_tests_of(_gaussian))
    assert len(_tests_of(_gaussian)) - len(LEFT_OUT) >= 31

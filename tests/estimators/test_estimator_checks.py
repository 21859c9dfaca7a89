"""scikit-learn's checks of the estimator interface, on every estimator; none may fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import pytest
from sklearn.utils.estimator_checks import (
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)

import em_toolkit
from em_toolkit import PPCA, FiniteMixture, GaussianMixture, PoissonMixture
from em_toolkit.families import Gaussian

ESTIMATORS = [
    GaussianMixture(),
    GaussianMixture(covariance_type="tied", init_params="k-means++"),
    GaussianMixture(covariance_type="diag", init_params="random", n_init=2),
    GaussianMixture(covariance_type="spherical", init_params="random_from_data"),
    PoissonMixture(),
    FiniteMixture(Gaussian(floor=1e-6)),
    PPCA(),
    PPCA(solver="em"),
]

# More than one component: all checks but the one that draws the start from other rows. (It
# compares weighted rows with repeated and shuffled ones, as it does for KMeans, where it is known
# to fail. From one and the same start they are compared in test_weights_and_inputs.py.)
SEVERAL_COMPONENTS = [
    GaussianMixture(n_components=2),
    GaussianMixture(n_components=2, covariance_type="tied", init_params="k-means++"),
    GaussianMixture(n_components=2, covariance_type="diag", init_params="random", n_init=2),
    GaussianMixture(n_components=2, covariance_type="spherical", warm_start=True),
    PoissonMixture(n_components=2, init_params="random_from_data"),
]
LEFT_OUT = "check_sample_weight_equivalence_on_dense_data"


def _name(check: Any) -> str:
    return str(getattr(check, "func", check).__name__)


def _expected_to_fail(estimator: Any) -> dict[str, str]:
    """The one check that pays no regard to tags: it gives fractions to an estimator of counts.

    test_poisson.py compares weighted with repeated rows of counts.
    """
    return {LEFT_OUT: "its rows are no counts"} if isinstance(estimator, PoissonMixture) else {}


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=_expected_to_fail)
def test_scikit_learn_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{estimator}-{_name(check)}")
        for several in SEVERAL_COMPONENTS
        for estimator, check in estimator_checks_generator(several)
        if _name(check) != LEFT_OUT
    ],
)
def test_scikit_learn_checks_of_several_components(
    estimator: Any, check: Callable[[Any], None]
) -> None:
    check(estimator)


def test_no_estimator_is_forgotten() -> None:
    public = [getattr(em_toolkit, name) for name in em_toolkit.__all__]
    estimators = {item for item in public if hasattr(item, "fit")}
    assert estimators == {type(estimator) for estimator in ESTIMATORS}


class ChangesAParameter(GaussianMixture):
    """An estimator that breaks the rules."""

    def fit(self, X: Any, y: None = None, sample_weight: Any = None) -> Self:
        super().fit(X, y, sample_weight)
        self.tol = 0.0
        return self


@pytest.mark.filterwarnings("ignore")
def test_the_checks_can_fail() -> None:
    results = check_estimator(ChangesAParameter(), on_fail=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert "check_estimators_overwrite_params" in failed

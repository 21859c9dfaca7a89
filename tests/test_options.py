"""The error for a name that does not exist: it tells the nearest one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from em_toolkit import (
    PPCA,
    ELBODisplay,
    GaussianMixture,
    ModelSelectionDisplay,
    PoissonMixture,
    em,
    select_mixture,
)
from em_toolkit.families import STRUCTURES, Poisson, PoissonRates
from em_toolkit.initialization import INITIALIZERS
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.options import did_you_mean

IRIS = load_iris().data
COUNTS = np.arange(10.0)[:, None]


def poisson_em(**settings: Any) -> Any:
    start = MixtureParameters(np.ones(1), PoissonRates(np.ones((1, 1))))
    return em(Mixture(Poisson()), start, COUNTS, **settings)


@pytest.mark.parametrize(
    ("make", "meant"),
    [
        (lambda: GaussianMixture(2, covariance_type="eee").fit(IRIS), "EEE"),
        (lambda: GaussianMixture(2, covariance_type="Full").fit(IRIS), "full"),
        (lambda: GaussianMixture(2, covariance_type="diagonal").fit(IRIS), "diag"),
        (lambda: GaussianMixture(2, covariance_type="sphere").fit(IRIS), "spherical"),
        (lambda: GaussianMixture(2, init_params="kmean").fit(IRIS), "kmeans"),
        (lambda: GaussianMixture(2, init_params="KMeans++").fit(IRIS), "k-means++"),
        (lambda: GaussianMixture(2, acceleration="quasi-newton").fit(IRIS), "quasi_newton"),
        (lambda: GaussianMixture(2, stopping="Distance").fit(IRIS), "distance"),
        (lambda: GaussianMixture(2, prior="conjugated").fit(IRIS), "conjugate"),
        (lambda: GaussianMixture(2, bound_check="warning").fit(IRIS), "warn"),
        (lambda: GaussianMixture(2, fixed={"mean": True}).fit(IRIS), "means"),
        (lambda: PoissonMixture(2, acceleration="SQUAREM").fit(COUNTS), "squarem"),
        (lambda: PPCA(2, solver="closed form").fit(IRIS), "closed_form"),
        (lambda: PPCA("MLE").fit(IRIS), "mle"),
        (lambda: select_mixture(IRIS, criterion="BIC"), "bic"),
        (lambda: select_mixture(IRIS, covariance_types=["vvv"]), "VVV"),
        (lambda: ModelSelectionDisplay(n_components=[1], scores={}, criterion="Bic").plot(), "bic"),
        (lambda: ELBODisplay(traces={}).plot(scale="Log"), "log"),
        (lambda: poisson_em(stopping="steps"), "step"),
        (lambda: poisson_em(acceleration="quasi newton"), "quasi_newton"),
        (lambda: poisson_em(bound_check="Raise"), "raise"),
    ],
)
def test_the_nearest_name_is_told(make: Callable[[], Any], meant: str) -> None:
    with pytest.raises(ValueError, match=rf"[Gg]ot .* Did you mean '{meant.replace('+', '.')}'\?$"):
        make()


def test_a_feature_that_is_misspelt() -> None:
    frame = load_iris(as_frame=True).data
    fit = GaussianMixture(2, random_state=0).fit(frame)
    with pytest.raises(ValueError, match=r"Did you mean 'petal length \(cm\)'\?$"):
        fit.marginal("petal lenght (cm)")


@pytest.mark.parametrize("value", ["xyz", 3, None, 2.5])
def test_nothing_is_told_where_nothing_is_near(value: Any) -> None:
    with pytest.raises(ValueError, match=r"Got .* instead\.$"):
        GaussianMixture(2, covariance_type=value).fit(IRIS)


@pytest.mark.parametrize("names", [STRUCTURES, INITIALIZERS])
def test_every_name_is_nearest_to_itself(names: dict[str, Any]) -> None:
    for name in names:
        assert did_you_mean(name.swapcase(), names) == f" Did you mean {name!r}?"


def test_the_wrong_parameter_is_the_one_that_is_told() -> None:
    with pytest.raises(ValueError, match=r"^The 'max_iter' parameter .* instead\.$"):
        GaussianMixture(2, max_iter=-1, stopping="stepp").fit(IRIS)

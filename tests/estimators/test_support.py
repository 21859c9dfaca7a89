"""Starts to which the prior gives no density."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starts import FAITHFUL, gaussian_mixture

from em_toolkit import GaussianMixture, NormalInverseWishart, PoissonMixture, em
from em_toolkit.families import FullCovariances, GaussianComponents
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.models.mixing_weights import MixingWeights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HOLES = FAITHFUL.copy()
HOLES[::7, 0] = np.nan
COUNTS = np.random.default_rng(0).poisson(3.0, (50, 2)).astype(float)
ZERO: dict[str, Any] = {"weights_init": [0.5, 0.5, 0.0], "weight_concentration": 2.0}

CASES = {
    "Gaussian": (GaussianMixture(3, **ZERO), FAITHFUL),
    "all of the start given": (
        GaussianMixture(3, means_init=FAITHFUL[:3], precisions_init=[np.eye(2)] * 3, **ZERO),
        FAITHFUL,
    ),
    "weight of the noise": (GaussianMixture(2, noise=True, **ZERO), FAITHFUL),
    "missing entries": (GaussianMixture(3, **ZERO), HOLES),
    "missing entries and noise": (GaussianMixture(2, noise=True, **ZERO), HOLES),
    "weight that is fixed": (GaussianMixture(3, fixed={"weights": [2]}, **ZERO), FAITHFUL),
    "Poisson": (PoissonMixture(3, **ZERO), COUNTS),
    "one concentration of several": (
        PoissonMixture(3, weights_init=[0.5, 0.5, 0.0], weight_concentration=[1.0, 1.0, 1.5]),
        COUNTS,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_weight_of_zero_under_a_prior_is_an_error_that_names_both(name: str) -> None:
    estimator, X = CASES[name]
    with pytest.raises(ValueError, match=r"weights_init.*weight_concentration.*component 2"):
        estimator.fit(X)
    assert not hasattr(estimator, "weights_")


@pytest.mark.parametrize("name", CASES)
def test_small_weight_in_its_place_is_a_start(name: str) -> None:
    estimator, X = CASES[name]
    inside = type(estimator)(**estimator.get_params())
    inside.set_params(weights_init=[0.5, 0.499, 0.001], random_state=0).fit(X)
    assert np.isfinite(inside.trace_.elbo).all()


@pytest.mark.parametrize("concentration", [1.0, [2.0, 2.0, 1.0]])
def test_zero_is_a_weight_where_the_prior_allows_it(concentration: Any) -> None:
    mixture = GaussianMixture(
        3, weights_init=[0.5, 0.5, 0.0], weight_concentration=concentration, random_state=0
    ).fit(FAITHFUL)
    assert mixture.weights_[2] == 0.0
    assert np.isfinite(mixture.trace_.elbo).all()


def test_fit_that_is_continued_under_another_prior() -> None:
    mixture = GaussianMixture(3, weights_init=[0.5, 0.5, 0.0], warm_start=True, random_state=0)
    mixture.fit(FAITHFUL).set_params(weight_concentration=2.0)
    with pytest.raises(ValueError, match=r"weights_ .*weight_concentration"):
        mixture.fit(FAITHFUL)


def test_start_of_any_model_must_have_a_prior_density() -> None:
    model = Mixture(gaussian_mixture().family, MixingWeights(2.0))
    components = GaussianComponents(FAITHFUL[:2], FullCovariances(np.stack([np.eye(2)] * 2)))
    with pytest.raises(ValueError, match="log prior -inf"):
        em(model, MixtureParameters(np.array([1.0, 0.0]), components), FAITHFUL)


def test_a_prior_beside_data_of_next_to_no_weight() -> None:
    """Its logarithm, divided by the weight of the data, is no number."""
    prior = NormalInverseWishart(shrinkage=1.0, mean=[1e50, 1e50], dof=5.0, scale=1.0)
    start = {"means_init": [[2.0, 50.0], [4.0, 80.0]], "precisions_init": [np.eye(2)] * 2}
    mixture = GaussianMixture(2, prior=prior, weights_init=[0.5, 0.5], max_iter=0, **start)
    with pytest.raises(ValueError, match="Divide the weights by their mean"):
        mixture.fit(FAITHFUL, sample_weight=np.full(len(FAITHFUL), 1e-240))
    # The control.
    assert np.isfinite(mixture.fit(FAITHFUL).lower_bound_)

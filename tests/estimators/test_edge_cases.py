"""Starts and components that are not what anyone hopes for."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from em_toolkit import PPCA, ELBODecreaseError, GaussianMixture, PoissonMixture, Rows
from em_toolkit.engine.em import em
from em_toolkit.families import (
    FullCovariances,
    Gaussian,
    GaussianComponents,
    Poisson,
    PoissonRates,
)
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.testing import ModelCheckError, check_model

STRUCTURES = ["full", "tied", "diag", "spherical"]
X = np.random.default_rng(0).standard_normal((60, 3))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_components_without_data_change_nothing(structure: str) -> None:
    """Three components of which two are empty: one Gaussian, whose maximum is known."""
    responsibilities = np.zeros((60, 3))
    responsibilities[:, 0] = 1.0
    fit = GaussianMixture(
        3, covariance_type=structure, reg_covar=0.0, init_params=responsibilities
    ).fit(X)
    alone = GaussianMixture(1, covariance_type=structure, reg_covar=0.0).fit(X)
    np.testing.assert_array_equal(fit.weights_, [1.0, 0.0, 0.0])
    np.testing.assert_allclose(fit.means_[0], X.mean(axis=0), rtol=0, atol=1e-15)
    assert fit.lower_bound_ == pytest.approx(alone.lower_bound_, rel=1e-14)
    assert np.isfinite(fit.covariances_).all()
    assert np.isfinite(fit.score_samples(X)).all()


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("distance", [1e4, 1e8, 1e12])
def test_a_start_far_away_comes_home(structure: str, distance: float) -> None:
    """To where scikit-learn goes, which centres the data anew in each M-step."""
    settings: dict[str, Any] = {
        "means_init": [[distance] * 3, [-distance] * 3],
        "covariance_type": structure,
        "random_state": 0,
    }
    ours = GaussianMixture(2, **settings).fit(X)
    theirs = SklearnGaussianMixture(2, **settings).fit(X)
    assert ours.converged_
    assert ours.score(X) > theirs.score(X) - 1e-6


@pytest.mark.filterwarnings("ignore::em_toolkit.VarianceFloorWarning")
@pytest.mark.parametrize("scale", [1e-3, 1e-2, 1.0])
@pytest.mark.parametrize("init_params", ["kmeans", "random"])
def test_single_precision_stays_finite(scale: float, init_params: str) -> None:
    rows = (scale * load_iris().data).astype(np.float32)
    for structure in STRUCTURES:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = GaussianMixture(
                3, covariance_type=structure, init_params=init_params, tol=1e-5, random_state=0
            ).fit(rows)
            labels = fit.predict(rows)
        assert np.isfinite(fit.precisions_).all()
        assert labels.shape == (150,)


def test_what_single_precision_cannot_hold_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"whose squares float32 can sum, got .* pass the data as float64"
    ):
        GaussianMixture(1).fit((1e30 * X).astype(np.float32))


def test_a_start_without_probability_names_the_cause() -> None:
    with pytest.raises(ValueError, match="gives some rows no probability"):
        PoissonMixture(1, weights_init=[1.0], rates_init=[[0.0]]).fit([[1.0], [2.0]])


def test_em_reads_arrays_and_refuses_what_can_be_read_once() -> None:
    start = MixtureParameters(np.array([0.5, 0.5]), PoissonRates(np.array([[1.0], [3.0]])))
    counts = np.arange(10.0)[:, None]
    one = em(Mixture(Poisson()), start, counts, max_iter=3)
    other = em(Mixture(Poisson()), start, Rows(counts.tolist()), max_iter=3)
    np.testing.assert_array_equal(one.trace.elbo, other.trace.elbo)
    with pytest.raises(TypeError, match="can be read once"):
        em(Mixture(Poisson()), start, iter(Rows(counts)))
    with pytest.raises(ValueError, match="non-negative weights"):
        Rows(counts, -np.ones(10))


# -- models that are wrong where a single look does not see it ---------------------------------


def _case() -> tuple[MixtureParameters[Any], Any]:
    means = np.array([[-1.0, 0.0], [1.0, 0.5]])
    components = GaussianComponents(means, FullCovariances(np.tile(np.eye(2), (2, 1, 1))))
    return MixtureParameters(np.array([0.4, 0.6]), components), X[:40, :2]


class TripledWeights(Mixture[Any]):
    """Weights that do not sum to one; every coordinate of to_vector is right."""

    def maximize(self, params, stats):
        best = super().maximize(params, stats)
        return replace(best, weights=3.0 * best.weights)


class AnythingIsRounding(Mixture[Any]):
    """A tolerance under which everything passes."""

    def rounding_error(self, params, stats):
        return np.inf


class RightAtTheTestPoint(Gaussian):
    """An M-step that goes wrong once EM has moved."""

    def maximize(self, components, stats):
        best = super().maximize(components, stats)
        if np.allclose(components.covariances.values, np.eye(2)):
            return best
        values = 1.15 * best.covariances.values
        return replace(best, covariances=replace(best.covariances, values=values))


class KeepsState(Mixture[Any]):
    """Weights of the components from the last block that was seen."""

    def statistics(self, params, X, posterior, weights):
        self._last = weights @ posterior.responsibilities / weights.sum()
        return super().statistics(params, X, posterior, weights)

    def maximize(self, params, stats):
        return replace(super().maximize(params, stats), weights=self._last)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (TripledWeights(Gaussian()), "constraints"),
        (AnythingIsRounding(Gaussian()), "rounding_error"),
        (Mixture(RightAtTheTestPoint()), "maximize"),
        (KeepsState(Gaussian()), "em"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_check_model_looks_twice(model: Mixture[Any], message: str) -> None:
    params, rows = _case()
    with pytest.raises(ModelCheckError, match=message):
        check_model(model, params, rows)


def test_fishers_identity_on_data_of_any_small_scale() -> None:
    params, rows = _case()
    tiny = 1e-6
    components = GaussianComponents(
        tiny * params.components.means,
        FullCovariances(tiny**2 * params.components.covariances.values),
    )
    check_model(Mixture(Gaussian()), replace(params, components=components), tiny * rows)


def test_a_bound_that_is_no_number_is_a_fall() -> None:
    class NoEnergy(Mixture[Any]):
        def expected_log_joint(self, params, stats):
            return np.nan

    params, rows = _case()
    with pytest.raises(ELBODecreaseError):
        em(NoEnergy(Gaussian()), params, rows)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["closed_form", "em"])
def test_ppca_does_not_take_the_rounding_of_far_data_for_noise(solver: str) -> None:
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 5))
    with pytest.raises(ValueError, match="lost in rounding"):
        PPCA(2, solver=solver, random_state=0).fit(plane + 1e3)
    noisy = plane + 1e3 + 1e-3 * rng.standard_normal((60, 5))
    fit = PPCA(2, solver=solver, random_state=0).fit(noisy)
    assert fit.score(noisy) == pytest.approx(fit.lower_bound_, abs=1e-6)

"""Components that are models of their own: PPCAs of unlike dimension, and mixtures of mixtures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, poisson

from em_toolkit.engine.em import em
from em_toolkit.families import Poisson, PoissonRates
from em_toolkit.models import (
    ComponentsOf,
    Mixture,
    MixtureParameters,
    PPCAParameters,
    ProbabilisticPCA,
    Several,
)
from em_toolkit.statistics import Array
from em_toolkit.testing import ModelCheckError, check_model

RNG = np.random.default_rng(0)
WEIGHTS = np.array([0.3, 0.7])
PPCAS = Several(
    (
        PPCAParameters(np.zeros(4), RNG.normal(size=(4, 1)), 0.6),
        PPCAParameters(np.ones(4), RNG.normal(size=(4, 2)), 0.4),
    )
)
ROWS = RNG.normal(size=(40, 4))


def log_evidence_of_ppcas(params: Any, X: Array) -> Array:
    terms = [
        np.log(weight)
        + multivariate_normal(
            part.mean, part.loadings @ part.loadings.T + part.noise_variance * np.eye(4)
        ).logpdf(X)
        for weight, part in zip(params.weights, params.components.parts, strict=True)
    ]
    return np.asarray(logsumexp(terms, axis=0))


def test_a_mixture_of_ppcas_of_unlike_dimension_conforms() -> None:
    mixture: Mixture[Any] = Mixture(ComponentsOf(ProbabilisticPCA()))
    params = MixtureParameters(WEIGHTS, PPCAS)
    outcome = check_model(mixture, params, ROWS, log_evidence=log_evidence_of_ppcas)
    assert set(outcome.values()) == {"passed"}
    of_ppca = [ProbabilisticPCA().n_parameters(part) for part in PPCAS.parts]
    assert mixture.n_parameters(params) == 1 + sum(of_ppca)


def test_a_mixture_of_mixtures_is_one_mixture() -> None:
    """Of four Poisson components, by their products of weights."""
    inner = [
        MixtureParameters(np.array([0.4, 0.6]), PoissonRates(np.array([[1.0], [3.0]]))),
        MixtureParameters(np.array([0.2, 0.8]), PoissonRates(np.array([[8.0], [12.0]]))),
    ]
    params = MixtureParameters(WEIGHTS, Several(tuple(inner)))
    counts = RNG.poisson(5.0, size=(50, 1)).astype(float)
    mixture: Mixture[Any] = Mixture(ComponentsOf(Mixture(Poisson())))

    def log_evidence(params: Any, X: Array) -> Array:
        terms = [
            np.log(outer * weight) + poisson.logpmf(X[:, 0], rate)
            for outer, part in zip(params.weights, params.components.parts, strict=True)
            for weight, rate in zip(part.weights, part.components.rates[:, 0], strict=True)
        ]
        return np.asarray(logsumexp(terms, axis=0))

    outcome = check_model(mixture, params, counts, log_evidence=log_evidence)
    assert set(outcome.values()) == {"passed"}


class ForgottenEntropy(ComponentsOf[Any]):
    def posterior(self, components: Any, X: Array) -> Any:
        within, log_density = super().posterior(components, X)
        return replace(within, entropy=0.0 * within.entropy), log_density


def test_the_entropy_within_components_counts() -> None:
    broken: Mixture[Any] = Mixture(ForgottenEntropy(ProbabilisticPCA()))
    with pytest.raises(ModelCheckError, match="posterior"):
        check_model(broken, MixtureParameters(WEIGHTS, PPCAS), ROWS)


def test_a_component_without_data_keeps_its_parameters() -> None:
    far = replace(PPCAS.parts[0], mean=np.full(4, 1e3))
    params = MixtureParameters(WEIGHTS, Several((far, PPCAS.parts[1])))
    fit = em(Mixture(ComponentsOf(ProbabilisticPCA())), params, ROWS, max_iter=3, tol=0.0)
    assert fit.params.weights[0] == 0.0
    assert fit.params.components.parts[0].allclose(far)

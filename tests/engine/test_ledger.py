"""Every row of the ledger against densities by scipy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from oracles import (
    STRUCTURES,
    Data,
    dense,
    gaussian_log_densities,
    mixture_log_density,
    mixture_posterior,
)
from scipy.special import xlogy
from scipy.stats import multivariate_normal
from scipy.stats import poisson as poisson_distribution
from sklearn.datasets import load_iris
from starts import FAITHFUL, faithful_start

from em_toolkit.engine import Fit, Rows
from em_toolkit.engine.em import em
from em_toolkit.families import STRUCTURES as CLASSES
from em_toolkit.families import Gaussian, GaussianComponents, Poisson, PoissonRates
from em_toolkit.models import Mixture, MixtureParameters, PPCAParameters, ProbabilisticPCA
from em_toolkit.priors import ConjugatePrior

IRIS: Data = load_iris().data


class Path:
    """Keeps the parameters of every iteration."""

    def __init__(self, start: Any) -> None:
        self.params = [start]

    def begin(self, iteration: int, bound: float) -> None:
        pass

    def end(self, iteration: int, params: Any, bound: float) -> bool:
        self.params.append(params)
        return False


@dataclass
class Row:
    """One row of a ledger, computed otherwise."""

    energy: float
    entropy: float
    log_evidence: float
    kl: float
    reconstruction: float
    kl_to_prior: float
    log_prior: float = 0.0


def mixture_rows(
    log_weights: list[Data], log_densities: list[Data], sample_weight: Data, log_priors: list[float]
) -> list[Row]:
    """The ledger of a mixture from the log densities along its path.

    KL is summed as what it is, Σ q log q/p, and not as a difference of bounds.
    """

    def row(at_q: int, at_p: int) -> Row:
        q = mixture_posterior(log_weights[at_q], log_densities[at_q])
        p = mixture_posterior(log_weights[at_p], log_densities[at_p])
        joint = log_weights[at_p] + log_densities[at_p]
        evidence = mixture_log_density(log_weights[at_p], log_densities[at_p])
        terms = [
            (q * joint).sum(1),
            -xlogy(q, q).sum(1),
            evidence,
            (xlogy(q, q) - xlogy(q, p)).sum(1),
            (q * log_densities[at_p]).sum(1),
            (xlogy(q, q) - q * log_weights[at_p]).sum(1),
        ]
        return Row(
            *(float(np.average(term, weights=sample_weight)) for term in terms),
            log_prior=log_priors[at_p],
        )

    rows = [row(0, 0)]
    for after in range(1, len(log_densities)):
        rows += [row(after - 1, after), row(after, after)]
    return rows


def assert_ledger(fit: Fit[Any], rows: list[Row], atol: float) -> None:
    trace = fit.trace
    assert len(trace) == len(rows)
    for name in [item.name for item in fields(Row)]:
        expected = [getattr(row, name) for row in rows]
        np.testing.assert_allclose(getattr(trace, name), expected, rtol=0, atol=atol, err_msg=name)
    elbo = [row.energy + row.entropy + row.log_prior for row in rows]
    np.testing.assert_allclose(trace.elbo, elbo, rtol=0, atol=atol)
    # The identity of the whole enterprise, between columns that were computed apart.
    np.testing.assert_allclose(
        trace.log_evidence + trace.log_prior, trace.elbo + trace.kl, rtol=0, atol=atol
    )
    other_form = trace.reconstruction - trace.kl_to_prior + trace.log_prior
    np.testing.assert_allclose(trace.elbo, other_form, rtol=0, atol=atol)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("psi", [0.0, 30.0])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_ledger_of_a_gaussian_mixture(structure: str, psi: float, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    sample_weight = rng.uniform(0.1, 4.0, 272) if weighted else np.ones(272)
    prior = ConjugatePrior(psi / 10.0, psi * np.eye(2), 0.0, np.zeros(2)) if psi else None
    model = Mixture(Gaussian(CLASSES[structure], prior))
    path = Path(faithful_start(structure))
    fit = em(
        model, path.params[0], Rows(FAITHFUL, sample_weight), max_iter=8, tol=0.0, listener=path
    )
    matrices = [dense(structure, p.components.covariances.sklearn_array, 2, 2) for p in path.params]
    densities = [
        gaussian_log_densities(FAITHFUL, p.components.means, matrix)
        for p, matrix in zip(path.params, matrices, strict=True)
    ]
    log_priors = [
        -0.5
        * psi
        * sum(np.linalg.slogdet(m)[1] / 10.0 + np.trace(np.linalg.inv(m)) for m in matrix)
        / sample_weight.sum()
        for matrix in matrices
    ]
    log_weights = [np.log(p.weights) for p in path.params]
    # Terms of size 10 have roundings of 2e-15, and some digits go in each of the two ways.
    assert_ledger(fit, mixture_rows(log_weights, densities, sample_weight, log_priors), 1e-13)


def test_ledger_of_a_poisson_mixture() -> None:
    rng = np.random.default_rng(6)
    X = rng.poisson(rng.choice([1.0, 5.0], (200, 1)), (200, 3)).astype(float)
    sample_weight = rng.uniform(0.0, 2.0, 200)
    rates = np.array([[1.0, 1.5, 0.5], [4.0, 3.0, 6.0]])
    path = Path(MixtureParameters(np.array([0.5, 0.5]), PoissonRates(rates)))
    fit = em(
        Mixture(Poisson()), path.params[0], Rows(X, sample_weight), max_iter=8, tol=0.0,
        listener=path,
    )  # fmt: skip
    densities = [
        poisson_distribution(p.components.rates[None]).logpmf(X[:, None, :]).sum(axis=2)
        for p in path.params
    ]
    log_weights = [np.log(p.weights) for p in path.params]
    rows = mixture_rows(log_weights, densities, sample_weight, [0.0] * len(path.params))
    assert_ledger(fit, rows, 1e-13)


def test_ledger_of_ppca() -> None:
    """By the textbook's matrices: the posterior from the joint Gaussian, KL between Gaussians."""
    sample_weight = np.random.default_rng(7).uniform(0.1, 3.0, 150)
    loadings = np.random.default_rng(8).standard_normal((4, 2))
    path = Path(PPCAParameters(IRIS[0], loadings, 0.5))
    fit = em(
        ProbabilisticPCA(), path.params[0], Rows(IRIS, sample_weight), max_iter=8, tol=0.0,
        listener=path,
    )  # fmt: skip

    def posterior(params: Any) -> tuple[Data, Data]:
        W = params.loadings
        C = W @ W.T + params.noise_variance * np.eye(4)
        gain = np.linalg.solve(C, W).T
        return (IRIS - params.mean) @ gain.T, np.eye(2) - gain @ W

    def row(at_q: Any, at_p: Any) -> Row:
        m, S = posterior(at_q)
        mean, W, noise = at_p.mean, at_p.loadings, at_p.noise_variance
        errors = ((IRIS - mean - m @ W.T) ** 2).sum(1) + np.trace(W @ S @ W.T)
        reconstruction = -0.5 * (4 * np.log(2 * np.pi * noise) + errors / noise)
        energy = reconstruction - 0.5 * (2 * np.log(2 * np.pi) + (m**2).sum(1) + np.trace(S))
        entropy = multivariate_normal(np.zeros(2), S).entropy()
        C = W @ W.T + noise * np.eye(4)
        evidence = multivariate_normal(mean, C).logpdf(IRIS)
        other, T = posterior(at_p)
        apart = np.einsum("ij,ij->i", other - m, np.linalg.solve(T, (other - m).T).T)
        kl = 0.5 * (np.trace(np.linalg.solve(T, S)) - 2 + apart)
        kl += 0.5 * np.log(np.linalg.det(T) / np.linalg.det(S))
        kl_to_prior = 0.5 * (np.trace(S) + (m**2).sum(1) - 2 - np.linalg.slogdet(S)[1])
        terms = [energy, np.full(150, entropy), evidence, kl, reconstruction, kl_to_prior]
        return Row(*(float(np.average(term, weights=sample_weight)) for term in terms))

    rows = [row(path.params[0], path.params[0])]
    for before, after in zip(path.params[:-1], path.params[1:], strict=True):
        rows += [row(before, after), row(after, after)]
    assert_ledger(fit, rows, 1e-13)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_measured_gap_is_rounding_wherever_the_data_are(structure: str, offset: float) -> None:
    """Energy and entropy are summed apart from the evidence, and meet it to some roundings."""
    start = faithful_start(structure)
    components = GaussianComponents(start.components.means + offset, start.components.covariances)
    # At 1e8 the data are rounded; the gap is that of the rounded data.
    fit = em(
        Mixture(Gaussian(CLASSES[structure])),
        MixtureParameters(start.weights, components),
        Rows(FAITHFUL + offset),
        tol=0.0,
    )
    assert np.abs(fit.trace.kl[::2]).max() < 2e-14

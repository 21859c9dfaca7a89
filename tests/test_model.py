"""Promises of an E-step that is not exact, and units that are not rows."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln, logsumexp, xlogy

from em_toolkit.data import Block, Rows, Sequences, UnitBlocks
from em_toolkit.engine import ELBODecreaseError, Status, Threads, expect
from em_toolkit.engine.em import em
from em_toolkit.families import Poisson, PoissonRates
from em_toolkit.model import Guarantee, LatentVariableModel
from em_toolkit.models import (
    Mixture,
    MixtureParameters,
    PPCAParameters,
    ProbabilisticPCA,
    Responsibilities,
)
from em_toolkit.parameters import CollapseError, Parameters, positive, simplex
from em_toolkit.statistics import Array, Statistics
from em_toolkit.testing import ModelCheckError, check_gap, check_model

RNG = np.random.default_rng(0)
START = PPCAParameters(np.zeros(5), RNG.normal(size=(5, 2)), 1.0)
X = RNG.normal(size=(200, 2)) @ RNG.normal(size=(2, 5)) + 0.5 * RNG.normal(size=(200, 5))


class MeanField(ProbabilisticPCA):
    """PPCA whose q is a product over the latent variables: the best of these, and not exact."""

    guarantee = Guarantee.MONOTONE

    def posterior(self, params: PPCAParameters, X: Array) -> Any:
        posterior, log_evidence = super().posterior(params, X)
        precision = np.eye(2) + params.loadings.T @ params.loadings / params.noise_variance
        variances = 1.0 / np.diag(precision)
        return (
            replace(
                posterior,
                factor=np.diag(np.sqrt(variances)),
                log_determinant=float(np.log(variances).sum()),
            ),
            log_evidence,
        )


class MeanFieldWithoutEvidence(MeanField):
    def posterior(self, params: PPCAParameters, X: Array) -> Any:
        posterior, log_evidence = super().posterior(params, X)
        return posterior, np.full_like(log_evidence, np.nan)


def mean_field_gap(params: PPCAParameters, X: Array) -> Array:
    """KL of two normal densities with one mean: ½ (tr Λ V − q − log |Λ V|)."""
    precision = np.eye(2) + params.loadings.T @ params.loadings / params.noise_variance
    product = precision @ np.diag(1.0 / np.diag(precision))
    kl = 0.5 * (np.trace(product) - 2.0 - np.linalg.slogdet(product)[1])
    return np.full(len(X), kl)


# -- a posterior that is not exact ----------------------------------------------------------------


def test_the_gap_is_measured_and_stays_open() -> None:
    fit = em(MeanField(), START, X, max_iter=50, tol=0.0)
    after_e = fit.trace.after_e_step
    assert fit.trace.kl[0] == pytest.approx(mean_field_gap(START, X)[0], rel=1e-10)
    assert fit.trace.kl[-1] == pytest.approx(mean_field_gap(fit.params, X)[0], abs=1e-12)
    # KL(q ‖ N(0, I)) of this q, not of the posterior.
    q, _ = MeanField().posterior(START, X)
    spread = np.sum(q.factor**2) - q.log_determinant - 2.0
    kl_to_prior = 0.5 * (spread + np.sum(q.means**2, axis=1).mean())
    assert fit.trace.kl_to_prior[0] == pytest.approx(kl_to_prior, rel=1e-12)
    np.testing.assert_array_equal(fit.trace.bounds, fit.trace.elbo[after_e])
    assert (np.diff(fit.trace.elbo) > -1e-12).all()
    assert "KL gap after an E-step" in str(fit.trace)


def test_an_inexact_posterior_that_is_called_exact_is_caught_at_the_start() -> None:
    model = MeanField()
    model.guarantee = Guarantee.EXACT  # type: ignore[misc]
    with pytest.raises(ELBODecreaseError, match="E-step of iteration 0"):
        em(model, START, X, max_iter=5)


@pytest.mark.parametrize("bound_check", ["raise", "off"])
@pytest.mark.parametrize("acceleration", [None, "squarem", "quasi_newton"])
@pytest.mark.parametrize("model", [MeanField(), MeanFieldWithoutEvidence()])
def test_bounds_stopping_and_acceleration_follow_the_elbo(
    model: Any, acceleration: Any, bound_check: Any
) -> None:
    fit = em(
        model, START, X, max_iter=500, tol=1e-9, acceleration=acceleration, bound_check=bound_check
    )
    assert fit.status is Status.CONVERGED
    assert (np.diff(fit.trace.bounds) >= -1e-12).all()
    plain = em(MeanField(), START, X, max_iter=2000, tol=1e-12)
    assert fit.trace.bounds[-1] == pytest.approx(plain.trace.bounds[-1], abs=1e-5)


def test_an_unknown_evidence_where_an_exact_one_is_promised_is_a_collapse() -> None:
    model = MeanFieldWithoutEvidence()
    model.guarantee = Guarantee.EXACT  # type: ignore[misc]
    with pytest.raises(CollapseError, match="no probability"):
        em(model, START, X, max_iter=5)


class Worse(MeanField):
    """Each E-step blurs q a little more: what is promised as monotone falls."""

    def __init__(self) -> None:
        self.n_calls = 0

    def posterior(self, params: PPCAParameters, X: Array) -> Any:
        posterior, log_evidence = super().posterior(params, X)
        self.n_calls += 1
        factor = 1.5**self.n_calls * posterior.factor
        spread = float(np.linalg.slogdet(factor @ factor.T)[1])
        return replace(posterior, factor=factor, log_determinant=spread), log_evidence


def test_a_bound_that_falls_is_caught_unless_it_may() -> None:
    with pytest.raises(ELBODecreaseError):
        em(Worse(), START, X, max_iter=20, tol=0.0)
    stochastic = Worse()
    stochastic.guarantee = Guarantee.STOCHASTIC  # type: ignore[misc]
    fit = em(stochastic, START, X, max_iter=20, tol=0.0)
    assert (np.diff(fit.trace.bounds) < 0.0).any()


def test_check_model_knows_the_guarantee() -> None:
    outcome = check_model(MeanField(), START, X[:30], gap=mean_field_gap)
    assert outcome["the gap against an independent one"] == "passed"
    assert outcome["Fisher's identity"].startswith("not made")
    block = Block(X[:30], np.ones(30))
    with pytest.raises(ModelCheckError, match="gap"):
        check_gap(MeanField(), START, block, lambda params, X: 1.01 * mean_field_gap(params, X))


class Refined(ProbabilisticPCA):
    """Parameters that have a gradient step of their own before each E-step."""

    def refine(self, params: PPCAParameters, total: Any) -> PPCAParameters:
        sums = total(lambda block: self.expectation(params, *block))
        return replace(params, mean=params.mean + 0.1 * sums.statistics.residual / sums.weight)


def test_refinement_has_its_passes_over_the_data() -> None:
    start = replace(START, mean=np.full(5, 3.0))
    fit = em(Refined(), start, Rows(X, block_size=30), max_iter=30, tol=0.0)
    assert fit.n_passes == 2 * 31
    assert (np.diff(fit.trace.bounds) > -1e-12).all()


def test_an_accelerator_of_ones_own() -> None:
    class Nothing:
        n_asked = 0

        def propose(self, params: Any, maximizer: Any) -> None:
            self.n_asked += 1

        def reject(self) -> None: ...

    mine = Nothing()
    fit = em(ProbabilisticPCA(), START, X, max_iter=7, tol=0.0, acceleration=mine)
    plain = em(ProbabilisticPCA(), START, X, max_iter=7, tol=0.0)
    assert mine.n_asked == 7
    np.testing.assert_array_equal(fit.trace.elbo, plain.trace.elbo)


# -- units that are not rows ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ClassParameters(Parameters):
    """A weight and a rate of each class, each rate in a record of its own."""

    weights: Array = simplex()
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, eq=False)
class Rate(Parameters):
    value: float = positive()


@dataclass(frozen=True, eq=False)
class ClassStatistics(Statistics):
    count: Array
    totals: tuple[Array, ...]
    log_factorials: float


class ClassesOfSequences(LatentVariableModel[ClassParameters, Responsibilities, ClassStatistics]):
    """Sequences of counts; all counts of a sequence have the rate of its class."""

    def posterior(self, params: ClassParameters, X: Sequences) -> tuple[Responsibilities, Array]:
        sums = np.array([sequence.sum() for sequence in X])
        lengths = np.array([len(sequence) for sequence in X])
        logs = np.stack(
            [xlogy(sums, rate.value) - lengths * rate.value for rate in params.rates], axis=1
        )
        logs += np.log(params.weights) - _log_factorials(X)[:, None]
        evidence = logsumexp(logs, axis=1)
        logs -= evidence[:, None]
        return Responsibilities(np.exp(logs), logs), evidence

    def statistics(
        self, params: ClassParameters, X: Sequences, posterior: Responsibilities, weights: Array
    ) -> ClassStatistics:
        shares = weights[:, None] * posterior.responsibilities
        sums = np.array([[sequence.sum(), len(sequence)] for sequence in X])
        log_factorials = float(weights @ _log_factorials(X))
        return ClassStatistics(shares.sum(axis=0), tuple(shares.T @ sums), log_factorials)

    def maximize(self, params: ClassParameters, stats: ClassStatistics) -> ClassParameters:
        rates = tuple(Rate(float(total / length)) for total, length in stats.totals)
        return ClassParameters(stats.count / stats.count.sum(), rates)

    def expected_log_joint(self, params: ClassParameters, stats: ClassStatistics) -> float:
        logs = [
            total * np.log(rate.value) - length * rate.value
            for (total, length), rate in zip(stats.totals, params.rates, strict=True)
        ]
        return float(stats.count @ np.log(params.weights) + sum(logs) - stats.log_factorials)

    def expected_log_likelihood(self, params: ClassParameters, stats: ClassStatistics) -> float:
        joint = self.expected_log_joint(params, stats)
        return float(joint - stats.count @ np.log(params.weights))


def _log_factorials(X: Sequences) -> Array:
    return np.array([gammaln(sequence + 1.0).sum() for sequence in X])


CLASSES = ClassParameters(np.array([0.4, 0.6]), (Rate(1.0), Rate(4.0)))
SEQUENCES = Sequences(
    [RNG.poisson(1 + 4 * (length % 2), size=(length, 1)) for length in range(1, 31)]
)


def by_both_classes(params: ClassParameters, X: Sequences) -> Array:
    from scipy.stats import poisson

    return np.array(
        [
            logsumexp(
                [
                    np.log(weight) + poisson.logpmf(sequence, rate.value).sum()
                    for weight, rate in zip(params.weights, params.rates, strict=True)
                ]
            )
            for sequence in X
        ]
    )


def test_check_model_takes_sequences_and_tuples() -> None:
    outcome = check_model(ClassesOfSequences(), CLASSES, SEQUENCES, log_evidence=by_both_classes)
    made = {name: result for name, result in outcome.items() if not result.startswith("not made")}
    assert len(made) == len(outcome) - 1  # it has no method sample
    assert set(made.values()) == {"passed"}


def test_sequences_in_blocks_and_threads() -> None:
    model, weights = ClassesOfSequences(), RNG.uniform(0.5, 2.0, size=30)
    whole = expect(model, CLASSES, [Block(SEQUENCES, weights)])
    blocks = UnitBlocks(SEQUENCES, weights, block_size=4)
    assert len(blocks) == 8
    with Threads(3) as executor:
        found = expect(model, CLASSES, blocks, executor)
    alone = expect(model, CLASSES, blocks)
    assert found.log_evidence == alone.log_evidence
    assert found.log_evidence == pytest.approx(whole.log_evidence, rel=1e-13)
    np.testing.assert_allclose(np.array(found.statistics.totals), whole.statistics.totals)


def test_em_takes_units_without_blocks() -> None:
    model = ClassesOfSequences()
    fit = em(model, CLASSES, SEQUENCES, max_iter=5, tol=0.0)
    whole = em(model, CLASSES, UnitBlocks(SEQUENCES), max_iter=5, tol=0.0)
    np.testing.assert_array_equal(fit.trace.elbo, whole.trace.elbo)
    assert expect(model, CLASSES, SEQUENCES).weight == 30.0
    assert expect(ProbabilisticPCA(), START, X).weight == 200.0
    of_frame = em(ProbabilisticPCA(), START, pd.DataFrame(X), max_iter=2)
    of_array = em(ProbabilisticPCA(), START, X, max_iter=2)
    np.testing.assert_array_equal(of_frame.trace.elbo, of_array.trace.elbo)


def test_a_list_of_arrays_is_no_list_of_blocks() -> None:
    sequences = list(SEQUENCES)
    with pytest.raises(TypeError, match=r"got a list of ndarray.*Sequences\(\[\.\.\.\]\)"):
        em(ClassesOfSequences(), CLASSES, sequences)
    with pytest.raises(TypeError, match="got a list of float"):
        expect(ProbabilisticPCA(), START, [1.0, 2.0])


def test_tuples_of_parameters_and_statistics() -> None:
    vector = CLASSES.to_vector()
    np.testing.assert_allclose(vector, [np.log(0.4 / 0.6), 0.0, np.log(4.0)])
    assert CLASSES.from_vector(vector).allclose(CLASSES)
    other = CLASSES.from_vector(vector + 0.1)
    assert other.rates[1].value == pytest.approx(4.0 * np.exp(0.1))
    assert not other.allclose(CLASSES)
    again = pickle.loads(pickle.dumps(CLASSES))
    assert again.allclose(CLASSES)
    arrays = (np.ones(2), np.arange(2.0))
    twice = 2 * ClassStatistics(np.ones(2), arrays, 1.0)
    assert len(twice.totals) == 2
    np.testing.assert_array_equal((twice + twice).totals[1], [0.0, 4.0])


def test_what_is_known_needs_a_model_that_understands_it() -> None:
    with pytest.raises(TypeError, match=r"ProbabilisticPCA does not take units .* known in part"):
        em(ProbabilisticPCA(), START, Rows(X, known=np.zeros(200)), max_iter=1)


def test_labels_are_what_a_block_says_is_known() -> None:
    counts = np.array([[0.0], [0.0], [9.0]])
    params = MixtureParameters(np.array([0.5, 0.5]), PoissonRates(np.array([[1.0], [3.0]])))
    labels = np.array([-1, 1, 0])
    found = expect(Mixture(Poisson()), params, Rows(counts, known=labels))
    expected = [-1.0, -3.0 + np.log(0.5), -1.0 - gammaln(10.0) + np.log(0.5)]
    expected[0] = float(np.logaddexp(-1.0, -3.0) + np.log(0.5))
    assert found.log_evidence == pytest.approx(sum(expected), rel=1e-14)


@pytest.mark.parametrize("weights", [np.ones(3), -np.ones(30)])
def test_weights_of_units_are_checked(weights: Array) -> None:
    with pytest.raises(ValueError, match="30 non-negative weights, one for each unit"):
        UnitBlocks(SEQUENCES, weights)

"""The conformance suite on every model, and on models broken on purpose, which it must catch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, poisson

from em_toolkit import testing
from em_toolkit.data import Block
from em_toolkit.engine import Rows
from em_toolkit.engine.em import em
from em_toolkit.families import (
    Box,
    DiagonalCovariances,
    FixedComponents,
    FullCovariances,
    Gaussian,
    GaussianComponents,
    GaussianStatistics,
    Poisson,
    PoissonRates,
    SphericalCovariances,
    TiedCovariances,
    WithNoise,
)
from em_toolkit.model import Expectation, LatentVariableModel
from em_toolkit.models import (
    Mixture,
    MixtureParameters,
    PPCAParameters,
    ProbabilisticPCA,
)
from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.models.mixture import Responsibilities
from em_toolkit.priors import Moments, NormalInverseWishart, NormalMeans
from em_toolkit.testing import ModelCheckError, by_enumeration, by_integration, check_model

WEIGHTS = np.array([0.5, 0.2, 0.3])
_BOX = Box(np.array([0.5, 0.5]), np.eye(2), np.array([60.0, 80.0]), np.array([60.0, 80.0]))


def _rows(n=40, d=2):
    rng = np.random.default_rng(0)
    return np.vstack(
        [rng.normal(-1.0, 1.0, (n // 2, d)), rng.normal([2.0] * d, 0.5, (n - n // 2, d))]
    )


def _covariances(structure, d=2):
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((3, d, d + 2))
    matrices = factors @ factors.transpose(0, 2, 1)
    return {
        FullCovariances: FullCovariances(matrices),
        TiedCovariances: TiedCovariances(matrices[:1], 3),
        DiagonalCovariances: DiagonalCovariances(np.diagonal(matrices, axis1=1, axis2=2)),
        SphericalCovariances: SphericalCovariances(matrices[:, :1, 0], d),
    }[structure]


def _dense(covariances: Any, k: int) -> Any:
    d = covariances.n_features
    return {
        FullCovariances: lambda: covariances.values[k],
        TiedCovariances: lambda: covariances.values[0],
        DiagonalCovariances: lambda: np.diag(covariances.values[k]),
        SphericalCovariances: lambda: covariances.values[k, 0] * np.eye(d),
    }[type(covariances)]()


def _gaussian_log_joint(params, X, k):
    components = params.components
    density = multivariate_normal(components.means[k], _dense(components.covariances, k))
    return np.log(params.weights[k]) + np.atleast_1d(density.logpdf(X))


def _poisson_log_joint(params, X, k):
    density = poisson(params.components.rates[k]).logpmf(X).sum(axis=1)
    return np.log(params.weights[k]) + density


def _ppca_log_joint(params, X, z):
    noise = params.noise_variance
    errors = X - params.mean - params.loadings @ z
    seen = -0.5 * (np.log(2.0 * np.pi * noise) + errors**2 / noise).sum(axis=1)
    return seen - 0.5 * (np.log(2.0 * np.pi) + z**2).sum()


def _gaussian_case(structure, floor=0.0, d=2):
    means = np.array([[-1.0] * d, [0.5] * d, [2.0] * d])
    params = MixtureParameters(WEIGHTS, GaussianComponents(means, _covariances(structure, d=d)))
    model = Mixture(Gaussian(structure, floor=floor))
    return model, params, _rows(d=d), by_enumeration(_gaussian_log_joint, [0, 1, 2])


def _conjugate_case(structure, shrinkage, d=2):
    """Normal-inverse-Wishart and Dirichlet priors."""
    _, params, X, oracle = _gaussian_case(structure, d=d)
    moments = Moments.of(Rows(X))
    prior = NormalInverseWishart(shrinkage).for_data(moments, structure, 3)
    mixing = MixingWeights(np.array([1.5, 4.0, 1.0]))
    return Mixture(Gaussian(structure, prior), mixing), params, X, oracle


def _means_case(structure, d=2):
    """A normal prior of the means, which does not scale with the covariances."""
    _, params, X, oracle = _gaussian_case(structure, d=d)
    prior = NormalMeans(np.full(d, 5.0), 0.05 * (np.eye(d) + 0.5))
    resolved = prior.for_data(Moments.of(Rows(X)), structure, 3)
    return Mixture(Gaussian(structure, resolved)), params, X, oracle


def _fixed_case(structure, prior=None):
    """A mean, a covariance and a weight held fixed; all covariances where they are shared."""
    _, params, X, oracle = _gaussian_case(structure)
    first, last = np.array([True, False, False]), np.array([False, False, True])
    fixed = FixedComponents(first, last | (structure is TiedCovariances))
    mixing = MixingWeights(2.0, np.array([False, True, False]))
    return Mixture(Gaussian(structure, prior, fixed), mixing), params, X, oracle


def _fixed_with_prior(structure):
    return _fixed_case(structure, _conjugate_case(structure, 0.8)[0].family.prior)


def _poisson_case():
    rates = np.array([[1.0, 4.0], [3.0, 0.5], [7.0, 2.0]])
    X = np.random.default_rng(2).poisson(3.0, (40, 2)).astype(np.float64)
    oracle = by_enumeration(_poisson_log_joint, [0, 1, 2])
    return Mixture(Poisson()), MixtureParameters(WEIGHTS, PoissonRates(rates)), X, oracle


def _ppca_case(n_components):
    rng = np.random.default_rng(3)
    params = PPCAParameters(rng.normal(size=4), rng.normal(size=(4, n_components)), 0.8)
    return (
        ProbabilisticPCA(),
        params,
        rng.normal(size=(30, 4)),
        by_integration(_ppca_log_joint, n_components),
    )


def _labelled_case(structure):
    """A third of the rows with a known component."""
    mixture, params, X, plain = _gaussian_case(structure)
    labels = np.where(np.arange(len(X)) % 3 == 0, np.arange(len(X)) // 3 % 3, -1)

    def log_evidence(params, X):
        of_components = np.stack([_gaussian_log_joint(params, X, k) for k in range(3)])
        known = np.take_along_axis(of_components, labels[None], axis=0)[0]
        return np.where(labels >= 0, known, plain(params, X))

    return mixture, params, X, log_evidence, labels


def _noise_case(structure):
    """The box holds the components, so that 1/V is a density wherever rows are drawn."""
    _, params, X, _ = _gaussian_case(structure)
    noisy = MixtureParameters(np.array([0.4, 0.1, 0.2, 0.3]), params.components)

    def log_joint(params, X, k):
        if k < 3:
            return _gaussian_log_joint(params, X, k)
        return np.full(len(X), np.log(params.weights[3] / 4800.0))

    model = Mixture(Gaussian(structure)).with_noise(_BOX)
    return model, noisy, X, by_enumeration(log_joint, [0, 1, 2, 3])


STRUCTURES = [FullCovariances, TiedCovariances, DiagonalCovariances, SphericalCovariances]
CASES = {
    **{s.__name__: lambda s=s: _gaussian_case(s) for s in STRUCTURES},
    **{f"{s.__name__} on the floor": lambda s=s: _gaussian_case(s, 0.7) for s in STRUCTURES},
    **{f"{s.__name__} in one feature": lambda s=s: _gaussian_case(s, d=1) for s in STRUCTURES},
    **{f"{s.__name__} with noise": lambda s=s: _noise_case(s) for s in STRUCTURES},
    **{f"{s.__name__} partly labelled": lambda s=s: _labelled_case(s) for s in STRUCTURES},
    **{f"{s.__name__} conjugate": lambda s=s: _conjugate_case(s, 0.8) for s in STRUCTURES},
    **{f"{s.__name__} unshrunken": lambda s=s: _conjugate_case(s, 0.0) for s in STRUCTURES},
    **{f"{s.__name__} conjugate in 1": lambda s=s: _conjugate_case(s, 2.0, 1) for s in STRUCTURES},
    **{f"{s.__name__} means": lambda s=s: _means_case(s) for s in STRUCTURES},
    **{f"{s.__name__} means in 1": lambda s=s: _means_case(s, 1) for s in STRUCTURES},
    **{f"{s.__name__} fixed": lambda s=s: _fixed_case(s) for s in STRUCTURES},
    **{f"{s.__name__} fixed with a prior": lambda s=s: _fixed_with_prior(s) for s in STRUCTURES},
    "Poisson": _poisson_case,
    "Poisson fixed": lambda: (
        Mixture(Poisson(np.array([True, False, False])), MixingWeights(2.0, np.arange(3) == 1)),
        *_poisson_case()[1:],
    ),
    "PPCA of 1": lambda: _ppca_case(1),
    "PPCA of 2": lambda: _ppca_case(2),
}


@pytest.mark.parametrize("name", CASES)
def test_model_conforms(name):
    model, params, X, oracle, *known = CASES[name]()
    outcome = check_model(model, params, X, log_evidence=oracle, known=known[0] if known else None)
    assert set(outcome.values()) == {"passed"}


def _reconstruction_of_mixture(log_joint):
    """Σ_k r_ik log p(x_i | k), by enumeration."""

    def reconstruction(params, X):
        joint = np.stack([log_joint(params, X, k) for k in range(3)], axis=1)
        return np.sum(softmax(joint, axis=1) * (joint - np.log(params.weights)), axis=1)

    return reconstruction


def _reconstruction_of_ppca(params, X):
    """E[log p(x | z)] by Gauss and Hermite: a polynomial of the second degree in z."""
    W, noise, n_components = params.loadings, params.noise_variance, params.loadings.shape[1]
    gain = np.linalg.solve(W @ W.T + noise * np.eye(len(W)), W).T
    spread = np.linalg.cholesky(np.eye(n_components) - gain @ W)
    nodes, shares = np.polynomial.hermite_e.hermegauss(3)
    total = np.zeros(len(X))
    for places in np.ndindex(*[3] * n_components):
        z = (X - params.mean) @ gain.T + spread @ nodes[list(places)]
        density = multivariate_normal(cov=noise * np.eye(len(W))).logpdf(X - params.mean - z @ W.T)
        total += np.prod(shares[list(places)]) * density
    return total / np.sqrt(2.0 * np.pi) ** n_components


RECONSTRUCTIONS = {
    **{s.__name__: _reconstruction_of_mixture(_gaussian_log_joint) for s in STRUCTURES},
    "Poisson": _reconstruction_of_mixture(_poisson_log_joint),
    "PPCA of 1": _reconstruction_of_ppca,
    "PPCA of 2": _reconstruction_of_ppca,
}


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_the_reconstruction_is_that_of_an_oracle(name):
    model, params, X, _ = CASES[name]()
    block = Block(X, np.linspace(0.5, 2.0, len(X)))
    testing.check_terms(model, params, block, RECONSTRUCTIONS[name])


def test_a_model_need_not_know_its_reconstruction():
    class Silent(_Full):
        expected_log_likelihood = LatentVariableModel.expected_log_likelihood

    _, params, X, oracle = CASES["FullCovariances"]()
    outcome = check_model(Silent(), params, X, log_evidence=oracle)
    not_made = {name: words for name, words in outcome.items() if words != "passed"}
    assert list(not_made.values()) == ["not made: the model has no method expected_log_likelihood"]
    trace = em(Silent(), params, X, max_iter=2).trace
    assert np.isnan(trace.reconstruction).all()
    assert np.isnan(trace.kl_to_prior).all()
    with pytest.raises(ModelCheckError, match="terms"):
        check_model(Silent(), params, X, reconstruction=RECONSTRUCTIONS["FullCovariances"])


def test_check_model_says_what_it_did_not_check():
    model, params, X, _ = _poisson_case()
    outcome = check_model(model, params, X)
    assert outcome["evidence against an independent one"].startswith("not made")


# -- models broken on purpose -------------------------------------------------------------------


class _Full(Mixture[Any]):
    def __init__(self, family=None):
        super().__init__(Gaussian(FullCovariances) if family is None else family)


class InflatedScale(Gaussian):
    """An M-step whose covariances are too large by a factor."""

    factor = 1.05

    def maximize(self, components, stats):
        best = super().maximize(components, stats)
        covariances = replace(best.covariances, values=self.factor * best.covariances.values)
        return replace(best, covariances=covariances)


class HardlyInflatedScale(InflatedScale):
    factor = 1.0 + 1e-4


class ScikitLearnRegularization(Gaussian):
    """S_k + ε I, which maximizes neither the likelihood nor this prior."""

    def maximize(self, components, stats):
        best = super().maximize(components, stats)
        values = best.covariances.values + 1e-2 * np.eye(best.means.shape[1])
        return replace(best, covariances=replace(best.covariances, values=values))


class UnshiftedStatistics(GaussianStatistics):
    def scatter_about(self, means, structure):
        return self.second_moment


class ForgottenShift(Gaussian):
    """A scatter about the old mean instead of the new one."""

    def statistics(self, components, X, responsibilities, within=None):
        return UnshiftedStatistics(**vars(super().statistics(components, X, responsibilities)))


class WrongSign(Gaussian):
    """Means moved to the wrong side of the origin."""

    def maximize(self, components, stats):
        return super().maximize(components, replace(stats, first_moment=-stats.first_moment))


class StrayingMean(Gaussian):
    """A fixed mean that creeps from where it was."""

    def maximize(self, components, stats):
        best = super().maximize(components, stats)
        shift = 0.01 * self.fixed.means[:, None]
        return replace(best, means=best.means + shift)


class ScatterAboutTheFreeMean(Gaussian):
    """A mean held fixed, and the covariance that belongs to the one that would be best."""

    def maximize(self, components, stats):
        free = Gaussian(self.structure, self.prior).maximize(components, stats)
        return self.project(free, components)


class TemperedPosterior(_Full):
    """Responsibilities to the power 0.9: EM on them still looks plausible."""

    def posterior(self, params, X):
        posterior, log_evidence = super().posterior(params, X)
        logs = 0.9 * posterior.log_responsibilities
        logs -= logsumexp(logs, axis=1, keepdims=True)
        return Responsibilities(np.exp(logs), logs), log_evidence


class NoEntropy(_Full):
    """The entropy of the posterior forgotten."""

    def posterior(self, params, X):
        posterior, log_evidence = super().posterior(params, X)
        return Responsibilities(
            posterior.responsibilities, np.zeros((*posterior.entropy.shape, 3))
        ), log_evidence


class MissingConstant(Gaussian):
    """log 2π left out of the density and of the energy alike: only an oracle sees it."""

    def posterior(self, components, X):
        within, log_density = super().posterior(components, X)
        return within, log_density + 0.5 * X.shape[1] * np.log(2.0 * np.pi)

    def expected_log_density(self, components, stats):
        constant = 0.5 * components.means.shape[1] * np.log(2.0 * np.pi)
        return super().expected_log_density(components, stats) + constant * stats.count.sum()


class ForgottenWeights(_Full):
    """An evidence without the weights of the components."""

    def posterior(self, params, X):
        posterior, _ = super().posterior(params, X)
        log_density = self.family.log_density(params.components, X)
        return posterior, logsumexp(log_density, axis=1) - np.log(3.0)


class CenteredOnTheBlock(_Full):
    """Moments about the mean of the block."""

    def statistics(self, params, X, posterior, weights):
        return super().statistics(params, X - X.mean(axis=0), posterior, weights)


class UnweightedMoments(_Full):
    """Weights that reach the evidence and not the moments."""

    def statistics(self, params, X, posterior, weights):
        return super().statistics(params, X, posterior, np.ones_like(weights))


class FusedWithoutWeights(_Full):
    """A fused E-step that forgets the weights of the units."""

    def expectation(self, params, X, weights, known=None):
        return super().expectation(params, X, np.ones_like(weights), known)


class NoiseWithoutVolume(WithNoise):
    """An energy that takes the volume of the noise for one."""

    def expected_log_density(self, components, stats):
        return self.family.expected_log_density(components, stats.signal)


class NoiseInTheMoments(WithNoise):
    """Moments of a component that holds the noise as well."""

    def statistics(self, components, X, responsibilities, within=None):
        stats = super().statistics(components, X, responsibilities, within)
        taken = responsibilities.copy()
        taken[:, 0] += taken[:, -1]
        return replace(stats, signal=super().statistics(components, X, taken, within).signal)


class LabelsOfTheEvidenceAlone(_Full):
    """Labelled rows whose statistics are those of rows without labels."""

    def posterior_given(self, params, X, known):
        return self.posterior(params, X)[0], super().posterior_given(params, X, known)[1]


class LabelsOfTheMomentsAlone(_Full):
    """An evidence of rows, not of rows and labels."""

    def posterior_given(self, params, X, known):
        return super().posterior_given(params, X, known)[0], self.posterior(params, X)[1]


class MomentsThatStay(Gaussian):
    """Statistics that take another origin for their own, and stay as they are."""

    def about(self, components, stats):
        return replace(stats, origin=components.means)


class WrongShift(Gaussian):
    """Second moments that move to another origin by the wrong sign."""

    def about(self, components, stats):
        return replace(super().about(components, replace(stats, first_moment=-stats.first_moment)))


class SpreadOfTheParameters(ProbabilisticPCA):
    """Statistics whose latent spread is that of the parameters, not of the posterior given."""

    def statistics(self, params, X, posterior, weights):
        own = replace(posterior, factor=params.posterior_factor)
        return super().statistics(params, X, own, weights)


class VarianceForDeviation(_Full):
    """Samples spread by the variance instead of the standard deviation."""

    def sample(self, params, n_rows, rng):
        X, labels = super().sample(params, n_rows, rng)
        means = params.components.means[labels]
        scale = np.sqrt(params.components.covariances.variances[labels])
        return means + scale * (X - means), labels


class NoPosteriorCovariance(ProbabilisticPCA):
    """Statistics of the posterior means alone."""

    def statistics(self, params, X, posterior, weights):
        return super().statistics(
            params, X, replace(posterior, factor=0.0 * posterior.factor), weights
        )


class ScoredElsewhere(ProbabilisticPCA):
    """An evidence at twice the noise."""

    def expectation(self, params, X, weights, known=None):
        found = super().expectation(params, X, weights)
        louder = replace(params, noise_variance=2.0 * params.noise_variance)
        return Expectation(
            found.statistics,
            found.entropy,
            float(weights @ self.posterior(louder, X)[1]),
            found.weight,
        )


class JointForLikelihood(_Full):
    """The weights of the components in the density of the rows."""

    def expected_log_likelihood(self, params, stats):
        density = self.family.expected_log_density(params.components, stats)
        return density + float(np.sum(stats.count * params.log_weights))


class LikelihoodWithoutConstant(_Full):
    """½ d log 2π left out of the second form: only an oracle sees it."""

    def expected_log_likelihood(self, params, stats):
        constant = 0.5 * params.components.means.shape[1] * np.log(2.0 * np.pi)
        return super().expected_log_likelihood(params, stats) + constant * stats.count.sum()


class LikelihoodAtTheMean(ProbabilisticPCA):
    """E[log p(x | z)] for log p(x | E[z]): the spread of z is left out."""

    def expected_log_likelihood(self, params, stats):
        spread = params.loadings @ params.posterior_factor
        lost = stats.count * np.sum(spread**2) / params.noise_variance
        return super().expected_log_likelihood(params, stats) + 0.5 * lost


FIRST_MEAN = FixedComponents(means=np.array([True, False, False]))
BROKEN = {
    "maximize": [
        ("FullCovariances", _Full(InflatedScale())),
        ("FullCovariances", _Full(HardlyInflatedScale())),
        ("FullCovariances", _Full(ScikitLearnRegularization())),
        ("FullCovariances", _Full(WrongSign())),
        ("FullCovariances fixed", _Full(StrayingMean(fixed=FIRST_MEAN))),
        ("FullCovariances fixed", _Full(ScatterAboutTheFreeMean(fixed=FIRST_MEAN))),
    ],
    "Fisher": [
        ("FullCovariances", ForgottenWeights()),
        ("FullCovariances", _Full(ForgottenShift())),
        ("FullCovariances", TemperedPosterior()),
        ("FullCovariances partly labelled", LabelsOfTheEvidenceAlone()),
        ("FullCovariances with noise", _Full(NoiseInTheMoments(Gaussian(), _BOX))),
        ("FullCovariances partly labelled", LabelsOfTheMomentsAlone()),
        ("PPCA of 2", NoPosteriorCovariance()),
        ("PPCA of 2", ScoredElsewhere()),
    ],
    "evidence": [("FullCovariances", _Full(MissingConstant()))],
    "sums: blocks": [("FullCovariances", CenteredOnTheBlock())],
    "sums: expectation": [("FullCovariances", FusedWithoutWeights())],
    "sums: units": [("FullCovariances", UnweightedMoments())],
    "sums: moving": [
        ("FullCovariances", _Full(MomentsThatStay())),
        ("FullCovariances", _Full(WrongShift())),
        ("PPCA of 2", SpreadOfTheParameters()),
    ],
    "sample": [("FullCovariances", VarianceForDeviation())],
    "posterior": [
        ("FullCovariances", NoEntropy()),
        ("FullCovariances with noise", _Full(NoiseWithoutVolume(Gaussian(), _BOX))),
    ],
}

CHECKS = {
    "maximize": lambda m, p, block, o, rng: testing.check_maximize(m, p, block, rng),
    "Fisher": lambda m, p, block, o, rng: testing.check_fisher_identity(m, p, block),
    "evidence": lambda m, p, block, o, rng: testing.check_evidence(m, p, block, o),
    "sums: blocks": lambda m, p, block, o, rng: testing.check_blocks(m, p, block),
    "sums: expectation": lambda m, p, block, o, rng: testing.check_blocks(m, p, block),
    "sums: units": lambda m, p, block, o, rng: testing.check_weights(m, p, block),
    "sums: moving": lambda m, p, block, o, rng: testing.check_about(m, p, block, rng),
    "sample": lambda m, p, block, o, rng: testing.check_sample(m, p, rng),
    "posterior": lambda m, p, block, o, rng: testing.check_posterior(m, p, block, rng),
}
CONTROLS = [(check, case, model) for check, pairs in BROKEN.items() for case, model in pairs]


@pytest.mark.parametrize(
    ("check", "case", "broken"),
    CONTROLS,
    ids=[
        f"{c}-{type(getattr(m, 'family', m)).__name__}-{type(m).__name__}" for c, _, m in CONTROLS
    ],
)
def test_broken_model_is_caught(check, case, broken):
    """By the check that is there for it, and by the suite as a whole."""
    _, params, X, oracle, *known = CASES[case]()
    labels = known[0] if known else None
    block = Block(X, np.random.default_rng(4).uniform(0.5, 2.0, X.shape[0]), labels)
    with pytest.raises(ModelCheckError, match=check.split(":")[0]):
        CHECKS[check](broken, params, block, oracle, np.random.default_rng(5))
    with pytest.raises(ModelCheckError):
        check_model(broken, params, X, log_evidence=oracle, known=labels)


@pytest.mark.parametrize(
    ("case", "broken", "words"),
    [
        ("FullCovariances", JointForLikelihood(), "terms: of unit .* KL"),
        ("FullCovariances", LikelihoodWithoutConstant(), "terms: unit .* independently"),
        ("PPCA of 2", LikelihoodAtTheMean(), "terms: unit .* independently"),
    ],
)
def test_broken_terms_are_caught(case, broken, words):
    """The bound itself is right: nothing else can see it."""
    _, params, X, oracle = CASES[case]()
    with pytest.raises(ModelCheckError, match=words):
        check_model(broken, params, X, log_evidence=oracle, reconstruction=RECONSTRUCTIONS[case])

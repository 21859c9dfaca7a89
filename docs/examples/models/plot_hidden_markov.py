"""
A hidden Markov model of any family
===================================

A sequence is a unit. Forward, the model filters: p(z_t | x_1..t). Backward, it smooths by the
conditional distributions p(z_t | z_{t+1}, x_1..t), each normalized by itself, so that no digit is
lost along the way. The emissions are any family; here normal ones.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import entr, logsumexp, xlogy

from em_toolkit import LatentVariableModel, Parameters, Statistics, check_model, em
from em_toolkit.covariances import DiagonalCovariances
from em_toolkit.data import Sequences, UnitBlocks
from em_toolkit.families import Gaussian, GaussianComponents
from em_toolkit.parameters import real, simplex


@dataclass(frozen=True, eq=False)
class Chain(Parameters):
    """Probabilities of the first state and of transitions, and the emissions."""

    initial_probs: np.ndarray = simplex()
    transition_matrix: np.ndarray = simplex()
    emissions: Parameters = real()


@dataclass(frozen=True, eq=False)
class ChainStatistics(Statistics):
    """Expected first states and transitions, and the statistics of the emissions."""

    first: np.ndarray
    transitions: np.ndarray
    emissions: Statistics


@dataclass(frozen=True)
class Paths:
    """The posterior of the states of each sequence."""

    states: list
    transitions: list
    within: list
    entropy: np.ndarray


class HiddenMarkov(LatentVariableModel):
    """States that follow each other as a Markov chain, and emissions of one family."""

    def __init__(self, family):
        self.family = family

    def posterior(self, params, X):
        found = [self._smoothed(params, sequence) for sequence in X]
        states, transitions, within, entropy, log_evidence = zip(*found, strict=True)
        return Paths(states, transitions, within, np.array(entropy)), np.array(log_evidence)

    def _smoothed(self, params, sequence):
        within, log_density = self.family.posterior(params.emissions, sequence)
        A = params.transition_matrix
        predicted, filtered, log_evidence = np.log(params.initial_probs), [], 0.0
        for row in log_density:
            step = logsumexp(predicted + row)
            filtered.append(np.exp(predicted + row - step))
            log_evidence += step
            predicted = np.log(filtered[-1] @ A)
        states = [filtered[-1]]
        entropy, transitions = entr(states[0]).sum(), np.zeros_like(A)
        for earlier in filtered[-2::-1]:
            joint = earlier[:, None] * A
            back = joint / joint.sum(axis=0)  # p(z_t | z_{t+1}, x_1..t), in columns
            pairs = back * states[0]
            entropy += np.sum(entr(back) * states[0])
            transitions += pairs
            states.insert(0, pairs.sum(axis=1))
        states = np.array(states)
        if within is not None:
            entropy += np.sum(states * within.entropy)
        return states, transitions, within, entropy, log_evidence

    def statistics(self, params, X, posterior, weights):
        parts = [
            ChainStatistics(
                weight * states[0],
                weight * transitions,
                self.family.statistics(params.emissions, sequence, weight * states, within),
            )
            for sequence, states, transitions, within, weight in zip(
                X, posterior.states, posterior.transitions, posterior.within, weights, strict=True
            )
        ]
        return sum(parts[1:], start=parts[0])

    def maximize(self, params, stats):
        return Chain(
            stats.first / stats.first.sum(),
            stats.transitions / stats.transitions.sum(axis=1, keepdims=True),
            self.family.maximize(params.emissions, stats.emissions),
        )

    def expected_log_joint(self, params, stats):
        path = xlogy(stats.first, params.initial_probs).sum()
        path += xlogy(stats.transitions, params.transition_matrix).sum()
        return float(path) + self.family.expected_log_density(params.emissions, stats.emissions)

    def about(self, params, stats):
        emissions = self.family.about(params.emissions, stats.emissions)
        return ChainStatistics(stats.first, stats.transitions, emissions)

    def rounding_error(self, params, stats):
        own = super().rounding_error(params, stats)
        return own + self.family.rounding_error(params.emissions, stats.emissions)


# %%
# The evidence of short sequences is checked against the sum over all paths of states.


def by_all_paths(params, X):
    """Sum p(x, z) over every path z of two states."""
    found = []
    for sequence in X:
        log_density = Gaussian(DiagonalCovariances).log_density(params.emissions, sequence)
        terms = []
        for path in np.ndindex(*[2] * len(sequence)):
            moves = params.transition_matrix[path[:-1], path[1:]]
            prior = np.log(params.initial_probs[path[0]]) + np.log(moves).sum()
            terms.append(prior + log_density[np.arange(len(path)), path].sum())
        found.append(logsumexp(terms))
    return np.array(found)


rng = np.random.default_rng(0)
model = HiddenMarkov(Gaussian(DiagonalCovariances))
start = Chain(
    np.array([0.5, 0.5]),
    np.array([[0.8, 0.2], [0.3, 0.7]]),
    GaussianComponents(np.array([[-1.0], [1.0]]), DiagonalCovariances(np.array([[1.0], [0.5]]))),
)
short = Sequences([rng.normal(size=(length, 1)) for length in rng.integers(1, 7, size=20)])
for check, outcome in check_model(model, start, short, log_evidence=by_all_paths).items():
    print(f"{check}: {outcome}")

# %%
# Three long sequences of a chain that stays where it is nineteen times out of twenty.

sequences = []
for _ in range(3):
    states = np.cumsum(rng.random(300) < 0.05) % 2
    sequences.append((2.0 * states - 1.0 + rng.normal(size=300))[:, None])
data = Sequences(sequences)
fit = em(model, start, UnitBlocks(data), tol=1e-8, max_iter=500)
print(fit.params.transition_matrix.round(3))

posterior, _ = model.posterior(fit.params, data)
figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.plot(data[0], ".", color="0.6", label="observed")
ax.plot(3.0 * posterior.states[0][:, 1] - 1.5, label="probability of the second state (scaled)")
ax.set(xlabel="time", ylim=(-5.5, 5.5))
ax.legend(frameon=False, loc="upper right")

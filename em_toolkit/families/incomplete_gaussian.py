"""Normal components for rows of which some entries are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.completion import Completion
from em_toolkit.covariances.patterns import Patterns, Runs
from em_toolkit.families.base import Family, total_responsibilities
from em_toolkit.families.gaussian import Gaussian, GaussianComponents, GaussianStatistics
from em_toolkit.statistics import (
    EPS,
    Array,
    IntArray,
    RandomSource,
    sum_by_pairs,
    sum_of_products,
)

_LOG_2_PI = float(np.log(2.0 * np.pi))
# Numbers in the matrices of the runs of rows that are held at a time.
_AT_ONCE = 2**20


@dataclass(frozen=True, eq=False)
class MissingEntries:
    """The posterior of the missing entries of rows, given the component.

    Parameters
    ----------
    entropy : ndarray of shape (n_rows, n_components)
        In nats; 0 for a row that misses nothing.
    components : GaussianComponents
        Those of which it is the posterior.
    """

    entropy: Array
    components: GaussianComponents


class IncompleteGaussian(Family[GaussianComponents, GaussianStatistics]):
    r"""A Gaussian family for rows with NaN entries, which are latent variables.

    With o the observed features of a row and m the missing ones, the density of what was seen is

    .. math:: \log p(x_o \mid k) = -\tfrac12 \left[ |o| \log 2\pi + \log |\Sigma_{k,oo}|
              + (x_o - \mu_{k,o})^\top \Sigma_{k,oo}^{-1} (x_o - \mu_{k,o}) \right],

    0 for a row of which nothing was. The posterior of what is missing is normal too, with

    .. math:: \hat x_m = \mu_{k,m} + \Sigma_{k,mo} \Sigma_{k,oo}^{-1} (x_o - \mu_{k,o}), \qquad
              C_{k,mm} = \Sigma_{k,mm} - \Sigma_{k,mo} \Sigma_{k,oo}^{-1} \Sigma_{k,om}

    and entropy ½ (|m| log 2πe + log |C_mm|). The expected second moment is that of the rows with
    x̂ in the place of what is missing, *and* Σ_i r_ik C_ik, without which the variances would be
    too small (Ghahramani & Jordan 1994, NIPS 6; Little & Rubin 2002, section 11.2). The M-step is
    that of complete rows. Ignoring why entries are missing is right if they are missing at random:
    if whether an entry is missing depends on observed values alone (Rubin 1976).

    The work of a pattern of missing entries is done once for all rows of a block that have it.

    Parameters
    ----------
    complete : Gaussian
        The family of complete rows: its structure, its prior and its M-step are this one's.
    """

    def __init__(self, complete: Gaussian) -> None:
        self.complete = complete

    @property
    def structure(self) -> type[Covariances]:
        """How the covariance matrices share their entries."""
        return self.complete.structure

    def incomplete(self) -> IncompleteGaussian:
        return self

    def posterior(self, components: GaussianComponents, X: Array) -> tuple[MissingEntries, Array]:
        log_density = np.empty((X.shape[0], components.means.shape[0]))
        entropy = np.empty_like(log_density)
        for rows, runs, completion in completions(components, X):
            n_missing = (~runs.observed).sum(axis=1)[:, None]
            of_runs = n_missing * (1.0 + _LOG_2_PI) + completion.log_determinants_of_missing
            entropy[rows] = np.repeat(0.5 * of_runs, runs.lengths, axis=0)
            constants = runs.observed.sum(axis=1)[:, None] * _LOG_2_PI
            constants = constants + completion.log_determinants
            log_density[rows] = np.repeat(constants, runs.lengths, axis=0)
            for k, deviations in about_means(components, X[rows]):
                whitened = completion.whiten(deviations, k)
                log_density[rows, k] += np.einsum("ij,ij->i", whitened, whitened)
        log_density *= -0.5
        return MissingEntries(entropy, components), log_density

    def statistics(
        self,
        components: GaussianComponents,
        X: Array,
        responsibilities: Array,
        within: MissingEntries | None = None,
    ) -> GaussianStatistics:
        given = components if within is None else within.components
        stats = sum_by_pairs(
            self._statistics(given, X[rows], responsibilities[rows], runs, completion)
            for rows, runs, completion in completions(given, X)
        )
        return stats if given is components else self.about(components, stats)

    def _statistics(
        self,
        components: GaussianComponents,
        X: Array,
        responsibilities: Array,
        runs: Runs,
        completion: Completion,
    ) -> GaussianStatistics:
        means = components.means
        of_runs = runs.sums(responsibilities)
        # About the means, each component has rows of its own: those that it expects.
        center = np.zeros((1, means.shape[1]))
        first_moment, second_moments = np.empty(means.shape), []
        for k, deviations in about_means(components, X):
            expected = completion.fill(deviations, completion.whiten(deviations, k), k)
            shares = responsibilities[:, k, None]
            first_moment[k] = sum_of_products(shares, expected)[0]
            residuals = completion.residuals(k)
            second_moments.append(
                self.structure.second_moment(
                    np.concatenate([expected, residuals.rows]),
                    center,
                    np.concatenate([shares, of_runs[residuals.run, k, None]]),
                )
            )
        return GaussianStatistics(
            count=total_responsibilities(responsibilities),
            first_moment=first_moment,
            second_moment=self.structure.joined(second_moments),
            origin=means,
        )

    def about(
        self, components: GaussianComponents, stats: GaussianStatistics
    ) -> GaussianStatistics:
        return self.complete.about(components, stats)

    def maximize(
        self, components: GaussianComponents, stats: GaussianStatistics
    ) -> GaussianComponents:
        return self.complete.maximize(components, stats)

    def expected_log_density(
        self, components: GaussianComponents, stats: GaussianStatistics
    ) -> float:
        return self.complete.expected_log_density(components, stats)

    def log_prior(self, components: GaussianComponents, weights: Array) -> float:
        return self.complete.log_prior(components, weights)

    def project(
        self, components: GaussianComponents, onto: GaussianComponents
    ) -> GaussianComponents:
        return self.complete.project(components, onto)

    def rounding_error(self, components: GaussianComponents, stats: GaussianStatistics) -> float:
        """That of complete rows, and what it costs to triangularize anew.

        The factor T of a pattern errs by a rounding of the standard deviation σ_j in each entry
        of row j, and log |T| by (T⁻¹)_jj times as much in each feature: Σ_j σ_j √(Σ⁻¹)_jj.

        Compiled loops pivot in Σ⁻¹, where log |C| errs by some roundings of C_aa (Σ⁻¹)_aa. That is
        at most Σ_aa (Σ⁻¹)_aa, by which the products of complete rows err as well.
        """
        covariances = components.covariances
        conditions = np.sqrt(covariances.variances * covariances.inverse_diagonals).sum(axis=1)
        triangles = EPS * float(stats.count @ conditions)
        return self.complete.rounding_error(components, stats) + triangles

    def first_look(self, X: Array, responsibilities: Array, origin: Array) -> GaussianStatistics:
        raise ValueError(
            "A start is made from complete rows, got rows with NaN entries. Fill them first "
            "(em_toolkit.initialization.filled), and start from a mixture of the complete family."
        )

    def reference(self, first_look: GaussianStatistics) -> GaussianComponents:
        return self.complete.reference(first_look)

    def around_points(self, points: Array, first_look: GaussianStatistics) -> GaussianComponents:
        return self.complete.around_points(points, first_look)

    def n_parameters(self, components: GaussianComponents) -> int:
        return self.complete.n_parameters(components)

    def sample(self, components: GaussianComponents, labels: IntArray, rng: RandomSource) -> Array:
        return self.complete.sample(components, labels, rng)

    def expected_rows(
        self, components: GaussianComponents, X: Array, responsibilities: Array
    ) -> Array:
        """Σ_k r_ik E[x_i | what was observed, k]: rows whose NaN entries are filled in."""
        expected = np.zeros(X.shape)
        for rows, _, completion in completions(components, X):
            for k, deviations in about_means(components, X[rows]):
                filled = completion.fill(deviations, completion.whiten(deviations, k), k)
                expected[rows] += responsibilities[rows, k, None] * (components.means[k] + filled)
        return np.where(np.isnan(X), expected, X)

    def drawn_rows(
        self, components: GaussianComponents, X: Array, labels: IntArray, noise: Array
    ) -> Array:
        """Rows whose NaN entries are drawn from their posterior given the component.

        Parameters
        ----------
        components : GaussianComponents
        X, noise : ndarray of shape (n_rows, n_features)
            The rows, and standard normal numbers for them.
        labels : ndarray of shape (n_rows,)
            The component of each row.
        """
        drawn = np.empty(X.shape)
        for rows, _, completion in completions(components, X):
            for k, deviations in about_means(components, X[rows]):
                filled = completion.fill(deviations, completion.whiten(deviations, k), k)
                of_component = components.means[k] + filled + completion.draw(noise[rows], k)
                drawn[rows] = np.where((labels[rows] == k)[:, None], of_component, drawn[rows])
        return np.where(np.isnan(X), drawn, X)


def completions(
    components: GaussianComponents, X: Array
) -> Iterator[tuple[slice | IntArray, Runs, Completion]]:
    """Yield rows that are alike in what they miss, a few runs at a time.

    Parameters
    ----------
    components : GaussianComponents
    X : ndarray of shape (n_rows, n_features)

    Yields
    ------
    rows : slice or ndarray of int
        Rows of X, so ordered that those of a pattern are neighbours.
    runs : Runs
        Their patterns.
    completion : Completion
        What the observed entries of each pattern say of the missing ones.
    """
    n_numbers = components.means.size * components.means.shape[1]
    runs, order = Runs.of(X), None
    if len(runs.lengths) > 1:
        patterns = Patterns.of(X)
        if len(patterns.missing) < len(runs.lengths):
            order = patterns.order()
            runs = Runs.of(X[order])
    for rows, some in runs.parts(max(1, _AT_ONCE // n_numbers)):
        yield rows if order is None else order[rows], some, components.covariances.completion(some)


def about_means(components: GaussianComponents, X: Array) -> Iterator[tuple[int, Array]]:
    """x − μ_k for each component, zero where an entry is missing."""
    observed = ~np.isnan(X)
    for k, mean in enumerate(components.means):
        yield k, np.where(observed, X - mean, 0.0)

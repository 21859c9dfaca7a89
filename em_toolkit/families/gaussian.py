"""The multivariate normal family, with any covariance structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from em_toolkit.covariances.base import Covariances
from em_toolkit.covariances.matrix import FullCovariances
from em_toolkit.covariances.patterns import has_missing
from em_toolkit.families.base import ComponentStatistics, Family, total_responsibilities
from em_toolkit.families.fixed import FixedComponents
from em_toolkit.families.missing_entries import (
    drawn_rows,
    entropy_and_log_density,
    expected_moments,
    expected_rows,
)
from em_toolkit.families.resolution import Resolution
from em_toolkit.parameters import Parameters
from em_toolkit.priors import ComponentPrior, FlatPrior
from em_toolkit.statistics import (
    EPS,
    Array,
    BoolArray,
    IntArray,
    RandomSource,
    origin,
    present,
    sum_of_products,
)

_LOG_2_PI = float(np.log(2.0 * np.pi))
_LOST_DIGITS = 1e-7
# Of a standard deviation: means that move by less are where they belong.
_SETTLED = 1e-10
_SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class GaussianComponents(Parameters):
    """Means and covariances.

    Parameters
    ----------
    means : ndarray of shape (n_components, n_features)
        In the units of the data.
    covariances : Covariances
        In squared units of the data.
    """

    means: Array
    covariances: Covariances

    def check(self) -> None:
        self.covariances.check_about(self.means)


@dataclass(frozen=True, eq=False)
class GaussianStatistics(ComponentStatistics):
    """Moments about an origin o_k for each component.

    Parameters
    ----------
    count : ndarray of shape (n_components,)
        N_k = Σ_i r_ik.
    first_moment : ndarray of shape (n_components, n_features)
        Σ_i r_ik (x_i − o_k).
    second_moment : ndarray, in the shape of the structure's scatter
        Σ_i r_ik (x_i − o_k)(x_i − o_k)ᵀ.
    origin : ndarray of shape (n_components, n_features)
        The means at which the E-step was taken.
    """

    first_moment: Array
    second_moment: Array
    origin: Array = origin()

    def scatter_about(self, means: Array, structure: type[Covariances]) -> Array:
        """Return Σ_i r_ik (x_i − μ_k)(x_i − μ_k)ᵀ, in the shape of the structure's scatter.

        The scatter about the last means is kept: an M-step asks for it, and then the energy.

        Parameters
        ----------
        means : ndarray of shape (n_components, n_features)
        structure : type of Covariances
        """
        return self.kept("_scatter", means, lambda at, stats: stats._scatter_about(at, structure))

    def _scatter_about(self, means: Array, structure: type[Covariances]) -> Array:
        if means is self.origin:
            return self.second_moment
        shift = means - self.origin
        moved = self.first_moment - 0.5 * self.count[:, None] * shift
        return self.second_moment - 2.0 * structure.outer(moved, shift)


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


class Gaussian(Family[GaussianComponents, GaussianStatistics]):
    r"""Normal components.

    .. math:: \log p(x \mid k) = -\tfrac12 \left[ d \log 2\pi + \log |\Sigma_k|
              + (x - \mu_k)^\top \Sigma_k^{-1} (x - \mu_k) \right]

    The E-step takes moments about the current means o_k; in exact arithmetic any origin serves,
    in floating point this one keeps all digits wherever the data lie. The M-step (Bishop 2006,
    eqs 9.24 and 9.25) is

    .. math:: \mu_k = o_k + \frac{1}{N_k} \sum_i r_{ik} (x_i - o_k), \qquad
              \Sigma_k = \frac{1}{N_k} \sum_i r_{ik} (x_i - \mu_k)(x_i - \mu_k)^\top

    with the covariances pooled or reduced as their structure says; a prior adds to counts and
    sums (`em_toolkit.priors.ComponentPrior`). A mean that is held fixed stays where it is, and the
    scatter is taken about it; so does a covariance. Entries that are NaN are latent variables, and
    integrated out (`em_toolkit.families.missing_entries`).

    Parameters
    ----------
    structure : type of Covariances
        How the covariance matrices share their entries.
    prior : ComponentPrior, optional
        The prior of means and covariances; none by default.
    fixed : FixedComponents, optional
        Which means and covariances the M-step leaves alone; none by default.
    floor : float
        ε ≥ 0, in squared units of the data: the least variance of a component in any direction,
        the constraint Σ_k ⪰ ε I (Hathaway 1985; Ingrassia & Rocci 2007). The M-step raises the
        eigenvalues below it. Covariances that are held fixed are not raised.
    resolution : Resolution, optional
        The spread below which a component has collapsed; by default that of floating-point
        numbers alone. For data on which the likelihood has no maximum.
    """

    takes_missing_entries = True

    def __init__(
        self,
        structure: type[Covariances] = FullCovariances,
        prior: ComponentPrior | None = None,
        fixed: FixedComponents | None = None,
        floor: float = 0.0,
        resolution: Resolution | None = None,
    ) -> None:
        self.structure = structure
        self.prior = FlatPrior() if prior is None else prior
        self.fixed = FixedComponents() if fixed is None else fixed
        self.floor = floor
        self.resolution = resolution

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.structure.__name__})"

    def posterior(
        self, components: GaussianComponents, X: Array
    ) -> tuple[MissingEntries | None, Array]:
        covariances = components.covariances
        if has_missing(X):
            entropy, log_density = entropy_and_log_density(components.means, covariances, X)
            return MissingEntries(entropy, components), log_density
        log_density = covariances.squared_distances(X, components.means)
        log_density += X.shape[1] * _LOG_2_PI + covariances.log_determinants
        log_density *= -0.5
        return None, log_density

    def statistics(
        self,
        components: GaussianComponents,
        X: Array,
        responsibilities: Array,
        within: MissingEntries | None = None,
    ) -> GaussianStatistics:
        means = components.means
        if has_missing(X):
            given = components if within is None else within.components
            first_moment, second_moment = expected_moments(
                given.means, given.covariances, X, responsibilities
            )
            count = total_responsibilities(responsibilities)
            stats = GaussianStatistics(count, first_moment, second_moment, given.means)
            return stats if given is components else self.about(components, stats)
        first_moment = np.empty(means.shape)
        for k, mean in enumerate(means):
            first_moment[k] = sum_of_products(responsibilities[:, k, None], X - mean)[0]
        return GaussianStatistics(
            count=total_responsibilities(responsibilities),
            first_moment=first_moment,
            second_moment=self.structure.second_moment(X, means, responsibilities),
            origin=means,
        )

    def about(
        self, components: GaussianComponents, stats: GaussianStatistics
    ) -> GaussianStatistics:
        means = components.means
        return GaussianStatistics(
            count=stats.count,
            first_moment=stats.first_moment - stats.count[:, None] * (means - stats.origin),
            second_moment=stats.scatter_about(means, self.structure),
            origin=means,
        )

    def maximize(
        self, components: GaussianComponents, stats: GaussianStatistics
    ) -> GaussianComponents:
        means = self._means_given(components.covariances, components, stats)
        covariances = self._covariances_about(means, components.covariances, stats)
        for _ in range(self.prior.alternations):
            moved = self._means_given(covariances, components, stats)
            if not (np.abs(moved - means) > _SETTLED * np.sqrt(covariances.variances)).any():
                break
            means, covariances = moved, self._covariances_about(moved, covariances, stats)
        return GaussianComponents(means, covariances)

    def _means_given(
        self, covariances: Covariances, components: GaussianComponents, stats: GaussianStatistics
    ) -> Array:
        seen = present(stats.count + self.prior.shrinkage)[:, None]
        shifts = self.prior.mean_shifts(stats, covariances)
        means = np.where(seen, stats.origin + shifts, components.means)
        return self.fixed.hold_means(means, components.means)

    def _covariances_about(
        self, means: Array, previous: Covariances, stats: GaussianStatistics
    ) -> Covariances:
        prior = self.prior
        scatter = prior.add_scatter(
            stats.scatter_about(means, self.structure), means, self.structure
        )
        count = stats.count + prior.pseudo_count
        covariances = self.structure.from_scatter(
            scatter, count, means.shape[1], previous, self.floor
        )
        # After a jump so far that N δ δᵀ takes half of the digits of the scatter with it, the mean
        # alone moves: the bound rises, and the next moments are taken about the new mean.
        known, lost = present(count), EPS * (means - stats.origin) ** 2
        self._check_resolved(means, covariances, known, lost)
        kept_digits = lost <= _LOST_DIGITS * covariances.variances
        settled = self.fixed.unless_fixed(kept_digits.all(axis=1) | ~known)
        return covariances.or_previous(known, settled, previous)

    def _check_resolved(
        self,
        means: Array,
        covariances: Covariances,
        known: BoolArray,
        error: Array | float = 0.0,
    ) -> None:
        """Raise `CollapseError` if a component with data is narrower than these resolve."""
        if self.resolution is not None:
            free = self.fixed.unless_fixed(known)
            self.resolution.check(means, covariances, free, error)

    def expected_log_density(
        self, components: GaussianComponents, stats: GaussianStatistics
    ) -> float:
        covariances = components.covariances
        constants = components.means.shape[1] * _LOG_2_PI + covariances.log_determinants
        quadratic = covariances.inner_product(stats.scatter_about(components.means, self.structure))
        return -0.5 * (float(stats.count @ constants) + quadratic)

    def log_prior(self, components: GaussianComponents, weights: Array) -> float:
        return self.prior.log_density(components.means, components.covariances, weights)

    def rounding_error(self, components: GaussianComponents, stats: GaussianStatistics) -> float:
        """Return what cancellation and ill-conditioning cost.

        Besides the sizes of the terms themselves: in L⁻¹ S L⁻ᵀ, for a scatter S and Σ = L Lᵀ, the
        trace and the roundings of the products are within d Σ_j S_jj (Σ⁻¹)_jj (by Cauchy-Schwarz),
        which no scaling of the features changes. Where entries are missing, the factor of a pattern
        errs by a rounding of the standard deviation σ_j in each entry of row j, and its log
        determinant by Σ_j σ_j √(Σ⁻¹)_jj, which is less. The scatter is what the moments hold and,
        after a jump of the means by δ from their origin, N δ δᵀ with both signs. Last, the spacing
        of floating-point numbers at the means, measured by Σ.

        Parameters
        ----------
        components, stats
            As in `Family.rounding_error`.
        """
        covariances, means = components.covariances, components.means
        constants = means.shape[1] * _LOG_2_PI + np.abs(covariances.log_determinants)
        inverse_diagonals = covariances.inverse_diagonals
        constants = constants + np.sqrt(covariances.variances * inverse_diagonals).sum(axis=1)
        shift = means - stats.origin
        jump = 2.0 * float(stats.count @ np.sum(np.square(shift) * inverse_diagonals, axis=1))
        # Rows that all deviate the same way round the same way, once for each feature.
        drift = stats.first_moment / np.maximum(stats.count, _SMALLEST)[:, None]
        same_way = np.sum(np.square(drift) * inverse_diagonals, axis=1)
        jump += means.shape[1] * float(stats.count @ same_way)
        scatter = self.prior.add_scatter(stats.second_moment, means, self.structure)
        products = means.shape[1] * (covariances.diagonal_product(scatter) + jump)
        spacing = np.sum(np.square(EPS * means) * inverse_diagonals, axis=1)
        sizes = float((stats.count + self.prior.pseudo_count) @ constants) + products
        of_data = 0.5 * (EPS * sizes + float(stats.count @ spacing))
        return of_data + self.prior.rounding_error(means)

    def start_moments(self, X: Array, responsibilities: Array, origin: Array) -> GaussianStatistics:
        """Return counts and first moments of each component, and the second moment of all together.

        All are about one origin; the second moment has shape (n_features, n_features).

        Parameters
        ----------
        X, responsibilities, origin
            As in `Family.start_moments`.
        """
        if has_missing(X):
            raise ValueError(
                "A start is made from complete rows, got rows with NaN entries. Fill them first "
                "(em_toolkit.initialization.filled)."
            )
        deviations = X - origin
        weighted = np.sqrt(responsibilities.sum(axis=1))[:, None] * deviations
        return GaussianStatistics(
            count=total_responsibilities(responsibilities),
            first_moment=sum_of_products(responsibilities, deviations),
            second_moment=sum_of_products(weighted, weighted),
            origin=origin,
        )

    def reference(self, start_moments: GaussianStatistics) -> GaussianComponents:
        count, n_components = start_moments.count, start_moments.count.shape[0]
        shift, total = _shift_and_scatter(start_moments)
        known = present(count)[:, None]
        moved = start_moments.first_moment / np.where(known, count[:, None], 1.0)
        means = start_moments.origin + np.where(known, moved, shift)
        spread = total + n_components * self.prior.matrix(shift.shape[0])
        weight = count.sum() + n_components * self.prior.pseudo_count
        covariances = self.structure.shared(spread / weight, n_components)
        return GaussianComponents(means, covariances.raised_to(self.floor))

    def around_points(self, points: Array, start_moments: GaussianStatistics) -> GaussianComponents:
        _, total = _shift_and_scatter(start_moments)
        scatter = self.structure.scatter_around_points(total, points.shape[0])
        scatter = scatter + self.prior.scatter(self.structure, *points.shape)
        share = start_moments.count.sum() / points.shape[0]
        count = np.full(points.shape[0], share + self.prior.pseudo_count)
        covariances = self.structure.from_scatter(scatter, count, points.shape[1], floor=self.floor)
        return GaussianComponents(points, covariances)

    def n_parameters(self, components: GaussianComponents) -> int:
        return self.fixed.n_parameters(components.means, components.covariances)

    def project(
        self, components: GaussianComponents, onto: GaussianComponents
    ) -> GaussianComponents:
        raised = components.covariances.raised_to(self.floor)
        means = self.fixed.hold_means(components.means, onto.means)
        covariances = self.fixed.hold_covariances(raised, onto.covariances)
        if components is not onto:
            self._check_resolved(means, covariances, np.full(len(means), True))
        if means is components.means and covariances is components.covariances:
            return components
        return GaussianComponents(means, covariances)

    def unfixed(self) -> Gaussian:
        return type(self)(self.structure, self.prior, floor=self.floor, resolution=self.resolution)

    def expected_rows(
        self, components: GaussianComponents, X: Array, responsibilities: Array
    ) -> Array:
        return expected_rows(components.means, components.covariances, X, responsibilities)

    def drawn_rows(
        self, components: GaussianComponents, X: Array, labels: IntArray, noise: Array
    ) -> Array:
        return drawn_rows(components.means, components.covariances, X, labels, noise)

    def sample(self, components: GaussianComponents, labels: IntArray, rng: RandomSource) -> Array:
        rows = np.empty((labels.shape[0], components.means.shape[1]))
        for k, mean in enumerate(components.means):
            chosen = labels == k
            rows[chosen] = mean + components.covariances.draw(int(chosen.sum()), k, rng)
        return rows


def _shift_and_scatter(start_moments: GaussianStatistics) -> tuple[Array, Array]:
    """Return the mean of all the data, from the origin; their scatter about it."""
    moment = start_moments.first_moment.sum(axis=0)
    shift = moment / start_moments.count.sum()
    return shift, start_moments.second_moment - np.outer(moment, shift)

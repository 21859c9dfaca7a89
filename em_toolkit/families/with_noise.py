"""A family and, beside its components, noise of constant density."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from scipy.special import ndtr

from em_toolkit.families.base import (
    ComponentStatistics,
    Family,
    Within,
    total_responsibilities,
)
from em_toolkit.families.box import Box
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import EPS, Array, IntArray, RandomSource

C = TypeVar("C", bound=Parameters)
T = TypeVar("T", bound=ComponentStatistics)


@dataclass(frozen=True, eq=False)
class NoisyStatistics(ComponentStatistics, Generic[T]):
    """The statistics of K components, and a count more: that of the noise.

    Parameters
    ----------
    count : ndarray of shape (n_components + 1,)
    signal : ComponentStatistics
        Those of the components.
    """

    signal: T


@dataclass(frozen=True, eq=False)
class WithinSignal:
    """The posterior of what else of a row is latent, given a component or the noise.

    Parameters
    ----------
    entropy : ndarray of shape (n_rows, n_components + 1)
    signal : Within
        That of the components.
    """

    entropy: Array
    signal: Within


class WithNoise(Family[C, NoisyStatistics[T]], Generic[C, T]):
    r"""The components of a family, and as the last one noise that may be anywhere.

    .. math:: p(x \mid k) \text{ as in the family for } k < K, \qquad p(x \mid K) = \frac{1}{V}

    with the volume V of a box about the data (Banfield & Raftery 1993, Biometrics 49, eq. 12;
    Fraley & Raftery 2002, section 3.1). The density of the noise is constant outside of the box
    too, where it is no density: no row is impossible. It has no parameters but its weight, which
    is the mixture's; those of the components are the family's own.

    Of a row of which entries are missing, noise in a box of the same volume along the features
    knows as much: 1 by the sides of the features that are seen.

    Parameters
    ----------
    family : Family
        Of the components that are not noise.
    box : Box
    """

    n_unlike = 1

    def __init__(self, family: Family[C, T], box: Box) -> None:
        self.family = family
        self.box = box

    @property
    def takes_missing_entries(self) -> bool:  # type: ignore[override]
        return self.family.takes_missing_entries

    def posterior(self, components: C, X: Array) -> tuple[WithinSignal | None, Array]:
        within, log_density = self.family.posterior(components, X)
        unseen = np.isnan(X) @ np.log(self.box.sides)
        log_density = np.column_stack([log_density, unseen - self.box.log_volume])
        if within is None:
            return None, log_density
        return WithinSignal(np.column_stack([within.entropy, unseen]), within), log_density

    def statistics(
        self,
        components: C,
        X: Array,
        responsibilities: Array,
        within: WithinSignal | None = None,
    ) -> NoisyStatistics[T]:
        signal = np.ascontiguousarray(responsibilities[:, :-1])
        of_signal = None if within is None else within.signal
        return NoisyStatistics(
            total_responsibilities(responsibilities),
            self.family.statistics(components, X, signal, of_signal),
        )

    def about(self, components: C, stats: NoisyStatistics[T]) -> NoisyStatistics[T]:
        return replace(stats, signal=self.family.about(components, stats.signal))

    def maximize(self, components: C, stats: NoisyStatistics[T]) -> C:
        if not stats.signal.count.sum() > EPS * stats.count[-1]:
            # All is noise: nothing is known of the components.
            return components
        return self.family.maximize(components, stats.signal)

    def expected_log_density(self, components: C, stats: NoisyStatistics[T]) -> float:
        signal = self.family.expected_log_density(components, stats.signal)
        return signal - float(stats.count[-1]) * self.box.log_volume

    def log_prior(self, components: C, weights: Array) -> float:
        return self.family.log_prior(components, weights[:-1])

    def project(self, components: C, onto: C) -> C:
        return self.family.project(components, onto)

    def unfixed(self) -> WithNoise[C, T]:
        return type(self)(self.family.unfixed(), self.box)

    def rounding_error(self, components: C, stats: NoisyStatistics[T]) -> float:
        sizes = float(stats.count[-1]) * float(np.abs(np.log(self.box.lengths)).sum())
        return self.family.rounding_error(components, stats.signal) + EPS * sizes

    def start_moments(self, X: Array, responsibilities: Array, origin: Array) -> NoisyStatistics[T]:
        signal = np.ascontiguousarray(responsibilities[:, :-1])
        return NoisyStatistics(
            total_responsibilities(responsibilities), self.family.start_moments(X, signal, origin)
        )

    def reference(self, start_moments: NoisyStatistics[T]) -> C:
        if not start_moments.signal.count.sum() > 0.0:
            raise ValueError(
                "noise: expected rows that belong to a component, got noise alone: the last "
                "responsibility of each row is 1."
            )
        return self.family.reference(start_moments.signal)

    def around_points(self, points: Array, start_moments: NoisyStatistics[T]) -> C:
        raise ValueError(
            "Noise has no point to begin from: start a mixture of the components alone, and give "
            "the noise a weight beside them (em_toolkit.initialization.beside_noise)."
        )

    def n_parameters(self, components: C) -> int:
        return self.family.n_parameters(components)

    def sample(self, components: C, labels: IntArray, rng: RandomSource) -> Array:
        rows = np.empty((labels.shape[0], self.box.center.shape[0]))
        noise = labels == self._n_components(components)
        rows[~noise] = self.family.sample(components, labels[~noise], rng)
        rows[noise] = self.box.draw(int(noise.sum()), rng)
        return rows

    def _n_components(self, components: C) -> int:
        # Whatever the family, its density says how many components it has.
        return int(self.family.log_density(components, self.box.center[None]).shape[1])

    def expected_rows(self, components: C, X: Array, responsibilities: Array) -> Array:
        # Noise is expected in the middle of its box.
        expected = self.family.expected_rows(components, X, responsibilities)
        of_noise = responsibilities[:, -1:] * self.box.center
        return np.where(np.isnan(X), expected + of_noise, X)

    def drawn_rows(self, components: C, X: Array, labels: IntArray, noise: Array) -> Array:
        drawn = self.family.drawn_rows(components, X, labels, noise)
        uniform = self.box.center + (ndtr(noise) - 0.5) * self.box.sides
        is_noise = labels == self._n_components(components)
        return np.where(np.isnan(X) & is_noise[:, None], uniform, drawn)

"""Axis-aligned structures whose components share something: mclust's EII, EEI, VEI and EVI."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Self

from em_toolkit.covariances.axis_aligned import VarianceByComponent, VariancesByFeature
from em_toolkit.covariances.sharing import SharingCovariances
from em_toolkit.covariances.spectra import EQUAL, EQUAL_SHAPES, EQUAL_VOLUMES, Spectra
from em_toolkit.statistics import Array


# The variances come first of the bases: they say that their values are positive.
@dataclass(frozen=True, eq=False)
class EIICovariances(VarianceByComponent, SharingCovariances):
    """One variance for all: Σ_k = λ I."""

    sharing: ClassVar[str] = "variance"

    @property
    def n_parameters(self) -> int:
        return 1

    @classmethod
    def from_finite_scatter(
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None, floor: float
    ) -> Self:
        return cls(EQUAL.maximize(scatter / n_features, count, None, floor), n_features)


@dataclass(frozen=True, eq=False)
class SharingVariances(VariancesByFeature, SharingCovariances, ABC):
    """A variance for each component and feature, under a rule."""

    spectra: ClassVar[Spectra]

    @property
    def n_parameters(self) -> int:
        return self.spectra.n_parameters(*self.values.shape)

    @classmethod
    def from_finite_scatter(
        cls, scatter: Array, count: Array, n_features: int, previous: Self | None, floor: float
    ) -> Self:
        variances = None if previous is None else previous.values
        return cls(cls.spectra.maximize(scatter, count, variances, floor))


@dataclass(frozen=True, eq=False)
class EEICovariances(SharingVariances):
    """One variance for each feature: Σ_k = λ A."""

    spectra: ClassVar[Spectra] = EQUAL
    sharing: ClassVar[str] = spectra.sharing


@dataclass(frozen=True, eq=False)
class VEICovariances(SharingVariances):
    """Variances of one ratio to each other: Σ_k = λ_k A."""

    spectra: ClassVar[Spectra] = EQUAL_SHAPES
    sharing: ClassVar[str] = spectra.sharing


@dataclass(frozen=True, eq=False)
class EVICovariances(SharingVariances):
    """Variances of one product: Σ_k = λ A_k."""

    spectra: ClassVar[Spectra] = EQUAL_VOLUMES
    sharing: ClassVar[str] = spectra.sharing

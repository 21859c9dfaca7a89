"""The coordinates of each family's components."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import Any

import numpy as np

from em_toolkit.analysis.coordinates import Chart, Estimand, Tangent
from em_toolkit.analysis.gaussian_coordinates import gaussian_tangent
from em_toolkit.families.gaussian import Gaussian, GaussianComponents
from em_toolkit.families.poisson import Poisson, PoissonRates
from em_toolkit.families.with_noise import WithNoise
from em_toolkit.statistics import Array


@singledispatch
def tangent(family: Any, components: Any) -> Tangent:
    """Return the coordinates of a family's components.

    Parameters
    ----------
    family : Family
    components : Parameters
        Its components, about which the coordinates are.
    """
    raise ValueError(
        f"Standard errors are known of Gaussian and Poisson components, not of "
        f"{type(family).__name__}. Take the bootstrap: fit again to rows drawn with replacement."
    )


class PoissonTangent(Tangent):
    """Rates: the score is (x − λ)/√λ, and a step c moves λ by √λ c."""

    def __init__(self, family: Poisson, components: PoissonRates) -> None:
        self._rates = components.rates
        empty = np.argwhere(~(self._rates > 0.0))
        if empty.size:
            k, j = (int(index) for index in empty[0])
            raise ValueError(
                f"The rate of component {k} in feature {j} is zero, on the edge of what it can be: "
                "it has no standard error. Leave the feature out, or use fewer components."
            )
        free = np.ones(self._rates.shape, dtype=bool)
        if family.fixed is not None:
            free[family.fixed] = False
        self.basis = np.eye(free.size)[:, free.ravel()]
        columns = np.arange(self._rates.size).reshape(self._rates.shape)
        self.charts = [Chart(own, np.eye(own.size)) for own in columns]

    def observe(self, X: Array, held: Array) -> Iterator[tuple[Array, Array | None]]:
        for rates in self._rates:
            yield (X - rates) / np.sqrt(rates), None

    def estimands(self) -> list[Estimand]:
        jacobian = np.diag(np.sqrt(self._rates.ravel()))
        return [Estimand("rates", self._rates, jacobian, np.ones(self._rates.shape, dtype=bool))]


class NoiseTangent(Tangent):
    """Components beside noise, which has no parameters but its weight."""

    def __init__(self, family: WithNoise[Any, Any], components: Any) -> None:
        self._signal = tangent(family.family, components)
        self.basis = self._signal.basis
        self.charts = [*self._signal.charts, Chart(np.empty(0, dtype=np.int64), np.empty((0, 0)))]

    def observe(self, X: Array, held: Array) -> Iterator[tuple[Array, Array | None]]:
        yield from self._signal.observe(X, held[:, :-1])
        yield np.empty((len(X), 0)), None

    def prior_gradient(self, component: int) -> Array:
        is_noise = component == len(self._signal.charts)
        return np.empty(0) if is_noise else self._signal.prior_gradient(component)

    def prior_information(self, component: int) -> Array:
        is_noise = component == len(self._signal.charts)
        return np.empty((0, 0)) if is_noise else self._signal.prior_information(component)

    def curvature(self, gradients: list[Array]) -> Array:
        return self._signal.curvature(gradients[:-1])

    def estimands(self) -> list[Estimand]:
        return self._signal.estimands()


@tangent.register
def _(family: Poisson, components: PoissonRates) -> Tangent:
    return PoissonTangent(family, components)


@tangent.register
def _(family: WithNoise, components: Any) -> Tangent:  # type: ignore[type-arg]
    return NoiseTangent(family, components)


@tangent.register
def _(family: Gaussian, components: GaussianComponents) -> Tangent:
    return gaussian_tangent(family, components)

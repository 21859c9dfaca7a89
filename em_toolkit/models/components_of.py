"""Any model as a family: components that are latent variable models of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from em_toolkit.families.base import ComponentStatistics, Family
from em_toolkit.model import LatentVariableModel
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import Array, IntArray, RandomSource, present

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, eq=False)
class Several(Parameters, Generic[P]):
    """The parameters of K components.

    Parameters
    ----------
    parts : tuple of Parameters
        Those of each component; they may be of unlike shapes.
    """

    parts: tuple[P, ...]

    def check(self) -> None:
        for part in self.parts:
            part.check()


@dataclass(frozen=True, eq=False)
class SeveralStatistics(ComponentStatistics):
    """The statistics of K components.

    Parameters
    ----------
    count : ndarray of shape (n_components,)
    parts : tuple of Statistics
        Those of the model, under the posterior of each component.
    """

    parts: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class WithinComponents:
    """The posterior of the latent variables of units, given the component.

    Parameters
    ----------
    entropy : ndarray of shape (n_units, n_components)
    parts : tuple of Posterior
        That of the model, for each component.
    """

    entropy: Array
    parts: tuple[Any, ...]


class ComponentsOf(Family[Several[P], SeveralStatistics], Generic[P]):
    r"""Components each of which is a latent variable model with parameters of its own.

    .. math:: p(x \mid k) = \int p(x, z \mid \theta_k) \, dz

    The latent variables of the model are latent within the component: their entropy is part of
    the bound, and the M-step of the model is that of the component. A mixture of them is a mixture
    of PPCAs, of hidden Markov models (clusters of sequences), or of any other model.

    Parameters
    ----------
    model : LatentVariableModel
        Its posterior must be exact.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit.models import ComponentsOf, Mixture, MixtureParameters, Several
    >>> from em_toolkit.models import PPCAParameters, ProbabilisticPCA
    >>> one = PPCAParameters(np.zeros(3), np.eye(3)[:, :1], 0.5)
    >>> other = PPCAParameters(np.full(3, 4.0), np.eye(3)[:, :2], 0.5)
    >>> mixture = Mixture(ComponentsOf(ProbabilisticPCA()))
    >>> params = MixtureParameters(np.array([0.5, 0.5]), Several((one, other)))
    >>> posterior, log_evidence = mixture.posterior(params, np.array([[0.0, 0, 0], [4, 4, 4]]))
    >>> posterior.responsibilities.argmax(axis=1)
    array([0, 1])
    """

    def __init__(self, model: LatentVariableModel[P, Any, Any]) -> None:
        self.model = model

    def posterior(self, components: Several[P], X: Any) -> tuple[WithinComponents, Array]:
        found = [self.model.posterior(part, X) for part in components.parts]
        posteriors, log_evidences = zip(*found, strict=True)
        entropy = np.stack([posterior.entropy for posterior in posteriors], axis=1)
        return WithinComponents(entropy, posteriors), np.stack(log_evidences, axis=1)

    def statistics(
        self,
        components: Several[P],
        X: Any,
        responsibilities: Array,
        within: WithinComponents | None = None,
    ) -> SeveralStatistics:
        if within is None:
            within, _ = self.posterior(components, X)
        shares = np.ascontiguousarray(responsibilities.T)
        parts = zip(components.parts, within.parts, shares, strict=True)
        return SeveralStatistics(
            shares.sum(axis=1), tuple(self.model.statistics(p, X, q, w) for p, q, w in parts)
        )

    def about(self, components: Several[P], stats: SeveralStatistics) -> SeveralStatistics:
        pairs = zip(components.parts, stats.parts, strict=True)
        return SeveralStatistics(stats.count, tuple(self.model.about(p, s) for p, s in pairs))

    def maximize(self, components: Several[P], stats: SeveralStatistics) -> Several[P]:
        parts = zip(components.parts, stats.parts, present(stats.count), strict=True)
        return Several(tuple(self.model.maximize(p, s) if known else p for p, s, known in parts))

    def expected_log_density(self, components: Several[P], stats: SeveralStatistics) -> float:
        pairs = zip(components.parts, stats.parts, strict=True)
        return sum(self.model.expected_log_joint(p, s) for p, s in pairs)

    def log_prior(self, components: Several[P], weights: Array) -> float:
        pairs = zip(components.parts, weights[: len(components.parts)], strict=True)
        return sum(self.model.log_prior(part) for part, weight in pairs if weight > 0.0)

    def project(self, components: Several[P], onto: Several[P]) -> Several[P]:
        pairs = list(zip(components.parts, onto.parts, strict=True))
        projected = tuple(self.model.project(part, other) for part, other in pairs)
        unchanged = all(a is b for a, b in zip(projected, components.parts, strict=True))
        return components if unchanged else Several(projected)

    def rounding_error(self, components: Several[P], stats: SeveralStatistics) -> float:
        pairs = zip(components.parts, stats.parts, strict=True)
        return sum(self.model.rounding_error(p, s) for p, s in pairs)

    def n_parameters(self, components: Several[P]) -> int:
        return sum(self.model.n_parameters(part) for part in components.parts)

    def sample(self, components: Several[P], labels: IntArray, rng: RandomSource) -> Array:
        drawn: Any = None
        for k, part in enumerate(components.parts):
            chosen = labels == k
            rows = np.asarray(self.model.sample(part, int(chosen.sum()), rng)[0])
            drawn = np.empty((len(labels), *rows.shape[1:])) if drawn is None else drawn
            drawn[chosen] = rows
        return np.asarray(drawn)

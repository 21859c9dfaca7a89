r"""The information that the data hold on the parameters of a mixture, and its inverse.

With the complete scores u_ik, the derivatives of log π_k + log p(x_i | k), Louis (1982, eq. 3.1)
gives the second derivative of the log evidence without differences:

.. math:: I = \sum_i w_i \sum_k r_{ik} \Big( -\partial^2 \log \pi_k p(x_i \mid k) \Big)
          - \sum_i w_i \Big( \sum_k r_{ik} u_{ik} u_{ik}^\top - s_i s_i^\top \Big), \qquad
          s_i = \sum_k r_{ik} u_{ik}

In the coordinates of `em_toolkit.families.tangents` the first sum is diagonal. The prior is part of
the objective, so its information is added. The inverse is the asymptotic covariance of the
estimates, to which the public parameters belong by the delta method. All is exact at a maximum;
elsewhere the coordinates differ by the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import eigh, null_space

from em_toolkit.families.tangents import Estimand, tangent
from em_toolkit.model import Block
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import Array

# Of the information of complete data: what is less is rounding.
_SINGULAR = 1e-9


@dataclass(frozen=True, eq=False)
class ObservedInformation:
    """Information in coordinates in which a complete row has the identity, but for its weight.

    Parameters
    ----------
    observed, complete : ndarray of shape (n_coordinates, n_coordinates)
        Of the data and the prior; that of complete data is diagonal but for some priors.
    gradient : ndarray of shape (n_coordinates,)
        Of the objective, log evidence and log prior: zero at a maximum.
    estimands : list of Estimand
        With a jacobian that has these coordinates for columns.
    """

    observed: Array
    complete: Array
    gradient: Array
    estimands: list[Estimand]

    @cached_property
    def _spectrum(self) -> tuple[Array, Array]:
        values, vectors = eigh(self.observed, self.complete)
        return values, vectors

    @property
    def missing_fraction(self) -> float:
        """The largest share of information that is missing: EM's rate of convergence there."""
        values = self._spectrum[0]
        return float(1.0 - values[0]) if values.size else 0.0

    @cached_property
    def root(self) -> Array:
        """R with R Rᵀ = I⁻¹.

        Raises
        ------
        ValueError
            If the information is singular, or indefinite.
        """
        values, vectors = self._spectrum
        if values.size and not values[0] > _SINGULAR:
            raise ValueError(
                f"The data do not determine {self._flattest()}: along a direction of it the "
                f"observed information is {values[0]:.2g} of that of complete data. The parameters "
                "are no isolated maximum: fit on with a smaller tol (and stopping='distance'), or "
                "use fewer components."
            )
        return np.asarray(vectors / np.sqrt(values))

    def _flattest(self) -> str:
        direction = self._spectrum[1][:, 0] * np.sqrt(np.diagonal(self.complete))
        sizes = []
        for estimand in self.estimands:
            scaled = estimand.jacobian / np.maximum(
                np.sqrt((estimand.jacobian**2).sum(axis=1, keepdims=True)), 1e-300
            )
            moved = np.abs(scaled @ direction).reshape(estimand.values.shape)
            where = np.unravel_index(int(moved.argmax()), moved.shape)
            sizes.append((moved[where], f"{estimand.name}[{', '.join(map(str, where))}]"))
        return max(sizes)[1]

    @cached_property
    def distance(self) -> float:
        """How far the maximum is, in standard errors: no parameter's error is larger."""
        return float(np.linalg.norm(self.root.T @ self.gradient))


def observed_information(
    mixture: Mixture[Any],
    params: MixtureParameters[Any],
    blocks: Iterable[tuple[Block, Array]],
) -> ObservedInformation:
    """The observed information of a mixture at its fitted parameters.

    Parameters
    ----------
    mixture : Mixture
        Of a family that has a tangent, with its priors and what is held fixed.
    params : MixtureParameters
        At a maximum of log evidence + log prior.
    blocks : iterable of (Block, ndarray of shape (n_rows, n_components))
        The data, and their responsibilities at `params`.

    Raises
    ------
    ValueError
        For a component of weight zero, and for families and structures of which no tangent is
        known.
    """
    empty = np.flatnonzero(~(params.weights > 0.0))
    if empty.size:
        raise ValueError(
            f"Component {empty[0]} has weight 0: the data say nothing of its other parameters. "
            "Fit with fewer components."
        )
    family = tangent(mixture.family, params.components)
    weights, of_weights = _of_weights(mixture, params)
    n_weights, n_components = of_weights.shape[1], params.weights.shape[0]
    n = n_weights + family.free.size
    complete, gradient, missing = np.zeros(n), np.zeros(n), np.zeros((n, n))
    columns = [
        np.concatenate([np.arange(n_weights), n_weights + family.columns(k)])
        for k in range(n_components)
    ]
    is_free = np.ones(n_components, dtype=bool)
    if mixture.mixing.fixed is not None:
        is_free = ~mixture.mixing.fixed
    for (X, row_weights), r in blocks:
        total = np.zeros((len(X), n))
        for k in range(n_components):
            scores = np.empty((len(X), columns[k].size))
            scores[:, :n_weights] = of_weights[k]
            scores[:, n_weights:] = family.scores(X, k)
            held = row_weights * r[:, k]
            missing[np.ix_(columns[k], columns[k])] += scores.T @ (held[:, None] * scores)
            total[:, columns[k]] += r[:, k, None] * scores
            complete[columns[k][n_weights:]] += held.sum()
            complete[:n_weights] += held.sum() * is_free[k]
        missing -= total.T @ (row_weights[:, None] * total)
        gradient += row_weights @ total
    # Pseudo-rows of a Dirichlet prior have the score of their component, and no other.
    pseudo = np.where(is_free, np.asarray(mixture.mixing.concentration) - 1.0, 0.0)
    complete[:n_weights] += pseudo.sum()
    gradient[:n_weights] += pseudo @ of_weights
    whole = np.diag(complete)
    whole[n_weights:, n_weights:] += family.prior_information()
    gradient[n_weights:] += family.prior_gradient()
    free = np.concatenate([np.ones(n_weights, dtype=bool), family.free])
    estimands = [weights]
    for estimand in family.estimands():
        jacobian = np.zeros((estimand.values.size, n))
        jacobian[:, n_weights:] = estimand.jacobian
        estimands.append(replace(estimand, jacobian=jacobian))
    estimands[0] = replace(weights, jacobian=np.pad(weights.jacobian, ((0, 0), (0, n - n_weights))))
    observed = whole - missing
    return ObservedInformation(
        observed[np.ix_(free, free)],
        whole[np.ix_(free, free)],
        gradient[free],
        [replace(item, jacobian=item.jacobian[:, free]) for item in estimands],
    )


def _of_weights(mixture: Mixture[Any], params: MixtureParameters[Any]) -> tuple[Estimand, Array]:
    """The weights and their coordinates' scores, of shape (n_components, n_coordinates).

    The shares ρ of the free weights are those of a multinomial: with a basis Q of what is
    orthogonal to √ρ, the scores are Qᵀ (e_k/√ρ_k), and a step c moves ρ by √ρ Q c.
    """
    fixed = mixture.mixing.fixed
    free = np.ones(params.weights.shape, dtype=bool) if fixed is None else ~fixed
    left = params.weights[free].sum()
    roots = np.sqrt(params.weights[free] / left) if free.any() else np.empty(0)
    basis = null_space(roots[None]) if roots.size > 1 else np.zeros((roots.size, 0))
    scores = np.zeros((free.size, basis.shape[1]))
    scores[free] = basis / roots[:, None]
    jacobian = np.zeros_like(scores)
    jacobian[free] = left * roots[:, None] * basis
    nothing = np.zeros(params.weights.shape, dtype=bool)
    return Estimand("weights", params.weights, jacobian, nothing), scores

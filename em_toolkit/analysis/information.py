r"""The information that the data hold on the parameters of a mixture, and its inverse.

With the complete scores u_ik, the derivatives of log π_k + log p(x_i | k), Louis (1982, eq. 3.1)
gives the second derivative of the log evidence without differences:

.. math:: I = \sum_i w_i \sum_k r_{ik} \Big( -\partial^2 \log \pi_k p(x_i \mid k) \Big)
          - \sum_i w_i \Big( \sum_k r_{ik} u_{ik} u_{ik}^\top - s_i s_i^\top \Big), \qquad
          s_i = \sum_k r_{ik} u_{ik}

Where entries of x_i are missing they are latent as k is: the first sum is that of complete rows
all the same, and u_ik is the expectation of the complete score, whose covariance, given k and
what was observed, is missing too.

In the coordinates of `em_toolkit.analysis.coordinates` the first sum is diagonal, but for what
structures and priors add. The prior is part of the objective, so its information is added. The
inverse is the asymptotic covariance of the estimates, to which the public parameters belong by the
delta method. All is exact at a maximum; elsewhere the coordinates differ by the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import block_diag, eigh, null_space

from em_toolkit.analysis.coordinates import Estimand
from em_toolkit.analysis.coordinates_of_families import tangent
from em_toolkit.data import Block
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.statistics import EPS, Array

# Of the information of complete data: what is less is rounding.
_SINGULAR = 1e-9
_TINY = float(np.finfo(np.float64).tiny)
_ALIKE = 1e-10
_REMEDY = (
    "fit on with a smaller tol (and stopping='distance'), or use fewer components or a "
    "covariance type of fewer parameters."
)


@dataclass(frozen=True, eq=False)
class ObservedInformation:
    """Information in the coordinates of `em_toolkit.analysis.coordinates`.

    Parameters
    ----------
    observed, complete : ndarray of shape (n_coordinates, n_coordinates)
        Of the data and the prior: as they are, and were they complete.
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
        try:
            values, vectors = eigh(self.observed, self.complete)
        except np.linalg.LinAlgError:
            direction = eigh(self.complete)[1][:, 0]
            raise ValueError(
                f"The parameters are no maximum along a direction of {self._moved_by(direction)}, "
                f"even if the data were complete: {_REMEDY}"
            ) from None
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
                f"The data do not determine {self._moved_by(vectors[:, 0])}: along a direction of "
                f"it the observed information is {values[0]:.2g} of that of complete data. The "
                f"parameters are no isolated maximum: {_REMEDY}"
            )
        return np.asarray(vectors / np.sqrt(values))

    def _moved_by(self, direction: Array) -> str:
        """The parameter that a direction moves most, for what complete data would know of it."""
        scale, sizes = np.sqrt(np.abs(np.diagonal(self.complete))), []
        # Even complete data know nothing of a component that is empty.
        scale = np.maximum(scale, max(EPS * scale.max(initial=0.0), _TINY))
        for estimand in self.estimands:
            slopes = estimand.jacobian * (scale.min(initial=np.inf) / scale)
            steepest = np.abs(slopes).max(axis=1, keepdims=True, initial=0.0)
            slopes /= np.maximum(steepest, _TINY)
            slopes /= np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), _TINY)
            moved = np.abs(slopes @ (scale * direction)).reshape(estimand.values.shape)
            # The first of those that are equal to rounding, as (i, j) and (j, i) of a matrix.
            first = int(np.argmax(moved >= (1.0 - _ALIKE) * moved.max()))
            where = np.unravel_index(first, moved.shape)
            sizes.append((moved[where], f"{estimand.name}[{', '.join(map(str, where))}]"))
        return max(sizes)[1]

    @cached_property
    def distance(self) -> float:
        """The distance of the maximum in standard errors, which no parameter's error exceeds."""
        return float(np.linalg.norm(self.root.T @ self.gradient))


def observed_information(
    mixture: Mixture[Any],
    params: MixtureParameters[Any],
    blocks: Iterable[tuple[Block, Array]],
) -> ObservedInformation:
    """Return the observed information of a mixture at its fitted parameters.

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
    # Of a weight less than a rounding of one, the others have no log odds.
    empty = np.flatnonzero(~(params.weights > EPS))
    if empty.size:
        raise ValueError(
            f"Component {empty[0]} has weight {params.weights[empty[0]]:.3g}: the data say nothing "
            "of its other parameters. Fit with fewer components."
        )
    family = tangent(mixture.family, params.components)
    weights, of_weights = _of_weights(mixture, params)
    (n_components, n_weights), charts = of_weights.shape, family.charts
    n = n_weights + family.basis.shape[0]
    missing = np.zeros((n, n))
    counts = np.zeros(n_components)
    gradients = [family.prior_gradient(k) for k in range(n_components)]
    columns = [np.append(np.arange(n_weights), n_weights + chart.columns) for chart in charts]
    for (X, row_weights, _), r in blocks:
        held = row_weights[:, None] * r
        total = np.zeros((len(X), n))
        counts += held.sum(axis=0)
        for k, (natural, spread) in enumerate(family.observe(X, held)):
            jacobian = charts[k].jacobian
            scores = np.empty((len(X), columns[k].size))
            scores[:, :n_weights] = of_weights[k]
            scores[:, n_weights:] = natural @ jacobian
            lacking = scores.T @ (held[:, k, None] * scores)
            if spread is not None:
                lacking[n_weights:, n_weights:] += jacobian.T @ spread @ jacobian
            missing[np.ix_(columns[k], columns[k])] += lacking
            total[:, columns[k]] += r[:, k, None] * scores
            gradients[k] += held[:, k] @ natural
        missing -= total.T @ (row_weights[:, None] * total)
    # Pseudo-rows of a Dirichlet prior have the score of their component, and no other.
    fixed = mixture.mixing.fixed
    is_free = np.ones(n_components, dtype=bool) if fixed is None else ~fixed
    pseudo = np.where(is_free, counts + np.asarray(mixture.mixing.concentration) - 1.0, 0.0)
    gradient, complete = np.zeros(n), np.zeros((n, n))
    gradient[:n_weights] = pseudo @ of_weights
    complete[:n_weights, :n_weights] = pseudo.sum() * np.eye(n_weights)
    for k, (own, jacobian) in enumerate(charts):
        of_component = counts[k] * np.eye(len(jacobian)) + family.prior_information(k)
        complete[np.ix_(n_weights + own, n_weights + own)] += jacobian.T @ of_component @ jacobian
        gradient[n_weights + own] += gradients[k] @ jacobian
    complete[n_weights:, n_weights:] += family.curvature(gradients)
    observed = complete - missing
    estimands = [replace(weights, jacobian=np.pad(weights.jacobian, ((0, 0), (0, n - n_weights))))]
    for estimand in family.estimands():
        jacobian = np.pad(estimand.jacobian, ((0, 0), (n_weights, 0)))
        estimands.append(replace(estimand, jacobian=jacobian))
    basis = block_diag(np.eye(n_weights), family.basis)
    return ObservedInformation(
        basis.T @ observed @ basis,
        basis.T @ complete @ basis,
        basis.T @ gradient,
        [replace(item, jacobian=item.jacobian @ basis) for item in estimands],
    )


def _of_weights(mixture: Mixture[Any], params: MixtureParameters[Any]) -> tuple[Estimand, Array]:
    """Return the weights and their coordinates' scores, of shape (n_components, n_coordinates).

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

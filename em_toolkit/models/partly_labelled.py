"""Mixtures of which some rows' components are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from em_toolkit.engine.expectation import BLOCK_SIZE, Rows
from em_toolkit.model import Block, Expectation, LatentVariableModel
from em_toolkit.models.mixture import Mixture, MixtureParameters, Responsibilities
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import Array, IntArray, RandomSource

C = TypeVar("C", bound=Parameters)

UNKNOWN = -1


class PartlyLabelled(LatentVariableModel[MixtureParameters[C], Responsibilities, Any], Generic[C]):
    r"""A mixture, seen together with the components of some of its rows.

    The unit is a row and its label c_i: the index of its component, or −1 where that is unknown.

    .. math:: \log p(x_i, c_i \mid \theta) = \begin{cases}
              \log \pi_{c_i} + \log p(x_i \mid c_i) & \text{if the label is known} \\
              \log \sum_k \pi_k \, p(x_i \mid k) & \text{if it is not} \end{cases}

    The posterior of a row with a known label is that label; the M-step is that of the mixture, on
    these responsibilities (McLachlan & Peel 2000, Finite Mixture Models, section 2.19; O'Neill
    1978). Which rows are labelled may depend on what is seen of them, but not on their components
    otherwise: the weights take the labelled rows for a part of the same population.

    In a block, the label of a row stands behind its features, in a last column: `with_labels`
    puts it there. Rows without a label go through the mixture's own E-step.

    Parameters
    ----------
    mixture : Mixture
        Of the rows; what its E-step, statistics and M-step are, they remain.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit.families import Poisson, PoissonRates
    >>> from em_toolkit.models import Mixture, MixtureParameters, PartlyLabelled, with_labels
    >>> model = PartlyLabelled(Mixture(Poisson()))
    >>> params = MixtureParameters(np.array([0.5, 0.5]), PoissonRates(np.array([[1.0], [3.0]])))
    >>> units = with_labels(np.array([[0.0], [0.0]]), np.array([-1, 1]))
    >>> posterior, log_evidence = model.posterior(params, units)
    >>> posterior.responsibilities.round(3)
    array([[0.881, 0.119],
           [0.   , 1.   ]])
    """

    def __init__(self, mixture: Mixture[C]) -> None:
        self.mixture = mixture

    def posterior(self, params: MixtureParameters[C], X: Array) -> tuple[Responsibilities, Array]:
        rows, labels = _split(X)
        log_joint = self.mixture.log_joint(params, rows)
        components = np.arange(log_joint.shape[1])
        elsewhere = (labels[:, None] != UNKNOWN) & (labels[:, None] != components)
        log_joint[elsewhere] = -np.inf
        return self.mixture.posterior_of(params, rows, log_joint)

    def statistics(
        self, params: MixtureParameters[C], X: Array, posterior: Responsibilities, weights: Array
    ) -> Any:
        return self.mixture.statistics(params, _split(X)[0], posterior, weights)

    def expectation(
        self, params: MixtureParameters[C], X: Array, weights: Array
    ) -> Expectation[Any]:
        unknown = X[:, -1] == UNKNOWN
        if not unknown.any():
            return super().expectation(params, X, weights)
        rows = np.ascontiguousarray(X[unknown, :-1])
        expectation = self.mixture.expectation(params, rows, weights[unknown])
        if unknown.all():
            return expectation
        return expectation + super().expectation(params, X[~unknown], weights[~unknown])

    def maximize(self, params: MixtureParameters[C], stats: Any) -> MixtureParameters[C]:
        return self.mixture.maximize(params, stats)

    def expected_log_joint(self, params: MixtureParameters[C], stats: Any) -> float:
        return self.mixture.expected_log_joint(params, stats)

    def log_prior(self, params: MixtureParameters[C]) -> float:
        return self.mixture.log_prior(params)

    def project(
        self, params: MixtureParameters[C], onto: MixtureParameters[C]
    ) -> MixtureParameters[C]:
        return self.mixture.project(params, onto)

    def rounding_error(self, params: MixtureParameters[C], stats: Any) -> float:
        return self.mixture.rounding_error(params, stats)

    def sample(
        self, params: MixtureParameters[C], n_rows: int, rng: RandomSource
    ) -> tuple[Array, IntArray]:
        """Draw rows with their labels.

        Returns
        -------
        X : ndarray of shape (n_rows, n_features + 1)
        labels : ndarray of shape (n_rows,)
            The last column of X.
        """
        rows, labels = self.mixture.sample(params, n_rows, rng)
        return with_labels(rows, labels), labels


class LabelledRows(Rows):
    """The rows of an array and their labels, as blocks of `PartlyLabelled`.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
    labels : ndarray of shape (n_rows,)
        Components, and −1 where they are unknown.
    weights : array-like of shape (n_rows,), optional
        One each by default.
    block_size : int
        Rows in a block.
    """

    def __init__(
        self,
        X: npt.ArrayLike,
        labels: IntArray,
        weights: npt.ArrayLike | None = None,
        block_size: int = BLOCK_SIZE,
    ) -> None:
        super().__init__(X, weights, block_size)
        self.labels = labels

    def __iter__(self) -> Iterator[Block]:
        start = 0
        for rows, weights in super().__iter__():
            end = start + len(rows)
            yield Block(with_labels(rows, self.labels[start:end]), weights)
            start = end


def with_labels(X: Array, labels: npt.NDArray[Any]) -> Array:
    """Rows of shape (n_rows, n_features), and in a last column their labels."""
    return np.column_stack([X, labels])


def _split(X: Array) -> tuple[Array, Array]:
    """The rows and the labels."""
    return np.ascontiguousarray(X[:, :-1]), X[:, -1]

r"""Coordinates around given parameters, in which information is simple.

In natural parameters η the density of a component is exp(⟨η, t(x)⟩ − A(η)): the score is
t(x) − E t, and the second derivative is −Cov t, whatever x. Scaled so that Cov t = I at the
parameters themselves, the information of a complete row is the identity (Efron 1978; for mixtures
Louis 1982). What a coordinate changes in the parameters is, to first order, what it changes in E t.

Where components share something, their natural parameters are functions of coordinates that are
fewer: each has a chart, J = ∂η/∂c, and with the gradient g in η the information in c is

.. math:: J^\top I_\eta J - \sum_j g_j \, \frac{\partial^2 \eta_j}{\partial c \, \partial c^\top}.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from em_toolkit.statistics import Array, BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class Estimand:
    """A parameter as the user knows it, and how it follows the coordinates.

    Parameters
    ----------
    name : str
        Such as "means".
    values : ndarray
        In the shape of the fitted attribute.
    jacobian : ndarray of shape (values.size, n_coordinates)
    positive : ndarray of bool, of the shape of `values`
        What cannot be negative: variances, rates.
    symmetric : bool
        Whether the last two axes are those of symmetric matrices.
    """

    name: str
    values: Array
    jacobian: Array
    positive: BoolArray
    symmetric: bool = False


class Chart(NamedTuple):
    """The coordinates that move the natural parameters of one component.

    Parameters
    ----------
    columns : ndarray of shape (n_columns,)
        Which of all the coordinates they are; other components may have some of them too.
    jacobian : ndarray of shape (n_natural, n_columns)
    """

    columns: IntArray
    jacobian: Array


class Tangent(ABC):
    """The coordinates of K components.

    Attributes
    ----------
    basis : ndarray of shape (n_coordinates, n_free)
        The directions, in columns, in which the coordinates may move: those of what is neither
        held fixed nor on the edge of what it can be.
    charts : list of Chart
        One for each component.
    """

    basis: Array
    charts: list[Chart]

    @abstractmethod
    def observe(self, X: Array, held: Array) -> Iterator[tuple[Array, Array | None]]:
        """Yield the scores of rows in the natural parameters of one component after the other.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
        held : ndarray of shape (n_rows, n_components)
            How much of each row belongs to each component.

        Yields
        ------
        scores : ndarray of shape (n_rows, n_natural)
            The derivatives of log p(x_i | k).
        spread : ndarray of shape (n_natural, n_natural) or None
            Where entries are missing, Σ_i h_ik Cov[t | what was observed of x_i, k]: by so much
            the information of these rows is less than that of complete ones.
        """

    def prior_gradient(self, component: int) -> Array:
        """Return the derivative of the log prior in a component's natural parameters."""
        return np.zeros(len(self.charts[component].jacobian))

    def prior_information(self, component: int) -> Array:
        """Minus its second derivative, of shape (n_natural, n_natural)."""
        n_natural = len(self.charts[component].jacobian)
        return np.zeros((n_natural, n_natural))

    def curvature(self, gradients: list[Array]) -> Array:
        """−Σ_k ⟨g_k, η_k''⟩, of shape (n_coordinates, n_coordinates).

        Parameters
        ----------
        gradients : list of ndarray of shape (n_natural,)
            g_k, of log likelihood and log prior together.
        """
        return np.zeros((self.basis.shape[0], self.basis.shape[0]))

    @abstractmethod
    def estimands(self) -> list[Estimand]:
        """Return the parameters that a user knows, as functions of the coordinates."""

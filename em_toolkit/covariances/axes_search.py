r"""The axes that K scatters have in common.

For orthogonal D and the scatters S_k = Dᵀ A_k D seen from it, the best variances along the axes
are functions of the diagonals s_k of S_k alone, by a rule (`em_toolkit.covariances.spectra`). What
is left is to minimize

.. math:: F(D) = \min_V \sum_k \Big[ N_k \sum_j \log V_{kj} + \sum_j \frac{s_{kj}}{V_{kj}} \Big]

over the orthogonal group. For free variances this is Flury's (1984) principal components common to
groups. Browne & McNicholas (2014) lower F for fixed V by a majorizer, one of whose steps goes a
small part of the way. Here are Newton's, within the group: with D exp(Ω) for skew-symmetric Ω, and
P_k = V_k⁻¹ at its best,

.. math:: \nabla F = -B, \qquad B_{ij} = \sum_k (S_k)_{ij} (P_{ki} - P_{kj})

by the envelope theorem, and the Hessian follows from how S_k and P_k answer to Ω,

.. math:: \dot S_k = S_k \Omega - \Omega S_k, \qquad \dot P_k = -P_k \, \dot{(\log V_k)}, \qquad
          \nabla^2 F[\Omega] = -\dot B - \tfrac12 (\Omega B - B \Omega)

(the last term is the curvature of the group; Absil, Mahony & Sepulchre 2008, section 5.3). The
linear systems are solved by conjugate gradients, which end where the curvature is negative
(Steihaug 1983), and a step is halved until F falls: it never rises, and the last steps double the
digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from em_toolkit.covariances.rules import SMALLEST_VARIANCE
from em_toolkit.covariances.spectra import VaryingShapes
from em_toolkit.covariances.volumes import TOO_NEAR
from em_toolkit.statistics import EPS, Array

_MOST_STEPS, _MOST_HALVINGS = 200, 40
# Of the gradient, that the solution of a linear system may leave: the steps converge quadratically.
_SHARE_LEFT = 0.1
# Of standard deviations: axes that differ by more do not turn, and its square is a number.
_LARGEST_RATIO = 1e150


@dataclass(frozen=True)
class _View:
    """The scatters as seen from some axes."""

    axes: Array
    scatter: Array
    along: Array
    variances: Array
    objective: float


class AxesSearch:
    """Minimizes F for given scatters.

    Parameters
    ----------
    spectra : VaryingShapes
        The rule for the variances along the axes.
    scatter : ndarray of shape (n_components, n_features, n_features)
        A_k.
    count : ndarray of shape (n_components,)
        N_k.
    previous : ndarray of shape (n_components, n_features) or None
        The variances along the axes before, for components that hold no data.
    floor : float
        The least variance along any axis.
    """

    def __init__(
        self,
        spectra: VaryingShapes,
        scatter: Array,
        count: Array,
        previous: Array | None,
        floor: float = 0.0,
    ) -> None:
        self._spectra, self._scatter, self._count = spectra, scatter, count
        self._previous, self._floor = previous, floor

    def best(self, starts: list[Array]) -> tuple[Array, Array]:
        """Return the axes, in columns, and the variances along them.

        Parameters
        ----------
        starts : list of ndarray of shape (n_features, n_features)
            Axes, from the best of which F is lowered.
        """
        view = min((self._from(axes) for axes in starts), key=lambda view: view.objective)
        for _ in range(_MOST_STEPS):
            if np.isneginf(view.objective):
                break
            gradient = self._gradient(view)
            step = self._newton_step(view, gradient)
            # Half a turn of a plane leads anywhere.
            step = step * (np.pi / max(np.pi, np.abs(step).max(initial=0.0)))
            gains = -float(np.sum(gradient * step)) > TOO_NEAR * float(self._count.sum())
            for halving in range(_MOST_HALVINGS if gains else 0):
                after = self._from(_turned(view.axes, 0.5**halving * step))
                if after.objective < view.objective:
                    break
            else:
                # Too near for F to tell: the gradient does.
                after = self._from(_turned(view.axes, step))
                left = np.abs(self._gradient(after)).max(initial=0.0)
                if not left < 0.5 * np.abs(gradient).max(initial=0.0):
                    break
            view = after
        return view.axes, view.variances

    def _from(self, axes: Array) -> _View:
        scatter = axes.T @ self._scatter @ axes
        along = np.maximum(np.diagonal(scatter, axis1=1, axis2=2), 0.0)
        variances = self._spectra.maximize(along, self._count, self._previous, self._floor)
        if not (variances > 0.0).all():
            # A direction without spread: F is −∞, and the parameters no density.
            return _View(axes, scatter, along, variances, -np.inf)
        objective = float(self._count @ np.log(variances).sum(axis=1) + np.sum(along / variances))
        return _View(axes, scatter, along, variances, objective)

    def _gradient(self, view: _View) -> Array:
        return -self._tilt(view.scatter, 1.0 / view.variances)

    @staticmethod
    def _tilt(scatter: Array, precisions: Array) -> Array:
        """B, skew-symmetric."""
        half = np.einsum("kij,ki->ij", scatter, precisions)
        return np.asarray(half - half.T)

    def _newton_step(self, view: _View, gradient: Array) -> Array:
        scatter, precisions = view.scatter, 1.0 / view.variances
        # Components without data have no say in this.
        along = np.where(view.along > 0.0, view.along, 1.0)

        def hessian(turn: Array) -> Array:
            moved = scatter @ turn - turn @ scatter
            change = np.diagonal(moved, axis1=1, axis2=2) / along
            response = self._spectra.response(along, self._count, change)
            response = np.where(view.variances > self._floor, response, 0.0)
            tilting = self._tilt(moved, precisions) + self._tilt(scatter, -precisions * response)
            return np.asarray(-tilting + 0.5 * (turn @ gradient - gradient @ turn))

        # The curvature in the plane of two axes, all else held; and a part that keeps it positive.
        weights = np.mean(view.along * precisions, axis=1)
        # Of ratios, whose squares are numbers where those of variances are none.
        roots = np.sqrt(along)
        ratios = np.clip(
            roots[:, :, None] / roots[:, None, :], 1.0 / _LARGEST_RATIO, _LARGEST_RATIO
        )
        products = (scatter / roots[:, :, None]) / roots[:, None, :]
        products = np.clip(products, -_LARGEST_RATIO, _LARGEST_RATIO)
        gaps = np.square(ratios - 1.0 / ratios) + 4.0 * np.square(products)
        curvatures = np.einsum("k,kij->ij", weights, gaps)
        # Scatters of zero leave the axes open. No step is longer than a turn.
        least = max(EPS * float(weights.sum()), SMALLEST_VARIANCE, EPS**4 * np.abs(gradient).max())
        curvatures = np.maximum(curvatures, least)
        return _conjugate_gradients(hessian, gradient, curvatures)


def _conjugate_gradients(
    hessian: Callable[[Array], Array], gradient: Array, curvatures: Array
) -> Array:
    """Return a descent direction: the solution of H x = −g, as far as H is positive."""
    step, residual = np.zeros_like(gradient), -gradient
    preconditioned = residual / curvatures
    direction, power = preconditioned, float(np.sum(residual * preconditioned))
    enough = _SHARE_LEFT**2 * power * min(1.0, power)
    for _ in range(gradient.size):
        if not power > enough:
            break
        image = hessian(direction)
        curvature = float(np.sum(direction * image))
        if not curvature > 0.0:
            return step if step.any() else direction
        length = power / curvature
        step = step + length * direction
        residual = residual - length * image
        preconditioned = residual / curvatures
        last, power = power, float(np.sum(residual * preconditioned))
        direction = preconditioned + power / last * direction
    return step


def _turned(axes: Array, turn: Array) -> Array:
    """D exp(Ω), orthogonal to the last digit."""
    product, upper = np.linalg.qr(axes @ expm(turn))
    return np.asarray(product * np.where(np.diagonal(upper) < 0.0, -1.0, 1.0))

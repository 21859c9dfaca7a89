r"""Accelerators: proposals for the next E-step when plain EM is slow.

An iteration of EM is a map θ → M(θ), whose derivative J at the maximum is the fraction of the
information that is missing (Dempster, Laird & Rubin 1977): along a direction in which it is close
to one, EM creeps. But a few pairs (θ, M(θ)) show J along their directions, and where M would lead
in the end. An accelerator proposes such points; the loop in `em_toolkit.engine.em` takes the E-step
there, and keeps the point only if its bound is no lower than what the M-step is known to reach,

.. math:: \log p(x \mid \theta') + \log p(\theta') \ge \mathrm{ELBO}(q, M(\theta)).

Each iteration, accelerated or not, so gains what the M-step alone guarantees: the bound never
falls, and EM's theorems of convergence hold (Wu 1983). Otherwise the E-step is taken at M(θ), as if
nothing had been proposed, at the cost of a pass over the data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from em_toolkit.options import Acceleration, check_option
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import Array, BoolArray


class Accelerator(Protocol):
    """An observer of the steps of EM that says where to go instead.

    It may propose nothing, or a point that turns out to be useless; the loop takes an error of
    arithmetic in it for no proposal.
    """

    def propose(self, params: Any, maximizer: Any) -> Any | None:
        """Return parameters for the next E-step; None for those of the M-step.

        Parameters
        ----------
        params : Parameters
            θ, where the last E-step was taken.
        maximizer : Parameters
            M(θ).
        """

    def reject(self) -> None:
        """Learn that the last proposal lowered the bound; the next E-step is at M(θ)."""


# A rejected proposal costs a pass over the data. There may be one after four iterations, another
# for each eight iterations, and another for every two proposals that were kept: where nothing can
# be gained, an eighth of the passes is lost in the long run, and a fifth of those of a short fit.
_FIRST, _PER_ITERATION, _PER_PROPOSAL = 4, 1 / 8, 1 / 2
# Of a proposal, in steps of plain EM: what lies farther away is lost in rounding.
_FARTHEST = 1e8


class Extrapolation(ABC):
    """An accelerator that works in the free coordinates of the parameters.

    It knows nothing of the model. Coordinates that are infinite (the logarithm of a weight or of
    a rate that is zero) are left as the M-step made them. What is no density, or lies on an edge
    of the parameters' domain where M(θ) does not, is not proposed.

    A proposal is a number of plain EM's steps away, of which there is a greatest: proposals that
    reach it double or quadruple it, rejections make it smaller, and at one they are M(θ) itself.
    """

    def __init__(self) -> None:
        self._credit = -_FIRST * _PER_ITERATION
        self._extrapolated = False
        self._finite: BoolArray | None = None
        # Of a proposal, in steps of plain EM: at most, and of the last one.
        self._longest, self._length = 4.0, 1.0

    @abstractmethod
    def forget(self) -> None:
        """Forget all that was observed."""

    @abstractmethod
    def observe(self, theta: Array, image: Array) -> None:
        """See an iteration of EM: θ and M(θ), of shape (n_coordinates,).

        Parameters
        ----------
        theta : ndarray of shape (n_coordinates,)
            θ.
        image : ndarray of shape (n_coordinates,)
            M(θ).
        """

    @abstractmethod
    def extrapolate(self) -> Array | None:
        """A point beyond M(θ) of the last θ observed; None if there is nothing to be gained."""

    @abstractmethod
    def shorten(self) -> None:
        """Make `_longest` smaller: a proposal of `_length` went too far."""

    def propose(self, params: Any, maximizer: Any) -> Any | None:
        self._credit += _PER_ITERATION + _PER_PROPOSAL * self._extrapolated
        self._extrapolated = False
        # Edges have infinite coordinates, and a step too far overflows: both are looked for.
        with np.errstate(all="ignore"):
            try:
                proposal = self._beyond(params, maximizer)
            except (ArithmeticError, ValueError):
                # What was observed is of no use: a matrix of it is singular, or has overflowed.
                self.forget()
                return None
        self._extrapolated = proposal is not None
        return proposal

    def _beyond(self, params: Any, maximizer: Any) -> Any | None:
        """Observe an iteration, and return parameters beyond it if it is time for some."""
        theta, image = params.to_vector(), maximizer.to_vector()
        finite = np.isfinite(theta) & np.isfinite(image)
        if self._finite is None or not np.array_equal(finite, self._finite):
            self._finite = finite
            self.forget()
        self.observe(theta[finite], image[finite])
        point = self.extrapolate() if self._credit >= 0.0 else None
        if point is None:
            return None
        target = image.copy()
        target[finite] = point
        proposal = maximizer.from_vector(target)
        if not _is_sound(proposal, target, finite):
            self.shorten()
            return None
        return proposal

    def reject(self) -> None:
        self._credit -= 1.0
        self._extrapolated = False
        self.shorten()


def _is_sound(proposal: Any, target: Array, finite: BoolArray) -> bool:
    """Return whether parameters define a density, and lie on just the edges that were aimed at."""
    try:
        proposal.check()
    except CollapseError:
        return False
    free = proposal.to_vector()
    return bool(np.isfinite(free[finite]).all()) and np.array_equal(free[~finite], target[~finite])


class Squarem(Extrapolation):
    r"""Squared extrapolation (Varadhan & Roland 2008), with their steplength S3.

    From two successive steps of EM, r = M(θ) − θ and v = M(M(θ)) − 2 M(θ) + θ,

    .. math:: \theta' = \theta + 2 \alpha r + \alpha^2 v, \qquad
              \alpha = \frac{\lVert r \rVert}{\lVert v \rVert}

    with α from 1, which is M(M(θ)) itself, to a longest that grows fourfold when it is reached and
    shrinks as much if it was too long (α is the negative of theirs). Plain steps and
    extrapolations take turns: θ′ is where the next two steps begin, so that a cycle costs two
    passes over the data.
    """

    def forget(self) -> None:
        self._seen: deque[tuple[Array, Array]] = deque(maxlen=2)

    def observe(self, theta: Array, image: Array) -> None:
        self._seen.append((theta, image - theta))

    def extrapolate(self) -> Array | None:
        if len(self._seen) < 2:
            return None
        (theta, step), (_, next_step) = self._seen
        self._seen.clear()
        bend = next_step - step
        ratio = float(np.linalg.norm(step) / np.linalg.norm(bend))
        self._length = min(max(1.0, ratio), self._longest)
        if self._length == self._longest:
            self._longest = min(4.0 * self._longest, _FARTHEST)
        if self._length == 1.0:
            return None
        return theta + 2.0 * self._length * step + self._length**2 * bend

    def shorten(self) -> None:
        if 4.0 * self._length >= self._longest:
            self._longest = max(1.0, self._longest / 4.0)


# Iterations that are remembered, and how far from parallel their moves must be.
_MEMORY, _PARALLEL = 4, 1e-3


class QuasiNewton(Extrapolation):
    r"""Quasi-Newton steps from secants of EM (Zhou, Alexander & Lange 2011), of bounded length.

    Near the maximum M(θ + δ) = M(θ) + J δ, and the fixed point is θ + (I − J)⁻¹ (M(θ) − θ). The
    last moves from E-step to E-step, and what they changed in M(θ) − θ, give J on the space that
    they span. With an orthonormal basis Q of it, and J = 0 across it (plain EM),

    .. math:: \theta' = M(\theta) + J Q \, (C + \mu I)^{-1} \, Q^\top (M(\theta) - \theta),
              \qquad C = Q^\top (I - J) Q

    which for μ = 0 is their equation 3, and Anderson acceleration of type I (Fang & Saad 2009);
    unlike theirs, a secant takes one iteration and not two. The eigenvalues of C are the
    fractions of information that are *not* missing: along the flattest direction, of eigenvalue
    c, a step is 1/c times plain EM's. Far from the maximum c may be tiny, or negative, where the
    way leads to a saddle. So μ ≥ 0 is such that c + μ ≥ 1/longest. The bound on the length
    doubles when it is reached, and after a rejection is a quarter of the step that was too long.
    """

    def forget(self) -> None:
        self._last: tuple[Array, Array] | None = None
        self._moves: deque[Array] = deque()
        self._changes: deque[Array] = deque()

    def observe(self, theta: Array, image: Array) -> None:
        residual = image - theta
        if self._last is not None:
            move = theta - self._last[0]
            length = np.linalg.norm(move)
            if 0.0 < length < np.inf:
                self._moves.append(move / length)
                self._changes.append((residual - self._last[1]) / length)
            if len(self._moves) > min(_MEMORY, theta.size):
                self._moves.popleft()
                self._changes.popleft()
        self._last = theta, residual

    def extrapolate(self) -> Array | None:
        if self._last is None or not self._moves:
            return None
        theta, residual = self._last
        moves = np.column_stack(self._moves)
        _, sizes, mixing = np.linalg.svd(moves, full_matrices=False)
        distinct = sizes > _PARALLEL * sizes[0]
        to_basis = mixing[distinct].T / sizes[distinct]
        # Not the basis of the decomposition: in this one, what never moved stays to the last bit.
        basis = moves @ to_basis
        # (J − I) Q
        changes = np.column_stack(self._changes) @ to_basis
        information = -basis.T @ changes
        if not np.isfinite(information).all():
            return None
        flattest = float(np.linalg.eigvals(information).real.min())
        shift = max(0.0, 1.0 / self._longest - flattest)
        # Where there is a shift, flattest + shift is 1/longest; as a sum it may round to zero.
        self._length = self._longest if shift > 0.0 else 1.0 / flattest
        if shift > 0.0:
            self._longest = min(2.0 * self._longest, _FARTHEST)
        if self._length <= 1.0:
            return None
        shifted = information + shift * np.eye(information.shape[0])
        step = np.linalg.solve(shifted, basis.T @ residual)
        return theta + residual + (basis + changes) @ step

    def shorten(self) -> None:
        self._longest = max(1.0, min(self._longest, self._length) / 4.0)


ACCELERATIONS: dict[Acceleration, Callable[[], Accelerator]] = {
    "squarem": Squarem,
    "quasi_newton": QuasiNewton,
}


def accelerator_of(name: Acceleration | Accelerator) -> Accelerator:
    """Return a new accelerator of this name, or the accelerator given."""
    if not isinstance(name, str):
        return name
    check_option("acceleration", name, [None, *ACCELERATIONS])
    return ACCELERATIONS[name]()

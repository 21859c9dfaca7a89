r"""The forecast of a fit: the rate of convergence, and the distance left to the final bound.

Near a maximum θ* an iteration of EM is linear, θ′ − θ* = J (θ − θ*), where
J = I − I_complete⁻¹ I_observed is the fraction of the information that is missing (Dempster, Laird
& Rubin 1977). With the eigenvalues λ_i of J and the share b_i of the first M-step in each of its
directions, what half-step j gains is

.. math:: g_j = \sum_i b_i \lambda_i^j, \qquad b_i \ge 0, \quad 0 \le \lambda_i < 1,

M- and E-steps by turns: an M-step raises the bound, and opens the KL gap that the E-step gains (for
the M-step by the complete information, the gap by the missing one). So the two halves of a *single*
iteration show the rate of convergence, λ = gap / gain of the M-step, a mean of the λ_i that rises
to the largest one as the others die out; and Aitken's rule (Boehning et al. 1994; Lindsay 1995,
section 6.4.1), applied to half-steps, gives the distance to the final bound,

.. math:: \sum_{j' > j} g_{j'} \ge g_j \frac{\lambda}{1 - \lambda}.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

# A rate that is wrong by a sixteenth of its distance from one is good enough.
_SAFETY = 16.0
# Iterations over which an accelerated fit is judged: two cycles of what accelerators remember.
_RECENT = 8


class Gains(NamedTuple):
    """The gains of an iteration, in nats per sample.

    Parameters
    ----------
    by_m_step : float
        The bound after the M-step, less that before.
    by_e_step : float
        The bound after the E-step, less that before.
    extrapolated : bool
        Whether the E-step was taken beyond the M-step's parameters.
    rounding : float
        How far rounding may be off in either.
    """

    by_m_step: float
    by_e_step: float
    extrapolated: bool
    rounding: float

    @property
    def is_lost(self) -> bool:
        """Whether rounding explains all of it."""
        return self.by_m_step + self.by_e_step <= _SAFETY * self.rounding

    @property
    def rate(self) -> float:
        """The mean rate of convergence in the direction of the step; NaN if lost in rounding.

        An extrapolation that gained c, where the M-step gained g, shows that no less than c was
        left before it: were the rate below 1 − g/c, plain EM would not have so far to go.
        """
        if self.extrapolated:
            total = self.by_m_step + self.by_e_step
            return math.nan if self.is_lost else max(0.0, 1.0 - self.by_m_step / total)
        # How far the rate is from one is what matters.
        known = abs(self.by_m_step - self.by_e_step) > _SAFETY * self.rounding
        if not known or self.by_m_step == 0.0:
            return math.nan
        return max(0.0, self.by_e_step / self.by_m_step)

    def distance_at(self, rate: float) -> float:
        """Return the gain that is left if the rate stays what it is, from 0 to 1.

        After an extrapolation, what was left before it: it may have led anywhere.
        """
        if self.extrapolated:
            return max(self.by_m_step, self.rounding) / (1.0 - rate)
        return max(self.by_e_step, self.rounding) * rate / (1.0 - rate)


class ConvergenceForecast:
    """The rate of convergence and the distance to the final bound, as the iterations go by.

    The rate of a step is a mean of the eigenvalues. As long as it rises from step to step, slower
    directions are still emerging, and the distance would be understated: by much near a saddle,
    where the steps become short before they become longer. So the distance is taken at the rate
    to which the present trend would lead in the time 1/(1 − λ²) in which plain EM goes most of
    its way. Where that is one or more, no end is in sight.

    An accelerated fit does not follow one direction. From its first extrapolation on, its rate is
    the largest of the last eight iterations, extrapolated ones among them; the distance is then a
    guess, and a sparser one than plain EM's.

    Attributes
    ----------
    rate : float
        The rate of convergence λ of the parameters; the distance shrinks by λ² in an iteration of
        plain EM. NaN before it is known.
    distance : float
        From the last bound to the final one, in nats per sample; ``inf`` if no end is in
        sight.
    """

    def __init__(self) -> None:
        self.rate = math.nan
        self.distance = math.inf
        self._ahead = math.inf
        self._recent: deque[float] = deque(maxlen=1)

    def update(self, gains: Gains) -> None:
        """Take account of the gains of one more iteration."""
        if gains.extrapolated and self._recent.maxlen == 1:
            self._recent = deque(self._recent, maxlen=_RECENT)
        rate = gains.rate
        if not math.isnan(rate):
            self._recent.append(rate)
            largest = max(self._recent)
            rise = math.inf if math.isnan(self.rate) else max(0.0, largest - self.rate)
            self.rate, self._ahead = largest, _ahead(largest, rise)
        elif gains.is_lost:
            # At a fixed point, where nothing but rounding is seen: go on as before.
            self._ahead = self.rate if self.rate < 1.0 else 0.0
        left = gains.distance_at(self._ahead) if self._ahead < 1.0 else math.inf
        self.distance = min(left, self.distance * self._ahead**2) if gains.is_lost else left

    def iterations_to(self, distance: float) -> int | None:
        """Return the number of iterations of plain EM that bring the bound so close to the final
        one.

        None if no end is in sight.
        """
        if not (math.isfinite(self.distance) and distance > 0.0):
            return None
        if self.distance <= distance:
            return 0
        if self._ahead == 0.0:
            return 1
        return math.ceil(math.log(distance / self.distance) / (2.0 * math.log(self._ahead)))


def _ahead(rate: float, rise: float) -> float:
    """Return the rate to which it would rise while plain EM goes most of its way."""
    return rate + rise / (1.0 - rate**2) if rate < 1.0 else math.inf

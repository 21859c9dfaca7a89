"""The ledger of a fit: one row for each half-step."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from em_toolkit.engine.forecast import ConvergenceForecast, Gains
from em_toolkit.notebook import html_table
from em_toolkit.statistics import EPS, Array, BoolArray, IntArray, fields_of

if TYPE_CHECKING:
    import pandas as pd

# Distances, in nats per sample, to which the summary counts the iterations.
_DISTANCES = (1e-3, 1e-6, 1e-9)


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """The ledger of a fit: the bound and its parts after each half-step of EM.

    Row 0 is the E-step at the start, then M- and E-steps take turns; the last row is the E-step
    at the parameters that the fit returned. All values but `seconds` are in nats per sample,
    the convention of scikit-learn's ``lower_bound_``; samples count by their weight.

    An accelerated fit extrapolates: the E-step is then taken at a point beyond the one that the
    M-step found, and only if the bound is no lower there than the `elbo` of the M-step. The rows
    of the M-step stay what they are, the plain step's; but no E-step says what the evidence is
    where it led (see `extrapolated`).

    Parameters
    ----------
    iteration : ndarray of int of shape (n_rows,)
        0 for the start.
    half_step : ndarray of str of shape (n_rows,)
        ``"E"`` or ``"M"``.
    elbo : ndarray of shape (n_rows,)
        energy + entropy + log_prior: the bound that the monitor watches.
    log_evidence : ndarray of shape (n_rows,)
        log p(x | θ) at the parameters of the row. After an M-step it is known from the next
        E-step; NaN if there was none, or it was taken elsewhere.
    kl : ndarray of shape (n_rows,)
        log_evidence + log_prior − elbo = KL(q ‖ p(z | x, θ)), *measured*: its terms are summed
        independently. Zero to rounding after an E-step.
    energy : ndarray of shape (n_rows,)
        E_q[log p(x, z | θ)].
    entropy : ndarray of shape (n_rows,)
        H[q].
    reconstruction : ndarray of shape (n_rows,)
        E_q[log p(x | z, θ)], the first term of the bound's other form, ``elbo = reconstruction −
        kl_to_prior + log_prior``. NaN where the model does not say. Of a mixture z is the
        component; what else is latent within it (missing entries) is part of this term.
    kl_to_prior : ndarray of shape (n_rows,)
        KL(q ‖ p(z | θ)), how much q says of z that was not known before x: never negative, but
        for rounding.
    log_prior : ndarray of shape (n_rows,)
        log p(θ), up to a constant; 0 for maximum likelihood.
    extrapolated : ndarray of bool of shape (n_rows,)
        Which rows are M-steps beyond which the next E-step was taken, by extrapolation.
    seconds : ndarray of shape (n_rows,)
        Wall-clock time since the fit began.
    is_exact : bool
        Whether q is the posterior after an E-step, and the bound the evidence's.
    notes : tuple of str
        What a reader should know of the fitted parameters; mostly nothing.
    """

    iteration: IntArray
    half_step: npt.NDArray[np.str_]
    elbo: Array
    log_evidence: Array
    kl: Array
    energy: Array
    entropy: Array
    reconstruction: Array
    kl_to_prior: Array
    log_prior: Array
    extrapolated: BoolArray
    seconds: Array
    is_exact: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in _COLUMNS:
            getattr(self, name).setflags(write=False)

    def __len__(self) -> int:
        return self.iteration.shape[0]

    def __getstate__(self) -> dict[str, Any]:
        # Without the forecast, which is computed from them.
        return fields_of(self)

    @property
    def after_e_step(self) -> BoolArray:
        """Which rows are E-steps."""
        return np.asarray(self.half_step == "E")

    @property
    def n_iter(self) -> int:
        """The number of iterations, each an M-step and an E-step."""
        return int(self.iteration[-1])

    @property
    def bounds(self) -> Array:
        """The bound at the parameters θ_0, θ_1, ..., of shape (n_iter + 1,).

        Where q is the posterior it is log evidence + log prior: the same as `elbo` after an E-step,
        without the rounding of an energy under ill-conditioned covariances. Elsewhere it is `elbo`.
        """
        bounds = self.log_evidence + self.log_prior if self.is_exact else self.elbo
        return bounds[self.after_e_step]

    @cached_property
    def forecast(self) -> ConvergenceForecast:
        """The forecast of the convergence from the iterations so far."""
        forecast = ConvergenceForecast()
        if not self.is_exact:
            return forecast  # Its laws are those of the exact posterior.
        ends = np.flatnonzero(self.after_e_step)
        noise = _rounding(self.energy, self.entropy, self.log_prior, self.kl)
        for before, after in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            middle = after - 1
            forecast.update(
                Gains(
                    float(self.elbo[middle] - self.elbo[before]),
                    float(self.elbo[after] - self.elbo[middle]),
                    bool(self.extrapolated[middle]),
                    float(max(noise[before], noise[after])),
                )
            )
        return forecast

    @property
    def rate(self) -> float:
        """The estimated rate of convergence: the fraction of the information that is missing.

        The factor by which an iteration shrinks the distance of the parameters from the maximum,
        the largest eigenvalue of EM's map there; it is measured in the direction of the last
        step, which that eigenvalue's comes to dominate. The distance of the bound shrinks by its
        square. One or more: the steps are getting longer. NaN if there is nothing to measure.
        """
        return self.forecast.rate

    @property
    def predicted_bound(self) -> float:
        """The bound to which the fit leads, predicted from its last iterations.

        ``inf`` if no end is in sight: the steps do not shrink, or ever less.
        """
        return float(self.bounds[-1]) + self.forecast.distance

    def iterations_to_go(self, distance: float) -> int | None:
        """Return the number of iterations that bring the bound this close to `predicted_bound`.

        Parameters
        ----------
        distance : float
            In nats per sample.

        Returns
        -------
        iterations : int or None
            Of plain EM. None if no end is in sight, and for an accelerated fit, whose steps
            follow no law.
        """
        return None if self.extrapolated.any() else self.forecast.iterations_to(distance)

    def to_frame(self) -> pd.DataFrame:
        """Return the ledger as a pandas DataFrame (pandas is in the extra ``cli``)."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in _COLUMNS})

    def __repr__(self) -> str:
        if not len(self):
            return "<Trace: empty>"
        first, last = self.elbo[0], self.elbo[-1]
        return (
            f"<Trace: {self.n_iter} iterations, bound from {first:.6g} to {last:.6g} nats per "
            "sample>"
        )

    def _repr_html_(self) -> str | None:
        return html_table(self.to_frame, str(self), max_rows=20, float_format="{:.6g}".format)

    def __str__(self) -> str:
        bounds = self.bounds
        largest_kl = float(np.abs(self.kl[self.after_e_step]).max())
        n_extrapolated = int(self.extrapolated.sum())
        extrapolated = f" ({n_extrapolated} of them extrapolated)" if n_extrapolated else ""
        lines = [
            f"EM: {self.n_iter} iterations{extrapolated}, {self.seconds[-1]:.3g} s",
            f"bound: {bounds[0]:.6f} at the start, {bounds[-1]:.6f} at the end "
            f"(gain {bounds[-1] - bounds[0]:.3g}, last step {_last_gain(bounds):.2g}), "
            "nats per sample",
            f"log evidence {self.log_evidence[-1]:.6f} = energy {self.energy[-1]:.6f} "
            f"+ entropy {self.entropy[-1]:.6f}",
            f"largest measured KL after an E-step: {largest_kl:.1g}"
            if self.is_exact
            else f"KL gap after an E-step: {self.kl[0]:.3g} at the start, "
            f"{self.kl[self.after_e_step][-1]:.3g} at the end",
        ]
        if np.any(self.log_prior != 0.0):
            lines.insert(2, f"log prior {self.log_prior[-1]:.6g} (part of the bound)")
        opened = self.kl[~self.after_e_step]
        opened = opened[~np.isnan(opened)]
        if opened.size:
            lines.append(
                f"KL opened by M-steps: {opened[0]:.3g} at the first, {opened[-1]:.3g} at the last"
            )
        return "\n".join([*lines, *self._forecast_in_words(), *self.notes])

    def _forecast_in_words(self) -> list[str]:
        forecast = self.forecast
        if math.isnan(forecast.rate):
            return []
        words = f"rate of convergence (fraction of missing information): {forecast.rate:.4g}; "
        if math.isinf(forecast.distance):
            return [words + "no end is in sight yet"]
        words += f"predicted final bound {self.predicted_bound:.6f}, {forecast.distance:.2g} above"
        to_go = {distance: self.iterations_to_go(distance) for distance in _DISTANCES}
        left = [f"{number} to within {distance:g}" for distance, number in to_go.items() if number]
        return [words, f"iterations to go: {', '.join(left)}"] if left else [words]


_COLUMNS = tuple(item.name for item in fields(Trace) if item.name not in ("is_exact", "notes"))


def _last_gain(bounds: Array) -> float:
    return float(bounds[-1] - bounds[-2]) if bounds.size > 1 else 0.0


def _rounding(energy: Any, entropy: Any, log_prior: Any, kl: Any) -> Any:
    """Return the rounding error of a bound after an E-step: four units of its terms, and the gap
    that was measured where it should be zero.
    """
    return 4.0 * EPS * (abs(energy) + abs(entropy) + abs(log_prior)) + abs(kl)


class TraceBuilder:
    """Collects rows while a fit runs."""

    def __init__(self, is_exact: bool = True) -> None:
        self.rows: list[dict[str, Any]] = []
        self._is_exact = is_exact

    @property
    def gains(self) -> Gains | None:
        """The gains of the last iteration, of a ledger that ends with its E-step."""
        if len(self.rows) < 3 or not self._is_exact:
            return None
        before, middle, after = self.rows[-3:]
        noise = [
            _rounding(row["energy"], row["entropy"], row["log_prior"], row["kl"])
            for row in (before, after)
        ]
        return Gains(
            middle["elbo"] - before["elbo"],
            after["elbo"] - middle["elbo"],
            middle["extrapolated"],
            max(noise),
        )

    def build(self, n_rows: int) -> Trace:
        rows = self.rows[:n_rows]
        columns: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in _COLUMNS}
        return Trace(**columns, is_exact=self._is_exact)

"""The ledger of a fit: one row for each half-step."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from em_toolkit.statistics import Array, BoolArray, IntArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Trace:
    """What each half-step of EM did to the bound.

    Row 0 is the E-step at the start, then M- and E-steps take turns; the last row is the E-step
    at the parameters that the fit returned. All values but `seconds` are in nats per unit of
    weight (for unweighted data: per row), the convention of scikit-learn's ``lower_bound_``.

    An accelerated fit may leap: the E-step is then taken at a point beyond the one that the
    M-step found, and only if the bound is no lower there than the `elbo` of the M-step. The rows
    of the M-step stay what they are, the plain step's; but no E-step says what the evidence is
    where it led (see `leapt`).

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
    log_prior : ndarray of shape (n_rows,)
        log p(θ), up to a constant; 0 for maximum likelihood.
    seconds : ndarray of shape (n_rows,)
        Wall-clock time since the fit began.
    """

    iteration: IntArray
    half_step: npt.NDArray[np.str_]
    elbo: Array
    log_evidence: Array
    kl: Array
    energy: Array
    entropy: Array
    log_prior: Array
    seconds: Array

    def __post_init__(self) -> None:
        for item in fields(self):
            getattr(self, item.name).setflags(write=False)

    def __len__(self) -> int:
        return self.iteration.shape[0]

    @property
    def after_e_step(self) -> BoolArray:
        """Which rows are E-steps."""
        return np.asarray(self.half_step == "E")

    @property
    def leapt(self) -> BoolArray:
        """Which rows are M-steps that the next E-step was taken beyond, by extrapolation."""
        leapt = np.isnan(self.log_evidence) & ~self.after_e_step
        # A ledger that breaks off after an M-step does not say where the next step would be.
        leapt[-1:] = False
        return leapt

    @property
    def n_iter(self) -> int:
        """The number of iterations, each an M-step and an E-step."""
        return int(self.iteration[-1])

    @property
    def bounds(self) -> Array:
        """The bound at the parameters θ_0, θ_1, ..., of shape (n_iter + 1,).

        It is taken from the side on which it touches, log evidence + log prior: the same as `elbo`
        after an E-step, without the rounding of an energy under ill-conditioned covariances.
        """
        return (self.log_evidence + self.log_prior)[self.after_e_step]

    def to_frame(self) -> pd.DataFrame:
        """The ledger as a pandas DataFrame (pandas is in the extra ``cli``)."""
        import pandas as pd

        return pd.DataFrame({item.name: getattr(self, item.name) for item in fields(self)})

    def __str__(self) -> str:
        bounds = self.bounds
        largest_kl = float(np.abs(self.kl[self.after_e_step]).max())
        n_leaps = int(self.leapt.sum())
        leaps = f" ({n_leaps} of them extrapolated)" if n_leaps else ""
        lines = [
            f"EM: {self.n_iter} iterations{leaps}, {self.seconds[-1]:.3g} s",
            f"bound: {bounds[0]:.6f} at the start, {bounds[-1]:.6f} at the end "
            f"(gain {bounds[-1] - bounds[0]:.3g}, last step {_last_gain(bounds):.2g}), "
            "nats per unit of weight",
            f"log evidence {self.log_evidence[-1]:.6f} = energy {self.energy[-1]:.6f} "
            f"+ entropy {self.entropy[-1]:.6f}",
            f"largest measured KL after an E-step: {largest_kl:.1g}",
        ]
        if np.any(self.log_prior != 0.0):
            lines.insert(2, f"log prior {self.log_prior[-1]:.6g} (part of the bound)")
        opened = self.kl[~self.after_e_step]
        opened = opened[~np.isnan(opened)]
        if opened.size:
            lines.append(
                f"KL opened by M-steps: {opened[0]:.3g} at the first, {opened[-1]:.3g} at the last"
            )
        return "\n".join(lines)


def _last_gain(bounds: Array) -> float:
    return float(bounds[-1] - bounds[-2]) if bounds.size > 1 else 0.0


class TraceBuilder:
    """Collects rows while a fit runs."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def append(self, **row: Any) -> None:
        self.rows.append(row)

    def build(self, n_rows: int) -> Trace:
        rows = self.rows[:n_rows]
        columns = {item.name: np.array([row[item.name] for row in rows]) for item in fields(Trace)}
        return Trace(**columns)

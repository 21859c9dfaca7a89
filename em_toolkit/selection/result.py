"""What became of every mixture that was tried, and which is the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from em_toolkit.engine import Status
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.selection.criteria import CRITERIA
from em_toolkit.statistics import Array

if TYPE_CHECKING:
    import pandas as pd

# Criteria that differ by less, relative to their size, differ by rounding.
_TIE = 1e-10
_N_SHOWN = 5


@dataclass(frozen=True)
class Candidate:
    """One combination, and what became of its fit.

    Parameters
    ----------
    n_components : int
    covariance_type : str or None
        None for mixtures that have no such parameter.
    log_likelihood : float
        log p(X) of all rows with their weights, in nats.
    n_parameters : int or None
        Free parameters; None if the fit failed.
    bic, icl, aic : float
        The lower the better; NaN if the fit failed or ended in a collapse.
    cv : float
        Mean log density of rows that were held out, in nats; NaN if it was not asked for, or the
        fit to some fold failed or ended in a collapse.
    converged : bool
    n_iter : int
    status : str
        The name of the `em_toolkit.Status` of the fit, in lower case.
    seconds : float
        Wall-clock time of the fit to all rows.
    error : str
        What failed or collapsed, in words; empty otherwise.
    """

    n_components: int
    covariance_type: str | None
    log_likelihood: float = np.nan
    n_parameters: int | None = None
    bic: float = np.nan
    icl: float = np.nan
    aic: float = np.nan
    cv: float = np.nan
    converged: bool = False
    n_iter: int = 0
    status: str = Status.FAILED.name.lower()
    seconds: float = np.nan
    error: str = ""

    @property
    def name(self) -> str:
        """What to call it, such as ``"EEE, 3"``."""
        kind = [] if self.covariance_type is None else [self.covariance_type]
        return ", ".join([*kind, str(self.n_components)])

    def score(self, criterion: str) -> float:
        """Its value of a criterion, NaN if it has none."""
        value: float = getattr(self, criterion)
        return value


M = TypeVar("M", bound=MixtureEstimator)


@dataclass(frozen=True, eq=False)
class MixtureSelection(Generic[M]):
    """The result of `select_mixture`: what became of every combination, and the best fit.

    Parameters
    ----------
    criterion : {"bic", "icl", "aic", "cv"}
        What the combinations were compared by.
    candidates : tuple of Candidate
        By number of components, and within it by covariance type.
    best_index_ : int
        The place of the best one among them.
    best_estimator_ : estimator
        Its fit to all rows.

    Attributes
    ----------
    scores : ndarray of shape (n_candidates,)
        The criterion of each candidate, NaN where it failed: for ``"cv"`` the higher the better,
        otherwise the lower.
    best_params_ : dict
        The parameters that distinguish the best one: ``n_components`` and ``covariance_type``.
    """

    criterion: str
    candidates: tuple[Candidate, ...]
    best_index_: int
    best_estimator_: M

    @property
    def scores(self) -> Array:
        """The criterion of each candidate, of shape (n_candidates,); NaN where it failed."""
        return scores_of(self.candidates, self.criterion)

    @property
    def best_params_(self) -> dict[str, Any]:
        """The parameters that distinguish the best one."""
        best = self.candidates[self.best_index_]
        params: dict[str, Any] = {"n_components": best.n_components}
        if best.covariance_type is not None:
            params["covariance_type"] = best.covariance_type
        return params

    def to_frame(self) -> pd.DataFrame:
        """A row for each candidate, as a pandas DataFrame (pandas is in the extra ``cli``)."""
        import pandas as pd

        frame = pd.DataFrame([asdict(candidate) for candidate in self.candidates])
        frame = frame.astype({"n_parameters": "Int64"})
        return frame if self.criterion == "cv" else frame.drop(columns="cv")

    def __str__(self) -> str:
        criterion = CRITERIA[self.criterion]
        losses = criterion.losses(self.scores)
        # The best first, which among equals need not be the first of them.
        order = np.lexsort((np.arange(losses.size) != self.best_index_, losses))
        shown = [i for i in order if not np.isnan(losses[i])][:_N_SHOWN]
        lines = [
            f"{criterion.label} of {losses.size} mixtures ({criterion.direction}); the best:",
            "covariance  components         score  difference  log-likelihood  parameters",
        ]
        for i in shown:
            candidate, places = self.candidates[i], criterion.decimals
            lines.append(
                f"{candidate.covariance_type or '-':10}  {candidate.n_components:10d}  "
                f"{self.scores[i]:12.{places}f}  "
                f"{self.scores[i] - self.scores[self.best_index_]:10.{places}f}  "
                f"{candidate.log_likelihood:14.3f}  {candidate.n_parameters:10d}"
            )
        return "\n".join([*lines, *self._remarks()])

    def _remarks(self) -> list[str]:
        remarks = []
        numbers = {candidate.n_components for candidate in self.candidates}
        most, best = max(numbers), self.candidates[self.best_index_].n_components
        if len(numbers) > 1 and best == most:
            remarks.append(f"the best has the most components tried, {most}: try more")
        complaint = complaint_about(self.candidates, self.criterion)
        return [*remarks, complaint] if complaint else remarks


def scores_of(candidates: Sequence[Candidate], criterion: str) -> Array:
    """The criterion of each candidate, of shape (n_candidates,); NaN where it failed."""
    return np.array([candidate.score(criterion) for candidate in candidates])


def place_of_best(candidates: Sequence[Candidate], criterion: str) -> int:
    """The place of the best; of equals, the one with fewer parameters, and then the first."""
    losses = CRITERIA[criterion].losses(scores_of(candidates, criterion))
    if np.isnan(losses).all():
        raise ValueError(
            f"select_mixture expects that at least one of the {len(candidates)} combinations can "
            f"be fitted, and none could. The first, {candidates[0].name}: {candidates[0].error}"
        )
    lowest = np.nanmin(losses)
    tied = np.flatnonzero(losses <= lowest + _TIE * abs(lowest))
    return min(tied.tolist(), key=lambda i: (candidates[i].n_parameters, i))


def complaint_about(candidates: Sequence[Candidate], criterion: str) -> str:
    """How many have no score, or have not converged; empty if all is well."""
    outcomes = Counter(filter(None, (_complaint(each, criterion) for each in candidates)))
    if not outcomes:
        return ""
    counts = " and ".join(f"{n} {what}" for what, n in sorted(outcomes.items(), reverse=True))
    return f"of {len(candidates)} fits {counts}; to_frame() has their status and error."


def _complaint(candidate: Candidate, criterion: str) -> str:
    if candidate.status == Status.INTERRUPTED.name.lower():
        return "were not made (interrupted from the keyboard)"
    if np.isnan(candidate.score(criterion)):
        return "failed"
    return "" if candidate.converged else "did not converge (increase max_iter or tol)"

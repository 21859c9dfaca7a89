"""One combination of a search, and the best of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from em_toolkit.engine import Status
from em_toolkit.selection.criteria import CRITERIA
from em_toolkit.statistics import Array

# Criteria that differ by less, relative to their size, differ by rounding.
_TIE = 1e-10


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
    init_params : str or None
        The start from which the fit is the best; None if it failed, or was given responsibilities.
    seconds : float
        Wall-clock time of the fits to all rows, from each start.
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
    init_params: str | None = None
    seconds: float = np.nan
    error: str = ""

    @property
    def name(self) -> str:
        """A name such as ``"EEE, 3"``."""
        kind = [] if self.covariance_type is None else [self.covariance_type]
        return ", ".join([*kind, str(self.n_components)])

    def score(self, criterion: str) -> float:
        """Return the value of a criterion, NaN if the candidate has none."""
        value: float = getattr(self, criterion)
        return value


def scores_of(candidates: Sequence[Candidate], criterion: str) -> Array:
    """Return the criterion of each candidate, of shape (n_candidates,); NaN where it failed.

    Parameters
    ----------
    candidates : sequence of Candidate
    criterion : {"bic", "icl", "aic", "cv"}
    """
    return np.array([candidate.score(criterion) for candidate in candidates])


def place_of_best(candidates: Sequence[Candidate], criterion: str) -> int:
    """Return the place of the best; of equals, the one with fewer parameters, and then the first.

    Parameters
    ----------
    candidates : sequence of Candidate
    criterion : {"bic", "icl", "aic", "cv"}

    Raises
    ------
    ValueError
        If all candidates failed.
    """
    losses = CRITERIA[criterion].losses(scores_of(candidates, criterion))
    if np.isnan(losses).all():
        raise ValueError(
            f"select_mixture expects that at least one of the {len(candidates)} combinations can "
            f"be fitted, and none could. The first, {candidates[0].name}: {candidates[0].error}"
        )
    lowest = np.nanmin(losses)
    tied = np.flatnonzero(losses <= lowest + _TIE * abs(lowest))
    return min(tied.tolist(), key=lambda i: (candidates[i].n_parameters, i))

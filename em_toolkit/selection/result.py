"""The result of a search: every mixture that was tried, and the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.selection.candidate import Candidate, scores_of
from em_toolkit.selection.criteria import CRITERIA
from em_toolkit.selection.reporting import as_html, score_table, summary
from em_toolkit.statistics import Array

if TYPE_CHECKING:
    import pandas as pd


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
        Its fit to all rows, of the columns in `features_`.
    features_ : ndarray of shape (n_features,)
        The columns that were fitted, by name where they have names and else by index: all but those
        whose values are all equal.
    left_out : dict
        The value of each column that was left out, by its name or index.

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
    features_: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    left_out: Mapping[Any, float] = field(default_factory=dict)

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
        """Return a row for each candidate, as a pandas DataFrame (pandas is in the extra ``cli``).

        ``score`` is the criterion by which they were compared.
        """
        import pandas as pd

        frame = pd.DataFrame([asdict(candidate) for candidate in self.candidates])
        frame.insert(2, "score", self.scores)
        frame = frame.astype({"n_parameters": "Int64"})
        return frame if self.criterion == "cv" else frame.drop(columns="cv")

    def score_table(self) -> pd.DataFrame:
        """Return the criterion by covariance type (rows) and number of components (columns).

        A pandas DataFrame (pandas is in the extra ``cli``); NaN where a fit failed.
        """
        import pandas as pd

        scores = score_table(self.candidates, self.criterion)
        table = pd.DataFrame.from_dict(scores, orient="index").sort_index(axis="columns")
        return table.rename_axis(index="covariance_type", columns="n_components")

    def __str__(self) -> str:
        return summary(self)

    def __repr__(self) -> str:
        best, kind = self.candidates[self.best_index_], CRITERIA[self.criterion]
        n_failed = int(np.isnan(self.scores).sum())
        failures = f", {n_failed} failed" if n_failed else ""
        return (
            f"<MixtureSelection: {best.name}, {kind.label} "
            f"{self.scores[self.best_index_]:.{kind.decimals}f}; the best of "
            f"{len(self.candidates)} mixtures{failures}>"
        )

    def _repr_html_(self) -> str:
        return as_html(self)

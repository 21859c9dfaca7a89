"""A selection in words and tables: the best, all by type and number, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Protocol

import numpy as np

from em_toolkit.engine import Status
from em_toolkit.selection.candidate import Candidate
from em_toolkit.selection.criteria import CRITERIA
from em_toolkit.statistics import Array

_N_SHOWN = 5
_COLLAPSED, _INTERRUPTED = Status.COLLAPSED.name.lower(), Status.INTERRUPTED.name.lower()


class Comparison(Protocol):
    """The outcome of a search, as it is told: `MixtureSelection` says what each part is."""

    @property
    def criterion(self) -> str: ...
    @property
    def candidates(self) -> tuple[Candidate, ...]: ...
    @property
    def best_index_(self) -> int: ...
    @property
    def left_out(self) -> Mapping[Any, float]: ...
    @property
    def scores(self) -> Array: ...


def summary(selection: Comparison) -> str:
    """Return the five best, a line each, and remarks."""
    criterion, scores = CRITERIA[selection.criterion], selection.scores
    losses, best = criterion.losses(scores), selection.best_index_
    # The best first, which among equals need not be the first of them.
    order = np.lexsort((np.arange(losses.size) != best, losses))
    shown = [i for i in order if not np.isnan(losses[i])][:_N_SHOWN]
    lines = [
        f"{criterion.label} of {losses.size} mixtures ({criterion.direction}); the best:",
        "covariance  components         score  difference  log-likelihood  parameters",
    ]
    for i in shown:
        candidate, places = selection.candidates[i], criterion.decimals
        lines.append(
            f"{candidate.covariance_type or '-':10}  {candidate.n_components:10d}  "
            f"{scores[i]:12.{places}f}  {scores[i] - scores[best]:10.{places}f}  "
            f"{candidate.log_likelihood:14.3f}  {candidate.n_parameters:10d}"
        )
    return "\n".join([*lines, *remarks(selection)])


def as_html(selection: Comparison) -> str:
    """Return the score of each covariance type and number of components, the best in bold."""
    criterion = CRITERIA[selection.criterion]
    scores = score_table(selection.candidates, selection.criterion)
    best = selection.candidates[selection.best_index_]
    numbers = sorted({number for of_type in scores.values() for number in of_type})
    head = "".join(f"<th>{number}</th>" for number in numbers)
    rows = []
    for kind, of_type in scores.items():
        cells = []
        for number in numbers:
            score = of_type.get(number, np.nan)
            text = "–" if np.isnan(score) else f"{score:.{criterion.decimals}f}"
            if (kind, number) == (best.covariance_type, best.n_components):
                text = f"<b>{text}</b>"
            cells.append(f"<td>{text}</td>")
        rows.append(f"<tr><th>{escape(kind or '')}</th>{''.join(cells)}</tr>")
    title = f"{criterion.label} by number of components ({criterion.direction}); {selection!r}"
    notes = "".join(f"<p>{escape(remark)}</p>" for remark in remarks(selection))
    return (
        f"<table><caption>{escape(title)}</caption><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{notes}"
    )


def score_table(
    candidates: Sequence[Candidate], criterion: str
) -> dict[str | None, dict[int, float]]:
    """Return the criterion by covariance type and, within it, by number of components.

    Parameters
    ----------
    candidates : sequence of Candidate
    criterion : {"bic", "icl", "aic", "cv"}
    """
    scores: dict[str | None, dict[int, float]] = {}
    for candidate in candidates:
        of_type = scores.setdefault(candidate.covariance_type, {})
        of_type[candidate.n_components] = candidate.score(criterion)
    return scores


def remarks(selection: Comparison) -> list[str]:
    """Return remarks on the choice, a sentence or two each."""
    found = []
    numbers = {candidate.n_components for candidate in selection.candidates}
    most, best = max(numbers), selection.candidates[selection.best_index_].n_components
    if len(numbers) > 1 and best == most:
        found.append(f"the best has the most components tried, {most}: try more")
    complaint = problems_of(selection.candidates, selection.criterion)
    return [each for each in (*found, complaint, note_on_constants(selection.left_out)) if each]


def note_on_constants(left_out: Mapping[Any, float]) -> str:
    """Say which columns were left out; return "" if none were."""
    if not left_out:
        return ""
    named = ", ".join(
        f"{repr(name) if isinstance(name, str) else f'feature {name}'} ({value:.6g})"
        for name, value in left_out.items()
    )
    return (
        f"left out, as a density has no maximum in a column of equal values: {named}. "
        "best_estimator_ takes the other columns, which are features_, and counts features among "
        "these."
    )


def problems_of(candidates: Sequence[Candidate], criterion: str) -> str:
    """Return a sentence on fits that failed or have not converged, "" if there are none.

    Parameters
    ----------
    candidates : sequence of Candidate
    criterion : {"bic", "icl", "aic", "cv"}
        NaN in a candidate whose fit failed.
    """
    n, unfinished, failed = len(candidates), Counter[str](), []
    for candidate in candidates:
        if candidate.status == _INTERRUPTED:
            unfinished["were not made (interrupted from the keyboard)"] += 1
        elif np.isnan(candidate.score(criterion)):
            failed.append(candidate)
        elif not candidate.converged:
            unfinished["did not converge (increase max_iter or tol)"] += 1
    parts = [f"{count} of {n} fits {what}" for what, count in sorted(unfinished.items())]
    if failed:
        parts.insert(0, _on_failures(failed, n))
    return "; ".join([*parts, "to_frame() has their status and error."]) if parts else ""


def _on_failures(failed: Sequence[Candidate], n_fits: int) -> str:
    collapsed = [candidate for candidate in failed if candidate.status == _COLLAPSED]
    first, n_others = (collapsed or failed)[0], n_fits - len(failed)
    told = f"{len(failed)} of {n_fits} fits failed"
    if collapsed:
        told += f", {len(collapsed)} of them since a component collapsed, which is no maximum"
    # Of an estimator's error, the cause at its end.
    cause = first.error.rpartition(" Seen: ")[2].rstrip(".")
    return f"{told}: the choice is among the other {n_others}. {first.name}: {cause}"

"""How many components, and of which covariance: fit all combinations and compare them."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, check_cv
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_sample_weight

from em_toolkit.engine import Status
from em_toolkit.estimators.base import rows_with_weight
from em_toolkit.estimators.gaussian_mixture import STRUCTURES, GaussianMixture
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.initialization import INITIALIZERS
from em_toolkit.statistics import Array, IntArray

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

# In mclust's order, from one variance for all to a matrix for each component.
_MCLUST_STRUCTURES = (
    *("EII", "VII", "EEI", "VEI", "EVI", "VVI"),
    *("EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"),
)
_STRUCTURES = ("spherical", "diag", "tied", "full")
# With one feature there are two: one variance for all components, or one for each.
_ONE_FEATURE = {"mclust": ("EII", "VII"), "scikit-learn": ("tied", "full")}

# Criteria that differ by less, relative to their size, differ by rounding.
_TIE = 1e-10
_N_SHOWN = 5


@dataclass(frozen=True)
class Criterion:
    """What combinations are compared by.

    Parameters
    ----------
    label : str
        What to call it.
    greater_is_better : bool
    decimals : int
        After the point, to read the differences that matter.
    """

    label: str
    greater_is_better: bool = False
    decimals: int = 3

    @property
    def direction(self) -> str:
        """Which values are good, in words."""
        return "higher is better" if self.greater_is_better else "lower is better"

    def losses(self, scores: npt.ArrayLike) -> Array:
        """The scores, of which the lowest is now the best."""
        losses = np.asarray(scores, dtype=np.float64)
        return -losses if self.greater_is_better else losses


CRITERIA = {
    "bic": Criterion("BIC"),
    "icl": Criterion("ICL"),
    "aic": Criterion("AIC"),
    "cv": Criterion("held-out log density by row", greater_is_better=True, decimals=5),
}


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


@dataclass(frozen=True, eq=False)
class MixtureSelection:
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
    best_estimator_: Any

    @property
    def scores(self) -> Array:
        """The criterion of each candidate, of shape (n_candidates,); NaN where it failed."""
        return np.array([getattr(candidate, self.criterion) for candidate in self.candidates])

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
        complaint = _complaint(self.candidates, self.criterion)
        return "\n".join([*lines, complaint] if complaint else lines)


@dataclass(frozen=True)
class _Sums:
    """What the criteria are made of, summed over rows with their weights.

    Parameters
    ----------
    weight : float
        n, the total weight.
    log_likelihood : float
        Σ_i w_i log p(x_i).
    log_certainty : float
        Σ_i w_i log max_k r_ik: how sure it is of which component a row is.
    n_parameters : int
    """

    weight: float
    log_likelihood: float
    log_certainty: float
    n_parameters: int

    @classmethod
    def of(cls, estimator: MixtureEstimator, X: Any, sample_weight: Any) -> Self:
        """One pass over the data."""
        rows, weights, _ = rows_with_weight(estimator._fitted_rows(X), sample_weight)
        weights = np.ones(rows.shape[0]) if weights is None else weights
        log_likelihood = log_certainty = 0.0
        for block, posterior, log_density in estimator._posteriors(rows):
            highest = posterior.log_responsibilities.max(axis=1)
            log_likelihood += float(np.sum(weights[block] * log_density))
            log_certainty += float(np.sum(weights[block] * highest))
        total, n_parameters = float(weights.sum()), estimator._n_parameters()
        return cls(total, log_likelihood, log_certainty, n_parameters)

    @property
    def bic(self) -> float:
        return -2.0 * self.log_likelihood + self.n_parameters * float(np.log(self.weight))

    @property
    def aic(self) -> float:
        return -2.0 * self.log_likelihood + 2.0 * self.n_parameters

    @property
    def icl(self) -> float:
        return self.bic - 2.0 * self.log_certainty


def icl(estimator: MixtureEstimator, X: npt.ArrayLike, sample_weight: Any = None) -> float:
    r"""Integrated completed likelihood, in BIC's approximation: the lower the better.

    .. math:: \mathrm{ICL} = \mathrm{BIC} - 2 \sum_i w_i \log \max_k r_{ik}

    BIC, and a penalty for rows that might belong to several components (Biernacki, Celeux &
    Govaert 2000): it looks for clusters, where BIC looks for a density. mclust's ``icl`` is the
    same with the opposite sign.

    Parameters
    ----------
    estimator : GaussianMixture, PoissonMixture or another mixture
        Fitted.
    X : array-like of shape (n_samples, n_features)
    sample_weight : array-like of shape (n_samples,), default=None
        How many times each row counts; n is their sum.

    Returns
    -------
    icl : float

    References
    ----------
    Biernacki, Celeux & Govaert (2000), Assessing a mixture model for clustering with the
    integrated completed likelihood, IEEE Trans. Pattern Anal. Mach. Intell. 22.

    Examples
    --------
    >>> from em_toolkit import GaussianMixture
    >>> from em_toolkit.datasets import load_faithful
    >>> from em_toolkit.selection import icl
    >>> X = load_faithful().data
    >>> gm = GaussianMixture(2, tol=1e-8, max_iter=1000, reg_covar=0, random_state=0).fit(X)
    >>> print(f"{gm.bic(X):.2f} {icl(gm, X):.2f}")
    2322.19 2322.70
    """
    return _Sums.of(estimator, X, sample_weight).icl


def default_covariance_types(n_features: int) -> tuple[str, ...]:
    """The structures that `select_mixture` compares, from few parameters to many.

    They are mclust's fourteen where `GaussianMixture` knows them, else scikit-learn's four. With
    one feature only two differ: one variance for all components, or one for each.
    """
    has_mclust = set(_MCLUST_STRUCTURES) <= set(STRUCTURES)
    if n_features == 1:
        return _ONE_FEATURE["mclust" if has_mclust else "scikit-learn"]
    return _MCLUST_STRUCTURES if has_mclust else _STRUCTURES


def _default_estimator() -> GaussianMixture:
    # What EM has not gained yet would count against a model: here the end comes later.
    start = "hierarchical" if "hierarchical" in INITIALIZERS else "kmeans"
    return GaussianMixture(init_params=start, tol=1e-5, max_iter=1000)


def select_mixture(
    X: npt.ArrayLike,
    n_components: Iterable[int] | int = range(1, 10),
    covariance_types: Iterable[str] | str | None = None,
    *,
    criterion: str = "bic",
    estimator: MixtureEstimator | None = None,
    sample_weight: Any = None,
    cv: Any = 5,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
    **options: Any,
) -> MixtureSelection:
    r"""Choose the number of components and their covariance: mclust's model selection.

    Every combination is fitted to all rows, and all are compared by one criterion. With p free
    parameters and n rows (the sum of the weights, if there are any):

    - "bic": :math:`-2 \log p(X) + p \log n`, the Bayesian information criterion (Schwarz 1978);
    - "icl": BIC :math:`- 2 \sum_i \log \max_k r_{ik}`, which also charges for components that
      overlap (Biernacki, Celeux & Govaert 2000): for clusters rather than a density;
    - "aic": :math:`-2 \log p(X) + 2 p` (Akaike 1974), which tends to take too many components;
    - "cv": the mean log density of rows that were held out (Smyth 2000), in nats, which may also
      take more components than there are. It costs as many fits more as there are folds.

    The lower the better, as in scikit-learn (mclust's BIC and ICL are these times −1); for "cv"
    the higher. Of combinations that are equal to rounding, such as one component with its own
    covariance and one with a shared covariance, the one with fewer parameters is taken, and then
    the one that comes first.

    A combination whose fit fails does not end the search. Its score is NaN, its error is kept, and
    a warning counts it. So too one whose fit ends in a collapse: its likelihood has no maximum.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data, a row each.
    n_components : iterable of int, or int, default=range(1, 10)
        The numbers of components to try.
    covariance_types : iterable of str, or str, default=None
        The values of `covariance_type` to try. By default all that differ
        (`default_covariance_types`). For mixtures that have no such parameter: None.
    criterion : {"bic", "icl", "aic", "cv"}, default="bic"
    estimator : mixture, default=None
        What to clone for each fit; not fitted itself. By default a `GaussianMixture` with
        ``tol=1e-5`` and ``max_iter=1000``: criteria may differ by little, so its EM goes on for
        longer than usual.
    sample_weight : array-like of shape (n_samples,), default=None
        How many times each row counts. They are taken at their word: weights of 2 are twice the
        rows for BIC. Weights that say how important rows are should be scaled to sum to the number
        of rows.
    cv : int or scikit-learn splitter or iterable of (train, test), default=5
        For "cv": the number of folds, into which the rows are shuffled, or what splits them.
    n_jobs : int, default=None
        Fits at a time, in processes of joblib; −1 is one for each core, None one unless
        ``joblib.parallel_config`` says otherwise. The results are the same to the bit.
    random_state : int, RandomState instance or None, default=None
        Seed. An int is given to every fit (and to the shuffling of folds), so that each can be
        repeated on its own; otherwise one is drawn, and is the ``random_state`` of
        ``best_estimator_``. By default the estimator's.
    verbose : int, default=0
        1 shows the progress on stderr.
    **options
        Parameters of the estimator, such as ``reg_covar=0``.

    Returns
    -------
    selection : MixtureSelection

    Raises
    ------
    ValueError
        For data or parameters that cannot be used, and if every fit failed.

    References
    ----------
    Schwarz (1978), Ann. Statist. 6; Akaike (1974), IEEE Trans. Autom. Control 19; Biernacki,
    Celeux & Govaert (2000), IEEE Trans. Pattern Anal. Mach. Intell. 22; Smyth (2000), Stat.
    Comput. 10; Fraley & Raftery (2002), J. Amer. Statist. Assoc. 97.

    Examples
    --------
    >>> from em_toolkit.datasets import load_faithful
    >>> from em_toolkit.selection import select_mixture
    >>> X = load_faithful().data
    >>> types = ["spherical", "diag", "tied", "full"]
    >>> selection = select_mixture(X, range(1, 5), types, random_state=0)
    >>> selection.best_params_
    {'n_components': 3, 'covariance_type': 'tied'}
    >>> print(selection)
    BIC of 16 mixtures (lower is better); the best:
    covariance  components         score  difference  log-likelihood  parameters
    tied                 3      2314...
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion: expected one of {list(CRITERIA)}, got {criterion!r}.")
    template = _default_estimator() if estimator is None else _cloned(estimator)
    template.set_params(**options)
    rows = template._validate_rows(X, reset=True)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(
            sample_weight, rows, dtype=np.float64, ensure_non_negative=True
        )
    seed = _seed(template.random_state if random_state is None else random_state)
    template.set_params(random_state=seed)
    estimators = _combinations(template, n_components, covariance_types, rows.shape[1])
    folds = list(_splitter(cv, seed).split(rows)) if criterion == "cv" else []

    candidates: list[Candidate] = [Candidate(0, None)] * len(estimators)
    fitted: list[MixtureEstimator | None] = [None] * len(estimators)
    with _progress(len(estimators), criterion, verbose) as said:
        for i, candidate, fit in _fits(estimators, X, sample_weight, folds, n_jobs, verbose):
            candidates[i], fitted[i] = candidate, fit
            said(candidate)
    best = _best(candidates, criterion)
    complaint = _complaint(candidates, criterion)
    if complaint:
        warnings.warn(f"select_mixture: {complaint}", ConvergenceWarning, stacklevel=2)
    return MixtureSelection(criterion, tuple(candidates), best, fitted[best])


# -- what is asked for ----------------------------------------------------------------------------


def _cloned(estimator: Any) -> MixtureEstimator:
    if not isinstance(estimator, MixtureEstimator):
        raise TypeError(
            "estimator: expected a mixture of em_toolkit, such as GaussianMixture(reg_covar=0), "
            f"got {type(estimator).__name__}."
        )
    cloned: MixtureEstimator = clone(estimator)
    return cloned


def _seed(random_state: Any) -> int:
    """One seed for all fits, whichever process they run in."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def _splitter(cv: Any, seed: int) -> Any:
    if isinstance(cv, Integral):
        return KFold(int(cv), shuffle=True, random_state=seed)
    return check_cv(cv)


def _combinations(
    template: MixtureEstimator,
    n_components: Iterable[int] | int,
    covariance_types: Iterable[str] | str | None,
    n_features: int,
) -> list[MixtureEstimator]:
    """An estimator for each combination, whose parameters have been checked."""
    numbers: list[Any] = (
        list(n_components) if isinstance(n_components, Iterable) else [n_components]
    )
    variants = _variants(template, covariance_types, n_features)
    if not numbers or not variants:
        raise ValueError(
            "select_mixture expects at least one number of components and one covariance type, "
            f"got n_components={numbers} and covariance_types={covariance_types!r}."
        )
    strange = [k for k in numbers if not isinstance(k, Integral)]
    if strange:
        raise TypeError(
            f"n_components: expected whole numbers, such as range(1, 10), got {strange[0]!r}."
        )
    distinct = sorted({int(k) for k in numbers})
    estimators = [
        clone(template).set_params(n_components=k, **variant)
        for k in distinct
        for variant in variants
    ]
    for estimator in estimators:
        estimator._validate_params()
    return estimators


def _variants(
    template: MixtureEstimator, covariance_types: Iterable[str] | str | None, n_features: int
) -> list[dict[str, str]]:
    if "covariance_type" not in template.get_params(deep=False):
        if covariance_types is not None:
            raise ValueError(
                f"{type(template).__name__} has no covariance_type to choose: leave "
                "covariance_types out."
            )
        return [{}]
    if covariance_types is None:
        covariance_types = default_covariance_types(n_features)
    elif isinstance(covariance_types, str):
        covariance_types = [covariance_types]
    return [{"covariance_type": kind} for kind in dict.fromkeys(covariance_types)]


# -- fitting --------------------------------------------------------------------------------------

_Fold = tuple[IntArray, IntArray]
_Outcome = tuple[int, Candidate, MixtureEstimator | None]


def _fits(
    estimators: Sequence[MixtureEstimator],
    X: Any,
    sample_weight: Array | None,
    folds: Sequence[_Fold],
    n_jobs: int | None,
    verbose: int,
) -> Iterable[_Outcome]:
    """What became of each combination; in the order of their ends where that is to be shown."""
    order = "generator_unordered" if verbose > 0 else "list"
    with warnings.catch_warnings():
        # They go to the workers with each fit. What they would say is kept, and said once.
        warnings.simplefilter("ignore", ConvergenceWarning)
        outcomes: Iterable[_Outcome] = Parallel(n_jobs=n_jobs, return_as=order)(
            delayed(_try)(i, estimator, X, sample_weight, folds)
            for i, estimator in enumerate(estimators)
        )
    return outcomes


def _try(
    index: int,
    estimator: MixtureEstimator,
    X: Any,
    sample_weight: Array | None,
    folds: Sequence[_Fold],
) -> _Outcome:
    """Fit one combination. Whatever goes wrong is its result: others may fare better."""
    candidate = Candidate(estimator.n_components, getattr(estimator, "covariance_type", None))
    began = perf_counter()
    try:
        _fit(estimator, X, sample_weight)
        seconds = perf_counter() - began
        sums = _Sums.of(estimator, X, sample_weight)
    except Exception as error:
        seconds = perf_counter() - began
        return index, replace(candidate, seconds=seconds, error=_in_words(error)), None
    collapse = _collapse(estimator)
    candidate = replace(
        candidate,
        log_likelihood=sums.log_likelihood,
        n_parameters=sums.n_parameters,
        converged=bool(estimator.converged_),
        n_iter=int(estimator.n_iter_),
        status=estimator.status_.name.lower(),
        seconds=seconds,
        error=collapse,
    )
    if collapse:
        return index, candidate, estimator
    held_out, failure = _cross_validated(estimator, X, sample_weight, folds)
    return (
        index,
        replace(candidate, bic=sums.bic, icl=sums.icl, aic=sums.aic, cv=held_out, error=failure),
        estimator,
    )


def _fit(estimator: MixtureEstimator, X: Any, sample_weight: Array | None) -> None:
    estimator.fit(X, sample_weight=sample_weight)
    if estimator.status_ is Status.INTERRUPTED:
        # It is the whole search that a person wants to end.
        raise KeyboardInterrupt


def _collapse(estimator: MixtureEstimator) -> str:
    """What collapsed; empty if nothing did, or another start fared better."""
    if estimator.status_ is not Status.COLLAPSED:
        return ""
    causes = [r.cause for r in estimator.restarts_ if r.status is Status.COLLAPSED]
    return f"{estimator.status_} ({causes[0]})"


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _cross_validated(
    estimator: MixtureEstimator, X: Any, sample_weight: Array | None, folds: Sequence[_Fold]
) -> tuple[float, str]:
    """The mean log density of the rows held out, or NaN and what failed."""
    total = weight = 0.0
    for number, (train, test) in enumerate(folds):
        train_weight, test_weight = (
            None if sample_weight is None else sample_weight[part] for part in (train, test)
        )
        other = clone(estimator)
        try:
            _fit(other, _safe_indexing(X, train), train_weight)
            failure = _collapse(other)
            if not failure:
                sums = _Sums.of(other, _safe_indexing(X, test), test_weight)
        except Exception as error:
            failure = _in_words(error)
        if failure:
            return np.nan, f"fold {number} of {len(folds)}: {failure}"
        total, weight = total + sums.log_likelihood, weight + sums.weight
    return (total / weight if folds else np.nan), ""


# -- choosing -------------------------------------------------------------------------------------


def _best(candidates: Sequence[Candidate], criterion: str) -> int:
    losses = CRITERIA[criterion].losses([getattr(c, criterion) for c in candidates])
    if np.isnan(losses).all():
        raise ValueError(
            f"select_mixture expects that at least one of the {len(candidates)} combinations can "
            f"be fitted, and none could. The first, {candidates[0].name}: {candidates[0].error}"
        )
    lowest = np.nanmin(losses)
    tied = np.flatnonzero(losses <= lowest + _TIE * abs(lowest))
    return min(tied.tolist(), key=lambda i: (candidates[i].n_parameters, i))


def _complaint(candidates: Collection[Candidate], criterion: str) -> str:
    """How many have no score, or have not converged; empty if all is well."""
    outcomes = Counter(
        "failed"
        if np.isnan(getattr(candidate, criterion))
        else "did not converge (increase max_iter or tol)"
        for candidate in candidates
        if np.isnan(getattr(candidate, criterion)) or not candidate.converged
    )
    if not outcomes:
        return ""
    counts = " and ".join(f"{n} {what}" for what, n in sorted(outcomes.items(), reverse=True))
    return f"of {len(candidates)} fits {counts}; to_frame() has their status and error."


# -- progress -------------------------------------------------------------------------------------


@contextmanager
def _progress(n_fits: int, criterion: str, verbose: int) -> Iterator[Callable[[Candidate], None]]:
    """Someone to tell of each candidate: a bar of rich where it can be drawn, else lines."""
    if verbose <= 0:
        yield lambda candidate: None
        return
    console = _rich_console()
    if console is None:
        n_done = 0

        def say(candidate: Candidate) -> None:
            nonlocal n_done
            n_done += 1
            print(f"[{n_done}/{n_fits}] {_line(candidate, criterion)}", file=sys.stderr, flush=True)

        yield say
        return
    from rich.progress import Progress

    with Progress(console=console) as bar:
        task = bar.add_task("select_mixture", total=n_fits)
        yield lambda candidate: bar.update(task, advance=1, description=_line(candidate, criterion))


def _line(candidate: Candidate, criterion: str) -> str:
    score, kind = getattr(candidate, criterion), CRITERIA[criterion]
    outcome = "failed" if np.isnan(score) else f"{kind.label} {score:.{kind.decimals}f}"
    return f"{candidate.name}: {outcome} ({candidate.seconds:.2g} s)"


def _rich_console() -> Console | None:
    """A console on stderr on which a bar can move; None without rich or without a terminal."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console(stderr=True)
    return console if console.is_terminal or console.is_jupyter else None

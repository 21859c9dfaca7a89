"""The search: every number of components and every covariance, fitted and compared."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, check_cv
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_sample_weight

from em_toolkit.engine import Status
from em_toolkit.estimators.gaussian_mixture import GaussianMixture
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.estimators.rows import Data
from em_toolkit.families import Resolution
from em_toolkit.options import CovarianceType, Criterion, check_option
from em_toolkit.selection.candidate import Candidate, place_of_best
from em_toolkit.selection.combinations import combinations
from em_toolkit.selection.criteria import CRITERIA
from em_toolkit.selection.progress import progress
from em_toolkit.selection.reporting import note_on_constants, problems_of
from em_toolkit.selection.result import MixtureSelection
from em_toolkit.selection.trial import Trials
from em_toolkit.statistics import Array

# The tree finds groups of any shape, but in many columns not those that differ a little in each;
# k-means on standardized columns does. Both start the same whatever the units and the origin.
_STARTS = ("hierarchical", "kmeans_standardized")
M = TypeVar("M", bound=MixtureEstimator)


@overload
def select_mixture(
    X: npt.ArrayLike,
    n_components: Iterable[int] | int = ...,
    covariance_types: Iterable[CovarianceType] | CovarianceType | None = ...,
    *,
    criterion: Criterion = ...,
    estimator: None = None,
    sample_weight: npt.ArrayLike | None = ...,
    cv: Any = ...,
    n_jobs: int | None = ...,
    random_state: int | np.random.RandomState | None = ...,
    verbose: int = ...,
    **options: Any,
) -> MixtureSelection[GaussianMixture]: ...


@overload
def select_mixture(
    X: npt.ArrayLike,
    n_components: Iterable[int] | int = ...,
    covariance_types: Iterable[CovarianceType] | CovarianceType | None = ...,
    *,
    criterion: Criterion = ...,
    estimator: M,
    sample_weight: npt.ArrayLike | None = ...,
    cv: Any = ...,
    n_jobs: int | None = ...,
    random_state: int | np.random.RandomState | None = ...,
    verbose: int = ...,
    **options: Any,
) -> MixtureSelection[M]: ...


def select_mixture(
    X: npt.ArrayLike,
    n_components: Iterable[int] | int = range(1, 10),
    covariance_types: Iterable[CovarianceType] | CovarianceType | None = None,
    *,
    criterion: Criterion = "bic",
    estimator: MixtureEstimator | None = None,
    sample_weight: npt.ArrayLike | None = None,
    cv: Any = 5,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
    **options: Any,
) -> MixtureSelection[Any]:
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

    Each combination is fitted from two starts, and the better fit is kept: the clusters of a tree
    ("hierarchical", mclust's start), and those of k-means on standardized columns, which finds
    groups that differ a little in each of many columns. They do not depend on units or origin.

    A combination whose fit fails does not end the search. Its score is NaN, its error is kept, and
    a warning counts it. So too one whose fit ends in a collapse: where a component shrinks onto
    rows that share the value of a feature, the likelihood has no maximum
    (`em_toolkit.families.Resolution`). Columns whose values are all equal are left out, with a
    warning. Ctrl-C ends the search with what is known by then.

    The choice does not change when X is moved or multiplied by a number. Where each column is
    multiplied by a number of its own it may, as EII, VII, EEV, VEV, EVE and VVE then are other
    models: they compare variances of different columns. The other eight are not.

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
        What to clone for each fit, from its own start alone; not fitted itself. By default a
        `GaussianMixture` with ``reg_covar=0``, since a likelihood that would be infinite without
        would be compared by `reg_covar` alone, and with ``tol=1e-5`` and ``max_iter=1000``, since
        criteria may differ by little.
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
        Parameters of the estimator, such as ``n_init=5``. With `init_params` that start is the
        only one.

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
    >>> from em_toolkit import select_mixture
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
    check_option("criterion", criterion, CRITERIA)
    template = _default_estimator() if estimator is None else _cloned(estimator)
    template.set_params(**options)
    rows = template._validate_rows(X, reset=True)
    weights: Array | None = None
    if sample_weight is not None:
        weights = _check_sample_weight(
            sample_weight, rows, dtype=np.float64, ensure_non_negative=True
        )
    X, rows, features, left_out = _varying(template, X, rows, weights)
    seed = _seed(template.random_state if random_state is None else random_state)
    template.set_params(random_state=seed)
    estimators = combinations(template, n_components, covariance_types, rows.shape[1])
    starts: list[Any] = [template.init_params]
    if estimator is None and "init_params" not in options:
        starts = list(_STARTS)
    folds = list(_splitter(cv, seed).split(rows)) if criterion == "cv" else []

    candidates, fits = _search(
        estimators, Trials(X, weights, folds, starts), criterion, n_jobs, verbose
    )
    best = place_of_best(candidates, criterion)
    for remark, category in (
        (problems_of(candidates, criterion), ConvergenceWarning),
        (note_on_constants(left_out), UserWarning),
    ):
        if remark:
            warnings.warn(f"select_mixture: {remark}", category, stacklevel=2)
    return MixtureSelection(criterion, tuple(candidates), best, fits[best], features, left_out)


def _search(
    estimators: Sequence[MixtureEstimator],
    trials: Trials,
    criterion: str,
    n_jobs: int | None,
    verbose: int,
) -> tuple[list[Candidate], dict[int, MixtureEstimator]]:
    """Return the outcome of each combination, and by their place the fits that have a score.

    Ctrl-C ends the search with those that are known by then, as it does a single fit.
    """
    candidates = [
        Candidate(
            estimator.n_components,
            getattr(estimator, "covariance_type", None),
            status=Status.INTERRUPTED.name.lower(),
        )
        for estimator in estimators
    ]
    fits: dict[int, MixtureEstimator] = {}
    with warnings.catch_warnings(), progress(len(estimators), criterion, verbose) as say:
        # They go to the workers with each fit. What they would say is kept, and said once.
        warnings.simplefilter("ignore", ConvergenceWarning)
        outcomes = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
            delayed(trials)(place, estimator) for place, estimator in enumerate(estimators)
        )
        try:
            for place, candidate, fit in outcomes:
                candidates[place] = candidate
                if fit is not None:
                    fits[place] = fit
                say(candidate)
        except KeyboardInterrupt:
            if not fits:
                raise
    return candidates, fits


def _varying(
    template: MixtureEstimator, X: Any, rows: Data, sample_weight: Array | None
) -> tuple[Any, Data, npt.NDArray[Any], dict[Any, float]]:
    """The columns to fit, of X as it was given and of its rows; their names; the other columns.

    A density has no maximum in a column of equal values, and every mixture the same there.
    """
    names = getattr(template, "feature_names_in_", np.arange(rows.shape[1]))
    if "covariance_type" not in template.get_params(deep=False):
        return X, rows, names, {}
    counted = rows if sample_weight is None else rows[sample_weight > 0.0]
    constant = Resolution(counted).constant
    if constant.all():
        raise ValueError(
            "select_mixture expects a column whose values differ, got equal values in each of "
            f"{rows.shape[1]} columns."
        )
    if not constant.any():
        return X, rows, names, {}
    kept = np.flatnonzero(~constant)
    values = np.fmax.reduce(counted[:, constant], axis=0).tolist()
    left_out = dict(zip(names[constant].tolist(), values, strict=True))
    has_names = hasattr(template, "feature_names_in_")
    X = _safe_indexing(X, kept, axis=1) if has_names else rows[:, kept]
    return X, rows[:, kept], names[kept], left_out


def _default_estimator() -> GaussianMixture:
    # What EM has not gained yet would count against a model: here the end comes later. And a
    # likelihood that reg_covar alone holds back from infinity would be compared by reg_covar.
    return GaussianMixture(init_params="hierarchical", reg_covar=0.0, tol=1e-5, max_iter=1000)


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

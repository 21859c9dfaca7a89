"""Poisson mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import check_non_negative

from em_toolkit.data import BLOCK_SIZE
from em_toolkit.estimators.base import in_precision
from em_toolkit.estimators.checks import check_shape, check_weights
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.estimators.rows import Data
from em_toolkit.families import Poisson, PoissonRates
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.options import Acceleration, BoundCheck, InitParams, Matrix, Stopping


def check_whole(X: Data, names: Data | None) -> None:
    """Raise a `ValueError` unless all entries are whole numbers.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Finite.
    names : ndarray of shape (n_features,) or None
        The names of the features.
    """
    whole = np.ones(X.shape[1], dtype=np.bool_)
    # By blocks, since X may be larger than memory.
    for rows in gen_batches(len(X), BLOCK_SIZE):
        block = X[rows]
        whole &= (block == np.round(block)).all(axis=0)
    if whole.all():
        return
    feature = int(np.flatnonzero(~whole)[0])
    column = X[:, feature]
    value = column[column != np.round(column)][0]
    name = feature if names is None else repr(names[feature])
    raise ValueError(
        f"PoissonMixture: expected counts, whole numbers from 0 on, got {value:g} in feature "
        f"{name} ({np.count_nonzero(~whole)} of {len(whole)} features have such entries). A "
        "Poisson distribution gives them no probability. Round what should be counts "
        "(numpy.round), leave the other columns out, or take GaussianMixture for measurements."
    )


class PoissonMixture(MixtureEstimator):
    r"""A mixture of products of Poisson distributions, for counts.

    .. math:: p(x) = \sum_k \pi_k \prod_j \frac{\lambda_{kj}^{x_j} e^{-\lambda_{kj}}}{x_j!}

    Entries are whole numbers from 0 on; anything else has no probability, and is an error.

    Parameters
    ----------
    n_components : int, default=1
        The number of components K.
    tol : float, default=1e-3
        EM stops when an iteration raises the bound by less, in nats per sample.
    max_iter : int, default=100
        The largest number of iterations. 0 returns the start.
    n_init : int, default=1
        The number of starts; the best result is kept.
    init_params : str or array-like of shape (n_samples, n_components), default="kmeans"
        The start: "kmeans", "kmeans_sample", "kmeans_standardized", "k-means++", "random",
        "random_from_data", "hierarchical", "short_em", "auto"; or the responsibilities to start
        from. `em_toolkit.initialization` compares the ways.
    weights_init : array-like of shape (n_components,), default=None
        Weights of the start, in place of those that `init_params` gives.
    rates_init : array-like of shape (n_components, n_features), default=None
        Rates of the start, in place of those that `init_params` gives.
    random_state : int, RandomState instance or None, default=None
        Seed of the start and of `sample`.
    warm_start : bool, default=False
        Whether a second `fit` continues from the first; `n_init` is then ignored.
    verbose : int, default=0
        1 prints starts and iterations, 2 also times and gains.
    verbose_interval : int, default=10
        Iterations between two prints.
    bound_check : {"raise", "warn", "off"}, default="raise"
        What to do if the bound falls by more than rounding explains, which is a bug.
    acceleration : {None, "squarem", "quasi_newton"}, default=None
        How to extrapolate the steps of EM, as in `GaussianMixture`.
    n_jobs : int, default=None
        Threads, as in `GaussianMixture`.
    weight_concentration : float or array-like of shape (n_components,), default=1.0
        α_k ≥ 1 of a Dirichlet prior of the weights, Σ_k (α_k − 1) log π_k: as if each component had
        α_k − 1 more rows. 1 is maximum likelihood.
    fixed : dict, default=None
        What stays as it is at the start: a mapping from "weights" or "rates" to True (all
        components), to indices of components or to a mask of them, as in `GaussianMixture`.
    stopping : {"step", "distance"}, default="step"
        What is compared with `tol`: the gain of an iteration, or the predicted distance to the
        final bound, as in `GaussianMixture`.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        The weights π_k.
    rates_ : ndarray of shape (n_components, n_features)
        The rates λ_kj, in counts a row.
    converged_, n_iter_, lower_bound_, lower_bounds_, trace_, status_, n_passes_, restarts_
        As in `GaussianMixture`.

    References
    ----------
    Hasselblad (1969), Estimation of finite mixtures of distributions from the exponential family.

    Examples
    --------
    >>> from em_toolkit import PoissonMixture
    >>> counts = [[count] for count in range(10)]
    >>> deaths = [162, 267, 271, 185, 111, 61, 27, 8, 3, 1]
    >>> pm = PoissonMixture(
    ...     2, weights_init=[0.5, 0.5], rates_init=[[1.0], [3.0]], tol=1e-14, max_iter=5000
    ... ).fit(counts, sample_weight=deaths)
    >>> pm.weights_.round(4), pm.rates_.ravel().round(4), round(1096 * pm.lower_bound_, 6)
    (array([0.3599, 0.6401]), array([1.2561, 2.6634]), -1989.94586)
    """

    rates_: Data

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MixtureEstimator._parameter_constraints,
        "rates_init": ["array-like", None],
    }
    _parts = ("weights", "rates")
    _how_to_fill = (
        "Fill them by a Gaussian mixture of the same table, rounded to counts: filled = "
        "em_toolkit.GaussianMixture(n_components=1).fit(X).impute(X), then "
        "numpy.maximum(numpy.round(filled), 0)."
    )
    _remedy = "Use another start, or fewer components."
    _collapse_message = (
        "Fitting the mixture model failed because the start gives some rows no probability. "
        f"{_remedy}"
    )

    def __init__(
        self,
        n_components: int = 1,
        *,
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitParams | Matrix = "kmeans",
        weights_init: npt.ArrayLike | None = None,
        rates_init: npt.ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        bound_check: BoundCheck = "raise",
        acceleration: Acceleration | None = None,
        n_jobs: int | None = None,
        weight_concentration: float | npt.ArrayLike = 1.0,
        fixed: Mapping[str, Any] | None = None,
        stopping: Stopping = "step",
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.rates_init = rates_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.bound_check = bound_check
        self.acceleration = acceleration
        self.n_jobs = n_jobs
        self.weight_concentration = weight_concentration
        self.fixed = fixed
        self.stopping = stopping

    @classmethod
    def from_parameters(
        cls,
        weights: npt.ArrayLike,
        rates: npt.ArrayLike,
        *,
        feature_names: Sequence[str] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a mixture that is known and was not fitted.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Non-negative, with a sum of 1.
        rates : array-like of shape (n_components, n_features)
            Non-negative, in counts a row.
        feature_names : sequence of str, default=None
            The names of the features.
        **settings
            Parameters of the constructor, such as ``random_state``.

        Returns
        -------
        mixture : PoissonMixture

        Raises
        ------
        ValueError
            For weights that do not sum to 1, negative rates, and shapes that do not match.

        Examples
        --------
        >>> from em_toolkit import PoissonMixture
        >>> PoissonMixture.from_parameters([0.5, 0.5], [[1.0], [9.0]]).predict([[2], [7]])
        array([0, 1])
        """
        rates = np.asarray(check_array(rates, dtype=np.float64))
        rates = _check_rates(rates, rates.shape)
        params = MixtureParameters(check_weights(weights, rates.shape[0]), PoissonRates(rates))
        return cls._known(params, rates.shape[1], feature_names, settings)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        # Whole numbers, which is what scikit-learn means by this.
        tags.input_tags.categorical = True
        return tags

    def _validate_rows(self, X: Any, *, reset: bool) -> Data:
        rows = super()._validate_rows(X, reset=reset)
        check_non_negative(rows, "PoissonMixture (input X)")
        check_whole(rows, getattr(self, "feature_names_in_", None))
        return rows

    def _check_fitted(self) -> None:
        super()._check_fitted()
        if (self.rates_ < 0.0).any():
            raise ValueError(f"rates_ should not be negative, but has {self.rates_.min():g}")

    def _model(self) -> Mixture[PoissonRates]:
        return Mixture(Poisson(self._fixed()["rates"]), self._mixing())

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        return {"weights_": (self.n_components,), "rates_": (self.n_components, n_features)}

    def _given(self, n_features: int) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if self.weights_init is not None:
            given["weights"] = check_weights(self.weights_init, self.n_components)
        if self.rates_init is not None:
            given["rates"] = _check_rates(self.rates_init, self._shapes(n_features)["rates_"])
        return given

    def _start_with(
        self, start: MixtureParameters[PoissonRates] | None, given: dict[str, Any]
    ) -> MixtureParameters[PoissonRates]:
        parts = given
        if start is not None:
            parts = {"weights": start.weights, "rates": start.components.rates} | given
        return MixtureParameters(parts["weights"], PoissonRates(parts["rates"]))

    def _parameters(self) -> MixtureParameters[PoissonRates]:
        rates = np.asarray(self.rates_, dtype=np.float64)
        return MixtureParameters(np.asarray(self.weights_, dtype=np.float64), PoissonRates(rates))

    def _attributes_of(
        self, mixture: Mixture[Any], params: MixtureParameters[PoissonRates], dtype: npt.DTypeLike
    ) -> dict[str, Any]:
        return in_precision({"weights_": params.weights, "rates_": params.components.rates}, dtype)


def _check_rates(rates: Any, shape: tuple[int, ...]) -> Data:
    """Return the rates of a start or of a known mixture: non-negative, and of this shape."""
    rates = check_array(rates, dtype=np.float64, ensure_2d=False)
    check_shape(rates, shape, "rates")
    if (rates < 0.0).any():
        raise ValueError(
            f"The parameter 'rates' should be non-negative, but got min {rates.min():.5f}"
        )
    return np.asarray(rates)

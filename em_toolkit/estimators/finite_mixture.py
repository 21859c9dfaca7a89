"""Mixtures of any family, a person's own included."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from em_toolkit.covariances import FullCovariances
from em_toolkit.estimators.base import in_precision
from em_toolkit.estimators.checks import check_weights
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.estimators.rows import Data
from em_toolkit.families import Family
from em_toolkit.initialization import filled
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.options import Acceleration, BoundCheck, InitParams, Matrix, Stopping
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import Array


class FiniteMixture(MixtureEstimator):
    r"""A finite mixture of any family, fitted by expectation-maximization.

    .. math:: p(x) = \sum_k \pi_k \, p(x \mid k)

    The family says what a component is; a class of four methods will do (`em_toolkit.families`).
    Labels, densities, criteria, the ledger, weights of rows, known labels, acceleration and
    restarts are those of every mixture. Draws need a family that can be sampled; a start from the
    data needs one that finds components from responsibilities, and else `components_init`.

    Parameters
    ----------
    family : Family
        The density of a component.
    n_components : int, default=1
        The number of components K.
    tol : float, default=1e-3
        EM stops when an iteration raises the bound by less, in nats per sample.
    max_iter : int, default=100
        The largest number of iterations. 0 returns the start.
    n_init : int, default=1
        The number of starts; the best result is kept.
    init_params : str or array-like of shape (n_samples, n_components), default="kmeans"
        The start, as in `GaussianMixture`, of families that can be started.
    weights_init : array-like of shape (n_components,), default=None
        Weights of the start; equal ones beside `components_init`.
    components_init : Parameters, default=None
        Components of the start.
    random_state : int, RandomState instance or None, default=None
        Seed of the start and of `sample`.
    warm_start : bool, default=False
        Whether a second `fit` continues from the first; `n_init` is then ignored.
    verbose, verbose_interval : int
        As in `GaussianMixture`.
    bound_check : {"raise", "warn", "off"}, default="raise"
        What to do if the bound falls, which only a wrong family can cause.
    acceleration : {None, "squarem", "quasi_newton"}, default=None
        Extrapolate the steps of EM.
    n_jobs : int, default=None
        The number of threads; None for what joblib says, or all cores.
    weight_concentration : float or array-like of shape (n_components,), default=1.0
        α ≥ 1 of a Dirichlet prior of the weights.
    stopping : {"step", "distance"}, default="step"
        What is compared with `tol`, as in `GaussianMixture`.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        The weights π_k.
    components_ : Parameters
        The parameters of the family.
    converged_, n_iter_, lower_bound_, lower_bounds_, trace_, status_, n_passes_, restarts_
        As in `GaussianMixture`.

    See Also
    --------
    em_toolkit.testing.check_model : Finds what is wrong with a family.

    Examples
    --------
    >>> from em_toolkit import FiniteMixture
    >>> from em_toolkit.families import Poisson
    >>> counts = [[0], [1], [0], [2], [1], [9], [12], [8], [11], [10]]
    >>> fit = FiniteMixture(Poisson(), 2, random_state=0).fit(counts)
    >>> fit.components_.rates.round(1).ravel()
    array([10. ,  0.8])
    >>> fit.predict([[1], [9]])
    array([1, 0])
    """

    components_: Parameters

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MixtureEstimator._parameter_constraints,
        "family": [Family],
        "components_init": [Parameters, None],
    }
    _parts = ("weights", "components")
    _remedy = "Use another start (components_init), or fewer components."
    _collapse_message = f"Fitting the mixture model failed. {_remedy}"
    _how_to_fill = "Fill them, or use a family that takes missing entries."
    # Of the components nothing is held but what the family itself holds.
    fixed = None

    def __init__(
        self,
        family: Family[Any, Any],
        n_components: int = 1,
        *,
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitParams | Matrix = "kmeans",
        weights_init: npt.ArrayLike | None = None,
        components_init: Parameters | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        bound_check: BoundCheck = "raise",
        acceleration: Acceleration | None = None,
        n_jobs: int | None = None,
        weight_concentration: float | npt.ArrayLike = 1.0,
        stopping: Stopping = "step",
    ) -> None:
        self.family = family
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.components_init = components_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.bound_check = bound_check
        self.acceleration = acceleration
        self.n_jobs = n_jobs
        self.weight_concentration = weight_concentration
        self.stopping = stopping

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.family.takes_missing_entries
        return tags

    def _rows_to_start_from(
        self, X: Data, weights: Array | None, random_state: np.random.RandomState
    ) -> Data:
        return filled(X, weights, FullCovariances, random_state)

    def _model(self) -> Mixture[Any]:
        return Mixture(self.family, self._mixing())

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        return {"weights_": (self.n_components,)}

    def _model_for(self, X: Data, weights: Array | None) -> Mixture[Any]:
        if self.components_init is not None:
            rows = np.nan_to_num(np.asarray(X[:1], dtype=np.float64))
            n_given = self.family.log_density(self.components_init, rows).shape[1]
            if n_given != self.n_components:
                raise ValueError(
                    f"components_init: expected the parameters of n_components={self.n_components} "
                    f"component(s), got those of {n_given}."
                )
        return self._model()

    def _given(self, n_features: int) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if self.weights_init is not None:
            given["weights"] = check_weights(self.weights_init, self.n_components)
        if self.components_init is not None:
            given["components"] = self.components_init
            given.setdefault("weights", np.full(self.n_components, 1.0 / self.n_components))
        return given

    def _start_with(
        self, start: MixtureParameters[Any] | None, given: dict[str, Any]
    ) -> MixtureParameters[Any]:
        parts = given
        if start is not None:
            parts = {"weights": start.weights, "components": start.components} | given
        return MixtureParameters(parts["weights"], parts["components"])

    def _parameters(self) -> MixtureParameters[Any]:
        return MixtureParameters(np.asarray(self.weights_, dtype=np.float64), self.components_)

    def _attributes_of(
        self, mixture: Mixture[Any], params: MixtureParameters[Any], dtype: npt.DTypeLike
    ) -> dict[str, Data | Parameters]:
        return {
            **in_precision({"weights_": params.weights}, dtype),
            "components_": params.components,
        }

"""The estimator of all mixtures: one fit, and what is asked of a fitted mixture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from em_toolkit.analysis.criteria import (
    InformationCriteria,
    information_criteria,
    log_certainty,
)
from em_toolkit.analysis.inference import Inference, infer
from em_toolkit.analysis.merging import merge_components
from em_toolkit.analysis.posteriors import most_probable_components, responsibilities
from em_toolkit.engine import Rows, Threads, number_of_threads
from em_toolkit.engine.blas import blas_for
from em_toolkit.estimators.base import EMEstimator
from em_toolkit.estimators.checks import (
    check_concentration,
    check_fixed,
    check_responsibilities,
    check_sample_labels,
    check_support,
)
from em_toolkit.estimators.continuation import fingerprint
from em_toolkit.estimators.merging import MixtureMerging
from em_toolkit.estimators.noise import refuse_noise
from em_toolkit.estimators.rows import (
    Data,
    FitData,
    callback_task,
    check_sizes,
    rows_by_pattern,
    rows_that_count,
    rows_with_weight,
    validated,
    with_nan,
)
from em_toolkit.estimators.running import Run
from em_toolkit.estimators.sklearn_bases import fit_context
from em_toolkit.initialization import (
    INITIALIZERS,
    from_responsibilities,
    in_their_components,
    named_by_labels,
)
from em_toolkit.kernels import plan_for
from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.models.mixture import UNKNOWN, Mixture, MixtureParameters
from em_toolkit.options import InitParams, Matrix
from em_toolkit.statistics import Array, BoolArray, IntArray

# What predict calls noise.
NOISE = -1
# Numbers in the data times components: fits of fewer hold Python's lock most of the time.
_WORTH_THREADS = 20_000


class Starts(NamedTuple):
    """The starts of a fit.

    Parameters
    ----------
    makers : list of callables
        Each gives the parameters of a start.
    previous_bound : float
        The bound before the last iteration of an earlier fit that is continued; else −inf.
    """

    makers: list[Callable[[], MixtureParameters[Any]]]
    previous_bound: float = -np.inf


class MixtureEstimator(EMEstimator):
    """A mixture with scikit-learn's methods; a subclass defines the components.

    The threads of `n_jobs` share the E-step, each a part of the rows; or, where there are more
    starts (`n_init`) than blocks of rows, each takes a start. They never do both at once. One start
    follows the other if `verbose` or a callback reports them. The result is the same, to the bit,
    for any number.
    """

    n_components: int
    n_init: int
    init_params: InitParams | Matrix
    weights_init: npt.ArrayLike | None
    warm_start: bool
    n_jobs: int | None
    weight_concentration: float | npt.ArrayLike
    fixed: Mapping[str, Any] | None
    weights_: Data

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **EMEstimator._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(INITIALIZERS)), "array-like"],
        "weights_init": ["array-like", None],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "weight_concentration": [Interval(Real, 1.0, None, closed="left"), "array-like"],
        "fixed": [dict, None],
    }

    _remedy = (
        "Try to decrease the number of components, increase reg_covar, or scale the input data."
    )
    _collapse_message = (
        "Fitting the mixture model failed because some components have ill-defined empirical "
        f"covariance (for instance caused by singleton or collapsed samples). {_remedy}"
    )

    # -- what a subclass defines ------------------------------------------------------------------

    _parts: ClassVar[tuple[str, ...]]
    _how_to_fill: ClassVar[str] = ""

    @abstractmethod
    def _model(self) -> Mixture[Any]:
        """Return the mixture, with none of the priors that depend on the data."""

    def _model_for(self, X: Data, weights: Array | None) -> Mixture[Any]:
        """Return the mixture of the components alone, for these data and their weights."""
        return self._model()

    @abstractmethod
    def _given(self, n_features: int) -> dict[str, Any]:
        """Return the checked parts of a start that the user gave, by name of the parameter."""

    @abstractmethod
    def _start_with(
        self, start: MixtureParameters[Any] | None, given: dict[str, Any]
    ) -> MixtureParameters[Any]:
        """Return a start with the given parts in place; `start` is None if all are given."""

    @abstractmethod
    def _parameters(self) -> MixtureParameters[Any]: ...

    @abstractmethod
    def _attributes_of(
        self, mixture: Mixture[Any], params: MixtureParameters[Any], dtype: npt.DTypeLike
    ) -> dict[str, Any]:
        """Return the fitted attributes that hold the parameters of a mixture."""

    def _remarks(
        self, X: Data, weights: Array | None, params: MixtureParameters[Any]
    ) -> list[Warning]:
        """Return what a reader should know of parameters that were fitted to these data."""
        return []

    def _rows_to_start_from(
        self, X: Data, weights: Array | None, random_state: np.random.RandomState
    ) -> Data:
        """Return complete rows, on which a start is found."""
        return X

    # -- a component beside the others, for estimators that have one ------------------------------

    @property
    def _n_beside(self) -> int:
        """The number of components beside those that the user asks for: that of noise."""
        return 0

    def _with_noise(self, components: Mixture[Any], X: Data, weights: Array | None) -> Mixture[Any]:
        """Return a mixture of these components and of noise; the same without noise."""
        return components

    def _initialize(
        self,
        components: Mixture[Any],
        mixture: Mixture[Any],
        X: Data,
        weights: Array | None,
        random_state: np.random.RandomState,
    ) -> MixtureParameters[Any]:
        """Return the start of a mixture that `init_params` names."""
        initialize = INITIALIZERS[cast(InitParams, self.init_params)]
        model = plan_for(mixture, X, self.n_components).model
        return initialize(model, X, weights, self.n_components, random_state)

    # -- what follows from these ------------------------------------------------------------------

    # Where the last fit ended, if it may be continued (`fingerprint`).
    _reached: str = ""

    @property
    def _n_labels(self) -> int:
        """The number of components, including that of noise."""
        return self.n_components + self._n_beside

    def _fixed(self) -> dict[str, BoolArray | None]:
        """Return for each part a mask of the components that `fixed` holds."""
        return check_fixed(self.fixed, self._parts, self.n_components)

    def _mixing(self) -> MixingWeights:
        """Return the model of the weights."""
        concentration = check_concentration(self.weight_concentration, self.n_components)
        return MixingWeights(concentration, self._fixed()["weights"])

    def _fitted_model(self) -> Mixture[Any]:
        return self._model()

    @property
    def model_(self) -> Mixture[Any]:
        """The mixture that was fitted."""
        check_is_fitted(self)
        return self._fitted_model()

    @property
    def params_(self) -> MixtureParameters[Any]:
        """The parameters that the fitted attributes hold."""
        check_is_fitted(self)
        return self._parameters()

    @property
    def _fitted_dtype(self) -> np.dtype[Any]:
        return self.weights_.dtype

    def _last_parameters(self) -> MixtureParameters[Any]:
        """Return the start of a warm fit; weights kept in single precision are normalized."""
        params = self._parameters()
        return replace(params, weights=params.weights / params.weights.sum())

    def _validate_rows(self, X: Any, *, reset: bool) -> Data:
        """Return X as an array; for `fit` of floats and at least two rows, as in scikit-learn."""
        finite: bool | str = True
        if get_tags(self).input_tags.allow_nan:
            X, finite = with_nan(X), "allow-nan"
        checks: dict[str, Any] = {"ensure_all_finite": finite}
        if reset:
            checks |= {"dtype": [np.float64, np.float32], "ensure_min_samples": 2}
        return validated(self, X, self._how_to_fill, reset=reset, **checks)

    # -- fitting --------------------------------------------------------------------------------

    @fit_context
    def fit(
        self,
        X: npt.ArrayLike,
        y: None = None,
        sample_weight: npt.ArrayLike | None = None,
        sample_labels: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit by expectation-maximization, `n_init` times, and keep the best.

        With `sample_labels`, the components of some rows are known, and the bound is that of the
        rows and these labels together: log π_k p(x | k) for a row of component k instead of
        log p(x). (``score`` and ``bic`` remain those of rows without labels.) The components of
        the start are put in the order that fits the labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data, a row each.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts; weight 2 is the row given twice, 0 the row left out.
        sample_labels : array-like of int of shape (n_samples,), default=None
            The index of the component of each row for which it is known, from 0 to
            ``n_components - 1`` (``n_components`` is noise); -1 or NaN for the other rows.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If data or parameters cannot be used, and if a component of the start has no density
            (the message says which and why).
        ELBODecreaseError
            If the bound falls, with ``bound_check="raise"``.
        """
        data = self._data_to_fit(X, y, sample_weight, sample_labels)
        components = self._model_for(data.X, data.weights)
        mixture = self._with_noise(components, data.X, data.weights)
        starts = self._starts(components, mixture, data)
        run = self._fit(mixture, starts, data)
        self._publish(run, self._remarks(data.X, data.weights, run.fit.params))
        if self.warm_start:
            self._reached = self._fingerprint(self._last_parameters(), data)
        return self

    def _data_to_fit(self, X: Any, y: Any, sample_weight: Any, sample_labels: Any) -> FitData:
        """Return what `fit` was given, validated; parts of the start included."""
        X = self._validate_rows(X, reset=True)
        task = callback_task(X, y, sample_weight=sample_weight, sample_labels=sample_labels)
        given = self._given(X.shape[1])
        begun = None
        if sample_labels is not None:
            sample_labels = check_sample_labels(sample_labels, X, self._n_labels)
        if not isinstance(self.init_params, str):
            begun = check_responsibilities(self.init_params, (X.shape[0], self._n_labels))
        X, weights, (begun, labels) = rows_with_weight(X, sample_weight, begun, sample_labels)
        names = getattr(self, "feature_names_in_", None)
        check_sizes(X, weights, names)
        X, weights, (begun, labels) = rows_by_pattern(X, weights, begun, labels, names=names)
        if labels is not None and (labels == UNKNOWN).all():
            labels = None
        if labels is not None and begun is not None:
            begun = in_their_components(begun, labels)
        if X.shape[0] < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components "
                f"but got n_components = {self.n_components}, n_samples = {X.shape[0]}"
            )
        return FitData(X, weights, task, begun, labels, given)

    def _starts(self, components: Mixture[Any], mixture: Mixture[Any], data: FitData) -> Starts:
        """Return the starts of a fit, the parameters of the last one if it is continued.

        Parameters
        ----------
        components : Mixture
            The mixture without noise.
        mixture : Mixture
            The mixture to fit.
        data : FitData
        """
        if self.warm_start and hasattr(self, "converged_"):
            self._check_continues(data.X.shape[1])
            reached = self._last_parameters()
            check_support(reached.weights, mixture.mixing, "weights_ (of the fit to continue)")
            is_same = self._fingerprint(reached, data) == self._reached
            return Starts([lambda: reached], self._previous_bound() if is_same else -np.inf)
        if "weights" in data.given:
            check_support(data.given["weights"], mixture.mixing, "weights_init")
        random_state = check_random_state(self.random_state)
        start = partial(self._start, components, mixture, data, random_state)
        return Starts([start] * self.n_init)

    def _start(
        self,
        components: Mixture[Any],
        mixture: Mixture[Any],
        data: FitData,
        random_state: np.random.RandomState,
    ) -> MixtureParameters[Any]:
        """Return a start: what `init_params` asks for, with the given parts in place."""
        given, weights = data.given, data.weights
        if len(given) == len(self._parts):
            return self._start_with(None, given)
        X = self._rows_to_start_from(data.X, weights, random_state)
        if data.responsibilities is not None:
            model = plan_for(mixture, X, self.n_components).model
            start = from_responsibilities(model, X, weights, data.responsibilities)
            return self._start_with(start, given)
        start = self._initialize(components, mixture, X, weights, random_state)
        if data.labels is not None:
            model = plan_for(mixture, X, self.n_components).model
            start = named_by_labels(model, start, X, weights, data.labels)
        return self._start_with(start, given)

    def _fit(self, mixture: Mixture[Any], starts: Starts, data: FitData) -> Run:
        """Run EM from the starts."""
        plan = plan_for(mixture, data.X, self.n_components)
        blocks = Rows(data.X, data.weights, plan.block_size, data.labels)
        attributes = partial(self._attributes_of, mixture, dtype=data.X.dtype)
        on_blocks, on_starts = self._threads(data.X, len(blocks), len(starts.makers))
        blas = blas_for(plan.n_products)
        with Threads(on_blocks, blas) as executor, Threads(on_starts) as executor_on_starts:
            return self._run(
                plan.model,
                starts.makers,
                blocks,
                data.task,
                attributes,
                max_iter=self.max_iter,
                previous_bound=starts.previous_bound,
                executor=executor,
                executor_on_starts=executor_on_starts,
            )

    def _threads(self, X: Data, n_blocks: int, n_starts: int) -> tuple[int, int]:
        """Return the number of threads that share a pass, and of those that take a start each."""
        n_threads = number_of_threads(self.n_jobs)
        on_blocks, on_starts = min(n_threads, n_blocks), min(n_threads, n_starts)
        is_small = X.size * self.n_components < _WORTH_THREADS
        if on_starts <= on_blocks or self._is_watched or is_small:
            return on_blocks, 1
        return 1, on_starts

    def _fingerprint(self, params: MixtureParameters[Any], data: FitData) -> str:
        return fingerprint(self, params, data.X, data.weights, data.labels)

    def _check_continues(self, n_features: int) -> None:
        """Raise a ValueError if a fit of these settings cannot continue from the last one."""
        for name, expected in self._shapes(n_features).items():
            shape = getattr(self, name).shape
            if shape != expected:
                raise ValueError(
                    f"A warm start continues from the last fit, but {name} has the shape {shape} "
                    f"where the parameters and X ask for {expected}. To start anew, set "
                    "warm_start=False."
                )

    def _previous_bound(self) -> float:
        bounds = self.trace_.bounds
        return float(bounds[-2]) if bounds.size > 1 else -np.inf

    def fit_predict(
        self,
        X: npt.ArrayLike,
        y: None = None,
        sample_weight: npt.ArrayLike | None = None,
        sample_labels: npt.ArrayLike | None = None,
    ) -> IntArray:
        """Fit, and label the rows: ``fit(X).predict(X)``.

        Rows with known labels are labelled as if these were unknown.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
        sample_labels : array-like of int of shape (n_samples,), default=None

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        self.fit(X, y, sample_weight=sample_weight, sample_labels=sample_labels)
        return self.predict(X)

    # -- models that are known -----------------------------------------------------------------

    @classmethod
    def _known(
        cls,
        params: MixtureParameters[Any],
        n_features: int,
        feature_names: Any,
        settings: dict[str, Any],
    ) -> Self:
        """Return a mixture of these parameters, as if it had been fitted."""
        # Each mixture takes the number of components first, of which this class knows nothing.
        make: Callable[..., Self] = cls
        estimator = make(params.weights.shape[0], **settings)
        estimator._validate_params()
        attributes = estimator._attributes_of(estimator._model(), params, np.float64)
        estimator._set_known(attributes, n_features, feature_names)._check_fitted()
        return estimator

    def _check_fitted(self) -> None:
        super()._check_fitted()
        weights = self._parameters().weights
        if (weights < 0.0).any() or not np.isclose(weights.sum(), 1.0, rtol=0.0, atol=1e-5):
            raise ValueError(
                "the weights, that of noise included, should be non-negative and sum to 1, but "
                f"are {weights}"
            )
        self._fitted_model()

    # -- what is asked of a fitted mixture ---------------------------------------------------------

    def predict(self, X: npt.ArrayLike) -> IntArray:
        """Return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            -1 for noise, if the mixture has it.
        """
        X = self._fitted_rows(X)
        labels = most_probable_components(self.model_, self.params_, X, self.n_jobs)
        return self._public_labels(labels)

    def predict_proba(self, X: npt.ArrayLike) -> Data:
        """Return the responsibilities p(k | x_i).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            If the mixture has noise, a further column for it comes last.
        """
        return self._responsibilities(self._fitted_rows(X))

    def _responsibilities(self, X: Data) -> Data:
        return responsibilities(self.model_, self.params_, X, self.n_jobs, self._precision(X))

    def sample(self, n_samples: int = 1, component: int | None = None) -> tuple[Data, IntArray]:
        """Draw from the fitted mixture, or from one of its components.

        Parameters
        ----------
        n_samples : int, default=1
        component : int, default=None
            The component that all rows are drawn from, -1 for noise. By default each is drawn from
            the mixture: from a component that is drawn by the weights.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The rows, grouped by component.
        labels : ndarray of shape (n_samples,)
            The component of each row; -1 for noise.
        """
        rng = check_random_state(self.random_state)
        if component is None:
            rows, labels = self._draw(n_samples, rng)
            return rows, self._public_labels(labels)
        check_is_fitted(self)
        params: Any = self._parameters_to_sample()
        family = self._fitted_model().family
        labels = np.full(n_samples, self._place_of(component))
        return family.sample(params.components, labels, rng), self._public_labels(labels)

    def _place_of(self, component: Any) -> int:
        """Return the index of a component in the model, where noise comes last."""
        n_components = self.weights_.shape[0]
        is_integer = isinstance(component, Integral) and not isinstance(component, bool)
        if is_integer and 0 <= component < n_components:
            return int(component)
        if is_integer and component == NOISE and self._n_beside:
            return n_components
        noise = ", or -1 for noise" if self._n_beside else ""
        raise ValueError(
            f"component: expected one from 0 to {n_components - 1}{noise}, got {component!r}."
        )

    def _public_labels(self, labels: IntArray) -> IntArray:
        """Return the labels with −1 for noise, which comes after the components."""
        labels[labels == self.weights_.shape[0]] = NOISE
        return labels

    def icl(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        r"""Return the integrated completed likelihood, as BIC approximates it: lower is better.

        .. math:: \mathrm{ICL} = \mathrm{BIC} - 2 \sum_i w_i \log \max_k p(k \mid x_i)

        It is BIC with a penalty for rows that may belong to several components (Biernacki, Celeux &
        Govaert 2000, IEEE Trans. Pattern Anal. Mach. Intell. 22): it looks for clusters, where BIC
        looks for a density. mclust's ``icl`` is the same with the opposite sign.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None
            As in `bic`.

        Returns
        -------
        icl : float
        """
        return self._information(X, sample_weight).icl

    def _information(
        self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> InformationCriteria:
        rows, weights = rows_that_count(self._fitted_rows(X), sample_weight)
        return information_criteria(
            self.model_, self.params_, rows, weights, self.n_jobs, log_certainty
        )

    def merge(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> MixtureMerging:
        """Merge overlapping components into clusters, step by step, by the entropy of the rows.

        A cluster that does not have the shape of a component takes several components. BIC counts
        components; merging turns them into clusters, and leaves the density as it is. See
        `em_toolkit.analysis.merging.ComponentMerging` (Baudry et al. 2010).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows whose entropy counts, such as those of the fit; rows without any entry are
            left out.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts.

        Returns
        -------
        merging : MixtureMerging
            For each number of clusters the map from components to ``clusters(n)``, the
            ``entropies``, and ``labels(X, n)`` and ``predict_proba(X, n)``; of the
            ``suggested_n_clusters`` by default.

        Examples
        --------
        Three components for two clusters, one of which is a cross:

        >>> import numpy as np
        >>> from em_toolkit import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> noise = rng.standard_normal((300, 2))
        >>> X = np.vstack([noise[:100] * [3, 0.3], noise[100:200] * [0.3, 3], noise[200:] + 9])
        >>> begin = np.repeat(np.eye(3), 100, axis=0)
        >>> gm = GaussianMixture(n_components=3, init_params=begin).fit(X)
        >>> merging = gm.merge(X)
        >>> merging.suggested_n_clusters
        2
        >>> merging.clusters()
        array([0, 0, 1])
        >>> np.bincount(merging.labels(X))
        array([200, 100])
        """
        refuse_noise(self, "merging")
        rows, weights = rows_that_count(self._fitted_rows(X), sample_weight)
        merging = merge_components(self._responsibilities(rows), weights)
        return MixtureMerging(merging.merges, merging.entropies, merging.n_merged, self)

    def inference(
        self,
        X: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        sample_labels: npt.ArrayLike | None = None,
    ) -> Inference:
        """Return standard errors and confidence intervals of the fitted parameters.

        They follow from the observed information of log likelihood plus log prior (Louis 1982)
        and the delta method, without numerical differentiation. A conjugate prior counts as its
        pseudo-rows do. Variances that `reg_covar` holds on its floor are taken as known; `notes`
        says which. The cost is about n p² multiplications for p parameters.

        It is implemented for Gaussian components of every `covariance_type`, and for Poisson
        counts. NaN entries are integrated out. The observed information, unlike the expected one,
        is valid for entries that are missing at random (Kenward & Molenberghs 1998). With noise its
        weight is the last one, and its volume is taken as known.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows that were fitted; NaN entries are missing.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights: how many rows each stands for.
        sample_labels : array-like of int of shape (n_samples,), default=None
            Their labels, as in `fit`.

        Returns
        -------
        inference : Inference
            With `standard_errors`, `confidence_intervals(level)` and `to_frame(level)`.

        Raises
        ------
        ValueError
            If the data do not determine the parameters: components coincide, features are never
            observed in one row, or variances are equal along two axes. The message names the
            parameter that is determined least.

        Warns
        -----
        ConvergenceWarning
            If the maximum is more than a tenth of a standard error away from the parameters.

        References
        ----------
        Louis (1982), Finding the observed information matrix when using the EM algorithm, JRSS B
        44; McLachlan & Peel (2000), Finite Mixture Models, section 2.15; Kenward & Molenberghs
        (1998), Statist. Sci. 13.

        Examples
        --------
        >>> from em_toolkit import GaussianMixture
        >>> from em_toolkit.datasets import load_faithful
        >>> X = load_faithful().data
        >>> gm = GaussianMixture(2, random_state=0, tol=1e-8, stopping="distance").fit(X)
        >>> gm.inference(X).standard_errors["means"].round(3)
        array([[0.027, 0.592],
               [0.031, 0.456]])
        """
        X = self._fitted_rows(X)
        if sample_labels is not None:
            sample_labels = check_sample_labels(sample_labels, X, self._n_labels)
        rows, weights, (labels,) = rows_with_weight(
            np.asarray(X, dtype=np.float64), sample_weight, sample_labels
        )
        names = getattr(self, "feature_names_in_", None)
        rows, weights, (labels,) = rows_by_pattern(rows, weights, labels, names=names)
        names = [str(name) for name in (range(rows.shape[1]) if names is None else names)]
        mixture, params = self._model_of_fit(rows, weights), self._last_parameters()
        notes = tuple(map(str, self._remarks(rows, weights, params)))
        return infer(mixture, params, rows, weights, labels, names, notes)

    def _model_of_fit(self, X: Data, weights: Array | None) -> Mixture[Any]:
        """Return the mixture that was fitted to these data, with its priors."""
        return self._model_for(X, weights)

"""The part of mixture estimators that all of them share: parameters, validation and fitting.

The threads of `n_jobs` share the E-step, each a part of the rows; or, where there are more starts
(`n_init`) than blocks of rows, each takes a start. They never do both at once. One start follows
the other if `verbose` or a callback reports them. The result is the same, to the bit, for any
number.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, check_random_state, get_tags
from sklearn.utils._param_validation import Interval, StrOptions

from em_toolkit.engine import Rows, Workers, number_of_threads
from em_toolkit.engine.blas import blas_for
from em_toolkit.estimators.base import Data, EMEstimator, callback_task, rows_with_weight, validated
from em_toolkit.estimators.continuation import fingerprint
from em_toolkit.estimators.divergence import DivergenceMixin
from em_toolkit.estimators.fitted_mixture import FittedMixture
from em_toolkit.estimators.given import check_shape
from em_toolkit.estimators.held import check_concentration, check_fixed, check_support
from em_toolkit.estimators.inference import InferenceMixin
from em_toolkit.estimators.labels import check_sample_labels
from em_toolkit.estimators.magnitudes import check_sizes
from em_toolkit.estimators.merging import MergingMixin
from em_toolkit.estimators.missing import (
    rows_by_pattern,
    with_nan,
)
from em_toolkit.estimators.sklearn_bases import DensityMixin, fit_context
from em_toolkit.families import Box
from em_toolkit.initialization import (
    INITIALIZERS,
    beside_noise,
    from_responsibilities,
    in_their_components,
    named_by_labels,
)
from em_toolkit.kernels import plan_for
from em_toolkit.models.mixing_weights import MixingWeights
from em_toolkit.models.mixture import UNKNOWN, Mixture, MixtureParameters
from em_toolkit.options import InitParams, Matrix
from em_toolkit.statistics import Array, BoolArray, IntArray

# Numbers in the data times components: fits of fewer hold Python's lock most of the time.
_WORTH_THREADS = 20_000


class MixtureEstimator(
    FittedMixture, InferenceMixin, MergingMixin, DivergenceMixin, DensityMixin, EMEstimator
):
    """A mixture with scikit-learn's methods; a subclass defines the components."""

    n_components: int
    n_init: int
    init_params: InitParams | Matrix
    weights_init: npt.ArrayLike | None
    warm_start: bool
    n_jobs: int | None
    weight_concentration: float | npt.ArrayLike
    fixed: Mapping[str, Any] | None

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

    @abstractmethod
    def _model(self) -> Mixture[Any]:
        """Return the mixture, with none of the priors that depend on the data."""

    def _model_for(self, X: Data, weights: Array | None) -> Mixture[Any]:
        """Return the mixture to fit, for these data and their weights."""
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
    def _parameters(self) -> MixtureParameters[Any]:
        """Return the parameters that the fitted attributes hold."""

    @abstractmethod
    def _attributes_of(
        self, params: MixtureParameters[Any], dtype: npt.DTypeLike
    ) -> dict[str, Any]:
        """Return the fitted attributes that hold the parameters."""

    def _remarks(
        self, X: Data, weights: Array | None, params: MixtureParameters[Any]
    ) -> list[Warning]:
        """Return what a reader should know of parameters that were fitted to these data."""
        return []

    _parts: ClassVar[tuple[str, ...]]

    # Where the last fit ended, if it may be continued (`fingerprint`).
    _reached: str = ""

    def _fixed(self) -> dict[str, BoolArray | None]:
        """Return for each part a mask of the components that `fixed` holds."""
        return check_fixed(self.fixed, self._parts, self.n_components)

    def _mixing(self) -> MixingWeights:
        """Return the model of the weights."""
        concentration = check_concentration(self.weight_concentration, self.n_components)
        return MixingWeights(concentration, self._fixed()["weights"])

    _how_to_fill: ClassVar[str] = ""

    # -- noise, for estimators with that parameter -----------------------------------------------

    noise: bool | float | None = None
    noise_weight_: float
    noise_box_: Box | None

    def _box_about(self, X: Data, weights: Array | None) -> Box | None:
        """Return the box that holds the noise; None without noise."""
        return None

    @property
    def _has_noise(self) -> bool:
        """Whether there is a component of noise."""
        if isinstance(self.noise, bool | np.bool_):
            return bool(self.noise)
        return self.noise is not None

    @property
    def _n_with_noise(self) -> int:
        """The number of components, including that of the noise."""
        return self.n_components + self._has_noise

    def _with_noise(self, params: MixtureParameters[Any]) -> MixtureParameters[Any]:
        """Return the parameters of the components and of the noise."""
        if not self._has_noise:
            return params
        return replace(params, weights=np.append(params.weights, self.noise_weight_))

    def _fitted_mixture(self) -> Mixture[Any]:
        mixture, box = self._model(), getattr(self, "noise_box_", None)
        if self._has_noise != (box is not None):
            raise ValueError(
                f"noise={self.noise}: expected what it was in the fit, of which the weights are. "
                "Parameters that were changed after a fit ask for another one: call fit."
            )
        return mixture if box is None else mixture.with_noise(box)

    def _all_attributes_of(
        self, params: MixtureParameters[Any], box: Box | None, dtype: npt.DTypeLike
    ) -> dict[str, Any]:
        """Return the fitted attributes, including those of the noise."""
        components = params if box is None else replace(params, weights=params.weights[:-1])
        return self._attributes_of(components, dtype)

    # -- what follows from these ----------------------------------------------------------------

    def _fitted_parameters(self) -> MixtureParameters[Any]:
        return self._with_noise(self._parameters())

    def _last_parameters(self) -> MixtureParameters[Any]:
        """Return the start of a warm fit; weights kept in single precision are normalized."""
        params = self._fitted_parameters()
        return replace(params, weights=params.weights / params.weights.sum())

    def _parameters_to_sample(self) -> MixtureParameters[Any]:
        return self._with_noise(self._public_parameters())

    def _public_parameters(self) -> MixtureParameters[Any]:
        """Return the parameters as they are published, for `sample`."""
        return self._parameters()

    def _validate_rows(self, X: Any, *, reset: bool) -> Data:
        """Return X as an array; for `fit` of floats and at least two rows, as in scikit-learn."""
        finite: bool | str = True
        if get_tags(self).input_tags.allow_nan:
            X, finite = with_nan(X), "allow-nan"
        checks: dict[str, Any] = {"ensure_all_finite": finite}
        if reset:
            checks |= {"dtype": [np.float64, np.float32], "ensure_min_samples": 2}
        return validated(self, X, self._how_to_fill, reset=reset, **checks)

    def _rows_to_start_from(
        self, X: Data, weights: Array | None, random_state: np.random.RandomState
    ) -> Data:
        """Return complete rows, on which a start is found."""
        return X

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
        X = self._validate_rows(X, reset=True)
        task = callback_task(X, y, sample_weight=sample_weight, sample_labels=sample_labels)
        given = self._given(X.shape[1])
        if sample_labels is not None:
            sample_labels = check_sample_labels(sample_labels, X, self._n_with_noise)
        X, weights, (responsibilities, labels) = rows_with_weight(
            X, sample_weight, self._given_responsibilities(X), sample_labels
        )
        names = getattr(self, "feature_names_in_", None)
        check_sizes(X, weights, names)
        X, weights, (responsibilities, labels) = rows_by_pattern(
            X, weights, responsibilities, labels, names=names
        )
        if labels is not None and (labels == UNKNOWN).all():
            labels = None
        if labels is not None and responsibilities is not None:
            responsibilities = in_their_components(responsibilities, labels)
        if X.shape[0] < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components "
                f"but got n_components = {self.n_components}, n_samples = {X.shape[0]}"
            )
        components, box = self._model_for(X, weights), self._box_about(X, weights)
        mixture = components if box is None else components.with_noise(box)
        model, block_size = plan_for(mixture, X, self.n_components)
        previous_bound = -np.inf
        continues = self.warm_start and hasattr(self, "converged_")
        if continues:
            self._check_continues(X.shape[1])
            reached = self._last_parameters()
            check_support(reached.weights, mixture.mixing, "weights_ (of the fit to continue)")
            starts: list[Callable[[], MixtureParameters[Any]]] = [lambda: reached]
            if fingerprint(self, reached, X, weights, labels) == self._reached:
                previous_bound = self._previous_bound()
        else:
            if "weights" in given:
                check_support(given["weights"], mixture.mixing, "weights_init")
            random_state = check_random_state(self.random_state)

            def start() -> MixtureParameters[Any]:
                if len(given) == len(self._parts):
                    return self._start_with(None, given)
                rows = self._rows_to_start_from(X, weights, random_state)
                beginning, _ = plan_for(mixture, rows, self.n_components)
                if responsibilities is not None:
                    begun = from_responsibilities(beginning, rows, weights, responsibilities)
                elif isinstance(self.init_params, str):
                    initialize, signal = INITIALIZERS[self.init_params], beginning
                    if box is not None:
                        initialize = beside_noise(initialize, box)
                        signal, _ = plan_for(components, rows, self.n_components)
                    begun = initialize(signal, rows, weights, self.n_components, random_state)
                    if labels is not None:
                        begun = named_by_labels(beginning, begun, rows, weights, labels)
                return self._start_with(begun, given)

            starts = [start] * self.n_init
        blocks = Rows(X, weights, block_size, labels)
        n_threads = number_of_threads(self.n_jobs)
        on_blocks, on_starts = min(n_threads, len(blocks)), min(n_threads, len(starts))
        if (
            on_starts <= on_blocks
            or self._is_watched
            or X.size * self.n_components < _WORTH_THREADS
        ):
            on_starts = 1
        else:
            on_blocks = 1
        blas = blas_for(X.size * max(X.shape[1], self.n_components))
        with Workers(on_blocks, blas) as workers, Workers(on_starts) as workers_on_starts:
            self._run_em(
                model,
                starts,
                blocks,
                task,
                partial(self._all_attributes_of, box=box, dtype=X.dtype),
                max_iter=self.max_iter,
                previous_bound=previous_bound,
                workers=workers,
                workers_on_starts=workers_on_starts,
                remarks=partial(self._remarks, X, weights),
            )
        if self.warm_start:
            self._reached = fingerprint(self, self._last_parameters(), X, weights, labels)
        return self

    @classmethod
    def _known(
        cls,
        params: MixtureParameters[Any],
        n_features: int,
        feature_names: Any,
        settings: dict[str, Any],
    ) -> Self:
        """A mixture of these parameters, as if it had been fitted."""
        # Each mixture takes the number of components first, of which this class knows nothing.
        make: Callable[..., Self] = cls
        estimator = make(params.weights.shape[0], **settings)
        estimator._validate_params()
        if estimator._has_noise:
            raise ValueError(
                f"noise: expected None, got {estimator.noise!r}: the box of the noise is that of "
                "the data of a fit, and there are none."
            )
        attributes = estimator._all_attributes_of(params, None, np.float64)
        estimator._set_known(attributes, n_features, feature_names)._check_fitted()
        return estimator

    def _check_fitted(self) -> None:
        super()._check_fitted()
        weights = self._fitted_parameters().weights
        if (weights < 0.0).any() or not np.isclose(weights.sum(), 1.0, rtol=0.0, atol=1e-5):
            raise ValueError(
                "the weights, that of noise included, should be non-negative and sum to 1, but "
                f"are {weights}"
            )
        box = getattr(self, "noise_box_", None)
        if box is not None and np.shape(box.axes) != (self.n_features_in_,) * 2:
            raise ValueError("noise_box_ should have an edge for each feature")
        self._fitted_mixture()

    def _check_continues(self, n_features: int) -> None:
        if self._has_noise and self.noise_box_ is None:
            raise ValueError(
                "A warm start continues from the last fit, which had no noise. To start anew, set "
                "warm_start=False."
            )
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

    def _given_responsibilities(self, X: Data) -> Data | None:
        if isinstance(self.init_params, str):
            return None
        responsibilities = check_array(self.init_params, dtype=[np.float64, np.float32])
        check_shape(responsibilities, (X.shape[0], self._n_with_noise), "init_params")
        lowest = responsibilities.min()
        totals = responsibilities.sum(axis=1, dtype=np.float64)
        if lowest < 0.0 or not np.allclose(totals, 1.0, rtol=0.0, atol=1e-6):
            raise ValueError(
                "The responsibilities in 'init_params' should be non-negative and sum to 1 in "
                f"each row, but got min value {lowest:.5f} and row sums from "
                f"{totals.min():.5f} to {totals.max():.5f}"
            )
        return np.asarray(responsibilities)

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

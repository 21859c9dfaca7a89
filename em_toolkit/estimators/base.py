"""The base of all estimators: it validates parameters, runs EM, publishes, and scores."""

from __future__ import annotations

import os
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import check_is_fitted

from em_toolkit.analysis.criteria import InformationCriteria, information_criteria
from em_toolkit.analysis.divergence import DivergenceEstimate
from em_toolkit.analysis.posteriors import log_densities
from em_toolkit.engine import Blocks, Fit, Restart, Status, Trace
from em_toolkit.engine.acceleration import ACCELERATIONS
from em_toolkit.engine.monitor import BOUND_CHECKS
from em_toolkit.engine.stopping import STOPPING_RULES
from em_toolkit.estimators.divergence import divergence_between
from em_toolkit.estimators.json_values import json_text
from em_toolkit.estimators.rows import Data, rows_that_count
from em_toolkit.estimators.running import Attributes, Run, run_starts
from em_toolkit.estimators.serialization import document_of, estimator_from
from em_toolkit.estimators.sklearn_bases import BaseEstimator, CallbackSupportMixin, DensityMixin
from em_toolkit.model import LatentVariableModel
from em_toolkit.options import Acceleration, BoundCheck, Stopping, did_you_mean
from em_toolkit.parameters import CollapseError, Parameters
from em_toolkit.statistics import Array

_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)


class EMEstimator(CallbackSupportMixin, DensityMixin, BaseEstimator, metaclass=ABCMeta):
    """A density with latent variables that is fitted by EM.

    Attributes
    ----------
    model_ : LatentVariableModel
        The model that was fitted.
    params_ : Parameters
        Its parameters, as the fitted attributes hold them. `em_toolkit.analysis`, and functions of
        one's own, work on these two.
    trace_ : Trace
        The ledger of the bound, a row for each half-step.
    lower_bound_ : float
        The bound at the fitted parameters (which is the log evidence, plus the log prior where
        there is one), in nats per sample; samples count by their weight.
    lower_bounds_ : list of float
        The bound after each iteration.
    converged_ : bool
    n_iter_ : int
    n_passes_ : int
        Passes over the data: one for each E-step, those at rejected points of an acceleration
        included.
    status_ : Status
        Why the fit stopped, with the remedy.
    restarts_ : list of Restart
        The outcome of each start.
    """

    tol: float
    max_iter: int
    random_state: int | np.random.RandomState | None
    verbose: int
    verbose_interval: int
    bound_check: BoundCheck
    acceleration: Acceleration | None
    stopping: Stopping
    # Of an estimator that has no such parameter.
    n_jobs: int | None = 1

    trace_: Trace
    lower_bound_: float
    lower_bounds_: list[float]
    converged_: bool
    n_iter_: int
    n_passes_: int
    status_: Status
    restarts_: list[Restart]
    n_features_in_: int
    feature_names_in_: Data

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "bound_check": [StrOptions(set(BOUND_CHECKS))],
        "acceleration": [StrOptions(set(ACCELERATIONS)), None],
        "stopping": [StrOptions(set(STOPPING_RULES))],
    }

    _not_converged: ClassVar[str] = _NOT_CONVERGED
    _collapse_message: ClassVar[str]
    # What to do about a collapse.
    _remedy: ClassVar[str] = ""

    # -- what a subclass defines ------------------------------------------------------------------

    @abstractmethod
    def _fitted_model(self) -> LatentVariableModel[Any, Any, Any]:
        """Return the model that was fitted."""

    @abstractmethod
    def _parameters(self) -> Parameters:
        """Return the parameters that the fitted attributes hold."""

    @abstractmethod
    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the fitted attributes that hold the parameters."""

    @abstractmethod
    def _validate_rows(self, X: Any, *, reset: bool) -> Data:
        """Return X as an array; `reset` is true in `fit`."""

    @property
    @abstractmethod
    def _fitted_dtype(self) -> np.dtype[Any]:
        """The precision of the fitted attributes."""

    def _parameters_to_sample(self) -> Parameters:
        """Return the parameters from which `sample` draws."""
        return self._parameters()

    # -- fitting ----------------------------------------------------------------------------------

    def _validate_params(self) -> None:
        """Check the parameters; the error for an unknown name tells the nearest one."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            raise InvalidParameterError(f"{error}{self._suggestion(str(error))}") from None

    def _suggestion(self, message: str) -> str:
        for name, value in self.get_params(deep=False).items():
            if message.startswith(f"The {name!r} parameter "):
                constraints = self._parameter_constraints[name]
                named = [item.options for item in constraints if isinstance(item, StrOptions)]
                # Sorted, because of options that are equally near the first one is taken.
                return did_you_mean(value, sorted(set().union(*named)))
        return ""

    def _run(
        self,
        model: LatentVariableModel[Any, Any, Any],
        starts: Sequence[Callable[[], Any]],
        blocks: Blocks,
        task: dict[str, Any],
        attributes: Attributes,
        **options: Any,
    ) -> Run:
        """Run EM from each start (`run_starts`); a collapse of all becomes a ValueError."""
        try:
            return run_starts(self, model, starts, blocks, task, attributes, **options)
        except CollapseError as error:
            raise ValueError(f"{self._collapse_message} Seen: {error}") from None

    def _publish(self, run: Run, remarks: Sequence[Warning] = (), **others: Any) -> Self:
        """Set the fitted attributes, and warn of what a user should know.

        Parameters
        ----------
        run : Run
        remarks : sequence of Warning
            What a reader should know of the parameters; kept as ``trace_.notes``.
        **others
            Attributes that are not what a run of EM says.
        """
        fit = run.fit
        bounds = fit.trace.bounds
        # All at once: an interrupt must not leave half of an earlier fit.
        self.__dict__.update(
            {
                **run.attributes(fit.params),
                "trace_": replace(fit.trace, notes=tuple(map(str, remarks))),
                "lower_bounds_": bounds[1:].tolist(),
                "lower_bound_": float(bounds[-1]),
                "n_iter_": fit.trace.n_iter,
                "n_passes_": fit.n_passes,
                "status_": Status.INTERRUPTED if run.is_interrupted else fit.status,
                "converged_": fit.status.converged,
                "restarts_": run.restarts,
                **others,
            }
        )
        self._warn_unless_converged(fit)
        for remark in remarks:
            warnings.warn(remark, stacklevel=4)
        run.reporter.finish(fit.params)
        if run.is_interrupted and hasattr(self, "_parent_callback_ctx"):
            # Within a grid search or a pipeline it is that which a person wants to end.
            raise KeyboardInterrupt
        return self

    def _warn_unless_converged(self, fit: Fit[Any]) -> None:
        messages = {
            Status.MAX_ITER: self._not_converged + _prediction(fit),
            Status.COLLAPSED: (
                f"{self._not_converged} Status: {fit.status} ({fit.cause}). {self._remedy}"
            ),
            Status.INTERRUPTED: f"The fit was {Status.INTERRUPTED}.",
        }
        failed = [r.cause for r in self.restarts_ if r.status is Status.FAILED]
        if failed:
            warnings.warn(
                f"{len(failed)} of {len(self.restarts_)} starts failed; the first: {failed[0]}",
                ConvergenceWarning,
                stacklevel=5,
            )
        if self.status_ in messages:
            warnings.warn(messages[self.status_], ConvergenceWarning, stacklevel=5)

    @property
    def _is_watched(self) -> bool:
        """Whether iterations are reported, so that starts have to run one after the other."""
        return bool(self.verbose) or bool(getattr(self, "_skl_callbacks", ()))

    # -- the fitted density -----------------------------------------------------------------------

    @property
    def model_(self) -> LatentVariableModel[Any, Any, Any]:
        """The model that was fitted."""
        check_is_fitted(self)
        return self._fitted_model()

    @property
    def params_(self) -> Parameters:
        """The parameters that the fitted attributes hold."""
        check_is_fitted(self)
        return self._parameters()

    def _fitted_rows(self, X: Any) -> Data:
        check_is_fitted(self)
        return self._validate_rows(X, reset=False)

    def _precision(self, X: Data) -> np.dtype[Any]:
        """Return the dtype of results: as precise as X and the fit."""
        return np.result_type(X, self._fitted_dtype)

    def _log_densities(self, X: Data) -> Data:
        return log_densities(self.model_, self.params_, X, self.n_jobs, self._precision(X))

    def score_samples(self, X: npt.ArrayLike) -> Data:
        """Return the log density log p(x_i) of each row, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
        """
        return self._log_densities(self._fitted_rows(X))

    def score(
        self, X: npt.ArrayLike, y: None = None, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return the mean log density of the rows, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the mean.

        Returns
        -------
        score : float
        """
        rows, weights = rows_that_count(self._fitted_rows(X), sample_weight)
        return float(np.average(self._log_densities(rows), weights=weights))

    def bic(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the Bayesian information criterion, −2 log p(X) + p log n: lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts; n is their sum, without rows of which all entries are
            missing. Weights that say how important rows are, not how many there were, should be
            scaled to sum to the number of rows.

        Returns
        -------
        bic : float
        """
        return self._information(X, sample_weight).bic

    def aic(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the Akaike information criterion, −2 log p(X) + 2 p: lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None
            As in `bic`.

        Returns
        -------
        aic : float
        """
        return self._information(X, sample_weight).aic

    def _information(
        self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> InformationCriteria:
        """Return all criteria, by one pass over the data."""
        rows, weights = rows_that_count(self._fitted_rows(X), sample_weight)
        return information_criteria(self.model_, self.params_, rows, weights, self.n_jobs)

    def _n_parameters(self) -> int:
        """Return the number of free parameters, under the name that scikit-learn's tests know."""
        return self.model_.n_parameters(self.params_)

    def _draw(self, n_samples: int, rng: np.random.RandomState) -> tuple[Data, Any]:
        """Draw rows of the fitted density, and their latent variables."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least "
                "one sample."
            )
        return self._fitted_model().sample(self._parameters_to_sample(), n_samples, rng)

    def kl_divergence(
        self,
        other: Any,
        n_samples: int = 10_000,
        random_state: int | np.random.RandomState | None = None,
    ) -> DivergenceEstimate:
        """Estimate the Kullback-Leibler divergence from this density to another, by simulation.

        It is the mean difference of the log densities over rows drawn from this density.

        Parameters
        ----------
        other : estimator
            Any fitted density of the same features with ``score_samples``: of another number of
            components or ``covariance_type``, or of another kind.
        n_samples : int, default=10_000
            Rows to draw, at least two. Four times as many halve the standard error.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        divergence : DivergenceEstimate
            ``estimate`` in nats, and its ``standard_error``.

        Raises
        ------
        ValueError
            For a density of other features, and for a mixture with noise, which is no density
            outside of its box.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from em_toolkit import GaussianMixture
        >>> X = load_iris().data
        >>> three, one = (GaussianMixture(k, random_state=0).fit(X) for k in (3, 1))
        >>> estimate, standard_error = three.kl_divergence(one, random_state=0)
        >>> estimate > 10 * standard_error
        True
        """
        return divergence_between(self, other, n_samples, check_random_state(random_state))

    # -- models that were not fitted here -------------------------------------------------------

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the fitted model as JSON text, from which `from_json` makes the same model.

        Parameters
        ----------
        path : str or path, default=None
            A file to write the text into as well.

        Returns
        -------
        text : str
            ``schema``, ``schema_version``, the class in ``estimator``, the constructor's parameters
            in ``settings`` and the fitted attributes in ``fitted``, the ledger included. Callbacks,
            metadata requests and ``set_output`` are not part of it.

        Raises
        ------
        NotFittedError
        TypeError
            If a parameter of the constructor is nothing that JSON can hold, such as a function.
        """
        text = json_text(document_of(self)) + "\n"
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | os.PathLike[str]) -> Self:
        """Return the fitted model that `to_json` wrote; all its predictions are equal to the bit.

        Unlike unpickling, this runs no code that the text could bring along.

        Parameters
        ----------
        source : str or path
            The text, or the path of a file with it; a ``..._parameters.json`` that
            ``em-toolkit fit`` wrote will do too.

        Returns
        -------
        estimator : object

        Raises
        ------
        ValueError
            If the text is nothing that `to_json` wrote, of another class or of another
            ``schema_version``; if a field is unknown or lacking; if the attributes define no model.
        """
        return estimator_from(source, [cls])

    def _check_fitted(self) -> None:
        """Raise ValueError if the fitted attributes define no model."""
        for name, shape in self._shapes(self.n_features_in_).items():
            values = getattr(self, name)
            if values.shape != shape:
                raise ValueError(f"{name} should have the shape {shape}, but has {values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} should be finite, but has entries that are not")
        self._parameters().check()

    def _set_known(
        self, attributes: dict[str, Any], n_features: int, feature_names: Any = None
    ) -> Self:
        """Set the fitted attributes of a model that is known."""
        known = attributes | {"n_features_in_": n_features}
        if feature_names is not None:
            known["feature_names_in_"] = names = np.array(list(feature_names), dtype=object)
            if names.shape != (n_features,) or not all(isinstance(name, str) for name in names):
                raise ValueError(
                    f"feature_names: expected {n_features} strings, a name for each feature, got "
                    f"{feature_names!r}."
                )
        self.__dict__.update(known)
        return self


def _prediction(fit: Fit[Any]) -> str:
    """Return a sentence on the iterations that are still needed; empty if they are unknown."""
    if fit.iterations_to_go is None:
        return ""
    return (
        f" At the present rate of convergence, {fit.trace.rate:.4g}, about "
        f"{fit.iterations_to_go} more iterations would do."
    )


def in_precision(arrays: Mapping[str, Array], dtype: npt.DTypeLike) -> dict[str, Data]:
    """Return parameters as fitted attributes, in the precision of the data.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        By the name of the attribute.
    dtype : dtype

    Raises
    ------
    ValueError
        If a value is too large for the precision.
    """
    with np.errstate(over="ignore", under="ignore"):
        attributes = {
            name: np.array(values, dtype=dtype, order="C") for name, values in arrays.items()
        }
    for name, values in attributes.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{name} exceeds what {np.dtype(dtype).name} can hold: pass the data as float64, "
                "or scale them."
            )
    return attributes

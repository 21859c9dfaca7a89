"""The base of all estimators: it runs EM, and publishes the results of the run."""

from __future__ import annotations

import os
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from em_toolkit.engine import Blocks, Fit, Restart, Status, Trace, best_of
from em_toolkit.engine.acceleration import ACCELERATIONS
from em_toolkit.engine.em import em
from em_toolkit.engine.monitor import BOUND_CHECKS
from em_toolkit.engine.stopping import STOPPING_RULES
from em_toolkit.engine.workers import SERIAL, Workers
from em_toolkit.estimators.json_values import json_text
from em_toolkit.estimators.reporting import FitReporter
from em_toolkit.estimators.serialization import document_of, estimator_from
from em_toolkit.estimators.sklearn_bases import BaseEstimator, CallbackSupportMixin
from em_toolkit.model import LatentVariableModel
from em_toolkit.options import Acceleration, BoundCheck, Stopping, did_you_mean
from em_toolkit.parameters import CollapseError, Parameters
from em_toolkit.statistics import Array

Data = npt.NDArray[Any]

_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)


class EMEstimator(CallbackSupportMixin, BaseEstimator, metaclass=ABCMeta):
    """An estimator that is fitted by EM.

    Attributes
    ----------
    trace_ : Trace
        The ledger of the bound, a row for each half-step.
    lower_bound_ : float
        The bound at the fitted parameters (which is the log evidence, plus the log prior where
        there is one), in nats per unit of weight.
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

    _collapse_message: ClassVar[str]
    # What to do about a collapse.
    _remedy: ClassVar[str] = ""

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

    def _run_em(
        self,
        model: LatentVariableModel[Any, Any, Any],
        starts: Sequence[Callable[[], Any]],
        blocks: Blocks,
        task: dict[str, Any],
        attributes: Callable[[Any], dict[str, Any]],
        *,
        max_iter: int,
        previous_bound: float = -np.inf,
        workers: Workers = SERIAL,
        workers_on_starts: Workers = SERIAL,
        remarks: Callable[[Any], list[Warning]] = lambda params: [],
    ) -> None:
        """Run EM from each start and set all fitted attributes.

        Parameters
        ----------
        model : LatentVariableModel
        starts : sequence of callables
            Each gives the parameters of a start.
        blocks : iterable of Block
            The data.
        task : dict
            The data as callbacks receive them: X, y and metadata.
        attributes : callable
            From parameters to the fitted attributes that hold them.
        max_iter : int
        previous_bound : float
            The bound before the last iteration of an earlier fit that is continued.
        workers : Workers
            The threads of the E-step.
        workers_on_starts : Workers
            The threads that take a start each. One of `workers` and these is a single thread.
        remarks : callable
            From the fitted parameters to warnings: what a reader should know of them. They are
            kept as `trace_.notes`.
        """

        def converged(fit: Fit[Any]) -> bool:
            return fit.status.converged

        def run(start: Any) -> Fit[Any]:
            listener = reporter.start(previous_bound)
            try:
                fit = em(
                    model,
                    start,
                    blocks,
                    max_iter=max_iter,
                    tol=self.tol,
                    stopping=self.stopping,
                    acceleration=self.acceleration,
                    bound_check=self.bound_check,
                    previous_bound=previous_bound,
                    listener=listener,
                    workers=workers,
                )
            except CollapseError:
                raise
            except Exception:
                # Starts in other threads need not be finished for the error to be raised.
                reporter.is_over = True
                raise
            try:
                listener.finish(fit)
            except KeyboardInterrupt:
                return replace(fit, status=Status.INTERRUPTED)
            return fit

        task = {"estimator": self} | task
        reporter = FitReporter(self, task, len(starts), max_iter, attributes, converged)
        try:
            fit, restarts = best_of(
                takewhile(lambda _: not reporter.stopped, starts), run, workers_on_starts
            )
        except CollapseError as error:
            raise ValueError(f"{self._collapse_message} Seen: {error}") from None
        finally:
            reporter.is_over = True

        interrupted = restarts[-1].status is Status.INTERRUPTED
        bounds = fit.trace.bounds
        noted = remarks(fit.params)
        # All at once: an interrupt must not leave half of an earlier fit.
        self.__dict__.update(
            attributes(fit.params),
            trace_=replace(fit.trace, notes=tuple(map(str, noted))),
            lower_bounds_=bounds[1:].tolist(),
            lower_bound_=float(bounds[-1]),
            n_iter_=fit.trace.n_iter,
            n_passes_=fit.n_passes,
            status_=Status.INTERRUPTED if interrupted else fit.status,
            converged_=converged(fit),
            restarts_=restarts,
        )
        self._warn_unless_converged(fit)
        for remark in noted:
            warnings.warn(remark, stacklevel=4)
        reporter.finish(fit.params)
        if interrupted and hasattr(self, "_parent_callback_ctx"):
            # Within a grid search or a pipeline it is that which a person wants to end.
            raise KeyboardInterrupt

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

    @abstractmethod
    def _parameters(self) -> Parameters:
        """The parameters that the fitted attributes hold."""

    @abstractmethod
    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the fitted attributes that hold the parameters."""

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

    @property
    def _is_watched(self) -> bool:
        """Whether iterations are reported, so that starts have to run one after the other."""
        return bool(self.verbose) or bool(getattr(self, "_skl_callbacks", ()))

    def _warn_unless_converged(self, fit: Fit[Any]) -> None:
        messages = {
            Status.MAX_ITER: _NOT_CONVERGED + _prediction(fit),
            Status.COLLAPSED: (
                f"{_NOT_CONVERGED} Status: {fit.status} ({fit.cause}). {self._remedy}"
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


def _prediction(fit: Fit[Any]) -> str:
    """Return a sentence on the iterations that are still needed; empty if they are unknown."""
    if fit.iterations_to_go is None:
        return ""
    return (
        f" At the present rate of convergence, {fit.trace.rate:.4g}, about "
        f"{fit.iterations_to_go} more iterations would do."
    )


def cast(arrays: Mapping[str, Array], dtype: npt.DTypeLike) -> dict[str, Data]:
    """Return parameters as fitted attributes, in the precision of the data."""
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


def validated(estimator: Any, X: Any, how_to_fill: str, **checks: Any) -> Data:
    """Return X as `validate_data` of scikit-learn does; the error for NaN tells how to fill it.

    Parameters
    ----------
    estimator : EMEstimator
    X : array-like
    how_to_fill : str
        A sentence: how missing entries can be filled for this estimator.
    **checks
        Passed to `validate_data`.
    """
    try:
        return np.asarray(validate_data(estimator, X, **checks))
    except (TypeError, ValueError) as error:
        others = _columns_without_numbers(X)
        if others and "NaN" not in str(error):
            cause = f"{error}. " if isinstance(error, ValueError) else ""
            raise ValueError(
                f"{cause}X: expected columns of numbers, got others in {', '.join(others)}: leave "
                "them out, or turn them into numbers."
            ) from None
        if isinstance(error, TypeError):
            raise
        # scikit-learn goes on with advice on estimators that have nothing to do with this one.
        problem, advice, _ = str(error).partition(
            f"{type(estimator).__name__} does not accept missing values"
        )
        if not advice:
            raise
        raise ValueError(f"{problem}{advice} (NaN). {how_to_fill}") from None


def _columns_without_numbers(X: Any) -> list[str]:
    """The names of the columns of a DataFrame that are neither numbers nor truth values."""
    if not hasattr(X, "columns") or not hasattr(X, "dtypes"):
        return []
    kinds = {name: str(kind).lower() for name, kind in zip(X.columns, X.dtypes, strict=True)}
    return [
        repr(name)
        for name, kind in kinds.items()
        if not kind.startswith(("int", "uint", "float", "bool"))
    ]


def callback_task(X: Data, y: Any, **metadata: Any) -> dict[str, Any]:
    """Return the data as callbacks receive them: all rows, including those of weight zero."""
    given = {name: value for name, value in metadata.items() if value is not None}
    return {"X": X, "y": y, "metadata": given or None}


def rows_with_weight(
    X: Data, sample_weight: Any, *others: Data | None
) -> tuple[Data, Array | None, tuple[Data | None, ...]]:
    """Return the rows whose weight is not zero, their validated weights, and what goes with them.

    A row of weight zero is a row left out, also of the start.
    """
    if sample_weight is None:
        return X, None, others
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if (weights == 1.0).all():
        return X, None, others
    kept = weights > 0.0
    if kept.all():
        return X, weights, others
    return X[kept], weights[kept], tuple(None if o is None else o[kept] for o in others)

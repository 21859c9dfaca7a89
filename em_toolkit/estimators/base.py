"""What all estimators share: running EM, and what is known of a run afterwards."""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight

from em_toolkit.engine import Fit, Rows, Status, best_of, em
from em_toolkit.engine.monitor import BOUND_CHECKS
from em_toolkit.estimators.reporting import FitReporter
from em_toolkit.model import LatentVariableModel
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import Array

Data = npt.NDArray[Any]

_ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)
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
        Passes over the data.
    status_ : Status
        Why the fit stopped, with the remedy.
    restarts_ : list of Restart
        What became of each start.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "bound_check": [StrOptions(set(BOUND_CHECKS))],
    }

    @abstractmethod
    def _attributes_of(self, params: Any, dtype: npt.DTypeLike) -> dict[str, Any]:
        """The fitted attributes that hold the parameters."""

    def _run_em(
        self,
        model: LatentVariableModel[Any, Any, Any],
        starts: Iterable[Callable[[], Any]],
        n_starts: int,
        X: Data,
        y: Any,
        weights: Array | None,
        previous_bound: float = -np.inf,
    ) -> None:
        """Run EM from each start on the rows of X, and set all fitted attributes."""

        def attributes(params: Any) -> dict[str, Any]:
            return self._attributes_of(params, X.dtype)

        def converged(fit: Fit[Any]) -> bool:
            return fit.status is Status.CONVERGED

        def run(start: Any) -> Fit[Any]:
            with reporter.start() as listener:
                fit = em(
                    model,
                    start,
                    Rows(X, weights),
                    max_iter=self.max_iter,
                    tol=self.tol,
                    bound_check=self.bound_check,
                    previous_bound=previous_bound,
                    listener=listener,
                )
                listener.finish(fit)
                return fit

        task = {"estimator": self, "X": X, "y": y, "metadata": {"sample_weight": weights}}
        reporter = FitReporter(self, task, n_starts, attributes, converged)
        try:
            fit, restarts = best_of(starts, run)
        except CollapseError as error:
            raise ValueError(f"{_ILL_DEFINED} Seen: {error}") from error

        for name, value in attributes(fit.params).items():
            setattr(self, name, value)
        self.trace_ = fit.trace
        self.lower_bounds_ = fit.trace.bounds[1:].tolist()
        self.lower_bound_ = float(fit.trace.bounds[-1])
        self.n_iter_ = fit.trace.n_iter
        self.n_passes_ = fit.trace.n_iter + 1
        self.status_ = fit.status
        self.converged_ = converged(fit)
        self.restarts_ = restarts
        self._warn_unless_converged(fit)
        reporter.finish(fit.params)

    def _warn_unless_converged(self, fit: Fit[Any]) -> None:
        messages = {
            Status.MAX_ITER: _NOT_CONVERGED,
            Status.COLLAPSED: f"{_NOT_CONVERGED} Status: {fit.status} ({fit.cause})",
            Status.INTERRUPTED: f"The fit was {fit.status}.",
        }
        failed = [restart.status for restart in self.restarts_ if np.isnan(restart.bound)]
        if failed:
            warnings.warn(
                f"{len(failed)} of {len(self.restarts_)} starts failed; the first: {failed[0]}",
                ConvergenceWarning,
                stacklevel=4,
            )
        if fit.status in messages and self.max_iter > 0:
            warnings.warn(messages[fit.status], ConvergenceWarning, stacklevel=4)


def rows_with_weight(
    X: Data, sample_weight: Any, *others: Data
) -> tuple[Data, Array | None, tuple[Data, ...]]:
    """Validated weights, and the rows of X (and of what goes with it) whose weight is not zero.

    A row of weight zero is a row left out, also of the start.
    """
    if sample_weight is None:
        return X, None, others
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    kept = weights > 0.0
    if not kept.any():
        raise ValueError(
            "Sample weights must contain at least one positive value, got only zeros: no row "
            "is left to fit to."
        )
    if kept.all():
        return X, weights, others
    return X[kept], weights[kept], tuple(other[kept] for other in others)

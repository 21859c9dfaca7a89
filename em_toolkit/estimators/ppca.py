"""Probabilistic PCA with scikit-learn's surface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions

from em_toolkit.analysis.dimension import dimension_of_most_evidence, dimension_of_share
from em_toolkit.data import Block
from em_toolkit.engine import Status
from em_toolkit.estimators.base import EMEstimator, in_precision
from em_toolkit.estimators.checks import check_shape
from em_toolkit.estimators.fitted_ppca import FittedPPCA
from em_toolkit.estimators.rows import Data, callback_task, check_sizes, rows_with_weight
from em_toolkit.estimators.running import Run
from em_toolkit.estimators.sklearn_bases import (
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    fit_context,
)
from em_toolkit.linalg.block_krylov import krylov_axes
from em_toolkit.linalg.principal_axes import PrincipalAxes, principal_axes
from em_toolkit.linalg.weighted_rows import WeightedRows
from em_toolkit.models.probabilistic_pca import (
    PPCAParameters,
    ProbabilisticPCA,
    closed_form,
    random_start,
)
from em_toolkit.options import Acceleration, BoundCheck, Solver, Stopping
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import Array


class PPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, FittedPPCA):
    r"""Probabilistic principal component analysis.

    .. math:: z \sim \mathcal N(0, I_q), \qquad x \mid z \sim \mathcal N(\mu + W z, \sigma^2 I_d)

    The maximum of the likelihood is known in closed form; EM reaches it step by step, and shows
    the bound on its way. Complete data are compressed once to their weight, mean and scatter, so
    that an iteration costs the same for a hundred rows and for a million. They are read in blocks
    and never copied: X may be a `numpy.memmap` larger than memory.

    scikit-learn's ``PCA`` defines the same density with the covariance divided by n − 1, here by n:
    ``get_covariance()``, ``explained_variance_`` and ``noise_variance_`` are (n − 1)/n times
    scikit-learn's. The components, the explained variance ratios and the singular values are the
    same. `transform` gives the posterior mean, as scikit-learn's ``FactorAnalysis`` does; with
    ``whiten=True`` it gives the projection in standard deviations, as ``PCA`` does.

    Parameters
    ----------
    n_components : int, float, "mle" or None, default=None
        The dimension q of the latent space, from 1 to n_features − 1: a number; the share of the
        variance to exceed, such as 0.95; "mle", which is Minka's choice (2000); or None, the
        largest that leaves something to the noise. (With q = n_features the model is a Gaussian
        without structure, ``GaussianMixture(n_components=1)``.)
    whiten : bool, default=False
        Whether `transform` returns coordinates of variance one instead of posterior means.
    solver : {"closed_form", "em", "randomized"}, default="closed_form"
        How to maximize the likelihood: by eigenvectors, by EM on the compressed data, or, for
        thousands of features and few components, by a Krylov space from random vectors
        (`em_toolkit.linalg.principal_axes`, `em_toolkit.linalg.block_krylov`).
    tol : float, default=1e-8
        EM and the randomized solver stop when an iteration raises the bound by less, in nats per
        sample; samples count by their weight.
    max_iter : int, default=1000
        The largest number of iterations of EM or of the randomized solver.
    random_state : int, RandomState instance or None, default=None
        Seed of EM's start, of the randomized solver's vectors, and of `sample`.
    verbose : int, default=0
        1 prints iterations, 2 also times and gains.
    verbose_interval : int, default=10
        Iterations between two prints.
    bound_check : {"raise", "warn", "off"}, default="raise"
        What to do if the bound falls by more than rounding explains, which is a bug.
    acceleration : {None, "squarem", "quasi_newton"}, default=None
        How to extrapolate the steps of ``solver="em"``, as in `GaussianMixture`.
    stopping : {"step", "distance"}, default="step"
        What ``solver="em"`` compares with `tol`, as in `GaussianMixture`.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        μ.
    loadings_ : ndarray of shape (n_features, n_components)
        W, turned so that its columns are orthogonal and of falling length.
    noise_variance_ : float
        σ².
    components_ : ndarray of shape (n_components, n_features)
        The directions of the columns of W: orthonormal rows.
    explained_variance_ : ndarray of shape (n_components,)
        The variance of the model along each component, ‖w_j‖² + σ².
    explained_variance_ratio_ : ndarray of shape (n_components,)
        The same as a share of the total variance of the data.
    singular_values_ : ndarray of shape (n_components,)
        √(n λ) for each ``explained_variance_`` λ: the singular values of the centred data, where n
        is the sum of the weights.
    n_components_ : int
        q.
    n_samples_ : int
        Rows of positive weight seen in `fit`.
    trace_, lower_bound_, lower_bounds_, n_iter_, n_passes_, converged_, status_, restarts_
        As in `GaussianMixture`. The closed form has a trace of one row, the E-step at it, and an
        ``n_iter_`` of 1; so has the randomized solver, with its own iterations in ``n_iter_``.
        Passes over the data are those that compress them: iterations of EM add none.

    References
    ----------
    Tipping & Bishop (1999), Probabilistic principal component analysis, JRSS B 61.

    Minka (2000), Automatic choice of dimensionality for PCA, NIPS 13.

    Musco & Musco (2015), Randomized block Krylov methods for stronger and faster approximate
    singular value decomposition, NeurIPS 28.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from em_toolkit import PPCA
    >>> X = load_iris().data
    >>> ppca = PPCA(n_components=2).fit(X)
    >>> round(ppca.score(X) * len(X), 3), round(ppca.noise_variance_, 7)
    (-404.963, 0.0506821)
    >>> em = PPCA(n_components=2, solver="em", random_state=0).fit(X)
    >>> round(em.score(X) * len(X), 3)
    -404.963
    """

    mean_: Data
    loadings_: Data
    noise_variance_: float
    components_: Data
    explained_variance_: Data
    explained_variance_ratio_: Data
    n_components_: int
    singular_values_: Data
    n_samples_: int

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **EMEstimator._parameter_constraints,
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0.0, 1.0, closed="neither"),
            StrOptions({"mle"}),
            None,
        ],
        "whiten": ["boolean"],
        "solver": [StrOptions({"closed_form", "em", "randomized"})],
    }
    _not_converged = f"PPCA did not converge: {Status.MAX_ITER}."
    _collapse_message = (
        "Fitting PPCA failed because the noise is lost in rounding. Use fewer components, or "
        "remove duplicate and constant features."
    )

    def __init__(
        self,
        n_components: int | float | Literal["mle"] | None = None,
        *,
        whiten: bool = False,
        solver: Solver = "closed_form",
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        bound_check: BoundCheck = "raise",
        acceleration: Acceleration | None = None,
        stopping: Stopping = "step",
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.bound_check = bound_check
        self.acceleration = acceleration
        self.stopping = stopping

    @classmethod
    def from_parameters(
        cls,
        mean: npt.ArrayLike,
        loadings: npt.ArrayLike,
        noise_variance: float,
        *,
        feature_names: Sequence[str] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a model that is known and was not fitted.

        ``loadings_`` are turned so that their columns are orthogonal and of falling length, which
        leaves the density as it is; ``explained_variance_ratio_`` is the share of the model's own
        total variance, and ``singular_values_`` are those of data of weight one.

        Parameters
        ----------
        mean : array-like of shape (n_features,)
        loadings : array-like of shape (n_features, n_components)
        noise_variance : float
            Positive, in squared units of the data.
        feature_names : sequence of str, default=None
            The names of the features.
        **settings
            Parameters of the constructor, such as ``random_state``.

        Returns
        -------
        model : PPCA

        Raises
        ------
        ValueError
            For shapes that do not match, more components than n_features − 1, and a noise
            variance that is not positive.

        Examples
        --------
        >>> from em_toolkit import PPCA
        >>> PPCA.from_parameters([0.0, 0.0], [[2.0], [0.0]], 1.0).get_covariance()
        array([[5., 0.],
               [0., 1.]])
        """
        loadings = np.asarray(check_array(loadings, dtype=np.float64))
        n_features, n_components = loadings.shape
        center = np.asarray(check_array(mean, dtype=np.float64, ensure_2d=False))
        check_shape(center, (n_features,), "mean")
        estimator = cls(n_components, **settings)
        estimator._validate_params()
        if not n_components < n_features:
            raise ValueError(
                f"loadings: expected fewer columns than the {n_features} rows, which are the "
                f"features, got {n_components}: nothing would be left for the noise."
            )
        estimator.n_components_ = n_components
        params = PPCAParameters(center, loadings, float(noise_variance))
        params.check()
        total = float(np.square(loadings).sum()) + n_features * params.noise_variance
        attributes = _attributes_of(params, 1.0, np.zeros(n_features), total, np.float64)
        estimator._set_known(attributes, n_features, feature_names)._check_fitted()
        return estimator

    @fit_context
    def fit(
        self, X: npt.ArrayLike, y: None = None, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data, a row each.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each row counts; weight 2 is the row given twice, 0 the row left out.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If data or parameters cannot be used, and if nothing is left for the noise.
        ELBODecreaseError
            If the bound falls, with ``bound_check="raise"``.
        """
        rows = self._validate_rows(X, reset=True)
        task = callback_task(rows, y, sample_weight=sample_weight)
        X, weights, _ = rows_with_weight(rows, sample_weight)
        check_sizes(X, weights, getattr(self, "feature_names_in_", None))
        weighted = WeightedRows(X, weights)
        self._check_n_components(weighted)
        run, others = _SOLVERS[self.solver](self, weighted, task)
        return self._publish(run, n_samples_=X.shape[0], **others)

    # Each of these returns the run, and attributes that are not what the run itself says.

    def _fit_in_closed_form(
        self, rows: WeightedRows, task: dict[str, Any]
    ) -> tuple[Run, dict[str, Any]]:
        axes = principal_axes(rows, self._n_asked)
        others = {"status_": Status.CLOSED_FORM, "converged_": True, "n_passes_": axes.n_passes}
        # scikit-learn's contract: one iteration at least.
        return self._run_at_the_maximum(axes, rows, task), others | {"n_iter_": 1}

    def _fit_by_em(self, rows: WeightedRows, task: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
        axes = principal_axes(rows, self._n_asked, complete=True)
        attributes, _ = self._placed(axes, rows)
        random_state = check_random_state(self.random_state)
        start = partial(random_start, axes, self.n_components_, random_state)
        blocks = [Block(*axes.rows())]
        run = self._run(
            ProbabilisticPCA(), [start], blocks, task, attributes, max_iter=self.max_iter
        )
        # Iterations do not see the data.
        return run, {"n_passes_": axes.n_passes}

    def _fit_by_random_vectors(
        self, rows: WeightedRows, task: dict[str, Any]
    ) -> tuple[Run, dict[str, Any]]:
        n_components = self._n_asked
        if n_components is None:
            raise ValueError(
                "PPCA(solver='randomized') expects n_components as a whole number, a few of the "
                f"{rows.n_features} features, got {self.n_components!r}, for which all axes are "
                "needed. Give a number, or take another solver."
            )
        axes, n_images, converged = krylov_axes(
            rows,
            n_components,
            check_random_state(self.random_state),
            tol=self.tol,
            max_iter=max(1, self.max_iter),
        )
        if not axes.resolves(n_components):
            raise ValueError(
                "PPCA(solver='randomized') takes the noise for what the components leave of the "
                f"total variance, {axes.noise_variance(n_components):.3g} of "
                f"{axes.total_variance:.3g} for each feature that is left: too little to stand "
                "above rounding. solver='closed_form' loses less; or use fewer components."
            )
        others = {
            "status_": Status.CONVERGED if converged else Status.MAX_ITER,
            "converged_": converged,
            "n_iter_": n_images,
            "n_passes_": axes.n_passes,
        }
        return self._run_at_the_maximum(axes, rows, task), others

    def _run_at_the_maximum(
        self, axes: PrincipalAxes, rows: WeightedRows, task: dict[str, Any]
    ) -> Run:
        attributes, best = self._placed(axes, rows)
        # An E-step at the maximum looks along its axes alone, and across them as a whole.
        blocks = [Block(*axes.leading(self.n_components_).rows())]
        return self._run(ProbabilisticPCA(), [lambda: best], blocks, task, attributes, max_iter=0)

    def _placed(
        self, axes: PrincipalAxes, rows: WeightedRows
    ) -> tuple[Callable[[Any], dict[str, Any]], PPCAParameters]:
        """Return the map from parameters to attributes, and the maximum of the likelihood."""
        n_components = self._dimension(axes)
        best = closed_form(axes, n_components)
        try:
            # The fit itself sees the rows centred, and their rounding as noise.
            replace(best, mean=axes.mean).check()
        except CollapseError as error:
            raise ValueError(f"{self._collapse_message} Seen: {error}") from None
        self.n_components_ = n_components
        attributes = partial(
            _attributes_of,
            weight=axes.weight,
            center=axes.mean,
            total_variance=axes.total_variance,
            dtype=rows.X.dtype,
        )
        return attributes, best

    @property
    def _n_asked(self) -> int | None:
        """`n_components` where it is a number of components; None if it follows from the data."""
        return int(self.n_components) if isinstance(self.n_components, Integral) else None

    def _dimension(self, axes: PrincipalAxes) -> int:
        """Return the number of components, which may follow from the variances."""
        # As many as there are directions leave nothing to the noise.
        most = max(1, axes.rank - 1)
        if self.n_components is None:
            return most
        if self._n_asked is not None:
            return self._n_asked
        if isinstance(self.n_components, str):
            return dimension_of_most_evidence(axes)
        n_components = dimension_of_share(axes, self.n_components)
        if n_components > most:
            raise ValueError(
                f"n_components={self.n_components}: more than {most} component(s) are needed to "
                "explain more than this share of the variance, and they leave no noise. Give a "
                "smaller share or a number, or take GaussianMixture(n_components=1), which is a "
                "Gaussian without structure."
            )
        return n_components

    def _check_n_components(self, rows: WeightedRows) -> None:
        n_features, n_asked = rows.n_features, self._n_asked
        if self.n_components == "mle" and rows.weight < n_features:
            raise ValueError(
                "n_components='mle' is only supported if n_samples >= n_features, got "
                f"{rows.weight:g} rows of {n_features} features. Give a number, or a share of the "
                "variance such as 0.95."
            )
        if n_asked is not None and n_asked >= n_features:
            raise ValueError(
                f"PPCA expects n_components from 1 to n_features - 1 = {n_features - 1}, got "
                f"n_components={self.n_components} with n_features={n_features}: as many "
                "components as features leave no noise. For a Gaussian without structure use "
                "GaussianMixture(n_components=1)."
            )

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        n_components = self.n_components_
        return {
            "mean_": (n_features,),
            "loadings_": (n_features, n_components),
            "components_": (n_components, n_features),
            "explained_variance_": (n_components,),
            "explained_variance_ratio_": (n_components,),
        }


_SOLVERS = {
    "closed_form": PPCA._fit_in_closed_form,
    "em": PPCA._fit_by_em,
    "randomized": PPCA._fit_by_random_vectors,
}


def _attributes_of(
    params: PPCAParameters,
    weight: float,
    center: Array,
    total_variance: float,
    dtype: npt.DTypeLike,
) -> dict[str, Any]:
    # The likelihood does not see a rotation of z: turn to principal axes, signs as in PCA.
    largest = np.abs(params.axes).argmax(axis=0)
    axes = params.axes * np.sign(params.axes[largest, np.arange(largest.shape[0])])
    arrays = {
        "mean_": center + params.mean,
        "loadings_": axes * params.lengths,
        "components_": axes.T,
        "explained_variance_": params.variances,
        "explained_variance_ratio_": params.variances / total_variance,
        "singular_values_": np.sqrt(weight * params.variances),
    }
    return in_precision(arrays, dtype) | {"noise_variance_": params.noise_variance}

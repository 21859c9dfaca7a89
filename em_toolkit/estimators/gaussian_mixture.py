"""Gaussian mixtures with scikit-learn's surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from numbers import Real
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions

from em_toolkit.engine import Rows
from em_toolkit.estimators.base import in_precision
from em_toolkit.estimators.checks import check_shape, check_weights
from em_toolkit.estimators.floor import VarianceFloorWarning, floor_remarks
from em_toolkit.estimators.gaussian_density import GaussianDensity
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.estimators.noise import CONSTRAINTS, noise_box
from em_toolkit.estimators.rows import Data
from em_toolkit.families import (
    STRUCTURES,
    Box,
    Covariances,
    FixedComponents,
    Gaussian,
    GaussianComponents,
    Resolution,
)
from em_toolkit.initialization import INITIALIZERS, beside_noise, filled
from em_toolkit.kernels import plan_for
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.options import (
    Acceleration,
    BoundCheck,
    CovarianceType,
    InitParams,
    Matrix,
    Stopping,
)
from em_toolkit.priors import (
    ComponentPrior,
    FlatPrior,
    Moments,
    NormalInverseWishart,
    NormalMeans,
)
from em_toolkit.statistics import Array, BoolArray

PRIORS: dict[str, NormalInverseWishart] = {"conjugate": NormalInverseWishart()}


class GaussianMixture(GaussianDensity):
    r"""A Gaussian mixture, fitted by expectation-maximization.

    .. math:: p(x) = \sum_k \pi_k \, \mathcal N(x \mid \mu_k, \Sigma_k)

    A drop-in for ``sklearn.mixture.GaussianMixture``: the same parameters, attributes and
    methods, and from the same ``random_state`` the same start and path. NaN entries of X are
    missing values, in `fit` and wherever rows are taken (`em_toolkit.analysis.imputation`).

    Parameters
    ----------
    n_components : int, default=1
        The number of components K.
    covariance_type : str, default="full"
        The covariance structure: "full" is a matrix for each component, "tied" one for all, "diag"
        variances along the features, "spherical" one variance for each component. mclust's
        fourteen names, such as "VEI", say what components share (`em_toolkit.covariances`).
    tol : float, default=1e-3
        EM stops when an iteration raises the bound by less, in nats per sample (see
        `stopping`).
    reg_covar : float, default=1e-6
        The floor ε ≥ 0, in squared units of the data: no component has less variance in any
        direction (Hathaway 1985). A fit that it holds up says so by a `VarianceFloorWarning`. It
        changes no other variance, where scikit-learn adds it to all.
    max_iter : int, default=100
        The largest number of iterations. 0 returns the start.
    n_init : int, default=1
        The number of starts; the best result is kept.
    init_params : str or array-like of shape (n_samples, n_components), default="kmeans"
        The start: "kmeans" (scikit-learn's), "kmeans_sample" (for a million rows),
        "kmeans_standardized", "k-means++", "random", "random_from_data", "hierarchical",
        "short_em", "auto" (takes longer, and leads more often to the best optimum); or the
        responsibilities to start from. `em_toolkit.initialization` compares the ways.
    weights_init : array-like of shape (n_components,), default=None
        Weights of the start, in place of those that `init_params` gives.
    means_init : array-like of shape (n_components, n_features), default=None
        Means of the start, in place of those that `init_params` gives.
    precisions_init : array-like, default=None
        Inverse covariances of the start, in the shape of ``precisions_``.
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
        How to extrapolate the steps of EM, which helps where components overlap; None is plain EM,
        "quasi_newton" mostly the fastest. The bound never falls, but another local maximum may be
        reached (`em_toolkit.engine.acceleration`).
    n_jobs : int, default=None
        Threads; −1 or None is one for each core, unless ``joblib.parallel_config`` says otherwise,
        and one in a worker of joblib. The result is the same to the bit for any number
        (`em_toolkit.estimators.mixture`).
    prior : {"conjugate"}, NormalInverseWishart or NormalMeans, default=None
        A prior of means and covariances; the fit is then the maximum of the posterior.
        "conjugate" is `NormalInverseWishart()`, with mclust's hyperparameters. ``lower_bound_`` has
        the prior in it, ``score`` and ``bic`` have not.
    weight_concentration : float or array-like of shape (n_components,), default=1.0
        α_k ≥ 1 of a Dirichlet prior of the weights, Σ_k (α_k − 1) log π_k: as if each component had
        α_k − 1 more rows. 1 is maximum likelihood.
    fixed : dict, default=None
        What stays as it is at the start: a mapping from "weights", "means" or "covariances" to True
        (all components), indices or a mask of components. Covariances that share a part are fixed
        together. What is fixed does not count as a parameter in ``bic``.
    stopping : {"step", "distance"}, default="step"
        What is compared with `tol`: the gain of an iteration, as in scikit-learn, or the predicted
        distance to the final bound, which takes more iterations and ends nearer to the maximum
        (`em_toolkit.engine.stopping`).
    noise : bool or float, default=None
        Whether there is a further component for outliers, with the constant density 1/V; a number
        is V. It has the label -1, and a last column in ``predict_proba``
        (`em_toolkit.estimators.noise`).

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        The weights π_k; with noise, they and ``noise_weight_`` sum to one.
    means_ : ndarray of shape (n_components, n_features)
        The means μ_k.
    covariances_ : ndarray
        The covariances Σ_k, of shape (n_components, n_features, n_features) if full,
        (n_features, n_features) if tied, (n_components, n_features) if diag, (n_components,) if
        spherical. Under mclust's names, by the end: (n_components,) for "II", (n_components,
        n_features) for "I", else (n_components, n_features, n_features), with those of each
        component, whatever they share; but "EEE" is tied.
    precisions_ : ndarray
        Their inverses, in the same shape.
    precisions_cholesky_ : ndarray
        Upper triangular factors P with P Pᵀ = Σ⁻¹, in the same shape.
    covariance_type_ : str
        The `covariance_type` of the fit, of which the arrays above are.
    noise_weight_ : float
        The weight of the noise; 0 without.
    noise_volume_ : float or None
        V, in units of the data to the power of n_features.
    noise_box_ : em_toolkit.families.Box or None
        Where ``sample`` draws noise from: ``center``, ``axes``, ``lengths``.
    converged_ : bool
        Whether `tol` was met.
    n_iter_ : int
        Iterations of the best start.
    lower_bound_ : float
        The bound at the parameters returned: ``score(X)`` plus the log prior by row.
    lower_bounds_ : list of float
        The bound after each iteration; the last is ``lower_bound_``.
    trace_ : em_toolkit.Trace
        The ledger: a row for each half-step.
    status_ : em_toolkit.Status
        Why the fit stopped, and what to do about it.
    n_passes_ : int
        Passes over the data of the best start: ``n_iter_ + 1``, and the rejected steps.
    restarts_ : list of em_toolkit.Restart
        The bound, iterations and status of each start, with the cause of a failure.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where X had names.

    References
    ----------
    Dempster, Laird & Rubin (1977); Bishop (2006), section 9.2; Banfield & Raftery (1993),
    Biometrics 49, and Celeux & Govaert (1995), Pattern Recognition 28, for the structures;
    Ciuperca, Ridolfi & Idier (2003); Ghahramani & Jordan (1994), NIPS 6; Rubin (1976), Biometrika
    63; Varadhan & Roland (2008), Scand. J. Statist. 35; Zhou, Alexander & Lange (2011), Stat.
    Comput. 21.

    Examples
    --------
    >>> import numpy as np
    >>> from em_toolkit import GaussianMixture
    >>> X = np.array([[1, 2], [2, 4], [0, 0], [10, 2], [9, 4], [11, 0]])
    >>> gm = GaussianMixture(n_components=2, covariance_type="diag", random_state=0).fit(X)
    >>> gm.means_.round(2)
    array([[10.,  2.],
           [ 1.,  2.]])
    >>> gm.predict([[0, 0], [12, 3]])
    array([1, 0])
    >>> bool((np.diff(gm.trace_.elbo) >= -1e-12).all())
    True
    """

    covariance_type: CovarianceType
    covariance_type_: str
    covariances_: Data
    precisions_: Data
    precisions_cholesky_: Data
    noise_weight_: float
    noise_volume_: float | None
    noise_box_: Box | None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MixtureEstimator._parameter_constraints,
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "prior": [StrOptions(set(PRIORS)), NormalInverseWishart, NormalMeans, None],
        "noise": CONSTRAINTS,
    }
    _parts = ("weights", "means", "covariances")

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitParams | Matrix = "kmeans",
        weights_init: npt.ArrayLike | None = None,
        means_init: npt.ArrayLike | None = None,
        precisions_init: npt.ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        bound_check: BoundCheck = "raise",
        acceleration: Acceleration | None = None,
        n_jobs: int | None = None,
        prior: Literal["conjugate"] | NormalInverseWishart | NormalMeans | None = None,
        weight_concentration: float | npt.ArrayLike = 1.0,
        fixed: Mapping[str, Any] | None = None,
        stopping: Stopping = "step",
        noise: bool | float | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.bound_check = bound_check
        self.acceleration = acceleration
        self.n_jobs = n_jobs
        self.prior = prior
        self.weight_concentration = weight_concentration
        self.fixed = fixed
        self.stopping = stopping
        self.noise = noise

    @classmethod
    def from_parameters(
        cls,
        weights: npt.ArrayLike,
        means: npt.ArrayLike,
        covariances: npt.ArrayLike,
        *,
        covariance_type: CovarianceType = "full",
        feature_names: Sequence[str] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a mixture that is known and was not fitted.

        It predicts, scores, samples, conditions and so on. What tells of a fit (``trace_``,
        ``converged_``, ``lower_bound_`` and the like) it has not.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Non-negative, with a sum of 1.
        means : array-like of shape (n_components, n_features)
        covariances : array-like
            Of the shape that ``covariances_`` has with this `covariance_type`: for "full"
            (n_components, n_features, n_features).
        covariance_type : str, default="full"
            As in the constructor.
        feature_names : sequence of str, default=None
            The names of the features.
        **settings
            Parameters of the constructor, such as ``random_state``.

        Returns
        -------
        mixture : GaussianMixture

        Raises
        ------
        ValueError
            For weights that do not sum to 1, covariances that are not symmetric, positive definite
            and of the given type, and arrays whose shapes do not match.

        Examples
        --------
        >>> from em_toolkit import GaussianMixture
        >>> gm = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [4.0]], [[[1.0]], [[1.0]]])
        >>> gm.predict([[1.0], [3.0]])
        array([0, 1])
        """
        means = np.asarray(check_array(means, dtype=np.float64))
        n_components, n_features = means.shape
        estimator = cls(n_components, covariance_type=covariance_type)
        estimator._validate_params()
        values = check_array(
            covariances, dtype=[np.float64, np.float32], ensure_2d=False, allow_nd=True
        )
        check_shape(values, estimator._shapes(n_features)["covariances_"], "covariances")
        structure = estimator._structure
        # A covariance and its inverse are symmetric, positive and alike for the same reasons.
        complaint = structure.precisions_problem(values)
        if complaint:
            raise ValueError(f"'{covariance_type} covariance' should be {complaint}")
        known = structure.from_sklearn_array(np.asarray(values, dtype=np.float64), *means.shape)
        components = GaussianComponents(means, known)
        params = MixtureParameters(check_weights(weights, n_components), components)
        settings = settings | {"covariance_type": covariance_type}
        if settings.get("noise") not in (None, False):
            raise ValueError(
                f"noise: expected None, got {settings['noise']!r}: the box of the noise is that of "
                "the data of a fit, and there are none."
            )
        return cls._known(params, n_features, feature_names, settings)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _rows_to_start_from(
        self, X: Data, weights: Array | None, random_state: np.random.RandomState
    ) -> Data:
        return filled(X, weights, self._structure, random_state)

    @property
    def _structure(self) -> type[Covariances]:
        return STRUCTURES[self.covariance_type]

    def _model(self) -> Mixture[GaussianComponents]:
        return self._model_with(FlatPrior())

    def _model_for(self, X: Data, weights: Array | None) -> Mixture[GaussianComponents]:
        prior = self._prior_for(X, weights)
        # A floor, and what adds to every scatter, give the likelihood a maximum: nothing need be
        # said of the values of features.
        if self.reg_covar > 0.0 or prior.matrix(X.shape[1]).any():
            return self._model_with(prior)
        return self._model_with(prior, Resolution(X, getattr(self, "feature_names_in_", None)))

    def _prior_for(self, X: Data, weights: Array | None) -> ComponentPrior:
        if self.prior is None:
            return FlatPrior()
        prior = PRIORS[self.prior] if isinstance(self.prior, str) else self.prior
        data = Moments.of(Rows(X, weights))
        return prior.for_data(data, self._structure, self.n_components)

    def _model_with(
        self, prior: ComponentPrior, resolution: Resolution | None = None
    ) -> Mixture[GaussianComponents]:
        fixed = self._fixed()
        components = FixedComponents(fixed["means"], fixed["covariances"])
        family = Gaussian(self._structure, prior, components, self.reg_covar, resolution)
        return Mixture(family, self._mixing())

    # -- noise -------------------------------------------------------------------------------------

    @property
    def _n_beside(self) -> int:
        # A number is a volume; truth values may be NumPy's.
        is_flag = self.noise is None or isinstance(self.noise, bool | np.bool_)
        return int(bool(self.noise) if is_flag else True)

    def _with_noise(self, components: Mixture[Any], X: Data, weights: Array | None) -> Mixture[Any]:
        if self.noise is None or not self._n_beside:
            return components
        names = getattr(self, "feature_names_in_", None)
        return components.with_noise(noise_box(self.noise, X, weights, names, stacklevel=5))

    def _initialize(
        self,
        components: Mixture[Any],
        mixture: Mixture[Any],
        X: Data,
        weights: Array | None,
        random_state: np.random.RandomState,
    ) -> MixtureParameters[Any]:
        if not self._n_beside:
            return super()._initialize(components, mixture, X, weights, random_state)
        family: Any = mixture.family
        initialize = beside_noise(INITIALIZERS[cast(InitParams, self.init_params)], family.box)
        signal = plan_for(components, X, self.n_components).model
        return initialize(signal, X, weights, self.n_components, random_state)

    def _beside_noise(self, components: Mixture[Any]) -> Mixture[Any]:
        """Return the mixture that was fitted, of the mixture of its components."""
        box = getattr(self, "noise_box_", None)
        if bool(self._n_beside) != (box is not None):
            raise ValueError(
                f"noise={self.noise}: expected what it was in the fit, of which the weights are. "
                "Parameters that were changed after a fit ask for another one: call fit."
            )
        return components if box is None else components.with_noise(box)

    def _fitted_model(self) -> Mixture[Any]:
        return self._beside_noise(self._model())

    def _model_of_fit(self, X: Data, weights: Array | None) -> Mixture[Any]:
        return self._beside_noise(self._model_for(X, weights))

    def _all_weights(self) -> Array:
        weights = np.asarray(self.weights_, dtype=np.float64)
        return np.append(weights, self.noise_weight_) if self._n_beside else weights

    def _check_continues(self, n_features: int) -> None:
        if self._n_beside and self.noise_box_ is None:
            raise ValueError(
                "A warm start continues from the last fit, which had no noise. To start anew, set "
                "warm_start=False."
            )
        super()._check_continues(n_features)
        if self._has_another_form():
            raise ValueError(
                "A warm start continues from the last fit, which was of "
                f"covariance_type={self.covariance_type_!r}: its covariances cannot be read as "
                f"those of {self.covariance_type!r}. To start anew, set warm_start=False."
            )

    def _has_another_form(self) -> bool:
        """Whether the fitted covariances have another form than `covariance_type` asks for."""
        # Attributes that were set by hand, as in scikit-learn, are of the type that is set.
        fitted = STRUCTURES.get(getattr(self, "covariance_type_", self.covariance_type))
        return fitted is None or _form(fitted) != _form(self._structure)

    def _check_form(self) -> None:
        """Raise a ValueError if `covariance_type` was changed to one of another form."""
        if self._has_another_form():
            raise ValueError(
                f"covariance_type={self.covariance_type!r}: expected {self.covariance_type_!r}, of "
                "which the fitted parameters are. Parameters that were changed after a fit ask for "
                "another one: call fit."
            )

    def _check_fitted(self) -> None:
        super()._check_fitted()
        box = self.noise_box_
        if box is None:
            return
        d = self.n_features_in_
        edges = np.concatenate([np.ravel(box.lengths), np.ravel(box.sides)]).astype(np.float64)
        shapes = [np.shape(part) for part in (box.center, box.axes, box.lengths, box.sides)]
        if shapes != [(d,), (d, d), (d,), (d,)] or not (np.isfinite(edges) & (edges > 0.0)).all():
            raise ValueError(
                "noise_box_ should have a positive and finite edge for each feature, but its "
                f"center, axes, lengths and sides have the shapes {shapes} and edges {edges}"
            )

    # -- parameters and attributes -----------------------------------------------------------------

    def _remarks(
        self, X: Data, weights: Array | None, params: MixtureParameters[GaussianComponents]
    ) -> list[Warning]:
        components, floor = params.components, self.reg_covar
        if not components.covariances.on_floor(floor).any():
            return []
        names = getattr(self, "feature_names_in_", range(X.shape[1]))
        found = floor_remarks(
            components, floor, Moments.of(Rows(X, weights)), [repr(name) for name in names]
        )
        return [VarianceFloorWarning("; ".join(found) + ".")] if found else []

    def _fixed(self) -> dict[str, BoolArray | None]:
        fixed = super()._fixed()
        chosen = fixed["covariances"]
        if chosen is None or chosen.all():
            return fixed
        # Whatever the number of features: in a single one, structures coincide.
        if not self._structure.shares_nothing(self.n_components, 2):
            raise ValueError(
                "fixed['covariances']: expected all components or none, because those of "
                f"covariance_type={self.covariance_type!r} share what they have in common, got "
                f"{self.fixed!r}. Hold all (True), or take a type with a covariance for each "
                "component, such as 'full'."
            )
        return fixed

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        shape = self._structure.shared(np.eye(n_features), self.n_components).sklearn_array.shape
        return {
            "weights_": (self.n_components,),
            "means_": (self.n_components, n_features),
            "covariances_": shape,
            "precisions_": shape,
            "precisions_cholesky_": shape,
        }

    def _given(self, n_features: int) -> dict[str, Any]:
        shapes = self._shapes(n_features)
        given: dict[str, Any] = {}
        if self.weights_init is not None:
            given["weights"] = check_weights(self.weights_init, self._n_labels, self._n_beside)
        if self.means_init is not None:
            means = check_array(self.means_init, dtype=np.float64, ensure_2d=False)
            check_shape(means, shapes["means_"], "means")
            given["means"] = means
        if self.precisions_init is not None:
            precisions = check_array(
                self.precisions_init,
                dtype=[np.float64, np.float32],
                ensure_2d=False,
                allow_nd=True,
            )
            name = f"{self.covariance_type} precision"
            check_shape(precisions, shapes["precisions_cholesky_"], name)
            complaint = self._structure.precisions_problem(precisions)
            if complaint:
                raise ValueError(f"'{name}' should be {complaint}")
            given["covariances"] = self._structure.from_precisions(
                np.asarray(precisions, dtype=np.float64), *shapes["means_"]
            )
        return given

    def _start_with(
        self, start: MixtureParameters[GaussianComponents] | None, given: dict[str, Any]
    ) -> MixtureParameters[GaussianComponents]:
        parts = given
        if start is not None:
            components = start.components
            found = {
                "weights": start.weights,
                "means": components.means,
                "covariances": components.covariances,
            }
            parts = found | given
        components = GaussianComponents(parts["means"], parts["covariances"])
        return MixtureParameters(parts["weights"], components)

    def _parameters(self) -> MixtureParameters[GaussianComponents]:
        self._check_form()
        means = np.asarray(self.means_, dtype=np.float64)
        factors = np.asarray(self.precisions_cholesky_, dtype=np.float64)
        expected = self._structure.shared(
            np.eye(means.shape[1]), means.shape[0]
        ).sklearn_array.shape
        if factors.shape != expected:
            raise ValueError(
                f"covariance_type={self.covariance_type!r}: expected precisions_cholesky_ of shape "
                f"{expected}, got the shape {factors.shape} of another type. Parameters that were "
                "changed after a fit ask for another one: call fit."
            )
        covariances = self._structure.from_precisions_cholesky(factors, *means.shape)
        return MixtureParameters(self._all_weights(), GaussianComponents(means, covariances))

    def _last_parameters(self) -> MixtureParameters[GaussianComponents]:
        params = super()._last_parameters()
        components = params.components
        covariances = components.covariances.in_structure()
        return replace(params, components=replace(components, covariances=covariances))

    def _parameters_to_sample(self) -> MixtureParameters[GaussianComponents]:
        self._check_form()
        # From covariances_, as scikit-learn: the eigenvectors that a draw needs are not unique
        # where eigenvalues are equal, and a rounding of the matrix would turn them.
        means = np.asarray(self.means_, dtype=np.float64)
        values = np.asarray(self.covariances_, dtype=np.float64)
        covariances = self._structure.from_sklearn_array(values, *means.shape)
        return MixtureParameters(self._all_weights(), GaussianComponents(means, covariances))

    def _attributes_of(
        self,
        mixture: Mixture[Any],
        params: MixtureParameters[GaussianComponents],
        dtype: npt.DTypeLike,
    ) -> dict[str, Any]:
        covariances = params.components.covariances
        n_components = covariances.n_components
        arrays = {
            "weights_": params.weights[:n_components],
            "means_": params.components.means,
            "covariances_": covariances.sklearn_array,
            "precisions_": covariances.precisions,
            "precisions_cholesky_": covariances.precisions_cholesky,
        }
        attributes: dict[str, Any] = in_precision(arrays, dtype)
        attributes["covariance_type_"] = self.covariance_type
        for name in ("covariances_", "precisions_"):
            attributes[name] = covariances.with_factors(attributes[name])
        # Without noise too, so that nothing is left of an earlier fit.
        noise: dict[str, Any] = {"noise_weight_": 0.0, "noise_volume_": None, "noise_box_": None}
        if len(params.weights) > n_components:
            family: Any = mixture.family
            box = family.box
            noise = {
                "noise_weight_": float(params.weights[-1]),
                "noise_volume_": box.volume,
                "noise_box_": box,
            }
        return attributes | noise


@cache
def _form(structure: type[Covariances]) -> tuple[int, ...]:
    """Return the shape of the covariances of one component with two features.

    These numbers tell the forms apart; others may not, such as two of both.
    """
    shape: tuple[int, ...] = structure.shared(np.eye(2), 1).sklearn_array.shape
    return shape

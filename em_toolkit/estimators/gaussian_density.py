"""A fitted Gaussian mixture used as a density: marginals, conditionals, missing entries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self, overload

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from em_toolkit.analysis.conditioning import (
    GaussianMixtureParameters,
    condition,
    marginal,
)
from em_toolkit.analysis.features import feature_indices, other_features, targets_given
from em_toolkit.analysis.imputation import draw_missing, impute
from em_toolkit.analysis.regression import (
    conditional_log_density,
    conditional_mean,
    predict_conditional,
)
from em_toolkit.estimators.frames import Frame, completed_like
from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.estimators.noise import refuse_noise
from em_toolkit.estimators.rows import Data
from em_toolkit.families import (
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    SphericalCovariances,
    TiedCovariances,
)
from em_toolkit.statistics import IntArray


class GaussianDensity(MixtureEstimator):
    """A Gaussian mixture as a density: marginals and conditionals of some of its features.

    Features are given by their index or, where the fit has ``feature_names_in_``, by name.
    """

    _names_of_structures: ClassVar[dict[type[Covariances], str]] = {
        FullCovariances: "full",
        TiedCovariances: "tied",
        DiagonalCovariances: "diag",
        SphericalCovariances: "spherical",
    }

    def marginal(self, features: Any) -> Self:
        """Return the mixture of some of the features, with the others integrated out.

        Parameters
        ----------
        features : int, str, or array-like of int, str or bool
            Indices, names or a mask of the features, in the order that the result is to have.

        Returns
        -------
        mixture : estimator
            A fitted mixture of the features named, of the same class and the same weights. It has
            the attributes that are the density (``weights_``, ``means_``, ``covariances_``,
            ``precisions_``, ``precisions_cholesky_``) and those of the features
            (``n_features_in_``, ``feature_names_in_``), and none of those that describe a fit
            (``converged_``, ``trace_``, ``lower_bound_`` and the like). Full, tied,
            diagonal and spherical covariances remain what they are; any other
            ``covariance_type`` becomes the nearest of these. What was given for all the features
            (``means_init`` and the like, ``fixed``, a `prior` by its numbers) is left out, so that
            the result can be fitted anew.

        Raises
        ------
        ValueError
            If no features are given, or repeated or unknown ones.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from em_toolkit import GaussianMixture
        >>> X = load_iris(as_frame=True).data
        >>> gm = GaussianMixture(n_components=3, random_state=0).fit(X)
        >>> petals = gm.marginal(["petal length (cm)", "petal width (cm)"])
        >>> petals.means_.shape
        (3, 2)
        >>> petals.predict_proba(X[petals.feature_names_in_]).shape
        (150, 3)
        """
        chosen = self._indices(features, "features")
        return self._of_features(marginal(self._density(), chosen), chosen)

    def condition(self, values: Any, features: Any = None) -> Self:
        """Return the mixture of the remaining features, given the values of some.

        Parameters
        ----------
        values : mapping, float, or array-like of shape (n_given,)
            The values that are known: by feature, or in the order of `features`.
        features : int, str, or array-like of int, str or bool, default=None
            The features that have these values, unless `values` is a mapping.

        Returns
        -------
        mixture : estimator
            A fitted mixture of the remaining features, in their order. Its ``weights_`` are the
            probabilities of the components given the values. As for its other attributes, see
            `marginal`.

        Raises
        ------
        ValueError
            If no features are given, all of them, or repeated or unknown ones; and if the values
            are not finite, or not as many as the features.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from em_toolkit import GaussianMixture
        >>> X = load_iris(as_frame=True).data
        >>> gm = GaussianMixture(n_components=3, random_state=0).fit(X)
        >>> rest = gm.condition({"petal length (cm)": 1.4, "petal width (cm)": 0.2})
        >>> rest.weights_.round(3)
        array([0., 1., 0.])
        >>> rest.means_[1].round(2)
        array([4.95, 3.38])
        """
        if features is None:
            if not hasattr(values, "items"):
                raise ValueError(
                    "features: expected the features that have these values, or a mapping from "
                    "features to values, such as {0: 1.5}; got values alone."
                )
            features, values = zip(*values.items(), strict=True) if len(values) else ((), ())
        given = self._indices(features, "features")
        params = condition(self._density(), given, values)
        return self._of_features(params, other_features(self.n_features_in_, given))

    def predict_conditional(
        self, X: npt.ArrayLike, *, given: Any, targets: Any = None, return_cov: bool = False
    ) -> Data | tuple[Data, Data]:
        """Return the mean of some features given others: Gaussian mixture regression.

        It is the mean of `condition` for each row, and its covariance; see
        `em_toolkit.analysis.regression.predict_conditional` for the equations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_given)
            The values of the given features, in the order of `given`. Of a DataFrame the columns
            are taken by their names, where the fit has names, and it may have others too.
        given : int, str, or array-like of int, str or bool
            The features that are known.
        targets : int, str, or array-like of int, str or bool, default=None
            The features to predict, in this order; by default all that are not given. Other
            features are integrated out.
        return_cov : bool, default=False
            Whether to return the covariances too.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_targets)
            E[x_t | x_g].
        covariance : ndarray of shape (n_samples, n_targets, n_targets)
            Cov[x_t | x_g]; only with ``return_cov=True``.

        Raises
        ------
        ValueError
            If the features are refused by `condition`, and if values are not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from em_toolkit import GaussianMixture
        >>> x = np.random.default_rng(0).uniform(0.0, 6.0, size=500)
        >>> X = np.column_stack([x, np.sin(x)])
        >>> gm = GaussianMixture(n_components=8, random_state=0).fit(X)
        >>> mean = gm.predict_conditional([[1.5], [3.0]], given=0)
        >>> np.abs(mean[:, 0] - np.sin([1.5, 3.0])) < 0.05
        array([ True,  True])
        """
        params = self._density()
        given, targets = self._given_and_targets(given, targets)
        rows = self._columns_given(X, given)
        dtype = np.result_type(rows, self.means_)
        if not return_cov:
            return conditional_mean(params, rows, given, targets).astype(dtype, copy=False)
        mean, covariance = predict_conditional(params, rows, given, targets)
        return mean.astype(dtype, copy=False), covariance.astype(dtype, copy=False)

    def conditional_score_samples(
        self, X: npt.ArrayLike, *, given: Any, targets: Any = None
    ) -> Data:
        """Return the log density log p(x_t | x_g) of some features given others, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Whole rows.
        given, targets
            As in `predict_conditional`.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from em_toolkit import GaussianMixture
        >>> X = load_iris().data
        >>> gm = GaussianMixture(n_components=3, random_state=0).fit(X)
        >>> rest = gm.conditional_score_samples(X, given=[0, 1])
        >>> np.allclose(gm.marginal([0, 1]).score_samples(X[:, :2]) + rest, gm.score_samples(X))
        True
        """
        params = self._density()
        given, targets = self._given_and_targets(given, targets)
        rows = check_array(self._fitted_rows(X), dtype=[np.float64, np.float32])
        log_density = conditional_log_density(
            params, rows[:, given], rows[:, targets], given, targets
        )
        return log_density.astype(np.result_type(rows, self.means_), copy=False)

    @overload
    def impute(self, X: Frame) -> Frame: ...
    @overload
    def impute(self, X: npt.ArrayLike) -> Data: ...
    def impute(self, X: Any) -> Any:
        r"""Return rows with the expectation in the place of each missing entry.

        .. math:: \operatorname{E}[x_m \mid x_o] = \sum_k p(k \mid x_o)
                  \left[ \mu_{k,m} + \Sigma_{k,mo} \Sigma_{k,oo}^{-1} (x_o - \mu_{k,o}) \right]

        It is the best guess of each entry in squared error. Imputed rows vary less than
        complete ones would; for estimates and their errors use `sample_missing`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN entries are missing. A row without any entry becomes the mean of the mixture.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            Observed entries as they were. A DataFrame of pandas or polars is returned for one,
            with its index, columns and dtypes (a column of integers in which entries are missing
            becomes floating-point); ``sklearn.set_config(transform_output=...)`` asks for another.

        Examples
        --------
        >>> import numpy as np
        >>> from em_toolkit import GaussianMixture
        >>> from em_toolkit.datasets import load_faithful
        >>> gm = GaussianMixture(n_components=2, random_state=0).fit(load_faithful().data)
        >>> gm.impute([[2.0, np.nan], [4.0, np.nan], [np.nan, 80.0]]).round(1)
        array([[ 2. , 54.2],
               [ 4. , 78.4],
               [ 4.3, 80. ]])
        """
        return self._completed(X, impute)

    @overload
    def sample_missing(
        self, X: Frame, random_state: int | np.random.RandomState | None = None
    ) -> Frame: ...
    @overload
    def sample_missing(
        self, X: npt.ArrayLike, random_state: int | np.random.RandomState | None = None
    ) -> Data: ...
    def sample_missing(
        self, X: Any, random_state: int | np.random.RandomState | None = None
    ) -> Any:
        """Return rows with a draw from the posterior in the place of each missing entry.

        The component of a row is drawn first, and its missing entries together given the
        component. Several completions, each analysed as if complete, show the uncertainty of
        results that is due to missing entries (multiple imputation, Rubin 1987). The
        parameters are held at their estimates.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN entries are missing.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws; None draws anew at each call.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            Observed entries as they were. A DataFrame of pandas or polars is returned for one,
            with its index, columns and dtypes (a column of integers in which entries are missing
            becomes floating-point); ``sklearn.set_config(transform_output=...)`` asks for another.

        Examples
        --------
        >>> import numpy as np
        >>> from em_toolkit import GaussianMixture
        >>> from em_toolkit.datasets import load_faithful
        >>> gm = GaussianMixture(n_components=2, random_state=0).fit(load_faithful().data)
        >>> rows = np.tile([[4.0, np.nan]], (1000, 1))
        >>> waiting = gm.sample_missing(rows, random_state=0)[:, 1]
        >>> bool(abs(waiting.mean() - gm.impute(rows)[0, 1]) < 1.0)
        True
        """
        return self._completed(X, draw_missing, check_random_state(random_state))

    def _completed(self, X: Any, complete: Callable[..., Data], *options: Any) -> Any:
        """Return rows that `complete` has completed, in the container in which they came."""
        rows = self._fitted_rows(X)
        completed = complete(
            self.model_,
            self.params_,
            rows,
            *options,
            n_jobs=self.n_jobs,
            dtype=self._precision(rows),
        )
        names = getattr(self, "feature_names_in_", None)
        return completed_like(X, completed, np.isnan(rows), names)

    # -- features, and what is returned ----------------------------------------------------------

    n_features_in_: int
    means_: Data
    feature_names_in_: Data

    @abstractmethod
    def _parameters(self) -> GaussianMixtureParameters:
        """Return the parameters that the fitted attributes hold."""

    def _density(self) -> GaussianMixtureParameters:
        check_is_fitted(self)
        refuse_noise(self, "marginals, conditionals and regression")
        return self._parameters()

    def _indices(self, features: Any, argument: str) -> IntArray:
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        return feature_indices(features, self.n_features_in_, names=names, argument=argument)

    def _given_and_targets(self, given: Any, targets: Any) -> tuple[IntArray, IntArray]:
        given = self._indices(given, "given")
        if targets is not None:
            targets = self._indices(targets, "targets")
        return given, targets_given(given, targets, self.n_features_in_)

    def _columns_given(self, X: Any, given: IntArray) -> Data:
        """Return the values of the given features, in their order."""
        names = getattr(self, "feature_names_in_", None)
        if names is not None and hasattr(X, "columns"):
            wanted = names[given].tolist()
            missing = [name for name in wanted if name not in list(X.columns)]
            if missing:
                raise ValueError(
                    f"X: expected the columns {wanted}, which are given, got {list(X.columns)}: "
                    f"{missing[0]!r} is not there."
                )
            X = X[wanted]
        rows = np.asarray(check_array(X, dtype=[np.float64, np.float32]))
        if rows.shape[1] != given.shape[0]:
            raise ValueError(
                f"X: expected {given.shape[0]} columns, one for each feature that is given, got "
                f"{rows.shape[1]}."
            )
        return rows

    def _of_features(self, params: GaussianMixtureParameters, features: IntArray) -> Self:
        """Return a fitted mixture like this one, with these parameters."""
        estimator: Any = clone(self)
        structure = type(params.components.covariances)
        if structure is not estimator._structure:
            estimator.covariance_type = self._names_of_structures[structure]
        estimator.n_components = params.weights.shape[0]
        # What was said of all the features, or of other rows, would be of no use to a new fit.
        estimator.weights_init = estimator.means_init = estimator.precisions_init = None
        estimator.fixed = None
        if not isinstance(estimator.prior, str):
            estimator.prior = None
        if not isinstance(estimator.init_params, str):
            estimator.init_params = "kmeans"
        attributes = estimator._attributes_of(estimator._model(), params, self.means_.dtype)
        names = getattr(self, "feature_names_in_", None)
        known: Self = estimator._set_known(
            attributes, features.shape[0], None if names is None else names[features]
        )
        return known

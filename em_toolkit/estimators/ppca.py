"""Probabilistic PCA with scikit-learn's surface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from em_toolkit.engine import Rows, Status
from em_toolkit.estimators.base import Data, EMEstimator, callback_task, cast, rows_with_weight
from em_toolkit.model import Block
from em_toolkit.models.probabilistic_pca import (
    GaussianPosterior,
    PPCAParameters,
    ProbabilisticPCA,
    closed_form,
    compress,
    random_start,
)
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import Array


class PPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, EMEstimator):
    r"""Probabilistic principal component analysis.

    .. math:: z \sim \mathcal N(0, I_q), \qquad x \mid z \sim \mathcal N(\mu + W z, \sigma^2 I_d)

    The maximum of the likelihood is known in closed form; EM reaches it step by step, and shows
    the bound on its way. Complete data are compressed once to their weight, mean and scatter, so
    that an iteration costs the same for a hundred rows and for a million.

    scikit-learn's ``PCA`` defines the same density with the covariance divided by n − 1. Here it
    is the maximum likelihood's n, so that ``get_covariance()``, ``explained_variance_`` and
    ``noise_variance_`` are (n − 1)/n times scikit-learn's. ``score_samples`` of given parameters,
    the components and the explained variance ratios are the same. `transform` gives the
    posterior mean, as scikit-learn's ``FactorAnalysis`` does, where ``PCA`` projects.

    Parameters
    ----------
    n_components : int, default=None
        The dimension q of the latent space, from 1 to n_features − 1. By default the largest that
        leaves something to the noise. With q = n_features nothing would be left: the model is
        then a Gaussian without structure, its noise variance is zero, and every solver fails;
        that Gaussian is ``GaussianMixture(n_components=1)``.
    solver : {"closed_form", "em"}, default="closed_form"
        How to maximize the likelihood.
    tol : float, default=1e-8
        EM stops when an iteration raises the bound by less, in nats per unit of weight.
    max_iter : int, default=1000
        At most so many iterations of EM.
    random_state : int, RandomState instance or None, default=None
        Seed of EM's start, and of `sample`.
    verbose : int, default=0
        1 prints iterations, 2 also times and gains.
    verbose_interval : int, default=10
        Iterations between two prints.
    bound_check : {"raise", "warn", "off"}, default="raise"
        What to do if the bound falls by more than rounding explains, which is a bug.

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
        The variance of the model along each component, |w_j|² + σ².
    explained_variance_ratio_ : ndarray of shape (n_components,)
        The same as a share of the total variance of the data.
    n_components_ : int
        q.
    n_samples_ : int
        Rows of positive weight seen in `fit`.
    trace_, lower_bound_, lower_bounds_, n_iter_, n_passes_, converged_, status_, restarts_
        As in `GaussianMixture`; the closed form has a trace of one row, the E-step at it, and an
        ``n_iter_`` of 1.

    References
    ----------
    Tipping & Bishop (1999), Probabilistic principal component analysis, JRSS B 61.

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **EMEstimator._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "solver": [StrOptions({"closed_form", "em"})],
    }
    _collapse_message = (
        "Fitting PPCA failed because the noise is lost in rounding. Use fewer components, or "
        "remove duplicate and constant features."
    )

    def __init__(
        self,
        n_components: int | None = None,
        *,
        solver: str = "closed_form",
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        bound_check: str = "raise",
    ) -> None:
        self.n_components = n_components
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.bound_check = bound_check

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: npt.ArrayLike, y: None = None, sample_weight: Any = None) -> Self:
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
            For data or parameters that cannot be used, and if nothing is left for the noise.
        ELBODecreaseError
            If the bound falls, with ``bound_check="raise"``.
        """
        dtypes = [np.float64, np.float32]
        rows: Data = validate_data(
            self, X, dtype=dtypes, ensure_min_samples=2, ensure_min_features=2
        )
        task = callback_task(rows, y, sample_weight)
        X, given, _ = rows_with_weight(rows, sample_weight)
        weights = np.ones(X.shape[0]) if given is None else given
        center = np.asarray(weights @ X / weights.sum(), dtype=np.float64)
        block = Block(*compress(X - center, weights))

        self.n_components_ = self._checked_n_components(block)
        self.n_samples_ = X.shape[0]
        try:
            # Where the data lie: the fit itself sees them centred, and their rounding as noise.
            replace(closed_form(block, self.n_components_), mean=center).check()
        except CollapseError as error:
            raise ValueError(f"{self._collapse_message} Seen: {error}") from None
        total_variance = float(block.weights @ np.square(block.X).sum(axis=1) / weights.sum())
        attributes = partial(
            _attributes_of, center=center, total_variance=total_variance, dtype=X.dtype
        )
        _SOLVERS[self.solver](self, block, task, attributes)
        # The data were read once, to compress them; iterations do not see them.
        self.n_passes_ = 1
        return self

    def _fit_in_closed_form(
        self, block: Block, task: dict[str, Any], attributes: Callable[[Any], dict[str, Any]]
    ) -> None:
        start = partial(closed_form, block, self.n_components_)
        self._run_em(ProbabilisticPCA(), [start], [block], task, attributes, max_iter=0)
        self.status_, self.converged_ = Status.CLOSED_FORM, True
        self.n_iter_ = 1  # scikit-learn's contract: at least one

    def _fit_by_em(
        self, block: Block, task: dict[str, Any], attributes: Callable[[Any], dict[str, Any]]
    ) -> None:
        random_state = check_random_state(self.random_state)
        start = partial(random_start, block, self.n_components_, random_state)
        self._run_em(ProbabilisticPCA(), [start], [block], task, attributes, max_iter=self.max_iter)

    def _checked_n_components(self, block: Block) -> int:
        n_features = block.X.shape[1]
        if self.n_components is None:
            # Of the rows of positive weight: repeated rows leave as little to the noise as few.
            rank = np.linalg.matrix_rank(np.sqrt(block.weights)[:, None] * block.X)
            return max(1, int(rank) - 1)
        if self.n_components >= n_features:
            raise ValueError(
                f"PPCA expects n_components from 1 to n_features - 1 = {n_features - 1}, got "
                f"n_components={self.n_components} with n_features={n_features}: as many "
                "components as features leave no noise. For a Gaussian without structure use "
                "GaussianMixture(n_components=1)."
            )
        return self.n_components

    # -- using a fit ----------------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _parameters(self) -> PPCAParameters:
        return PPCAParameters(
            np.asarray(self.mean_, dtype=np.float64),
            np.asarray(self.loadings_, dtype=np.float64),
            float(self.noise_variance_),
        )

    def _fitted_rows(self, X: Any) -> Data:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))

    def _posteriors(self, X: Data) -> Iterator[tuple[GaussianPosterior, Array]]:
        model, params = ProbabilisticPCA(), self._parameters()
        for rows, _ in Rows(X):
            yield model.posterior(params, rows)

    def posterior(self, X: npt.ArrayLike) -> tuple[Data, Array]:
        """The posterior of the latent variables.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        means : ndarray of shape (n_samples, n_components)
            E[z | x] of each row.
        covariance : ndarray of shape (n_components, n_components)
            cov[z | x], the same for every row.
        """
        factor = self._parameters().posterior_factor
        return self.transform(X), factor @ factor.T

    def transform(self, X: npt.ArrayLike) -> Data:
        """The posterior means E[z | x].

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        latent : ndarray of shape (n_samples, n_components)
            In units of the standard deviation of the prior of z.
        """
        X = self._fitted_rows(X)
        blocks = [posterior.means for posterior, _ in self._posteriors(X)]
        return np.concatenate(blocks).astype(X.dtype, copy=False)

    def inverse_transform(self, X: npt.ArrayLike) -> Data:
        """E[x | z] = μ + W z, for latent variables z.

        After `transform` this gives the rows freed of noise: E[μ + W z | x].

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Latent variables.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        latent = check_array(X, dtype=[np.float64, np.float32])
        if latent.shape[1] != self.n_components_:
            raise ValueError(
                f"inverse_transform expects {self.n_components_} columns, one for each "
                f"component, got {latent.shape[1]}."
            )
        return np.asarray(latent @ self.loadings_.T + self.mean_)

    def score_samples(self, X: npt.ArrayLike) -> Data:
        """The log density log p(x_i) of each row, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
        """
        X = self._fitted_rows(X)
        blocks = [log_evidence for _, log_evidence in self._posteriors(X)]
        return np.concatenate(blocks).astype(X.dtype, copy=False)

    def score(self, X: npt.ArrayLike, y: None = None, sample_weight: Any = None) -> float:
        """The mean log density of the rows, in nats.

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
        X, weights, _ = rows_with_weight(self._fitted_rows(X), sample_weight)
        blocks = [log_evidence for _, log_evidence in self._posteriors(X)]
        return float(np.average(np.concatenate(blocks), weights=weights))

    def get_covariance(self) -> Data:
        """The covariance of the model, W Wᵀ + σ² I, of shape (n_features, n_features)."""
        check_is_fitted(self)
        noise = self.noise_variance_ * np.eye(self.n_features_in_)
        return np.asarray(self.loadings_ @ self.loadings_.T + noise, dtype=self.mean_.dtype)

    def get_precision(self) -> Data:
        """The inverse of the covariance of the model, of shape (n_features, n_features)."""
        check_is_fitted(self)
        # Along the components 1/variance, across them 1/noise: nothing is inverted.
        excess = 1.0 / self.explained_variance_ - 1.0 / self.noise_variance_
        precision = (self.components_.T * excess) @ self.components_
        precision += np.eye(self.n_features_in_) / self.noise_variance_
        return np.asarray(precision, dtype=self.mean_.dtype)

    def sample(self, n_samples: int = 1) -> tuple[Data, Data]:
        """Draw from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The rows.
        latent : ndarray of shape (n_samples, n_components)
            The latent variables that they came from.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"sample expects at least one sample, got n_samples={n_samples}.")
        rng = check_random_state(self.random_state)
        return ProbabilisticPCA().sample(self._parameters(), n_samples, rng)


_SOLVERS = {"closed_form": PPCA._fit_in_closed_form, "em": PPCA._fit_by_em}


def _attributes_of(
    params: PPCAParameters, center: Array, total_variance: float, dtype: npt.DTypeLike
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
    }
    return cast(arrays, dtype) | {"noise_variance_": params.noise_variance}

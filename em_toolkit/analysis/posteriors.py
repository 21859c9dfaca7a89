"""The E-step at fitted parameters: posteriors, labels and log densities of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from em_toolkit.covariances.patterns import order_by_pattern
from em_toolkit.data import Block, Rows
from em_toolkit.engine.blas import blas_for
from em_toolkit.engine.executors import Threads, number_of_threads
from em_toolkit.kernels.choice import plan_at
from em_toolkit.model import LatentVariableModel
from em_toolkit.models.mixture import Mixture, MixtureParameters
from em_toolkit.parameters import Parameters
from em_toolkit.statistics import Array, IntArray

Model = LatentVariableModel[Any, Any, Any]
Data = npt.NDArray[Any]


def posteriors(
    model: Model, params: Parameters, X: Data, n_jobs: int | None = 1
) -> Iterator[tuple[slice | IntArray, Any, Array]]:
    """Yield the posterior and the log density of one block of rows after another.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    X : ndarray of shape (n_rows, n_features)
        NaN where an entry is missing, for a model that integrates it out.
    n_jobs : int or None
        The number of threads, as in `em_toolkit.engine.number_of_threads`.

    Yields
    ------
    rows : slice or ndarray of int
        The rows of the block.
    posterior : object
        The model's posterior of their latent variables.
    log_density : ndarray
        log p(x_i) of each, in nats.
    """
    order = order_by_pattern(X)
    X = X if isinstance(order, slice) else np.take(X, order, axis=0)
    plan = plan_at(model, params, X)
    blocks, start = Rows(X), 0
    n_threads = min(number_of_threads(n_jobs), len(blocks))
    with Threads(n_threads, blas_for(plan.n_products)) as executor:

        def posterior_of(block: Block) -> tuple[Any, Array]:
            with executor.blas():
                return plan.model.posterior(params, block.X)

        for posterior, log_density in executor.map(posterior_of, blocks):
            rows = slice(start, start + len(log_density))
            yield rows if isinstance(order, slice) else order[rows], posterior, log_density
            start = rows.stop


def log_densities(
    model: Model, params: Parameters, X: Data, n_jobs: int | None = 1, dtype: Any = np.float64
) -> Data:
    """Return log p(x_i) of each row in nats, of shape (n_rows,).

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    X : ndarray of shape (n_rows, n_features)
    n_jobs : int or None
        The number of threads.
    dtype : dtype
        That of the result.
    """
    result = np.empty(X.shape[0], dtype)
    for rows, _, log_density in posteriors(model, params, X, n_jobs):
        result[rows] = log_density
    return result


def responsibilities(
    mixture: Mixture[Any],
    params: MixtureParameters[Any],
    X: Data,
    n_jobs: int | None = 1,
    dtype: Any = np.float64,
) -> Data:
    """Return p(k | x_i), of shape (n_rows, n_components).

    Parameters
    ----------
    mixture : Mixture
    params : MixtureParameters
    X : ndarray of shape (n_rows, n_features)
    n_jobs : int or None
        The number of threads.
    dtype : dtype
        That of the result.
    """
    result = np.empty((X.shape[0], params.weights.shape[0]), dtype)
    for rows, posterior, _ in posteriors(mixture, params, X, n_jobs):
        result[rows] = posterior.responsibilities
    return result


def most_probable_components(
    mixture: Mixture[Any], params: MixtureParameters[Any], X: Data, n_jobs: int | None = 1
) -> IntArray:
    """Return the component of largest responsibility of each row, of shape (n_rows,).

    Parameters
    ----------
    mixture : Mixture
    params : MixtureParameters
    X : ndarray of shape (n_rows, n_features)
    n_jobs : int or None
        The number of threads.
    """
    labels = np.empty(X.shape[0], dtype=np.int64)
    for rows, posterior, _ in posteriors(mixture, params, X, n_jobs):
        labels[rows] = posterior.log_responsibilities.argmax(axis=1)
    return labels

"""The one place that decides how a mixture passes over its data.

Compiled loops serve Gaussian mixtures of any covariance structure, with noise or without and
whether or not entries are missing, where one pass by NumPy would take some 20 ms: a fit of tens of
iterations then saves more than it takes to load the compiler (0.5 s, or once in the life of an
installation 10 s to compile). Smaller fits never import it.

Within the compiled loops (`em_toolkit.kernels.gaussian_mixture`), measured on two cores with
512-bit registers:

* full: one loop from 2 to 1,024 features; at 10 features it takes a quarter of NumPy's time, at
  128 it runs at three quarters of what the processor can multiply.
* tied: each row whitened once, if that is fewer products and the components are less than 16
  standard deviations from their centre; else as full.
* diagonal and spherical: along the axes.

A structure whose components share something goes the way of those that have covariances of the same
shape and share nothing.

Where entries are missing (`em_toolkit.kernels.incomplete_mixture`):

* any matrices: conditional covariances once for each long run of rows that miss the same entries,
  and for every other row, of as many at a time as a register holds numbers; from products where
  those keep the digits, else by orthogonalization (`completed_panel`).
* diagonal and spherical: along the axes, without regard to patterns.

Panels have 240 rows: from 128 to 384 the times are the same to a tenth, for all sizes. They have
fewer where what is found of missing entries would not stay in the caches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy.typing as npt

from em_toolkit.covariances.matrix import MatrixCovariances
from em_toolkit.covariances.patterns import Runs, has_missing
from em_toolkit.data import BLOCK_SIZE
from em_toolkit.families import (
    Covariances,
    DiagonalCovariances,
    FullCovariances,
    Gaussian,
    SphericalCovariances,
    TiedCovariances,
    WithNoise,
)
from em_toolkit.kernels.shapes import SHAPES, products_when_tied
from em_toolkit.models.mixture import Mixture

# In multiplications of a pass.
WORTH_COMPILING = 10_000_000
# A block takes about a millisecond, of which what Python does for it is a tenth; but some blocks
# there must be for threads to share.
_BLOCK_WORK = 20_000_000
_FEWEST_BLOCKS = 4
_SMALLEST_BLOCK = 2048
_LARGEST_BLOCK_NUMBERS = 2**20
# What NumPy takes to work on a run of rows, in multiplications.
_CALLS_OF_A_RUN = 5_000


# Products for a row, of features d and components K, by the shape of the covariances: what the
# components share is for the M-step alone.
_PRODUCTS: dict[type[Covariances], Callable[[int, int], int]] = {
    FullCovariances: lambda d, K: K * d * (d + 1),
    TiedCovariances: lambda d, K: min(K * d * (d + 1), products_when_tied(d, K)),
    DiagonalCovariances: lambda d, K: 4 * K * d,
    SphericalCovariances: lambda d, K: 3 * K * d,
}


def compiled(family: Gaussian) -> Gaussian:
    """Return a Gaussian family with compiled log densities and moments, for any latent structure.

    A mixture needs no help: `plan_for` finds its fastest way. This is for other structures, such
    as a hidden Markov model with normal emissions, on thousands of rows or more.

    Parameters
    ----------
    family : Gaussian

    Returns
    -------
    family : Gaussian
        The same to rounding.

    Raises
    ------
    ValueError
        For a covariance structure that has no kernel.
    """
    if family.structure not in SHAPES:
        raise ValueError(
            "expected a family whose covariance structure has a kernel, one of "
            f"{', '.join(kind.__name__ for kind in SHAPES)}, got {family!r}."
        )
    from em_toolkit.kernels.gaussian_mixture import CompiledGaussian

    return CompiledGaussian(family)


class Plan(NamedTuple):
    """A way to pass over the data.

    Parameters
    ----------
    model : Mixture
    block_size : int
        Rows in a block.
    n_products : int
        The multiplications that linear algebra does in a pass, roughly.
    """

    model: Any
    block_size: int
    n_products: int


def plan_for(model: Any, X: npt.NDArray[Any], n_components: int) -> Plan:
    """Return the fastest way for a model and these rows, of which entries may be missing.

    It does not depend on the number of threads, so that the sums do not.

    Parameters
    ----------
    model : LatentVariableModel
    X : ndarray of shape (n_rows, n_features)
        Rows that miss the same entries are neighbours.
    n_components : int
        Of a mixture; 1 for other models.

    Returns
    -------
    Plan
    """
    is_complete, (n_rows, n_features) = not has_missing(X), X.shape
    fastest = plan(model, n_rows, n_features, n_components, 0 if is_complete else 1)
    if is_complete or fastest.model is not model:
        return fastest
    # To count the runs is a pass of its own, for where they decide.
    return plan(model, n_rows, n_features, n_components, len(Runs.of(X).lengths))


def plan_at(model: Any, params: Any, X: npt.NDArray[Any]) -> Plan:
    """Return the fastest way for a model whose parameters are known, as `plan_for` does.

    Parameters
    ----------
    model : LatentVariableModel
    params : Parameters
    X : ndarray of shape (n_rows, n_features)
    """
    n_components = params.weights.shape[0] if type(model) is Mixture else 1
    return plan_for(model, X, n_components)


def plan(model: Any, n_rows: int, n_features: int, n_components: int, n_runs: int = 0) -> Plan:
    """Return the fastest way for a model and data of a size.

    Parameters
    ----------
    model : LatentVariableModel
    n_rows, n_features, n_components : int
    n_runs : int
        Runs of rows that miss the same entries; 0 if none miss any.

    Returns
    -------
    Plan
    """
    # NumPy's integers overflow, and are what a grid search gives.
    n_components = int(n_components)
    plain = Plan(model, BLOCK_SIZE, n_rows * n_features * max(n_features, n_components))
    # A subclass may do something else in any of its methods.
    if type(model) is not Mixture:
        return plain
    family: Any = model.family
    box = None
    if type(family) is WithNoise:
        family, box = family.family, family.box
    if type(family) is not Gaussian or family.structure not in SHAPES:
        return plain
    shape = SHAPES[family.structure]
    # An exponential costs as much as some twenty multiplications.
    row_work = _PRODUCTS[shape](n_features, n_components) + 20 * n_components
    work = n_rows * row_work
    if n_runs > 0:
        work += _work_of_runs(shape, n_rows, n_features, n_components, n_runs)
    if work < WORTH_COMPILING or numba_is_disabled():
        return plain

    from em_toolkit.kernels.gaussian_mixture import PANEL_ROWS, CompiledGaussianMixture
    from em_toolkit.kernels.incomplete_mixture import CompiledIncompleteMixture

    n_blocks = max(_FEWEST_BLOCKS, _power_of_two(n_rows * row_work // _BLOCK_WORK))
    largest = max(_SMALLEST_BLOCK, _LARGEST_BLOCK_NUMBERS // n_features)
    block_size = min(max(n_rows // n_blocks, _SMALLEST_BLOCK), largest)
    # Whole panels; the last of a block may be filled up.
    block_size += -block_size % PANEL_ROWS
    kind = CompiledIncompleteMixture if n_runs > 0 else CompiledGaussianMixture
    return plain._replace(model=kind(family, model.mixing, box), block_size=block_size)


def _work_of_runs(
    shape: type[Covariances], n_rows: int, n_features: int, n_components: int, n_runs: int
) -> int:
    """Return the additional work of NumPy where entries are missing."""
    if not issubclass(shape, MatrixCovariances):
        return n_rows * n_components * 8 * n_features
    return n_components * n_runs * (_CALLS_OF_A_RUN + n_features**2 * (n_features + 1))


def numba_is_disabled() -> bool:
    """Return whether loops would be interpreted, as debuggers and measures of coverage ask for."""
    import numba

    return bool(numba.config.DISABLE_JIT)


def _power_of_two(number: int) -> int:
    """Return the largest power of two that is no larger, or 1."""
    return 1 << max(0, number.bit_length() - 1)

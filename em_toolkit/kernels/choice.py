"""The one place that decides how a mixture passes over its data.

Compiled loops serve Gaussian mixtures of any covariance structure where one pass by NumPy would
take some 20 ms: a fit of tens of iterations then saves more than it takes to load the compiler
(0.5 s, or once in the life of an installation 10 s to compile). Smaller fits never import it.

Within the compiled loops (`em_toolkit.kernels.gaussian_mixture`), measured on two cores with
512-bit registers:

* full: tiles of 2 by 2 features up to 12 features, of 4 by 4 above; panels of 256 rows while
  these fit the fastest cache, of 128 above. Beyond 512 features a panel leaves the second cache,
  and the products of matrices that NumPy calls are faster: it does all.
* tied: each row whitened once, if that is fewer products and the components are less than 100
  standard deviations from their centre; else as full.
* diagonal and spherical: tiles of 4 features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from em_toolkit.engine.expectation import BLOCK_SIZE
from em_toolkit.families import DiagonalCovariances, Gaussian, SphericalCovariances
from em_toolkit.models.mixture import Mixture

# In multiplications of a pass.
_WORTH_COMPILING = 10_000_000
_MOST_FEATURES = 512
# A block takes about a millisecond, of which what Python does for it is a tenth; but some blocks
# there must be for threads to share.
_BLOCK_WORK = 10_000_000
_FEWEST_BLOCKS = 8
_SMALLEST_BLOCK = 2048
_LARGEST_BLOCK_NUMBERS = 2**20


class Plan(NamedTuple):
    """How to pass over the data.

    Parameters
    ----------
    model : Mixture
    block_size : int
        Rows in a block.
    """

    model: Mixture[Any]
    block_size: int


def plan(model: Mixture[Any], n_rows: int, n_features: int, n_components: int) -> Plan:
    """The fastest way for a mixture and data of a size.

    It does not depend on the number of threads, so that the sums do not.

    Parameters
    ----------
    model : Mixture
    n_rows, n_features, n_components : int

    Returns
    -------
    Plan
    """
    family = model.family
    if not isinstance(family, Gaussian):
        return Plan(model, BLOCK_SIZE)
    along_axes = issubclass(family.structure, DiagonalCovariances | SphericalCovariances)
    products = n_features if along_axes else n_features * (n_features + 1) // 2
    # An exponential costs as much as some twenty multiplications.
    row_work = n_components * (2 * products + 20)
    if n_rows * row_work < _WORTH_COMPILING or n_features > _MOST_FEATURES:
        return Plan(model, BLOCK_SIZE)

    from em_toolkit.kernels.gaussian_mixture import CompiledGaussianMixture

    n_blocks = max(_FEWEST_BLOCKS, _power_of_two(n_rows * row_work // _BLOCK_WORK))
    block_size = -(-n_rows // n_blocks)
    largest = max(_SMALLEST_BLOCK, _LARGEST_BLOCK_NUMBERS // n_features)
    return Plan(CompiledGaussianMixture(family), min(max(block_size, _SMALLEST_BLOCK), largest))


def _power_of_two(number: int) -> int:
    """The largest power of two that is no larger, or 1."""
    return 1 << max(0, number.bit_length() - 1)

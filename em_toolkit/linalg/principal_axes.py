r"""The principal axes of weighted rows, and what a linear Gaussian model needs of data.

The evidence and the statistics of such a model depend on complete data through their weight, mean
and scatter alone. The eigenvectors of the scatter, and the variances along them, say it all.

There are three ways to them. With N the weight of the rows, x̄ their mean and Y the rows
√w_i (x_i − x̄):

- `from_scatter`: the eigenvectors of Yᵀ Y / N, in one pass over the rows. The sums of products are
  as fast as a machine can be, and they square the data: what is small beside the largest variance
  is lost. The error of the scatter, in the Frobenius norm, is a few ε of its trace.
- `from_products`: the same from Y Yᵀ / N, where there are fewer rows than features.
- `from_triangle`: the singular vectors of the triangular factor of Y, found block by block (the
  factor of a block below the factor of those before it is that of both: Golub & Van Loan 2013,
  § 5.2; as "TSQR" in Demmel, Grigori, Hoemmen & Langou 2012). It squares nothing. A variance s² is
  then wrong by 2 ε s s₁ instead of ε s₁², and this is the limit that the data themselves set.

`principal_axes` takes one of the first two, *measures* whether what is left to the noise stands
above their error, and goes to the third where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.blas import dsyrk

from em_toolkit.linalg.weighted_rows import WeightedRows
from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import EPS, Array

# The error of a scatter, in ε times its trace. Largest seen on hostile rows (two points a hundred
# thousand times, heavy tails, trends, counts, offsets of 1e8; up to a million rows): 17.
ROUNDING = 64.0
# What that error may cost, in nats per sample and relative in each variance: no more than
# EM, which stops at a gain of 1e-8 by default.
ACCURACY = 1e-8
# Blocks whose products are summed before they join the sum of all: long sums round more.
_RUN = 64
_SMALLEST_BLOCK = 256
# Columns of a block where rows are multiplied with rows: a page of the file that X may be.
_COLUMNS = 512


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Weight and mean of rows, and their scatter by its eigenvectors.

    Parameters
    ----------
    weight : float
        N = Σ_i w_i.
    mean : ndarray of shape (n_features,)
    axes : ndarray of shape (n_axes, n_features)
        Orthonormal eigenvectors of the covariance (divided by N), those of large variance first.
    variances : ndarray of shape (n_axes,)
        Its eigenvalues, falling.
    rest : float
        The variance across these axes, that is the sum of the other eigenvalues; 0 if there are
        none.
    error : float
        What the rounding of sums may have done to an eigenvalue or to their sum.
    n_passes : int
        Passes over the rows that it took.
    """

    weight: float
    mean: Array
    axes: Array
    variances: Array
    rest: float
    error: float
    n_passes: int

    @property
    def n_features(self) -> int:
        return self.mean.shape[0]

    @property
    def total_variance(self) -> float:
        """The trace of the covariance."""
        return float(self.variances.sum()) + self.rest

    @property
    def rank(self) -> int:
        """The number of axes along which the rows spread by more than rounding."""
        lengths = np.sqrt(self.variances)
        return int(np.count_nonzero(lengths > 2 * self.n_features * EPS * lengths[0]))

    def noise_variance(self, n_components: int) -> float:
        """Return the mean of the eigenvalues that the first `n_components` leave over."""
        left = float(self.variances[n_components:].sum()) + self.rest
        return left / (self.n_features - n_components)

    def resolves(self, n_components: int) -> bool:
        """Return whether rounding changes a model of so many components by less than `ACCURACY`.

        The evidence and the variances of the model hold λ_1 .. λ_q and the trace of the covariance
        over σ², the smallest variance. Where the trace is wrong by δ, and the leading eigenvalues
        together by √q δ (Hoffman & Wielandt 1953), the error is (1 + √q) δ / σ², in nats per
        sample.
        """
        error = (1.0 + np.sqrt(n_components)) * self.error
        return bool(error <= ACCURACY * self.noise_variance(n_components))

    def leading(self, n_axes: int) -> PrincipalAxes:
        """Return the first axes; the variance along the others joins the rest."""
        rest = float(self.variances[n_axes:].sum()) + self.rest
        variances, axes = self.variances[:n_axes], self.axes[:n_axes]
        return PrincipalAxes(
            self.weight, self.mean, axes, variances, rest, self.error, self.n_passes
        )

    def rows(self) -> tuple[Array, Array]:
        """Return at most 2 (n_axes + 1) rows, and their weights, of this scatter and mean zero.

        A row ±c_j v_j stands for each axis v_j. The rest, if there is one, stands on a single
        further direction. Models whose loadings lie in the axes see of it only how much it is, and
        take these rows for the data; EM, which turns the loadings, needs all axes.
        """
        axes, variances = self.axes, self.variances
        if self.rest > 0.0:
            axes = np.vstack([axes, _across(axes)])
            variances = np.append(variances, self.rest)
        n_axes = axes.shape[0]
        rows = np.sqrt(n_axes * variances)[:, None] * axes
        return np.vstack([rows, -rows]), np.full(2 * n_axes, self.weight / (2 * n_axes))


def _across(axes: Array) -> Array:
    """Return a direction at right angles to all axes."""
    direction = np.zeros(axes.shape[1])
    direction[np.square(axes).sum(axis=0).argmin()] = 1.0
    for _ in range(2):  # once is not enough (Golub & Van Loan 2013, § 5.2.9)
        direction -= (axes @ direction) @ axes
        direction /= np.linalg.norm(direction)
    return direction


OVERFLOW = "the squares of the data exceed the largest number. Scale the data."


def principal_axes(
    rows: WeightedRows, n_components: int | None = None, *, complete: bool = False
) -> PrincipalAxes:
    """Return the principal axes, exact to rounding, by the fastest way that is good enough.

    Parameters
    ----------
    rows : WeightedRows
    n_components : int, optional
        Components of the model that will be made of them; by default the most that there can be.
    complete : bool
        Whether all axes are needed. Otherwise there are at least `n_components`.

    Returns
    -------
    PrincipalAxes
        One that `resolves` `n_components`, if possible.

    Raises
    ------
    CollapseError
        If the squares of the data overflow.
    """
    # Data that underflow are for the model to complain of.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if rows.n_rows >= rows.n_features:
            q = rows.n_features - 1 if n_components is None else n_components
            every = complete or n_components is None
            found = from_scatter(rows, rows.n_features if every else q)
            passes = found.n_passes
            if found.resolves(q):
                return found
        elif n_components is not None and n_components < rows.n_rows - 1 and not complete:
            found = from_products(rows, n_components)
            passes = found.n_passes
            if found.resolves(n_components):
                return found
        else:
            passes = 0
        found = from_triangle(rows, passes)
    if not np.isfinite(found.variances).all():
        raise CollapseError(OVERFLOW)
    return found


def from_scatter(rows: WeightedRows, n_axes: int) -> PrincipalAxes:
    """By the eigenvectors of the scatter of the features.

    Parameters
    ----------
    rows : WeightedRows
    n_axes : int
        How many are wanted.
    """
    origin, n_passes = rows.near(), 1
    shift, scatter = _moments(rows, origin)
    # About a point far from the mean the sums are large, and their difference is what is wanted.
    if 2.0 * (shift @ shift) > np.trace(scatter):
        origin, n_passes = origin + shift, 2
        shift, scatter = _moments(rows, origin)
    scatter -= np.outer(shift, shift)
    total = float(np.trace(scatter))
    error = ROUNDING * EPS * (total + float(shift @ shift))
    variances, axes = _largest(scatter, n_axes)
    rest = max(total - float(variances.sum()), 0.0) if n_axes < rows.n_features else 0.0
    return PrincipalAxes(rows.weight, origin + shift, axes, variances, rest, error, n_passes)


def _moments(rows: WeightedRows, origin: Array) -> tuple[Array, Array]:
    """Return the mean and (above its diagonal) the mean square of the rows about an origin."""
    n_features = rows.n_features
    first = np.zeros(n_features)
    second = np.zeros((n_features, n_features), order="F")
    run = np.zeros_like(second)
    # The sum of many features' products outgrows the cache: more rows read it less often.
    blocks = rows.about(origin, max(rows.block_size, _SMALLEST_BLOCK, n_features // 4))
    for number, (deviations, roots) in enumerate(blocks, start=1):
        first += roots @ deviations
        run = _add_products(run, deviations)
        if number % _RUN == 0:
            second += run
            run[:] = 0.0
    second += run
    return first / rows.weight, second / rows.weight


def _add_products(total: Array, block: Array) -> Array:
    """total + blockᵀ block above the diagonal, in place."""
    if block.flags.c_contiguous:
        return np.asarray(dsyrk(1.0, block.T, beta=1.0, c=total, overwrite_c=True))
    return np.asarray(dsyrk(1.0, block, beta=1.0, c=total, trans=True, overwrite_c=True))


def _largest(upper: Array, n_axes: int) -> tuple[Array, Array]:
    """Return the largest eigenvalues of a matrix of which the upper triangle is given; falling."""
    size = upper.shape[0]
    if not np.isfinite(np.trace(upper)):
        return np.full(n_axes, np.nan), np.zeros((n_axes, size))
    subset = None if n_axes == size else [size - n_axes, size - 1]
    variances, vectors = eigh(
        upper, lower=False, subset_by_index=subset, overwrite_a=True, check_finite=False
    )
    return np.maximum(variances[::-1], 0.0), vectors[:, ::-1].T


def from_products(rows: WeightedRows, n_axes: int) -> PrincipalAxes:
    """By the eigenvectors of the products of rows with rows, for fewer rows than features.

    Parameters
    ----------
    rows : WeightedRows
    n_axes : int
        How many are wanted; fewer than rows.
    """
    X, n_features = rows.X, rows.n_features
    roots = np.ones(rows.n_rows) if rows.weights is None else np.sqrt(rows.weights)
    columns = [slice(j, j + _COLUMNS) for j in range(0, n_features, _COLUMNS)]
    mean = rows.near()
    products = np.zeros((rows.n_rows, rows.n_rows), order="F")
    for part in columns:
        deviations = X[:, part] - mean[part]
        shift = np.square(roots) @ deviations / rows.weight
        mean[part] += shift
        deviations -= shift
        deviations *= roots[:, None]
        products = _add_products(products, deviations.T)
    products /= rows.weight
    total = float(np.trace(products))
    _, vectors = _largest(products, n_axes)
    # Rows of Uᵀ Y are at right angles to rounding relative to the largest; their own singular
    # vectors are so to the last digit.
    combined = np.empty((n_axes, n_features))
    for part in columns:
        deviations = X[:, part] - mean[part]
        combined[:, part] = (vectors * roots) @ deviations
    _, lengths, axes = np.linalg.svd(combined, full_matrices=False)
    variances = np.square(lengths) / rows.weight
    rest = max(total - float(variances.sum()), 0.0)
    return PrincipalAxes(rows.weight, mean, axes, variances, rest, ROUNDING * EPS * total, 2)


def from_triangle(rows: WeightedRows, n_passes: int = 0) -> PrincipalAxes:
    """By the singular vectors of the triangular factor: all axes that there are.

    Parameters
    ----------
    rows : WeightedRows
    n_passes : int
        Passes that were made before.
    """
    (mean, _, _), n_features = rows.moments(), rows.n_features
    factor = np.empty((0, n_features))
    for deviations, _ in rows.about(mean, max(rows.block_size, 2 * n_features)):
        factor = np.vstack([factor, deviations])
        if factor.shape[0] > 2 * n_features:
            factor = np.asarray(np.linalg.qr(factor, mode="r"))
    _, lengths, axes = np.linalg.svd(factor, full_matrices=False)
    variances = np.square(lengths) / rows.weight
    # Beside s² is lost 2 ε s s₁ of it; that no variance is left is for the model to see.
    return PrincipalAxes(rows.weight, mean, axes, variances, 0.0, 0.0, n_passes + 2)

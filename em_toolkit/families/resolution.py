r"""The spread that the values of a feature can resolve, and components that have less.

The likelihood of normal components without a prior has no maximum where a component can shrink
onto rows that share the value of a feature: its variance there goes to zero, and the bound rises
without limit. Arithmetic ends this at a variance of some 1e-16 of the squared mean, or of 1e-290
for a mean of zero, which says nothing of the data. What does is how far apart its values are.

Let δ_j be the least distance of two values of feature j that differ. A component of variance v in
it has at least the share 1 − w of its weight on one single value, where w (1 − w) δ_j² = v, because
two values with shares w and 1 − w have that variance. Below v = (10⁻⁴ δ_j)² this is all but 10⁻⁸ of
the weight, and the component is a value, not a density: it has collapsed. Rows at the next value
are 10⁴ standard deviations away, so that the next M-step would find a variance of zero. A component
that is merely tight, of values that differ, cannot come so low.

Differences do not change when the data move, and scale with the units; so does the criterion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from em_toolkit.parameters import CollapseError
from em_toolkit.statistics import EPS, Array, BoolArray

if TYPE_CHECKING:
    from em_toolkit.covariances.base import Covariances

# A standard deviation of less than this share of the least distance of values is none.
_OF_A_STEP = 1e-4
# Values of a feature that differ by fewer roundings of its largest value are taken for equal:
# what is computed from equal values in different ways differs by some.
_ROUNDINGS = 256.0


@dataclass(frozen=True)
class _Steps:
    """The values of a feature.

    Parameters
    ----------
    least : float
        The least distance of two that differ; 0 if none do.
    n_distinct, n_observed : int
        How many values differ, and how many there are.
    """

    least: float
    n_distinct: int
    n_observed: int


class Resolution:
    """The least standard deviation in each feature that its values can resolve.

    Values are sorted only for features in which some component is suspiciously narrow.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        All rows of positive weight; NaN where an entry is missing.
    names : sequence of str, optional
        The names of the features, for messages.
    """

    def __init__(self, X: npt.NDArray[Any], names: Sequence[str] | None = None) -> None:
        self._X = X
        self._names = names
        self._steps: dict[int, _Steps] = {}

    @cached_property
    def _extremes(self) -> tuple[Array, Array]:
        # fmin and fmax leave NaN out.
        lowest = np.fmin.reduce(self._X, axis=0).astype(np.float64)
        return lowest, np.fmax.reduce(self._X, axis=0).astype(np.float64)

    @cached_property
    def rounding(self) -> Array:
        """The distance within which values are taken for equal, of shape (n_features,)."""
        lowest, highest = self._extremes
        spacing = max(_ROUNDINGS * EPS, float(np.finfo(self._X.dtype).eps))
        return np.asarray(spacing * np.maximum(np.abs(lowest), np.abs(highest)))

    @property
    def constant(self) -> BoolArray:
        """The features whose values are all equal, of shape (n_features,)."""
        lowest, highest = self._extremes
        return np.asarray(highest - lowest <= self.rounding)

    @cached_property
    def _most(self) -> Array:
        """An upper bound of all least standard deviations, of shape (n_features,)."""
        lowest, highest = self._extremes
        return np.maximum(_OF_A_STEP * (highest - lowest), self.rounding)

    def least_std(self, feature: int) -> float:
        """Return the least standard deviation of a component in one feature."""
        return max(_OF_A_STEP * self._steps_of(feature).least, float(self.rounding[feature]))

    def check(
        self, means: Array, covariances: Covariances, free: BoolArray, error: Array | float = 0.0
    ) -> None:
        """Raise `CollapseError` for a component whose rows share the value of a feature.

        Parameters
        ----------
        means : ndarray of shape (n_components, n_features)
        covariances : Covariances
        free : ndarray of bool of shape (n_components,)
            The components that hold data and whose covariances are not held fixed.
        error : ndarray of shape (n_components, n_features) or float
            What the variances may be off by.
        """
        stds = np.sqrt(np.maximum(covariances.variances, 0.0) + error)
        narrow = free[:, None] & (stds < self._most)
        if not narrow.any():
            return
        candidates = np.flatnonzero(narrow.any(axis=0))
        flat = np.zeros_like(narrow)
        for feature in candidates.tolist():
            flat[:, feature] = narrow[:, feature] & (stds[:, feature] < self.least_std(feature))
        flat &= covariances.is_singular_where(flat)[:, None]
        if flat.any():
            component, feature = np.argwhere(flat)[0].tolist()
            raise CollapseError(self._complaint(component, feature, means[component, feature]))

    def _steps_of(self, feature: int) -> _Steps:
        if feature not in self._steps:
            values = self._X[:, feature].astype(np.float64)
            values = np.sort(values[~np.isnan(values)])
            distances = np.diff(values)
            distances = distances[distances > self.rounding[feature]]
            self._steps[feature] = _Steps(
                float(distances.min()) if distances.size else 0.0,
                1 + distances.size,
                values.size,
            )
        return self._steps[feature]

    def _complaint(self, component: int, feature: int, value: float) -> str:
        steps = self._steps_of(feature)
        name = f"feature {feature}" if self._names is None else repr(self._names[feature])
        collapse = (
            f"component {component} has no spread in {name}: all the rows that it holds have the "
            f"value {value:.6g} there, to rounding"
        )
        if steps.n_distinct == 1:
            return f"{collapse}, as all have. Leave the feature out."
        if 2 * steps.n_distinct > steps.n_observed:
            return f"{collapse}."
        return (
            f"{collapse}. The {steps.n_observed} values of {name} are {steps.n_distinct} distinct "
            "ones, repeated, and a density that may be as narrow as it likes has no maximum there. "
            "Take prior='conjugate', under which there is one, or leave the feature out."
        )

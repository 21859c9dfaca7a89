"""What is to be tried: an estimator for each number of components and covariance type."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from sklearn.base import clone

from em_toolkit.estimators.gaussian_mixture import STRUCTURES
from em_toolkit.estimators.mixture import MixtureEstimator

# In mclust's order, from one variance for all to a matrix for each component.
_MCLUST_STRUCTURES = (
    *("EII", "VII", "EEI", "VEI", "EVI", "VVI"),
    *("EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"),
)
_STRUCTURES = ("spherical", "diag", "tied", "full")
# With one feature there are two: one variance for all components, or one for each.
_ONE_FEATURE = {"mclust": ("EII", "VII"), "scikit-learn": ("tied", "full")}


def default_covariance_types(n_features: int) -> tuple[str, ...]:
    """The structures that `select_mixture` compares, from few parameters to many.

    They are mclust's fourteen where `GaussianMixture` knows them, else scikit-learn's four. With
    one feature only two differ: one variance for all components, or one for each.
    """
    has_mclust = set(_MCLUST_STRUCTURES) <= set(STRUCTURES)
    if n_features == 1:
        return _ONE_FEATURE["mclust" if has_mclust else "scikit-learn"]
    return _MCLUST_STRUCTURES if has_mclust else _STRUCTURES


def combinations(
    template: MixtureEstimator,
    n_components: Iterable[int] | int,
    covariance_types: Iterable[str] | str | None,
    n_features: int,
) -> list[MixtureEstimator]:
    """An estimator for each combination, whose parameters have been checked.

    Parameters
    ----------
    template : MixtureEstimator
        What to clone.
    n_components : iterable of int, or int
    covariance_types : iterable of str, or str, or None
    n_features : int
    """
    numbers: list[Any] = (
        list(n_components) if isinstance(n_components, Iterable) else [n_components]
    )
    variants = _variants(template, covariance_types, n_features)
    if not numbers or not variants:
        raise ValueError(
            "select_mixture expects at least one number of components and one covariance type, "
            f"got n_components={numbers} and covariance_types={covariance_types!r}."
        )
    strange = [k for k in numbers if not isinstance(k, Integral)]
    if strange:
        raise TypeError(
            f"n_components: expected whole numbers, such as range(1, 10), got {strange[0]!r}."
        )
    distinct = sorted({int(k) for k in numbers})
    estimators = [
        clone(template).set_params(n_components=k, **variant)
        for k in distinct
        for variant in variants
    ]
    for estimator in estimators:
        estimator._validate_params()
    return estimators


def _variants(
    template: MixtureEstimator, covariance_types: Iterable[str] | str | None, n_features: int
) -> list[dict[str, str]]:
    if "covariance_type" not in template.get_params(deep=False):
        if covariance_types is not None:
            raise ValueError(
                f"{type(template).__name__} has no covariance_type to choose: leave "
                "covariance_types out."
            )
        return [{}]
    if covariance_types is None:
        covariance_types = default_covariance_types(n_features)
    elif isinstance(covariance_types, str):
        covariance_types = [covariance_types]
    return [{"covariance_type": kind} for kind in dict.fromkeys(covariance_types)]

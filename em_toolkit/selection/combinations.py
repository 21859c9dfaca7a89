"""The combinations to try: an estimator for each number of components and covariance type."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from sklearn.base import clone

from em_toolkit.estimators.mixture import MixtureEstimator
from em_toolkit.families import MCLUST_STRUCTURES, STRUCTURES
from em_toolkit.options import did_you_mean


def default_covariance_types(n_features: int) -> tuple[str, ...]:
    """Return the structures that `select_mixture` compares: mclust's fourteen, in mclust's order.

    With one feature only two differ: one variance for all components, or one for each.
    """
    return ("EII", "VII") if n_features == 1 else tuple(MCLUST_STRUCTURES)


def combinations(
    template: MixtureEstimator,
    n_components: Iterable[int] | int,
    covariance_types: Iterable[str] | str | None,
    n_features: int,
) -> list[MixtureEstimator]:
    """Return an estimator for each combination, whose parameters have been checked.

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
    types = list(dict.fromkeys(covariance_types))
    for kind in types:
        if kind not in STRUCTURES:
            raise ValueError(
                f"covariance_types: expected some of {list(STRUCTURES)}, got {kind!r}."
                f"{did_you_mean(kind, STRUCTURES)}"
            )
    return [{"covariance_type": kind} for kind in types]

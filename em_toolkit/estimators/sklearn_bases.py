"""scikit-learn's base classes, as a type checker should see them.

scikit-learn ships no types. A class that derives from its bases would derive from ``Any`` for a
checker, which then lets every misspelt method and attribute pass. What the estimators here inherit
is therefore declared once, for the checker alone; when the program runs, the classes are
scikit-learn's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:

    class BaseEstimator:
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def get_metadata_routing(self) -> Any: ...
        def set_fit_request(self, **requests: bool | str | None) -> Self: ...
        def set_score_request(self, **requests: bool | str | None) -> Self: ...
        def __sklearn_tags__(self) -> Any: ...
        def _validate_params(self) -> None: ...

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...
        def _init_callback_context(self, *, max_subtasks: int = 0) -> Any: ...

    class DensityMixin: ...

    class TransformerMixin:
        def fit_transform(
            self, X: npt.ArrayLike, y: None = None, **fit_params: Any
        ) -> npt.NDArray[Any]: ...
        def set_output(self, *, transform: str | None = None) -> Self: ...

    class ClassNamePrefixFeaturesOutMixin:
        def get_feature_names_out(
            self, input_features: npt.ArrayLike | None = None
        ) -> npt.NDArray[np.object_]: ...

    def fit_context(function: F) -> F: ...

else:
    from sklearn.base import (
        BaseEstimator,
        ClassNamePrefixFeaturesOutMixin,
        DensityMixin,
        TransformerMixin,
        _fit_context,
    )
    from sklearn.callback import CallbackSupportMixin

    fit_context = _fit_context(prefer_skip_nested_validation=True)

__all__ = [
    "BaseEstimator",
    "CallbackSupportMixin",
    "ClassNamePrefixFeaturesOutMixin",
    "DensityMixin",
    "TransformerMixin",
    "fit_context",
]

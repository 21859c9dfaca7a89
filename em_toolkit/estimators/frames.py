"""Completed rows in the container in which they came: an array, or a DataFrame."""

from __future__ import annotations

import sys
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn import get_config

from em_toolkit.estimators.rows import Data
from em_toolkit.statistics import BoolArray


class DataFrameLike(Protocol):
    """A DataFrame of pandas or polars."""

    @property
    def columns(self) -> Any: ...

    def __array__(self) -> npt.NDArray[Any]: ...


Frame = TypeVar("Frame", bound=DataFrameLike)


def completed_like(X: Any, completed: Data, missing: BoolArray, names: Data | None) -> Any:
    """Return completed rows as an array if X is one, and as a DataFrame if X is one.

    A DataFrame keeps its index and columns. A column that has no missing entry is left as it is;
    another keeps a dtype of floating-point numbers, and becomes floating-point otherwise. As for
    transformers, ``sklearn.set_config(transform_output=...)`` may ask for another container.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_rows, n_features)
        As the user gave it.
    completed : ndarray of shape (n_rows, n_features)
        The same rows, completed.
    missing : ndarray of shape (n_rows, n_features)
        Which entries were missing.
    names : ndarray of shape (n_features,) or None
        The names of the features.
    """
    given = _library_of(X)
    wanted = get_config()["transform_output"]
    if wanted in ("default", given):
        return _COMPLETED[given](X, completed, missing) if given else completed
    labels = names if names is not None else [f"x{j}" for j in range(completed.shape[1])]
    return _MADE[wanted](completed, list(getattr(X, "columns", labels)), getattr(X, "index", None))


def _library_of(X: Any) -> str | None:
    for library in _COMPLETED:
        # Whoever has a DataFrame has imported its library.
        module = sys.modules.get(library)
        if module is not None and isinstance(X, module.DataFrame):
            return library
    return None


def _completed_pandas(X: Any, completed: Data, missing: BoolArray) -> Any:
    import pandas as pd

    frame = X.copy()
    for j in np.flatnonzero(missing.any(axis=0)).tolist():
        dtype = X.dtypes.iloc[j]
        if not pd.api.types.is_float_dtype(dtype):
            dtype = _floating_dtype(dtype)
        frame.isetitem(j, pd.Series(completed[:, j], index=X.index, dtype=dtype))
    return frame


def _floating_dtype(dtype: Any) -> Any:
    """The dtype of floating-point numbers of the same kind: NumPy's, pandas' or pyarrow's."""
    import pandas as pd

    if isinstance(dtype, pd.ArrowDtype):
        return "double[pyarrow]"
    return "Float64" if pd.api.types.is_extension_array_dtype(dtype) else np.float64


def _completed_polars(X: Any, completed: Data, missing: BoolArray) -> Any:
    import polars as pl

    columns = []
    for j in np.flatnonzero(missing.any(axis=0)).tolist():
        name, dtype = X.columns[j], X.dtypes[j]
        column = pl.Series(name, np.ascontiguousarray(completed[:, j]))
        columns.append(column.cast(dtype if dtype.is_float() else pl.Float64))
    return X.with_columns(columns)


def _made_pandas(completed: Data, columns: list[Any], index: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(completed, columns=columns, index=index)


def _made_polars(completed: Data, columns: list[Any], index: Any) -> Any:
    import polars as pl

    return pl.DataFrame(completed, schema=[str(column) for column in columns])


_COMPLETED = {"pandas": _completed_pandas, "polars": _completed_polars}
_MADE = {"pandas": _made_pandas, "polars": _made_polars}

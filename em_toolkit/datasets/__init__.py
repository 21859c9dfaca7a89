"""Small real data sets that ship with the package."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch

_FAITHFUL = """\
Old Faithful geyser
-------------------

Eruptions of the Old Faithful geyser in Yellowstone National Park, Wyoming, USA. Short eruptions
are followed by short waits and long ones by long waits: two groups that nobody labelled.

Number of rows: 272. No value is missing.

Columns, both in minutes:
- eruptions: how long an eruption lasted
- waiting: how long it then took until the next eruption

Source: Azzalini, A. & Bowman, A. W. (1990). A look at some data on the Old Faithful geyser.
Applied Statistics 39, 357-365. The rows are those of `faithful` in R's package datasets.
"""


def load_faithful(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """The Old Faithful geyser data: 272 eruptions, their duration and the wait after them.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, None)``, as scikit-learn's loaders return ``(data, target)``; there is no
        target.
    as_frame : bool, default=False
        Give the data as a pandas DataFrame (pandas is in the extra ``cli``).

    Returns
    -------
    data : sklearn.utils.Bunch
        With the attributes

        - ``data``, ndarray of shape (272, 2) in minutes, or a DataFrame;
        - ``feature_names``, list of str: ``["eruptions", "waiting"]``;
        - ``frame``, the DataFrame with ``as_frame=True``, else None;
        - ``DESCR``, str: what the data are, and their source.

        With ``return_X_y=True`` the tuple ``(data, None)`` instead.

    References
    ----------
    Azzalini & Bowman (1990), A look at some data on the Old Faithful geyser, Applied Statistics
    39, 357-365.

    Examples
    --------
    >>> from em_toolkit.datasets import load_faithful
    >>> faithful = load_faithful()
    >>> faithful.data.shape, faithful.feature_names
    ((272, 2), ['eruptions', 'waiting'])
    """
    with files(__name__).joinpath("faithful.csv").open(encoding="utf-8") as lines:
        feature_names = [name.strip().strip('"') for name in next(lines).split(",")]
        data: Any = np.loadtxt(lines, delimiter=",")
    frame = None
    if as_frame:
        import pandas as pd

        frame = data = pd.DataFrame(data, columns=feature_names)
    if return_X_y:
        return data, None
    return Bunch(
        data=data,
        feature_names=feature_names,
        frame=frame,
        DESCR=_FAITHFUL,
        filename="faithful.csv",
        data_module=__name__,
    )

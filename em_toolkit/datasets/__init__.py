"""Small real data sets that ship with the package."""

from __future__ import annotations

from collections.abc import Sequence
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


_AIRQUALITY = """\
Air quality in New York
-----------------------

Ozone and weather in New York City on the 153 days from 1 May to 30 September 1973. Entries are
missing as they were in the records: 37 of ozone and 7 of solar radiation, on 42 days together.

Number of rows: 153, a day each, in order. Missing values: NaN.

Columns:
- ozone: mean from 13:00 to 15:00 at Roosevelt Island, in parts per billion
- solar: radiation from 8:00 to 12:00 at Central Park, in langleys, from 4000 to 7700 ångström
- wind: mean speed at 7:00 and 10:00 at LaGuardia Airport, in miles per hour
- temperature: the highest of the day at LaGuardia Airport, in degrees Fahrenheit

Source: New York State Department of Conservation (ozone) and National Weather Service (the others),
in Chambers, J. M., Cleveland, W. S., Kleiner, B. & Tukey, P. A. (1983). Graphical Methods for Data
Analysis. Wadsworth. The rows are those of `airquality` in R's package datasets.
"""

_REAVEN_MILLER = """\
Reaven and Miller's diabetes data
---------------------------------

Measurements of 145 adults who were not obese, and the diagnosis by which they were grouped.

Number of rows: 145 (36 chemical, 76 normal, 33 overt). No value is missing.

Columns, named as in R's mclust:
- glucose: plasma glucose after fasting
- insulin: area under the curve of plasma glucose in a test of glucose tolerance
- sspg: area under the curve of plasma insulin in that test

Target: 0 chemical diabetes, 1 normal, 2 overt diabetes.

Source: Reaven, G. M. & Miller, R. G. (1979). An attempt to define the nature of chemical diabetes
using a multidimensional analysis. Diabetologia 16, 17-24. The rows are those of `diabetes` in R's
package mclust, in the column names as well, by which fits of them are known. Both are doubtful: by
the copy in R's package rrcov the columns are what is said above, and row 104 has 455 where this
one has 45.
"""


def load_faithful(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Return the Old Faithful geyser data: 272 eruptions, their duration and the wait after them.

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
    return _load("faithful.csv", _FAITHFUL, (), return_X_y, as_frame)


def load_airquality(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Ozone and weather in New York on 153 days of 1973, with entries that are missing.

    Parameters
    ----------
    return_X_y, as_frame : bool, default=False
        As in `load_faithful`.

    Returns
    -------
    data : sklearn.utils.Bunch
        As `load_faithful` returns: ``data`` of shape (153, 4), NaN where an entry is missing, and
        ``feature_names``, ``["ozone", "solar", "wind", "temperature"]``. ``DESCR`` has the units.

    References
    ----------
    Chambers, Cleveland, Kleiner & Tukey (1983), Graphical Methods for Data Analysis.

    Examples
    --------
    >>> from em_toolkit.datasets import load_airquality
    >>> load_airquality(as_frame=True).data.isna().sum()
    ozone          37
    solar           7
    wind            0
    temperature     0
    dtype: int64
    """
    return _load("airquality.csv", _AIRQUALITY, (), return_X_y, as_frame)


def load_reaven_miller(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Reaven and Miller's diabetes data: 145 people in three groups, by three measurements.

    The ``diabetes`` of R's mclust, on which methods of clustering are often compared; other data
    than scikit-learn's ``load_diabetes``. Row 104 has an error that is often copied, which
    ``DESCR`` names.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)``.
    as_frame : bool, default=False
        Give the data as a pandas DataFrame and the target as a Series (pandas is in the extra
        ``cli``).

    Returns
    -------
    data : sklearn.utils.Bunch
        With the attributes

        - ``data``, ndarray of shape (145, 3), or a DataFrame;
        - ``target``, ndarray of int of shape (145,), or a Series: the groups;
        - ``feature_names``, list of str: ``["glucose", "insulin", "sspg"]``;
        - ``target_names``, list of str: ``["chemical", "normal", "overt"]``;
        - ``frame``, the DataFrame of both with ``as_frame=True``, else None;
        - ``DESCR``, str: what the data are, and their source.

        With ``return_X_y=True`` the tuple ``(data, target)`` instead.

    References
    ----------
    Reaven & Miller (1979), An attempt to define the nature of chemical diabetes using a
    multidimensional analysis, Diabetologia 16, 17-24.

    Examples
    --------
    >>> from em_toolkit.datasets import load_reaven_miller
    >>> diabetes = load_reaven_miller()
    >>> diabetes.data.shape, diabetes.target_names
    ((145, 3), ['chemical', 'normal', 'overt'])
    """
    groups = ("chemical", "normal", "overt")
    return _load("reaven_miller.csv", _REAVEN_MILLER, groups, return_X_y, as_frame)


def _load(
    filename: str,
    description: str,
    target_names: Sequence[str],
    return_X_y: bool,
    as_frame: bool,
) -> Any:
    """A table with a line of names; where there are groups, the last column counts them from 1."""
    with files(__name__).joinpath(filename).open(encoding="utf-8") as lines:
        names = [name.strip().strip('"') for name in next(lines).split(",")]
        table: Any = np.loadtxt(lines, delimiter=",")
    data, target, frame = table, None, None
    feature_names = names
    if target_names:
        feature_names = names[:-1]
        data, target = np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64) - 1
    if as_frame:
        import pandas as pd

        frame = data = pd.DataFrame(data, columns=feature_names)
        if target is not None:
            frame = data.assign(target=target)
            target = frame["target"]
    if return_X_y:
        return data, target
    described = {"target": target, "target_names": list(target_names)} if target_names else {}
    return Bunch(
        data=data,
        feature_names=feature_names,
        frame=frame,
        DESCR=description,
        filename=filename,
        data_module=__name__,
        **described,
    )

"""Results as tables in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Rows of a longer table are left out in its middle, as pandas does.
_MOST_ROWS = 60


def html_table(
    frame: Callable[[], pd.DataFrame], caption: str, *, max_rows: int = _MOST_ROWS, **style: Any
) -> str | None:
    """Return a frame as HTML, for ``_repr_html_``.

    Parameters
    ----------
    frame : callable
        Makes the DataFrame.
    caption : str
        What to say above it, in plain text; a paragraph for each line.
    max_rows : int
        Rows to show.
    **style
        Passed to ``DataFrame.to_html``.

    Returns
    -------
    html : str or None
        None without pandas, which is an extra: a notebook then shows the ``repr``.
    """
    if find_spec("pandas") is None:
        return None
    table: str = frame().to_html(max_rows=max_rows, border=0, **style)
    above = "".join(f"<p>{escape(line)}</p>" for line in caption.splitlines())
    return f"<div>{above}{table}</div>"

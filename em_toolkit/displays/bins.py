"""The bins of a histogram."""

from __future__ import annotations

import numpy as np

from em_toolkit.statistics import Array

_MOST_BINS = 100


def edges_of_counts(values: Array) -> Array:
    """Return edges with a bin for each count, or for several counts if there would be over 100."""
    low, high = np.floor(values.min()), np.ceil(values.max())
    width = np.ceil((high - low + 1.0) / _MOST_BINS)
    return np.arange(low - 0.5, high + width, width)


def edges_of_values(values: Array) -> Array:
    """Return edges by Freedman & Diaconis (1981): at least as many as Sturges', at most 100."""
    lower, upper = np.percentile(values, [25.0, 75.0])
    width = 2.0 * (upper - lower) / np.cbrt(values.size)
    n_bins = np.ptp(values) / width if width > 0.0 else 0.0
    n_bins = np.clip(n_bins, np.log2(values.size) + 1.0, _MOST_BINS)
    return np.histogram_bin_edges(values, int(np.ceil(n_bins)))

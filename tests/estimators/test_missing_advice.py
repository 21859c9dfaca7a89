"""The error for NaN where an estimator takes none: its advice is a class of this package."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import em_toolkit
from em_toolkit import PPCA, PoissonMixture

COUNTS = np.random.default_rng(0).poisson(5.0, (60, 3)).astype(float)
WITH_HOLES = np.where(np.random.default_rng(1).random(COUNTS.shape) < 0.2, np.nan, COUNTS)


@pytest.mark.parametrize("estimator", [PPCA(1), PoissonMixture(2, random_state=0)], ids=str)
@pytest.mark.parametrize("as_frame", [False, True])
def test_the_advice_is_ours_and_works(estimator: Any, as_frame: bool) -> None:
    make = pd.DataFrame if as_frame else np.asarray
    X: Any = make(WITH_HOLES)
    fitted = type(estimator)(1).fit(make(COUNTS))
    for use in (estimator.fit, fitted.score_samples, fitted.score):
        with pytest.raises(ValueError, match=r"^Input X contains NaN\.") as info:
            use(X)
        message = str(info.value)
        assert "HistGradientBoosting" not in message
        assert "sklearn" not in message
        assert "impute(X)" in message
    # What the message says is run, word by word.
    expression = re.search(r"em_toolkit\.Gauss.*impute\(X\)", message)
    assert expression is not None
    names = {"em_toolkit": em_toolkit, "numpy": np, "X": X}
    names["filled"] = eval(expression[0], names)
    rounding = re.search(r"numpy\..*0\)", message)
    filled = eval(rounding[0], names) if rounding else names["filled"]
    assert np.isfinite(estimator.fit(filled).score(filled))
    np.testing.assert_array_equal(
        np.asarray(filled)[~np.isnan(WITH_HOLES)], COUNTS[~np.isnan(WITH_HOLES)]
    )


@pytest.mark.parametrize("estimator", [PPCA(1), PoissonMixture(2)], ids=str)
def test_infinities_are_told_as_before(estimator: Any) -> None:
    with pytest.raises(ValueError, match=r"contains infinity") as info:
        estimator.fit(np.where(np.isnan(WITH_HOLES), np.inf, COUNTS))
    assert "impute" not in str(info.value)

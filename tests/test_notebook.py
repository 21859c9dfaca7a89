"""Results in a notebook: one short line as repr, and a table as HTML."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from em_toolkit import GaussianMixture, Rows, em
from em_toolkit.families import STRUCTURES, Gaussian, GaussianComponents
from em_toolkit.models import Mixture, MixtureParameters
from em_toolkit.notebook import html_table

FRAME = load_iris(as_frame=True).data


@pytest.fixture(scope="module")
def fitted() -> GaussianMixture:
    settings: dict[str, Any] = {"tol": 1e-8, "stopping": "distance", "max_iter": 1000}
    return GaussianMixture(3, random_state=0, **settings).fit(FRAME)


@pytest.fixture(scope="module")
def results(fitted: GaussianMixture) -> dict[str, Any]:
    X = FRAME.to_numpy()
    covariances = STRUCTURES["full"].from_sklearn_array(np.stack([np.cov(X.T)] * 2), 2, 4)
    components = GaussianComponents(X[[0, 100]], covariances)
    start = MixtureParameters(np.array([0.5, 0.5]), components)
    return {
        "trace": fitted.trace_,
        "inference": fitted.inference(FRAME),
        "fit": em(Mixture(Gaussian(STRUCTURES["full"])), start, Rows(X)),
        "merging": fitted.merge(FRAME),
    }


@pytest.mark.parametrize("name", ["trace", "inference", "fit", "merging"])
def test_a_repr_is_one_short_line(results: dict[str, Any], name: str) -> None:
    line = repr(results[name])
    assert "\n" not in line
    assert 20 < len(line) < 200


def test_reprs_say_what_matters(results: dict[str, Any], fitted: GaussianMixture) -> None:
    assert f"{fitted.n_iter_} iterations" in repr(results["trace"])
    assert f"to {fitted.lower_bound_:.6g} nats" in repr(results["trace"])
    assert "means (3, 4)" in repr(results["inference"])
    assert "MixtureParameters: " in repr(results["fit"])
    assert repr(results["fit"]).endswith("converged>")
    assert "3 components" in repr(results["merging"])


def test_the_html_of_an_inference_is_its_table(results: dict[str, Any]) -> None:
    inference = results["inference"]
    html = inference._repr_html_()
    assert "information that is missing" in html
    assert "means[0, petal length (cm)]" in html
    assert f"{inference.standard_errors['means'][0, 0]:.4g}" in html
    assert len(html) < 20_000


def test_the_html_of_a_trace_is_its_ledger(results: dict[str, Any]) -> None:
    trace = results["trace"]
    html = trace._repr_html_()
    assert html.count("<tr") < 25 < len(trace)
    assert f"{trace.elbo[0]:.6g}" in html
    assert f"{trace.elbo[-1]:.6g}" in html
    assert str(trace).splitlines()[0] in html


def test_the_html_of_a_fit_has_its_parameters(results: dict[str, Any]) -> None:
    html = results["fit"]._repr_html_()
    assert str(results["fit"].status) in html
    for name in ("weights", "components.means", "components.covariances"):
        assert name in html
    for weight in results["fit"].params.weights:
        assert f"{weight:.4g}" in html


def test_html_is_escaped() -> None:
    frame = FRAME.rename(columns={"petal length (cm)": "<b>petal & length"})
    fit = GaussianMixture(1).fit(frame)
    html = fit.inference(frame)._repr_html_()
    assert html is not None
    assert "<b>" not in html
    assert "&lt;b&gt;petal &amp; length" in html


def test_without_pandas_there_is_no_table(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr("em_toolkit.notebook.find_spec", lambda name: None)
    for name in ("trace", "inference", "fit"):
        assert results[name]._repr_html_() is None
        assert repr(results[name])


def test_the_words_above_a_table_are_escaped() -> None:
    html = html_table(lambda: pd.DataFrame({"a": [1]}), "a < b & c\nand more")
    assert html is not None
    assert html.startswith("<div><p>a &lt; b &amp; c</p><p>and more</p>")

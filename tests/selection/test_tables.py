"""The choice on tables with discrete, constant and many columns, and how it is told."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import adjusted_rand_score

from benchmarks.selection import (
    IN_ANY_UNITS,
    NARROWEST,
    TABLES,
    WIDEST,
    extremes,
    same_choice,
    search,
)
from em_toolkit import select_mixture
from em_toolkit.datasets import load_faithful

Data = npt.NDArray[Any]


@pytest.mark.parametrize("name", TABLES)
def test_choice_does_not_depend_on_origin_and_unit(name: str) -> None:
    X = TABLES[name](np.random.default_rng(100))
    found = search(X)
    least, greatest = extremes(X, found)
    assert least > NARROWEST
    assert greatest < WIDEST
    assert same_choice(found, search(X + 1.0))
    assert same_choice(found, search(1e-3 * X), 2.0 * X.size * np.log(1e-3))
    units = np.resize([1e3, 1e-3, 1.0], X.shape[1])
    shift = 2.0 * len(X) * float(np.log(units).sum())
    assert same_choice(search(X, IN_ANY_UNITS), search(X * units, IN_ANY_UNITS), shift)


@pytest.mark.parametrize("kind", ["EII", "VII", "VVI", "EEE"])
@pytest.mark.parametrize("n_columns", [40, 60])
def test_groups_that_differ_a_little_in_many_columns_are_found(kind: str, n_columns: int) -> None:
    groups = np.repeat([0, 1], 250)
    X = np.random.default_rng(1).normal(size=(500, n_columns)) + groups[:, None]
    found = select_mixture(X, range(1, 4), kind, random_state=0)
    assert found.best_params_["n_components"] == 2
    assert adjusted_rand_score(groups, found.best_estimator_.predict(X)) > 0.95
    candidate = found.candidates[found.best_index_]
    assert candidate.init_params == found.best_estimator_.init_params == "kmeans_standardized"


def test_the_better_start_is_kept_and_given_ones_are_alone() -> None:
    X = load_faithful().data
    both = select_mixture(X, range(1, 6), ["VII", "EEE"], random_state=0)
    alone = [
        select_mixture(X, range(1, 6), ["VII", "EEE"], random_state=0, init_params=start)
        for start in ("hierarchical", "kmeans_standardized")
    ]
    np.testing.assert_array_equal(both.scores, np.fmin(alone[0].scores, alone[1].scores))
    starts = {candidate.init_params for candidate in alone[0].candidates}
    assert starts == {"hierarchical"}


def test_constant_columns_are_left_out_and_named() -> None:
    pandas = pytest.importorskip("pandas")
    X = load_faithful(as_frame=True).data
    with_constant = X.assign(c=0.1 + 0.2)[["c", *X.columns]]
    with pytest.warns(UserWarning, match=r"left out, .* 'c' \(0\.3\)") as seen:
        found = select_mixture(with_constant, range(1, 4), random_state=0)
    assert [warning.filename for warning in seen] == [__file__]
    plain = select_mixture(X, range(1, 4), random_state=0)
    assert found.best_params_ == plain.best_params_
    np.testing.assert_allclose(found.scores, plain.scores, rtol=1e-9)
    assert found.features_.tolist() == X.columns.tolist()
    assert found.left_out == {"c": pytest.approx(0.3)}
    assert "'c' (0.3)" in str(found)
    labels = found.best_estimator_.predict(with_constant[found.features_])
    assert isinstance(with_constant, pandas.DataFrame)
    assert len(labels) == len(X)
    with pytest.warns(UserWarning, match="left out"):
        by_index = select_mixture(with_constant.to_numpy(), 2, "EEE", random_state=0)
    assert by_index.features_.tolist() == [1, 2]
    with pytest.raises(ValueError, match="equal values in each of 2 columns"):
        select_mixture(np.ones((20, 2)))


def test_failures_are_told_with_what_they_mean() -> None:
    X = np.random.default_rng(0).poisson(0.3, (200, 3)).astype(float)
    with pytest.warns(match="2 of 3 fits failed") as seen:
        found = select_mixture(X, [1, 2, 3], "VVI", random_state=0)
    message = str(seen[0].message)
    assert "the choice is among the other 1" in message
    assert "distinct ones" in message
    assert "prior='conjugate'" in message
    assert "2 of 3 fits failed" in str(found)


def test_short_repr_and_tables() -> None:
    found = select_mixture(load_faithful().data, range(1, 4), ["EII", "EEE"], random_state=0)
    assert repr(found).startswith("<MixtureSelection: EEE, 3, BIC 2314.3")
    assert len(repr(found)) < 100
    frame, table = found.to_frame(), found.score_table()
    np.testing.assert_array_equal(frame["score"], found.scores)
    assert table.index.tolist() == ["EII", "EEE"]
    assert table.columns.tolist() == [1, 2, 3]
    assert table.loc["EEE", 3] == found.scores.min()
    html = found._repr_html_()
    assert html.count("<td>") == 6
    assert html.count("<b>") == 1
    assert f"<b>{found.scores.min():.3f}</b>" in html


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ({"criterion": "BIC"}, "'bic'"),
        ({"criterion": "icll"}, "'icl'"),
        ({"covariance_types": "eee"}, "'EEE'"),
        ({"covariance_types": ["VVV", "ful"]}, "'full'"),
    ],
)
def test_names_that_were_meant(arguments: dict[str, Any], meant: str) -> None:
    with pytest.raises(ValueError, match=f"Did you mean {meant}"):
        select_mixture(load_faithful().data, 2, **arguments)


def test_a_good_search_of_numbers_is_silent() -> None:
    X = TABLES["numbers"](np.random.default_rng(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select_mixture(X, [1, 2], ["EEE", "VVI"], random_state=0)

"""Fitted estimators as JSON: the same model to the bit, and nothing else is read."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from em_toolkit import PPCA, GaussianMixture, NormalInverseWishart, NormalMeans, PoissonMixture
from em_toolkit.families import STRUCTURES

RNG = np.random.default_rng(5)
ROWS = np.vstack([RNG.normal(0.0, 1.0, (40, 3)), RNG.normal(5.0, 2.0, (40, 3))])
COUNTS = RNG.poisson(3.0, (60, 3)).astype(float)
METHODS = ("predict", "predict_proba", "score_samples", "transform", "impute", "bic")


def fitted(estimator: Any, X: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (ConvergenceWarning, UserWarning))
        return estimator.fit(X)


def holes(X: Any) -> Any:
    X = X.copy()
    X[::7, 1] = np.nan
    return X


def assert_same_bits(a: Any, b: Any) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.flags.c_contiguous == b.flags.c_contiguous
    if a.dtype == object:
        assert a.tolist() == b.tolist()
    else:
        assert a.tobytes() == b.tobytes()


def assert_same_model(model: Any, other: Any, X: Any) -> None:
    assert type(model) is type(other)
    assert vars(model).keys() == vars(other).keys()
    for name in ("lower_bound_", "lower_bounds_", "n_iter_", "status_", "restarts_", "converged_"):
        if hasattr(model, name):
            assert repr(getattr(model, name)) == repr(getattr(other, name))
    for name, value in vars(model).items():
        if name.endswith("_") and isinstance(value, np.ndarray):
            assert_same_bits(value, getattr(other, name))
    if getattr(model, "noise_box_", None) is not None:
        for name, value in vars(model.noise_box_).items():
            assert_same_bits(value, getattr(other.noise_box_, name))
    if hasattr(model, "trace_"):
        for name in vars(model.trace_):
            if name in type(model.trace_).__dataclass_fields__:
                assert_same_bits(getattr(model.trace_, name), getattr(other.trace_, name))
    for name in METHODS:
        if hasattr(model, name):
            assert_same_bits(getattr(model, name)(X), getattr(other, name)(X))
    for mine, theirs in zip(model.sample(20), other.sample(20), strict=True):
        assert_same_bits(mine, theirs)


PRIORS = st.one_of(
    st.sampled_from([None, "conjugate"]),
    st.builds(
        NormalInverseWishart,
        shrinkage=st.floats(0.01, 3.0),
        scale=st.floats(0.1, 3.0),
        mean=st.sampled_from([None, [0.0, 1.0, 2.0], np.array([0.1, 0.2, 0.3])]),
    ),
    st.builds(NormalMeans, covariance=st.sampled_from([None, 4.0, np.diag([1.0, 2.0, 3.0])])),
)
RANDOM_STATES = st.one_of(
    st.integers(0, 2**32 - 1), st.builds(np.random.RandomState, st.integers(0, 9))
)


@given(
    covariance_type=st.sampled_from(sorted(STRUCTURES)),
    n_components=st.integers(1, 3),
    dtype=st.sampled_from([np.float64, np.float32]),
    prior=PRIORS,
    noise=st.sampled_from([None, True, 2000.0]),
    missing=st.booleans(),
    fixed=st.sampled_from(
        [None, {"means": [0]}, {"covariances": True, "weights": np.array([True])}]
    ),
    concentration=st.sampled_from([1.0, 2.5]),
    n_init=st.integers(1, 2),
    random_state=RANDOM_STATES,
    named=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_gaussian_mixture_comes_back_to_the_bit(
    covariance_type: str,
    n_components: int,
    dtype: Any,
    prior: Any,
    noise: Any,
    missing: bool,
    fixed: Any,
    concentration: float,
    n_init: int,
    random_state: Any,
    named: bool,
) -> None:
    X = (holes(ROWS) if missing else ROWS).astype(dtype)
    table = pd.DataFrame(X, columns=["größe", "b,c", '"d"']) if named else X
    if fixed is not None and "weights" in fixed:
        fixed = fixed | {"weights": np.arange(n_components) == 0}
    model = fitted(
        GaussianMixture(
            n_components,
            covariance_type=covariance_type,
            prior=prior,
            noise=noise,
            fixed=fixed,
            weight_concentration=concentration,
            n_init=n_init,
            max_iter=5,
            random_state=random_state,
        ),
        table,
    )
    text = model.to_json()
    other = GaussianMixture.from_json(text)
    assert other.to_json() == text
    assert_same_model(model, other, table)
    # A fit of the settings that came back is the same fit.
    if isinstance(random_state, int):
        assert_same_bits(fitted(clone(other), table).means_, model.means_)


@given(
    n_components=st.integers(1, 3),
    dtype=st.sampled_from([np.float64, np.float32]),
    seed=RANDOM_STATES,
)
@settings(max_examples=10, deadline=None)
def test_a_poisson_mixture_comes_back_to_the_bit(n_components: int, dtype: Any, seed: Any) -> None:
    X = COUNTS.astype(dtype)
    model = fitted(PoissonMixture(n_components, random_state=seed), X)
    assert_same_model(model, PoissonMixture.from_json(model.to_json()), X)


@given(
    n_components=st.integers(1, 2),
    solver=st.sampled_from(["closed_form", "em", "randomized"]),
    dtype=st.sampled_from([np.float64, np.float32]),
    seed=RANDOM_STATES,
)
@settings(max_examples=10, deadline=None)
def test_a_ppca_comes_back_to_the_bit(
    n_components: int, solver: str, dtype: Any, seed: Any
) -> None:
    X = ROWS.astype(dtype)
    model = fitted(PPCA(n_components, solver=solver, random_state=seed), X)
    other = PPCA.from_json(model.to_json())
    assert_same_model(model, other, X)
    assert_same_bits(
        model.inverse_transform(model.transform(X)), other.inverse_transform(model.transform(X))
    )


def test_arrays_and_numbers_given_to_the_constructor_come_back() -> None:
    responsibilities = np.random.default_rng(0).dirichlet([1.0, 1.0], len(ROWS))
    model = fitted(
        GaussianMixture(
            np.int64(2),
            init_params=responsibilities,
            means_init=pd.DataFrame(np.eye(3)[:2]),
            weights_init=(0.25, 0.75),
            tol=np.float32(1e-3),
            weight_concentration=[1.0, 2.0],
        ),
        ROWS,
    )
    other = GaussianMixture.from_json(model.to_json())
    assert_same_bits(other.init_params, responsibilities)
    assert other.weights_init == (0.25, 0.75)
    assert other.weight_concentration == [1.0, 2.0]
    assert other.tol == float(np.float32(1e-3))
    assert other.n_components == 2
    assert_same_bits(clone(other).fit(ROWS).means_, model.means_)


def test_numbers_that_are_not_finite_come_back() -> None:
    model = fitted(GaussianMixture(2, tol=1.0, max_iter=1, random_state=0), ROWS)
    model.trace_ = fitted(
        GaussianMixture(2, acceleration="squarem", tol=1e-9, random_state=0), ROWS
    ).trace_
    model.lower_bound_ = -np.inf
    text = model.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    other = GaussianMixture.from_json(text)
    assert other.lower_bound_ == -np.inf
    assert_same_bits(other.trace_.log_evidence, model.trace_.log_evidence)


def test_a_file_holds_what_the_text_holds(tmp_path: Any) -> None:
    model = fitted(GaussianMixture(2, random_state=0), pd.DataFrame(ROWS, columns=["ä", "b", "c"]))
    path = tmp_path / "model.json"
    assert path.exists() is False
    text = model.to_json(path)
    assert path.read_text(encoding="utf-8") == text
    for source in (path, str(path), text):
        assert GaussianMixture.from_json(source).feature_names_in_.tolist() == ["ä", "b", "c"]
    with pytest.raises(ValueError, match=r"expected the JSON text .* or the path .*'nothing'"):
        GaussianMixture.from_json("nothing")
    for missing in ("nothing.json", tmp_path / "nothing.json"):
        with pytest.raises(FileNotFoundError):
            GaussianMixture.from_json(missing)


def test_people_can_read_it() -> None:
    model = fitted(GaussianMixture(2, random_state=0), ROWS)
    content = json.loads(model.to_json())
    assert content["schema"] == "em_toolkit.estimator"
    assert content["schema_version"] == 2
    assert content["estimator"] == "GaussianMixture"
    assert content["settings"]["covariance_type"] == "full"
    assert content["fitted"]["means_"]["values"] == model.means_.tolist()
    assert len(model.to_json().splitlines()) < 250


# -- what is refused ------------------------------------------------------------------------------

MODEL = fitted(GaussianMixture(2, noise=True, prior=NormalInverseWishart(), random_state=0), ROWS)


def changed(*path: str, value: Any = None, drop: bool = False) -> str:
    content = json.loads(MODEL.to_json())
    part = content
    for name in path[:-1]:
        part = part[name]
    if drop:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "expected the JSON text"),
        ("[]", "another kind"),
        ("{}", "another kind"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        (changed("schema", value="sklearn"), "another kind"),
        (changed("schema_version", value=1), "expected schema_version 2, got 1.*em_toolkit"),
        (changed("schema_version", value="2"), "expected schema_version 2, got '2'"),
        (changed("schema_version", value=True), "expected schema_version 2, got True"),
        (changed("schema_version", drop=True), "expected schema_version 2, got None"),
        (changed("estimator", value="PPCA"), "GaussianMixture, got one of 'PPCA'"),
        (changed("estimator", value="os.system"), "got one of 'os.system'"),
        (changed("more", value=1), "unknown field 'more' in the document"),
        (changed("fitted", drop=True), "lacks the field 'fitted'"),
        (changed("settings", value=[]), "expected an object in 'settings'"),
        (changed("settings", "degrees", value=1), "unknown field 'degrees' in 'settings'"),
        (changed("settings", "covariance_type", value="round"), "covariance_type"),
        (changed("settings", "prior", "more", value=1), "unknown field 'more' in prior"),
        (changed("settings", "prior", value={"type": "os.system", "x": 1}), "type 'os.system'"),
        (changed("settings", "prior", value={"type": ["Box"]}), "unknown type"),
        (changed("settings", "prior", value={}), "unknown type None"),
        (changed("fitted", "precision_", value=1), "unknown field 'precision_' in 'fitted'"),
        (changed("fitted", "_model", value=1), "unknown field '_model' in 'fitted'"),
        (changed("fitted", "predict", value=1), "unknown field 'predict' in 'fitted'"),
        (changed("fitted", "means_", drop=True), "lacks the field 'means_'"),
        (changed("fitted", "covariances_", drop=True), "lacks the field 'covariances_'"),
        (changed("fitted", "n_features_in_", drop=True), "lacks the field 'n_features_in_'"),
        (changed("fitted", "means_", value=3), "means_: expected a value of type"),
        (changed("fitted", "means_", "dtype", value="complex128"), "of type array"),
        (changed("fitted", "means_", "values", value=[[1.0], [2.0, 3.0]]), "of type array"),
        (changed("fitted", "means_", "values", value=[["a", 1, 2]] * 2), "float64 is 'a'"),
        (changed("fitted", "means_", "values", value=[[1.0, 2.0]] * 2), "means_ should have"),
        (
            changed("fitted", "means_", "values", value=[["nan", 1, 2]] * 2),
            "means_ should be finite",
        ),
        (changed("fitted", "weights_", "values", value=[0.1, 0.2]), "sum to 1"),
        (changed("fitted", "weights_", "values", value=[1.5, -0.5]), "non-negative"),
        (changed("fitted", "n_features_in_", value=4), "should have the shape"),
        (changed("fitted", "n_iter_", value=1.5), "n_iter_: expected a value of type int"),
        (changed("fitted", "status_", value="converged"), "status_: expected a value of type"),
        (changed("fitted", "status_", "name", value="GOOD"), "of type Status"),
        (changed("fitted", "trace_", "elbo", drop=True), "lacks the field 'elbo'"),
        (changed("fitted", "trace_", "elbo", value=1.0), "of type Trace"),
        (changed("fitted", "noise_box_", value=None), "noise=True"),
        (changed("fitted", "restarts_", value=[1]), "restarts_: expected"),
    ],
)
def test_what_is_no_such_model_is_refused_in_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        GaussianMixture.from_json(text)


def test_every_unknown_field_is_refused() -> None:
    """Wherever there is an object, one more field is an error."""
    content = json.loads(MODEL.to_json())

    def objects(value: Any) -> Any:
        if isinstance(value, dict):
            yield value
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, dict | list):
                yield from objects(item)

    found = list(objects(content))
    assert len(found) > 20
    for one in found:
        one["unheard-of"] = 1
        with pytest.raises(ValueError, match="'unheard-of'"):
            GaussianMixture.from_json(json.dumps(content))
        del one["unheard-of"]
    GaussianMixture.from_json(json.dumps(content))


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(NotFittedError):
        GaussianMixture().to_json()
    model = fitted(GaussianMixture(2, random_state=0), ROWS)
    model.set_params(init_params=np.array([1j, 2j]))
    with pytest.raises(TypeError, match=r"init_params: .*complex128"):
        model.to_json()
    model.set_params(init_params=print)
    with pytest.raises(TypeError, match=r"init_params: .*builtin_function"):
        model.to_json()


def mutated(fit: Any, name: str, value: Any) -> str:
    document = json.loads(fit.to_json())
    if value is KeyError:
        del document["fitted"][name]
    else:
        document["fitted"][name] = value(document["fitted"][name])
    return json.dumps(document)


def negative(value: Any) -> Any:
    return json.loads(json.dumps(value).replace("1.", "-1.", 1))


def test_values_that_cannot_be_are_refused() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    noisy = GaussianMixture(1, noise=True, random_state=0).fit(X)
    counts = PoissonMixture(1, random_state=0).fit(np.ones((9, 1)))
    box = json.loads(noisy.to_json())["fitted"]["noise_box_"]
    cases = [
        (counts, "rates_", negative, "rates_ should not be negative"),
        (noisy, "noise_weight_", KeyError, "noise_weight_ is not among them"),
        (PPCA(1).fit(X), "noise_variance_", KeyError, "noise_variance_ is not among them"),
        (PPCA(1).fit(X), "n_components_", KeyError, "n_components_ is not among them"),
    ]
    assert "lengths" in json.dumps(box)
    for fit, name, value, complaint in cases:
        with pytest.raises(ValueError, match=complaint):
            type(fit).from_json(mutated(fit, name, value))
    for lengths in (-1.0, 0.0, np.inf):
        broken = clone(noisy).fit(X)
        broken.noise_box_ = replace(broken.noise_box_, lengths=np.array([1.0, lengths]))
        with pytest.raises(ValueError, match="positive and finite edge"):
            GaussianMixture.from_json(broken.to_json())

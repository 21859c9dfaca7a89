"""Fitted estimators in the files of skops, which load nothing that is not trusted."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import skops.io
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from starts import FAITHFUL

from em_toolkit import PPCA, GaussianMixture, NormalInverseWishart, PoissonMixture, Status
from em_toolkit.families import STRUCTURES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

Data = npt.NDArray[Any]

HOLES = FAITHFUL.copy()
HOLES[::7, 0] = np.nan
COUNTS = np.random.default_rng(0).poisson(3.0, (50, 2)).astype(float)

# What a fitted estimator cannot be without: what it is, and what its fit did.
RECORDS = {
    "em_toolkit.engine.restarts.Restart",
    "em_toolkit.engine.status.Status",
    "em_toolkit.engine.trace.Trace",
}
GAUSSIAN = "em_toolkit.estimators.gaussian_mixture.GaussianMixture"
CASES: dict[str, tuple[Any, Data, set[str]]] = {
    **{
        name: (GaussianMixture(2, covariance_type=name, random_state=0), FAITHFUL, {GAUSSIAN})
        for name in STRUCTURES
    },
    "float32": (GaussianMixture(2, random_state=0), FAITHFUL.astype(np.float32), {GAUSSIAN}),
    "missing": (GaussianMixture(2, random_state=0), HOLES, {GAUSSIAN}),
    "fixed": (
        GaussianMixture(2, fixed={"weights": True}, warm_start=True, n_init=2, random_state=0),
        FAITHFUL,
        {GAUSSIAN},
    ),
    "not converged": (GaussianMixture(2, max_iter=1, random_state=0), FAITHFUL, {GAUSSIAN}),
    "noise": (
        GaussianMixture(2, noise=True, random_state=0),
        FAITHFUL,
        {GAUSSIAN, "em_toolkit.families.box.Box"},
    ),
    "prior": (
        GaussianMixture(2, prior=NormalInverseWishart(), reg_covar=0.0, random_state=0),
        FAITHFUL,
        {GAUSSIAN, "em_toolkit.priors.conjugate.NormalInverseWishart"},
    ),
    "Poisson": (
        PoissonMixture(2, acceleration="squarem", random_state=0),
        COUNTS,
        {"em_toolkit.estimators.poisson_mixture.PoissonMixture"},
    ),
    "PPCA": (PPCA(1), FAITHFUL, {"em_toolkit.estimators.ppca.PPCA"}),
    "PPCA by EM": (PPCA(1, solver="em"), FAITHFUL, {"em_toolkit.estimators.ppca.PPCA"}),
}


def assert_same(one: Any, other: Any, name: str) -> None:
    """The same to the bit, whatever they are made of."""
    assert type(one) is type(other), name
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, err_msg=name)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for place, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, theirs, f"{name}[{place}]")
    elif isinstance(one, float | int | str | dict | Status | None):
        assert one == other or one != one, name
    else:
        state = one.__getstate__()
        for key, value in state.items():
            assert_same(value, getattr(other, key), f"{name}.{key}")


@pytest.mark.parametrize("name", CASES)
def test_fitted_estimators_load(name: str) -> None:
    estimator, X, own = CASES[name]
    fitted = clone(estimator).fit(X)
    content = skops.io.dumps(fitted)
    untrusted = set(skops.io.get_untrusted_types(data=content))
    assert untrusted <= own | RECORDS
    loaded = skops.io.loads(content, trusted=sorted(untrusted))
    assert_same(fitted, loaded, name)
    assert loaded.status_ is fitted.status_
    assert str(loaded.trace_) == str(fitted.trace_)
    np.testing.assert_array_equal(loaded.score_samples(X), fitted.score_samples(X))
    loaded.fit(X)


def test_pipeline_loads() -> None:
    fitted = make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0)).fit(FAITHFUL)
    content = skops.io.dumps(fitted)
    untrusted = skops.io.get_untrusted_types(data=content)
    assert set(untrusted) <= {GAUSSIAN} | RECORDS
    loaded = skops.io.loads(content, trusted=untrusted)
    np.testing.assert_array_equal(loaded.predict(FAITHFUL), fitted.predict(FAITHFUL))


@pytest.mark.parametrize("status", Status)
def test_status_is_itself_wherever_it_has_been(status: Status) -> None:
    trusted = ["em_toolkit.engine.status.Status"]
    for other in (
        skops.io.loads(skops.io.dumps(status), trusted=trusted),
        *(pickle.loads(pickle.dumps(status, protocol)) for protocol in range(6)),
        copy.copy(status),
        copy.deepcopy(status),
    ):
        assert other is status
    # Files name it; they do not quote it.
    assert status.name.encode() in pickle.dumps(status)
    assert str(status).encode() not in pickle.dumps(status)


def test_what_is_no_status_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not a valid Status"):
        Status("NEVER")

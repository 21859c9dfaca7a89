"""exp, log and posterior of the compiled loops, against 40 digits and against scipy."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from oracles import Data
from scipy.special import entr, logsumexp
from scipy.special import softmax as scipy_softmax

from em_toolkit.kernels.instructions import LANES, Code, Value, Vectors, emitted
from em_toolkit.kernels.vectorized import add_posterior, exponential, logarithm

EPS = np.finfo(np.float64).eps
RNG = np.random.default_rng(0)

# -- exp and log ----------------------------------------------------------------------------------


def errors(found: Data, values: Data, function: Callable[[Decimal], Decimal]) -> Data:
    """found − function(value), the latter to 40 digits: what is left after both are subtracted."""
    with localcontext(prec=40):
        exact = [function(Decimal(value)) for value in values.tolist()]
        return np.array(
            [float(Decimal(one) - other) for one, other in zip(found.tolist(), exact, strict=True)]
        )


def elementwise(function: Callable[[Code, Value], Value]) -> Callable[[Data], Data]:
    """What a function of vectors makes of numbers; 1 fills up the last vector."""

    @emitted
    def apply(code: Code, values: Vectors, out: Vectors) -> None:
        with code.rows(values) as i:
            out.set_vector(function(code, values.vector(code.index(0), i)), code.index(0), i)

    @njit(fastmath={"contract", "nsz", "reassoc"})  # type: ignore[untyped-decorator]
    def apply_to_all(values: Data, out: Data) -> None:
        apply(values, out)

    def applied(values: Data) -> Data:
        filled = np.ones((1, -(-values.size // LANES) * LANES))
        filled[0, : values.size] = values
        out = np.empty_like(filled)
        apply_to_all(filled, out)
        return out[0, : values.size]

    return applied


exponentials_of, logarithms_of = elementwise(exponential), elementwise(logarithm)


def with_neighbours(values: Data) -> Data:
    return np.concatenate([np.nextafter(values, -np.inf), values, np.nextafter(values, np.inf)])


# Where the range reduction goes from one exponent to the next, and where it leaves nothing.
HALVES = -np.log(2.0) * (np.arange(1009) + 0.5)
WHOLES = -np.log(2.0) * np.arange(1, 1010)
BELOW_ZERO = {
    "zero": np.array([0.0, -0.0]),
    "tiny": -(10.0 ** np.arange(-320.0, -14.0)),
    "roundings of one": -EPS * np.arange(1.0, 9.0) / 4.0,
    "the lowest": np.array([-700.0, np.nextafter(-700.0, 0.0)]),
    "halves of log 2": with_neighbours(HALVES),
    "multiples of log 2": with_neighbours(WHOLES),
    "integers": -np.arange(701.0),
    "anywhere": -700.0 * RNG.random(5000),
    "of any size": -np.exp(RNG.uniform(-40.0, math.log(700.0), 5000)),
}


@pytest.mark.parametrize("name", BELOW_ZERO)
def test_exponentials(name: str) -> None:
    values = BELOW_ZERO[name]
    found = exponentials_of(values)
    assert (np.abs(errors(found, values, Decimal.exp)) < 4e-16 * found).all()


def test_exponential_of_zero_is_one() -> None:
    np.testing.assert_array_equal(exponentials_of(np.array([0.0, -0.0])), [1.0, 1.0])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-700.0, 0.0), min_size=1, max_size=40))
def test_exponentials_of_any_number_of_values(values: list[float]) -> None:
    """A loop that vectorizes has a rest that does not."""
    found = exponentials_of(np.array(values))
    expected = [math.exp(value) for value in values]
    np.testing.assert_allclose(found, expected, rtol=4e-16 + EPS, atol=0.0)


ABOVE_ONE = {
    "one": np.array([1.0, 1.0 + EPS, 1.0 + 2.0 * EPS]),
    "near one": 1.0 + 10.0 ** np.arange(-15.0, 0.0),
    "powers of two": with_neighbours(2.0 ** np.arange(1.0, 20.0)),
    "where the exponent changes": with_neighbours(np.sqrt(0.5) * 2.0 ** np.arange(1.0, 20.0)),
    "integers": np.arange(1.0, 2000.0),
    "anywhere": RNG.uniform(1.0, 1e6, 5000),
    "of any size": np.exp(RNG.uniform(0.0, math.log(1e6), 5000)),
}


@pytest.mark.parametrize("name", ABOVE_ONE)
def test_logarithms(name: str) -> None:
    values = ABOVE_ONE[name]
    found = logarithms_of(values)
    assert (np.abs(errors(found, values, Decimal.ln)) < 2e-16 + 4e-16 * np.log(values)).all()


@pytest.mark.parametrize("name", ["one", "near one"])
def test_logarithms_near_one_keep_their_digits(name: str) -> None:
    """log(1 + x) is x: what counts there is the relative error."""
    values = ABOVE_ONE[name]
    found = logarithms_of(values)
    assert (np.abs(errors(found, values, Decimal.ln)) <= 4e-16 * found).all()


# -- the posterior ---------------------------------------------------------------------------------


@njit  # type: ignore[untyped-decorator]
def posterior(log_joint: Data, weights: Data, shares: Data, sums: Data) -> None:
    add_posterior(log_joint, weights, shares, sums)


def sums_of(log_joint: Data, weights: Data) -> tuple[Data, Data]:
    """Responsibilities times weights, and the sums, of any number of rows; they are columns."""
    n_rows = log_joint.shape[1]
    # Rows that only fill up the last vector weigh nothing.
    beyond = (0, -n_rows % LANES)
    padded = np.ascontiguousarray(np.pad(log_joint, [(0, 0), beyond]))
    shares, sums = np.full(padded.shape, np.nan), np.zeros(3)
    posterior(padded, np.pad(weights, beyond), shares, sums)
    np.testing.assert_array_equal(shares[:, n_rows:], 0.0)
    return shares[:, :n_rows], sums


def softmax_of(log_joint: Data) -> tuple[Data, Data, Data]:
    """Responsibilities, log evidence and entropy of each row, which is a column."""
    responsibilities, _ = sums_of(log_joint, np.ones(log_joint.shape[1]))
    # The sums of one row are its own.
    sums = [sums_of(column[:, None], np.ones(1))[1] for column in log_joint.T]
    entropy, log_evidence, weight = np.array(sums).T
    np.testing.assert_array_equal(weight, 1.0)
    return responsibilities, log_evidence, entropy


def assert_scipy_agrees(log_joint: Data) -> None:
    responsibilities, log_evidence, entropy = softmax_of(log_joint)
    expected = scipy_softmax(log_joint, axis=0)
    # A few roundings of exp, and of a sum of K terms.
    rtol = 1e-15 + EPS * log_joint.shape[0]
    counted = np.where(expected >= 1e-150, expected, 0.0)
    np.testing.assert_allclose(responsibilities, counted, rtol=rtol, atol=0.0)
    np.testing.assert_allclose(log_evidence, logsumexp(log_joint, axis=0), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(entropy, entr(expected).sum(axis=0), rtol=rtol, atol=3.0 * rtol)


@pytest.mark.parametrize("n_components", [1, 2, 3, 7, 33])
@pytest.mark.parametrize("n_rows", [1, 5, 128])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 200.0])
def test_softmax(n_components: int, n_rows: int, spread: float) -> None:
    rng = np.random.default_rng(n_components)
    log_joint = -50.0 + spread * rng.standard_normal((n_components, n_rows))
    assert_scipy_agrees(log_joint)


def test_weights_of_rows() -> None:
    """Shares and sums are those of rows that are repeated so often; some not at all."""
    rng = np.random.default_rng(0)
    log_joint, weights = rng.normal(-5.0, 3.0, (4, 53)), rng.integers(0, 4, 53).astype(float)
    shares, sums = sums_of(log_joint, weights)
    responsibilities, log_evidence, entropy = softmax_of(log_joint)
    np.testing.assert_allclose(shares, weights * responsibilities, rtol=4.0 * EPS)
    expected = [weights @ entropy, weights @ log_evidence, weights.sum()]
    np.testing.assert_allclose(sums, expected, rtol=1e-14)


def test_sums_are_added_to() -> None:
    log_joint = np.random.default_rng(0).normal(-5.0, 3.0, (3, LANES))
    weights, sums = np.ones(LANES), np.array([1e3, 2e3, 3e3])
    posterior(log_joint, weights, np.empty((3, LANES)), sums)
    expected = sums_of(log_joint, weights)[1] + [1e3, 2e3, 3e3]
    np.testing.assert_allclose(sums, expected, rtol=1e-14)


def test_softmax_of_a_component_of_weight_zero() -> None:
    log_joint = np.random.default_rng(0).normal(-5.0, 3.0, (4, 50))
    log_joint[2] = -np.inf
    assert_scipy_agrees(log_joint)
    responsibilities, _, _ = softmax_of(log_joint)
    np.testing.assert_array_equal(responsibilities[2], 0.0)


def test_softmax_of_values_far_apart() -> None:
    """A sure posterior is sure to the bit: no entropy, and log evidence of the one component."""
    log_joint = np.array([[-3.0, -1e5, 7e4], [-1e5, -4.0, -3e4], [-2e5, -3e5, -1e8]])
    responsibilities, log_evidence, entropy = softmax_of(log_joint)
    np.testing.assert_array_equal(responsibilities, [[1, 0, 1], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(log_evidence, [-3.0, -4.0, 7e4])
    np.testing.assert_allclose(entropy, 0.0, atol=1e-290)


def test_softmax_of_one_component() -> None:
    log_joint = np.array([[-1e300, -1.0, 0.0, 1e-9, 5.0]])
    responsibilities, log_evidence, entropy = softmax_of(log_joint)
    np.testing.assert_array_equal(responsibilities, np.ones((1, 5)))
    np.testing.assert_array_equal(log_evidence, log_joint[0])
    np.testing.assert_array_equal(entropy, np.zeros(5))


def test_softmax_of_a_row_that_no_component_gives_a_probability() -> None:
    """Its log evidence is −inf, and the other rows are as if it were not there."""
    log_joint = np.random.default_rng(1).normal(-5.0, 3.0, (3, 9))
    log_joint[:, 4] = -np.inf
    _, log_evidence, _ = softmax_of(log_joint)
    assert log_evidence[4] == -np.inf
    others = np.arange(9) != 4
    for found, expected in zip(
        softmax_of(log_joint), softmax_of(log_joint[:, others]), strict=True
    ):
        np.testing.assert_allclose(found[..., others], expected, rtol=1e-15, atol=1e-15)


def test_softmax_of_what_overflowed_is_not_finite() -> None:
    """That is how the E-step knows to take the slow way."""
    _, log_evidence, _ = softmax_of(np.array([[np.nan, -1.0], [np.nan, -2.0]]))
    assert not np.isfinite(log_evidence[0])
    assert np.isfinite(log_evidence[1])


@pytest.mark.parametrize("exponent", [-149.5, -150.5])
def test_negligible_responsibilities_are_zero(exponent: float) -> None:
    """Below 1e-150, to the bit; above, as exact as any."""
    gap = exponent * math.log(10.0)
    responsibilities, _, _ = softmax_of(np.array([[0.0], [gap]]))
    expected = math.exp(gap) if exponent > -150.0 else 0.0
    np.testing.assert_allclose(responsibilities[1], expected, rtol=1e-15, atol=0.0)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda k: st.lists(
            st.lists(st.floats(-300.0, 300.0), min_size=k, max_size=k), min_size=1, max_size=20
        )
    )
)
def test_softmax_of_anything(rows: list[list[float]]) -> None:
    assert_scipy_agrees(np.ascontiguousarray(np.array(rows).T))

"""exp and log that vectorize, and the posterior that they are for.

NumPy's and the C library's exp take one number at a time on most machines, and would be half the
cost of an E-step with few features. These take as many as a register holds.
"""

from __future__ import annotations

import math

from numpy.polynomial import Chebyshev, Polynomial

from em_toolkit.families.base import NEGLIGIBLE_RESPONSIBILITY
from em_toolkit.kernels.instructions import Code, Sum, Value, Variable, Vectors, emitted

# exp(_LOWEST) is below NEGLIGIBLE_RESPONSIBILITY, and its exponent field does not underflow.
_LOWEST = -700.0

_LOG2_E = 1.0 / math.log(2.0)
# log 2 in two parts (Cody & Waite 1980), the first of so few digits that its product with an
# exponent is exact.
_LOG_2_HIGH = 6.93147180369123816490e-01
_LOG_2_LOW = 1.90821492927058770002e-10
_BITS_OF_SQRT_HALF = 0x3FE6A09E667F3BCD


def _economized(series: list[float], low: float, high: float, degree: int) -> list[float]:
    """Coefficients of the polynomial that meets a power series at the points of Chebyshev."""
    nearby = Chebyshev.interpolate(Polynomial(series), degree, [low, high])
    return [float(number) for number in nearby.convert(kind=Polynomial).coef]


# (exp r − 1 − r) / r², for |r| ≤ ½ log 2: of exp it leaves out 7e-17.
_EXP = _economized([1.0 / math.factorial(n + 2) for n in range(20)], -0.3466, 0.3466, 9)
# (artanh f − f) / f³ in f², for |f| ≤ (√2 − 1) / (√2 + 1): of log it leaves out 4e-18.
_ARTANH = _economized([1.0 / (2 * n + 3) for n in range(25)], 0.0, 0.02945, 6)


# The range reductions of both functions would be destroyed, silently, if sums were taken in any
# order: instructions on vectors keep theirs.


def exponential(code: Code, vector: Value) -> Value:
    """Return exp of values in [−700, 0]; the relative error is below 4e-16.

    Parameters
    ----------
    code : Code
    vector : Value
    """
    exponent, integer = code.nearest_integer(code.multiply(vector, code.constant(_LOG2_E)))
    r = code.subtract(vector, code.multiply(exponent, code.constant(_LOG_2_HIGH)))
    r = code.subtract(r, code.multiply(exponent, code.constant(_LOG_2_LOW)))
    return code.times_power_of_two(code.polynomial([1.0, 1.0, *_EXP], r), integer)


def logarithm(code: Code, vector: Value) -> Value:
    """Return log of values ≥ 1; the error is below 2e-16 + 4e-16 log.

    Parameters
    ----------
    code : Code
    vector : Value
    """
    m, exponent = code.split(vector, _BITS_OF_SQRT_HALF)
    # log m = 2 artanh f; f² < 0.03.
    f = code.divide(code.subtract(m, code.one), code.add(m, code.one))
    twice, square = code.add(f, f), code.multiply(f, f)
    tail = code.multiply(code.multiply(twice, square), code.polynomial(_ARTANH, square))
    tail = code.add(tail, code.multiply(exponent, code.constant(_LOG_2_LOW)))
    leading = code.multiply(exponent, code.constant(_LOG_2_HIGH))
    return code.add(leading, code.add(twice, tail))


@emitted
def subtract_logarithms(code: Code, values: Vectors, out: Vectors, i: Value) -> None:
    """Subtract log v_i, of as many values v_i ≥ 1 as a register holds.

    Parameters
    ----------
    code : Code
    values : Vectors of shape (n_values,)
        The v_i.
    out : Vectors of shape (n_values,)
        Subtracted from.
    i : int64
        The first of these values.
    """
    left = code.subtract(out.vector(i), logarithm(code, values.vector(i)))
    out.set_vector(left, i)


@emitted
def add_posterior(
    code: Code, log_joint: Vectors, weights: Vectors, shares: Vectors, sums: Vectors
) -> None:
    """Set w_i p(k | x_i) from log p(x_i, k); add up the entropies, log p(x_i), and the w_i.

    A row of the data is a column here. A row of which no value is finite has log evidence −inf.

    Parameters
    ----------
    code : Code
    log_joint, shares : Vectors of shape (n_components, width)
        log p(x_i, k), and w_i p(k | x_i), which is set. The width is a multiple of `LANES`.
    weights : Vectors of shape (width,)
        w_i.
    sums : Vectors of shape (3,)
        Σ_i w_i H[p(k | x_i)], Σ_i w_i log p(x_i) and Σ_i w_i; added to.
    """
    entropies, evidences, total_weight = Sum(code), Sum(code), Sum(code)
    n_components, lowest = log_joint.length(0), code.constant(_LOWEST)
    with code.rows(log_joint) as i:
        highest = Variable(code, code.constant(-math.inf))
        with code.steps(n_components, 1) as k:
            value = log_joint.vector(k, i)
            highest.set(code.select(code.is_above(value, highest.value), value, highest.value))

        total, product = Sum(code), Sum(code)
        with code.steps(n_components, 1) as k:
            below = code.subtract(log_joint.vector(k, i), highest.value)
            below = code.select(code.is_above(below, lowest), below, lowest)
            share = exponential(code, below)
            shares.set_vector(share, k, i)
            total.add(share)
            product.add_product(share, below)

        weight, inverse = weights.vector(i), code.divide(code.one, total.value)
        log_total = logarithm(code, total.value)
        mean = code.multiply(product.value, inverse)
        entropies.add_product(weight, code.subtract(log_total, mean))
        evidences.add_product(weight, code.add(highest.value, log_total))
        total_weight.add(weight)

        scale = code.multiply(weight, inverse)
        least = code.multiply(total.value, code.constant(NEGLIGIBLE_RESPONSIBILITY))
        with code.steps(n_components, 1) as k:
            share = shares.vector(k, i)
            is_negligible = code.is_above(least, share)
            weighted = code.multiply(share, scale)
            shares.set_vector(code.select(is_negligible, code.zero, weighted), k, i)
    for place, total in enumerate((entropies, evidences, total_weight)):
        sums.add_total(total.value, code.index(place))

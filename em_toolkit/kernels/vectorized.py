"""exp and log that vectorize, and the softmax that they are for.

NumPy's and the C library's exp take one number at a time on most machines, and would be half the
cost of an E-step with few features. These take as many as a register holds.
"""

from __future__ import annotations

import math

import numpy as np

from em_toolkit.families.base import NEGLIGIBLE_RESPONSIBILITY
from em_toolkit.kernels.compiling import bits_of_float, float_of_bits, in_order
from em_toolkit.statistics import Array

# exp(_LOWEST) is below NEGLIGIBLE_RESPONSIBILITY, and its exponent field does not underflow.
_LOWEST = -700.0

_LOG2_E = 1.0 / math.log(2.0)
# log 2 in two parts (Cody & Waite 1980), the first of so few digits that its product with an
# exponent is exact.
_LOG_2_HIGH = 6.93147180369123816490e-01
_LOG_2_LOW = 1.90821492927058770002e-10
_BITS_OF_SQRT_HALF = 0x3FE6A09E667F3BCD


# The range reductions of both functions are destroyed, silently, if sums are taken in any order.


@in_order
def exponential(value: float) -> float:
    """exp of a value in [−700, 0]; relative error below 4e-16."""
    exponent = np.floor(value * _LOG2_E + 0.5)
    r = (value - exponent * _LOG_2_HIGH) - exponent * _LOG_2_LOW
    # Taylor's series: |r| ≤ log(2)/2, and what is left out is below 2e-16.
    p = 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    # By way of 32 bits, for which every processor has the conversion.
    shift = np.int64(np.int32(exponent)) << np.int64(52)
    return float(float_of_bits(bits_of_float(p) + shift))


@in_order
def logarithm(value: float) -> float:
    """log of a value ≥ 1; error below 2e-16 + 4e-16 log."""
    bits = bits_of_float(value)
    # What is left of the value is in [√½, √2).
    shift = np.int32((bits - _BITS_OF_SQRT_HALF) >> np.int64(52))
    m = float_of_bits(bits - (np.int64(shift) << np.int64(52)))
    exponent = np.float64(shift)
    # log m = 2 artanh f by its series; f² < 0.03.
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    p = 1.0 / 21.0
    p = p * s + 1.0 / 19.0
    p = p * s + 1.0 / 17.0
    p = p * s + 1.0 / 15.0
    p = p * s + 1.0 / 13.0
    p = p * s + 1.0 / 11.0
    p = p * s + 1.0 / 9.0
    p = p * s + 1.0 / 7.0
    p = p * s + 1.0 / 5.0
    p = p * s + 1.0 / 3.0
    tail = 2.0 * f * (s * p) + exponent * _LOG_2_LOW
    return float(exponent * _LOG_2_HIGH + (2.0 * f + tail))


@in_order
def softmax(
    log_joint: Array, responsibilities: Array, log_evidence: Array, entropy: Array, scratch: Array
) -> None:
    """From log p(x_i, k): p(k | x_i), log p(x_i) and the entropy of p(k | x_i).

    A row of the data is a column here. A row of which no value is finite has log evidence −inf.

    Parameters
    ----------
    log_joint, responsibilities : ndarray of shape (n_components, n_rows)
    log_evidence, entropy : ndarray of shape (n_rows,)
    scratch : ndarray of shape (>= 2, n_rows)
    """
    n_components, n_rows = log_joint.shape
    highest, total = scratch[0], scratch[1]
    for i in range(n_rows):
        highest[i], total[i], entropy[i] = -np.inf, 0.0, 0.0
    for k in range(n_components):
        row = log_joint[k]
        for i in range(n_rows):
            highest[i] = row[i] if row[i] > highest[i] else highest[i]
    for k in range(n_components):
        row, share = log_joint[k], responsibilities[k]
        for i in range(n_rows):
            below = row[i] - highest[i]
            below = below if below > _LOWEST else _LOWEST
            value = exponential(below)
            share[i] = value
            total[i] += value
            entropy[i] += value * below
    for i in range(n_rows):
        log_total = logarithm(total[i])
        log_evidence[i] = highest[i] + log_total
        total[i] = 1.0 / total[i]
        entropy[i] = log_total - entropy[i] * total[i]
    for k in range(n_components):
        share = responsibilities[k]
        for i in range(n_rows):
            value = share[i] * total[i]
            share[i] = value if value >= NEGLIGIBLE_RESPONSIBILITY else 0.0

"""Instructions on vectors, for the innermost loops.

A loop over the rows of a panel vectorizes by itself, but a sum over features is then loaded and
stored again for every few of them, which is half of the time of a product. What is written with
these stays in the registers until it is complete, as in a tuned library's product of matrices.
Vectors are as wide as the registers of the processor at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from inspect import signature
from typing import Any

from numba import types
from numba.extending import intrinsic

from em_toolkit.kernels.internals import binding, cgutils, ir

_HAS_512_BITS = bool(binding.get_host_cpu_features().get("avx512f", False))

# Numbers in a register.
LANES = 8 if _HAS_512_BITS else 4
# Registers of rows in a tile: with four sums each, and what is added to them, they fill the 32
# registers of a processor with 512 bits, or the 16 of others.
DEPTH = 5 if _HAS_512_BITS else 3
ROWS_AT_ONCE = LANES * DEPTH

_DOUBLE, _INDEX, _LANE = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_INTEGERS = ir.VectorType(_INDEX, LANES)
_ZERO = ir.Constant(_VECTOR, [0.0] * LANES)
# Bits of a float64 behind its exponent.
_MANTISSA = 52
# Added to a number of a size below 2⁵¹, it leaves the nearest integer in the last bits.
_ROUNDER = 1.5 * 2.0**_MANTISSA
# A product may be fused with a sum.
_CONTRACT = ("contract",)

Value = Any


class Code:
    """Instructions on vectors, appended to a function that is being compiled."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context = context
        self.builder = builder

    def subtract(self, left: Value, right: Value) -> Value:
        return self.builder.fsub(left, right, flags=_CONTRACT)

    def multiply(self, left: Value, right: Value) -> Value:
        return self.builder.fmul(left, right, flags=_CONTRACT)

    def add(self, left: Value, right: Value) -> Value:
        return self.builder.fadd(left, right, flags=_CONTRACT)

    def divide(self, left: Value, right: Value) -> Value:
        return self.builder.fdiv(left, right, flags=_CONTRACT)

    def negative(self, vector: Value) -> Value:
        return self.builder.fsub(ir.Constant(_VECTOR, [-0.0] * LANES), vector)

    def is_missing(self, vector: Value) -> Value:
        """Return which numbers of a vector are NaN."""
        return self.builder.fcmp_unordered("uno", vector, vector)

    def select(self, condition: Value, left: Value, right: Value) -> Value:
        return self.builder.select(condition, left, right)

    @property
    def zero(self) -> Value:
        return _ZERO

    @property
    def one(self) -> Value:
        return self.constant(1.0)

    def constant(self, number: float) -> Value:
        """Return a vector of one number that is known beforehand."""
        return ir.Constant(_VECTOR, [number] * LANES)

    def is_above(self, left: Value, right: Value) -> Value:
        """Return which numbers of vectors are above others; none that is NaN, or beside one.

        Parameters
        ----------
        left, right : Value
        """
        return self.builder.fcmp_ordered(">", left, right)

    def polynomial(self, coefficients: Sequence[float], vector: Value) -> Value:
        """Return Σ_n c_n xⁿ, by Horner's rule.

        Parameters
        ----------
        coefficients : sequence of float
            c_0, c_1, ..., known beforehand.
        vector : Value
        """
        total = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = self.add(self.multiply(total, vector), self.constant(coefficient))
        return total

    def nearest_integer(self, vector: Value) -> tuple[Value, Value]:
        """Return the integers nearest to numbers below 2³¹ in size, as numbers and as integers."""
        shifted = self.add(vector, self.constant(_ROUNDER))
        bits = self.builder.bitcast(shifted, _INTEGERS)
        # The bits of the integer come last; those before them are of no use to anyone.
        return self.subtract(shifted, self.constant(_ROUNDER)), bits

    def times_power_of_two(self, vector: Value, exponent: Value) -> Value:
        """Return x 2ⁿ, where that neither over- nor underflows.

        Parameters
        ----------
        vector : Value
        exponent : Value
            A vector of integers n, of which only the last bits count.
        """
        bits = self.builder.bitcast(vector, _INTEGERS)
        bits = self.builder.add(bits, self.builder.shl(exponent, self._integers(_MANTISSA)))
        return self.builder.bitcast(bits, _VECTOR)

    def split(self, vector: Value, bits_of_least: int) -> tuple[Value, Value]:
        """Return m and n of positive x = m 2ⁿ, both as numbers.

        Parameters
        ----------
        vector : Value
        bits_of_least : int
            The bits of a number: m is between that and its double.
        """
        builder, mantissa = self.builder, self._integers(_MANTISSA)
        bits = builder.bitcast(vector, _INTEGERS)
        exponent = builder.ashr(builder.sub(bits, self._integers(bits_of_least)), mantissa)
        m = builder.bitcast(builder.sub(bits, builder.shl(exponent, mantissa)), _VECTOR)
        # By way of 32 bits, for which every processor has the conversion.
        short = builder.trunc(exponent, ir.VectorType(_LANE, LANES))
        return m, builder.sitofp(short, _VECTOR)

    def _integers(self, number: int) -> Value:
        return ir.Constant(_INTEGERS, [number] * LANES)

    def broadcast(self, number: Value) -> Value:
        """Return a vector of one number."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(_LANE, 0))
        lanes = ir.Constant(ir.VectorType(_LANE, LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def total(self, vector: Value) -> Value:
        """Return the sum of the numbers in a vector."""
        kind = ir.FunctionType(_DOUBLE, [_DOUBLE, _VECTOR])
        name = f"llvm.vector.reduce.fadd.v{LANES}f64"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        start = ir.Constant(_DOUBLE, 0.0)
        return self.builder.call(function, [start, vector], fastmath=("reassoc", "nsz"))

    def transposed(self, rows: list[Value]) -> list[Value]:
        """Return the columns of `LANES` vectors, by exchanging ever smaller blocks of them."""
        size = LANES // 2
        while size:
            for r in range(LANES):
                if not r & size:
                    upper, lower = rows[r], rows[r + size]
                    # Where a lane is in the other half of a pair of blocks, it comes from there.
                    kept = [n + LANES - size if n & size else n for n in range(LANES)]
                    moved = [n + LANES if n & size else n + size for n in range(LANES)]
                    rows[r] = self._shuffled(upper, lower, kept)
                    rows[r + size] = self._shuffled(upper, lower, moved)
            size //= 2
        return rows

    def _shuffled(self, left: Value, right: Value, places: list[int]) -> Value:
        """Return numbers of two vectors, those of the second counted after those of the first."""
        mask = ir.Constant(ir.VectorType(_LANE, LANES), places)
        return self.builder.shuffle_vector(left, right, mask)

    def is_below(self, index: Value, stop: Value) -> AbstractContextManager[Any]:
        """Do what follows if an index is below another.

        Parameters
        ----------
        index, stop : Value
        """
        return self.builder.if_then(self.builder.icmp_signed("<", index, stop))

    def index(self, number: int) -> Value:
        return ir.Constant(_INDEX, number)

    def multiple_below(self, index: Value, divisor: int) -> Value:
        """Return the largest multiple of a divisor that is no larger than an index.

        Parameters
        ----------
        index : Value
        divisor : int
            A power of two.
        """
        return self.builder.and_(index, self.index(-divisor))

    def after(self, index: Value, count: int) -> list[Value]:
        """Return index, index + 1, ..., so many.

        Parameters
        ----------
        index : Value
        count : int
        """
        return [self.builder.add(index, self.index(number)) for number in range(count)]

    def sums(self, left: list[Value], right: list[Value]) -> list[Value]:
        return [self.builder.add(*pair) for pair in zip(left, right, strict=True)]

    def registers(self, row: Value, depth: int = DEPTH) -> list[Value]:
        """Return the first rows of registers that follow each other.

        Parameters
        ----------
        row : Value
            The first row of the first register.
        depth : int, optional
            How many registers.
        """
        return [self.builder.add(row, self.index(LANES * number)) for number in range(depth)]

    @contextmanager
    def steps(self, stop: Value, step: int) -> Iterator[Value]:
        """Loop over 0, step, 2 step, ... below stop.

        Parameters
        ----------
        stop : Value
        step : int
        """
        zero, stride = ir.Constant(_INDEX, 0), ir.Constant(_INDEX, step)
        loop = cgutils.for_range_slice(self.builder, zero, stop, stride, intp=_INDEX)
        with loop as (index, _):
            yield index

    def rows(self, panel: Vectors) -> AbstractContextManager[Value]:
        """Loop over the rows of a panel, as many as a register holds at a time."""
        return self.steps(panel.length(1), LANES)


class Variable:
    """A vector that a loop replaces; the compiler finds it a register."""

    def __init__(self, code: Code, start: Value) -> None:
        self._code = code
        self._place = cgutils.alloca_once(code.builder, _VECTOR)
        self.set(start)

    @property
    def value(self) -> Value:
        return self._code.builder.load(self._place)

    def set(self, vector: Value) -> None:
        self._code.builder.store(vector, self._place)


class Sum(Variable):
    """A vector to which a loop adds."""

    def __init__(self, code: Code) -> None:
        super().__init__(code, _ZERO)

    def add(self, vector: Value) -> None:
        self.set(self._code.add(self.value, vector))

    def add_product(self, left: Value, right: Value) -> None:
        self.add(self._code.multiply(left, right))

    def multiply(self, vector: Value) -> None:
        self.set(self._code.multiply(self.value, vector))


class Vectors:
    """A C-contiguous array of numbers; float64 is read and written a vector at a time."""

    def __init__(self, code: Code, kind: Any, value: Value) -> None:
        self._code = code
        array = code.context.make_array(kind)(code.context, code.builder, value)
        self._data = array.data
        self._lengths = cgutils.unpack_tuple(code.builder, array.shape)

    def length(self, axis: int) -> Value:
        return self._lengths[axis]

    def number(self, *indices: Value) -> Value:
        return self._code.builder.load(self._place(indices))

    def broadcast(self, *indices: Value) -> Value:
        return self._code.broadcast(self.number(*indices))

    def vector(self, *indices: Value) -> Value:
        return self._code.builder.load(self._vector_place(indices), align=8)

    def set_vector(self, value: Value, *indices: Value) -> None:
        self._code.builder.store(value, self._vector_place(indices), align=8)

    def numbers(self, row: Value, columns: list[Value]) -> list[Value]:
        """Return numbers of a row, one by one.

        Parameters
        ----------
        row : Value
        columns : list of Value
        """
        return [self.number(row, column) for column in columns]

    def at(self, indices: list[Value]) -> list[Value]:
        """Return numbers of an array of one dimension, one by one."""
        return [self.number(index) for index in indices]

    def multiples(self, rows: list[Value]) -> list[Value]:
        """Return the places in memory where rows of a matrix begin."""
        return [self._code.builder.mul(row, self._lengths[1]) for row in rows]

    def gathered(self, places: list[Value]) -> Value:
        """Return a vector of the numbers at these places in memory."""
        builder, vector = self._code.builder, ir.Constant(_VECTOR, ir.Undefined)
        for lane, place in enumerate(places):
            number = builder.load(builder.gep(self._data, [place]))
            vector = builder.insert_element(vector, number, ir.Constant(_LANE, lane))
        return vector

    def scatter(self, vector: Value, places: list[Value]) -> None:
        """Store the numbers of a vector in memory.

        Parameters
        ----------
        vector : Value
        places : list of Value
            The place of each number, counted from the beginning of the array.
        """
        builder = self._code.builder
        for lane, place in enumerate(places):
            number = builder.extract_element(vector, ir.Constant(_LANE, lane))
            builder.store(number, builder.gep(self._data, [place]))

    def add_scattered(self, vector: Value, places: list[Value]) -> None:
        """Add the numbers of a vector, one after the other, to numbers in memory.

        Parameters
        ----------
        vector, places
            As in `scatter`.
        """
        builder = self._code.builder
        for lane, place in enumerate(places):
            number = builder.extract_element(vector, ir.Constant(_LANE, lane))
            pointer = builder.gep(self._data, [place])
            builder.store(self._code.add(builder.load(pointer), number), pointer)

    def add_total(self, vector: Value, *indices: Value) -> None:
        """Add the sum of a vector to a number."""
        builder, place = self._code.builder, self._place(indices)
        builder.store(self._code.add(builder.load(place), self._code.total(vector)), place)

    def _place(self, indices: tuple[Value, ...]) -> Value:
        builder, offset = self._code.builder, indices[0]
        for length, index in zip(self._lengths[1:], indices[1:], strict=True):
            offset = builder.add(builder.mul(offset, length), index)
        return builder.gep(self._data, [offset])

    def _vector_place(self, indices: tuple[Value, ...]) -> Value:
        return self._code.builder.bitcast(self._place(indices), _VECTOR.as_pointer())


def emitted(emit: Callable[..., None]) -> Any:
    """Return a function for compiled code, from one that writes it.

    `emit` is given the code to append to, and a `Vectors` or an index for each argument.
    """

    def declare(_: Any, *kinds: Any) -> Any:
        def generate(context: Any, builder: Any, typed: Any, values: Any) -> Any:
            code = Code(context, builder)
            arguments = [
                Vectors(code, kind, value) if isinstance(kind, types.Array) else value
                for kind, value in zip(typed.args, values, strict=True)
            ]
            emit(code, *arguments)
            return context.get_dummy_value()

        given = [kind if isinstance(kind, types.Array) else types.int64 for kind in kinds]
        return types.none(*given), generate

    # The compiler asks how many arguments there are; the first of `emit` stands for the context.
    declare.__signature__ = signature(emit)  # type: ignore[attr-defined]
    return intrinsic(declare)

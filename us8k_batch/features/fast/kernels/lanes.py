"""Eight float32 numbers side by side, as a numba type with arithmetic.

Kernels that compute eight frames at once are written with these like scalar code, and LLVM turns each operation
into one or two instructions of whatever the machine has (AVX, SSE, NEON). Plain loops over a trailing axis of eight
are not enough: LLVM cannot prove that the rows of a butterfly lie apart, and the loops were 4 to 8 times slower.
"""

# ruff: noqa: ARG001, PLW0108
# Numba reads the arguments' names, wants a Python function from an overload, and has no types.
# mypy: disable-error-code="misc, untyped-decorator"

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, make_attribute_wrapper, models, overload, register_model

from us8k_batch.features.fast.fft import LANES

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INDICES = ir.IntType(32)
_MAY_FUSE = ("contract",)
"""A product and a sum may be rounded once; nothing else may change, and NaN and infinity stay what they are."""
_LOG_SERIES = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
"""Of (ln(1 + x) - x + x**2 / 2) / x**3, highest power first; from Moshier's Cephes library, logf."""
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_RECIPROCAL_BITS = 0x7EF311C7
"""Less the bits of a float32, those of about its reciprocal."""
_SQRT_HALF_BITS = 0x3F3504F3
"""The float32 next to the square root of 1/2, as an integer."""


class _Lanes(types.Type):
    """Eight float32 numbers."""


class _ComplexLanes(types.Type):
    """Eight complex64 numbers, the real parts and the imaginary parts each side by side."""


Lanes = Any
"""What a kernel holds eight numbers in; only numba knows the type."""

lanes = _Lanes("lanes")
complex_lanes = _ComplexLanes("complex_lanes")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(_ComplexLanes)
class _ComplexLanesModel(models.StructModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [("real", lanes), ("imag", lanes)])


make_attribute_wrapper(_ComplexLanes, "real", "real")
make_attribute_wrapper(_ComplexLanes, "imag", "imag")


# --- making, loading and storing ---


@intrinsic
def pair(_context: Any, real: Any, imag: Any) -> Any:
    """Join real and imaginary parts."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = cgutils.create_struct_proxy(complex_lanes)(context, builder)
        made.real, made.imag = arguments
        return made._getvalue()

    return complex_lanes(lanes, lanes), generate


@intrinsic
def spread(_context: Any, value: Any) -> Any:
    """Put one float32 into every lane."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], ir.Constant(_INDICES, 0))
        return builder.shuffle_vector(first, nothing, _pick([0] * LANES))

    return lanes(types.float32), generate


@intrinsic
def load(_context: Any, array: Any, start: Any) -> Any:
    """Read eight neighbours of a flat float32 array, from any place in it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *arguments), align=4)

    return lanes(array, types.intp), generate


@intrinsic
def store(_context: Any, array: Any, start: Any, value: Any) -> Any:
    """Write eight neighbours of a flat float32 array, at any place in it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, start, value = arguments
        builder.store(value, _address(context, builder, signature.args[0], target, start), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def load_columns(_context: Any, array: Any, start: Any, distance: Any) -> Any:
    """Read eight neighbours at each of eight places, `distance` apart; result `i` holds the places' `i`-th."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, start, distance = arguments
        rows = []
        for _ in range(LANES):
            rows.append(builder.load(_address(context, builder, signature.args[0], source, start), align=4))
            start = builder.add(start, distance)
        return context.make_tuple(builder, signature.return_type, _transpose(builder, rows))

    return types.UniTuple(lanes, LANES)(array, types.intp, types.intp), generate


@intrinsic
def store_columns(_context: Any, array: Any, start: Any, distance: Any, columns: Any) -> Any:
    """Undo `load_columns`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, start, distance, columns = arguments
        for row in _transpose(builder, cgutils.unpack_tuple(builder, columns, LANES)):
            builder.store(row, _address(context, builder, signature.args[0], target, start), align=4)
            start = builder.add(start, distance)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.UniTuple(lanes, LANES)), generate


def _address(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    first = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(first, [start]), _VECTOR.as_pointer())


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose eight by eight in three rounds of shuffles, as the hardware likes them."""

    def join(left: Any, right: Any, indices: list[int]) -> Any:
        return builder.shuffle_vector(left, right, _pick(indices))

    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    twos = [join(rows[i], rows[i + 1], which) for i in (0, 2, 4, 6) for which in (low, high)]
    low, high = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    fours = [join(twos[i], twos[i + 2], which) for i in (0, 1, 4, 5) for which in (low, high)]
    low, high = [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]
    return [join(fours[i], fours[i + 4], which) for which in (low, high) for i in range(4)]


def _pick(indices: list[int]) -> Any:
    return ir.Constant(ir.VectorType(_INDICES, LANES), indices)


# --- arithmetic ---


def _lane_by_lane(generate: Any) -> Any:
    """Make a function of two times eight numbers from what builds it for vectors."""

    @intrinsic
    def function(_context: Any, left: Any, right: Any) -> Any:
        return lanes(lanes, lanes), lambda _c, builder, _s, arguments: generate(builder, *arguments)

    return function


_add = _lane_by_lane(lambda builder, left, right: builder.fadd(left, right, flags=_MAY_FUSE))
_subtract = _lane_by_lane(lambda builder, left, right: builder.fsub(left, right, flags=_MAY_FUSE))
_multiply = _lane_by_lane(lambda builder, left, right: builder.fmul(left, right, flags=_MAY_FUSE))
maximum = _lane_by_lane(
    lambda builder, left, right: builder.select(builder.fcmp_ordered(">", left, right), left, right)
)


def _build_reciprocal(builder: Any, value: Any, limit: Any) -> Any:
    integers = ir.VectorType(_INDICES, LANES)
    bits = builder.sub(ir.Constant(integers, [_RECIPROCAL_BITS] * LANES), builder.bitcast(value, integers))
    above = builder.fcmp_ordered(">", value, limit)
    return builder.select(above, builder.bitcast(bits, _VECTOR), ir.Constant(_VECTOR, [0.0] * LANES))


reciprocal_above = _lane_by_lane(_build_reciprocal)
"""One over positive numbers, to within an eighth and without a division; 0 for what is not above a limit."""


@intrinsic
def total(_context: Any, value: Any) -> Any:
    """Sum the eight numbers."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        for distance in (4, 2, 1):
            moved = builder.shuffle_vector(value, value, _pick([(i + distance) % LANES for i in range(LANES)]))
            value = builder.fadd(value, moved)
        return builder.extract_element(value, ir.Constant(_INDICES, 0))

    return types.float32(lanes), generate


@intrinsic
def largest(_context: Any, value: Any) -> Any:
    """Find the largest of the eight numbers."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        for distance in (4, 2, 1):
            moved = builder.shuffle_vector(value, value, _pick([(i + distance) % LANES for i in range(LANES)]))
            value = builder.select(builder.fcmp_ordered(">", value, moved), value, moved)
        return builder.extract_element(value, ir.Constant(_INDICES, 0))

    return types.float32(lanes), generate


@intrinsic
def logarithm(_context: Any, value: Any) -> Any:
    """Compute the natural logarithm of positive, normal numbers, to about the last bit of float32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(_INDICES, LANES)

        def whole(number: int) -> Any:
            return ir.Constant(integers, [number] * LANES)

        def real(number: float) -> Any:
            return ir.Constant(_VECTOR, [float(np.float32(number))] * LANES)

        def fused(left: Any, right: Any, added: Any) -> Any:
            return builder.fadd(builder.fmul(left, right, flags=_MAY_FUSE), added, flags=_MAY_FUSE)

        # value = mantissa * 2**exponent, with the mantissa between the square roots of 1/2 and 2.
        above = builder.sub(builder.bitcast(arguments[0], integers), whole(_SQRT_HALF_BITS))
        exponent = builder.sitofp(builder.ashr(above, whole(23)), _VECTOR)
        mantissa = builder.add(builder.and_(above, whole(0x7FFFFF)), whole(_SQRT_HALF_BITS))
        x = builder.fsub(builder.bitcast(mantissa, _VECTOR), real(1))
        series = real(_LOG_SERIES[0])
        for coefficient in _LOG_SERIES[1:]:
            series = fused(series, x, real(coefficient))
        square = builder.fmul(x, x)
        small = fused(exponent, real(_LN2_LOW), builder.fmul(builder.fmul(series, x), square))
        small = builder.fsub(small, builder.fmul(square, real(0.5)))
        return fused(exponent, real(_LN2_HIGH), builder.fadd(x, small))

    return lanes(lanes), generate


@overload(operator.add, strict=False)
def _overload_add(left: Any, right: Any) -> Any:
    if left is lanes and right is lanes:
        return lambda left, right: _add(left, right)
    if left is complex_lanes and right is complex_lanes:
        return lambda left, right: pair(_add(left.real, right.real), _add(left.imag, right.imag))
    return None


@overload(operator.sub, strict=False)
def _overload_subtract(left: Any, right: Any) -> Any:
    if left is lanes and right is lanes:
        return lambda left, right: _subtract(left, right)
    if left is complex_lanes and right is complex_lanes:
        return lambda left, right: pair(_subtract(left.real, right.real), _subtract(left.imag, right.imag))
    return None


@overload(operator.mul, strict=False)
def _overload_multiply(left: Any, right: Any) -> Any:
    if left is lanes and right is lanes:
        return lambda left, right: _multiply(left, right)
    if left is types.float32 and right is lanes:
        return lambda left, right: _multiply(spread(left), right)
    if left is types.complex64 and right is complex_lanes:

        def multiply(left: Any, right: Any) -> Any:
            real, imag = spread(left.real), spread(left.imag)
            return pair(
                _subtract(_multiply(real, right.real), _multiply(imag, right.imag)),
                _add(_multiply(real, right.imag), _multiply(imag, right.real)),
            )

        return multiply
    return None

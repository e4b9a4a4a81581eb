"""Unpack in a kernel what `fast.words` packed."""

# mypy: disable-error-code="misc, untyped-decorator"

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

_WORD = ir.IntType(64)
WORDS = types.CPointer(types.int64)
"""What a kernel gets instead of a tuple."""


def unpacker(kind: Any) -> Callable[[Any], Any]:
    """Make the function that turns words into a value of one numba type: a tuple, an array or a number."""

    @intrinsic
    def unpack(_context: Any, _words: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return _read(context, builder, _words_from(builder, arguments[0]), kind)

        return kind(WORDS), generate

    return unpack  # type: ignore[no-any-return]


def _words_from(builder: Any, start: Any) -> Iterator[Any]:
    """Load one word after the other."""
    number = 0
    while True:
        yield builder.load(builder.gep(start, [ir.Constant(_WORD, number)]))
        number += 1


def _read(context: Any, builder: Any, words: Iterator[Any], kind: Any) -> Any:
    if isinstance(kind, types.BaseTuple):
        return context.make_tuple(builder, kind, [_read(context, builder, words, field) for field in kind.types])
    if isinstance(kind, types.Array):
        return _read_array(context, builder, words, kind)
    if isinstance(kind, types.Float):
        value = builder.bitcast(next(words), ir.DoubleType())
        return value if kind == types.float64 else builder.fptrunc(value, context.get_value_type(kind))
    if kind != types.int64:
        raise TypeError(f"a value of type {kind}; expected int64")
    return next(words)


def _read_array(context: Any, builder: Any, words: Iterator[Any], kind: Any) -> Any:
    if kind.layout != "C":
        raise TypeError(f"an array of type {kind}; expected a C-contiguous one")
    array = make_array(kind)(context, builder)
    data = builder.inttoptr(next(words), array.data.type)
    shape = [next(words) for _ in range(kind.ndim)]
    size = ir.Constant(_WORD, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    strides = [size]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return array._getvalue()

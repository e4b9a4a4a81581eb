"""Words for machine code: what is packed in Python is unpacked in a kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

from us8k_batch.features.fast.kernels.entries import compile_object
from us8k_batch.features.fast.kernels.unpack import unpacker
from us8k_batch.features.fast.object_code import BROKEN, ObjectCode
from us8k_batch.features.fast.words import address_of, pack


class Inner(NamedTuple):
    """A tuple in a tuple."""

    numbers: Any
    distance: float


class Outer(NamedTuple):
    """Everything that can be packed."""

    first: int
    inner: Inner
    bytes: Any
    cosines: Any
    factor: np.float32


def make_outer() -> Outer:
    """Make a value whose parts all differ."""
    cosines = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    inner = Inner(np.array([[2 + 3j, 4 - 5j]], dtype=np.complex64), 1 / 3)
    return Outer(-(2**60) - 1, inner, np.arange(5, dtype=np.uint8), cosines, np.float32(0.1))


@pytest.fixture(scope="module")
def functions() -> dict[str, Callable[..., int]]:
    """Compile functions that tell what they were given."""
    unpack = unpacker(numba.typeof(make_outer()))

    def first(words: Any) -> int:
        return unpack(words).first

    def fits(words: Any) -> int:
        value = unpack(words)
        return int(value.inner.distance == 1 / 3 and value.factor == np.float32(0.1))

    def numbers(words: Any) -> int:
        return int(unpack(words).inner.numbers[0, 1].imag)

    def cosines(words: Any) -> int:
        values = unpack(words).cosines
        return int(values[1, 2, 3] + 100 * values[0, 1, 0] + 10_000 * values.shape[1])

    def write(words: Any) -> int:
        values = unpack(words).bytes
        for i in range(len(values)):
            values[i] += 1
        return len(values)

    def reshape(words: Any) -> int:
        return len(unpack(words).bytes[:3].view(np.int16))

    made = {"first": first, "fits": fits, "numbers": numbers, "cosines": cosines, "write": write, "reshape": reshape}
    code = ObjectCode(compile_object(made))
    return {name: code.function(name, 1) for name in made}


def test_every_kind_of_value_arrives(functions: dict[str, Callable[..., int]]) -> None:
    """Numbers, tuples and arrays of several dimensions are what they were; arrays are the same memory."""
    packed = pack(make_outer())
    assert packed.layout == "i,<c8 2,f,|u1 1,<f4 3,f"
    assert functions["first"](packed.address) == -(2**60) - 1
    assert functions["fits"](packed.address) == 1
    assert functions["numbers"](packed.address) == -5
    assert functions["cosines"](packed.address) == 23 + 400 + 30_000
    assert functions["write"](packed.address) == 5
    assert packed.values.bytes.tolist() == [1, 2, 3, 4, 5]


def test_what_is_refilled_arrives(functions: dict[str, Callable[..., int]]) -> None:
    """Other values in the place of those that were packed, which is as long as it was."""
    packed = pack(make_outer())
    words, other = list(packed._words), np.array([7, 8, 9], dtype=np.uint8)
    words[5:7] = address_of(other), len(other)
    packed.refill(other, *words)
    assert functions["write"](packed.address) == 3
    assert other.tolist() == [8, 9, 10]
    with pytest.raises(ValueError, match="2 words; expected 12, for i,<c8 2,f"):
        packed.refill(other, 1, 2)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))])
@pytest.mark.parametrize("first", [0, 3])
def test_memory_is_found_whatever_holds_it(kind: Callable[[bytes], Any], first: int) -> None:
    """Read-only or not, from its beginning or from a place in it."""
    held = memoryview(kind(b"0123456789"))[first:]
    assert ctypes.string_at(address_of(held), len(held)) == bytes(held)
    assert ctypes.string_at(address_of(np.frombuffer(held, np.uint8)), len(held)) == bytes(held)


def test_what_numba_would_raise(functions: dict[str, Callable[..., int]]) -> None:
    """An exception in a kernel becomes a return value that is told from all others."""
    assert functions["reshape"](pack(make_outer()).address) == BROKEN


def test_numpys_numbers_are_numbers() -> None:
    """A whole number is never taken for a float, whoever made it."""
    assert pack((np.int64(3), 3, np.float32(3), 3.0)).layout == "i,i,f,f"
    with pytest.raises(TypeError, match="a str; expected arrays and numbers"):
        pack((1, "2"))


@pytest.mark.parametrize("values", [np.arange(8)[::2], np.zeros((3, 4)).T, np.zeros(9, np.uint8)[1:].view(np.int64)])
def test_arrays_that_a_kernel_would_misread(values: Any) -> None:
    """Arrays with gaps, in another order, or between two words, are refused."""
    with pytest.raises(ValueError, match="expected a C-contiguous, aligned one"):
        pack(values)


def test_machine_code_that_does_not_run_alone() -> None:
    """A kernel that needs something of numba's or Python's is refused when it is compiled, not when it is loaded."""
    unpack = unpacker(numba.int64)

    def allocate(words: Any) -> int:
        return int(np.sqrt(unpack(words)))

    with pytest.raises(RuntimeError, match="the kernels call sqrt; expected machine code that runs alone"):
        compile_object({"allocate": allocate})


def test_a_function_that_is_not_there(functions: dict[str, Callable[..., int]]) -> None:
    """A name that is not in the code is told, instead of being called."""
    code = ObjectCode(compile_object({}))
    with pytest.raises(LookupError, match="no function extract"):
        code.function("extract", 5)

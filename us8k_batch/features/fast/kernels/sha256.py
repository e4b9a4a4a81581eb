"""SHA-256 (FIPS 180-4) of two messages at once.

The processor's own instructions take four cycles for two rounds, and each needs the result of the last: alone, a
message leaves them idle most of the time. Numba has no name for them, so the compression is written as LLVM's.
"""

# mypy: disable-error-code="misc, untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

from us8k_batch.features.fast.kernels.jit import inlined, kernel
from us8k_batch.features.fast.object_code import name_processor
from us8k_batch.features.fast.sha256 import BLOCK, CONSTANTS, ORDER, START, HashWork

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_FOUR = ir.VectorType(_I32, 4)
_BYTES = ir.VectorType(ir.IntType(8), 16)
_MESSAGES = 2
"""Three would not be faster: sixteen registers do not hold what they need."""
_QUADS = 16
"""Groups of four rounds."""
_WORDS = len(ORDER)
_LENGTH = 8
"""Bytes of a message's length in bits, which end its last block."""
_MARK = 0x80
"""What comes after a message: one bit that is set."""
_START, _ORDER = tuple(START), tuple(ORDER)


def supported() -> bool:
    """Tell whether this processor has the instructions."""
    return "+sha" in name_processor()[1].split(",")


@kernel
def hash_pair(one: NDArray[np.uint8], other: NDArray[np.uint8], work: HashWork) -> None:
    """Compute the digests of two messages of any lengths."""
    states, endings, digests = work.states, work.endings, work.digests
    for message in range(_MESSAGES):
        for i in range(_WORDS):
            states[message, i] = _START[_ORDER[i]]
    _take(states, one, len(one) // BLOCK, other, len(other) // BLOCK)
    n_one, n_other = _end(one, endings[0]), _end(other, endings[1])
    _take(states, endings[0], n_one, endings[1], n_other)
    for message in range(_MESSAGES):
        for i in range(_WORDS):
            at = 4 * (_WORDS * message + _ORDER[i])
            for byte in range(4):
                digests[at + byte] = states[message, i] >> np.uint32(24 - 8 * byte)


@inlined
def _take(
    states: NDArray[np.uint32], one: NDArray[np.uint8], n_one: int, other: NDArray[np.uint8], n_other: int
) -> None:
    """Take whole blocks of both messages."""
    both = min(n_one, n_other)
    _compress(states, 0, one.ctypes.data, other.ctypes.data, both)
    _take_rest(states, 0, one.ctypes.data + both * BLOCK, n_one - both)
    _take_rest(states, 1, other.ctypes.data + both * BLOCK, n_other - both)


@inlined
def _take_rest(states: NDArray[np.uint32], message: int, address: int, n_blocks: int) -> None:
    """Take what is left of the longer message, twice: that takes as long as once."""
    if n_blocks > 0:
        for i in range(_WORDS):
            states[_MESSAGES, i] = states[message, i]
            states[_MESSAGES + 1, i] = states[message, i]
        _compress(states, _MESSAGES, address, address, n_blocks)
        for i in range(_WORDS):
            states[message, i] = states[_MESSAGES, i]


@inlined
def _end(message: NDArray[np.uint8], ending: NDArray[np.uint8]) -> int:
    """Lay a message's last blocks: what is left of it, a mark, and its length in bits; return how many."""
    rest = len(message) % BLOCK
    n_blocks = 1 if rest + 1 + _LENGTH <= BLOCK else 2
    for i in range(rest):
        ending[i] = message[len(message) - rest + i]
    ending[rest] = _MARK
    for i in range(rest + 1, n_blocks * BLOCK):
        ending[i] = 0
    for i in range(_LENGTH):
        ending[n_blocks * BLOCK - 1 - i] = (8 * len(message)) >> (8 * i) & 0xFF
    return n_blocks


@kernel
def _compress(states: NDArray[np.uint32], first: int, one: int, other: int, n_blocks: int) -> None:
    """Take blocks at two addresses into the states from number `first` on."""
    _compress_words(states, first, one, other, n_blocks)


@intrinsic
def _compress_words(_context: Any, states: Any, _first: Any, _one: Any, _other: Any, _n_blocks: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, first, one, other, count = arguments
        words = make_array(signature.args[0])(context, builder, array).data
        state = builder.bitcast(builder.gep(words, [builder.mul(first, _I64(_WORDS))]), _FOUR.as_pointer())
        _build_loop(builder, state, [one, other], count)
        return context.get_dummy_value()

    return types.void(states, *[types.int64] * 4), generate


def _build_loop(builder: Any, states: Any, messages: list[Any], count: Any) -> None:
    """Build the loop over blocks of messages."""
    start = builder.block
    loop, end = builder.append_basic_block("blocks"), builder.append_basic_block("taken")
    places = [builder.gep(states, [_I64(half)]) for half in range(2 * _MESSAGES)]
    before = [builder.load(place, align=4) for place in places]
    builder.cbranch(builder.icmp_signed(">", count, _I64(0)), loop, end)

    builder.position_at_end(loop)
    offset = _phi(builder, _I64, _I64(0), start)
    halves = [_phi(builder, _FOUR, value, start) for value in before]
    after = _Rounds(builder).compress([builder.add(message, offset) for message in messages], halves)
    following = builder.add(offset, _I64(BLOCK))
    for phi, value in zip([offset, *halves], [following, *after], strict=True):
        phi.add_incoming(value, loop)
    more = builder.icmp_signed("<", following, builder.mul(count, _I64(BLOCK)))
    builder.cbranch(more, loop, end)

    builder.position_at_end(end)
    results = [_phi(builder, _FOUR, value, start) for value in before]
    for phi, value, place in zip(results, after, places, strict=True):
        phi.add_incoming(value, loop)
        builder.store(phi, place, align=4)


class _Rounds:
    """The 64 rounds of one block of each message, message by message within every four rounds."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self._two_rounds, self._schedule_1, self._schedule_2 = (
            cgutils.get_or_insert_function(builder.module, ir.FunctionType(_FOUR, [_FOUR] * n), f"llvm.x86.{name}")
            for name, n in (("sha256rnds2", 3), ("sha256msg1", 2), ("sha256msg2", 2))
        )

    def compress(self, addresses: list[Any], halves: list[Any]) -> list[Any]:
        """Return the states, two halves of each, after the blocks at these addresses."""
        builder = self._builder
        blocks = [[self._load(address, 16 * i) for i in range(4)] for address in addresses]
        now = list(halves)
        for quad in range(_QUADS):
            constants = ir.Constant(_FOUR, [_I32(value) for value in CONSTANTS[4 * quad : 4 * quad + 4]])
            for lane, block in enumerate(blocks):
                first, second = 2 * lane, 2 * lane + 1
                summed = builder.add(block[quad % 4], constants)
                now[second] = builder.call(self._two_rounds, [now[second], now[first], summed])
                upper = builder.shuffle_vector(summed, summed, _places(2, 3, 0, 0))
                now[first] = builder.call(self._two_rounds, [now[first], now[second], upper])
                if quad < _QUADS - 4:
                    block[quad % 4] = self._schedule(*(block[(quad + i) % 4] for i in range(4)))
        return [builder.add(old, new) for old, new in zip(halves, now, strict=True)]

    def _schedule(self, a: Any, b: Any, c: Any, d: Any) -> Any:
        """Return the four words of the message schedule that come after these sixteen."""
        builder = self._builder
        partly = builder.call(self._schedule_1, [a, b])
        middle = builder.shuffle_vector(c, d, _places(1, 2, 3, 4))
        return builder.call(self._schedule_2, [builder.add(partly, middle), d])

    def _load(self, address: Any, offset: int) -> Any:
        """Load four words, which are big-endian in a message."""
        builder = self._builder
        place = builder.inttoptr(builder.add(address, _I64(offset)), _BYTES.as_pointer())
        swap = _places(*(4 * word + byte for word in range(4) for byte in (3, 2, 1, 0)))
        value = builder.load(place, align=1)
        return builder.bitcast(builder.shuffle_vector(value, value, swap), _FOUR)


def _phi(builder: ir.IRBuilder, kind: Any, value: Any, block: Any) -> Any:
    phi = builder.phi(kind)
    phi.add_incoming(value, block)
    return phi


def _places(*places: int) -> Any:
    return ir.Constant(ir.VectorType(_I32, len(places)), list(places))

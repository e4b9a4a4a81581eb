"""The compression function of SHA-256 (FIPS 180-4), of two messages at once.

The processor's own instructions take four cycles for two rounds, and each needs the result of the last: alone, a
message leaves them idle most of the time. Numba has no name for them, so the function is written as LLVM's.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from us8k_batch.features.fast.object_code import name_processor
from us8k_batch.features.fast.sha256 import BLOCK, CONSTANTS

NAME = "hash_blocks"
LAYOUTS = ["<u4 2", "<i8 1", "<i8 1"]
"""Of its arguments: states, shape (2, 8), in `sha256.ORDER`; addresses of the messages; blocks to take of each."""

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_FOUR = ir.VectorType(_I32, 4)
_BYTES = ir.VectorType(ir.IntType(8), 16)
_MESSAGES = 2
"""Three would not be faster: sixteen registers do not hold what they need."""
_QUADS = 16
"""Groups of four rounds."""


def supported() -> bool:
    """Tell whether this processor has the instructions."""
    return "+sha" in name_processor()[1].split(",")


def add_hash_blocks(module: ir.Module) -> None:
    """Add the function to a module, for processors that have the instructions."""
    words = _I64.as_pointer()
    function = ir.Function(module, ir.FunctionType(_I64, [words] * len(LAYOUTS)), NAME)
    start, loop, end = (function.append_basic_block(name) for name in ("start", "loop", "end"))
    builder = ir.IRBuilder(start)
    # Each argument is an array's address and shape.
    states, addresses, counts = (builder.inttoptr(builder.load(argument), words) for argument in function.args)
    messages = [builder.load(builder.gep(addresses, [_I64(i)])) for i in range(_MESSAGES)]
    count = builder.load(counts)
    whole = builder.bitcast(states, _FOUR.as_pointer())
    places = [builder.gep(whole, [_I64(half)]) for half in range(2 * _MESSAGES)]
    before = [builder.load(place, align=4) for place in places]
    builder.cbranch(builder.icmp_signed(">", count, _I64(0)), loop, end)

    builder.position_at_end(loop)
    offset = _phi(builder, _I64, _I64(0), start)
    halves = [_phi(builder, _FOUR, value, start) for value in before]
    after = _Rounds(module, builder).compress([builder.add(message, offset) for message in messages], halves)
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
    builder.ret(_I64(1))


class _Rounds:
    """The 64 rounds of one block of each message, message by message within every four rounds."""

    def __init__(self, module: ir.Module, builder: ir.IRBuilder) -> None:
        self._builder = builder
        self._two_rounds, self._schedule_1, self._schedule_2 = (
            ir.Function(module, ir.FunctionType(_FOUR, [_FOUR] * n), f"llvm.x86.{name}")
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

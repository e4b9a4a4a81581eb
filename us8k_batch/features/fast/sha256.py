"""The sha256 of two clips at once, in half the time that one after the other takes."""

from __future__ import annotations

import hashlib
import itertools
import logging
import operator
import struct
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from us8k_batch.features.fast.words import address_of, pack

if TYPE_CHECKING:
    from us8k_batch.features.fast.library import Library

logger = logging.getLogger(__name__)

ORDER = [5, 4, 1, 0, 7, 6, 3, 2]
"""Places in a digest of the words of a state as the processor's instructions want them: F E B A, H G D C."""
BLOCK = 64
"""Bytes that are taken in at a time."""
LARGE = 4 << 20
"""Bytes of a clip that is better hashed alone than kept until there is another one."""
_STATE_BYTES = 32
_LENGTH = 8
"""Bytes of a message's length in bits, which end the last block."""


def _fractions(degree: int, n: int) -> list[int]:
    """Return the first 32 bits of the fractions of roots of the first primes, the standard's constants."""
    primes = (number for number in itertools.count(2) if all(number % factor for factor in range(2, number)))
    return [_root(prime << 32 * degree, degree) % (1 << 32) for prime in itertools.islice(primes, n)]


def _root(number: int, degree: int) -> int:
    """Return the largest whole number whose power is not larger."""
    root: int = round(number ** (1 / degree))
    while root**degree > number:
        root -= 1
    while (root + 1) ** degree <= number:
        root += 1
    return root


CONSTANTS = _fractions(3, 64)
"""One for each round."""
_START = np.array(_fractions(2, 8), dtype=np.uint32)[ORDER].tobytes()
_STATES = struct.Struct("=16I")
_DIGESTS = struct.Struct(">16I")
_in_digests = operator.itemgetter(*(8 * message + ORDER.index(word) for message in range(2) for word in range(8)))
"""Puts the words of two states in the order of two digests."""


class Hasher:
    """Hashes pairs of clips where the processor has instructions for it, else one by one; for one thread.

    After a clip, the processor's cache holds little of Python and numpy: numpy's calls took a tenth of the time.
    """

    def __init__(self, library: Library | None) -> None:
        """Hash by the kernel of a library that `can_be_trusted`, if there is one."""
        states, places, count = np.empty((2, 8), np.uint32), np.empty(2, np.int64), np.empty(1, np.int64)
        self._arguments = pack(states), pack(places), pack(count)
        self._states, self._places, self._count = states.data.cast("B"), places.data, count.data
        self._endings = [memoryview(bytearray(2 * BLOCK)) for _ in range(2)]
        self._library = library

    def digests(self, sources: Sequence[bytes | memoryview]) -> list[str]:
        """Hash several sources.

        Parameters
        ----------
        sources : sequence of bytes or memoryview
            Best an even number, of one length.

        Returns
        -------
        list of str
            Hex sha256 of each.
        """
        made: list[str] = []
        for first in range(0, len(sources), 2):
            some = sources[first : first + 2]
            if self._library is None or len(some) < 2:
                made += [hashlib.sha256(source).hexdigest() for source in some]
            else:
                made += self._hash_pair(self._library, *some)
        return made

    def _hash_pair(self, library: Library, one: bytes | memoryview, other: bytes | memoryview) -> tuple[str, str]:
        self._states[:] = 2 * _START
        self._take(library, one, len(one) // BLOCK, other, len(other) // BLOCK)
        n_one, n_other = (_end(source, ending) for source, ending in zip((one, other), self._endings, strict=True))
        self._take(library, self._endings[0], n_one, self._endings[1], n_other)
        digests = _DIGESTS.pack(*_in_digests(_STATES.unpack(self._states))).hex()
        return digests[:BLOCK], digests[BLOCK:]

    def _take(
        self, library: Library, one: bytes | memoryview, n_one: int, other: bytes | memoryview, n_other: int
    ) -> None:
        """Take the whole blocks of a pair of messages into their states."""
        both = min(n_one, n_other)
        self._places[0], self._places[1] = address_of(one), address_of(other)
        if both:
            self._compress(library, both)
        if n_one != n_other:
            # What is left of the longer one is hashed twice, in the time that once would take.
            longer = int(n_other > n_one)
            halves = [self._states[:_STATE_BYTES], self._states[_STATE_BYTES:]]
            done = bytes(halves[1 - longer])
            halves[1 - longer][:] = halves[longer]
            self._places[0] = self._places[1] = self._places[longer] + both * BLOCK
            self._compress(library, max(n_one, n_other) - both)
            halves[1 - longer][:] = done

    def _compress(self, library: Library, n_blocks: int) -> None:
        self._count[0] = n_blocks
        library.hash_blocks(*self._arguments)


@cache
def can_be_trusted(library: Library) -> bool:
    """Tell whether a library has the kernel, for this processor, and it agrees with OpenSSL."""
    if not library.can_hash:
        return False
    noise = np.random.default_rng(0).bytes(1000)
    lengths = (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000)
    some = [noise[:length] for pair in itertools.product(lengths, lengths) for length in pair]
    if Hasher(library).digests(some) == [hashlib.sha256(one).hexdigest() for one in some]:
        return True
    logger.warning("the kernel's sha256 is not OpenSSL's; that one is used, which is slower")
    return False


def _end(source: bytes | memoryview, ending: memoryview) -> int:
    """Lay the last blocks of a message, what is left of it, a bit, and its length in bits; return how many."""
    rest = len(source) % BLOCK
    n_blocks = 1 + (rest + 1 + _LENGTH > BLOCK)
    ending[:rest] = source[len(source) - rest :]
    zeros = bytes(n_blocks * BLOCK - rest - 1 - _LENGTH)
    ending[rest : n_blocks * BLOCK] = b"\x80" + zeros + (8 * len(source)).to_bytes(_LENGTH)
    return n_blocks

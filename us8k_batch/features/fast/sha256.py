"""The sha256 of two clips at once, in half the time that one after the other takes."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
_DIGEST = 32


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
START = _fractions(2, 8)


class HashWork(NamedTuple):
    """What hashing a pair needs; what is in it before does not matter."""

    states: NDArray[np.uint32]
    """Of both messages and of one twice more, in `ORDER`; shape (4, 8)."""
    endings: NDArray[np.uint8]
    """Last blocks of both; shape (2, 2 * BLOCK)."""
    digests: NDArray[np.uint8]
    """Of both, one after the other; shape (64,)."""


def make_work() -> HashWork:
    """Make room for the work."""
    return HashWork(np.zeros((4, 8), np.uint32), np.zeros((2, 2 * BLOCK), np.uint8), np.zeros(2 * _DIGEST, np.uint8))


class Hasher:
    """Hashes pairs of clips where the processor has instructions for it, else one by one; for one thread.

    After a clip, the processor's cache holds little of Python and numpy, so that few calls are made for each.
    """

    def __init__(self, library: Library | None) -> None:
        """Hash by the kernel of a library that `can_be_trusted`, if there is one."""
        work, nothing = make_work(), np.zeros(1, np.uint8)
        self._digests = work.digests.data
        self._pair, self._work = (pack(nothing), pack(nothing)), pack(work)
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

    def _hash_pair(self, library: Library, *pair: bytes | memoryview) -> tuple[str, str]:
        for packed, source in zip(self._pair, pair, strict=True):
            packed.refill(source, address_of(source), len(source))
        library.hash_pair(*self._pair, self._work)
        digests = self._digests.hex()
        return digests[: 2 * _DIGEST], digests[2 * _DIGEST :]


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

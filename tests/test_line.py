"""What may be in hand, and that no two requests in hand share a place."""

from __future__ import annotations

from us8k_batch.features.handover import PLACES
from us8k_batch.features.line import AHEAD, IN_HAND, NUMBERS, Line, Request
from us8k_batch.features.wire import Wanted

MIB = 1 << 20


def test_small_clips_are_many_and_large_ones_two() -> None:
    """Memory holds several of a few seconds, and no more than two of many minutes."""
    for size, most in ((700_000, IN_HAND), (100 * MIB, 2)):
        line = Line()
        clip = memoryview(bytearray(size))
        while line.has_room():
            line.append(Request(Wanted.FEATURES, clip))
        assert len(line) == most


def test_there_is_a_place_for_all() -> None:
    """Clips in hand and those that are read ahead have places of their own, also where the numbers begin anew."""
    numbers = [*range(NUMBERS - PLACES, NUMBERS + 1), *range(1, PLACES + 1)]
    for start in range(len(numbers) - PLACES + 1):
        assert len({number % PLACES for number in numbers[start : start + IN_HAND + AHEAD]}) == PLACES

"""What may be in hand, and that no two requests in hand share a place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.features.handover import PLACES
from us8k_batch.features.line import AHEAD, IN_HAND, Line, Numbers, Request
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


def test_more_are_taken_when_as_many_fit_as_are_read_together() -> None:
    """So that the child, which has others in hand, is told of them at once."""
    line = Line()
    taken = []
    for _ in range(IN_HAND + 1):
        taken.append(line.is_low())
        line.append(Request(Wanted.FEATURES, b""))
    assert taken == [n + AHEAD <= IN_HAND for n in range(IN_HAND + 1)]


@given(st.lists(st.booleans(), max_size=60), st.sampled_from([0, 0xFFFF_FFFF - 20]))
def test_no_two_in_hand_share_a_place(moves: list[bool], last: int) -> None:
    """Also where numbers begin anew, before a message could not carry them."""
    numbers = Numbers()
    numbers._last = last
    in_hand: list[int] = []
    for taken in moves:
        if taken and len(in_hand) < IN_HAND + AHEAD:
            in_hand.append(numbers.take())
        elif in_hand:
            numbers.give(in_hand.pop(0))
        assert len({number % PLACES for number in in_hand}) == len(in_hand)
        assert all(0 < number <= 0xFFFF_FFFF for number in in_hand)


def test_few_places_are_used_for_few_clips() -> None:
    """Two large clips at a time need the memory of two, however many come."""
    numbers = Numbers()
    in_hand = [numbers.take()]
    places = set()
    for _ in range(20):
        in_hand.append(numbers.take())
        places |= {number % PLACES for number in in_hand}
        numbers.give(in_hand.pop(0))
    assert len(places) == 2

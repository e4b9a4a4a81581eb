"""Sources reach the child through shared memory: whole, in turn, without a name and without a leak."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.features.handover import PLACES, Incoming, Outgoing

MIB = 1 << 20


@pytest.fixture
def ends() -> Iterator[tuple[Outgoing, Incoming]]:
    """Both ends, in one process."""
    outgoing = Outgoing()
    yield outgoing, Incoming(outgoing.descriptors)
    outgoing.close()


@given(st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(0, 255)), min_size=1, max_size=8))
def test_what_is_laid_is_found(clips: list[tuple[int, int]]) -> None:
    """Whatever lengths come in turn, each source is found as it was, also while the next one is laid."""
    outgoing = Outgoing()
    incoming = Incoming(outgoing.descriptors)
    sources = [bytes([value]) * length for length, value in clips]
    outgoing.lay(1, sources[0])
    for number, source in enumerate(sources, 1):
        if number < len(sources):
            outgoing.lay(number + 1, sources[number])
        assert incoming.look(number, len(source)) == source
    outgoing.close()


def test_the_child_cannot_write_by_accident(ends: tuple[Outgoing, Incoming]) -> None:
    """What the child looks at is read-only, so that no decoder changes the clip that is tried again."""
    outgoing, incoming = ends
    outgoing.lay(1, b"sound")
    with pytest.raises(TypeError):
        incoming.look(1, 5)[0] = 0


def test_what_is_read_into_its_place_is_not_copied(ends: tuple[Outgoing, Incoming]) -> None:
    """A source that was read into the room for it is found there, and laying it changes nothing."""
    outgoing, incoming = ends
    room = outgoing.room(1, 5)
    room[:5] = b"sound"
    outgoing.lay(1, room[:5])
    assert incoming.look(1, 5) == b"sound"
    room[:5] = b"other"
    assert incoming.look(1, 5) == b"other"


def test_a_source_in_the_room_of_a_lost_child_is_laid_before_the_next_one(ends: tuple[Outgoing, Incoming]) -> None:
    """Memory that an earlier child shared is kept while somebody looks at it, and copied for the next child."""
    outgoing, incoming = ends
    lost = Outgoing()
    room = lost.room(2, 5)
    room[:5] = b"sound"
    source = room[:5]
    del room
    lost.close()
    outgoing.lay(3, source)
    assert incoming.look(3, 5) == b"sound"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_a_promise_counts_for_its_own_clip_and_if_it_can_be_kept(
    ends: tuple[Outgoing, Incoming], seconds: float
) -> None:
    """Nothing noted, or noted of another clip, or no number of seconds: nothing was promised."""
    outgoing, incoming = ends
    assert outgoing.promised(1) == 0
    incoming.promise(1, 2.5)
    assert outgoing.promised(1) == 2.5
    assert outgoing.promised(2) == 0
    incoming.promise(2, seconds)
    assert outgoing.promised(2) == 0


def test_a_large_source_is_given_back(ends: tuple[Outgoing, Incoming]) -> None:
    """After 70 MiB a place takes 64 MiB; whoever looks there still sees zeros, and the next source is found."""
    outgoing, incoming = ends
    outgoing.lay(1, b"x" * (70 * MIB))
    late = incoming.look(1, 70 * MIB)
    assert late[-1:] == b"x"
    outgoing.give_back(1)
    assert os.fstat(outgoing.descriptors[1]).st_blocks * 512 == 64 * MIB
    assert late[-1:] == b"\0"
    outgoing.lay(1 + PLACES, bytes(9 * MIB) + b"end")
    assert incoming.look(1 + PLACES, 9 * MIB + 3)[-3:] == b"end"


def test_nothing_is_left_behind() -> None:
    """Closing gives the descriptors back, and the memory never had a name."""
    before = set(os.listdir("/proc/self/fd"))
    outgoing = Outgoing()
    outgoing.lay(1, b"sound")
    links = [os.fstat(descriptor).st_nlink for descriptor in outgoing.descriptors]
    assert not any(links)
    outgoing.close()
    assert set(os.listdir("/proc/self/fd")) == before

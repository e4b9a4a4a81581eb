"""What a worker keeps between tasks: one decoder for each task that works at the same time, and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from shard_tasks import CONFIG

from us8k_batch.workshop import Needs, Workshop

NEEDS = Needs(CONFIG, "auto", clip_memory=2 << 30, clip_seconds=30.0)


@pytest.fixture
def kept() -> Iterator[Workshop]:
    """Make a workshop of this test's own."""
    workshop = Workshop()
    yield workshop
    workshop.close()


def test_a_decoder_is_kept_for_those_that_need_the_same_and_replaced_for_others(kept: Workshop) -> None:
    """The next task costs no new child, also in another thread; another limit does, and the old child ends."""
    pids = []

    def use() -> None:
        with kept.bench(NEEDS) as bench:
            bench.decoder.start()
            pids.append(bench.decoder.pid)

    for _ in range(2):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert pids[0] == pids[1] is not None
    with kept.bench(NEEDS) as first:
        pass
    with kept.bench(replace(NEEDS, clip_seconds=3.0)) as second:
        assert second is not first
        assert first.decoder.pid is None


def test_tasks_at_the_same_time_have_decoders_of_their_own(kept: Workshop) -> None:
    """Two of them, for the same needs or others; a later task takes one that is there and fits."""
    others = replace(NEEDS, clip_seconds=3.0)
    with kept.bench(NEEDS) as first, kept.bench(NEEDS) as second, kept.bench(others) as third:
        assert len({id(bench.decoder) for bench in (first, second, third)}) == 3
    with kept.bench(others) as again:
        assert again is third
    with kept.bench(NEEDS) as again:
        assert again in (first, second)


def test_closing_stops_all_decoders_also_those_in_use(kept: Workshop) -> None:
    """No child is left behind."""
    with kept.bench(NEEDS) as used:
        with kept.bench(NEEDS) as free:
            for bench in (used, free):
                bench.decoder.start()
        kept.close()
        assert (used.decoder.pid, free.decoder.pid) == (None, None)

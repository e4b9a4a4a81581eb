"""What a worker keeps between tasks: one decoder for each task that works at the same time, and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest
from clusters import wait_until
from shard_tasks import CONFIG

from us8k_batch.workshop import KEPT_NEEDS, Needs, Workshop

NEEDS = Needs(CONFIG, "auto", clip_memory=2 << 30, clip_seconds=30.0)


@pytest.fixture
def kept() -> Iterator[Workshop]:
    """Make a workshop of this test's own."""
    workshop = Workshop()
    yield workshop
    workshop.close()


def child_of(kept: Workshop, needs: Needs) -> int | None:
    """Use a bench for some needs; return the process id of its decoder's child."""
    with kept.bench(needs) as bench:
        bench.decoder.start()
        return bench.decoder.pid


def test_a_decoder_is_kept_for_those_that_need_the_same(kept: Workshop) -> None:
    """The next task costs no new child, also in another thread."""
    pids = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: pids.append(child_of(kept, NEEDS)))
        thread.start()
        thread.join()
    assert pids[0] == pids[1] is not None


def test_two_runs_with_other_parameters_take_turns_without_a_new_child(kept: Workshop) -> None:
    """Tasks of two configurations, one after the other: each finds the child of the last one of its own."""
    others = replace(NEEDS, config=replace(CONFIG, n_mfcc=5))
    pids = [child_of(kept, needs) for needs in (NEEDS, others, NEEDS, others)]
    assert pids[:2] == pids[2:]
    assert pids[0] != pids[1]


def test_decoders_of_no_more_than_so_many_configurations_are_kept(kept: Workshop) -> None:
    """With one more, the child of the configuration that was longest unused ends."""
    wanted = [replace(NEEDS, clip_seconds=3.0 + i) for i in range(KEPT_NEEDS + 1)]
    pids = [child_of(kept, needs) for needs in wanted[:KEPT_NEEDS]]
    assert child_of(kept, wanted[0]) == pids[0]
    child_of(kept, wanted[-1])
    assert not psutil.pid_exists(pids[1] or 0)
    assert [child_of(kept, wanted[i]) for i in (0, 2)] == [pids[0], pids[2]]


def test_decoders_of_other_configurations_end_where_they_hold_too_much(
    kept: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no task is using makes room for one that needs another configuration."""
    first = child_of(kept, NEEDS)
    monkeypatch.setattr("us8k_batch.workshop.KEPT_BYTES", 1)
    child_of(kept, replace(NEEDS, clip_seconds=3.0))
    assert not psutil.pid_exists(first or 0)


def test_what_nobody_asks_for_ends_by_itself(kept: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that was killed says no farewell: its decoders end after a while, and not before."""
    monkeypatch.setattr("us8k_batch.workshop.IDLE_SECONDS", 0.05)
    with kept.bench(NEEDS) as used:
        used.decoder.start()
        pid = used.decoder.pid
        with kept.bench(NEEDS):
            pass
    assert pid is not None
    wait_until(lambda: used.decoder.pid is None, "the decoder to end")
    assert not psutil.pid_exists(pid)


def test_a_farewell_ends_what_no_task_is_using(kept: Workshop) -> None:
    """A run that ends takes its decoders along, and leaves another run's that is at work."""
    with kept.bench(NEEDS) as used:
        used.decoder.start()
        free = child_of(kept, NEEDS)
        kept.close_idle()
        assert not psutil.pid_exists(free or 0)
        assert used.decoder.pid is not None
    assert child_of(kept, NEEDS) == used.decoder.pid


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

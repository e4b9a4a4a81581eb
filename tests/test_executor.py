"""A cluster's workers as an executor: who trains need not know Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import pytest
from clusters import HandStarted, wait_until, wait_until_idle
from feature_stores import make_features_store
from window_tasks import Work, answer_later, fail_with_os_error

from us8k_batch.cluster.executor import open_executor
from us8k_batch.cluster.where import Where
from us8k_batch.errors import JobError, RequestError
from us8k_batch.training.frames import ClipFrames, frames_of
from us8k_batch.training.progress import Lines
from us8k_batch.training.tune import TuneOptions, tune


def test_a_search_runs_on_workers_and_ends_as_here(hand_started: HandStarted, tmp_path: Path) -> None:
    """One trial at a time on a cluster chooses and scores what it does in this process."""
    store = str(make_features_store(tmp_path / "store"))
    asked = {"store": store, "model": "logistic", "features": "mean", "trials": 2, "jobs": 1}
    with open_executor(Where(scheduler=hand_started.address)) as (executor, threads):
        assert threads == 2
        there = tune(TuneOptions(**asked, out=str(tmp_path / "there")), Lines(lambda _: None), executor)
    here = tune(TuneOptions(**asked, out=str(tmp_path / "here")), Lines(lambda _: None))
    assert there.document["tuning"] == here.document["tuning"]
    assert there.scores == here.scores


def test_what_tasks_have_in_common_is_shipped_once(
    hand_started: HandStarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that are the first argument of many tasks leave this process once; other frames once more."""
    pickled: list[int] = []
    kept = ClipFrames.__reduce__

    def counted(self: ClipFrames) -> Any:
        pickled.append(len(self))
        return kept(self)

    monkeypatch.setattr(ClipFrames, "__reduce__", counted)
    frames = frames_of(np.zeros((4, 2, 3), np.float32), np.full(4, 3))
    with open_executor(Where(scheduler=hand_started.address)) as (executor, _):
        few = frames[:2]
        assert [f.result() for f in [executor.submit(ClipFrames.__len__, few) for _ in range(6)]] == [2] * 6
        assert [f.result() for f in [executor.submit(ClipFrames.__len__, frames) for _ in range(6)]] == [4] * 6
        assert executor.submit(int).result() == 0
    assert pickled == [2, 4]


WITHOUT_PACKAGE = "import sys; sys.modules['us8k_batch'] = None"


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandStarted]:
    """Start a scheduler and two workers without nannies; a dead worker is not replaced."""
    with HandStarted(folder=tmp_path / "dask") as hand:
        yield hand.start_scheduler().start_workers(2).wait_for_workers(2)


def begun(folder: Path) -> int:
    """Count the tasks that have begun, each time that they did."""
    return len(list(folder.glob("?.*")))


def lose_worker(hand: HandStarted) -> None:
    """Kill one of two workers."""
    hand.workers[0].kill()


def lose_workers(hand: HandStarted) -> None:
    """Kill both workers, and with them what was shipped; start another one."""
    hand.kill_workers()
    hand.start_workers(1)


def lose_scheduler(hand: HandStarted) -> None:
    """Kill everything; start it again at the same address."""
    hand.kill_all()
    hand.start_scheduler().start_workers(2)


@pytest.mark.parametrize("lose", [lose_worker, lose_workers, lose_scheduler])
def test_what_is_lost_is_submitted_again(
    hand: HandStarted, tmp_path: Path, lose: Callable[[HandStarted], None]
) -> None:
    """Fits that were running when a worker or the scheduler died end on those that are left, or that come."""
    shared = [1, 2, 3]
    with open_executor(Where(scheduler=hand.address)) as (executor, _):
        fits = [executor.submit(answer_later, shared, Work(str(tmp_path), number, "go")) for number in range(4)]
        wait_until(lambda: begun(tmp_path) == 2, "two fits")
        (tmp_path / "go").touch() if lose is lose_worker else None
        lose(hand)
        (tmp_path / "go").touch()
        assert [fit.result(timeout=100) for fit in fits] == [0, 1, 2, 3]


def test_somebody_else_s_worker_lives_and_gets_no_fits(hand: HandStarted) -> None:
    """A worker without our package on a shared scheduler: no message of ours ends it, and no fit fails by it."""
    hand.start_workers(1, program=WITHOUT_PACKAGE).wait_for_workers(3)
    lines: list[str] = []
    with open_executor(Where(scheduler=hand.address), lines.append) as (executor, _):
        frames = frames_of(np.zeros((4, 2, 3), np.float32), np.full(4, 3))
        fits = [executor.submit(ClipFrames.__len__, frames) for _ in range(9)]
        assert [fit.result(timeout=100) for fit in fits] == [4] * 9
        assert len([line for line in lines if "has no us8k_batch, and gets no tasks" in line]) >= 1
    assert hand.workers[2].poll() is None


def test_an_error_of_the_task_itself_is_the_caller_s(hand_started: HandStarted) -> None:
    """Whatever it raises, once: only what was lost is tried again."""
    with open_executor(Where(scheduler=hand_started.address)) as (executor, _):
        assert isinstance(executor.submit(fail_with_os_error, 0).exception(timeout=100), OSError)


def test_a_cancelled_fit_is_over_at_once(hand_started: HandStarted, tmp_path: Path) -> None:
    """A search that is interrupted does not wait for fits that take an hour."""
    with open_executor(Where(scheduler=hand_started.address)) as (executor, _):
        fit = executor.submit(answer_later, 0, Work(str(tmp_path), 0, "never"))
        wait_until(lambda: begun(tmp_path) == 1, "the fit")
        assert fit.cancel()
        assert fit in wait([fit], timeout=100).done
    (tmp_path / "never").touch()
    wait_until_idle(hand_started.address)


def test_without_workers_a_search_ends_with_what_to_do(hand: HandStarted, tmp_path: Path) -> None:
    """After the deadline, as a run does."""
    with (
        dask.config.set({"us8k.worker-deadline": 1}),
        open_executor(Where(scheduler=hand.address)) as (executor, _),
    ):
        fit = executor.submit(answer_later, 0, Work(str(tmp_path), 0, "never"))
        wait_until(lambda: begun(tmp_path) == 1, "the fit")
        hand.kill_workers()
        with pytest.raises(JobError, match="no worker for 1 s"):
            fit.result(timeout=100)


def test_no_cluster_is_a_bad_request(tmp_path: Path) -> None:
    """Neither a name nor an answer: both are told."""
    with pytest.raises(RequestError, match="expected --scheduler"), open_executor(Where()):
        pass
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
        pytest.raises(RequestError, match="no scheduler's address there"),
        open_executor(Where(scheduler_file=str(tmp_path / "nothing.json"))),
    ):
        pass

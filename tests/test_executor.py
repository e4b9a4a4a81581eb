"""A cluster's workers as an executor: who trains need not know Dask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import pytest
from clusters import HandStarted
from feature_stores import make_features_store

from us8k_batch.cluster.executor import open_executor
from us8k_batch.cluster.where import Where
from us8k_batch.errors import RequestError
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

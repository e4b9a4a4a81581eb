"""What is measured against each other, from a file to MFCC frames and their means, each in a process of its own.

In one process, each side would find its memory as the other left it: librosa's large arrays cost it a third of its
time in page faults, unless another library has had such arrays before. All processes run on one core, and take turns.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Frames = NDArray[np.float32]
Compute = Callable[[Path], Frames]
TURN = 16
"""Clips of one side before it is the other's turn: nobody changes engines from clip to clip."""
_ROOM = 64 << 20


class Side:
    """One of those that are measured, as a process."""

    def __init__(self, make: Callable[..., Compute], *arguments: Any) -> None:
        """Start it: `make` is called in the process, and makes what computes a clip."""
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, arguments), daemon=True)
        self._process.start()
        other.close()

    def frames(self, path: Path) -> Frames:
        """Return a clip's frames."""
        return np.asarray(self._ask((False, [path]))[0])

    def times(self, paths: Sequence[Path]) -> list[float]:
        """Return the time of each clip, in ms."""
        return list(self._ask((True, list(paths))))

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()

    def _ask(self, question: tuple[bool, list[Path]]) -> list[Any]:
        self._pipe.send(question)
        answer: list[Any] = self._pipe.recv()
        return answer


def stay_on_one_core() -> None:
    """Keep this process, and those that it starts, on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def us8k(res_type: str) -> Compute:
    """Compute as workers do: a file is read into memory that is there already."""
    from us8k_batch.config import FeatureConfig
    from us8k_batch.features.engine import make_engine

    engine = make_engine(FeatureConfig(max_seconds=600.0, res_type=res_type), "auto")
    room = memoryview(mmap.mmap(-1, _ROOM))

    def compute(path: Path) -> Frames:
        with path.open("rb", buffering=0) as file:
            length = file.readinto(room)
        return engine(room[:length]).mfcc

    return compute


def notebook(res_type: str) -> Compute:
    """Compute as a notebook does."""
    import librosa

    def compute(path: Path) -> Frames:
        samples, rate = librosa.load(path, res_type=res_type)
        mfcc = librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=40)
        mfcc.mean(axis=1)
        return mfcc

    return compute


def _serve(pipe: Connection, make: Callable[..., Compute], arguments: tuple[Any, ...]) -> None:
    compute = make(*arguments)
    threadpool_limits(1)  # of what is loaded by now
    with contextlib.suppress(EOFError):  # whoever asks may end without a word
        while (question := pipe.recv()) is not None:
            timed, paths = question
            pipe.send([_time(compute, path) if timed else compute(path) for path in paths])


def _time(compute: Compute, path: Path) -> float:
    start = time.perf_counter()
    compute(path)
    return 1e3 * (time.perf_counter() - start)

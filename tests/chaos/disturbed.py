"""Real schedulers, workers and clients on a dataset of many small clips; what was computed, and how often."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import soundfile
from clusters import HandStarted, wait_until
from datasets import write_rows
from stores import files

HERE = Path(__file__).parent
CHILD = "US8K_TEST_CHILD"
"""Environment variable that names the decoder child of workers: its program's arguments, as JSON."""
SMALL = ("sample_rate=8000", "n_fft=256", "hop_length=128", "n_mels=32", "n_mfcc=8", "max_seconds=1")
CLIPS = int(os.environ.get("US8K_TEST_CLIPS", "2000"))
CLIPS_PER_SHARD = 16
RATE = 8000


def make_sounds(folder: Path, *, clips: int = CLIPS, seconds: float = 0.1) -> Path:
    """Make a dataset of short noises, no two alike; return its manifest."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    rows = []
    for i in range(clips):
        path = f"audio/{i:05d}.wav"
        soundfile.write(folder / path, rng.normal(scale=0.1, size=int(RATE * seconds)), RATE)
        rows.append({"path": path, "label": ("dog", "rain")[i % 2], "fold": str(1 + i % 5), "group": f"r{i}"})
    write_rows(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


def dask_setup(worker: Any) -> None:  # the signature is Dask's
    """Give a worker, whose preload this is, the decoder child that the environment names."""
    from us8k_batch import workshop

    program = tuple(json.loads(os.environ[CHILD]))
    workshop.Decoder = functools.partial(workshop.Decoder, program=program)  # type: ignore[misc]


@dataclass(frozen=True)
class Attempt:
    """One clip that a child began to compute."""

    when_ns: int
    pid: int
    sha256: str
    digest: str
    """Of the frames; empty if there was no result."""


@dataclass
class Site:
    """A place where runs are disturbed: a folder, workers whose children note what they compute, and clients."""

    folder: Path
    dataset: Path
    child: tuple[str, ...] = ("noting_child.py", "quick")
    """Program of the decoder child, and its arguments; see there."""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """Options of every client."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def store(self) -> Path:
        """The store."""
        return self.folder / "store"

    @property
    def notes(self) -> Path:
        """What the children note."""
        return self.folder / "notes.txt"

    @property
    def variables(self) -> dict[str, str]:
        """Environment of every process."""
        program = [sys.executable, str(HERE / self.child[0]), *self.child[1:], str(self.notes)]
        path = [str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            "DASK_DISTRIBUTED__WORKER__PRELOAD": '["disturbed"]',
            "PYTHONPATH": os.pathsep.join(path),
            CHILD: json.dumps(program),
            **self.environment,
        }

    def hand(self, *, nanny: bool = True, name: str = "dask") -> HandStarted:
        """Prepare a scheduler and workers."""
        return HandStarted(folder=self.folder / name, environment=self.variables, nanny=nanny)

    def client(self, *options: object, wrapped: Sequence[object] = ()) -> subprocess.Popen[bytes]:
        """Start ``us8k extract`` in a process group of its own; `wrapped` are words before the command."""
        given = [argument for assignment in SMALL for argument in ("--set", assignment)]
        command = ["extract", self.dataset, self.store, *given, "--clips-per-shard", CLIPS_PER_SHARD]
        words = [*wrapped, sys.executable, "-m", "us8k_batch", *command, *self.options, *options]
        with (self.folder / "log.txt").open("ab") as file:
            return subprocess.Popen(
                [*map(str, words)],
                env={**os.environ, **self.variables},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def said(self) -> str:
        """Return what clients said."""
        return (self.folder / "log.txt").read_text()

    def commits(self) -> int:
        """Count the shards that are committed."""
        with contextlib.suppress(FileNotFoundError):
            return sum(entry.name.endswith(".parquet") for entry in os.scandir(self.store / "commits"))
        return 0

    def attempts(self) -> list[Attempt]:
        """Return what the children computed, in order."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return sorted(
            (Attempt(int(when), int(pid), *rest.split(":")) for when, pid, rest in map(str.split, lines)),
            key=lambda attempt: attempt.when_ns,
        )

    def work(self) -> Work:
        """Compare what was computed with what was committed, and when."""
        shard_of, committed_ns = {}, {}
        for path in sorted((self.store / "commits").glob("*.parquet")):
            shard = int(path.stem)
            committed_ns[shard] = path.stat().st_mtime_ns
            for sha256 in pq.read_table(path, columns=["source_sha256"])["source_sha256"].to_pylist():
                shard_of[sha256] = shard
        attempts = self.attempts()
        counts = Counter(attempt.sha256 for attempt in attempts)
        # A worker that lost its scheduler finishes what it began, which others may have committed meanwhile; so that
        # the first clip of a shard counts that a process computes.
        begun: dict[tuple[int, int], int] = {}
        for attempt in attempts:
            begun.setdefault((attempt.pid, shard_of[attempt.sha256]), attempt.when_ns)
        late = sum(when > committed_ns[shard] for (_, shard), when in begun.items())
        return Work(len(counts), len(attempts) - len(counts), late)


@dataclass(frozen=True)
class Work:
    """What was computed."""

    clips: int
    again: int
    """Computations of clips that had been computed before."""
    committed_again: int
    """Committed shards whose computation was begun."""

    @property
    def share_again(self) -> float:
        """Computations that were in vain, of all clips."""
        return self.again / self.clips


def ended(client: subprocess.Popen[bytes], site: Site, status: int, *, patience: float = 900) -> None:
    """Wait until a client has ended by itself, as it should."""
    try:
        found = client.wait(patience)
    finally:
        kill_group(client)
    assert found == status, site.said()[-3000:]
    assert "Traceback" not in site.said(), site.said()[-6000:]


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and what it started in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def worker_pids(hand: HandStarted) -> list[int]:
    """Return the processes that are workers below their nannies."""
    found = []
    for nanny in hand.workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.extend(
                child.pid
                for child in psutil.Process(nanny.pid).children()
                if any("spawn_main" in argument for argument in child.cmdline())
            )
    return found


def start_up_seconds(hand: HandStarted, workers: int) -> float:
    """Start workers; return how long they took."""
    began = time.monotonic()
    hand.start_workers(workers).wait_for_workers(workers)
    return time.monotonic() - began


def differing(store: Path, reference: dict[str, bytes]) -> list[str]:
    """Name the files of a store that are not those of an undisturbed one."""
    ours = files(store)
    return sorted(key for key in ours.keys() | reference.keys() if ours.get(key) != reference.get(key))


def until_committed(site: Site, number: int, client: subprocess.Popen[bytes], within: float | None = None) -> bool:
    """Wait until so many shards are committed, or so many seconds; return whether the client has not ended."""
    end = math.inf if within is None else time.monotonic() + within
    wait_until(
        lambda: site.commits() >= number or client.poll() is not None or time.monotonic() > end,
        f"{number} commits",
        patience=600,
    )
    return client.poll() is None

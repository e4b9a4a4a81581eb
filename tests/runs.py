"""Run the whole job on small datasets, on a cluster that many tests share, and compare what stores publish."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from clusters import make_settings
from stores import files, stamps

from us8k_batch.cluster.where import Where
from us8k_batch.config import FeatureConfig, read_options
from us8k_batch.run.describe import describe
from us8k_batch.run.extract import extract
from us8k_batch.run.options import Options, Summary
from us8k_batch.shard_task import ShardReport
from us8k_batch.store.reader import open_store
from us8k_batch.store.verify import verify

SMALL = ("sample_rate=8000", "n_fft=512", "hop_length=256", "n_mels=32", "n_mfcc=8", "max_seconds=1")
"""Feature parameters with which a clip takes a few milliseconds."""
CLIPS_PER_SHARD = 4


@dataclass
class Heard:
    """Progress that remembers what it was told."""

    lines: list[str] = field(default_factory=list)
    reports: list[ShardReport] = field(default_factory=list)
    clips: int = 0
    """Clips that were to be extracted."""
    on_line: Callable[[str], object] = lambda _: None
    """Called with every line."""
    on_start: Callable[[], object] = lambda: None
    """Called before the first shard."""
    on_shard: Callable[[], object] = lambda: None
    """Called after every shard."""

    def tell(self, message: str) -> None:
        """Remember a line."""
        self.lines.append(message)
        self.on_line(message)

    def start(self, clips: int) -> None:
        """Remember how many."""
        self.clips = clips
        self.on_start()

    def advance(self, report: ShardReport) -> None:
        """Remember a shard."""
        self.reports.append(report)
        self.on_shard()

    def finish(self) -> None:
        """Nothing to draw."""


def make_options(
    dataset: object, store: object, *, scheduler: str | None, assignments: Iterable[str] = SMALL, **options: Any
) -> Options:
    """Make the options of a small run."""
    wanted = read_options(None, assignments)
    return Options(
        dataset=str(dataset),
        store=str(store),
        config=FeatureConfig.from_dict(wanted),
        given=frozenset(wanted),
        settings=options.pop("settings", None) or make_settings(),
        where=Where(scheduler=scheduler),
        **{"clips_per_shard": CLIPS_PER_SHARD, **options},
    )


@dataclass(frozen=True)
class Runner:
    """Runs jobs on one cluster."""

    scheduler: str

    def extract(self, dataset: object, store: object, heard: Heard | None = None, **options: Any) -> Summary:
        """Run the job in this process."""
        return extract(make_options(dataset, store, scheduler=self.scheduler, **options), heard or Heard())

    def plan(self, dataset: object, store: object, explain: str | None = None, **options: Any) -> dict[str, Any]:
        """Say what the job would do; there is no scheduler at the address that it gets."""
        return describe(make_options(dataset, store, scheduler="tcp://127.0.0.1:1", **options), explain).values


def published(store: object) -> dict[str, tuple[Any, ...]]:
    """Return what a store publishes of each live clip: all but the row where it stands."""
    table = open_store(str(store)).pooled.drop(columns="row")
    return {
        row[0]: tuple(None if pd.isna(value) else value for value in row) for row in table.itertuples(index=False)
    }


def failed(store: object) -> dict[str, tuple[str, str]]:
    """Return stage and error of each clip without a result."""
    return {row.clip_id: (row.stage, row.error) for row in open_store(str(store)).failures.itertuples()}


def assert_sound(store: object) -> None:
    """Prove every object of a store."""
    done = verify(str(store))
    assert not done.findings, done.findings


def assert_same_files(store: Path, reference: Path) -> None:
    """Compare two stores file by file, but for runs, snapshots and the lease."""
    ours, theirs = files(store), files(reference)
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if ours[key] != theirs[key]] == []


def changed_keys(before: dict[str, tuple[int, int, int]], store: Path) -> Counter[str]:
    """Count, by folder or file, what was written in a store since `before` was taken; the lease aside."""
    now = stamps(store)
    assert before.keys() - now.keys() <= {key for key in before if key.startswith("lease/")}, "a file is gone"
    written = (key for key, stamp in now.items() if before.get(key) != stamp and not key.startswith("lease/"))
    return Counter("mfcc.zarr/c" if "/c/" in key else key.partition("/")[0] for key in written)


def copy(source: Path, target: Path) -> Path:
    """Copy a folder with the times of its files."""
    shutil.copytree(source, target, copy_function=shutil.copy2)
    return target


def rewrite(path: Path, data: bytes, *, later: int = 1_000_000_000) -> None:
    """Replace a file's bytes, as of some time (in ns) later than it was."""
    then = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(then + later, then + later))


def touch(path: Path) -> None:
    """Make a file look newer."""
    rewrite(path, path.read_bytes())


def spoil_unseen(path: Path) -> None:
    """Replace a file's bytes so that neither size nor time tells; whoever reads it again shows it."""
    rewrite(path, b"\0" * path.stat().st_size, later=0)

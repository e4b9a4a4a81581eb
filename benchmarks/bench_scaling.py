"""How the job grows: with workers, with the number of clips, with their length; and whether memory creeps.

    python benchmarks/bench_scaling.py [--part workers|clips|length|memory]

Clips are 44.1 kHz stereo of 16 bit. Their files are links to a few, so that they fit the page cache; each is read,
hashed, decoded and committed for itself. Efficiency is the rate of two workers over twice that of one, in turns; one
worker may have one core beside the client's, one core together with the client and the scheduler, or both cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile
from bench_job import Silent
from results import keep
from sounds import make_sound

from us8k_batch.config import FeatureConfig
from us8k_batch.objects import open_objects
from us8k_batch.run.extract import extract
from us8k_batch.run.options import Options
from us8k_batch.shard_task import Job, ShardReport, ShardTask, extract_shard
from us8k_batch.store.layout import create_info, new_info
from us8k_batch.store.timings import timings
from us8k_batch.workshop import Needs, Workshop

LENGTHS = (1, 4, 15, 60, 240, 600)
"""Seconds of a clip."""
SILENT = Silent()
COUNTS = (500, 1000, 2000, 4000, 8000)
"""Clips of a dataset."""


def make_dataset(folder: Path, clips: int, seconds: float) -> Path:
    """Write a few sounds and a manifest of links to them."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    sounds = []
    for i in range(16):
        sounds.append(folder / f"{i}.wav")
        soundfile.write(sounds[-1], make_sound(rng, 44100, 2)[: round(seconds * 44100)], 44100, subtype="PCM_16")
    lines = ["path,label,fold,group"]
    for i in range(clips):
        os.link(sounds[i % 16], folder / f"audio/{i:05d}.wav")
        lines.append(f"audio/{i:05d}.wav,{'ab'[i % 2]},{1 + i % 10},r{i}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


class Cluster:
    """Workers on this machine that are warm, for jobs of 4 s clips."""

    def __init__(
        self, workers: int, folder: Path, manifest: Path, cores: int | None = None, *, with_client: bool = False
    ) -> None:
        """Start them, and warm them by a dataset; `cores` keeps them and their children on so many cores.

        So it does with the client and the scheduler, which are this process, while a job runs, if `with_client`.
        """
        from distributed import LocalCluster

        self._cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
        self._folder, self._runs = folder / f"stores-{workers}", 0
        self._all = sorted(os.sched_getaffinity(0))
        self._client_cores = self._all[:cores] if with_client else self._all
        self.run(manifest)
        for nanny in self._cluster.workers.values():
            worker = psutil.Process(nanny.pid)
            for process in (worker, *worker.children(recursive=True)):
                _keep_on(process, self._all[:cores])

    def run(self, manifest: Path, progress: Silent = SILENT) -> float:
        """Return the seconds from submit to published snapshot."""
        from us8k_batch.cluster.where import Where
        from us8k_batch.settings import load_settings

        self._runs += 1
        options = Options(
            dataset=str(manifest),
            store=str(self._folder / str(self._runs)),
            settings=load_settings({}),
            where=Where(scheduler=self._cluster.scheduler_address),
        )
        _keep_on(psutil.Process(), self._client_cores)
        start = time.perf_counter()
        assert extract(options, progress).exit_status == 0
        seconds = time.perf_counter() - start
        _keep_on(psutil.Process(), self._all)
        return seconds

    def rate(self) -> float:
        """Return the clips per second of the last run, while it was extracting."""
        measured = timings(str(self._folder / str(self._runs)))
        assert measured is not None
        return float(measured["clips_per_second"])

    def memory_mb(self) -> tuple[float, float]:
        """Return what the first worker's process and its child hold, in MB."""
        return memory_mb(psutil.Process(next(iter(self._cluster.workers.values())).pid))

    def close(self) -> None:
        """Stop the workers."""
        self._cluster.close()


def _keep_on(process: psutil.Process, cores: list[int]) -> None:
    """Keep a process on some cores, with all threads that it has."""
    for thread in process.threads():
        with contextlib.suppress(ProcessLookupError):  # it ended in this moment
            os.sched_setaffinity(thread.id, cores)


def bench_workers(folder: Path) -> None:
    """Two workers against one, which has both cores or only one of them."""
    manifest, warm = make_dataset(folder / "clips", 2048, 4), make_dataset(folder / "warm", 512, 4)
    sides = {
        "1 on one core": Cluster(1, folder / "a", warm, 1),
        "1, and the client, on one core": Cluster(1, folder / "b", warm, 1, with_client=True),
        "1 on two cores": Cluster(1, folder / "c", warm),
        "2 on two cores": Cluster(2, folder / "d", warm),
    }
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(10):
        # To and fro: the machine is slow for a while at a time, and the last side would always meet another spell.
        for side, cluster in list(sides.items())[:: -1 if turn % 2 else 1]:
            cluster.run(manifest)
            rates[side].append(cluster.rate())
    for cluster in sides.values():
        cluster.close()
    rows = []
    for side, measured in rates.items():
        found = [two / (2 * one) for one, two in zip(measured, rates["2 on two cores"], strict=True)]
        rate, efficiency = statistics.median(measured), statistics.median(found)
        rows.append({"side": side, "rate": rate, "efficiency": efficiency, "low": min(found), "high": max(found)})
        print(f"{side:<31}{rate:7.0f} clips/s  {efficiency:.2f} ({min(found):.2f} to {max(found):.2f})")
    keep("scaling-workers", {"rows": rows})


def bench_clips(folder: Path) -> None:
    """More and more clips of 0.2 s."""
    cluster, rows = Cluster(2, folder, make_dataset(folder / "warm", 512, 0.2)), []
    for clips in COUNTS:
        manifest = make_dataset(folder / str(clips), clips, 0.2)
        seconds = min(cluster.run(manifest) for _ in range(2))
        rows.append({"clips": clips, "seconds": seconds})
        print(f"{clips:6d} clips {seconds:7.2f} s {1e3 * seconds / clips:7.2f} ms/clip")
    cluster.close()
    keep("scaling-clips", {"rows": rows})


def task_of(folder: Path, name: str, seconds: float, shard: int, per_shard: int | None = None) -> ShardTask:
    """Make the task of a shard whose clips are all one file."""
    config = FeatureConfig(max_seconds=seconds)
    info = new_info(config, per_shard)
    store = str(folder / f"store-{name}")
    create_info(open_objects(store), info)
    job = Job(str(folder), store, info, Needs(config, "auto", 2 << 30, 60.0), 1 << 30)
    clips = tuple((f"clip-{shard}-{i}", name) for i in range(info.clips_per_shard))
    return ShardTask(job, shard, clips)


def memory_mb(worker: psutil.Process) -> tuple[float, float]:
    """Return what a worker's process and its child hold, in MB."""
    groups = ([worker], worker.children(recursive=True))
    return tuple(sum(p.memory_info().rss for p in group) / 1e6 for group in groups)


def bench_length(folder: Path) -> None:
    """Longer and longer clips, one worker: time per second of audio, and memory."""
    sound = make_sound(np.random.default_rng(0), 44100, 2)
    rows = []
    for seconds in LENGTHS:
        name = f"{seconds}.wav"
        soundfile.write(folder / name, np.resize(sound, (seconds * 44100, 2)), 44100, subtype="PCM_16")
        workshop = Workshop()
        per_shard = max(2, min(64, 240 // seconds))
        extract_shard(workshop, task_of(folder, name, float(seconds), 0, per_shard))
        taken = []
        for shard in (1, 2, 3):
            task = task_of(folder, name, float(seconds), shard, per_shard)
            start = time.perf_counter()
            report = extract_shard(workshop, task)
            taken.append(time.perf_counter() - start)
            assert report.n_extracted == len(task.clips)
        worker, child = memory_mb(psutil.Process())
        workshop.close()
        per_second = 1e3 * min(taken) / per_shard / seconds
        rows.append({"seconds": seconds, "ms_per_second": per_second, "worker_mb": worker, "child_mb": child})
        print(
            f"{seconds:4d} s: {per_second:.3f} ms per second of audio, worker {worker:.0f} MB, child {child:.0f} MB"
        )
    keep("scaling-length", {"rows": rows})


class Weigher(Silent):
    """Weighs a worker every 5,000 clips of a run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._done = cluster, 0
        self.rows: list[dict[str, float]] = []

    def advance(self, report: ShardReport) -> None:
        """Count a shard."""
        before, self._done = self._done, self._done + report.n_extracted
        if not before or self._done // 5000 > before // 5000:
            worker, child = self._cluster.memory_mb()
            self.rows.append({"clips": self._done, "worker_mb": worker, "child_mb": child})
            print(f"{self._done:6d} clips: worker {worker:.1f} MB, child {child:.1f} MB", flush=True)


def bench_memory(folder: Path, clips: int) -> None:
    """Very many clips in one worker: its memory and its child's must not grow."""
    cluster = Cluster(1, folder, make_dataset(folder / "warm", 1024, 0.1))
    weigher = Weigher(cluster)
    cluster.run(make_dataset(folder / "clips", clips, 0.1), weigher)
    cluster.close()
    keep("scaling-memory", {"rows": weigher.rows})


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["workers", "clips", "length", "memory"])
    parser.add_argument("--clips", type=int, default=50_000, help="of the part memory")
    given = parser.parse_args()
    import dask

    from us8k_batch.cluster.spec import STARTED

    parts = {
        "workers": bench_workers,
        "clips": bench_clips,
        "length": bench_length,
        "memory": lambda folder: bench_memory(folder, given.clips),
    }
    with dask.config.set(STARTED):
        for name, part in parts.items():
            if given.part in (None, name):
                with tempfile.TemporaryDirectory() as folder:
                    part(Path(folder))


if __name__ == "__main__":
    main()

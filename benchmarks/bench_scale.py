"""How far it scales: time, memory and objects of plan, submit, publish and read, by number of clips; no audio.

    python benchmarks/bench_scale.py [--clips 100000 1000000] [--only nothing read] [--keep FOLDER]

The dataset has UrbanSound8K's layout and real names in ten folders, all of a few files (hard links), so that every
look at a clip is a real one. The store is made as a run makes it, by the same functions: a plan, then for each shard
its Zarr object and its commit, with made-up vectors in place of decoded ones. Each figure is of a process of its own:
seconds by the clock, seconds of the processor, and the most memory that it ever had (`ru_maxrss`). Shards that are
submitted do nothing; there, memory is what client and scheduler grew by.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDS = 10
NAMES_PER_FILE = 30_000
"""Hard links to one file; file systems allow some ten thousands."""
CLIP_BYTES = 705_644
SHORT = ("--set", "max_seconds=0.02")
"""One frame per clip: nothing that is measured here depends on the number of frames."""
COMMITS_AT_ONCE = 16
STEPS = ("plan", "submit", "publish", "nothing", "relabel", "status", "read", "objects")
"""What is measured, in this order: it is one store's life."""
READ = "import sys, us8k_batch; print(us8k_batch.open_store(sys.argv[1]).pooled.shape)"


def write_metadata(folder: Path, clips: int, relabelled: int = 0) -> Iterator[tuple[int, str]]:
    """Write the metadata, every so many clips under another label; give fold and name of each clip meanwhile."""
    with (folder / "metadata/UrbanSound8K.csv").open("w") as metadata:
        metadata.write("slice_file_name,fsID,start,end,salience,fold,classID,class\n")
        for i in range(clips):
            recording, fold, kind = 100_000 + i // 4, 1 + i // 4 % FOLDS, i // 4 % 7
            name = f"{recording}-{kind}-0-{i % 4}.wav"
            start, label = i % 4 * 0.5, "other" if relabelled and i % relabelled == 0 else f"class_{kind}"
            metadata.write(f"{name},{recording},{start},{start + 4},{1 + i % 2},{fold},{kind},{label}\n")
            yield fold, name


def make_dataset(folder: Path, clips: int) -> None:
    """Write the metadata of so many clips, and their names."""
    for path in ("metadata", *(f"audio/fold{fold}" for fold in range(1, FOLDS + 1))):
        (folder / path).mkdir(parents=True)
    source = folder / "source"
    for i, (fold, name) in enumerate(write_metadata(folder, clips)):
        if i % NAMES_PER_FILE == 0:
            source.unlink(missing_ok=True)
            source.touch()
            os.truncate(source, CLIP_BYTES)
        os.link(source, folder / f"audio/fold{fold}/{name}")
    source.unlink()


def make_store(dataset: str, store: str) -> None:
    """Hand out rows to all clips and commit them; nothing is published."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from us8k_batch.catalog.dataset import open_catalog
    from us8k_batch.config import FeatureConfig
    from us8k_batch.features.engine import numeric_versions
    from us8k_batch.objects import open_objects
    from us8k_batch.store.commits import ClipResult, commit_shard
    from us8k_batch.store.layout import create_info, new_info, split_by_shard
    from us8k_batch.store.plans import create_plan

    objects = open_objects(store)
    info = create_info(objects, new_info(FeatureConfig(max_seconds=float(SHORT[1].partition("=")[2]))))
    clips = open_catalog(dataset).clips
    created = create_plan(objects, info, None, clips, numeric_versions(info.config, "auto"))
    assert created is not None
    rows, ids = created[1]["row"].to_numpy(), created[1]["clip_id"]

    def commit(part: tuple[int, int, int]) -> None:
        shard, start, end = part
        rng = np.random.default_rng(shard)
        frames = rng.standard_normal((end - start, info.config.n_mfcc, 1), dtype=np.float32)
        vectors = rng.standard_normal((end - start, info.vector_length), dtype=np.float32)
        results = [
            ClipResult(start + i, clip, rng.bytes(32).hex(), frames[i], vectors[i], 4.0)
            for i, clip in enumerate(ids.slice(start, end - start).to_pylist())
        ]
        commit_shard(objects, info, shard, results)

    with ThreadPoolExecutor(COMMITS_AT_ONCE) as pool:
        for _ in pool.map(commit, split_by_shard(rows, info.clips_per_shard)):
            pass


class Empty:
    """Stands for what a worker keeps."""

    def __init__(self, step_aside: Callable[[], None], _on_compiling: Callable[[float], object]) -> None:
        self.step_aside = step_aside

    def close_idle(self) -> None:
        """Nothing to give back."""

    def close(self) -> None:
        """Give nothing back."""


def do_nothing(workshop: Empty, task) -> int:
    """Stand for a shard's work."""
    workshop.step_aside()
    return len(task.clips)


def submit(clips: int) -> None:
    """Submit the shards of so many clips as a run does; print the seconds, and by how many MB memory grew."""
    import psutil
    from distributed import Client

    from us8k_batch.cluster.window import Cluster
    from us8k_batch.config import FeatureConfig
    from us8k_batch.settings import load_settings
    from us8k_batch.shard_task import Job, ShardTask
    from us8k_batch.store.layout import new_info
    from us8k_batch.workshop import Needs

    info = new_info(FeatureConfig(max_seconds=4.0))
    settings = load_settings({})
    job = Job("/data/UrbanSound8K", "/data/features", info, Needs(info.config, "auto", 1 << 31, 30.0), 1 << 30)
    size = info.clips_per_shard

    def names(shard: int) -> tuple[tuple[str, str], ...]:
        rows = range(shard * size, min(clips, (shard + 1) * size))
        return tuple((f"{i}-0-0-0.wav", f"audio/fold{i % FOLDS}/{i}-0-0-0.wav") for i in rows)

    tasks = (ShardTask(job, shard, names(shard)) for shard in range(-(-clips // size)))
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/scheduler.json"
        dask = (sys.executable, "-m", "dask")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        scheduler = subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file],
            **quiet,
        )
        workers = [
            subprocess.Popen(
                [*dask, "worker", "--scheduler-file", file, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                 "--local-directory", folder], **quiet
            )
            for _ in range(2)
        ]  # fmt: skip
        try:
            client = Client(scheduler_file=file, timeout=120)
            client.wait_for_workers(2, timeout=120)
            cluster = Cluster(client, settings, Empty, False, lambda _seconds, _machine: None)
            processes = {"client": psutil.Process(), "scheduler": psutil.Process(scheduler.pid)}
            before = {name: process.memory_info().rss for name, process in processes.items()}
            most = dict(before)
            began = time.perf_counter()
            done = 0
            for i, (_, n) in enumerate(cluster.run("bench", do_nothing, tasks)):
                done += n
                if i % 100 == 0:
                    for name, process in processes.items():
                        most[name] = max(most[name], process.memory_info().rss)
            assert done == clips
            grown = {name: round((most[name] - before[name]) / 2**20) for name in most}
            print(json.dumps({"seconds": time.perf_counter() - began, "tasks": i + 1, "grown": grown}))
            cluster.close()
        finally:
            for process in (*workers, scheduler):
                process.kill()
                process.wait()


def run(*command: str) -> tuple[str, str]:
    """Run a command; return what it cost and what it wrote."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)}: exit status {child.returncode}\n{err.read().decode()}")
        text = out.read().decode()
    mb = used.ru_maxrss / (2**10 if sys.platform == "linux" else 2**20)
    return f"{seconds:8.1f} s {used.ru_utime + used.ru_stime:8.1f} s of CPU {mb:8.0f} MB", text


def count_objects(store: Path) -> str:
    """Tell how many objects a store has, and how large they are, by folder."""
    found: dict[str, list[int]] = {}
    for path in store.rglob("*"):
        if path.is_file():
            found.setdefault(path.relative_to(store).parts[0], []).append(path.stat().st_size)
    return ", ".join(f"{name} {len(sizes)} ({sum(sizes) / 1e6:.0f} MB)" for name, sizes in sorted(found.items()))


def measure(step: str, clips: int, folder: Path) -> str:
    """Take one step of a store's life, and tell what it cost."""
    dataset, store = folder / "dataset", folder / "store"
    us8k = (sys.executable, "-m", "us8k_batch")
    extract = (*us8k, "extract", str(dataset), str(store), *SHORT, "--json")
    if step == "submit":
        values = json.loads(run(sys.executable, __file__, "--submit", str(clips))[1])
        grown = " and ".join(f"{name} +{mb} MB" for name, mb in values["grown"].items())
        return f"{values['seconds']:8.1f} s for {values['tasks']} shards that do nothing; {grown}"
    if not dataset.exists():
        make_dataset(dataset, clips)
    if step == "plan":
        cost, text = run(*us8k, "plan", str(dataset), str(folder / "nowhere"), *SHORT, "--json")
        assert json.loads(text.splitlines()[-1])["planned"]["new"] == clips
        return cost
    if not store.exists():
        run(sys.executable, __file__, "--make", str(dataset), str(store))
    if step == "publish":
        for name in ("snapshots", "pooled.parquet", "failures.parquet"):
            path = store / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if step == "relabel":
        for _ in write_metadata(dataset, clips, relabelled=100):
            pass
    if step in ("publish", "nothing", "relabel"):
        cost, text = run(*extract)
        done = json.loads(text.splitlines()[-1])
        assert (done["run_id"] is None) == (step == "nothing")
        assert (done["live"], done["failures"], done["extracted"]) == (clips, 0, 0)
        return cost
    if step == "objects":
        return count_objects(store)
    return run(*(*us8k, "status", str(store)) if step == "status" else (sys.executable, "-c", READ, str(store)))[0]


def main() -> None:
    """Measure every step for every number of clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--keep", help="folder to make datasets and stores in, and to leave them there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for clips in given.clips:
            folder = Path(given.keep or temporary) / str(clips)
            for step in (step for step in STEPS if step in given.only):
                print(f"{clips:>10,} clips  {step:<9}{measure(step, clips, folder)}", flush=True)
            if not given.keep:
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make_store(*sys.argv[2:])
    elif sys.argv[1:2] == ["--submit"]:
        submit(int(sys.argv[2]))
    else:
        main()

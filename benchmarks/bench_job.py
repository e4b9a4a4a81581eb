"""The whole job against a joblib loop over librosa, interleaved, on the same clips and the same number of processes.

    python benchmarks/bench_job.py [--clips 2000] [--workers 2] [--rounds 7]

Ours: from submit to published snapshot, all safety on (sha256, checksums, child processes, fsync). The loop: decode,
MFCC, mean, and one .npy file per clip, no more. Both are counted from warm workers; starting them is timed apart.
A round is the whole loop in four parts with one of our jobs after each, because machines that others use too are slow
for seconds at a time: our job alone would be over within one such spell. Of a round, our jobs' mean counts.
Fails if the numbers of both differ by more than 2e-3.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import soundfile
from distributed import LocalCluster
from results import keep
from sounds import make_sound

import us8k_batch
from us8k_batch.cluster.spec import STARTED
from us8k_batch.cluster.where import Where
from us8k_batch.recheck import TOLERANCE
from us8k_batch.run.extract import extract
from us8k_batch.run.options import Options
from us8k_batch.settings import load_settings
from us8k_batch.store.timings import timings

PARTS = 4
"""Of the loop in a round, each followed by one of our jobs."""

OUTSIDE = ("start", "decode", "encode", "hold", "idle")
"""Stages of a worker and its child outside of reading, hashing and the kernel; ``wait`` is for the child."""


class Silent:
    """Tells nobody anything."""

    def tell(self, message):
        """Say nothing."""

    def start(self, clips):
        """Count nothing."""

    def advance(self, report):
        """Count nothing."""

    def finish(self):
        """Stop counting nothing."""


def make_clips(folder: Path, clips: int) -> Path:
    """Write clips of 4 s, 44.1 kHz, stereo, 16 bit, and their manifest."""
    rng = np.random.default_rng(0)
    lines = ["path,label,fold,group"]
    (folder / "audio").mkdir(parents=True)
    for i in range(clips):
        soundfile.write(folder / f"audio/{i:05d}.wav", make_sound(rng, 44100, 2), 44100, subtype="PCM_16")
        lines.append(f"audio/{i:05d}.wav,{'ab'[i % 2]},{1 + i % 10},r{i}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def librosa_clip(path: Path, out: Path) -> None:
    """Do for one clip what the loop does."""
    import librosa

    samples, rate = librosa.load(path)
    mfcc = librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=40)
    mfcc.mean(axis=1)
    np.save(out / f"{path.stem}.npy", mfcc)


def run_ours(manifest: Path, store: Path, address: str) -> float:
    """Time one run from submit to published snapshot."""
    start = time.perf_counter()
    options = Options(
        dataset=str(manifest), store=str(store), settings=load_settings({}), where=Where(scheduler=address)
    )
    assert extract(options, Silent()).exit_status == 0
    return time.perf_counter() - start


def run_loop(pool: joblib.Parallel, paths: list[Path], out: Path) -> float:
    """Time the loop, or a part of it."""
    out.mkdir(exist_ok=True)
    start = time.perf_counter()
    pool(joblib.delayed(librosa_clip)(path, out) for path in paths)
    return time.perf_counter() - start


def main() -> None:
    """Run both in turn, and print times, ratio, agreement and where our time goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    import dask

    with tempfile.TemporaryDirectory() as name, dask.config.set(STARTED):
        folder = Path(name)
        manifest = make_clips(folder / "clips", given.clips)
        few = make_clips(folder / "few", 2 * 128 * given.workers)
        paths = sorted((folder / "clips/audio").glob("*.wav"))

        start = time.perf_counter()
        pool = joblib.Parallel(n_jobs=given.workers, batch_size=8)
        run_loop(pool, paths[: 16 * given.workers], folder / "warm-loop")
        loop_start = time.perf_counter() - start
        start = time.perf_counter()
        with LocalCluster(n_workers=given.workers, threads_per_worker=1, dashboard_address=None) as cluster:
            run_ours(few, folder / "warm-ours", cluster.scheduler_address)
            our_start = time.perf_counter() - start
            ours, loop = [], []
            for turn in range(given.rounds):
                parts, jobs = [], []
                for part in range(PARTS):
                    parts.append(run_loop(pool, paths[part::PARTS], folder / f"loop{turn}"))
                    jobs.append(run_ours(manifest, folder / f"store{turn}-{part}", cluster.scheduler_address))
                ours.append(statistics.mean(jobs))
                loop.append(sum(parts))
        store = us8k_batch.open_store(str(folder / "store0-0"))
        worst = 0.0
        for i, clip in enumerate(store.pooled.itertuples()):
            theirs = np.load(folder / f"loop0/{Path(clip.path).stem}.npy")
            worst = max(worst, float(np.abs(store.mfcc[i][:, : clip.n_frames] - theirs).max()))
        print(f"{given.clips} clips of 4 s, 44.1 kHz stereo, {given.workers} processes each, {given.rounds} rounds")
        for label, seconds in (("us8k extract", ours), ("joblib + librosa", loop)):
            ms = [1e3 * s / given.clips for s in seconds]
            print(f"{label:<18}{statistics.median(ms):8.2f} ms/clip (from {min(ms):.2f} to {max(ms):.2f})")
        print(f"start-up and a first small job: us8k {our_start:.1f} s, joblib {loop_start:.1f} s")
        measured = timings(str(folder / f"store{given.rounds - 1}-{PARTS - 1}"))
        assert measured is not None
        for row in measured["stages"]:
            print(f"  {row['stage']:<9}{row['where']:<8}{row['ms_per_clip']:8.3f} ms/clip{row['share']:8.1%}")
        stages = {row["stage"]: row["ms_per_clip"] for row in measured["stages"]}
        outside = sum(stages[stage] for stage in OUTSIDE)
        print(f"  {', '.join(OUTSIDE)}: {outside:.3f} ms, {outside / stages['compute']:.2f} of the kernel's")
        print("  phases: " + ", ".join(f"{phase} {spent:.2f} s" for phase, spent in measured["phases"].items()))
        keep(
            "job",
            {
                "clips": given.clips,
                "workers": given.workers,
                "ours": [1e3 * s / given.clips for s in ours],
                "loop": [1e3 * s / given.clips for s in loop],
                "start": [our_start, loop_start],
                "worst": worst,
                "outside": [list(OUTSIDE), outside],
                **measured,
            },
        )
        print(f"largest difference of any MFCC value: {worst:.2g} (at most {TOLERANCE:g})")
        if worst > TOLERANCE:
            raise SystemExit("the numbers differ")
        ratios = [b / a for a, b in zip(ours, loop, strict=True)]
        print(f"ratio {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()

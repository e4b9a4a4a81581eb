"""How the store lies on disk and in a bucket: chunks, shards and codecs measured; then our reader's own figures.

    python benchmarks/bench_storage.py [--dataset FOLDER] [--clips 8732] [--bucket]

The frames are those of real clips where a folder is named (or US8K_BENCH_DATASET names it), else of synthetic ones,
repeated until there are enough. Every layout is written and read by Zarr itself, shard by shard; sides take turns.
--bucket measures the same over S3, in a server of this machine. Fails if a frame is not read as it was written.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from bench_peers import find_clips
from numpy.typing import NDArray
from results import keep
from stores import make_store
from zarr.codecs import BloscCodec, BytesCodec, ShardingCodec, ZstdCodec
from zarr.storage import ObjectStore

import us8k_batch
from us8k_batch.catalog.synth import synthesise
from us8k_batch.config import FeatureConfig
from us8k_batch.features.engine import make_engine
from us8k_batch.objects import open_objects

N_FRAMES = 173
NONE = ()
ZSTD1, ZSTD3 = (ZstdCodec(level=1, checksum=True),), (ZstdCodec(level=3, checksum=True),)
LZ4 = (BloscCodec(cname="lz4", shuffle="shuffle", typesize=4),)
LAYOUTS = {
    (128, 8, "zstd 1"): ZSTD1,
    (128, 1, "zstd 1"): ZSTD1,
    (128, 32, "zstd 1"): ZSTD1,
    (128, 128, "zstd 1"): ZSTD1,
    (128, 8, "none"): NONE,
    (128, 8, "lz4, shuffled"): LZ4,
    (128, 8, "zstd 3"): ZSTD3,
    (32, 8, "zstd 1"): ZSTD1,
    (512, 8, "zstd 1"): ZSTD1,
}
"""Clips of a shard, clips of a chunk, codec; the first is the store's own."""


def make_frames(folder: Path | None, clips: int) -> NDArray[np.float32]:
    """Compute the frames of so many clips, all of 4 s."""
    engine = make_engine(FeatureConfig(max_seconds=600.0), "auto")
    with tempfile.TemporaryDirectory() as name:
        if folder is None:
            synthesise(name, clips=clips)
        made = [engine(path.read_bytes()).mfcc for path in find_clips(folder or Path(name), clips)]
    return np.stack([mfcc[:, :N_FRAMES] for mfcc in made if mfcc.shape[1] >= N_FRAMES])


def bench_layout(store, frames, shard, chunk, codecs, rng):
    """Write, read at random and scan one array; return what it took."""
    shape = frames.shape[1:]
    sharding = ShardingCodec(chunk_shape=(chunk, *shape), codecs=[BytesCodec(), *codecs])
    array = zarr.create(
        shape=frames.shape, chunks=(shard, *shape), dtype="f4", store=store, codecs=[sharding], zarr_format=3
    )
    start = time.perf_counter()
    for at in range(0, len(frames), shard):
        array[at : at + shard] = frames[at : at + shard]
    write = time.perf_counter() - start
    singles = []
    for at in rng.integers(len(frames), size=15).tolist():
        start = time.perf_counter()
        one = array[at]
        singles.append(time.perf_counter() - start)
        assert np.array_equal(one, frames[at])
    start = time.perf_counter()
    for at in range(0, len(frames), shard):
        assert array[at : at + shard].shape[1:] == shape
    scan = time.perf_counter() - start
    return 1e3 * write / len(frames), 1e3 * float(np.median(singles)), frames.nbytes / 1e6 / scan


def bench_layouts(make, frames, rounds: int) -> list[dict[str, object]]:
    """Print and return one row per layout; `make` opens a new place, and tells how many bytes it holds."""
    found: dict[tuple[int, int, str], list[tuple[float, float, float]]] = {key: [] for key in LAYOUTS}
    ratios = {}
    for turn in range(rounds):
        for key, codecs in LAYOUTS.items():
            store, size = make(f"{turn}-{key[0]}-{key[1]}-{key[2].replace(' ', '')}")
            found[key].append(bench_layout(store, frames, *key[:2], codecs, np.random.default_rng(turn)))
            ratios[key] = frames.nbytes / size()
    rows = []
    for key, taken in found.items():
        write, single, scan = np.median(taken, axis=0)
        rows.append(
            dict(zip(("shard", "chunk", "codec"), key, strict=True))
            | {"ratio": ratios[key], "write_ms": write, "single_ms": single, "scan_mb": scan}
        )
        print(f"{key!s:<28} ratio {ratios[key]:.2f}  write {write:.3f} ms/clip  one {single:.2f} ms  {scan:.0f} MB/s")
    return rows


def bench_reader(url: str, frames, clips: int, singles: int) -> dict[str, float]:
    """Write a store as a run does, and time what its readers do."""
    make_store(url, frames, clips)
    rng = np.random.default_rng(0)

    def median(function, times: int) -> float:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            function()
            taken.append(1e3 * (time.perf_counter() - start))
        return float(np.median(taken))

    store = us8k_batch.open_store(url)
    for at in rng.integers(clips, size=5).tolist():
        assert np.array_equal(store.mfcc[at][:, :N_FRAMES], frames[at % len(frames)])
    array = zarr.open_array(ObjectStore(open_objects(url).reader(), read_only=True), path="mfcc.zarr/mfcc", mode="r")
    size = 4 * np.prod(store.mfcc.shape) / 1e6
    result = {
        "clips": clips,
        "pooled_ms": median(lambda: us8k_batch.open_store(url).vectors(), 11),
        "single_ms": median(lambda: store.mfcc[int(rng.integers(clips))], singles),
        "zarr_single_ms": median(lambda: array[int(rng.integers(clips))], singles),
        "scan_mb": 1e3 * size / median(lambda: [0 for _ in store.mfcc.batches(256)], 3),
        "zarr_scan_mb": 1e3 * size / median(lambda: [array[at : at + 256].size for at in range(0, clips, 256)], 3),
    }
    print("  ".join(f"{name} {value:.2f}" for name, value in result.items()))
    return result


def main() -> None:
    """Print the tables and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=os.environ.get("US8K_BENCH_DATASET"))
    parser.add_argument("--clips", type=int, default=8732)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bucket", action="store_true", help="over S3 instead of on disk")
    given = parser.parse_args()
    frames = make_frames(given.dataset and Path(given.dataset), 400)
    few = np.tile(frames, (4, 1, 1))[:1024]
    kind = "real" if given.dataset else "synthetic"
    with tempfile.TemporaryDirectory() as name:
        if given.bucket:
            with_bucket(few[:512], frames, given, kind)
            return

        def place(key: str):
            folder = Path(name) / key
            folder.mkdir()
            store = zarr.storage.LocalStore(folder)
            return store, lambda: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

        layouts = bench_layouts(place, few, given.rounds)
        reader = bench_reader(f"{name}/store", frames, given.clips, 200)
    keep("storage-disk", {"kind": kind, "clips": len(few), "layouts": layouts, "reader": reader})


def with_bucket(few, frames, given, kind: str) -> None:
    """Measure over S3: a server in a process of its own, as it would be."""
    import subprocess
    import sys

    import boto3
    import obstore

    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "5657"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:5657", "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 5657)):
                break
            time.sleep(0.2)
        boto3.client("s3").create_bucket(Bucket="bench")

        def place(key: str):
            bucket = open_objects(f"s3://bench/{key}").reader()
            size = lambda: sum(entry["size"] for page in obstore.list(bucket) for entry in page)  # noqa: E731
            return ObjectStore(bucket), size

        layouts = bench_layouts(place, few, 1)
        reader = bench_reader("s3://bench/store", frames, min(given.clips, 2048), 30)
    finally:
        server.terminate()
        server.wait()
    keep("storage-bucket", {"kind": kind, "clips": len(few), "layouts": layouts, "reader": reader})


if __name__ == "__main__":
    main()

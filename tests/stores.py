"""Make catalogs and stores without audio, Dask or a cluster, in the order of writes of a real run."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.config import FeatureConfig
from us8k_batch.errors import Failure
from us8k_batch.features.pooling import pool
from us8k_batch.objects import Data, ObjectInfo, Objects, open_objects
from us8k_batch.planning.plan import Plan, Request, make_plan
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.run.prepare import what_is_known
from us8k_batch.run.work import planned_shards
from us8k_batch.store.commits import ClipResult, Outcome, abandon_shard, commit_shard, digest_frames
from us8k_batch.store.layout import INDEX_SCHEMA, StoreInfo, create_info, find_info, new_info
from us8k_batch.store.plans import create_plan
from us8k_batch.store.publish import publish
from us8k_batch.store.state import SnapshotRecord, State, load_state

CONFIG = FeatureConfig(n_mfcc=4, max_seconds=0.2)
VERSIONS = {"engine": "made up", "numpy": "2.0"}
CLIPS_PER_SHARD = 4
ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip of a dataset that is not there; its content stands for the bytes of its file."""

    clip_id: str
    fold: int = 1
    label: str = "dog"
    group: str | None = None
    content: str = "some sound"
    """A word; one that starts with ``bad`` cannot be decoded, with ``lost`` not be read by a worker."""
    mtime_ns: int = 1_000_000
    etag: str | None = None
    missing: bool = False

    @property
    def sha256(self) -> str:
        """Hex digest of the content."""
        return hashlib.sha256(self.content.encode()).hexdigest()


def make_clips(n: int = 12, *, folds: int = 3, labels: tuple[str, ...] = ("dog", "rain")) -> list[Clip]:
    """Make clips ``c000`` to, say, ``c011``, spread over folds; two of a recording; one content each."""
    return [
        Clip(
            clip_id=f"c{i:03d}",
            fold=1 + i // 2 % folds,
            label=labels[i % len(labels)],
            group=f"r{i // 2}",
            content=f"sound {i:03d}",
            mtime_ns=1_000_000 + i,
        )
        for i in range(n)
    ]


def change(clips: Iterable[Clip], clip_id: str, **changes: Any) -> list[Clip]:
    """Return the clips with one of them changed."""
    return [replace(clip, **changes) if clip.clip_id == clip_id else clip for clip in clips]


def without(clips: Iterable[Clip], *clip_ids: str) -> list[Clip]:
    """Return the clips but for some."""
    return [clip for clip in clips if clip.clip_id not in clip_ids]


def make_catalog(clips: Iterable[Clip], *, extra: Mapping[str, Callable[[Clip], Any]] | None = None) -> pa.Table:
    """Return what opening the dataset would: one row per clip, by fold, then clip_id; `extra` adds columns."""
    clips = sorted(clips, key=lambda clip: (clip.fold, clip.clip_id))
    there = [None if clip.missing else clip for clip in clips]

    def text(values: Iterable[str | None]) -> pa.Array:
        return pa.array(list(values), pa.string())

    columns: dict[str, pa.Array] = {
        "clip_id": text(clip.clip_id for clip in clips),
        "path": text(f"audio/{clip.clip_id}.wav" for clip in clips),
        "fold": pa.array([clip.fold for clip in clips], pa.int32()),
        "label": text(clip.label for clip in clips),
        "group": text(clip.group for clip in clips),
        **{name: pa.array([make(clip) for clip in clips]) for name, make in (extra or {}).items()},
        "size": pa.array([clip and len(clip.content) for clip in there], pa.int64()),
        "mtime_ns": pa.array([clip and clip.mtime_ns for clip in there], pa.int64()),
        "etag": text(clip and clip.etag for clip in there),
        "stage": text("read" if clip.missing else None for clip in clips),
        "error": text("missing" if clip.missing else None for clip in clips),
        "detail": text("no such file" if clip.missing else None for clip in clips),
    }
    return pa.table(columns)


def make_info(config: FeatureConfig = CONFIG, *, clips_per_shard: int = CLIPS_PER_SHARD) -> StoreInfo:
    """Describe a store of small shards."""
    return new_info(config, clips_per_shard)


def make_index(
    clips: Iterable[Clip], *, states: Iterable[str | None] | None = None, plans: Iterable[int] | None = None
) -> pa.Table:
    """Return the index of rows 0, 1, ..., each holding what was committed of a clip as it was then."""
    clips = list(clips)
    found = [make_result(clip, row) for row, clip in enumerate(clips)]
    failures = [result.failure for result in found]
    seen = make_catalog(replace(clip, clip_id=f"{i:09d}", fold=0) for i, clip in enumerate(clips))
    nothing = [None] * len(clips)
    columns: dict[str, list[Any]] = {
        "row": list(range(len(clips))),
        "clip_id": [clip.clip_id for clip in clips],
        "source_sha256": [result.source_sha256 for result in found],
        "n_frames": [None if result.frames is None else result.frames.shape[1] for result in found],
        "duration": [result.duration for result in found],
        "digest": [None if result.frames is None else digest_frames(result.frames) for result in found],
        **{
            name: [failure and getattr(failure, name) for failure in failures]
            for name in ("stage", "error", "detail")
        },
        "state": list(states) if states is not None else nothing,
        **{name: seen[name].to_pylist() for name in ("size", "mtime_ns", "etag")},
        "plan": list(plans) if plans is not None else [1] * len(clips),
        "shard_sha256": nothing,
        "commit_sha256": nothing,
    }
    return pa.table(columns, schema=INDEX_SCHEMA)


def make_frames(content: str, *, config: FeatureConfig = CONFIG) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Make a clip's frames, float32, shape (n_mfcc, n_frames): the same for the same content, others for others."""
    seed = int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    return rng.normal(size=(config.n_mfcc, int(rng.integers(1, config.frames + 1)))).astype(np.float32)


def make_result(clip: Clip, row: int, *, config: FeatureConfig = CONFIG) -> ClipResult:
    """Return what extracting a clip into a row would."""
    if clip.content.startswith("lost"):
        return ClipResult(row, clip.clip_id, None, failure=Failure("storage", "unreadable", "timed out"))
    if clip.missing:
        return ClipResult(row, clip.clip_id, None, failure=Failure("read", "missing", "no such file"))
    if clip.content.startswith("bad"):
        return ClipResult(row, clip.clip_id, clip.sha256, failure=Failure("decode", "not_decodable", clip.content))
    frames = make_frames(clip.content, config=config)
    pooled = pool(frames, config.statistics)
    return ClipResult(row, clip.clip_id, clip.sha256, frames, pooled, duration=len(clip.content) / 8)


def results(clips: Iterable[Clip], *, first_row: int = 0, config: FeatureConfig = CONFIG) -> list[ClipResult]:
    """Return the results of a shard's clips, from its first row on."""
    return [make_result(clip, first_row + i, config=config) for i, clip in enumerate(clips)]


@dataclass(kw_only=True)
class TinyRun:
    """One extraction run; each step can be called on its own, so that a test can stop between any two."""

    store: str
    clips: list[Clip]
    watch: Callable[[Objects], Objects] = lambda objects: objects
    """What to see the store through."""
    extra: Mapping[str, Callable[[Clip], Any]] | None = None
    info: StoreInfo = field(default_factory=make_info)
    versions: dict[str, str] = field(default_factory=lambda: dict(VERSIONS))
    retry_failed: bool = False
    refresh_versions: bool = False
    hashed: pa.Table | None = None
    extracted: list[str] = field(default_factory=list)
    """Clips that were computed, in order."""

    @property
    def objects(self) -> Objects:
        """The store's objects."""
        return self.watch(open_objects(self.store))

    @property
    def catalog(self) -> pa.Table:
        """The dataset as it is now."""
        return make_catalog(self.clips, extra=self.extra)

    @property
    def by_id(self) -> dict[str, Clip]:
        """The clips by name."""
        return {clip.clip_id: clip for clip in self.clips}

    def state(self) -> State:
        """Read what the store holds."""
        return load_state(self.objects, self.info)

    def plan(self, *, again: bool = True) -> Plan:
        """Look and plan, as a run does before its first write."""
        info = find_info(self.objects)
        state = load_state(self.objects, info) if info else None
        request = Request(self.versions, self.retry_failed and again, self.refresh_versions, again)
        return make_plan(self.catalog, what_is_known(self.objects, info, state), request, self.hashed)

    def hash(self, plan: Plan) -> None:
        """Hash the touched clips."""
        ids = plan.clips["clip_id"].take(pa.array(plan.hash)).to_pylist()
        digests = pa.array([self.by_id[clip_id].sha256 for clip_id in ids], pa.string())
        self.hashed = pa.table({"clip_id": pa.array(ids, pa.string()), "source_sha256": digests})

    def hand_out(self, plan: Plan) -> list[tuple[int, list[str]]] | None:
        """Give up what cannot be finished, hand out rows, and return shards and their clips."""
        for shard, reason in plan.abandon.items():
            abandon_shard(self.objects, self.info, shard, reason)
        parts = [plan.resume.select(["row", "clip_id"])]
        if len(plan.compute):
            plans = self.state().plans
            clips = plan.clips.take(pa.array(plan.compute))
            created = create_plan(self.objects, self.info, plans[-1] if plans else None, clips, self.versions)
            if created is None:
                return None
            parts.append(created[1].select(["row", "clip_id"]))
        rows = pa.concat_tables(parts).combine_chunks()
        return [
            (shard, part["clip_id"].to_pylist()) for shard, part in planned_shards(self.info, rows, rows["clip_id"])
        ]

    def extract(self, shards: Iterable[tuple[int, list[str]]]) -> list[Outcome]:
        """Compute and commit shards."""
        outcomes = []
        for shard, ids in shards:
            first = shard * self.info.clips_per_shard
            clips = [self.by_id.get(clip_id, Clip(clip_id=clip_id, missing=True)) for clip_id in ids]
            computed = results(clips, first_row=first, config=self.info.config)
            outcomes.append(commit_shard(self.objects, self.info, shard, computed))
            self.extracted.extend(ids)
        return outcomes

    def publish(self) -> SnapshotRecord | None:
        """Publish what is committed."""
        state = self.state()
        made = make_publication(self.catalog, state.index, self.hashed)
        return publish(self.objects, self.info, state, made.table, made.pending, made.metadata_columns)

    def run(self) -> Plan:
        """Bring the store up to date; return the plan that it started from."""
        first = plan = self.plan()
        if find_info(self.objects) is not None and plan.nothing_to_do:
            return first
        create_info(self.objects, self.info)
        if len(plan.hash):
            self.hash(plan)
            plan = self.plan()
        for turn in range(ROUNDS):
            handed_out = self.hand_out(plan)
            if handed_out is not None and Outcome.ABANDONED not in self.extract(handed_out):
                break
            plan = self.plan(again=turn == 0 and handed_out is None)
        assert self.publish() is not None
        return first


def run(store: str | Path, clips: list[Clip], **options: Any) -> TinyRun:
    """Bring a store up to date with a dataset; return the run, for what it extracted."""
    done = TinyRun(store=str(store), clips=clips, **options)
    done.run()
    return done


def make_history(folder: Path, clips: list[Clip]) -> Path:
    """Make a store of clips `c003`, `c004`, `gone` and others, with a past.

    It has superseded rows, an abandoned shard, failures if there are any, and three snapshots.
    """
    run(folder, without(clips, "gone"))
    changed = change(clips, "c003", content="a longer sound")
    with contextlib.suppress(KilledError):
        fuse = Fuse(2, stop, uses=WRITES)  # after its plan
        TinyRun(store=str(folder), clips=change(clips, "c004", content="longer and longer"), watch=fuse).run()
    run(folder, changed)
    run(folder, clips)
    return folder


def copy(store: str | Path, target: str | Path) -> str:
    """Copy a local store, file by file; return where to."""
    shutil.copytree(store, target)
    return str(target)


def files(store: str | Path, *, but: tuple[str, ...] = ("runs", "snapshots", "lease")) -> dict[str, bytes]:
    """Return a store's objects by key, but for the folders that may differ between equal stores."""
    objects = open_objects(str(store))
    return {info.key: objects.get(info.key) for info in objects.list("") if info.key.partition("/")[0] not in but}


def stamps(store: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode, size and time of every file of a local store: whatever is written anew shows."""
    return {
        str(path.relative_to(store)): (found.st_ino, found.st_size, found.st_mtime_ns)
        for path in sorted(store.rglob("*"))
        if path.is_file() and (found := path.stat())
    }


def live(store: str | Path, info: StoreInfo | None = None) -> list[str]:
    """Return the live clips of the newest snapshot, in their order."""
    published = load_state(open_objects(str(store)), info or make_info()).published
    return published.filter(pc.equal(published["state"], "live"))["clip_id"].to_pylist()  # type: ignore[union-attr]


def states(store: str | Path, info: StoreInfo | None = None) -> list[tuple[str, str]]:
    """Return clip and state of every row of the newest snapshot."""
    published = load_state(open_objects(str(store)), info or make_info()).published
    assert published is not None
    return list(zip(published["clip_id"].to_pylist(), published["state"].to_pylist(), strict=True))


def calls_of(function: Callable[[], Any]) -> int:
    """Count the calls that Python makes in a function: what works on whole columns makes as many for any length."""
    count = 0

    def note(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    function()  # imports and caches
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def arrow_peak(function: Callable[[], Any]) -> int:
    """Return the most bytes of Arrow's that a function holds at a time, beside what was there before."""
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    try:
        function()
    finally:
        pa.set_memory_pool(usual)
    return int(counted.max_memory())


def flips(data: bytes, *, most: int, seed: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes with one bit flipped, and which, at places spread over all of them."""
    bits = np.random.default_rng(seed).permutation(8 * len(data))[:most]
    for bit in bits.tolist():
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(flipped)


class KilledError(Exception):
    """The writer was killed."""


def stop() -> None:
    """Act as a kill would: nothing after it happens."""
    raise KilledError


WRITES = ("create", "replace", "delete")


class Fuse:
    """Lets something happen before the n-th time, from 0, that any of the objects seen through it are used.

    A kill before a read leaves what a kill before the next write does, so `uses` can be `WRITES` alone.
    """

    def __init__(self, at: int, happen: Callable[[], Any], *, uses: tuple[str, ...] = ()) -> None:
        self._at, self._happen, self._uses = at, happen, uses
        self.used = 0

    def __call__(self, objects: Objects) -> Objects:
        """See a store through it."""
        return Watched(objects, self)

    def burn(self, use: str) -> None:
        """Count one use."""
        if use in self._uses or not self._uses:
            self.used += 1
            if self.used == self._at + 1:
                self._happen()

    @property
    def blown(self) -> bool:
        """Whether it has happened."""
        return self.used > self._at


class Watched:
    """Objects whose every use burns a fuse."""

    def __init__(self, objects: Objects, fuse: Fuse) -> None:
        self._objects, self._fuse = objects, fuse

    @property
    def url(self) -> str:
        """The root."""
        return self._objects.url

    def _step(self, use: str) -> Objects:
        self._fuse.burn(use)
        return self._objects

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self._step("get").get(key)

    def get_tail(self, key: str, length: int) -> bytes:
        """Return an object's end."""
        return self._step("get_tail").get_tail(key, length)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[Any]:
        """Return parts of an object."""
        return self._step("get_ranges").get_ranges(key, ranges)

    def open(self, key: str) -> BinaryIO:
        """Open an object."""
        return self._step("open").open(key)

    def create(self, key: str, data: Data) -> bool:
        """Create an object."""
        return self._step("create").create(key, data)

    def replace(self, key: str, data: Data) -> None:
        """Replace an object."""
        self._step("replace").replace(key, data)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._step("delete").delete(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """List objects."""
        return self._step("list").list(prefix, after)

    def leftovers(self) -> Iterator[str]:
        """List temporary files."""
        return self._step("leftovers").leftovers()

    def reader(self) -> Any:
        """Return the obstore store."""
        return self._step("reader").reader()

    def zarr_store(self) -> Any:
        """Return the Zarr store."""
        return self._step("zarr_store").zarr_store()

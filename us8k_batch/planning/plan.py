"""The plan of one run: which clips to compute, hash, settle and publish, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.planning.resolve import SEEN, Mask, Positions, Resolution, Status, Wish, resolve

SCAN_COLUMNS = (*SEEN, "stage", "error", "detail")
"""Columns of the catalog that tell what the scan saw; the others are the dataset's and are published."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a store holds, as far as planning needs it."""

    index: pa.Table
    """Every committed row."""
    pending: pa.Table
    """Rows handed out in shards that are not committed: row, shard, clip_id, size, mtime_ns, etag, plan."""
    published: pa.Table | None
    """The newest snapshot; None before the first publication."""
    versions: dict[int, dict[str, str]]
    """Engine and library versions by plan number."""
    published_columns: tuple[str, ...] = ()
    """The dataset's columns in the newest snapshot."""
    published_pending: int = 0
    """Clips whose result was not there yet when the newest snapshot was made."""
    unsettled: bool = False
    """Whether something was committed or abandoned that no snapshot knows."""
    tables_current: bool = True
    """Whether the published tables are the newest snapshot's."""


@dataclass(frozen=True, slots=True)
class Request:
    """What this run would compute with, and what it was asked to compute again."""

    versions: dict[str, str]
    """Present engine and library versions."""
    retry_failed: bool = False
    """Try every failed clip again."""
    refresh_versions: bool = False
    """Compute again what was computed with other versions."""
    retry_storage: bool = True
    """Try clips again whose storage did not answer; a run does so once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run will do: a frozen value, apart from its execution."""

    clips: pa.Table
    """The catalog."""
    resolution: Resolution
    """What is known of each clip."""
    compute: Positions
    """Clips that need new rows, in the order of the catalog."""
    hash: Positions
    """Touched clips, to be hashed before it is known whether they changed."""
    resume: pa.Table
    """Rows of earlier plans to be finished, with `place`, the clip's position in the catalog."""
    abandon: dict[int, str]
    """Shards of earlier plans to be given up, and why."""
    relabelled: Positions
    """Clips whose published metadata differ from the catalog, or that come back without decoding."""
    removed: int
    """Published clips that the catalog no longer names."""
    unpublished: int
    """Live clips that would leave the published tables: removed or gone missing."""
    live: int
    """Clips that are live in the newest snapshot."""
    publish: tuple[str, ...]
    """Why something is to be published; empty if nothing is."""

    @property
    def nothing_to_do(self) -> bool:
        """Whether the store is up to date with the dataset."""
        return not (len(self.compute) or len(self.hash) or len(self.resume) or self.abandon or self.publish)

    @property
    def n_extract(self) -> int:
        """Number of clips that will be decoded, as far as is known before touched ones are hashed."""
        return len(self.compute) + len(self.resume)

    @property
    def read_bytes(self) -> int:
        """Number of bytes that will be read from the dataset."""
        wanted = np.concatenate([self.compute, self.hash, self.resume["place"].to_numpy()])
        return int(pc.sum(self.clips["size"].take(pa.array(wanted))).as_py() or 0)

    def counts(self) -> dict[str, int]:
        """Count the clips by what will happen to them."""
        status = self.resolution.status
        count = {member: int(np.count_nonzero(status == member)) for member in Status}
        return {
            "new": count[Status.NEW],
            "changed": count[Status.CHANGED] + count[Status.REFRESH],
            "touched": count[Status.TOUCHED] + count[Status.CONFIRMED],
            "relabelled": len(self.relabelled),
            "retried": count[Status.RETRY],
            "removed": self.removed,
            "missing": count[Status.MISSING],
            "unchanged": count[Status.UNCHANGED] + count[Status.RETURNED] - len(self.relabelled),
        }


def make_plan(clips: pa.Table, known: Known, request: Request, hashed: pa.Table | None = None) -> Plan:
    """Compare what is wanted with what is there; no disk, no Dask, no clock.

    Parameters
    ----------
    clips : pa.Table
        The catalog, ordered by fold and clip_id.
    known : Known
        What the store holds.
    request : Request
        What would be computed with, and what is to be computed again.
    hashed : pa.Table
        clip_id and source_sha256 of touched clips that were hashed in this run.
    """
    others = frozenset(n for n, versions in known.versions.items() if versions != request.versions)
    wish = Wish(request.retry_failed, others if request.refresh_versions else frozenset(), request.retry_storage)
    resolution = resolve(clips, known.index, hashed, wish)
    resume, abandon = _settle(clips, known, request.versions)
    wanted = resolution.where(Status.NEW, Status.CHANGED, Status.RETRY, Status.REFRESH)
    compute = wanted[~np.isin(wanted, resume["place"].to_numpy())]
    live = _published_ids(known.published, "live")
    named = pc.is_in(live, value_set=clips["clip_id"]).to_numpy()
    missing = clips["clip_id"].take(pa.array(resolution.where(Status.MISSING)))
    removed = _count_removed(known.published, clips)
    relabelled = _relabelled(clips, known, resolution)
    waiting = resolution.where(Status.NEW, Status.CHANGED, Status.TOUCHED)
    reasons = {
        "nothing was published yet": known.published is None,
        "results were committed after the last publication": known.unsettled,
        "the published tables are not the newest snapshot's": not known.tables_current,
        "the clips that the last publication waited for left, or are back": known.published_pending > 0
        and not len(waiting),
        "clips left the dataset": removed > 0,
        "metadata changed, or clips came back": len(relabelled) > 0,
        "other clips are missing than before": _missing_differ(clips, known.published),
    }
    return Plan(
        clips=clips,
        resolution=resolution,
        compute=compute,
        hash=resolution.where(Status.TOUCHED),
        resume=resume,
        abandon=abandon,
        relabelled=relabelled,
        removed=removed,
        unpublished=int((~named).sum()) + int(pc.sum(pc.is_in(missing, value_set=live)).as_py() or 0),
        live=len(live),
        publish=tuple(reason for reason, holds in reasons.items() if holds),
    )


def metadata_columns(clips: pa.Table) -> list[str]:
    """Return the catalog's columns that are published: all but what the scan saw."""
    return [name for name in clips.column_names if name not in SCAN_COLUMNS]


def _settle(clips: pa.Table, known: Known, versions: dict[str, str]) -> tuple[pa.Table, dict[int, str]]:
    """Split the uncommitted shards of earlier plans into those to finish and those to give up."""
    pending = known.pending
    place = pc.fill_null(pc.index_in(pending["clip_id"], value_set=clips["clip_id"]), -1)
    pending = pending.append_column("place", place.cast(pa.int64()))
    at = place.to_numpy()
    seen = clips.select([*SEEN, "error"]).take(pa.array(np.maximum(at, 0))) if len(clips) else None
    gone: Mask = at < 0
    moved = np.zeros(len(pending), dtype=np.bool_)
    if seen is not None:
        for name in SEEN:
            blank = pa.scalar("" if name == "etag" else -1, seen[name].type)
            moved |= pc.not_equal(pc.fill_null(seen[name], blank), pc.fill_null(pending[name], blank)).to_numpy()
        moved |= pc.is_valid(seen["error"]).to_numpy()
    plans = pending["plan"].to_numpy()
    stale = np.isin(plans, [number for number, used in known.versions.items() if used != versions])
    abandon: dict[int, str] = {}
    shards = pending["shard"].to_numpy()
    for mask, why in (
        (stale, "engine or numeric library versions are no longer those of its plan"),
        (gone, "a clip left the dataset: "),
        (moved & ~gone, "a clip is no longer as its plan saw it: "),
    ):
        for shard, position in zip(*np.unique(shards[mask], return_index=True), strict=True):
            clip = pending["clip_id"][int(np.flatnonzero(mask)[position])].as_py()
            abandon.setdefault(int(shard), why + (clip if why.endswith(": ") else ""))
    keep = ~np.isin(shards, list(abandon))
    return pending.filter(pa.array(keep)), abandon


def _published_ids(published: pa.Table | None, *states: str) -> pa.ChunkedArray:
    if published is None:
        return pa.chunked_array([], pa.string())
    return published["clip_id"].filter(pc.is_in(published["state"], pa.array(states)))


def _count_removed(published: pa.Table | None, clips: pa.Table) -> int:
    there = _published_ids(published, "live", "failed", "missing")
    return len(there) - int(pc.sum(pc.is_in(there, value_set=clips["clip_id"])).as_py() or 0)


def _relabelled(clips: pa.Table, known: Known, resolution: Resolution) -> Positions:
    returned = resolution.status == Status.RETURNED
    published = known.published
    if published is None:
        return np.flatnonzero(returned)
    # Columns are taken one by one: together they would be the whole table once more.
    rows = np.flatnonzero(pc.is_in(published["state"], pa.array(["live", "failed"])).to_numpy())
    ids = published["clip_id"].take(pa.array(rows))
    place = pc.fill_null(pc.index_in(clips["clip_id"], value_set=ids), -1).to_numpy()
    unchanged = (resolution.status == Status.UNCHANGED) & (place >= 0)
    names = metadata_columns(clips)
    if tuple(names) != known.published_columns or published.select(names).schema != clips.select(names).schema:
        return np.flatnonzero(unchanged | returned)
    at = np.flatnonzero(unchanged)
    then_at = pa.array(rows[place[at]])
    differs = np.zeros(len(clips), dtype=np.bool_)
    for name in names:
        differs[at] |= _differs(clips[name].take(pa.array(at)), published[name].take(then_at))
    return np.flatnonzero(differs | returned)


def _differs(now: pa.ChunkedArray, then: pa.ChunkedArray) -> Mask:
    if pa.types.is_null(now.type):
        return np.zeros(len(now), dtype=np.bool_)
    if pa.types.is_float16(now.type):
        now, then = now.cast(pa.float32()), then.cast(pa.float32())
    both_null = pc.and_(pc.is_null(now, nan_is_null=True), pc.is_null(then, nan_is_null=True))
    equal = pc.or_(both_null, pc.fill_null(pc.equal(now, then), False))
    differs: Mask = ~equal.to_numpy()
    return differs


def _missing_differ(clips: pa.Table, published: pa.Table | None) -> bool:
    columns = ["clip_id", "stage", "error", "detail"]
    now = clips.select(columns).filter(pc.is_valid(clips["error"]))
    if published is None:
        return len(now) > 0
    then = published.select(columns).filter(pc.equal(published["state"], "missing"))
    return not now.sort_by("clip_id").equals(then.sort_by("clip_id"))

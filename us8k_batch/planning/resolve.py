"""Which committed row, if any, holds each clip's present result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SEEN = ("size", "mtime_ns", "etag")
"""What tells quickly that a clip's source is the same."""

Mask = NDArray[np.bool_]
Positions = NDArray[np.int64]


class Status(IntEnum):
    """What is known of one clip of the catalog."""

    UNCHANGED = 0
    """Its source looks as it did when it was committed."""
    CONFIRMED = 1
    """Touched, hashed in this run, and the same bytes."""
    RETURNED = 2
    """Had left the dataset, or was changed for a while, and is back unchanged."""
    RETRY = 3
    """Unchanged, failed, and to be tried again."""
    REFRESH = 4
    """Unchanged, but computed with other versions than the present ones."""
    TOUCHED = 5
    """Same size, other time or ETag: its bytes must be hashed to know."""
    CHANGED = 6
    """Its source is another one than every committed one."""
    NEW = 7
    """No row was ever committed for it."""
    MISSING = 8
    """The catalog names it, and there is no readable file."""


HAS_RESULT = (Status.UNCHANGED, Status.CONFIRMED, Status.RETURNED, Status.RETRY, Status.REFRESH)
"""Clips whose committed row is their present result, whether or not a new one is wanted."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run was asked to compute again although nothing changed."""

    retry_failed: bool = False
    """Try every failed clip again, not only those whose storage did not answer."""
    refresh: frozenset[int] = frozenset()
    """Plans whose clips are to be computed again, because their versions are not the present ones."""
    retry_storage: bool = True
    """Try clips again whose storage did not answer."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """For each clip of the catalog, its status and its row."""

    status: NDArray[np.int8]
    """`Status`, one per clip."""
    place: Positions
    """Position in the index of the row that holds, or last held, its result; -1 if there is none."""
    is_current: Mask
    """One per index row: whether it is the newest row of its clip."""

    def where(self, *statuses: Status) -> Positions:
        """Return the positions of the clips with one of these statuses, ascending."""
        return np.flatnonzero(np.isin(self.status, statuses)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The index, and the order in which its rows are candidates for a clip."""

    index: pa.Table
    order: Positions
    ids: pa.ChunkedArray
    is_current: Mask


NOTHING_HASHED = pa.table({"clip_id": pa.array([], pa.string()), "source_sha256": pa.array([], pa.string())})


def resolve(clips: pa.Table, index: pa.Table, hashed: pa.Table | None = None, wish: Wish | None = None) -> Resolution:
    """Find each clip's present result among the committed rows.

    Parameters
    ----------
    clips : pa.Table
        The catalog: clip_id, size, mtime_ns, etag, and error (null where the clip can be read).
    index : pa.Table
        Every committed row: clip_id, row, state, size, mtime_ns, etag, source_sha256, stage, error, plan.
    hashed : pa.Table
        clip_id and source_sha256 (hex) of the clips that were touched and hashed in this run.
    wish : Wish
        What to compute again although nothing changed.

    Returns
    -------
    Resolution

    Notes
    -----
    Of several rows of one clip the newest that was not superseded is tried first. A clip that went back to
    an earlier version finds that version's row by its time, or by its hash.
    """
    hashed = NOTHING_HASHED if hashed is None else hashed
    rows = _candidates(index)
    first = pc.fill_null(pc.index_in(clips["clip_id"], value_set=rows.ids), -1).to_numpy().astype(np.int64)
    place = np.where(first >= 0, rows.order[first], -1) if len(rows.order) else first
    absent = pc.is_valid(clips["error"]).to_numpy()
    same = _looks_same(clips, index, place) & ~absent
    status = np.full(len(clips), Status.CHANGED, dtype=np.int8)
    status[place < 0] = Status.NEW

    doubtful = np.flatnonzero(~same & ~absent & (place >= 0))
    _settle_doubtful(clips, rows, doubtful, hashed, status, place)
    status[same] = Status.UNCHANGED
    status[absent] = Status.MISSING
    _apply_wish(index, place, status, wish or Wish())
    return Resolution(status, place, rows.is_current)


def _candidates(index: pa.Table) -> _Rows:
    superseded = pc.fill_null(pc.equal(index["state"], "superseded"), False).to_numpy()
    order = np.lexsort((-index["row"].to_numpy(), superseded)).astype(np.int64)
    ids = index["clip_id"].take(pa.array(order))
    rank = np.empty(len(index), dtype=np.int64)
    rank[order] = np.arange(len(index))
    return _Rows(index, order, ids, pc.index_in(index["clip_id"], value_set=ids).to_numpy() == rank)


def _looks_same(clips: pa.Table, index: pa.Table, place: Positions) -> Mask:
    if not len(index):
        return np.zeros(len(clips), dtype=np.bool_)
    taken = index.select(SEEN).take(pa.array(np.maximum(place, 0)))
    same = place >= 0
    for name in SEEN:
        blank = pa.scalar("" if name == "etag" else -1, taken[name].type)
        equal = pc.equal(pc.fill_null(clips[name], blank), pc.fill_null(taken[name], blank))
        same &= equal.to_numpy()
    return same


def _apply_wish(index: pa.Table, place: Positions, status: NDArray[np.int8], wish: Wish) -> None:
    """Tell returned clips, and those to compute again, from the merely unchanged ones."""
    held = np.flatnonzero(np.isin(status, (Status.UNCHANGED, Status.CONFIRMED, Status.RETURNED)))
    if not len(held):
        return
    taken = index.select(["state", "stage", "error", "plan"]).take(pa.array(place[held]))
    away = pc.is_in(taken["state"], value_set=pa.array(["removed", "superseded"])).to_numpy()
    status[held[away & (status[held] == Status.UNCHANGED)]] = Status.RETURNED
    plans = pa.array(sorted(wish.refresh), pa.int64())
    status[held[pc.is_in(taken["plan"], plans).to_numpy()]] = Status.REFRESH
    failed = pc.is_valid(taken["error"]).to_numpy()
    # A clip that the catalog sees and a worker did not is the storage's fault too: a lost mount.
    lost = pc.or_kleene(pc.equal(taken["stage"], "storage"), pc.equal(taken["error"], "missing"))
    storage = pc.fill_null(lost, False).to_numpy()
    again = (failed & wish.retry_failed) | (storage & wish.retry_storage)
    status[held[again]] = Status.RETRY


def _settle_doubtful(
    clips: pa.Table,
    rows: _Rows,
    doubtful: Positions,
    hashed: pa.Table,
    status: NDArray[np.int8],
    place: Positions,
) -> None:
    """Decide clips that do not look like their newest row."""
    if not len(doubtful):
        return
    clips = clips.select(["clip_id", *SEEN]).take(pa.array(doubtful))
    found = pc.index_in(clips["clip_id"], value_set=hashed["clip_id"])
    digests = hashed["source_sha256"].take(found)
    newest = rows.index.select(["size", "source_sha256"]).take(pa.array(place[doubtful]))
    confirmed = pc.fill_null(pc.equal(newest["source_sha256"], digests), False).to_numpy()
    alike = pc.and_(pc.equal(newest["size"], clips["size"]), pc.is_valid(newest["source_sha256"]))
    touched = pc.and_(pc.fill_null(alike, False), pc.is_null(digests)).to_numpy()
    status[doubtful] = np.select([confirmed, touched], [Status.CONFIRMED, Status.TOUCHED], default=Status.CHANGED)

    # Only clips with a history are looked at one by one: an earlier version may be back.
    older = rows.index["clip_id"].filter(pa.array(~rows.is_current))
    with_history = np.flatnonzero(pc.is_in(clips["clip_id"], value_set=older).to_numpy() & ~confirmed)
    history = _history(rows, clips["clip_id"].take(pa.array(with_history)))
    for i, clip in zip(with_history, clips.take(pa.array(with_history)).to_pylist(), strict=True):
        verdict, row = _decide(clip, history[clip["clip_id"]], digests[int(i)].as_py())
        status[doubtful[i]] = verdict
        place[doubtful[i]] = place[doubtful[i]] if row is None else row


def _history(rows: _Rows, ids: pa.ChunkedArray) -> dict[str, list[dict[str, Any]]]:
    near = rows.order[np.flatnonzero(pc.is_in(rows.ids, value_set=ids).to_numpy())]
    table = rows.index.select(["clip_id", *SEEN, "source_sha256"]).take(pa.array(near))
    history: dict[str, list[dict[str, Any]]] = {}
    for position, row in zip(near, table.to_pylist(), strict=True):
        history.setdefault(row["clip_id"], []).append({**row, "place": int(position)})
    return history


def _decide(clip: dict[str, Any], candidates: list[dict[str, Any]], digest: str | None) -> tuple[Status, int | None]:
    for row in candidates:
        if all(row[name] == clip[name] for name in SEEN):
            return Status.RETURNED, row["place"]
        if digest is not None and row["source_sha256"] == digest:
            return Status.CONFIRMED, row["place"]
    if digest is None and any(row["size"] == clip["size"] and row["source_sha256"] is not None for row in candidates):
        return Status.TOUCHED, None
    return Status.CHANGED, None

"""The table of a publication: a pure function of the catalog and the committed rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.planning.plan import metadata_columns
from us8k_batch.planning.resolve import HAS_RESULT, SEEN, Status, resolve


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published."""

    table: pa.Table
    """One line per committed row, ascending, then one per missing clip: index columns, then the dataset's."""
    pending: int
    """Clips whose present result is not there yet."""
    metadata_columns: tuple[str, ...]
    """The dataset's columns, in its order."""


def make_publication(clips: pa.Table, index: pa.Table, hashed: pa.Table | None = None) -> Publication:
    """Decide every committed row's state, and give live rows their present metadata.

    Parameters
    ----------
    clips : pa.Table
        The catalog, ordered by fold and clip_id.
    index : pa.Table
        Every committed row, ascending.
    hashed : pa.Table
        clip_id and source_sha256 of touched clips that were hashed in this run.

    Returns
    -------
    Publication
        A clip that changed and has no new result yet is in no live row, and counts as pending.
    """
    resolution = resolve(clips, index, hashed)
    held = resolution.where(*HAS_RESULT)
    rows = resolution.place[held]
    clip_of_row = np.full(len(index), -1, dtype=np.int64)
    clip_of_row[rows] = held

    failed = pc.is_valid(index["error"]).to_numpy()
    present = clips.filter(pc.is_null(clips["error"]))
    named = pc.is_in(index["clip_id"], value_set=present["clip_id"]).to_numpy()
    state = np.full(len(index), "superseded", dtype=object)
    state[resolution.is_current & ~named] = "removed"
    state[clip_of_row >= 0] = "live"
    state[(clip_of_row >= 0) & failed] = "failed"

    columns = {name: index[name] for name in index.column_names}
    columns["state"] = pa.array(state, pa.string())
    place = pa.array(clip_of_row, mask=clip_of_row < 0)
    known = pc.is_valid(place)
    for name in SEEN:
        columns[name] = pc.if_else(known, clips[name].take(place), index[name])
    names = metadata_columns(clips)
    for name in names:
        if name != "clip_id":
            columns[name] = clips[name].take(place)
    table = pa.table(columns)
    missing = _missing(clips.take(pa.array(resolution.where(Status.MISSING))), table.schema)
    pending = len(clips) - len(held) - len(missing)
    return Publication(pa.concat_tables([table, missing]).combine_chunks(), pending, tuple(names))


def _missing(clips: pa.Table, schema: pa.Schema) -> pa.Table:
    told = ("clip_id", "stage", "error", "detail")
    return pa.table(
        {
            field.name: clips[field.name]
            if field.name in told
            else pa.array(["missing"] * len(clips), pa.string())
            if field.name == "state"
            else pa.nulls(len(clips), field.type)
            for field in schema
        },
        schema=schema,
    )

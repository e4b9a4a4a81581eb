"""The table of a publication: a pure function of the catalog and the committed rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from us8k_batch.planning.plan import metadata_columns
from us8k_batch.planning.resolve import HAS_RESULT, SEEN, Positions, Status, resolve


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published."""

    table: pa.Table
    """One line per committed row, ascending, then one per missing clip: index columns, then the dataset's."""
    pending: int
    """Clips whose present result is not there yet."""
    metadata_columns: tuple[str, ...]
    """The dataset's columns, in its order."""


PIECE_ROWS = 131_072
"""Rows that are put together at a time."""
STATES = pa.array(["superseded", "removed", "live", "failed"])
Gather = Callable[[pa.Schema, Iterable[pa.Table]], pa.Table]
"""Puts the pieces of a table, of one schema, together."""


def _in_memory(schema: pa.Schema, pieces: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *pieces]).combine_chunks()


def make_publication(
    clips: pa.Table, index: pa.Table, hashed: pa.Table | None = None, gather: Gather = _in_memory
) -> Publication:
    """Decide every committed row's state, and give live rows their present metadata.

    Parameters
    ----------
    clips : pa.Table
        The catalog, ordered by fold and clip_id.
    index : pa.Table
        Every committed row, ascending.
    hashed : pa.Table
        clip_id and source_sha256 of touched clips that were hashed in this run.
    gather : callable
        Puts the table together, which comes in pieces; in memory, if nothing else is said.

    Returns
    -------
    Publication
        A clip that changed and has no new result yet is in no live row, and counts as pending.
    """
    resolution = resolve(clips, index, hashed)
    held = resolution.where(*HAS_RESULT)
    clip_of_row = np.full(len(index), -1, dtype=np.int64)
    clip_of_row[resolution.place[held]] = held

    failed = pc.is_valid(index["error"]).to_numpy()
    present = clips["clip_id"].filter(pc.is_null(clips["error"]))
    named = pc.is_in(index["clip_id"], value_set=present).to_numpy()
    state = np.zeros(len(index), dtype=np.int8)
    state[resolution.is_current & ~named] = 1
    state[clip_of_row >= 0] = 2
    state[(clip_of_row >= 0) & failed] = 3

    names = metadata_columns(clips)
    added = [clips.schema.field(name) for name in names if name != "clip_id"]
    schema = pa.schema([*index.schema, *added]).remove_metadata()
    missing = resolution.where(Status.MISSING)

    def pieces() -> Iterator[pa.Table]:
        for start in range(0, len(index), PIECE_ROWS):
            part = slice(start, start + PIECE_ROWS)
            yield _committed(index.slice(start, PIECE_ROWS), clips, clip_of_row[part], state[part], schema)
        for start in range(0, len(missing), PIECE_ROWS):
            yield _missing(clips.take(pa.array(missing[start : start + PIECE_ROWS])), schema)

    pending = len(clips) - len(held) - len(missing)
    return Publication(gather(schema, pieces()), pending, tuple(names))


def _committed(
    rows: pa.Table, clips: pa.Table, clip_of_row: Positions, state: NDArray[np.int8], schema: pa.Schema
) -> pa.Table:
    """Return rows of the index with their state, and what the catalog says of their clips."""
    place = pa.array(clip_of_row, mask=clip_of_row < 0)
    known = pc.is_valid(place)
    columns = {name: rows[name] for name in rows.column_names}
    columns["state"] = STATES.take(pa.array(state))
    for name in SEEN:
        columns[name] = pc.if_else(known, clips[name].take(place), rows[name])
    columns |= {name: clips[name].take(place) for name in schema.names[len(rows.column_names) :]}
    return pa.table(columns, schema=schema)


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

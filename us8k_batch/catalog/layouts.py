"""From a metadata file's own columns to those of a catalog, for each layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.columns import (
    decimals,
    filled_text,
    is_published,
    names_of_recordings,
    require_columns,
    settled,
    whole_numbers,
    with_columns,
)
from us8k_batch.catalog.locate import URBANSOUND8K, Place
from us8k_batch.catalog.metadata import Metadata
from us8k_batch.catalog.paths import relative_paths
from us8k_batch.errors import DatasetError

CLIP_COLUMNS = ("clip_id", "path", "fold", "label", "group")
"""What every catalog says of a clip, in this order."""
URBANSOUND8K_COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
URBANSOUND8K_NEEDED = ("slice_file_name", "fsID", "fold", "class")
MANIFEST_NEEDED = ("path", "label", "fold")
MANIFEST_COLUMNS = (*MANIFEST_NEEDED, "group", "clip_id")
AUDIO = "audio/"
"""Where UrbanSound8K's folds are below its folder."""
TIMES = frozenset(
    f"{word}{unit}"
    for word in ("start", "end", "onset", "offset", "begin", "stop")
    for unit in ("", "_time", "_s", "_sec", "_seconds")
)
"""Names of columns, in small letters, that tell which part of a file is meant."""


def clips_of(place: Place, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Describe the clips of a dataset that was found; see `describe_clips`."""
    return describe_clips(place.layout, place.metadata, audio=place.audio, columns=columns)


def describe_clips(
    layout: str, metadata: Metadata, *, audio: str = AUDIO, columns: Mapping[str, str] | None = None
) -> pa.Table:
    """Return one row per row of the metadata, in its order: `CLIP_COLUMNS`, then the dataset's other columns.

    Parameters
    ----------
    layout : str
        ``urbansound8k`` or ``manifest``.
    metadata : Metadata
        The rows as they stand in the file.
    audio : str
        What UrbanSound8K's folds are below, with a slash at its end; empty if they are beside the metadata.
    columns : mapping, optional
        By our name of a column, its name in the file.

    Raises
    ------
    DatasetError
        If a column is missing or has a name of ours with another meaning, a value cannot be right, or two rows have
        one clip_id; it names the row.
    """
    if layout == URBANSOUND8K:
        clips = _urbansound8k(with_columns(metadata, columns or {}, URBANSOUND8K_COLUMNS), audio)
    else:
        clips = _manifest(with_columns(metadata, columns or {}, MANIFEST_COLUMNS))
    ids = clips["clip_id"]
    if pc.count_distinct(ids).as_py() < len(ids):
        counts = pc.value_counts(ids)
        doubled = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"]
        first, second = pc.indices_nonzero(pc.equal(ids, doubled)).to_pylist()[:2]
        text_of_first = str(metadata.refuse(first, "")).rstrip(": ")
        raise metadata.refuse(second, f"clip_id {doubled.as_py()!r} stands already at {text_of_first}: expected once")
    return clips


def _urbansound8k(metadata: Metadata, audio: str) -> pa.Table:
    names = metadata.table.column_names
    if "class_name" in names and "class" not in names:
        names = ["class" if name == "class_name" else name for name in names]
        metadata = replace(metadata, table=metadata.table.rename_columns(names), given={"class": "class_name"})
    require_columns(metadata, URBANSOUND8K_NEEDED, f"Expected UrbanSound8K's: {','.join(URBANSOUND8K_COLUMNS)}")
    clip_ids = filled_text(metadata, "slice_file_name")
    folds = whole_numbers(metadata, "fold", pa.int32())
    recordings = whole_numbers(metadata, "fsID", pa.int64())
    labels = filled_text(metadata, "class")
    folders = pc.binary_join_element_wise(f"{audio}fold", folds.cast(pa.string()), "")
    paths = pc.binary_join_element_wise(folders, relative_paths(metadata, "slice_file_name"), "/")
    own: dict[str, Any] = {"slice_file_name": clip_ids, "fsID": recordings, "class": labels}
    own |= {name: decimals(metadata, name) for name in ("start", "end") if name in names}
    own |= {name: whole_numbers(metadata, name, pa.int64()) for name in ("salience", "classID") if name in names}
    core = (clip_ids, paths, folds, labels, recordings.cast(pa.string()))
    return _assemble(metadata, core, ("fold",), own)


def _manifest(metadata: Metadata) -> pa.Table:
    names = metadata.table.column_names
    hint = (
        "Expected path,label,fold and perhaps group and clip_id, and any others; "
        "if they have other names: --columns path=filename,label=category"
    )
    if "slice_file_name" in names:
        hint = (
            "UrbanSound8K's own metadata: give the folder that holds metadata/ and audio/, or this file and the folds"
        )
    require_columns(metadata, MANIFEST_NEEDED, hint)
    paths = relative_paths(metadata, "path")
    _refuse_parts(metadata, paths)
    nothing = pa.chunked_array([pa.nulls(metadata.table.num_rows, pa.string())])
    core = (
        filled_text(metadata, "clip_id") if "clip_id" in names else paths,
        paths,
        whole_numbers(metadata, "fold", pa.int32()),
        filled_text(metadata, "label"),
        names_of_recordings(metadata, "group") if "group" in names else nothing,
    )
    return _assemble(metadata, core, MANIFEST_COLUMNS, {})


def _refuse_parts(metadata: Metadata, paths: Any) -> None:
    """Refuse rows that mean several parts of one file: each would get the features of the whole file."""
    names = [name for name in metadata.table.column_names if name.lower() in TIMES]
    if not names or pc.count_distinct(paths).as_py() == len(paths):
        return
    for name in names:
        times = settled(metadata.table[name])
        kinds = pa.table({"path": paths, "time": times}).group_by("path")
        kinds = kinds.aggregate([("time", "count_distinct", pc.CountOptions(mode="all"))])
        several = kinds.filter(pc.greater(kinds["time_count_distinct"], 1))["path"].combine_chunks()
        first: dict[str, tuple[int, Any]] = {}
        for row in pc.indices_nonzero(pc.is_in(paths, value_set=several)).to_pylist():
            path, time = paths[row].as_py(), times[row].as_py()
            earlier, other = first.setdefault(path, (row, time))
            if time != other:
                where = str(metadata.refuse(earlier, "")).rstrip(": ")
                raise metadata.refuse(
                    row,
                    f"path {path!r} with {name} = {time!r}, but {other!r} at {where}: parts of a file are not read, "
                    "so that each row would get the features of the whole file; cut the file into one file per row, "
                    f"or leave the column {name} out",
                )


def _assemble(metadata: Metadata, core: tuple[Any, ...], used: tuple[str, ...], own: Mapping[str, Any]) -> pa.Table:
    """Put our columns first, then the others in their order; `used` ones are among ours already."""
    others = [name for name in metadata.table.column_names if name not in used]
    for name in others:
        if is_published(name):
            raise DatasetError(
                f"{metadata.name}: column {name!r} has a name that means another thing in the published tables; "
                "rename it"
            )
    columns = [own[name] if name in own else settled(metadata.table[name]) for name in others]
    return pa.table([*core, *columns], names=[*CLIP_COLUMNS, *others])

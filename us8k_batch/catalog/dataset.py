"""Open a dataset: which clips it has, what is known of them, and which cannot be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.layouts import CLIP_COLUMNS, clips_of
from us8k_batch.catalog.listing import SEEN_SCHEMA, one_array
from us8k_batch.catalog.locate import Place, locate
from us8k_batch.catalog.nearby import nearby
from us8k_batch.catalog.source import Source, open_source
from us8k_batch.catalog.unreadable import MISSING, OUTSIDE
from us8k_batch.likeness import quoted

SEEN_COLUMNS = tuple(SEEN_SCHEMA.names)
"""Last columns of `Catalog.clips`: what the scan saw; the dataset's own other columns stand before them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """One dataset as it was when it was opened."""

    url: str
    """The dataset as a person would write it: a path or URL."""
    root: str
    """What clip paths are relative to; `open_source` takes it, on a worker too."""
    layout: str
    """``urbansound8k`` or ``manifest``."""
    clips: pa.Table
    """One row per clip, by fold, then clip_id.

    ``clip_id`` and ``path`` (string), ``fold`` (int32), ``label`` (string), ``group`` (string, null if unknown); the
    dataset's other columns under their own names; ``size`` (int64, bytes), ``mtime_ns`` (int64, ns since 1970),
    ``etag`` (string, null on a local disk) of a clip that is there; ``stage``, ``error``, ``detail`` (string) of one
    that cannot be.
    """

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Names of the dataset's own other columns, which travel unchanged."""
        return tuple(self.clips.column_names[len(CLIP_COLUMNS) : -len(SEEN_COLUMNS)])


def open_catalog(dataset: str, columns: Mapping[str, str] | None = None) -> Catalog:
    """Open a dataset; its clips are looked at, not opened.

    Parameters
    ----------
    dataset : str
        Local path or URL (``file://``, ``s3://``, ``gs://``) of a folder in UrbanSound8K's layout, of a manifest
        (``.csv`` or ``.parquet``: path, label, fold and perhaps group and clip_id), or of a folder that holds
        ``manifest.csv`` or ``manifest.parquet``.
    columns : mapping, optional
        By our name of a column, its name in the metadata, such as ``{"path": "filename"}``.

    Returns
    -------
    catalog : Catalog
        Clips that are missing or cannot be read are rows like any other, with stage, error and detail.

    Raises
    ------
    DatasetError
        If there is no such dataset, or a row cannot be right; it names the row, its value and what was expected.
    StorageError
        If the storage does not answer as it should, even after retries.

    Notes
    -----
    The columns of a CSV have these types: text for what names a clip, int64 and float64 for UrbanSound8K's numbers,
    and for any other column int64, float64 or text, whichever fits every one of its values.
    """
    place = locate(dataset)
    url, root, layout = place.url, place.root, place.layout
    clips = _look(place, columns)
    del place  # with the file's bytes, and its columns as they stand there
    order = pc.sort_indices(clips, sort_keys=[("fold", "ascending"), ("clip_id", "ascending")])
    ordered = dict(zip(clips.column_names, clips.columns, strict=True))
    del clips
    for name, column in ordered.items():  # one after the other, so that not all are there twice
        ordered[name] = one_array(column.take(order))
    return Catalog(url=url, root=root, layout=layout, clips=pa.table(ordered))


def _look(place: Place, columns: Mapping[str, str] | None) -> pa.Table:
    """Describe the clips in the order of the metadata, with what the scan saw of them."""
    clips = clips_of(place, columns)
    source = open_source(place.root)
    seen = _with_hints(source, source.scan(clips["path"]), clips["path"])
    outside = pc.index(seen["detail"], OUTSIDE.text).as_py()
    if outside >= 0:
        raise place.metadata.refuse(outside, f"path {clips['path'][outside].as_py()!r}: {OUTSIDE.text}")
    for name in SEEN_COLUMNS:
        clips = clips.append_column(name, seen[name])
    return clips


def _with_hints(source: Source, seen: pa.Table, paths: Any) -> pa.Table:
    """Say of missing clips what is there that they may be meant to be."""
    missing = pc.fill_null(pc.equal(seen["detail"], MISSING.text), False)
    if not pc.any(missing).as_py():
        return seen
    hints = nearby(source, paths.filter(missing), paths)
    details = [MISSING.text if hint is None else f"{MISSING.text}, but there is {quoted(hint)}" for hint in hints]
    place = seen.column_names.index("detail")
    mended = pc.replace_with_mask(one_array(seen["detail"]), one_array(missing), pa.array(details, pa.string()))
    return seen.set_column(place, "detail", mended)

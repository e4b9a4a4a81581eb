"""Read a store: one publication, pinned when it was opened, every row checked against its digest."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.errors import DamageError, ObjectNotFoundError, StoreError
from us8k_batch.extras import need
from us8k_batch.objects import Objects, open_objects
from us8k_batch.store import parquet
from us8k_batch.store.arrays import bounded
from us8k_batch.store.chunks import Chunks
from us8k_batch.store.commits import read_commit
from us8k_batch.store.frames import Frames
from us8k_batch.store.layout import FAILURES, POOLED, SNAPSHOTS, StoreInfo, numbers, read_info
from us8k_batch.store.publish import failure_table
from us8k_batch.store.spool import gather
from us8k_batch.store.state import read_snapshot

if TYPE_CHECKING:
    import xarray

PUBLISHED = {
    "clip_id": pa.string(),
    "fold": pa.int32(),
    "label": pa.string(),
    "row": pa.int64(),
    "n_frames": pa.int32(),
    "duration": pa.float64(),
    "digest": pa.string(),
}
"""Columns that every published table has, beside the pooled vector."""
ATTEMPTS = 5
"""Times that the two tables are read while a run may be replacing them."""


def open_store(path: str) -> Store:
    """Open what is published in a store; safe while a run is writing.

    Parameters
    ----------
    path : str
        Local path or URL (``file://``, ``s3://``, ``gs://``).

    Returns
    -------
    Store

    Raises
    ------
    StoreError
        If there is no store, or nothing was published yet.

    Examples
    --------
    >>> import us8k_batch
    >>> store = us8k_batch.open_store("features")  # doctest: +SKIP
    >>> store.pooled.groupby("label").size()  # doctest: +SKIP
    >>> store.mfcc[0].shape  # doctest: +SKIP
    (40, 173)
    """
    objects = open_objects(path)
    info = read_info(objects)
    try:
        with objects.open(POOLED) as file:
            pieces = parquet.Pieces(file, POOLED)
            table = _checked(gather(pieces.schema, pieces), info)
    except ObjectNotFoundError:
        raise StoreError(
            f"{objects.url}: nothing was published here yet; run us8k extract until it is done"
        ) from None
    return Store(objects, info, table)


def _checked(table: pa.Table, info: StoreInfo) -> pa.Table:
    """Refuse a published table without what readers count on."""
    metadata = parquet.metadata_of(table, POOLED)
    columns = PUBLISHED | dict.fromkeys(info.config.pooled_names, pa.float32())
    wrong = [name for name, kind in columns.items() if name not in table.column_names or table[name].type != kind]
    kinds = {"snapshot_id": str, "complete": bool, "pending": int, "versions": list}
    wrong += [name for name, kind in kinds.items() if not isinstance(metadata.get(name), kind)]
    wrong += [name for name in columns if name not in wrong and table[name].null_count]
    if not wrong and len(table):
        places = {"row": info.clips_per_shard * (1 << 40), "n_frames": info.frames + 1}
        wrong = [
            name
            for name, end in places.items()
            if not 0 <= pc.min(table[name]).as_py() <= pc.max(table[name]).as_py() < end
        ]
    if wrong:
        raise DamageError(f"{POOLED}: not a published table: {', '.join(wrong[:5])}; run us8k verify")
    return table


class Store:
    """One publication of a store."""

    def __init__(self, objects: Objects, info: StoreInfo, table: pa.Table) -> None:
        self._objects = objects
        self._info = info
        self._table = table
        self._metadata = parquet.metadata_of(table, POOLED)
        self._pooled: pd.DataFrame | None = None
        self._failures: pd.DataFrame | None = None
        self.mfcc = Frames(objects, info, table)

    def _repr_html_(self) -> str:
        from us8k_batch.store.notebook import store_card

        return store_card(self)

    @property
    def url(self) -> str:
        """The store's path or URL."""
        return self._objects.url

    @property
    def config(self) -> FeatureConfig:
        """What was computed."""
        return self._info.config

    @property
    def snapshot_id(self) -> str:
        """Digest of what is published: two stores with the same one hold the same."""
        return str(self._metadata["snapshot_id"])

    @property
    def complete(self) -> bool:
        """Whether every clip of the dataset had its result when this was published."""
        return bool(self._metadata["complete"])

    @property
    def pending(self) -> int:
        """Number of clips whose result was not there yet."""
        return int(self._metadata["pending"])

    @property
    def versions(self) -> list[dict[str, str]]:
        """Engine and library versions that the live rows were computed with."""
        return list(self._metadata["versions"])

    @property
    def pooled_names(self) -> list[str]:
        """Names of the pooled vector's columns."""
        return self.config.pooled_names

    @property
    def pooled(self) -> pd.DataFrame:
        """One row per live clip: its metadata, where it stands in Zarr, and its pooled vector."""
        if self._pooled is None:
            self._pooled = self._table.to_pandas()
        return self._pooled

    @property
    def table(self) -> pa.Table:
        """The same as `pooled`, as Arrow's: a column costs nothing until it is looked at."""
        return self._table

    def vectors(self) -> NDArray[np.float32]:
        """Return the pooled vectors, float32, shape (n_clips, len(pooled_names)), in the order of `pooled`."""
        out = np.empty((len(self._table), len(self.pooled_names)), dtype=np.float32)
        for i, name in enumerate(self.pooled_names):
            out[:, i] = self._table[name].to_numpy()
        return out

    @property
    def failures(self) -> pd.DataFrame:
        """Clips without a result, and why: clip_id, stage, error, detail; of the same publication."""
        if self._failures is None:
            self._failures = self._read_failures().to_pandas()
        return self._failures

    def source_sha256(self, clip: int) -> str:
        """Return the hex sha256 of the bytes that a live clip was decoded from; `clip` counts as in `pooled`."""
        row = self._table["row"][clip].as_py()
        shard, at = divmod(row, self._info.clips_per_shard)
        _, commit, _ = read_commit(self._objects, self._info, shard)
        return str(commit["source_sha256"][at].as_py())

    def to_xarray(self) -> xarray.Dataset:
        """Return the live clips' frames as a lazy dataset with clip_id, label, fold and n_frames.

        Raises
        ------
        MissingExtraError
            If xarray is not installed.

        Notes
        -----
        Frames are read through Zarr itself, without the check against their digests.
        """
        need("xarray", "to_xarray()")
        import xarray

        Chunks(self._objects, self._info).n_rows()  # refuses what is not ours
        store = self._objects.zarr_store()
        with bounded():
            whole = xarray.open_zarr(store, group="mfcc.zarr", consolidated=False, chunks=None)
        live: xarray.Dataset = whole.isel(clip=self._table["row"].to_numpy())
        columns = ("clip_id", "label", "fold", "n_frames")
        coordinates = {name: ("clip", self._table[name].to_numpy(zero_copy_only=False)) for name in columns}
        labelled: xarray.Dataset = live.assign_coords(coordinates)
        return labelled

    def _read_failures(self) -> pa.Table:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(ObjectNotFoundError):
                table = parquet.decode(self._objects.get(FAILURES), FAILURES)
                if parquet.metadata_of(table, FAILURES).get("snapshot_id") == self.snapshot_id:
                    return table
        # The table of another publication stands there by now; the snapshot of ours says the same.
        for number in reversed(numbers(self._objects, SNAPSHOTS)):
            record, table = read_snapshot(self._objects, number)
            if record.snapshot_id == self.snapshot_id:
                return failure_table(table)
        raise DamageError(f"{self.url}: no snapshot matches the published tables; run us8k verify")

    def __len__(self) -> int:
        """Return the number of live clips."""
        return len(self._table)

    def __repr__(self) -> str:
        """Say what it is."""
        state = "complete" if self.complete else f"{self.pending} clips pending"
        return f"<us8k store {self.url}: {len(self)} live clips, {state}, snapshot {self.snapshot_id[:12]}>"

"""A reader that reads a store all the time, in every way that is documented, while others work on it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import xarray
import zarr

import us8k_batch
from us8k_batch.errors import StoreError


class Reader(threading.Thread):
    """Reads what is published about ten times a second; notes what goes wrong."""

    def __init__(self, store: Path) -> None:
        super().__init__(name="reader")
        self.store = store
        self.seen: list[str] = []
        """Snapshots in the order in which they were seen."""
        self.reads = 0
        self.trouble: Exception | None = None
        self._over = threading.Event()

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Read until it is over, and once more."""
        last = False
        try:
            while not last:
                last = self._over.wait(0.1)
                self._read()
        except Exception as error:
            self.trouble = error

    def _read(self) -> None:
        try:
            store = us8k_batch.open_store(str(self.store))
        except StoreError:
            assert not self.seen, "what was published is gone"
            return
        frames = store.mfcc[:]  # compares every row with its digest
        rows = store.pooled["row"].to_numpy()
        raw = zarr.open_array(self.store / "mfcc.zarr/mfcc", mode="r")
        named = xarray.open_zarr(self.store / "mfcc.zarr", consolidated=False)["mfcc"]
        # The array may have grown between the two.
        assert (rows < raw.shape[0]).all()
        assert (rows < named.sizes["clip"]).all()
        np.testing.assert_array_equal(raw.oindex[rows], frames)
        if len(rows):
            np.testing.assert_array_equal(named[rows[:: max(1, len(rows) // 20)]], frames[:: max(1, len(rows) // 20)])
        # Whoever reads the table and then the array sees all rows of the table. Given a path, pyarrow opens the file
        # twice, and two publications may get mixed up.
        with (self.store / "pooled.parquet").open("rb") as file:
            table = pd.read_parquet(file)
        assert (table["row"] < zarr.open_array(self.store / "mfcc.zarr/mfcc", mode="r").shape[0]).all()
        assert store.pooled["clip_id"].is_unique
        assert not set(store.failures["clip_id"]) & set(store.pooled["clip_id"])
        self.reads += 1
        if store.snapshot_id not in self.seen[-1:]:
            self.seen.append(store.snapshot_id)

"""Publish again what was published: the newest snapshot, or one that was lost, if the same comes out."""

from __future__ import annotations

import pyarrow as pa

from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.repair.aside import forget, keep
from us8k_batch.repair.records import readable_snapshots
from us8k_batch.store.layout import ARRAY, FAILURES, GROUP, POOLED, StoreInfo, snapshot_key
from us8k_batch.store.publish import digest_publication, find, publish, publish_tables, published_id
from us8k_batch.store.state import State, load_state

TABLES = (POOLED, FAILURES)


class Republisher:
    """Remembers what was published when it was made."""

    def __init__(self, objects: Objects, info: StoreInfo, clips: pa.Table) -> None:
        self._objects = objects
        self._info = info
        self._clips = clips
        self._ids = {published_id(objects, key) for key in TABLES} - {None}

    def publish(self, damaged: set[str]) -> list[str]:
        """Make damaged tables and metadata again; return what is as it was.

        A publication whose snapshot was lost comes out of catalog and commits again if the dataset is as it was;
        its id proves it. Otherwise tables that are whole stay, and the next run replaces them.
        """
        wanted = damaged & {*TABLES, ARRAY, GROUP}
        if not wanted:
            return []
        try:
            state = load_state(self._objects, self._info)
        except DamageError:
            return []
        for key in sorted(wanted):
            keep(self._objects, key)
        found = self._publish_lost(state)
        if found is not None:
            return [found, *sorted(wanted)]
        if state.snapshot is None or state.published is None:
            return []
        known = {record.snapshot_id for record, _ in readable_snapshots(self._objects)}
        for key in wanted & {*TABLES}:
            # Away before it is made again, or what is damaged in it would be taken over.
            if published_id(self._objects, key) in {None, state.snapshot.snapshot_id}:
                forget(self._objects, key)
        if not self._ids <= known and all(find(self._objects, key) is not None for key in TABLES):
            return []
        publish_tables(self._objects, self._info, state.snapshot, state.published)
        return sorted(wanted)

    def _publish_lost(self, state: State) -> str | None:
        """Publish what a lost snapshot did; return that snapshot's key, or None if it does not come out again."""
        made = make_publication(self._clips, state.index)
        again = digest_publication(self._info, made.table, made.pending, made.metadata_columns)
        newest = state.snapshot.snapshot_id if state.snapshot else None
        if again == newest or again not in self._ids:
            return None
        done = publish(self._objects, self._info, state, made.table, made.pending, made.metadata_columns)
        return snapshot_key(done.number) if done else None

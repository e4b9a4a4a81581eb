"""Mend what a proof found, round by round, in the order in which objects depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.errors import StorageError
from us8k_batch.objects import Objects
from us8k_batch.repair.aside import forget, put_in_place, write_off
from us8k_batch.repair.giving_up import give_up
from us8k_batch.repair.rebuild import rebuild
from us8k_batch.repair.recompute import Recompute
from us8k_batch.repair.recorded import committed_shard, planned_clips, published_shard, readable_plans
from us8k_batch.repair.records import (
    GIVEN_UP,
    Snapshot,
    fits_array,
    mend_abandonment,
    mend_plan,
    readable_snapshots,
)
from us8k_batch.repair.republish import Republisher
from us8k_batch.store.commits import encode_abandonment
from us8k_batch.store.layout import (
    COMMITS,
    INFO,
    PLANS,
    RUNS,
    SNAPSHOTS,
    StoreInfo,
    commit_key,
    number_of,
    numbers,
    plan_key,
    shard_key,
    shard_of,
)
from us8k_batch.store.plans import list_plans
from us8k_batch.store.state import committed_rows, newest_snapshot


class Mender:
    """Mends a store whose lease is held."""

    def __init__(
        self,
        objects: Objects,
        info: StoreInfo,
        clips: pa.Table,
        recompute: Recompute,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Remember what to mend, and what from.

        Parameters
        ----------
        objects, info
            The store.
        clips : pa.Table
            The catalog.
        recompute : Recompute
            Computes clips again.
        tell : callable
            Told what is mended.
        """
        self._objects = objects
        self._info = info
        self._recompute = recompute
        self._tell = tell
        self._republisher = Republisher(objects, info, clips)
        self.mended: list[str] = []
        self.given_up: list[str] = []
        self.clips: list[str] = []

    def mend(self, keys: Sequence[str]) -> bool:
        """Mend what can be mended now; tell whether something changed, so that it is worth looking again.

        Raises
        ------
        StorageError
            If the dataset's storage does not answer; then nothing was given up for its sake.
        """
        before = self._changes
        wanted = set(keys)
        if INFO in wanted:
            self._put(INFO, self._info.to_bytes())
        # Each stage needs what the one before it mends, so a round ends where something was taken away.
        stages = (self._mend_snapshots, self._mend_plans, self._mend_shards)
        for stage in stages:
            stage(wanted)
            if self._changes > before:
                return True
        for key in sorted(key for key in wanted if key.startswith(f"{RUNS}/")):
            self._lose(key, "nothing depends on it")
        self.mended.extend(self._republisher.publish(wanted))
        return self._changes > before

    @property
    def _changes(self) -> int:
        return len(self.mended) + len(self.given_up)

    # --- snapshots -----------------------------------------------------------------------------------------------

    def _mend_snapshots(self, wanted: set[str]) -> None:
        newest = newest_snapshot(self._objects)
        readable = {record.number for record, _ in readable_snapshots(self._objects)}
        for key in sorted(wanted):
            number = _number(key, SNAPSHOTS)
            # One that can be read and is not what its id says may be right, and the description wrong.
            if number is not None and (number not in readable or fits_array(self._objects, self._info)):
                if number == newest:
                    self._lose(key, "what it published is published again, or else the snapshot before it")
                else:
                    self._write_off(key, "nothing depends on it")

    # --- plans ---------------------------------------------------------------------------------------------------

    def _mend_plans(self, wanted: set[str]) -> None:
        plans = {number for key in wanted if (number := _number(key, PLANS)) is not None}
        if PLANS in wanted:  # one is missing, and those after it are there
            there = numbers(self._objects, PLANS)
            plans |= set(range(1, max(there, default=0))) - set(there)
        snapshot = self._snapshot()
        known = snapshot[0].plans if snapshot else ()
        for number in sorted(plans):
            if snapshot is None or number > len(known):
                self._forget_from(number, known[-1].end_shard(self._info) if known else 0)
                return
            record, digest = known[number - 1], snapshot[0].plan_sha256[number]
            older = [one for one in readable_snapshots(self._objects) if len(one[0].plans) >= number]
            made = mend_plan(self._objects, self._info, record, digest, reversed(older))
            if made is not None:
                self._put(plan_key(number), made)
            elif record.end_shard(self._info) <= snapshot[0].settled:
                self._write_off(plan_key(number), "what it handed out stands in its commits")
            else:
                self._give_up_open(number, snapshot)
                return

    def _forget_from(self, number: int, end: int) -> None:
        """Undo what no publication knows: from a damaged plan on, rows are handed out again; never before `end`."""
        good = [record for record, _ in readable_plans(self._objects) if record.number < number]
        end = max(end, good[-1].end_shard(self._info) if good else 0)
        for key in [found.key for found in self._objects.list("") if (_shard(found.key) or 0) >= end]:
            if _shard(key) is not None:
                forget(self._objects, key)
        # The damaged plan goes last: as long as it is there, a repair that was killed begins here again.
        for plan in sorted({number, *(n for n in list_plans(self._objects) if n > number)}, reverse=True):
            self._lose(plan_key(plan), "nothing of it was published; its clips are planned again")

    def _give_up_open(self, number: int, snapshot: Snapshot) -> None:
        """Give up every shard of published plans that is not settled: which clips they were for is lost."""
        record, table = snapshot
        end = record.plans[-1].end_shard(self._info)
        known = set(pc.unique(pc.divide(committed_rows(table)["row"], self._info.clips_per_shard)).to_pylist())
        shards = set(range(record.settled, end)) - known - set(record.abandoned)
        why = f"{plan_key(number)} was lost, which said what clips it was for"
        self._give_up(dict.fromkeys(sorted(shards), why), snapshot, settled=end)
        self._write_off(plan_key(number), "what was still to be done of it is planned again")

    # --- shards --------------------------------------------------------------------------------------------------

    def _mend_shards(self, wanted: set[str]) -> None:
        snapshot = self._snapshot()
        lost: dict[int, str] = {}
        trouble: StorageError | None = None
        for shard in sorted({shard for key in wanted if (shard := _shard(key)) is not None}):
            try:
                why = self._mend_shard(shard, snapshot, commit_key(shard) in wanted)
            except StorageError as error:
                trouble = error
            else:
                if why:
                    lost[shard] = why
        published = {shard: why for shard, why in lost.items() if self._is_published(shard, snapshot)}
        for shard in lost.keys() - published.keys():
            put_in_place(self._objects, commit_key(shard), encode_abandonment(self._info, shard, GIVEN_UP))
            forget(self._objects, shard_key(shard))
            self._note_given_up(shard, lost[shard])
        if published and snapshot:
            self._give_up(published, snapshot)
        if trouble is not None:
            raise trouble

    def _mend_shard(self, shard: int, snapshot: Snapshot | None, commit_is_damaged: bool) -> str:
        """Mend one shard; return why that cannot be, or nothing."""
        if snapshot and shard in snapshot[0].abandoned:
            clips = planned_clips(self._objects, shard)
            made = mend_abandonment(self._objects, self._info, shard, snapshot[0].abandoned[shard], clips)
            if made is None:
                return f"{commit_key(shard)}: why the shard was abandoned is lost"
            self._put(commit_key(shard), made)
            return ""
        recorded = published_shard(self._info, shard, snapshot)
        if recorded is None and not commit_is_damaged:
            recorded = committed_shard(self._objects, self._info, shard)
        if recorded is None:
            self._lose(commit_key(shard), "it was not published; the next run makes it again")
            return ""
        made_again = rebuild(self._objects, self._info, recorded, self._recompute)
        if isinstance(made_again, str):
            return made_again
        for key, data in made_again.items():
            self._put(key, data)
        return ""

    def _is_published(self, shard: int, snapshot: Snapshot | None) -> bool:
        known = snapshot is not None and shard in snapshot[0].abandoned
        return known or published_shard(self._info, shard, snapshot) is not None

    def _give_up(self, shards: dict[int, str], snapshot: Snapshot, settled: int | None = None) -> None:
        clips = give_up(self._objects, self._info, snapshot, shards, settled)
        if clips is not None:
            self.clips.extend(clips)
            for shard, why in shards.items():
                self._note_given_up(shard, why)

    # --- notes ---------------------------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot | None:
        return next(readable_snapshots(self._objects), None)

    def _put(self, key: str, data: bytes) -> None:
        put_in_place(self._objects, key, data)
        self.mended.append(key)
        self._tell(f"{key}: is again what was recorded")

    def _lose(self, key: str, why: str) -> None:
        forget(self._objects, key)
        self.given_up.append(f"{key}: {why}")
        self._tell(f"{key}: moved to damaged/; {why}")

    def _write_off(self, key: str, why: str) -> None:
        write_off(self._objects, key)
        self.given_up.append(f"{key}: {why}")
        self._tell(f"{key}: is lost; {why}")

    def _note_given_up(self, shard: int, why: str) -> None:
        self.given_up.append(f"{shard_key(shard)}: {why}")
        self._tell(f"shard {shard} is given up: {why}")


def _number(key: str, folder: str) -> int | None:
    return number_of(key) if key.startswith(f"{folder}/") else None


def _shard(key: str) -> int | None:
    """Return the shard that a Zarr object or commit is of."""
    number = shard_of(key)
    return number if number is not None else _number(key, COMMITS)

"""Find what is damaged in a store, and mend exactly that: as it was, or by giving its clips new rows."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.compute as pc

from us8k_batch.catalog.dataset import Catalog, open_catalog
from us8k_batch.errors import RequestError
from us8k_batch.objects import Objects, open_objects
from us8k_batch.repair.aside import put_in_place
from us8k_batch.repair.mender import Mender
from us8k_batch.repair.recompute import FromAudio
from us8k_batch.repair.records import mend_info, readable_snapshots
from us8k_batch.settings import Settings
from us8k_batch.store.finding import Finding
from us8k_batch.store.layout import INFO, StoreInfo, read_info
from us8k_batch.store.lease import hold, this_process
from us8k_batch.store.probe import probe
from us8k_batch.store.verify import Verification, verify_objects

ROUNDS = 8
"""Times that a store is proved and mended: some damage hides other."""


@dataclass(slots=True)
class Repaired:
    """What was mended, and what was not."""

    proof: Verification
    """The store as it is now."""
    mended: list[str] = field(default_factory=list)
    """Objects that are again what was recorded."""
    given_up: list[str] = field(default_factory=list)
    """Objects that could not be made again, and why."""
    clips: list[str] = field(default_factory=list)
    """Clips that the next run computes again, into new rows."""
    pending: int = 0
    """Clips of the newest publication whose result is not there."""

    @property
    def left(self) -> list[Finding]:
        """What is still not as it should be."""
        return self.proof.findings

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, without the proof."""
        return {name: value for name, value in asdict(self).items() if name != "proof"}


def repair(
    path: str,
    dataset: str,
    settings: Settings,
    *,
    allow_removal: bool = False,
    force: bool = False,
    columns: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Repaired:
    """Prove a store, and mend what is damaged.

    Parameters
    ----------
    path, dataset : str
        Local paths or URLs of the store and of the dataset that it was made of.
    settings : Settings
        Memory, time and size that one clip may take.
    allow_removal : bool
        Go on although more than a tenth of the live clips are not in the dataset.
    force : bool
        Take the store over from a run at work.
    columns : mapping, optional
        As `open_catalog` takes them.
    tell : callable
        Told how far it is.

    Returns
    -------
    Repaired
        If nothing was damaged nothing is written, and no lease is taken.

    Raises
    ------
    RequestError
        If the store or the dataset cannot be opened, or it does not look like the store's dataset.
    LeaseHeldError
        If a run is working on the store.
    StorageError
        If a storage does not answer; what is mended stays, and the same command goes on.
    """
    catalog = open_catalog(dataset, columns)
    objects = open_objects(path)
    lost_info = mend_info(objects)
    if lost_info is None:
        first = verify_objects(objects, read_info(objects), tell)
        if not first.findings:
            return Repaired(first)
    probe(objects)
    mended = []
    with hold(objects, this_process(f"repair-{secrets.token_hex(3)}"), force=force, tell=tell):
        if lost_info is not None:
            put_in_place(objects, INFO, lost_info)
            mended.append(INFO)
        info = read_info(objects)
        _guard_dataset(objects, catalog, dataset, allow_removal)
        with FromAudio(catalog, info.config, settings) as recompute:
            mender = Mender(objects, info, catalog.clips, recompute, tell)
            mender.mended.extend(mended)
            return mend_until_sound(objects, info, mender, tell)


def mend_until_sound(
    objects: Objects, info: StoreInfo, mender: Mender, tell: Callable[[str], None] = lambda _: None
) -> Repaired:
    """Prove and mend by turns, until nothing is found or nothing more can be done."""
    proof = verify_objects(objects, info, tell)
    for _ in range(ROUNDS):
        if not proof.findings or not mender.mend([finding.key for finding in proof.findings]):
            break
        proof = verify_objects(objects, info, tell)
    snapshot = next(readable_snapshots(objects), None)
    pending = snapshot[0].pending if snapshot else 0
    return Repaired(proof, mender.mended, mender.given_up, mender.clips, pending)


def _guard_dataset(objects: Objects, catalog: Catalog, dataset: str, allow_removal: bool) -> None:
    """Refuse a dataset that is not the store's, or not mounted: everything would be given up."""
    snapshot = next(readable_snapshots(objects), None)
    if snapshot is None or allow_removal:
        return
    live = snapshot[1].filter(pc.field("state") == "live")["clip_id"]
    there = catalog.clips.filter(pc.field("error").is_null())["clip_id"]
    gone = len(live) - int(pc.sum(pc.is_in(live, value_set=there)).as_py() or 0)
    if gone * 10 > len(live):
        raise RequestError(
            f"{gone} of {len(live)} live clips are not in {dataset}. Is it mounted, and the dataset of "
            f"{objects.url}? If so, use --allow-removal"
        )

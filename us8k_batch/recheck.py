"""Compute stored clips again from their audio with librosa itself, and compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.audio.opening import ClipFile, extension_of
from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.catalog.source import open_source
from us8k_batch.errors import ClipError, Failure, StorageError
from us8k_batch.features.decoder import Decoder
from us8k_batch.store.reader import Store, open_store

TOLERANCE = 2e-3
"""Largest difference of an MFCC value from librosa's that is accepted (dimensionless: DCT of dB)."""


@dataclass(slots=True)
class Recheck:
    """How stored clips compare with librosa."""

    compared: int = 0
    """Clips whose source is unchanged and that were computed again."""
    changed: int = 0
    """Clips whose source is no longer the one that was committed; not compared."""
    largest_difference: float = 0.0
    """Largest absolute difference over all values of all compared clips."""
    worst_clip: str = ""
    problems: list[str] = field(default_factory=list)
    """Clips that differ by more than `TOLERANCE`, or that cannot be computed any more."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def recheck(
    store_path: str, dataset: str, sample: int, seed: int = 0, columns: Mapping[str, str] | None = None
) -> Recheck:
    """Compare a sample of a store's live clips with what librosa makes of their audio now.

    Parameters
    ----------
    store_path, dataset : str
        Local paths or URLs.
    sample : int
        Number of clips, drawn without repetition.
    seed : int
        Which clips are drawn.
    columns : mapping, optional
        As `open_catalog` takes them.

    Raises
    ------
    RequestError
        If the store or the dataset cannot be opened.
    DamageError
        If a stored row is not what was committed.
    """
    store = open_store(store_path)
    catalog = open_catalog(dataset, columns)
    source = open_source(catalog.root)
    done = Recheck()
    drawn = np.random.default_rng(seed).permutation(len(store))[:sample]
    pooled = store.pooled
    with Decoder(store.config, "librosa") as decoder:
        for clip in np.sort(drawn):
            row = pooled.iloc[int(clip)]
            at = pc.index(catalog.clips["clip_id"], pa.scalar(row["clip_id"])).as_py()
            if at < 0:
                done.problems.append(f"{row['clip_id']}: the dataset has no such clip any more")
                continue
            path = catalog.clips["path"][at].as_py()
            try:
                data = source.read(path, 1 << 31)
            except (ClipError, StorageError) as error:
                done.problems.append(str(error))
                continue
            _compare(store, int(clip), ClipFile(data, extension_of(path)), decoder, done)
    return done


def _compare(store: Store, clip: int, file: ClipFile, decoder: Decoder, done: Recheck) -> None:
    row = store.pooled.iloc[clip]
    if hashlib.sha256(file.data).hexdigest() != store.source_sha256(clip):
        done.changed += 1
        return
    again = decoder.extract(*file)
    if isinstance(again, Failure):
        done.problems.append(f"{row['clip_id']}: fails now: {again.error} ({again.detail})")
        return
    done.compared += 1
    stored = store.mfcc[clip][:, : row["n_frames"]]
    if stored.shape != again.mfcc.shape:
        done.problems.append(f"{row['clip_id']}: {stored.shape} is stored, librosa makes {again.mfcc.shape}")
        return
    difference = float(np.abs(stored - again.mfcc).max())
    if difference > done.largest_difference:
        done.largest_difference, done.worst_clip = difference, str(row["clip_id"])
    if difference > TOLERANCE:
        done.problems.append(f"{row['clip_id']}: differs from librosa by {difference:.2g}, at most {TOLERANCE:g}")

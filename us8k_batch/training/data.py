"""Load one publication of a store as arrays that every fold shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.errors import StoreError
from us8k_batch.likeness import lookalikes, warnings
from us8k_batch.store.frames import Frames
from us8k_batch.store.reader import Store, open_store


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dataset:
    """The live clips of one publication, in the order of its table; it stays what it was while runs go on."""

    url: str
    """The store's path or URL."""
    snapshot_id: str
    """Digest of what was published."""
    config: FeatureConfig
    """What was computed."""
    store_versions: tuple[dict[str, str], ...]
    """Engine and library versions that the rows were computed with."""
    clip_ids: NDArray[np.object_]
    """Names of the clips, str, shape (n_clips,)."""
    classes: tuple[str, ...]
    """Labels in order of name; a label's place is its code."""
    y: NDArray[np.int64]
    """Code of each clip's label, shape (n_clips,)."""
    folds: NDArray[np.int64]
    """Predefined fold of each clip, shape (n_clips,)."""
    groups: NDArray[np.int64]
    """Code of each clip's recording, shape (n_clips,); -1 where it is not known."""
    group_names: tuple[str, ...]
    """Recordings by code."""
    columns: frozenset[str]
    """Names of the dataset's own columns, which tell its layout."""
    vectors: NDArray[np.float32]
    """Pooled vectors as published, shape (n_clips, len(config.pooled_names))."""
    n_frames: NDArray[np.int64]
    """Number of frames of each clip."""
    frames: Frames
    """Frames of the clips, read when they are asked for."""
    warnings: tuple[str, ...] = ()
    """What a reader of any score on these clips has to know."""

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.y)

    @property
    def ungrouped(self) -> int:
        """Number of clips whose recording is not known."""
        return int((self.groups < 0).sum())


def load_dataset(path: str, *, allow_incomplete: bool = False) -> Dataset:
    """Load what a store has published, and pin it: a run that publishes meanwhile changes nothing here.

    Parameters
    ----------
    path : str
        Local path or URL of the store.
    allow_incomplete : bool
        Take a publication in which clips still lack their results, with a warning.

    Returns
    -------
    Dataset

    Raises
    ------
    StoreError
        If there is no store, nothing live in it, or something that is not a number; or if the publication
        is not complete and that was not allowed.
    """
    store = open_store(path)
    if not len(store):
        raise StoreError(f"{store.url}: has no live clip; us8k status {store.url} says why")
    if not store.complete and not allow_incomplete:
        raise StoreError(
            f"{store.url}: {store.pending} clips still lack their results; finish with us8k extract, "
            "or train on what is there with --allow-incomplete"
        )
    table = store.pooled
    classes, y = _encode(table["label"])
    group_names, groups = _encode(table["group"] if "group" in table else pd.Series([None] * len(table)))
    vectors = store.vectors()
    clip_ids = table["clip_id"].to_numpy(dtype=object)
    refuse_not_finite(vectors, store.pooled_names, clip_ids, store.url)
    return Dataset(
        url=store.url,
        snapshot_id=store.snapshot_id,
        config=store.config,
        store_versions=tuple(store.versions),
        clip_ids=clip_ids,
        classes=classes,
        y=y,
        folds=table["fold"].to_numpy(dtype=np.int64),
        groups=groups,
        group_names=group_names,
        columns=frozenset(table.columns) - set(store.pooled_names),
        vectors=vectors,
        n_frames=table["n_frames"].to_numpy(dtype=np.int64),
        frames=store.mfcc,
        warnings=_warnings(store, groups),
    )


def refuse_not_finite(
    values: NDArray[np.float32], names: list[str], clip_ids: NDArray[np.object_], source: str
) -> None:
    """Refuse features that are NaN or infinite, naming the first clip.

    Raises
    ------
    StoreError
        If a value, in a float32 array of shape (n_clips, n_features), is not finite.
    """
    if np.isfinite(values).all():
        return
    clip, feature = np.argwhere(~np.isfinite(values))[0]
    raise StoreError(
        f"{source}: {clip_ids[clip]}: {names[feature]} is {values[clip, feature]}, expected a finite number; "
        f"prove the store with us8k verify {source}"
    )


def _encode(column: pd.Series[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    codes, names = pd.factorize(column, sort=True)
    return tuple(str(name) for name in names), codes.astype(np.int64)


def _warnings(store: Store, groups: NDArray[np.int64]) -> tuple[str, ...]:
    found = []
    if not store.complete:
        found.append(f"the publication is not complete: {store.pending} clips are not in it")
    found += warnings(lookalikes(store.table))
    unknown = int((groups < 0).sum())
    if unknown == len(groups):
        found.append("leak unknown: the dataset does not say which clips come from one recording")
    elif unknown:
        found.append(f"leak unknown for {unknown} clips: the dataset does not say which recordings they come from")
    return tuple(found)

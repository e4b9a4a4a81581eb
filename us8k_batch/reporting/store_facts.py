"""What the tables of a store tell of its clips, counted without touching audio or frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.gallery.choose import tells_salience
from us8k_batch.objects import open_objects
from us8k_batch.store.layout import read_info
from us8k_batch.store.reader import Store
from us8k_batch.store.state import load_state

EDGES = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 5.0, 10.0, 30.0, 60.0, 600.0)
"""Where the ranges of durations begin, in seconds; the last one is open."""
EXAMPLES = 20
"""Clips or recordings that are named, beside the number of all."""
LEAST_POWER = 1e-10
"""Power that librosa takes for silence, its ``amin``."""
COLUMNS = ("clip_id", "path", "fold", "label", "group", "salience", "row", "n_frames", "duration")


@dataclass(frozen=True, slots=True)
class Found:
    """Clips, or sets of clips, of one kind: how many there are, and the first of them."""

    total: int
    examples: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFacts:
    """What the published tables say."""

    url: str
    """The store."""
    clips: pa.Table
    """Live clips, in the order of publication: ``clip_id``, ``label``, ``fold``, ``duration``, ``row``, ``n_frames``
    and, where the dataset tells, ``path``, ``group`` and ``salience``."""
    classes: Mapping[str, Mapping[int, int]]
    """Live clips by label and fold."""
    saliences: Mapping[str, int]
    """Live clips by salience; empty if the dataset does not tell."""
    complete: bool
    """Whether every clip of the dataset had its result."""
    seconds: float
    """Duration of all live clips."""
    recordings: int | None
    """Number of recordings; None if the dataset does not tell."""
    durations: Mapping[str, int]
    """Live clips by range of duration."""
    failures: Mapping[tuple[str, str], int]
    """Clips without a result by stage and error."""
    failed: Found
    """Some of them: clip_id, stage, error, detail."""
    sha256: pa.ChunkedArray
    """For each live clip, the hex digest of the bytes that it was made from; null if the snapshot does not tell."""
    silent: Found
    """Clips in whose every band and frame is less than the least power that counts: clip_id, class, seconds."""
    short: Found
    """Clips shorter than one analysis window: clip_id, class, seconds."""
    duplicates: Found
    """Sets of live clips made from the same bytes: clips, clip_ids, folds, classes."""
    crossings: Found
    """Recordings in several folds: recording, clips, folds, classes."""
    crossing_clips: int
    """Clips of these recordings."""

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in order."""
        return list(self.classes)

    @property
    def folds(self) -> list[int]:
        """Numbers of the folds, in order."""
        return sorted({fold for counts in self.classes.values() for fold in counts})


def store_facts(path: str, store: Store) -> StoreFacts:
    """Count what is in a store that is open, and tell it by its path once more.

    Raises
    ------
    StoreError
        If there is no store, or nothing was published yet.
    """
    clips = store.table.select([name for name in COLUMNS if name in store.table.column_names])
    failures = store.failures
    kinds = Counter(zip(failures["stage"], failures["error"], strict=True))
    window = store.config.n_fft / store.config.sample_rate
    short = clips.filter(pc.less(clips["duration"], window)).sort_by("duration")
    crossings = _crossings(clips)
    index = _index(path)
    return StoreFacts(
        url=store.url,
        clips=clips,
        classes=_classes(clips),
        saliences=_saliences(clips),
        complete=store.complete,
        seconds=pc.sum(clips["duration"]).as_py() or 0.0,
        recordings=pc.count_distinct(clips["group"]).as_py() or None if "group" in clips.column_names else None,
        durations=_durations(clips["duration"].to_numpy()),
        failures=dict(kinds.most_common()),
        failed=Found(len(failures), tuple(failures.head(EXAMPLES).itertuples(index=False, name=None))),
        sha256=index["source_sha256"].take(pc.index_in(clips["row"], value_set=index["row"].combine_chunks())),
        silent=_found(_silent(store).select(["clip_id", "label", "duration"])),
        short=_found(short.select(["clip_id", "label", "duration"])),
        duplicates=_found(_duplicates(index)),
        crossings=_found(crossings),
        crossing_clips=pc.sum(crossings["clips"]).as_py() or 0,
    )


def _found(table: pa.Table) -> Found:
    rows = table.slice(0, EXAMPLES).to_pylist()
    return Found(len(table), tuple(tuple(row.values()) for row in rows))


def _classes(clips: pa.Table) -> dict[str, dict[int, int]]:
    counts = clips.group_by(["label", "fold"]).aggregate([([], "count_all")])
    table: dict[str, dict[int, int]] = {}
    for row in counts.sort_by([("label", "ascending"), ("fold", "ascending")]).to_pylist():
        table.setdefault(row["label"], {})[row["fold"]] = row["count_all"]
    return table


def _saliences(clips: pa.Table) -> dict[str, int]:
    if not tells_salience(clips):
        return {}
    pairs = sorted((str(pair["values"]), pair["counts"]) for pair in pc.value_counts(clips["salience"]).to_pylist())
    meaning = {"1": "1, in the foreground", "2": "2, in the background"}
    return {meaning.get(value, value): n for value, n in pairs}


def _durations(seconds: Any) -> dict[str, int]:
    counts, _ = np.histogram(seconds, [*EDGES, np.inf])
    names = [f"{low:g} to {high:g} s" for low, high in pairwise(EDGES)] + [f"{EDGES[-1]:g} s and more"]
    found = dict(zip(names, counts.tolist(), strict=True))
    first, *_, last = [i for i, n in enumerate(counts) if n] * 2 or [0, 0]
    return dict(list(found.items())[first : last + 1])


def _index(path: str) -> pa.Table:
    """Read what the newest snapshot says of live clips: row, source_sha256, clip_id, fold, label."""
    objects = open_objects(path)
    table = load_state(objects, read_info(objects)).published
    names = ["row", "source_sha256", "clip_id", "fold", "label"]
    if table is None:  # nobody but a hand removes snapshots; what is published is still true
        return pa.table({name: pa.array([], pa.int64() if name == "row" else pa.string()) for name in names})
    return table.filter(pc.equal(table["state"], "live")).select(names)


def _silent(store: Store) -> pa.Table:
    """Find clips whose every band is at the floor of librosa's decibels: then only coefficient 0 is not zero."""
    if "mfcc_mean_00" not in store.table.column_names:
        return store.table.slice(0, 0)
    floor = 10 * np.log10(LEAST_POWER) * np.sqrt(store.config.n_mels)
    return store.table.filter(pc.less(store.table["mfcc_mean_00"], floor * (1 - 1e-5)))


def _duplicates(live: pa.Table) -> pa.Table:
    """Find clips of the same bytes."""
    counts = live.group_by("source_sha256").aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))["source_sha256"]
    # Lists are made of the few clips that have a double, not of all.
    doubles = live.filter(pc.is_in(live["source_sha256"], value_set=repeated.combine_chunks()))
    sets = doubles.group_by("source_sha256").aggregate(
        [([], "count_all"), ("clip_id", "list"), ("fold", "distinct"), ("label", "distinct")]
    )
    sets = sets.sort_by([("count_all", "descending"), ("source_sha256", "ascending")])
    return sets.select(["count_all", "clip_id_list", "fold_distinct", "label_distinct"])


def _crossings(clips: pa.Table) -> pa.Table:
    """Find recordings with clips in several folds."""
    if "group" not in clips.column_names:
        return pa.table({"group": pa.array([], pa.string()), "clips": pa.array([], pa.int64())})
    known = clips.filter(pc.is_valid(clips["group"])).select(["group", "fold", "label"])
    folds = known.group_by("group").aggregate([("fold", "count_distinct")])
    several = folds.filter(pc.greater(folds["fold_count_distinct"], 1))["group"]
    crossing = known.filter(pc.is_in(known["group"], value_set=several.combine_chunks()))
    counted = crossing.group_by("group").aggregate([([], "count_all"), ("fold", "distinct"), ("label", "distinct")])
    return counted.rename_columns(["group", "clips", "folds", "classes"]).sort_by("group")

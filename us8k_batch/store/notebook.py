"""What a notebook shows of an opened store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from us8k_batch.pages.card import notebook_card
from us8k_batch.pages.tables import count, table

if TYPE_CHECKING:
    from us8k_batch.store.reader import Store

MOST_CLASSES = 20
"""Classes that are listed."""


def store_card(store: Store) -> str:
    """Return HTML: what is in the store, its parameters and versions, and its clips per class."""
    clips, config = store.table, store.config
    labels = pc.value_counts(clips["label"].combine_chunks()).to_pylist()
    labels.sort(key=lambda one: (-one["counts"], str(one["values"])))
    facts: list[tuple[str, object]] = [
        ("clips", f"{len(clips):,}, in {len(labels)} classes and {pc.count_distinct(clips['fold']).as_py()} folds"),
        ("failures", f"{len(store.failures):,}"),
        ("complete", "yes" if store.complete else f"no: {store.pending:,} clips lack their results"),
        ("frames", f"mfcc[clip] has the shape ({config.n_mfcc}, n_frames), at {config.sample_rate} Hz"),
        ("engine", ", ".join(sorted({versions["engine"] for versions in store.versions}))),
        ("snapshot", store.snapshot_id[:12]),
    ]
    rows = [(str(one["values"]), count(one["counts"])) for one in labels[:MOST_CLASSES]]
    caption = (
        "clips per class" if len(rows) == len(labels) else f"the {MOST_CLASSES} largest of {len(labels)} classes"
    )
    return notebook_card(f"store {store.url}", facts, table(["class", "clips"], rows, caption=caption))

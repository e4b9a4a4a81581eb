"""The tables that a run leaves: who was tested where, what the models said, and the scores line by line."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from us8k_batch.store import parquet
from us8k_batch.training.data import Dataset
from us8k_batch.training.evaluate import Evaluated
from us8k_batch.training.metrics import Tested
from us8k_batch.training.splits import Splits

OVERALL = ("accuracy_mean", "accuracy_std", "macro_f1", "log_loss", "expected_calibration_error")
"""Scores of a whole protocol in ``metrics.jsonl``."""


def describe_partition(splits: Splits, data: Dataset) -> dict[str, Any]:
    """Say who is tested where: only runs with the same digest can be compared split by split."""
    digest = hashlib.sha256()
    for split in splits.parts:
        digest.update("\n".join([split.name, *sorted(data.clip_ids[split.test]), ""]).encode())
    return {
        "digest": digest.hexdigest(),
        "train": {split.name: len(split.train) for split in splits.parts},
        "test": {split.name: len(split.test) for split in splits.parts},
    }


def write_metrics(file: Path, evaluated: Sequence[Evaluated]) -> None:
    """Write one JSON object per line: epochs, where a model has them, then each split, then each protocol."""
    lines: list[dict[str, Any]] = []
    for each in evaluated:
        protocol = each.splits.protocol
        for one in each.fitted:
            name = one.split.name
            lines += [{"protocol": protocol, "split": name, **epoch} for epoch in one.history]
            lines.append({"protocol": protocol, "split": name, "accuracy": each.scores.folds[name]})
        lines.append({"protocol": protocol, **{name: getattr(each.scores, name) for name in OVERALL}})
    file.write_text("".join(json.dumps(_json(line), allow_nan=False) + "\n" for line in lines))


def write_predictions(file: Path, data: Dataset, evaluated: Sequence[Evaluated]) -> None:
    """Write what was said of every tested clip, one row each, with the probability of every class in ``p_CLASS``."""
    tables = [_predictions(data, each.splits, one.tested) for each in evaluated for one in each.fitted]
    table = pa.concat_tables(tables)
    file.write_bytes(parquet.encode(table, {"snapshot_id": data.snapshot_id}))


def _predictions(data: Dataset, splits: Splits, tested: Tested) -> pa.Table:
    order = np.argsort(tested.clips, kind="stable")
    clips, probabilities = tested.clips[order], tested.probabilities[order]
    said = probabilities.argmax(axis=1)
    names = np.array(data.classes, dtype=object)
    recordings = np.array([*data.group_names, None], dtype=object)
    columns: dict[str, Any] = {
        "clip_id": pa.array(data.clip_ids[clips], pa.string()),
        "protocol": pa.array([splits.protocol] * len(clips), pa.string()),
        "split": pa.array([tested.name] * len(clips), pa.string()),
        "fold": data.folds[clips],
        "group": pa.array(recordings[data.groups[clips]], pa.string()),
        "label": pa.array(names[data.y[clips]], pa.string()),
        "predicted": pa.array(names[said], pa.string()),
        "correct": said == data.y[clips],
        "confidence": probabilities.max(axis=1),
        "crossing": splits.crossing[clips],
    }
    columns |= {f"p_{name}": np.ascontiguousarray(probabilities[:, i]) for i, name in enumerate(data.classes)}
    return pa.table(columns)


def _json(line: dict[str, Any]) -> dict[str, Any]:
    """Write None for what JSON cannot say, such as the loss of a diverged epoch."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}

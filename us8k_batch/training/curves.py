"""How networks learnt: the epochs of ``metrics.jsonl``, as curves over all splits of a protocol."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from us8k_batch.errors import DamageError

MOST_BYTES = 64 << 20
"""Of the file, which is read line by line."""
LONGEST_LINE = 100_000
MOST_POINTS = 200
"""Epochs that are kept of each curve: more than a screen can show."""
MEASURES = tuple(f"{who}_{what}" for what in ("accuracy", "loss") for who in ("train", "validation", "test"))

Points = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Curves:
    """One protocol's curves."""

    by_split: Mapping[str, Mapping[str, Points]]
    """By measure, such as ``test_accuracy``, and split: epochs and values."""

    @property
    def epochs(self) -> int:
        """Number of the last epoch."""
        return max(line[-1][0] for splits in self.by_split.values() for line in splits.values())

    def over_splits(self, measure: str) -> dict[str, Points]:
        """Return mean, lowest and highest over the splits that reached an epoch; empty if it was not measured."""
        at: dict[int, list[float]] = {}
        for line in self.by_split.get(measure, {}).values():
            for epoch, value in line:
                at.setdefault(epoch, []).append(value)
        told: dict[str, Points] = {"mean": [], "lowest": [], "highest": []}
        for epoch, values in sorted(at.items()):
            told["mean"].append((epoch, sum(values) / len(values)))
            told["lowest"].append((epoch, min(values)))
            told["highest"].append((epoch, max(values)))
        return told if at else {}


def read_curves(file: Path) -> dict[str, Curves]:
    """Read the curves of a run by protocol; none for models that do not learn in epochs.

    Raises
    ------
    DamageError
        If the file is not one of a run.
    """
    found: dict[str, dict[str, dict[str, Points]]] = {}
    for line in _lines(file):
        epoch = line.get("epoch")
        if epoch is None:
            continue
        protocol, split = line.get("protocol"), line.get("split")
        if not (
            isinstance(epoch, int) and 0 < epoch < 1 << 31 and isinstance(protocol, str) and isinstance(split, str)
        ):
            raise DamageError(f"{file}: an epoch of {str(split)[:60]!r} is {str(epoch)[:60]!r}; train again")
        for measure in MEASURES:
            value = line.get(measure)
            if isinstance(value, int | float) and math.isfinite(value):
                splits = found.setdefault(protocol, {}).setdefault(measure, {})
                splits.setdefault(split, []).append((epoch, float(value)))
    return {protocol: Curves(_thinned(measures)) for protocol, measures in found.items()}


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    if file.stat().st_size > MOST_BYTES:
        raise DamageError(f"{file}: {file.stat().st_size} bytes, expected up to {MOST_BYTES}; train again")
    with file.open(encoding="utf-8") as opened:
        try:
            while text := opened.readline(LONGEST_LINE):
                line = json.loads(text)
                if not isinstance(line, dict):
                    raise TypeError("not an object")
                yield line
        except (ValueError, TypeError, RecursionError) as error:
            raise DamageError(f"{file}: a line is not what a run writes ({error}); train again") from error


def _thinned(measures: Mapping[str, Mapping[str, Points]]) -> dict[str, dict[str, Points]]:
    """Keep equally spaced epochs, the same of every split, and the last one of each."""
    last = max(epoch for splits in measures.values() for line in splits.values() for epoch, _ in line)
    step = -(-last // MOST_POINTS)
    thin: dict[str, dict[str, Points]] = {}
    for measure, splits in measures.items():
        for split, line in splits.items():
            end = max(epoch for epoch, _ in line)
            kept = {epoch: value for epoch, value in line if epoch % step == 0 or epoch == end}
            thin.setdefault(measure, {})[split] = sorted(kept.items())
    return thin

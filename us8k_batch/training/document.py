"""What ``run.json`` says of a run: what was asked, of which clips, what came out, and with what it was made."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

from us8k_batch.training import rundir
from us8k_batch.training.data import Dataset
from us8k_batch.training.evaluate import Evaluated, Task
from us8k_batch.training.featuresets import FeatureSet
from us8k_batch.training.importance import summarise
from us8k_batch.training.outputs import describe_partition
from us8k_batch.training.splits import some


def describe_run(data: Dataset, features: FeatureSet, task: Task, evaluated: Sequence[Evaluated]) -> dict[str, Any]:
    """Describe what was learnt and how that went; JSON values.

    Parameters
    ----------
    data : Dataset
        The clips.
    features : FeatureSet
        What the models were given of them.
    task : Task
        The model, with its parameters.
    evaluated : sequence of Evaluated
        The protocol that was asked for, then those beside it.
    """
    main = evaluated[0]
    return {
        "model": task.spec.name,
        "parameters": dict(task.parameters),
        "protocol": main.splits.protocol,
        "features": {
            "name": features.name,
            "statistics": list(features.statistics),
            "columns": list(features.columns),
        },
        "seed": task.seed,
        "classes": list(data.classes),
        "clips": len(data),
        "store": {
            "url": data.url,
            "snapshot_id": data.snapshot_id,
            "config": data.config.to_dict(),
            "versions": list(data.store_versions),
        },
        "splits": {each.splits.protocol: describe_partition(each.splits, data) for each in evaluated},
        "scores": main.scores.to_dict(),
        "scores_without_crossing": main.without_crossing and main.without_crossing.to_dict(),
        "beside": {each.splits.protocol: each.scores.to_dict() for each in evaluated[1:]},
        "importance": {
            each.splits.protocol: summarise({one.split.name: one.importances for one in each.fitted})
            for each in evaluated
        },
        "models": [
            {"file": f"{rundir.MODELS}/{one.model}", "protocol": each.splits.protocol, "split": one.split.name}
            for each in evaluated
            for one in each.fitted
        ],
        "fit_seconds": {
            each.splits.protocol: {one.split.name: round(one.seconds, 3) for one in each.fitted} for each in evaluated
        },
        # Networks of one run differ by their tuned parameters at most; the first one's layers are shown.
        "layers": main.fitted[0].layers,
        "machine": {
            "Python": platform.python_version(),
            "system": platform.system(),
            "processor": platform.machine(),
        },
    }


def without_crossing(evaluated: Evaluated) -> list[str]:
    """Say what the accuracy is without the clips of UrbanSound8K's known recordings, where there are any."""
    if evaluated.without_crossing is None:
        return []
    return [f"without those clips the accuracy is {evaluated.without_crossing.accuracy_mean:.4f}"]


def without_calibration(evaluated: Evaluated, classes: Sequence[str]) -> list[str]:
    """Say which classes took no part in calibration, and in which splits."""
    found: dict[int, list[str]] = {}
    for one in evaluated.fitted:
        for code in one.uncalibrated:
            found.setdefault(code, []).append(one.split.name)
    if not found:
        return []
    named = [f"{classes[code]} (split {', '.join(splits)})" for code, splits in sorted(found.items())]
    return [
        f"probabilities were calibrated without {some(named)}: calibration needs clips of two recordings of a "
        "class among those learnt from; add recordings, or take a model that needs none, such as xgboost"
    ]

"""Make what a run directory says without training anything, with names that would break a careless page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from us8k_batch.store import parquet
from us8k_batch.training import metrics
from us8k_batch.training.rundir import METRICS, PREDICTIONS, finish, new_run

CLASSES = ["dog <bark>", "<script>alert(1)</script>", "siren"]
SPLITS = ("1", "2")
CLIPS = 60


def make_document(**changes: Any) -> dict[str, Any]:
    """Make what run.json says of a run over two folds, as JSON gives it back."""
    rng = np.random.default_rng(0)
    half = CLIPS // 2
    y = np.arange(CLIPS) % 3
    tested = [
        metrics.Tested(name, np.arange(half) + half * i, _probabilities(rng, y[half * i : half * (i + 1)]))
        for i, name in enumerate(SPLITS)
    ]
    counts = dict.fromkeys(SPLITS, half)
    document = {
        "model": "xgboost",
        "protocol": "folds",
        "parameters": {"max_depth": 4, "n_estimators": 7},
        "features": {"name": "mean+std", "statistics": ["mean", "std"]},
        "classes": CLASSES,
        "clips": CLIPS,
        "seed": 3,
        "store": {
            "url": "a & b",
            "snapshot_id": "0" * 64,
            "config": {"n_mfcc": 2, "statistics": ["mean", "std"]},
            "versions": [{"engine": "made up", "numpy": "9"}],
        },
        "splits": {"folds": {"digest": "d" * 64, "train": counts, "test": counts}},
        "scores": metrics.score(tested, y, CLASSES).to_dict(),
        "scores_without_crossing": None,
        "beside": {},
        "importance": {
            "folds": {
                "coefficient": {"0": {"1": 0.25, "2": 0.35}, "1": {"1": 0.0, "2": -0.01}},
                "statistic": {"mean": {"1": 0.3, "2": 0.2}, "std": {"1": 0.1, "2": 0.1}},
            }
        },
        "article": None,
        "tuning": None,
        "fit_seconds": {"folds": {"1": 1.5, "2": 2.5}},
        "seconds": {"load": 0.1, "evaluate": 4.0},
        "warnings": ["<b>beware</b>"],
        "created": "2026-01-01T00:00:00+00:00",
        "jobs": 2,
        "allow_incomplete": False,
        "machine": {"Python": "3.11.0", "system": "Linux", "processor": "x86_64"},
        "models": [],
    }
    made: dict[str, Any] = json.loads(json.dumps({**document, **changes}))
    return made


def make_article(**changes: Any) -> dict[str, Any]:
    """Make what run.json says of a run of the article's protocol, with the honest scores beside it."""
    document = make_document()
    split = {"digest": "a" * 64, "train": {"article": 48}, "test": {"article": 12}}
    scores = {**document["scores"], "folds": {"article": 0.875}, "clips": {"article": 12}, "accuracy_mean": 0.875}
    article = {
        "pretraining_accuracy": 0.1, "train_accuracy": 0.93, "test_accuracy": 0.875, "test_clips": 12,
        "shared_clips": 9, "honest_protocol": "folds", "honest_accuracy": document["scores"]["accuracy_mean"],
        "honest_std": 0.05, **changes,
    }  # fmt: skip
    return {
        **document,
        "protocol": "article",
        "scores": {**scores, "accuracy_std": None, "accuracy_interval": None},
        "beside": {"folds": document["scores"]},
        "splits": {**document["splits"], "article": split},
        "article": article,
    }


def write_run(path: Path, document: dict[str, Any], *, epochs: int = 0) -> Path:
    """Write a run directory without models and figures."""
    with new_run(path) as folder:
        write_tables(folder, epochs=epochs)
        finish(folder, document)
    return path


def write_tables(folder: Path, *, epochs: int = 0) -> None:
    """Write the metrics and predictions of a run; clip-N is the surer the larger N, and every third one is wrong."""
    lines = [
        {
            "protocol": "folds", "split": split, "epoch": epoch, "train_loss": 1 / epoch, "train_accuracy": 0.9,
            "test_loss": 2 / epoch, "test_accuracy": 0.5 + 0.1 * i,
        }
        for i, split in enumerate(SPLITS)
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    (folder / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / PREDICTIONS).write_bytes(parquet.encode(make_predictions(), {}))


def make_predictions(clips: int = CLIPS) -> pa.Table:
    """Make the table of predictions."""
    places = np.arange(clips)
    names = np.array(CLASSES)
    said = np.where(places % 3 == 0, (places + 1) % 3, places % 3)
    return pa.table(
        {
            "clip_id": [f"clip-{place:03d}" for place in places],
            "protocol": ["folds"] * clips,
            "split": [SPLITS[place * 2 // clips] for place in places],
            "label": names[places % 3].tolist(),
            "predicted": names[said].tolist(),
            "correct": pa.array(said == places % 3),
            "confidence": pa.array(0.4 + 0.5 * places / clips, pa.float32()),
        }
    )


def _probabilities(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    said = rng.dirichlet(np.ones(3), len(y)) + np.eye(3)[y] * 0.6
    return (said / said.sum(axis=1, keepdims=True)).astype(np.float32)

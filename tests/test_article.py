"""The tutorial's table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feature_stores import make_dataset

from us8k_batch.training.article import ArticleScores, article_scores
from us8k_batch.training.data import Dataset
from us8k_batch.training.evaluate import Task, evaluate
from us8k_batch.training.models import get_model, with_parameters
from us8k_batch.training.splits import make_splits


def recordings_apart() -> Dataset:
    """Make clips that can be told by their recording only: the class says nothing about the features."""
    rng = np.random.default_rng(0)
    recording = np.arange(400) // 8
    vectors = (rng.normal(size=(50, 12))[recording] + 0.05 * rng.normal(size=(400, 12))).astype(np.float32)
    return make_dataset(y=recording % 5, folds=recording // 5 % 5 + 1, groups=recording, vectors=vectors)


def ask(data: Dataset, folder: Path, name: str = "knn") -> ArticleScores:
    """Evaluate a model under the article's protocol and the folds."""
    spec = get_model(name)
    task = Task(
        spec=spec,
        parameters=with_parameters(spec, {}),
        seed=0,
        features=data.vectors,
        y=data.y,
        groups=data.groups,
        models=folder,
    )
    done = [evaluate(task, make_splits(data, protocol), data.classes) for protocol in ("article", "folds")]
    return article_scores(task, data, done)


def test_what_the_random_split_leaks_is_what_it_gains(tmp_path: Path) -> None:
    """Where only recordings can be recognised, the random split scores near 1 and the folds near chance."""
    scores = ask(recordings_apart(), tmp_path)
    assert scores.test_accuracy > 0.95
    assert scores.honest_accuracy < 0.45
    assert scores.train_accuracy == 1.0
    assert scores.shared_clips == scores.test_clips == 80
    assert scores.pretraining_accuracy == pytest.approx(0.2, abs=0.15)


def test_the_table_has_the_tutorials_lines_and_the_honest_one(tmp_path: Path) -> None:
    """Before training, train, test, the leak in per cent and in clips, and the folds' score."""
    lines = ask(recordings_apart(), tmp_path).lines()
    assert [line.split("  ")[1].strip() for line in lines] == [
        "before training, test clips", "training clips", "test clips of the random split", "", "honest: folds",
    ]  # fmt: skip
    assert lines[3].endswith("100.00 %  (80 of 80)")


def test_an_unknown_leak_is_unknown() -> None:
    """Neither a leak that cannot be counted nor a score that cannot be had is shown as a number."""
    lines = ArticleScores(0.1, 0.9, 0.8, 20, None, None, None, None).lines()
    assert lines[3].endswith("unknown")
    assert "cannot be had" in lines[4]

"""Curves of networks, out of lines that anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_documents import write_tables

from us8k_batch.errors import DamageError
from us8k_batch.training.curves import MOST_POINTS, read_curves


def test_epochs_become_curves_by_measure_and_split(tmp_path: Path) -> None:
    """Mean, lowest and highest over the splits; lines without an epoch are scores and no part of a curve."""
    write_tables(tmp_path, epochs=3)
    file = tmp_path / "metrics.jsonl"
    file.write_text(file.read_text() + json.dumps({"protocol": "folds", "split": "1", "accuracy": 0.5}) + "\n")
    (curves,) = read_curves(file).values()
    assert curves.epochs == 3
    told = curves.over_splits("test_accuracy")
    assert told["lowest"] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert told["highest"] == [(1, 0.6), (2, 0.6), (3, 0.6)]
    assert [value for _, value in told["mean"]] == pytest.approx([0.55] * 3)
    assert curves.over_splits("validation_accuracy") == {}


def test_a_model_without_epochs_has_no_curves(tmp_path: Path) -> None:
    """Nothing to draw is no error."""
    write_tables(tmp_path)
    assert read_curves(tmp_path / "metrics.jsonl") == {}


def test_long_curves_are_thinned_alike(tmp_path: Path) -> None:
    """No more points than a screen shows, the same epochs of every split, and the last one kept."""
    write_tables(tmp_path, epochs=1501)
    (curves,) = read_curves(tmp_path / "metrics.jsonl").values()
    lines = list(curves.by_split["test_loss"].values())
    assert len(lines[0]) <= MOST_POINTS + 1
    assert [epoch for epoch, _ in lines[0]] == [epoch for epoch, _ in lines[1]]
    assert lines[0][-1][0] == 1501


def test_a_diverged_epoch_is_a_gap(tmp_path: Path) -> None:
    """A loss that is no number was written as null, and is left out."""
    lines = [{"protocol": "folds", "split": "1", "epoch": e, "train_loss": v} for e, v in ((1, 2.0), (2, None))]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_curves(tmp_path / "metrics.jsonl")["folds"].by_split["train_loss"]["1"] == [(1, 2.0)]


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[]", "[" * 100_000, '{"epoch": -1, "protocol": "f", "split": "1"}', '{"epoch": 1, "split": []}'],
)
def test_strange_lines_are_refused(text: str, tmp_path: Path) -> None:
    """They are damage that names the file, not a traceback."""
    file = tmp_path / "metrics.jsonl"
    file.write_text(text)
    with pytest.raises(DamageError, match=r"metrics\.jsonl"):
        read_curves(file)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """It is not read at all."""
    file = tmp_path / "metrics.jsonl"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)
    with pytest.raises(DamageError, match="expected up to"):
        read_curves(file)

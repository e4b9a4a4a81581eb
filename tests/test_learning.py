"""What a person sees on a terminal, and in a file, while models are fitted."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from feature_stores import make_features_store
from terminals import on_a_terminal

from us8k_batch.cli.base import Output
from us8k_batch.cli.learning import TerminalLearning
from us8k_batch.cli.progress import LINE_SECONDS
from us8k_batch.training.epochs import Epoch
from us8k_batch.training.search import Tried

EPOCH = Epoch("3", None, "epoch", 7, 40, {"train_loss": 0.25})


def test_a_search_has_bars_on_a_terminal(tmp_path: Path) -> None:
    """Trials with the best so far, rounds of the models that are fitted, then the folds with their mean."""
    store = make_features_store(tmp_path / "store", clips=36)
    asked = ["--model", "xgboost", "--features", "mean", "--set", "n_estimators=30", "--trials", "2", "--jobs", "1"]
    status, seen = on_a_terminal(sys.executable, "-m", "us8k_batch", "tune", store, *asked, "--out", tmp_path / "run")
    assert status == 0
    for fold in (1, 2, 3):
        assert f"fold {fold} ({fold} of 3)" in seen
    assert "2/2" in seen
    assert re.search(r"last [\d.]+ %, best so far [\d.]+ % \(trial [01]\)", seen)
    assert re.search(r"trial [01], split [123]", seen)
    assert re.search(r"\d+/30", seen), "rounds of boosting"
    assert "3/3" in seen, "folds"
    assert re.search(r"mean so far [\d.]+ %", seen)


def test_a_file_gets_whole_lines_and_no_more_than_one_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Under nohup and in a batch system's log: no bar, no escape code, epochs at most once in a while."""
    shown = TerminalLearning(Output(as_json=False, quiet=False))
    shown.start("folds", "split", 1)
    for _ in range(100):
        shown.learnt(EPOCH)
    shown._told -= LINE_SECONDS
    for _ in range(100):
        shown.learnt(EPOCH)
    shown.finish()
    shown.start("fold 3 (1 of 3)", "trial", 20, 4)
    shown.tried(Tried(4, "61.0 %", (4, 0.61)))
    shown.finish()
    assert capsys.readouterr().err.splitlines() == [
        "folds: 1 split",
        "  folds, split 3, epoch 7 of 40: loss 0.250",
        "fold 3 (1 of 3): 16 trials, 4 are there already",
        "  fold 3 (1 of 3), 5 of 20 trials: trial 4 61.0 %; best so far 61.0 % (trial 4)",
    ]


def test_nothing_is_shown_with_q(capsys: pytest.CaptureFixture[str]) -> None:
    """-q: no line for anything."""
    shown = TerminalLearning(Output(as_json=False, quiet=True))
    shown.start("folds", "split", 10)
    shown._told -= LINE_SECONDS
    shown.learnt(EPOCH)
    shown.tried(Tried(4, "61.0 %", None))
    shown.tell("a line")
    shown.finish()
    assert capsys.readouterr() == ("", "")

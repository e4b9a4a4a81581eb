"""What is said while models learn: how far it is, and the best so far."""

from __future__ import annotations

import numpy as np
import pytest

from us8k_batch.cli.base import Output
from us8k_batch.cli.progress import TerminalProgress
from us8k_batch.objects.retry import logger as waiting
from us8k_batch.training import metrics
from us8k_batch.training.epochs import Epoch
from us8k_batch.training.evaluate import Fitted
from us8k_batch.training.progress import Lines, few_words, words
from us8k_batch.training.search import Tried
from us8k_batch.training.splits import Split

MEASURED = {
    "train_loss": 0.25, "train_accuracy": 0.75, "validation_loss": 1.5, "validation_accuracy": 0.5,
    "test_accuracy": 0.625,
}  # fmt: skip
HELD_OUT = Epoch("3", None, "epoch", 7, 40, MEASURED, 5)


def fitted(name: str, accuracy: float) -> Fitted:
    """Make a split of eight test clips."""
    split = Split(name, np.arange(8, 16), np.arange(8))
    tested = metrics.Tested(name, split.test, np.zeros((8, 2), np.float32))
    return Fitted(split=split, tested=tested, accuracy=accuracy, model=None, seconds=2.0)


def test_a_split_is_told_with_the_mean_of_those_so_far() -> None:
    """Each line says what came out, how many are done, and where the mean stands."""
    said: list[str] = []
    lines = Lines(said.append)
    lines.start("folds", "split", 10)
    for name, accuracy in (("1", 0.5), ("2", 0.75)):
        lines.tested(fitted(name, accuracy))
    assert said == [
        "  folds 1: 50.0 % of 8 clips, 2.0 s; 1 of 10 done, mean so far 50.0 %",
        "  folds 2: 75.0 % of 8 clips, 2.0 s; 2 of 10 done, mean so far 62.5 %",
    ]


def test_a_single_split_has_no_mean() -> None:
    """The random split of the tutorial is told as it is."""
    said: list[str] = []
    lines = Lines(said.append)
    lines.start("article", "split", 1)
    lines.tested(fitted("article", 0.5))
    assert said == ["  article article: 50.0 % of 8 clips, 2.0 s"]


def test_a_trial_is_told_with_the_best_so_far() -> None:
    """Trials of an earlier, interrupted search count; while none is finished there is no best."""
    said: list[str] = []
    lines = Lines(said.append)
    lines.start("fold 3 (3 of 10)", "trial", 20, 4)
    lines.tried(Tried(4, "pruned at 40.0 %", None))
    lines.tried(Tried(5, "61.0 %", (5, 0.61)))
    assert said == [
        "  fold 3 (3 of 10), 5 of 20 trials: trial 4 pruned at 40.0 %; nothing finished yet",
        "  fold 3 (3 of 10), 6 of 20 trials: trial 5 61.0 %; best so far 61.0 % (trial 5)",
    ]


def test_an_epoch_tells_nothing_of_the_test_clips() -> None:
    """Loss and accuracy on what is learnt from and what is held out; nobody should stop by what is tested."""
    assert words(HELD_OUT) == (
        "split 3, epoch 7 of 40: loss 0.250, accuracy 75.0 %, validation loss 1.500, validation accuracy 50.0 %, "
        "best epoch so far 5"
    )
    assert few_words(HELD_OUT) == "validation 50.0 %, best epoch 5"


def test_rounds_of_boosting_are_counted_alone() -> None:
    """Nothing is measured between them."""
    boosted = Epoch("2", 7, "round", 30, 100)
    assert words(boosted) == "trial 7, split 2, round 30 of 100"
    assert few_words(boosted) == "rounds"


def test_what_storage_is_waited_for_is_said_between_the_lines_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, without a logger's name, and only while the run counts."""
    progress = TerminalProgress(Output(as_json=False, quiet=False))
    progress.start(3)
    waiting.warning("s3://bucket/store: the server answered 503; asking again for another %d s", 60)
    progress.finish()
    waiting.warning("after it")
    told = capsys.readouterr().err.splitlines()
    assert told == ["extracting 3 clips", "s3://bucket/store: the server answered 503; asking again for another 60 s"]
    assert waiting.propagate

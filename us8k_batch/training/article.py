"""The tutorial's numbers as it printed them, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us8k_batch.training.data import Dataset
from us8k_batch.training.evaluate import Evaluated, Task
from us8k_batch.training.persist import load_model
from us8k_batch.training.splits import shared_clips


@dataclass(frozen=True, slots=True)
class ArticleScores:
    """One random split, and the honest score of the same model beside it."""

    pretraining_accuracy: float
    """Accuracy on the test clips before anything was learnt."""
    train_accuracy: float
    test_accuracy: float
    test_clips: int
    shared_clips: int | None
    """Test clips that have another clip of their recording among the training clips; None if that is unknown."""
    honest_protocol: str | None
    """``folds``, or ``grouped`` where there is one fold only; None if neither can be had."""
    honest_accuracy: float | None
    honest_std: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the table that the tutorial never showed."""
        percent = "{:7.2f} %".format
        rows = [
            ("before training, test clips", percent(100 * self.pretraining_accuracy)),
            ("training clips", percent(100 * self.train_accuracy)),
            ("test clips of the random split", percent(100 * self.test_accuracy)),
            ("  of which share a recording with a training clip", self._leak()),
            (f"honest: {self.honest_protocol or 'cannot be had'}", self._honest()),
        ]
        return [f"  {name:<52}{value}" for name, value in rows]

    def _leak(self) -> str:
        if self.shared_clips is None:
            return "unknown"
        return f"{100 * self.shared_clips / self.test_clips:7.2f} %  ({self.shared_clips} of {self.test_clips})"

    def _honest(self) -> str:
        if self.honest_accuracy is None:
            return "no folds and no recordings in the dataset"
        spread = "" if self.honest_std is None else f" ± {100 * self.honest_std:.2f}"
        return f"{100 * self.honest_accuracy:7.2f} %{spread}"


def article_scores(task: Task, data: Dataset, evaluated: Sequence[Evaluated]) -> ArticleScores:
    """Ask the fitted model about its training clips too, and put the honest score beside the tutorial's.

    Parameters
    ----------
    task : Task
        What the model was made from, with the folder that holds its file.
    data : Dataset
        The clips.
    evaluated : sequence of Evaluated
        The random split, then the same model under a protocol that does not leak, if there is one.

    Returns
    -------
    ArticleScores
    """
    fitted, beside = evaluated[0].fitted[0], evaluated[1] if len(evaluated) > 1 else None
    split, y = fitted.split, task.y
    model = load_model((task.models or Path()) / str(fitted.model))
    said = model.predict_proba(task.features[split.train]).argmax(axis=1)
    return ArticleScores(
        pretraining_accuracy=float((_untrained(task, split.test) == y[split.test]).mean()),
        train_accuracy=float((said == y[split.train]).mean()),
        test_accuracy=fitted.accuracy,
        test_clips=len(split.test),
        shared_clips=None if data.ungrouped else shared_clips(split, data.groups),
        honest_protocol=beside.splits.protocol if beside else None,
        honest_accuracy=beside.scores.accuracy_mean if beside else None,
        honest_std=beside.scores.accuracy_std if beside else None,
    )


def _untrained(task: Task, clips: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ask a model that has learnt nothing; one that cannot be asked yet guesses every class alike."""
    model = task.spec.build(task.parameters, task.seed)
    n_classes = int(task.y.max()) + 1
    ask = getattr(model, "predict_untrained", None)
    if ask is not None:
        said: NDArray[np.int64] = ask(task.features[clips], n_classes)
        return said
    return np.random.default_rng(task.seed).integers(n_classes, size=len(clips))

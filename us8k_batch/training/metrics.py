"""What out-of-fold probabilities are worth: accuracy over folds, per class, and how far they can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Equal ranges of confidence in which it is compared with accuracy."""


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """What a model that had not learnt some clips says about them."""

    name: str
    """Name of the split."""
    clips: NDArray[np.int64]
    """Places of the tested clips."""
    probabilities: NDArray[np.float32]
    """Shape (n_tested, n_classes)."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class over all tested clips; None where nothing could be counted."""

    clips: int
    precision: float | None
    recall: float | None
    f1: float


@dataclass(frozen=True, slots=True)
class Bin:
    """The clips whose most probable class has a probability above `low` and up to `high`."""

    low: float
    high: float
    clips: int
    confidence: float | None
    """Mean probability of the most probable class."""
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's scores under one protocol."""

    folds: dict[str, float]
    """Accuracy by split."""
    clips: dict[str, int]
    """Number of tested clips by split."""
    accuracy_mean: float
    """Mean over the splits, each counting the same."""
    accuracy_std: float | None
    """Standard deviation over the splits, with divisor n - 1; None if there is one only."""
    accuracy_interval: tuple[float, float] | None
    """95 % confidence interval of the mean, by Student's t over the splits."""
    macro_f1: float
    """Mean of the classes' F1 over all tested clips together."""
    log_loss: float
    """Mean of -ln(probability of the right class), over all tested clips."""
    expected_calibration_error: float
    """Mean distance of confidence and accuracy over the bins, weighted by their clips."""
    per_class: dict[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...]
    """Tested clips by right class (outer) and most probable class (inner)."""
    reliability: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON values."""
        return asdict(self)


def score(
    parts: Sequence[Tested],
    y: NDArray[np.int64],
    classes: Sequence[str],
    counted: NDArray[np.bool_] | None = None,
) -> Scores:
    """Score out-of-fold probabilities.

    Parameters
    ----------
    parts : sequence of Tested
        One per split; at least one.
    y : int64 array, shape (n_clips,)
        Codes of the right labels of all clips.
    classes : sequence of str
        Labels by code.
    counted : bool array, shape (n_clips,), optional
        Clips that count; by default all. A split with none of them is left out.

    Returns
    -------
    Scores
    """
    if counted is not None:
        kept = [counted[part.clips] for part in parts]
        parts = [
            Tested(part.name, part.clips[keep], part.probabilities[keep])
            for part, keep in zip(parts, kept, strict=True)
            if keep.any()
        ]
    folds = {part.name: float((part.probabilities.argmax(axis=1) == y[part.clips]).mean()) for part in parts}
    right = np.concatenate([y[part.clips] for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts]).astype(np.float64)
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (right, probabilities.argmax(axis=1)), 1)
    per_class = {name: _class_score(confusion, code) for code, name in enumerate(classes)}
    tested = [one.f1 for one in per_class.values() if one.clips]
    bins = _bins(right, probabilities)
    error = sum(b.clips * abs((b.confidence or 0.0) - (b.accuracy or 0.0)) for b in bins) / len(right)
    likelihood = np.maximum(probabilities[np.arange(len(right)), right], 1e-15)
    accuracies = np.array(list(folds.values()))
    return Scores(
        folds=folds,
        clips={part.name: len(part.clips) for part in parts},
        accuracy_mean=float(accuracies.mean()),
        accuracy_std=float(accuracies.std(ddof=1)) if len(folds) > 1 else None,
        accuracy_interval=interval(accuracies),
        macro_f1=float(np.mean(tested)),
        log_loss=float(-np.log(likelihood).mean()),
        expected_calibration_error=float(error),
        per_class=per_class,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        reliability=tuple(bins),
    )


def interval(accuracies: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of a mean over folds, within [0, 1]; None if there is one fold only.

    Notes
    -----
    Training sets of different folds overlap, so the folds are not independent and the interval is, if
    anything, too narrow (Bengio & Grandvalet 2004, JMLR 5).
    """
    if len(accuracies) < 2:
        return None
    from scipy.stats import t

    half = float(t.ppf(0.975, len(accuracies) - 1)) * accuracies.std(ddof=1) / math.sqrt(len(accuracies))
    mean = accuracies.mean()
    return (float(max(0.0, mean - half)), float(min(1.0, mean + half)))


def _class_score(confusion: NDArray[np.int64], code: int) -> ClassScore:
    hits, clips, said = (int(n) for n in (confusion[code, code], confusion[code].sum(), confusion[:, code].sum()))
    return ClassScore(
        clips=clips,
        precision=hits / said if said else None,
        recall=hits / clips if clips else None,
        f1=2 * hits / (clips + said) if clips + said else 0.0,
    )


def _bins(right: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[Bin]:
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == right
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    found = []
    for i in range(BINS):
        here = place == i
        n = int(here.sum())
        found.append(
            Bin(
                low=i / BINS,
                high=(i + 1) / BINS,
                clips=n,
                confidence=float(confidence[here].mean()) if n else None,
                accuracy=float(hit[here].mean()) if n else None,
            )
        )
    return found

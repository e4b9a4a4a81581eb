"""What training tells of how it gets on, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from us8k_batch.training.epochs import Epoch
    from us8k_batch.training.evaluate import Fitted
    from us8k_batch.training.search import Tried


class Progress(Protocol):
    """Where a run tells what it is doing; `learnt` is called from a thread of its own."""

    def tell(self, message: str) -> None:
        """Say one line."""

    def start(self, what: str, unit: str, total: int, done: int = 0) -> None:
        """Begin to count splits of a protocol, or trials of a search, some of which may be there already."""

    def learnt(self, epoch: Epoch) -> None:
        """Hear how far a model has come; not of every epoch."""

    def tested(self, fitted: Fitted) -> None:
        """Count a split."""

    def tried(self, trial: Tried) -> None:
        """Count a trial."""

    def finish(self) -> None:
        """Stop counting."""


class Lines:
    """Progress for whoever wants lines: of each split and trial, not of each epoch."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._count = Count("", "", 0)

    def tell(self, message: str) -> None:
        """Say one line."""
        self._tell(message)

    def start(self, what: str, unit: str, total: int, done: int = 0) -> None:
        """Begin to count."""
        self._count = Count(what, unit, total, done)

    def learnt(self, epoch: Epoch) -> None:
        """Say nothing: epochs are too many."""

    def tested(self, fitted: Fitted) -> None:
        """Say how a split did."""
        self._tell(self._count.tested(fitted))

    def tried(self, trial: Tried) -> None:
        """Say how a trial did."""
        self._tell(self._count.tried(trial))

    def finish(self) -> None:
        """Leave nothing open."""


class Count:
    """What is being counted, how far it is, and the best so far, in words."""

    def __init__(self, what: str, unit: str, total: int, done: int = 0) -> None:
        self.what = what
        self.unit = unit
        self.total = total
        self.done = done
        self.so_far = f"{unit}s"
        """In few words: the mean of the splits, or the last trial and the best one."""
        self._accuracies: list[float] = []

    def tested(self, fitted: Fitted) -> str:
        """Count a split, and say how it did."""
        self.done += 1
        self._accuracies.append(fitted.accuracy)
        mean = sum(self._accuracies) / len(self._accuracies)
        self.so_far = f"mean so far {100 * mean:.1f} %"
        more = f"; {self.done} of {self.total} done, {self.so_far}" if self.total > 1 else ""
        return (
            f"  {self.what} {fitted.split.name}: {100 * fitted.accuracy:.1f} % of {len(fitted.split.test)} clips, "
            f"{fitted.seconds:.1f} s{more}"
        )

    def tried(self, trial: Tried) -> str:
        """Count a trial, and say how it did."""
        self.done += 1
        best = "nothing finished yet"
        if trial.best is not None:
            number, accuracy = trial.best
            best = f"best so far {100 * accuracy:.1f} % (trial {number})"
        said = f"trial {trial.number} {trial.outcome}"
        line = f"  {self.what}, {self.done} of {self.total} trials: {said}; {best}"
        self.so_far = f"last {trial.outcome.partition(' (')[0]}, {best}"
        return line


def words(epoch: Epoch) -> str:
    """Say how far a model has come; what the test clips say of it is left out, because nobody should choose by it."""
    parts = []
    for who, label in (("train", ""), ("validation", "validation ")):
        loss, accuracy = epoch.values.get(f"{who}_loss"), epoch.values.get(f"{who}_accuracy")
        parts += [] if loss is None else [f"{label}loss {loss:.3f}"]
        parts += [] if accuracy is None else [f"{label}accuracy {100 * accuracy:.1f} %"]
    if epoch.best is not None:
        parts.append(f"best {epoch.unit} so far {epoch.best}")
    figures = f": {', '.join(parts)}" if parts else ""
    return f"{whose(epoch)}, {epoch.unit} {epoch.number} of {epoch.of}{figures}"


def few_words(epoch: Epoch) -> str:
    """Say how well a model does where there is little room: on what is held out, or on what it learns from."""
    for who in ("validation", "train"):
        accuracy = epoch.values.get(f"{who}_accuracy")
        if accuracy is not None:
            best = "" if epoch.best is None else f", best {epoch.unit} {epoch.best}"
            return f"{who} {100 * accuracy:.1f} %{best}"
    return f"{epoch.unit}s"


def whose(epoch: Epoch) -> str:
    """Say which model has come so far."""
    return f"split {epoch.split}" if epoch.trial is None else f"trial {epoch.trial}, split {epoch.split}"

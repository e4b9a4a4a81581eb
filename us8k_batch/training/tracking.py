"""Hand a finished run to experiment trackers: the run directory is whole by then, and no tracker can harm it."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from us8k_batch.errors import RequestError
from us8k_batch.extras import EXTRAS, need
from us8k_batch.training import rundir

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """What a tracker takes; one per run. Everything it needs to write lies in the folder that it was opened with."""

    def parameters(self, values: Mapping[str, str | int | float]) -> None:
        """Take what was asked for."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Take measured values; a curve has many steps."""

    def image(self, name: str, file: Path) -> None:
        """Take a PNG file."""

    def audio(self, name: str, file: Path) -> None:
        """Take a sound."""

    def file(self, name: str, file: Path) -> None:
        """Take any file, such as a model."""

    def close(self) -> None:
        """Finish writing."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """Where a tracker is found, and what it needs."""

    place: str
    """Our module, which has `open_tracker`."""
    module: str
    """What must be importable, beside the rest of the optional part."""
    extra: str
    """The optional part that brings it."""


ADAPTERS = {
    "mlflow": Adapter("us8k_batch.training.track_mlflow", "mlflow", "mlflow"),
    "tensorboard": Adapter("us8k_batch.training.track_tensorboard", "tensorboardX", "tensorboard"),
    "comet": Adapter("us8k_batch.training.track_comet", "comet_ml", "comet"),
}
"""Trackers by name; each writes files beside the run directory and uses no network."""


def refuse_unknown(names: Sequence[str]) -> None:
    """Refuse trackers that cannot be used, before any work is done for them.

    Raises
    ------
    RequestError
        If there is none of a name.
    MissingExtraError
        If one is not installed.
    """
    for name in names:
        if name not in ADAPTERS:
            close = difflib.get_close_matches(name, ADAPTERS, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise RequestError(f"tracker {name!r} is unknown: {hint}expected one of {', '.join(ADAPTERS)}")
        adapter = ADAPTERS[name]
        need(adapter.extra, f"tracker {name}", (adapter.module, *EXTRAS.get(adapter.extra, ())))


def track_run(path: Path, names: Sequence[str]) -> list[str]:
    """Hand a run directory to trackers, and return what went wrong; nothing is raised for that.

    Parameters
    ----------
    path : Path
        The run directory, whole.
    names : sequence of str
        Names out of `ADAPTERS`; see `refuse_unknown`. They write into the folder that holds the run.

    Returns
    -------
    list of str
        One warning for each tracker that failed.
    """
    return _each(names, path.parent, path.name, lambda tracker: feed(tracker, path))


def track_sounds(path: Path, names: Sequence[str], said: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Hand sounds, and the probabilities that a run's models gave them, to trackers; see `track_run`."""

    def hear(tracker: Tracker) -> None:
        tracker.parameters({"run": path.name})
        for number, (sound, probabilities) in enumerate(said.items()):
            tracker.audio(Path(sound).name, Path(sound))
            tracker.metrics({f"probability/{label}": value for label, value in probabilities.items()}, number)

    return _each(names, path.parent, f"{path.name}-predict", hear)


def feed(tracker: Tracker, path: Path) -> None:
    """Give a tracker all that a run directory holds."""
    document = json.loads((path / rundir.DOCUMENT).read_text())
    tracker.parameters(dict(_parameters(document)))
    scores = document["scores"]
    overall = ("accuracy_mean", "accuracy_std", "macro_f1", "log_loss", "expected_calibration_error")
    tracker.metrics({name: scores[name] for name in overall if scores[name] is not None}, 0)
    tracker.metrics({f"f1/{label}": one["f1"] for label, one in scores["per_class"].items()}, 0)
    for number, accuracy in enumerate(scores["folds"].values(), 1):
        tracker.metrics({"fold_accuracy": accuracy}, number)
    for step, values in _curves((path / rundir.METRICS).read_text().splitlines()):
        tracker.metrics(values, step)
    for image in sorted((path / rundir.FIGURES).glob("*.png")):
        tracker.image(image.stem, image)
    for model in sorted((path / rundir.MODELS).iterdir()):
        tracker.file(f"{rundir.MODELS}/{model.name}", model)
    for name in (rundir.DOCUMENT, rundir.METRICS, rundir.PREDICTIONS, rundir.REPORT):
        tracker.file(name, path / name)


def _each(names: Sequence[str], folder: Path, run: str, use: Callable[[Tracker], None]) -> list[str]:
    warnings = []
    for name in dict.fromkeys(names):
        try:
            with contextlib.closing(_open(name, folder, run)) as tracker:
                use(tracker)
        except Exception as error:  # whatever a tracker does wrong, the run is there
            warnings.append(f"tracker {name} failed: {type(error).__name__}: {error}; the run itself is whole")
            logger.warning(warnings[-1])
    return warnings


def _open(name: str, folder: Path, run: str) -> Tracker:
    tracker: Tracker = importlib.import_module(ADAPTERS[name].place).open_tracker(folder, run)
    return tracker


def _parameters(document: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float]]:
    yield from ((name, document[name]) for name in ("model", "protocol", "seed", "clips"))
    yield "features", document["features"]["name"]
    yield "snapshot_id", document["store"]["snapshot_id"]
    for group, values in (
        ("parameters", document["parameters"]),
        ("config", document["store"]["config"]),
        ("versions", document["versions"]),
    ):
        for name, value in values.items():
            yield f"{group}.{name}", value if isinstance(value, str | int | float) else json.dumps(value)
    for split, chosen in ((document.get("tuning") or {}).get("splits") or {}).items():
        yield f"tuned.{split}", json.dumps(chosen["parameters"])


def _curves(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield what a model told of each epoch, by split."""
    for line in lines:
        told = json.loads(line)
        if "epoch" in told:
            where = f"{told.pop('protocol')}/{told.pop('split')}"
            epoch = int(told.pop("epoch"))
            yield epoch, {f"{where}/{name}": value for name, value in told.items() if value is not None}

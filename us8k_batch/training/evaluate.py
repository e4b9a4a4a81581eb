"""Fit one model per split, side by side on features that are in memory once, and ask each about its test clips."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us8k_batch.errors import DivergedError, RequestError, Us8kError
from us8k_batch.training.epochs import teller
from us8k_batch.training.importance import Layout, importances
from us8k_batch.training.metrics import Scores, Tested, score
from us8k_batch.training.models import Model, ModelSpec, Parameters
from us8k_batch.training.persist import save_model
from us8k_batch.training.splits import Split, Splits

MANY_CLIPS = 2000
"""Clips from which on processes are worth their start, for models whose fits hold the interpreter."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Task:
    """All that is needed to fit and ask one model; what is large is shared, not copied."""

    spec: ModelSpec
    """Kind of the model."""
    parameters: Parameters
    """All its parameters."""
    by_split: Mapping[str, Parameters] = field(default_factory=dict)
    """Parameters instead of those, by split, where each split has chosen its own."""
    seed: int
    """What its random numbers start from."""
    features: Any
    """One row per clip of the dataset: an array, or what reads rows when it is indexed with places."""
    y: NDArray[np.int64]
    """Codes of the labels of all clips; only those of training clips reach `fit`."""
    groups: NDArray[np.int64]
    """Codes of the recordings of all clips, -1 where unknown."""
    models: Path | None
    """Folder that the fitted model is written into; None keeps none."""
    layout: Layout | None = None
    """What the columns of the features stand for, to find out what they are worth; None asks for no more than
    probabilities, and has no epochs watched: a search must not look at more than it is told."""
    trial: int | None = None
    """Number of the trial of a search that this is a part of."""
    epochs: str | None = None
    """Address that learners tell their epochs to; see `listening`."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Fitted:
    """One split after its model was fitted and asked."""

    split: Split
    """What was learnt and what was tested."""
    tested: Tested
    """What the model says of the test clips."""
    accuracy: float
    """Share of the test clips whose most probable class is right."""
    model: str | None
    """Name of the model's file in the folder of models."""
    seconds: float
    """Time of fitting and asking."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Values by epoch, of a model that learns in epochs and keeps them in ``history_``."""
    layers: list[dict[str, Any]] = field(default_factory=list)
    """What a network consists of, as its ``layers`` describes it; nothing of other models."""
    uncalibrated: tuple[int, ...] = ()
    """Codes of the classes that took no part when probabilities were calibrated, because of too few recordings."""
    importances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Accuracy that is lost on the test clips with each group of features, by kind and name; empty if not asked."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """One protocol after all its models were asked."""

    splits: Splits
    fitted: tuple[Fitted, ...]
    """One per split, in their order."""
    scores: Scores
    without_crossing: Scores | None
    """Scores without the clips of UrbanSound8K's known recordings; None where there are none."""


def evaluate(
    task: Task, splits: Splits, classes: Sequence[str], jobs: int = 1, tell: Callable[[Fitted], None] = lambda _: None
) -> Evaluated:
    """Evaluate a model under a protocol.

    Parameters
    ----------
    task : Task
        The model, and the clips.
    splits : Splits
        Made from the same clips.
    classes : sequence of str
        Labels by code.
    jobs : int
        Splits at a time; each uses one thread, so the numbers do not depend on it.
    tell : callable
        Told of every split when it is done.

    Returns
    -------
    Evaluated

    Raises
    ------
    Us8kError
        What the model cannot do with these clips, naming the split.
    """
    from threadpoolctl import threadpool_limits

    at_a_time = max(1, min(jobs, len(splits.parts)))
    # A process needs seconds to start, and then shares no interpreter: that pays for slow fits only.
    large = len(task.y) >= MANY_CLIPS and task.spec.workers == "processes" and at_a_time > 1
    fitted = []
    with threadpool_limits(1), epochs_are_enough():
        for one in (_in_processes if large else _in_threads)(task, splits, at_a_time):
            fitted.append(one)
            tell(one)
    tested = [one.tested for one in fitted]
    without = score(tested, task.y, classes, ~splits.crossing) if splits.crossing.any() else None
    return Evaluated(splits, tuple(fitted), score(tested, task.y, classes), without)


@contextmanager
def epochs_are_enough() -> Iterator[None]:
    """Silence what is no failure: a number of epochs is what was asked for, and a small dataset is small."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
        warnings.filterwarnings("ignore", "n_quantiles|Got `batch_size`", UserWarning)
        yield


def _in_threads(task: Task, splits: Splits, at_a_time: int) -> Iterator[Fitted]:
    # Leaving the block waits for the fits that run: one that outlived its interpreter would abort the process.
    with ThreadPoolExecutor(at_a_time) as pool:
        futures = [pool.submit(fit_split, task, split, splits.protocol) for split in splits.parts]
        try:
            yield from (future.result() for future in futures)
        finally:
            for future in futures:
                future.cancel()


def _in_processes(task: Task, splits: Splits, at_a_time: int) -> Iterator[Fitted]:
    from joblib import Parallel, delayed

    # Large arrays reach the processes as one read-only memory map.
    run = Parallel(n_jobs=at_a_time, backend="loky", return_as="generator", mmap_mode="r")
    yield from run(delayed(_fit_in_process)(task, split, splits.protocol) for split in splits.parts)


def _fit_in_process(task: Task, split: Split, protocol: str) -> Fitted:
    with epochs_are_enough():
        return fit_split(task, split, protocol)


def fit_split(task: Task, split: Split, protocol: str) -> Fitted:
    """Fit a model on the training clips of one split and ask it about the test clips."""
    from threadpoolctl import threadpool_limits

    began = time.perf_counter()
    # Again, because OpenMP's limit belongs to the thread that sets it, and a process has all its own.
    with threadpool_limits(1):
        watched = (task.features[split.test], task.y[split.test]) if task.layout else None
        model = fit_model(task, split, watched)
        probabilities = np.asarray(model.predict_proba(task.features[split.test]), dtype=np.float32)
        if not np.isfinite(probabilities).all():
            raise _diverged(task, split, "diverged: its probabilities are no numbers")
        seconds = time.perf_counter() - began
        found = _importances(task, split, model) if task.layout else {}
    file = save_model(model, task.models / f"{protocol}-{split.name}").name if task.models else None
    return Fitted(
        split=split,
        tested=Tested(split.name, split.test, probabilities),
        accuracy=float((probabilities.argmax(axis=1) == task.y[split.test]).mean()),
        model=file,
        seconds=seconds,
        history=list(getattr(model, "history_", [])),
        layers=model.layers() if hasattr(model, "layers") else [],
        uncalibrated=tuple(int(code) for code in getattr(model, "uncalibrated_", ())),
        importances=found,
    )


def fit_model(task: Task, split: Split, watched: tuple[Any, NDArray[np.int64]] | None = None) -> Model:
    """Build a model and fit it on the training clips of a split; it learns from nothing else of the dataset.

    Parameters
    ----------
    task, split
        What to fit, and on which clips.
    watched : (rows, codes of labels), optional
        Clips that a model which learns in epochs is asked about after each of them, so that its curve can be
        drawn. Nothing is decided by the answers: the fitted model is the same to the last bit.
    """
    model = task.spec.build(_parameters(task, split), task.seed)
    if task.spec.listen is not None:
        task.spec.listen(model, teller(task.epochs, split.name, task.trial))
    more: dict[str, Any] = {"groups": task.groups[split.train]} if task.spec.uses_groups else {}
    if task.spec.watches and watched is not None:
        more["watched"] = watched
    try:
        model.fit(task.features[split.train], task.y[split.train], **more)
    except DivergedError as error:
        raise _diverged(task, split, str(error)) from error
    except Us8kError as error:
        raise type(error)(f"split {split.name}: {error}") from error
    except ValueError as error:
        # What scikit-learn and XGBoost raise for a parameter out of range.
        reason = str(error).strip().splitlines()[0]
        if "non-finite parameter weights" in reason:  # scikit-learn's word for a network that diverged
            raise _diverged(task, split, "diverged: its weights are no numbers any more") from error
        raise RequestError(f"split {split.name}: model {task.spec.name} cannot be fitted: {reason}") from error
    return model


def _parameters(task: Task, split: Split) -> Parameters:
    return task.by_split.get(split.name, task.parameters)


def _diverged(task: Task, split: Split, what: str) -> DivergedError:
    """Say which model ran away, when, and what to change."""
    spec, remedy = task.spec, "choose other --features, or a model that scales them, such as mlp"
    if spec.pace is not None:
        now, usual = _parameters(task, split)[spec.pace], spec.parameters[spec.pace]
        less = usual if now > usual else now / 10
        remedy = f"it learnt with {spec.pace}={now:g}, try less, such as --set {spec.pace}={less:g}"
    return DivergedError(f"split {split.name}: model {spec.name} {what}; {remedy}")


def _importances(task: Task, split: Split, model: Model) -> dict[str, dict[str, float]]:
    # After the fit and of the test clips: what is exchanged there can change no model and no score.
    rows, y = task.features[split.test], task.y[split.test]
    return importances(model, rows, y, task.layout, [task.seed, *split.name.encode()]) if task.layout else {}

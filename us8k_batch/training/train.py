"""One training run: load, split, evaluate, score, and write the run directory."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from us8k_batch.errors import RequestError
from us8k_batch.pages.card import notebook_card
from us8k_batch.pages.shell import write_page
from us8k_batch.pages.tables import percent, table
from us8k_batch.training import rundir
from us8k_batch.training.article import ArticleScores, article_scores
from us8k_batch.training.data import Dataset, load_dataset
from us8k_batch.training.document import describe_run, without_calibration, without_crossing
from us8k_batch.training.epochs import listening
from us8k_batch.training.evaluate import Evaluated, Task, evaluate
from us8k_batch.training.figures import draw_figures
from us8k_batch.training.importance import Layout
from us8k_batch.training.inputs import choose_features, load_inputs
from us8k_batch.training.metrics import Scores
from us8k_batch.training.models import get_model, with_parameters
from us8k_batch.training.outputs import write_metrics, write_predictions
from us8k_batch.training.page import run_page
from us8k_batch.training.progress import Progress
from us8k_batch.training.splits import Splits, make_splits

DEFAULT_RUNS = "runs"
CACHE = ".us8k-features"
TRIALS = "trials.journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """What is asked of one run."""

    store: str
    """Local path or URL."""
    model: str = "xgboost"
    """Name of the model."""
    protocol: str = "folds"
    """``folds``, ``grouped`` or ``article``."""
    features: str | None = None
    """Name of the feature set; None takes the protocol's or the model's; see `choose_features`."""
    out: str | None = None
    """The run directory, which must not exist; None takes the next free name below ``runs``."""
    seed: int = 0
    """What all random numbers start from."""
    jobs: int | None = None
    """Splits fitted at a time; None takes one per core."""
    allow_incomplete: bool = False
    """Train on a publication in which clips still lack their results."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the model that are to be other than its defaults."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that was written."""

    path: Path
    document: dict[str, Any]
    """What its ``run.json`` says."""
    scores: Scores
    article: ArticleScores | None

    def _repr_html_(self) -> str:
        rows = [(name, percent(accuracy)) for name, accuracy in self.scores.folds.items()]
        deviation = 0.0 if self.scores.accuracy_std is None else self.scores.accuracy_std
        facts = [
            ("features", self.document["features"]["name"]),
            ("accuracy", f"{percent(self.scores.accuracy_mean)} ± {100 * deviation:.1f}"),
            ("macro-F1", f"{self.scores.macro_f1:.3f}"),
            *(("note", warning) for warning in self.document["warnings"]),
            ("all of it", f"{self.path}/report.html"),
        ]
        title = f"{self.document['model']}, {self.document['protocol']}"
        return notebook_card(title, facts, table(["split", "accuracy"], rows, caption="accuracy by split"))

    def to_dict(self) -> dict[str, Any]:
        """Return what ``us8k train --json`` prints."""
        scores = self.document["scores"]
        told = {name: self.document[name] for name in ("model", "protocol", "warnings")}
        values = {
            "run": str(self.path),
            **told,
            "features": self.document["features"]["name"],
            **{name: scores[name] for name in ("folds", "accuracy_mean", "accuracy_std", "macro_f1", "per_class")},
        }
        return values if self.article is None else {**values, "article": self.article.to_dict()}


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search chose, before a run is made of it."""

    by_split: Mapping[str, Mapping[str, Any]]
    """All parameters of the model, by split."""
    document: Mapping[str, Any]
    """What ``run.json`` says of the search."""
    trials: Path
    """The search's journal, which the run keeps a copy of."""


def train(
    options: TrainOptions, progress: Progress, data: Dataset | None = None, tuned: Tuned | None = None
) -> Trained:
    """Train and evaluate a model on a store, and write the run directory.

    Parameters
    ----------
    options : TrainOptions
        What is asked.
    progress : Progress
        Told how it gets on: of epochs while models learn, and of each split.
    data : Dataset, optional
        The store's clips, if they are loaded already.
    tuned : Tuned, optional
        Parameters that were chosen for each split.

    Returns
    -------
    Trained

    Raises
    ------
    RequestError
        If it cannot be done as asked; nothing was written then.
    DivergedError
        If a model's numbers run away with these parameters; nothing was written then either.
    """
    began, clock = datetime.now(UTC), _Clock()
    spec = get_model(options.model)
    parameters = with_parameters(spec, options.parameters)
    features_name = choose_features(spec, options.features, options.protocol)
    jobs = cores() if options.jobs is None else options.jobs
    if jobs < 1:
        raise RequestError(f"--jobs {jobs}: expected 1 or more")
    path = _target(options, features_name)
    rundir.refuse_occupied(path)
    if data is None:
        data = load_dataset(options.store, allow_incomplete=options.allow_incomplete)
    planned = [make_splits(data, options.protocol, options.seed)]
    warnings = [*data.warnings, *planned[0].warnings]
    if options.protocol == "article":
        honest, reasons = _honest_splits(data, options.seed)
        planned += honest
        warnings += reasons
    clock.lap("load")
    with rundir.new_run(path, CACHE) as folder, listening(progress.learnt) as address:
        features = load_inputs(data, features_name, path.parent / CACHE)
        clock.lap("features")
        progress.tell(
            f"{len(data)} clips, {len(data.classes)} classes, {len(features.columns)} features; "
            f"{spec.name}, {jobs} jobs"
        )
        task = Task(
            spec=spec,
            parameters=parameters,
            by_split=tuned.by_split if tuned else {},
            seed=options.seed,
            features=features.values,
            y=data.y,
            groups=data.groups,
            models=folder / rundir.MODELS,
            layout=Layout(statistics=features.statistics, n_mfcc=data.config.n_mfcc),
            epochs=address,
        )
        evaluated = [_evaluate(task, splits, data.classes, jobs, progress) for splits in planned]
        clock.lap("evaluate")
        if tuned is not None:
            shutil.copyfile(tuned.trials, folder / TRIALS)
        article = article_scores(task, data, evaluated) if options.protocol == "article" else None
        document = {
            **describe_run(data, features, task, evaluated),
            "article": article and article.to_dict(),
            "tuning": tuned and dict(tuned.document),
            "warnings": [
                *warnings,
                *without_crossing(evaluated[0]),
                *without_calibration(evaluated[0], data.classes),
            ],
            "created": began.isoformat(timespec="seconds"),
            "jobs": jobs,
            "allow_incomplete": options.allow_incomplete,
            "seconds": clock.laps,
        }
        write_metrics(folder / rundir.METRICS, evaluated)
        write_predictions(folder / rundir.PREDICTIONS, data, evaluated)
        clock.lap("write")
        document = rundir.finish(folder, document)
    # The run is whole and in its place: what is drawn of it can take nothing away any more.
    return Trained(path, _illustrate(path, document), evaluated[0].scores, article)


def _illustrate(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Draw the figures and the page of a run that is in its place; what cannot be drawn becomes a warning."""
    again = f"us8k report {shlex.quote(str(path))} --out run.html"
    failed: list[str] = []
    try:
        failed += draw_figures(document["scores"], document["classes"], path / rundir.FIGURES)
    except Exception as error:  # matplotlib may be missing or broken, the disk full
        failed.append(f"figures could not be drawn: {error}")
    warnings = [*document["warnings"], *(f"{one}; to draw them again: {again} --figures FOLDER" for one in failed)]
    # As the page would be made of a run that is there; digests are not known yet.
    shown = {name: value for name, value in document.items() if name not in ("format", "versions", "files", "digest")}
    try:
        write_page(path / rundir.REPORT, run_page(path, {**shown, "warnings": warnings}))
    except Exception as error:
        warnings.append(f"{rundir.REPORT} could not be written: {error}; to write it again: {again}")
    try:
        return rundir.finish(path, {**document, "warnings": warnings})
    except OSError as error:
        return {**document, "warnings": [*warnings, f"figures have no digest in run.json: {error.strerror}"]}


def cores() -> int:
    """Count the cores that this process may use, also where a container or batch system gives it fewer."""
    import joblib

    return int(joblib.cpu_count())


def _evaluate(task: Task, splits: Splits, classes: Sequence[str], jobs: int, progress: Progress) -> Evaluated:
    progress.start(splits.protocol, "split", len(splits.parts))
    try:
        return evaluate(task, splits, classes, jobs, progress.tested)
    finally:
        progress.finish()


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


def _target(options: TrainOptions, features: str) -> Path:
    if options.out is not None:
        return Path(options.out)
    return rundir.free_path(Path(DEFAULT_RUNS), f"{options.model}-{features}-{options.protocol}")


def _honest_splits(data: Dataset, seed: int) -> tuple[list[Splits], list[str]]:
    """Return the best protocol that can be had without a leak, or why there is none."""
    reasons = []
    for protocol in ("folds", "grouped"):
        try:
            return [make_splits(data, protocol, seed)], []
        except RequestError as error:
            reasons.append(f"no honest score by {protocol}: {error}")
    return [], reasons

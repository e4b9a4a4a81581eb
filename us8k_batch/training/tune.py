"""Tune a model, strictly nested: each predefined fold is tested with parameters that it had no part in choosing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from us8k_batch.errors import RequestError
from us8k_batch.extras import need
from us8k_batch.folders import made
from us8k_batch.objects import LocalObjects
from us8k_batch.store.lease import hold, this_process
from us8k_batch.training import rundir
from us8k_batch.training.data import Dataset, load_dataset
from us8k_batch.training.epochs import listening
from us8k_batch.training.evaluate import MANY_CLIPS, Task, epochs_are_enough
from us8k_batch.training.inputs import choose_features, load_inputs
from us8k_batch.training.models import ModelSpec, get_model, with_parameters
from us8k_batch.training.progress import Progress
from us8k_batch.training.search import Chosen, Wanted, already_tried, search
from us8k_batch.training.spaces import Space, space_of
from us8k_batch.training.splits import Split, inner_splits, make_splits
from us8k_batch.training.train import (
    CACHE,
    DEFAULT_RUNS,
    TRIALS,
    Trained,
    TrainOptions,
    Tuned,
    cores,
    train,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

PROTOCOL = "folds"
ASKED = "asked.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """What is asked of one search."""

    store: str
    """Local path or URL."""
    model: str = "xgboost"
    """Name of the model; it has a space in `SPACES`."""
    trials: int = 20
    """Trials for each outer fold."""
    features: str | None = None
    """Name of the feature set; None takes the default of the predefined folds."""
    out: str | None = None
    """The run directory, which must not exist; None takes the next free name below ``runs``."""
    seed: int = 0
    """What all random numbers start from."""
    jobs: int | None = None
    """Trials at a time; None takes one per core. With 1, the same seed gives the same numbers."""
    allow_incomplete: bool = False
    """Train on a publication in which clips still lack their results."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the model that are fixed, and not searched."""


def tune(options: TuneOptions, progress: Progress, executor: Executor | None = None) -> Trained:
    """Search parameters for each outer fold on the remaining folds, and write a run directory of the nested score.

    What was tried is kept beside the run directory until that is whole, so that the same command goes on where
    it was killed.

    Parameters
    ----------
    options : TuneOptions
        What is asked.
    progress : Progress
        Told how it gets on: of each trial, of epochs where models are fitted on this machine, then of the run.
    executor : concurrent.futures.Executor, optional
        Where models are fitted during the search; by default on the cores of this machine.

    Returns
    -------
    Trained

    Raises
    ------
    RequestError
        If it cannot be done as asked.
    LeaseHeldError
        If another process is at the same search.
    """
    need("tune", "tuning")
    spec = get_model(options.model)
    parameters = with_parameters(spec, options.parameters)
    space = space_of(spec.name, options.parameters)
    if options.trials < 1:
        raise RequestError(f"--trials {options.trials}: expected 1 or more")
    features = choose_features(spec, options.features, PROTOCOL)
    jobs = cores() if options.jobs is None else options.jobs
    if jobs < 1:
        raise RequestError(f"--jobs {jobs}: expected 1 or more")
    path = _target(options, features)
    rundir.refuse_occupied(path)
    data = load_dataset(options.store, allow_incomplete=options.allow_incomplete)
    outer = make_splits(data, PROTOCOL, options.seed).parts
    inner = [_places_in(split.train, inner_splits(data, split)) for split in outer]
    kept = path.with_name(f".{path.name}-search")
    with (
        made(path.parent, scrap=CACHE),
        hold(LocalObjects(kept), this_process(f"us8k tune --out {path}")),
    ):
        rows = load_inputs(data, features, path.parent / CACHE).values
        _refuse_other(kept, _asked(options, spec, space, features, data))
        with (
            _storage(kept / TRIALS) as storage,
            _executor(executor, spec, len(data), jobs) as pool,
            listening(progress.learnt) as address,
        ):
            chosen = {}
            for place, (split, parts) in enumerate(zip(outer, inner, strict=True), 1):
                task = Task(
                    spec=spec,
                    parameters=parameters,
                    seed=options.seed,
                    features=rows[split.train],
                    y=data.y[split.train],
                    groups=data.groups[split.train],
                    models=None,
                    epochs=address,
                )
                wanted = Wanted(task=task, inner=parts, space=space, trials=options.trials)
                what = f"fold {split.name} ({place} of {len(outer)})"
                chosen[split.name] = _search(wanted, split.name, storage, pool, jobs, progress, what)
        document = {
            "trials": options.trials,
            "inner": "the remaining predefined folds",
            "space": {name: {"kind": type(r).__name__, **asdict(r)} for name, r in space.items()},
            "splits": {name: one.to_dict() for name, one in chosen.items()},
        }
        by_split = {name: one.parameters for name, one in chosen.items()}
        asked = TrainOptions(
            store=options.store,
            model=options.model,
            protocol=PROTOCOL,
            features=features,
            out=str(path),
            seed=options.seed,
            jobs=jobs,
            parameters=options.parameters,
        )
        trained = train(asked, progress, data, Tuned(by_split, document, kept / TRIALS))
    shutil.rmtree(kept, ignore_errors=True)
    return trained


def _search(
    wanted: Wanted,
    name: str,
    storage: BaseStorage,
    pool: Executor,
    jobs: int,
    progress: Progress,
    what: str,
) -> Chosen:
    import optuna

    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    progress.start(what, "trial", wanted.trials, already_tried(study))
    try:
        chosen = search(wanted, study, pool, jobs, progress.tried)
    finally:
        progress.finish()
    default = "-" if chosen.default_accuracy is None else f"{100 * chosen.default_accuracy:.1f} %"
    progress.tell(
        f"fold {name}, on the other folds: {default} by default, {100 * chosen.accuracy:.1f} % with trial "
        f"{chosen.trial} ({chosen.finished} finished, {chosen.pruned} pruned)"
    )
    return chosen


def _places_in(train_clips: Any, parts: tuple[Split, ...]) -> tuple[Split, ...]:
    """Count places among the training clips, because the search is given no others."""
    return tuple(
        Split(part.name, np.searchsorted(train_clips, part.train), np.searchsorted(train_clips, part.test))
        for part in parts
    )


def _target(options: TuneOptions, features: str) -> Path:
    if options.out is not None:
        return Path(options.out)
    return rundir.free_path(Path(DEFAULT_RUNS), f"{options.model}-{features}-tuned")


def _asked(options: TuneOptions, spec: ModelSpec, space: Space, features: str, data: Dataset) -> dict[str, Any]:
    """Name what trials depend on; their number may grow from one call to the next."""
    return {
        "model": spec.name,
        "features": features,
        "seed": options.seed,
        "parameters": dict(options.parameters),
        "snapshot_id": data.snapshot_id,
        "space": repr(dict(space)),
        "versions": rundir.versions(),
    }


def _refuse_other(kept: Path, asked: dict[str, Any]) -> None:
    """Refuse to go on with trials of something else; note what these are of.

    Raises
    ------
    RequestError
        Naming the differences.
    """
    objects = LocalObjects(kept)
    if objects.create(ASKED, json.dumps(asked, indent=2).encode()):
        return
    found = json.loads(objects.get(ASKED))
    other = [name for name in asked if json.dumps(found.get(name)) != json.dumps(asked[name])]
    if other:
        raise RequestError(
            f"{kept}: holds an interrupted search with another {', '.join(other)}; go on with what it was started "
            "with, choose another --out, or remove the folder"
        )


@contextmanager
def _storage(file: Path) -> Iterator[BaseStorage]:
    """Open the journal of a search that may have been killed at any byte; its lease is held."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    file.with_name(f"{file.name}.lock").unlink(missing_ok=True)
    if file.exists():
        whole = file.read_bytes()
        file.write_bytes(whole[: whole.rfind(b"\n") + 1])
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield JournalStorage(JournalFileBackend(str(file)))
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _executor(given: Executor | None, spec: ModelSpec, clips: int, jobs: int) -> Iterator[Executor]:
    """Give where to fit; what was handed in is not shut down."""
    if given is not None:
        yield given
    elif spec.workers == "processes" and clips >= MANY_CLIPS and jobs > 1:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as processes:
            yield processes
    else:
        with ThreadPoolExecutor(jobs) as threads, epochs_are_enough():
            yield threads

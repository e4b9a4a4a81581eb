"""Search parameters for one outer split, on its training clips alone: nothing else is handed in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from us8k_batch.errors import DivergedError, RequestError
from us8k_batch.training.evaluate import Task, fit_split
from us8k_batch.training.models import Parameters
from us8k_batch.training.spaces import Space, draw, encode
from us8k_batch.training.splits import Split

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

WARMUP_TRIALS = 5
"""Trials that are finished before any is pruned."""
WARMUP_FOLDS = 1
"""Inner folds that every trial may try after its first one before it can be pruned."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Wanted:
    """What is searched, and on which clips."""

    task: Task
    """The model and its parameters where the space does not say otherwise; its clips are training clips only."""
    inner: tuple[Split, ...]
    """The remaining predefined folds, each tested once; places are those in `task`."""
    space: Space
    """What may be tried."""
    trials: int
    """Trials to finish, those of an earlier, interrupted search included."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best parameters of one search."""

    parameters: dict[str, Any]
    """All parameters of the model."""
    accuracy: float
    """Mean over the inner folds. It was chosen for being high, so it is too good to be quoted."""
    default_accuracy: float | None
    """The same of the default parameters, which are the first trial; None if they could not be fitted."""
    trial: int
    """Number of the trial."""
    finished: int
    """Trials that tried every inner fold."""
    pruned: int
    """Trials that were given up: half of the others were better so far, or they could not be fitted."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial that is over, and the best one so far."""

    number: int
    outcome: str
    """What became of it, in words."""
    best: tuple[int, float] | None
    """Number and mean over the inner folds of the best finished trial; None while there is none."""


@dataclass(slots=True)
class _Running:
    trial: Trial
    parameters: Mapping[str, Any]
    accuracies: list[float] = field(default_factory=list)


def search(
    wanted: Wanted, study: Study, executor: Executor, at_a_time: int, tell: Callable[[Tried], None] = lambda _: None
) -> Chosen:
    """Search, going on where an earlier search of the same study ended.

    Parameters
    ----------
    wanted : Wanted
        What is searched.
    study : optuna.Study
        What was found so far; made with direction ``maximize``. Its sampler and pruner are set here.
    executor : concurrent.futures.Executor
        Where the inner folds are fitted. Only this thread uses the study.
    at_a_time : int
        Trials that run at a time. With one, the numbers depend on the seed alone, also after a kill.
    tell : callable
        Told of every trial.

    Returns
    -------
    Chosen

    Raises
    ------
    RequestError
        If no trial could be fitted.
    """
    from optuna.pruners import MedianPruner
    from optuna.trial import TrialState

    study.pruner = MedianPruner(n_startup_trials=WARMUP_TRIALS, n_warmup_steps=WARMUP_FOLDS)
    for lost in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        study.tell(lost.number, state=TrialState.FAIL)
    running: dict[Future[float], _Running] = {}
    started = already_tried(study)
    with _nothing_left_behind(running):
        while True:
            while len(running) < at_a_time and started < wanted.trials:
                one = _start(wanted, study, started)
                running[_submit(executor, wanted, one)] = one
                started += 1
            if not running:
                return _choose(wanted, study)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: running[f].trial.number):
                one = running.pop(future)
                outcome = _outcome(wanted, study, one, future)
                if outcome is None:
                    running[_submit(executor, wanted, one)] = one
                else:
                    best = _best(study)
                    tell(Tried(one.trial.number, outcome, None if best is None else (best.number, _mean(best))))


def already_tried(study: Study) -> int:
    """Count the trials that are over, those of an earlier, interrupted search included."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def inner_accuracy(task: Task, parameters: Parameters, split: Split, trial: int) -> float:
    """Fit a model on all inner folds but one, and return its accuracy on that one; runs on the executor.

    Parameters
    ----------
    task : Task
        What all trials have in common. It comes first, so that an executor can ship it once.
    parameters : mapping
        What this trial tries.
    split : Split
        The inner folds that are learnt from, and the one that is tested.
    trial : int
        Number of the trial.
    """
    return fit_split(replace(task, parameters=parameters, trial=trial), split, "inner").accuracy


def _start(wanted: Wanted, study: Study, place: int) -> _Running:
    from optuna.samplers import TPESampler

    # A sampler of its own for each trial: one that went on drawing could not go on after a kill.
    seed = int(np.random.SeedSequence([wanted.task.seed, place]).generate_state(1)[0])
    study.sampler = TPESampler(seed=seed, n_startup_trials=max(3, min(10, wanted.trials // 3)))
    if place == 0:
        study.enqueue_trial(encode(wanted.space, wanted.task.parameters))
    trial = study.ask()
    return _Running(trial, {**wanted.task.parameters, **draw(trial, wanted.space)})


def _submit(executor: Executor, wanted: Wanted, one: _Running) -> Future[float]:
    inner = wanted.inner[len(one.accuracies)]
    return executor.submit(inner_accuracy, wanted.task, one.parameters, inner, one.trial.number)


def _outcome(wanted: Wanted, study: Study, one: _Running, fitted: Future[float]) -> str | None:
    """Note the accuracy on one more inner fold; if it was the last one, tell the study, and say what came of it."""
    from optuna.trial import TrialState

    try:
        one.accuracies.append(fitted.result())
    except (ValueError, DivergedError) as error:
        # Not every point of a space fits every dataset: 27 neighbours need 27 clips.
        study.tell(one.trial, state=TrialState.PRUNED)
        return f"cannot be fitted ({str(error).splitlines()[0]})"
    mean = float(np.mean(one.accuracies))
    one.trial.report(mean, step=len(one.accuracies) - 1)
    if len(one.accuracies) == len(wanted.inner):
        study.tell(one.trial, mean)
        return f"{100 * mean:.1f} %"
    if one.trial.should_prune():
        study.tell(one.trial, state=TrialState.PRUNED)
        return f"pruned at {100 * mean:.1f} %"
    return None


def _choose(wanted: Wanted, study: Study) -> Chosen:
    from optuna.trial import TrialState

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    best = _best(study)
    if best is None:
        raise RequestError(
            f"model {wanted.task.spec.name} could not be fitted with any of {len(pruned)} sets of parameters; "
            "us8k train says why"
        )
    defaults = min([*finished, *pruned], key=lambda trial: trial.number)
    return Chosen(
        parameters={**wanted.task.parameters, **draw(best, wanted.space)},
        accuracy=_mean(best),
        default_accuracy=_mean(defaults) if defaults in finished else None,
        trial=best.number,
        finished=len(finished),
        pruned=len(pruned),
    )


def _best(study: Study) -> FrozenTrial | None:
    """Return the best finished trial, of equals the earliest: the defaults are left only for something better."""
    from optuna.trial import TrialState

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(finished, key=lambda trial: (_mean(trial), -trial.number), default=None)


def _mean(trial: FrozenTrial) -> float:
    """Return what a finished trial was told: a single number, not one of several objectives."""
    return float(trial.values[0])


@contextlib.contextmanager
def _nothing_left_behind(running: dict[Future[float], _Running]) -> Iterator[None]:
    """Wait for what runs, when the search ends early: a fit that outlives its interpreter aborts the process."""
    try:
        yield
    finally:
        for future in running:
            future.cancel()
        wait(running)

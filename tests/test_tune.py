"""Tuning: the test fold has no say, a killed search goes on, and the run tells the nested score."""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feature_stores import make_catalog, make_features_store, publish_again
from killing import kill_when, start

from us8k_batch.errors import DivergedError, LeaseHeldError, RequestError
from us8k_batch.objects import LocalObjects
from us8k_batch.store.lease import hold, this_process
from us8k_batch.training import search
from us8k_batch.training.data import load_dataset
from us8k_batch.training.evaluate import Task
from us8k_batch.training.models import Parameters
from us8k_batch.training.progress import Lines
from us8k_batch.training.rundir import load_run
from us8k_batch.training.splits import Split
from us8k_batch.training.train import Trained
from us8k_batch.training.tune import TuneOptions, tune

CLIPS, FOLDS = 72, 3


def make_store(folder: Path, *, poisoned: int | None = None) -> str:
    """Make a store whose labels are partly wrong, so that parameters matter; in one fold all can be moved on."""
    catalog = make_catalog(CLIPS, 3, FOLDS)
    make_features_store(folder, table=catalog)
    labels = np.array(catalog["label"].to_pylist(), dtype=object)
    noisy = np.random.default_rng(3).random(CLIPS) < 0.35
    labels[noisy] = np.random.default_rng(4).permutation(labels[noisy])
    if poisoned is not None:
        here = np.array(catalog["fold"].to_pylist()) == poisoned
        labels[here] = [f"class-{(int(label[-1]) + 1) % 3}" for label in labels[here]]
    column = catalog.column_names.index("label")
    publish_again(folder, catalog.set_column(column, "label", pa.array(labels.tolist())))
    return str(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a store of three folds."""
    return make_store(tmp_path_factory.mktemp("tune") / "store")


def options(store: str, out: Path, **given: Any) -> TuneOptions:
    """Ask for a fast search."""
    fixed = {"scaling": "quantile"}
    asked = TuneOptions(store=store, model="knn", features="mean", trials=6, out=str(out), jobs=1, parameters=fixed)
    return replace(asked, **given)


@pytest.fixture(scope="module")
def tuned(store: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Tune once for the tests that compare."""
    return tune(options(store, tmp_path_factory.mktemp("tune") / "run"), Lines(lambda _: None))


def chosen(trained: Trained) -> dict[str, Any]:
    """Return what was chosen, and how it scored on the inner folds."""
    return dict(trained.document["tuning"]["splits"])


def test_the_labels_of_the_test_fold_cannot_influence_the_choice(tuned: Trained, tmp_path: Path) -> None:
    """Whatever a fold's labels are, its own search ends the same; those of the other folds do not."""
    poisoned = tune(options(make_store(tmp_path / "store", poisoned=2), tmp_path / "run"), Lines(lambda _: None))
    assert chosen(poisoned)["2"] == chosen(tuned)["2"]
    assert chosen(poisoned)["1"] != chosen(tuned)["1"]
    assert poisoned.scores.folds["2"] != tuned.scores.folds["2"]


def test_each_split_is_tested_with_its_own_choice(tuned: Trained, store: str) -> None:
    """The model of each split has the parameters that its search chose, and the run says so and can be loaded."""
    run = load_run(str(tuned.path))
    for model, split in zip(run.models(), chosen(tuned).values(), strict=True):
        neighbours = model.steps[-1][1]  # type: ignore[attr-defined]  # a pipeline
        there = {"scaling": "quantile", **neighbours.get_params()}
        assert {name: there[name] for name in split["parameters"]} == split["parameters"]
    assert (tuned.path / "trials.journal").is_file()
    assert not list(tuned.path.parent.glob(".run-search"))
    assert run.document["store"]["snapshot_id"] == load_dataset(store).snapshot_id


def test_a_choice_is_never_worse_than_the_defaults_on_the_inner_folds(tuned: Trained) -> None:
    """The defaults are the first trial, and are left for something better only."""
    for one in chosen(tuned).values():
        assert one["accuracy"] >= one["default_accuracy"]
        assert one["finished"] + one["pruned"] == 6
    assert any(one["accuracy"] > one["default_accuracy"] for one in chosen(tuned).values())


def test_the_same_seed_gives_the_same_numbers(tuned: Trained, store: str, tmp_path: Path) -> None:
    """With one trial at a time, two searches choose the same and score the same."""
    again = tune(options(store, tmp_path / "run"), Lines(lambda _: None))
    assert chosen(again) == chosen(tuned)
    assert again.scores == tuned.scores


def test_a_killed_search_goes_on(tuned: Trained, store: str, tmp_path: Path) -> None:
    """After a SIGKILL the same command ends with the same numbers, and repeats no finished trial."""
    out = tmp_path / "run"
    journal = tmp_path / ".run-search" / "trials.journal"
    asked = ("--model", "knn", "--features", "mean", "--trials", 6, "--jobs", 1, "--set", "scaling=quantile")
    process = start("tune", store, *asked, "--out", out)
    kill_when(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 60, process)
    assert not out.exists()
    with journal.open("ab") as file:
        file.write(b'{"op_code": 5, "torn')
    before = journal.read_bytes().count(b"\n")
    heard: list[str] = []
    again = tune(options(store, out), Lines(heard.append))
    assert chosen(again)["3"] == chosen(tuned)["3"]
    assert again.scores == tuned.scores
    assert before > 60
    assert sum("trial" in line and line.startswith("  fold 1") for line in heard) < 6


def test_a_search_of_something_else_is_not_continued(store: str, tmp_path: Path) -> None:
    """What was left by a search with another seed is refused, naming the seed."""

    class Stopped(Executor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(options(store, tmp_path / "run"), Lines(lambda _: None), Stopped())
    with pytest.raises(RequestError, match="another seed"):
        tune(options(store, tmp_path / "run", seed=1), Lines(lambda _: None))


def test_two_searches_at_once_are_refused(store: str, tmp_path: Path) -> None:
    """While one process searches, another one with the same run directory is told so."""
    with (
        hold(LocalObjects(tmp_path / ".run-search"), this_process("the first")),
        pytest.raises(LeaseHeldError, match="the first"),
    ):
        tune(options(store, tmp_path / "run"), Lines(lambda _: None))


def test_trials_run_on_any_executor(store: str, tmp_path: Path) -> None:
    """All fits of the search go through the executor that was handed in, which stays open."""

    class Counting(ThreadPoolExecutor):
        calls = 0

        def submit(self, *arguments: Any, **more: Any) -> Future[Any]:
            self.calls += 1
            return super().submit(*arguments, **more)

    with Counting(2) as pool:
        done = tune(options(store, tmp_path / "run", jobs=2, trials=3), Lines(lambda _: None), pool)
        assert pool.calls >= 3 * FOLDS * 2 - 3
        assert pool.submit(int).result() == 0
    assert set(chosen(done)) == {"1", "2", "3"}


def test_a_trial_that_diverges_is_given_up(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that run away with some parameters cost that trial; the search goes on with others, and says so."""
    fit = search.inner_accuracy

    def diverging(task: Task, parameters: Parameters, split: Split, trial: int) -> float:
        if trial == 1:
            raise DivergedError("split 1: model knn diverged")
        return fit(task, parameters, split, trial)

    monkeypatch.setattr(search, "inner_accuracy", diverging)
    heard: list[str] = []
    done = tune(options(store, tmp_path / "run", trials=3), Lines(heard.append))
    assert {one["pruned"] for one in chosen(done).values()} == {1}
    assert sum("trial 1 cannot be fitted (split 1: model knn diverged); best so far" in line for line in heard) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "dummy", "parameters": {}}, "no search space"),
        ({"model": "xgbost", "parameters": {}}, "did you mean xgboost"),
        ({"trials": 0}, "--trials 0"),
        ({"jobs": 0}, "--jobs 0"),
        ({"parameters": {"n_neighbors": 3, "weights": "uniform", "scaling": "none"}}, "all that could be tried"),
        ({"parameters": {"neighbors": 3}}, "no parameter 'neighbors'"),
    ],
)
def test_what_cannot_be_searched_is_refused(store: str, tmp_path: Path, given: Any, message: str) -> None:
    """A bad request says what is wrong with it and leaves nothing behind."""
    with pytest.raises(RequestError, match=message):
        tune(options(store, tmp_path / "run", **given), Lines(lambda _: None))
    assert list(tmp_path.iterdir()) == []

"""Evaluation: the test fold is invisible to the fit, and numbers do not depend on jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_stores import make_dataset

from us8k_batch.errors import DivergedError, RequestError
from us8k_batch.training import evaluate as module
from us8k_batch.training.data import Dataset
from us8k_batch.training.epochs import Epoch, listening
from us8k_batch.training.evaluate import Evaluated, Task, evaluate
from us8k_batch.training.importance import Layout
from us8k_batch.training.models import Model, Parameters, get_model, with_parameters
from us8k_batch.training.splits import Splits, make_splits

MODELS = {
    "xgboost": {"n_estimators": 5},
    "random-forest": {"n_estimators": 5},
    "svm": {},
    "knn": {"n_neighbors": 3},
    "mlp": {"max_iter": 5},
    "logistic": {},
    "dummy": {},
}


def clips() -> Dataset:
    """Make 90 clips of 45 recordings in three folds and three classes."""
    rng = np.random.default_rng(0)
    recording = np.arange(90) // 2
    y = recording % 3
    vectors = (rng.normal(size=(90, 5)) + 2 * np.eye(3, 5)[y]).astype(np.float32)
    return make_dataset(y=y, folds=recording // 3 % 3 + 1, groups=recording, vectors=vectors)


def task(data: Dataset, name: str, models: Path | None = None) -> Task:
    """Make the task of a small model."""
    spec = get_model(name)
    return Task(
        spec=spec,
        parameters=with_parameters(spec, MODELS[name]),
        seed=7,
        features=data.vectors,
        y=data.y,
        groups=data.groups,
        models=models,
    )


def said(evaluated: Evaluated) -> list[np.ndarray]:
    """Return the probabilities by split."""
    return [one.tested.probabilities for one in evaluated.fitted]


@pytest.mark.parametrize("name", list(MODELS))
def test_poison_in_the_test_fold_changes_no_model(name: str, tmp_path: Path) -> None:
    """Features, labels and recordings of the test fold are exchanged for nonsense: the fitted model is the same.

    Every model is asked about the same probe, so that scaling, calibration and inner splits are covered too.
    """
    data = clips()
    splits = make_splits(data, "folds")
    probe = np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32)
    for split in splits.parts:
        clean = task(data, name)
        vectors, y, groups = data.vectors.copy(), data.y.copy(), data.groups.copy()
        vectors[split.test] = 1e6
        y[split.test] = (y[split.test] + 1) % 3
        groups[split.test] = groups[split.train[0]]
        poisoned = replace(clean, features=vectors, y=y, groups=groups)
        models = [module.fit_model(one, split) for one in (clean, poisoned)]
        assert np.array_equal(models[0].predict_proba(probe), models[1].predict_proba(probe))


def test_asking_what_features_are_worth_changes_no_model_and_no_score(tmp_path: Path) -> None:
    """With and without, every probability and every byte of the models is the same."""
    data = clips()
    splits = make_splits(data, "folds")
    found = []
    for name, layout in (("without", None), ("with", Layout(statistics=("mean",), n_mfcc=5))):
        (tmp_path / name).mkdir()
        asked = replace(task(data, "xgboost", tmp_path / name), layout=layout)
        found.append(evaluate(asked, splits, data.classes))
    for first, second in zip(*map(said, found), strict=True):
        assert np.array_equal(first, second)
    for file in (tmp_path / "without").iterdir():
        assert file.read_bytes() == (tmp_path / "with" / file.name).read_bytes()
    assert [bool(one.importances) for each in found for one in each.fitted] == [False] * 3 + [True] * 3


def test_a_leak_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poison is strong enough: a fit that also sees the test clips does change."""
    data = clips()
    split = make_splits(data, "folds").parts[0]
    everything = replace(split, train=np.arange(len(data)))
    vectors = data.vectors.copy()
    vectors[split.test] = 1e6
    clean = task(data, "logistic")
    models = [module.fit_model(one, everything) for one in (clean, replace(clean, features=vectors))]
    assert not np.array_equal(*(model.predict_proba(data.vectors) for model in models))


@pytest.mark.parametrize("name", list(MODELS))
def test_one_job_and_two_say_the_same(name: str) -> None:
    """Probabilities are equal to the last bit, however many splits are fitted at a time."""
    data = clips()
    splits = make_splits(data, "folds")
    one, two = (said(evaluate(task(data, name), splits, data.classes, jobs)) for jobs in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_processes_say_what_threads_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose fits hold the interpreter goes to processes, with the same numbers."""
    data = clips()
    splits = make_splits(data, "folds")
    threads = said(evaluate(task(data, "svm"), splits, data.classes, 2))
    monkeypatch.setattr(module, "MANY_CLIPS", 10)
    processes = said(evaluate(task(data, "svm"), splits, data.classes, 2))
    assert all(np.array_equal(a, b) for a, b in zip(threads, processes, strict=True))


def test_every_clip_is_asked_about_once_by_a_model_that_is_kept(tmp_path: Path) -> None:
    """Out-of-fold probabilities cover the dataset, and each split leaves its model's file."""
    data = clips()
    told = []
    done = evaluate(task(data, "xgboost", tmp_path), make_splits(data, "folds"), data.classes, 2, told.append)
    tested = np.concatenate([one.tested.clips for one in done.fitted])
    assert sorted(tested) == list(range(90))
    assert [one.split.name for one in told] == ["1", "2", "3"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folds-1.ubj", "folds-2.ubj", "folds-3.ubj"]
    assert done.scores.folds == {one.split.name: one.accuracy for one in done.fitted}


def test_the_score_without_the_crossing_clips_is_given() -> None:
    """Where recordings sit in two official folds, the second score leaves out exactly their clips."""
    data = clips()
    splits = make_splits(data, "folds")
    crossing = np.zeros(90, np.bool_)
    crossing[:10] = True
    done = evaluate(task(data, "logistic"), Splits("folds", splits.parts, crossing), data.classes)
    assert sum(done.scores.clips.values()) == 90
    assert done.without_crossing is not None
    assert sum(done.without_crossing.clips.values()) == 80
    assert evaluate(task(data, "logistic"), splits, data.classes).without_crossing is None


@pytest.mark.parametrize(
    ("name", "remedy"), [("xgboost", "try less, such as --set learning_rate=0.03"), ("knn", "--features")]
)
def test_a_model_whose_numbers_run_away_ends_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, name: str, remedy: str
) -> None:
    """Probabilities that are no numbers are never scored: split, model and remedy are named."""
    data = clips()
    asked = task(data, name)

    def build(parameters: Parameters, seed: int) -> Model:
        model = asked.spec.build(parameters, seed)
        monkeypatch.setattr(model, "predict_proba", lambda rows: np.full((len(rows), 3), np.nan))
        return model

    diverging = replace(asked, spec=replace(asked.spec, build=build))
    with pytest.raises(DivergedError, match=f"split 1: model {name} diverged: .*{remedy}"):
        evaluate(diverging, make_splits(data, "folds"), data.classes)


def test_told_rounds_change_no_model(tmp_path: Path) -> None:
    """With somebody listening to every round, the file of the model is the same, byte by byte."""
    data = clips()
    split = make_splits(data, "folds").parts[0]
    heard: list[Epoch] = []
    with listening(heard.append) as address:
        for name, epochs in (("alone", None), ("heard", address)):
            (tmp_path / name).mkdir()
            module.fit_split(replace(task(data, "xgboost", tmp_path / name), epochs=epochs), split, "folds")
    assert (tmp_path / "alone" / "folds-1.ubj").read_bytes() == (tmp_path / "heard" / "folds-1.ubj").read_bytes()
    assert heard[0] == Epoch("1", None, "round", 1, 5)


def test_a_parameter_out_of_range_is_a_request_that_cannot_be_met() -> None:
    """What the library says of it is passed on with the split's name, not as a traceback."""
    data = clips()
    bad = replace(task(data, "svm"), parameters={"C": -1.0, "kernel": "rbf", "gamma": "scale"})
    with pytest.raises(RequestError, match=r"split 1: model svm cannot be fitted: .*'C' parameter"):
        evaluate(bad, make_splits(data, "folds"), data.classes, 2)

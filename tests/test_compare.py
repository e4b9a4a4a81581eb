"""Runs side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from feature_stores import make_catalog, make_features_store

from us8k_batch.errors import DamageError, RequestError
from us8k_batch.training.compare import compare, table
from us8k_batch.training.progress import Lines
from us8k_batch.training.rundir import digest_document
from us8k_batch.training.train import TrainOptions, train

ESC10 = [
    "baby_cry", "chainsaw", "clock_tick", "dog_bark", "fire_crackling",
    "helicopter", "person_sneeze", "rain", "rooster", "sea_waves",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Train a few models on one store with ESC-10's classes."""
    folder = tmp_path_factory.mktemp("compare")
    labels = [ESC10[i // 2 % 10] for i in range(120)]
    catalog = make_catalog(120, 10, 3, columns={"label": labels})
    store = make_features_store(folder / "store", table=catalog)
    asked = {
        "dummy": {"model": "dummy"},
        "logistic": {"model": "logistic"},
        "article": {"model": "logistic", "protocol": "article"},
        "grouped": {"model": "dummy", "protocol": "grouped"},
    }
    for name, given in asked.items():
        train(TrainOptions(store=str(store), features="mean", out=str(folder / name), **given), Lines(lambda _: None))
    return {name: str(folder / name) for name in asked}


def test_the_best_comes_first_and_what_is_published_is_marked(runs: dict[str, str]) -> None:
    """Rows go down in accuracy; published rows are marked and are never paired with a run."""
    comparison = compare([runs["dummy"], runs["logistic"]])
    accuracies = [line.accuracy for line in comparison.lines]
    assert accuracies == sorted(accuracies, reverse=True)
    published = [line for line in comparison.lines if line.published]
    assert {(line.model, round(100 * line.accuracy, 1)) for line in published} == {
        ("human", 95.7), ("random forest", 72.7), ("SVM", 67.5), ("k-NN", 66.7),
    }  # fmt: skip
    assert all(line.p_value is None for line in published)
    assert any("not of the 400 clips" in note for note in comparison.notes)


def test_runs_on_the_same_splits_are_tested_against_the_best(runs: dict[str, str]) -> None:
    """The best run has no p-value; one that is far behind on every fold has a small one."""
    lines = {line.name: line for line in compare([runs["dummy"], runs["logistic"]]).lines}
    assert lines[runs["logistic"]].p_value is None
    assert lines[runs["dummy"]].p_value < 0.05


def test_a_run_says_how_far_it_is_behind(runs: dict[str, str]) -> None:
    """The mean difference to the best run over the same splits, and an interval around it that leaves out 0."""
    lines = {line.name: line for line in compare([runs["dummy"], runs["logistic"]]).lines}
    best, other = lines[runs["logistic"]], lines[runs["dummy"]]
    mean, low, high = other.behind
    assert mean == pytest.approx(other.accuracy - best.accuracy)
    assert low < mean < high < 0
    assert set(other.folds) == {"1", "2", "3"}
    assert best.behind is None


def test_an_article_run_stands_at_its_honest_score(runs: dict[str, str]) -> None:
    """The leaky number is a remark, not a rank: the same model's honest run has the same accuracy."""
    lines = {line.name: line for line in compare([runs["logistic"], runs["article"]]).lines}
    assert lines[runs["article"]].accuracy == lines[runs["logistic"]].accuracy
    assert lines[runs["article"]].protocol == "folds"
    assert "the article's split says" in lines[runs["article"]].note


def test_other_splits_are_not_paired(runs: dict[str, str]) -> None:
    """Runs that tested other clips together get no p-value, and the table says why."""
    comparison = compare([runs["logistic"], runs["grouped"]])
    assert all(line.p_value is None for line in comparison.lines)
    assert any("not all runs were tested on the same clips" in note for note in comparison.notes)


def test_the_table_says_it_in_words(runs: dict[str, str]) -> None:
    """Every run and every published number has its line; the JSON has the same rows."""
    comparison = compare([runs["dummy"], runs["logistic"]])
    text = table(comparison)
    assert sum(line.startswith("run ") for line in text) == 2
    assert sum(line.startswith("published ") for line in text) == 4
    assert len(json.loads(json.dumps(comparison.to_dict(), allow_nan=False))["rows"]) == 6


def test_runs_that_look_alike_are_told_apart_by_what_decided_them(runs: dict[str, str], tmp_path: Path) -> None:
    """Seed, parameters and the versions that decide a model's numbers are noted where they differ, and only there."""
    again = {"logistic": {"xgboost": "9.9", "scikit-learn": "1.0"}, "dummy": {"xgboost": "9.9"}}
    for name, versions in again.items():
        shutil.copytree(runs[name], tmp_path / name)
        document = json.loads((tmp_path / name / "run.json").read_text())
        document["versions"] |= versions
        document["digest"] = digest_document(document)
        (tmp_path / name / "run.json").write_text(json.dumps(document))
    lines = compare([runs["logistic"], runs["dummy"], *(str(tmp_path / name) for name in again)]).lines
    notes = {line.name: line.note for line in lines if not line.published}
    assert notes[str(tmp_path / "logistic")] == "scikit-learn 1.0"
    assert notes[runs["logistic"]].startswith("scikit-learn ")
    assert notes[runs["dummy"]] == notes[str(tmp_path / "dummy")] == ""


def test_what_cannot_be_compared_is_refused(runs: dict[str, str], tmp_path: Path) -> None:
    """No run, a folder that is none, and a changed run are errors."""
    with pytest.raises(RequestError, match="no run was given"):
        compare([])
    with pytest.raises(RequestError, match="no run here"):
        compare([str(tmp_path)])
    changed = Path(runs["grouped"]) / "metrics.jsonl"
    kept = changed.read_bytes()
    changed.write_text("")
    with pytest.raises(DamageError, match=r"metrics\.jsonl"):
        compare([runs["grouped"]])
    changed.write_bytes(kept)

"""Sections about models: curves, features, mistakes, tuning."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from run_documents import make_document, write_tables
from test_page_scores import page_of

from us8k_batch.training import page_models
from us8k_batch.training.curves import read_curves
from us8k_batch.training.mistakes import Mistake


def test_curves_tell_learnt_from_tested(tmp_path: Path) -> None:
    """Both are drawn over the splits, with the lowest and highest split, and can be read as tables."""
    write_tables(tmp_path, epochs=4)
    page = page_of(page_models.learning(read_curves(tmp_path / "metrics.jsonl")))
    for text in ("clips learnt from", "test clips, lowest split", "test clips, highest split", "split 2"):
        assert text in page.said
    labels = [one["aria-label"] for one in page.all("svg") if "aria-label" in one]
    assert any("Accuracy by epoch up to 4; at the end clips learnt from: 90" in label for label in labels)
    assert any(label.startswith("Loss by epoch") for label in labels)


def test_splits_that_stopped_early_are_said(tmp_path: Path) -> None:
    """Or a curve jumps where one of them ends, and nobody knows why."""
    write_tables(tmp_path, epochs=4)
    file = tmp_path / "metrics.jsonl"
    assert "stopped after" not in page_of(page_models.learning(read_curves(file))).said
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-2]))
    assert "stopped after 2 to 4 epochs" in page_of(page_models.learning(read_curves(file))).said


def test_a_network_is_shown_layer_by_layer() -> None:
    """As the tutorial prints it: what comes out of each, and how much there is to learn."""
    layers = [
        {"name": "features", "kind": "InputLayer", "shape": [None, 40], "parameters": 0},
        {"name": "<b>dense</b>", "kind": "Dense", "shape": [None, 256], "parameters": 10496},
    ]
    said = page_of(page_models.network(layers)).said
    assert "10,496 parameters in 2 layers" in said
    assert "<b>dense</b> Dense – × 256 10,496" in said  # noqa: RUF001  # as it is shown


def test_features_are_ranked_with_their_spread() -> None:
    """The most important first, in percentage points, with an interval over the splits."""
    page = page_of(page_models.importance(make_document()["importance"]["folds"]))
    assert "most with mean, 25.0 points" in page.text
    assert "most with 0, 30.0 points" in page.text
    assert "std 10.0 10.0 to 10.0" in page.said
    assert page.said.index("coefficient 0") < page.said.index("coefficient 1")


def test_no_mistake_is_said() -> None:
    """An empty list is a sentence."""
    assert "There is none." in page_of(page_models.mistakes([], {})).said


def test_a_mistake_tells_what_it_was_taken_for() -> None:
    """Clip, both classes, how sure, and the split; text of all of them."""
    worst = [Mistake("<i>clip</i>", "1", "<b>right</b>", "<u>wrong</u>", 0.987)]
    for heard in ({}, {"<i>clip</i>": Markup("<audio></audio>")}):
        page = page_of(page_models.mistakes(worst, heard))
        for text in ("<i>clip</i>", "<b>right</b>", "<u>wrong</u>", "98.7 %"):
            assert text in page.said
        assert not page.all("i") + page.all("u")


def test_a_tuned_runs_choices_are_shown() -> None:
    """Per fold: the score on it, the scores that the choice was made by, and what was chosen, not what was fixed."""
    one = {"accuracy": 0.811, "default_accuracy": 0.755, "trial": 3, "finished": 5, "pruned": 2}
    told = {
        "trials": 7,
        "space": {"max_depth": {"kind": "Whole", "low": 1, "high": 9}, "eta": {"kind": "Share"}},
        "splits": {
            "1": {**one, "parameters": {"max_depth": 7, "eta": 0.123456, "max_bin": 64}},
            "2": {**one, "parameters": {"max_depth": 2, "eta": 0.5, "max_bin": 64}, "default_accuracy": None},
        },
    }
    said = page_of(page_models.tuning(told, {"folds": {"1": 0.701, "2": 0.702}})).said
    for text in ("70.1 %", "70.2 %", "81.1 %", "75.5 %", "max_depth=7, eta=0.123 ", "max_depth=2", "too good"):
        assert text in said
    assert "max_bin" not in said

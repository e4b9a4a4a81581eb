"""Sections about scores: every number that is drawn can be read."""

from __future__ import annotations

from typing import Any

import pytest
from markupsafe import Markup
from pages import Page
from run_documents import CLASSES, make_document
from test_anchors import ESC10

from us8k_batch.pages.charts import Interval
from us8k_batch.pages.shell import paragraph
from us8k_batch.training import page_scores
from us8k_batch.training.page_scores import LONGEST_NAME, MOST_CLASSES, beside, chance


def page_of(parts: Any) -> Page:
    """Put a section's parts together."""
    return Page(Markup("").join(paragraph(part) for part in parts))


def test_every_split_and_the_mean_are_in_the_table() -> None:
    """With clips, accuracy and time; one split alone has no mean and no interval."""
    document = make_document()
    page = page_of(page_scores.folds(document, "folds", document["scores"]))
    for name, accuracy in document["scores"]["folds"].items():
        assert f"{name} 30 30 {100 * accuracy:.1f} %" in page.said
    assert "mean ± std" in page.said
    assert "always naming the largest class gives 33.3 %" in page.text
    one = {**document["scores"], "folds": {"1": 0.5}, "clips": {"1": 30}, "accuracy_interval": None}
    said = page_of(page_scores.folds(document, "folds", one)).said
    assert "mean ± std" not in said


def test_fold_10_comes_after_fold_9() -> None:
    """Numbers are sorted as numbers, though a document holds them as text; words come last, wild ones too."""
    names = ["10", "2", "article", "1", "9" * 5000]
    assert [name for name, _ in page_scores.in_order(dict.fromkeys(names))] == ["1", "2", "10", "9" * 5000, "article"]


def test_crossing_recordings_are_scored_without() -> None:
    """The score without them stands below the one with them."""
    document = make_document()
    document["scores_without_crossing"] = {**document["scores"], "accuracy_mean": 0.123}
    assert "12.3 ±" in page_of(page_scores.folds(document, "folds", document["scores"])).said


def test_published_numbers_are_marked_and_say_when_they_are_of_something_else() -> None:
    """They stand beside a run on the same classes, best first, with their source; other classes have none."""
    document = {**make_document(), "classes": ESC10}
    page = page_of(page_scores.published(document, "folds", document["scores"]))
    assert "Piczak 2015" in page.said
    assert "the published numbers are of the predefined folds of all 400 clips" in page.said
    assert page.said.index("human") < page.said.index("k-NN")
    assert not list(page_scores.published(make_document(), "folds", document["scores"]))


def test_confusion_can_be_read_without_the_mouse() -> None:
    """Every count is text in a table with headings; pointing adds the share; pairs are named, most often first."""
    scores = {**make_document()["scores"], "confusion": [[8, 2, 0], [1, 9, 0], [0, 5, 5]]}
    page = page_of(page_scores.confusion(CLASSES, scores))
    tips = [one["title"] for one in page.all("td") if "title" in one]
    assert f"5 of 10 clips of siren (50.0 %) were said to be {CLASSES[1]}" in tips
    assert len(tips) == 9
    assert len([one for one in page.all("td") if "good" in one.get("class", "")]) == 3
    pairs = page.said.partition("Confused most often")[2]
    assert pairs.index("50.0 %") < pairs.index("20.0 %") < pairs.index("10.0 %")


def test_too_many_classes_are_not_shown_each_beside_each() -> None:
    """The page says so, and still names the pairs."""
    n = MOST_CLASSES + 1
    confusion = [[int(i == j or (i, j) == (0, 1)) for j in range(n)] for i in range(n)]
    page = page_of(page_scores.confusion([f"c{i}" for i in range(n)], {"confusion": confusion}))
    assert "too many to show each beside each" in page.said
    assert len(page.all("tr")) == 2


def test_a_class_that_was_never_said_has_no_precision() -> None:
    """It is a dash, not a nought."""
    scores = make_document()["scores"]
    scores["per_class"]["siren"]["precision"] = None
    page = page_of(page_scores.by_class(CLASSES, scores))
    assert page.said.count("siren") >= 2
    assert "–" in page.said  # noqa: RUF001  # the dash that stands for no value


@pytest.mark.parametrize(
    ("accuracy", "tendency"), [(0.5, "surer than it is right"), (1.0, "less sure than it is right")]
)
def test_calibration_is_said_in_words(accuracy: float, tendency: str) -> None:
    """Whether the models are too sure or too timid is a sentence, besides the line."""
    scores = make_document()["scores"]
    scores["reliability"] = [{"low": 0.7, "high": 0.8, "clips": 4, "confidence": 0.75, "accuracy": accuracy}]
    page = page_of(page_scores.calibration(scores))
    assert tendency in page.said
    assert "0.7 to 0.8" in page.said


def test_long_names_beside_a_chart_stay_apart() -> None:
    """They are cut to what has room, and none is lost."""
    rows = [(f"{'x' * 50}{i:03d}", Interval(i)) for i in range(30)]
    rows += [(f"{'x' * 40}{i:02d}{'y' * 40}", Interval(i)) for i in range(30)]
    found = beside(rows)
    assert [one.value for one in found.values()] == [value.value for _, value in rows]
    assert max(map(len, found)) <= LONGEST_NAME


def test_chance_is_the_largest_class() -> None:
    """It needs no model."""
    assert chance({"per_class": {"a": {"clips": 30}, "b": {"clips": 10}}}) == 0.75

"""The page of several runs."""

from __future__ import annotations

from dataclasses import replace

from pages import Page, assert_sound

from us8k_batch.training.compare import Comparison, Line
from us8k_batch.training.compare_page import compare_page


def line(name: str, folds: dict[str, float], **given: object) -> Line:
    """Make a run's line."""
    mean = sum(folds.values()) / len(folds)
    values = {
        "name": f"runs/{name}", "model": "svm", "features": "mean", "protocol": "folds", "accuracy": mean,
        "std": 0.05, "interval": (mean - 0.1, mean + 0.1), "macro_f1": 0.5, "p_value": None, "published": False,
        "folds": folds,
    }  # fmt: skip
    return Line(**{**values, **given})


BEST = line("best", {"1": 0.9, "2": 0.7, "3": 0.6})
OTHER = line("<script>", {"1": 0.8, "2": 0.7, "3": 0.7}, p_value=0.04, behind=(-0.012, -0.2, 0.176))
ANCHOR = replace(BEST, name="Salamon 2014", model="SVM", accuracy=0.68, published=True, folds={}, interval=None)


def page_of(*lines: Line) -> Page:
    """Make a page, and prove that it is sound."""
    return assert_sound(compare_page(Comparison(lines, ("mind this",))))


def test_runs_are_ranked_with_what_was_published() -> None:
    """Best first, numbered; published ones are marked, in the chart too; notes stand at the top."""
    page = page_of(BEST, OTHER, ANCHOR)
    for text in ("1. best", "2. <script>", "published: Salamon 2014", "SVM †", "mind this", "0.040"):
        assert text in page.said
    assert len(page.all("script")) == 1


def test_differences_are_paired_over_folds() -> None:
    """How far behind the best, with its interval, and how many splits were won, lost and even."""
    said = page_of(BEST, OTHER).said
    assert "2. <script> -1.2 -20.0 to +17.6 1 1 1 0.040" in said


def test_runs_on_other_splits_are_not_paired() -> None:
    """The page says so, and shows each partition in a table of its own."""
    page = page_of(BEST, line("grouped", {"1": 0.5, "2": 0.5}, protocol="grouped"))
    assert "no difference can be paired" in page.said
    assert "Accuracy by split of grouped" in page.said


def test_every_splits_accuracy_can_be_read() -> None:
    """The table of folds has each number, and frames the best of each split."""
    page = page_of(BEST, OTHER)
    for number in ("90.0", "80.0", "60.0"):
        assert number in page.said
    framed = [one for one in page.all("td") if "good" in one.get("class", "")]
    assert len(framed) == 4


def test_whichever_are_more_stand_below_each_other() -> None:
    """Ten splits of two runs are ten rows, and of twenty runs are ten columns: a screen is longer than wide."""
    folds = {str(i): i / 10 for i in range(1, 11)}
    for runs, corner in ((2, "split \\ run"), (20, "run \\ split")):
        assert corner in page_of(*(line(f"run-{i}", folds) for i in range(runs))).said


def test_one_run_is_compared_with_what_was_published() -> None:
    """A page of one run holds."""
    assert "1. best" in page_of(BEST, ANCHOR).said

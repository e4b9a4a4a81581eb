"""report.html of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup
from pages import Page, assert_sound
from run_documents import CLASSES, make_article, make_document, write_tables

from us8k_batch.errors import DamageError
from us8k_batch.training.page import run_page


def page_of(folder: Path, document: dict[str, Any], epochs: int = 0, **given: Any) -> Page:
    """Make the page of a run, and prove that it is sound."""
    write_tables(folder, epochs=epochs)
    return assert_sound(run_page(folder, document, **given))


def titles(page: Page) -> list[str]:
    """Name the anchors of the page's sections."""
    return [one["id"] for one in page.all("h2")]


def test_the_page_says_how_good_where_it_fails_and_how_to_make_it_again(tmp_path: Path) -> None:
    """Each part of the promise has its section, and the numbers of run.json are in it."""
    document = make_document()
    page = page_of(tmp_path, document, epochs=2)
    assert titles(page) == [
        "s-folds", "s-confusion", "s-classes", "s-calibration", "s-learning", "s-features", "s-mistakes",
        "s-how-to-make-it-again",
    ]  # fmt: skip
    scores = document["scores"]
    low, high = scores["accuracy_interval"]
    for text in (
        f"{100 * scores['accuracy_mean']:.1f} ± {100 * scores['accuracy_std']:.1f} %",
        f"{100 * low:.1f} to {100 * high:.1f} %",
        f"{scores['macro_f1']:.3f}",
        f"{scores['expected_calibration_error']:.3f}",
        "us8k train 'a & b' --model xgboost --protocol folds --features mean+std --seed 3 --set n_estimators=7",
        "0" * 64,
        "d" * 64,
        "made up",
        "clip-057",
    ):
        assert text in page.said, text


def test_text_is_text(tmp_path: Path) -> None:
    """Classes, warnings and remarks with markup in them are shown, not obeyed."""
    page = page_of(tmp_path, make_document(), remarks=["<i>other</i>"])
    assert len(page.all("script")) == 1
    for text in (*CLASSES, "<b>beware</b>", "<i>other</i>"):
        assert text in page.said


def test_the_leak_stands_in_one_sentence_and_the_honest_number_above(tmp_path: Path) -> None:
    """The headline is the honest number, with the tutorial's beside it; what follows is of the honest protocol."""
    document = make_article()
    page = page_of(tmp_path, document)
    honest = f"{100 * document['article']['honest_accuracy']:.1f} ± "
    headline = page.said.partition("The tutorial's number")[0]
    assert honest in headline
    assert "the tutorial's random split says 87.5 %" in headline
    assert "75.0 % of the test clips of this random split are slices of a recording" in page.said
    assert "All that follows is of folds" in page.said
    assert "--protocol article" in page.said


def test_an_unknown_leak_is_not_none(tmp_path: Path) -> None:
    """Without recordings the page says unknown, and without an honest score that there is none."""
    page = page_of(tmp_path, make_article(shared_clips=None))
    assert "unknown, which is not none" in page.said
    document = make_article(honest_protocol=None, honest_accuracy=None, honest_std=None)
    page = page_of(tmp_path, {**document, "beside": {}})
    assert "no honest score can be had" in page.said


def test_mistakes_are_heard_where_there_are_sounds(tmp_path: Path) -> None:
    """A clip with a player has it, one without says so; without any, the page says how to hear them."""
    assert "--dataset DATASET" in page_of(tmp_path, make_document()).said
    sound = Markup('<audio aria-label="clip" src="data:,"></audio>')
    page = page_of(tmp_path, make_document(), heard={"clip-057": sound})
    assert len(page.all("audio")) == 1
    assert "No sound: the dataset has no such clip" in page.said


def test_what_was_not_measured_has_no_section(tmp_path: Path) -> None:
    """A run of an earlier release, without importance, machine and digests, has a page all the same."""
    document = make_document()
    for name in ("importance", "machine", "allow_incomplete"):
        del document[name]
    assert {"s-learning", "s-features", "s-tuning"}.isdisjoint(titles(page_of(tmp_path, document)))


def test_a_stranger_is_refused(tmp_path: Path) -> None:
    """A document of another shape is damage that names the field."""
    with pytest.raises(DamageError, match=r"run\.json: classes is 'abc', expected a list"):
        page_of(tmp_path, make_document(classes="abc"))

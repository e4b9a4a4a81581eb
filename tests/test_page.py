"""report.html of a run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from us8k_batch.training import metrics
from us8k_batch.training.figures import draw_figures
from us8k_batch.training.page import write_page

CLASSES = ["dog <bark>", "siren"]


@pytest.fixture
def document() -> dict[str, Any]:
    """Make what run.json says, with text that would break a page."""
    rng = np.random.default_rng(0)
    tested = [
        metrics.Tested(name, np.arange(20) + 20 * i, rng.dirichlet(np.ones(2), 20).astype(np.float32))
        for i, name in enumerate(("1", "2"))
    ]
    return {
        "model": "xgboost",
        "protocol": "folds",
        "parameters": {"max_depth": 4},
        "features": {"name": "mean", "statistics": ["mean"]},
        "classes": CLASSES,
        "clips": 40,
        "seed": 0,
        "store": {"url": "a & b", "snapshot_id": "0" * 64},
        "scores": metrics.score(tested, rng.integers(2, size=40), CLASSES).to_dict(),
        "article": None,
        "warnings": ["<script>alert(1)</script>"],
        "created": "2026-01-01T00:00:00+00:00",
    }


class Checked(HTMLParser):
    """Collects ids, what refers to them, and tags."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            self.references |= set(re.findall(r"url\(#([^)]+)\)", value or ""))
            if name.endswith("href") and (value or "").startswith("#"):
                self.references.add((value or "")[1:])


def test_the_page_is_whole(document: dict[str, Any], tmp_path: Path) -> None:
    """All figures stand in it with ids of their own, every reference hits one, and colours are still colours."""
    draw_figures(metrics.score(_tested(), np.zeros(4, np.int64), CLASSES), CLASSES, tmp_path)
    write_page(tmp_path / "report.html", document, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    checked = Checked()
    checked.feed(page)
    assert page.count("<svg") == 3
    assert len(checked.ids) == len(set(checked.ids))
    assert checked.references <= set(checked.ids)
    colours = re.findall(r"(?:fill|stroke): #(\S+?)[;\"]", page)
    assert colours
    assert all(re.fullmatch("[0-9a-f]{3}|[0-9a-f]{6}", colour) for colour in colours)


def test_text_is_text(document: dict[str, Any], tmp_path: Path) -> None:
    """Names and warnings with markup in them are shown, not obeyed."""
    write_page(tmp_path / "report.html", document, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    checked = Checked()
    checked.feed(page)
    assert "script" not in checked.tags
    assert "dog &lt;bark&gt;" in page
    assert "a &amp; b" in page


def test_the_articles_table_is_shown(document: dict[str, Any], tmp_path: Path) -> None:
    """The tutorial's numbers, the leak and the honest score are in the page; what is unknown says so."""
    document["article"] = {
        "pretraining_accuracy": 0.1, "train_accuracy": 0.93, "test_accuracy": 0.873, "test_clips": 100,
        "shared_clips": None, "honest_protocol": "folds", "honest_accuracy": 0.46, "honest_std": 0.05,
    }  # fmt: skip
    write_page(tmp_path / "report.html", document, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("87.3 %", "46.0 %", "honest (folds)", "unknown"):
        assert text in page
    headline = page.partition("<h2>")[0]
    assert "honest: <b>46.0 %</b> (folds)" in headline


def test_a_tuned_runs_choices_are_shown(document: dict[str, Any], tmp_path: Path) -> None:
    """Per fold: the score on it, the scores that the choice was made by, and what was chosen, not what was fixed."""
    document["scores"]["folds"] = {"1": 0.701, "2": 0.702}
    one = {"accuracy": 0.811, "default_accuracy": 0.755, "trial": 3, "finished": 5, "pruned": 2}
    document["tuning"] = {
        "space": {"max_depth": {"kind": "Whole", "low": 1, "high": 9}, "eta": {"kind": "Share"}},
        "splits": {
            "1": {**one, "parameters": {"max_depth": 7, "eta": 0.123456, "max_bin": 64}},
            "2": {**one, "parameters": {"max_depth": 2, "eta": 0.5, "max_bin": 64}, "default_accuracy": None},
        },
    }
    write_page(tmp_path / "report.html", document, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("70.1 %", "70.2 %", "81.1 %", "75.5 %", "max_depth=7, eta=0.123<", "max_depth=2", "not tuned"):
        assert text in page
    assert "max_bin" not in page


def test_without_tuning_there_is_no_such_section(document: dict[str, Any], tmp_path: Path) -> None:
    """A run whose parameters were given says nothing of a search."""
    write_page(tmp_path / "report.html", {**document, "tuning": None}, tmp_path)
    assert "Tuning" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def _tested() -> list[metrics.Tested]:
    return [metrics.Tested("1", np.arange(4), np.full((4, 2), 0.5, np.float32))]

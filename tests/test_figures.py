"""Figures of a run."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from us8k_batch.errors import MissingExtraError
from us8k_batch.training import metrics
from us8k_batch.training.figures import draw_figures

CLASSES = ["dog bark", "siren & horn", "<rain>"]


def scores() -> metrics.Scores:
    """Score some clips, none of them of the last class."""
    rng = np.random.default_rng(0)
    tested = metrics.Tested("1", np.arange(40), rng.dirichlet(np.ones(3), 40).astype(np.float32))
    return metrics.score([tested], rng.integers(2, size=40), CLASSES)


def test_every_figure_is_a_png_and_an_svg_with_the_names_of_the_classes(tmp_path: Path) -> None:
    """All six files are there; the SVGs are well-formed, and their text is text."""
    draw_figures(scores(), CLASSES, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "calibration.png", "calibration.svg", "confusion.png", "confusion.svg", "per_class.png", "per_class.svg",
    ]  # fmt: skip
    for file in tmp_path.glob("*.png"):
        assert file.read_bytes().startswith(b"\x89PNG")
    for name in ("confusion", "per_class"):
        text = "".join(ElementTree.parse(tmp_path / f"{name}.svg").getroot().itertext())  # noqa: S314  # our own file
        assert all(label in text for label in CLASSES)


def test_the_same_scores_make_the_same_bytes(tmp_path: Path) -> None:
    """Neither the time nor a random name is in a figure."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        draw_figures(scores(), CLASSES, tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"\[train\]"):
        draw_figures(scores(), CLASSES, tmp_path)

"""Figures of a run."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from us8k_batch.errors import MissingExtraError
from us8k_batch.training import figures, metrics
from us8k_batch.training.figures import LONGEST_NAME, draw_figures, shown

CLASSES = ["dog bark", "siren & horn", "<rain>"]


def scores() -> dict[str, Any]:
    """Score some clips, none of them of the last class."""
    rng = np.random.default_rng(0)
    tested = metrics.Tested("1", np.arange(40), rng.dirichlet(np.ones(3), 40).astype(np.float32))
    return metrics.score([tested], rng.integers(2, size=40), CLASSES).to_dict()


def scores_of(names: list[str]) -> dict[str, Any]:
    """Score clips of many classes."""
    rng, clips = np.random.default_rng(0), 2 * len(names)
    said = rng.random((clips, len(names)), dtype=np.float32)
    tested = metrics.Tested("1", np.arange(clips), said / said.sum(axis=1, keepdims=True))
    return metrics.score([tested], np.arange(clips) % len(names), names).to_dict()


def texts(file: Path) -> list[str]:
    """Return the pieces of text in a drawing, which must be well-formed."""
    root = ElementTree.parse(file).getroot()  # noqa: S314  # our own file
    return [text.strip() for text in root.itertext() if text.strip()]


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


@pytest.mark.parametrize("classes", [31, 61, 400])
def test_a_figure_has_a_size_that_does_not_grow_with_the_classes(tmp_path: Path, classes: int) -> None:
    """Of many classes there is a heat map without counts, and bars of the worst; no image is over 2,100 pixels."""
    names = [f"class {i:03d}" for i in range(classes)]
    assert draw_figures(scores_of(names), names, tmp_path) == []
    for file in tmp_path.glob("*.png"):
        assert max(struct.unpack(">II", file.read_bytes()[16:24])) <= 2100
    for name in ("confusion", "per_class"):
        assert len(texts(tmp_path / f"{name}.svg")) < 150
    named = [text for text in texts(tmp_path / "per_class.svg") if text.startswith("class ")]
    assert len(named) == min(classes, figures.MOST_NAMED)


def test_labels_are_no_formulas_and_no_font_is_asked_for_what_it_lacks(tmp_path: Path) -> None:
    """Dollars stay dollars, letters of any script are text of the SVG, and what cannot be seen harms no file."""
    names = ["Ba$$in", "$x^$", "犬の声", "كلب", "\N{DOG} bark", "x" * 500, "two\nlines\0", "<&>"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        remarks = draw_figures(scores_of(names), names, tmp_path)
    assert all(remark.startswith("no font here has") for remark in remarks)
    for name in ("confusion", "per_class"):
        written = texts(tmp_path / f"{name}.svg")
        assert {"Ba$$in", "$x^$", "犬の声", "كلب", "\N{DOG} bark", "two\ufffdlines\ufffd", "<&>"} <= set(written)
        assert max(map(len, written)) < 60
    assert len(shown("x" * 500)) == LONGEST_NAME


def test_the_fonts_of_a_figure_have_all_characters_that_this_machine_has() -> None:
    """A second family is asked where the first lacks a character; one that nobody has is named."""
    pytest.importorskip("matplotlib")
    families, lacking = figures._fonts("rain \u23a8 \U0010fffd")
    assert families[0] == "DejaVu Sans"
    assert lacking == ["\U0010fffd"]
    # A letter that STIX has, which matplotlib brings, and DejaVu has not.
    assert len(figures._fonts("\u1d84")[0]) == 2


def test_a_figure_that_cannot_be_drawn_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are drawn, it leaves no half of a file, and the remark names it and why."""

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setitem(figures._FIGURES, "per_class", fail)
    (remark,) = draw_figures(scores(), CLASSES, tmp_path)
    assert "figure per_class could not be drawn: MemoryError: no room" in remark
    assert {file.stem for file in tmp_path.iterdir()} == {"confusion", "calibration"}


def test_a_users_own_settings_of_matplotlib_change_no_figure(tmp_path: Path) -> None:
    """Whoever has LaTeX write his figures gets ours as everybody does, and keeps his settings."""
    matplotlib = pytest.importorskip("matplotlib")
    for name, own in (("plain", {}), ("own", {"text.usetex": True, "axes.facecolor": "pink", "font.size": 30})):
        (tmp_path / name).mkdir()
        with matplotlib.rc_context(own):
            draw_figures(scores(), CLASSES, tmp_path / name)
            assert all(matplotlib.rcParams[key] == value for key, value in own.items())
    for file in (tmp_path / "plain").iterdir():
        assert file.read_bytes() == (tmp_path / "own" / file.name).read_bytes()

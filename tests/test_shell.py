"""What every page promises: one file, nothing from outside, nothing run but ours, any text is text."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from markupsafe import Markup
from pages import assert_sound

from us8k_batch.errors import RequestError
from us8k_batch.pages.shell import (
    MOST_NOTES,
    Section,
    card,
    code,
    facts,
    folded,
    grid,
    note,
    notes,
    render_page,
    write_page,
)

EVIL = "<script>alert(1)</script> & \"quoted\" 'single' {{ 7*7 }}"


def test_a_page_is_sound_and_says_what_it_was_given() -> None:
    """Every text that a caller gives is shown as it is, wherever it is put in."""
    parts = (EVIL, note(EVIL), facts([(EVIL, EVIL)]), grid([card(EVIL, EVIL)]), folded(EVIL, EVIL), code(EVIL))
    text = render_page(EVIL, [Section(EVIL, parts)], lead=[EVIL], footer=EVIL)
    page = assert_sound(text)
    assert page.said.count(EVIL) == 2 + 2 + 1 + len(parts) + 4
    assert len(page.all("script")) == 1


def test_many_notes_do_not_fill_the_screen() -> None:
    """The first ones stand there, the rest is folded away, and each can be read."""
    texts = [f"split {i} tests no clip" for i in range(10)]
    made = notes(texts)
    before, _, after = made.partition("<details>")
    assert [text in before for text in texts] == [i < MOST_NOTES for i in range(10)]
    assert all(text in after for text in texts[MOST_NOTES:])
    assert "6 more" in after
    assert "details" not in notes(texts[:MOST_NOTES])


def test_each_section_can_be_reached() -> None:
    """A list at the top leads to every section, whatever it is called."""
    page = assert_sound(render_page("a page", [Section("One & two", ()), Section("日本", ())]))
    links = [one["href"] for one in page.all("a")]
    assert links == ["#content", "#s-one-two", "#s-section"]


def test_sections_of_one_name_are_a_mistake() -> None:
    """A link could lead to only one of them."""
    with pytest.raises(ValueError, match="same name"):
        render_page("a page", [Section("one", ()), Section("One", ())])


def test_markup_stays_what_it_is() -> None:
    """Only text becomes a paragraph."""
    assert "<b>bold</b>" in render_page("a page", [Section("one", (Markup("<b>bold</b>"),))])


def test_a_page_is_written_over_an_older_one(tmp_path: Path) -> None:
    """Folders are made; nothing else is left beside it, and others may read it."""
    out = tmp_path / "new" / "page.html"
    assert write_page(out, "old") == 3
    assert write_page(out, "é") == 2
    assert out.read_text(encoding="utf-8") == "é"
    assert list(out.parent.iterdir()) == [out]
    assert stat.S_IMODE(out.stat().st_mode) & 0o400


@pytest.mark.parametrize("kind", ["folder", "below a file"])
def test_where_no_page_can_be_written_is_said(kind: str, tmp_path: Path) -> None:
    """A folder in its place, or a file in place of its folder: named, with what to do, and nothing is left."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()
    out = tmp_path / ("taken" if kind == "folder" else "file/page.html")
    with pytest.raises(RequestError, match=r"cannot be written .*; choose another --out"):
        write_page(out, "text")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "taken"]

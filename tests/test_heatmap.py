"""Numbers around zero, drawn."""

from __future__ import annotations

from pages import Page, assert_sound

from us8k_batch.pages.heatmap import diverging
from us8k_batch.pages.shell import Section, render_page

EVIL = "<script>alert(1)</script>"


def test_sign_is_colour_and_size_is_strength() -> None:
    """Orange above zero, blue below, nothing at zero; beyond the full distance there is no more than full."""
    made = diverging(["a"], ["0", "1", "2", "3"], [[1.0, -0.5, 0.0, 9.0]], alternative="x", x="x", full=1)
    found = [(one["class"], one["fill-opacity"]) for one in Page(made).all("rect")]
    assert found == 2 * [("c1", "1.00"), ("c0", "0.50"), ("c0", "0.00"), ("c1", "1.00")]


def test_it_is_turned_for_a_telephone() -> None:
    """Its forty columns stand one below the other there, each value where its row and column say."""
    made = diverging(["a", "b"], ["0", "1", "2"], [[1, 1, 1], [-1, -1, -1]], alternative="x", x="x", full=1)
    page = Page(made)
    broad, slim = (page.all("rect")[start : start + 6] for start in (0, 6))
    assert [len({one[axis] for one in broad}) for axis in "xy"] == [3, 2]
    assert [len({one[axis] for one in slim}) for axis in "xy"] == [2, 3]
    assert [one["class"] for one in slim] == [one["class"] for one in broad]


def test_names_are_text_and_each_value_can_be_read() -> None:
    """In a tip, and in a table."""
    made = diverging([EVIL], [EVIL], [[-0.25]], alternative=EVIL, x=EVIL, full=1, unit="units")
    page = assert_sound(render_page("page", [Section("s", (made,))]))
    assert len(page.all("script")) == 1
    assert f"{EVIL}, {EVIL}: -0.25 units" in page.said
    assert page.said.count("-0.25") == 3

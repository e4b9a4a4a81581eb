"""Tables: text is text, numbers are aligned, bars and shades are as large as what they stand for."""

from __future__ import annotations

import re

from markupsafe import Markup
from pages import Page

from us8k_batch.pages.tables import NOTHING, Number, bars, count, matrix, pairs, percent, table

EVIL = "<img src=x onerror=alert(1)>"


def test_text_is_text_in_every_place() -> None:
    """No table makes a tag of what it is given."""
    made = (
        table([EVIL, EVIL], [[EVIL, EVIL]], caption=EVIL),
        table([EVIL], [], caption=EVIL, empty=EVIL),
        bars({EVIL: 1}, caption=EVIL, name=EVIL, unit=EVIL),
        matrix([EVIL], [EVIL], [[1]], caption=EVIL, corner=EVIL, tip=lambda *_: EVIL),
        pairs([(EVIL, EVIL)]),
    )
    for one in made:
        page = Page(one)
        assert page.all("img") == []
        assert EVIL in page.said


def test_numbers_are_aligned_and_text_is_not() -> None:
    """A column of numbers, written numbers and dashes is aligned at its right; one text among them, and it is not."""
    made = table(
        ["name", "n", "share", "mixed"],
        [["a", 8732, percent(0.5), 1], ["b", None, percent(None), "x"]],
        caption="numbers",
    )
    cells = re.findall(r"<td(?: class=\"([a-z ]+)\")?>([^<]*)</td>", made)
    assert cells == [
        ("n", "8,732"), ("n", "50.0 %"), ("", "1"), ("n none", NOTHING), ("n", NOTHING), ("", "x"),
    ]  # fmt: skip


def test_what_is_too_wide_for_a_telephone_names_each_of_its_values() -> None:
    """There, values stand below the name of their row; who has room, or few columns, is not told twice."""
    narrow = Page(table(["class", "clips"], [["air_conditioner", 1000]], caption="c"))
    assert [one for one in narrow.all("td") if "data-name" in one] == []
    assert "class" not in narrow.all("table")[0]
    long = "engine_idling of a lorry"
    wide = Page(table(["clip", "right", "said", EVIL], [[long, long, long, 0.5]], caption="c"))
    assert [one["data-name"] for one in wide.all("td")] == ["right", "said", EVIL]
    assert wide.all("table")[0]["class"] == "stack"
    many = Page(table([str(i) for i in range(9)], [list(range(9))], caption="c"))
    assert many.all("table")[0]["class"] == "many"


def test_long_names_of_columns_stand_upright() -> None:
    """Ten classes beside each other have no room to lie, ten folds have."""
    for names, kind in ((["air_conditioner"] * 10, "up"), ([str(i) for i in range(10)], None)):
        page = Page(matrix(["a"], names, [[1] * 10], caption="c", corner="x"))
        assert {one.get("class") for one in page.all("th")[1:11]} == {kind}


def test_markup_in_a_cell_stays() -> None:
    """A cell may hold more than text, if it is said to be markup."""
    assert "<b>bold</b>" in table(["a"], [[Markup("<b>bold</b>")]], caption="c")


def test_bars_are_as_long_as_their_values() -> None:
    """The largest fills its place; with nothing to show it says none."""
    made = bars({"a": 10, "b": 5, "c": 0}, caption="c", name="x")
    assert re.findall(r'rect width="([\d.]+)%"', made) == ["100.00", "50.00", "0.00"]
    assert "none" in bars({}, caption="c", name="x")


def test_a_matrix_is_shaded_by_the_largest_value_or_by_row() -> None:
    """Zero has the lightest shade, the whole the darkest; marked cells have a frame."""
    values = [[0, 100], [10, 10]]
    made = matrix(["a", "b"], ["a", "b"], values, caption="c", corner="x", marked=lambda row, column: row == column)
    assert re.findall(r'<td class="([^"]+)"', made) == ["h0 good", "h5", "h1", "h1 good"]
    by_row = matrix(["a", "b"], ["a", "b"], values, caption="c", corner="x", of_row=True)
    assert re.findall(r'<td class="([^"]+)"', by_row) == ["h0", "h5", "h3", "h3"]


def test_each_table_can_be_scrolled_by_keyboard_and_has_a_name() -> None:
    """What is wider than the window takes the focus."""
    (region,) = Page(table(["a"], [["x"]], caption="what it is")).all("div")
    assert (region["role"], region["tabindex"], region["aria-label"]) == ("group", "0", "what it is")


def test_numbers_are_written_with_separators() -> None:
    """Thousands are set apart."""
    assert (count(8732), percent(0.12345), percent(0.5, 0)) == ("8,732", "12.3 %", "50 %")
    assert isinstance(count(1), Number)


def test_a_column_without_a_name_has_no_heading() -> None:
    """What is empty is not read out as a heading."""
    page = Page(table(["", "n"], [["a", 1]], caption="c"))
    assert [one["scope"] for one in page.all("th")] == ["col", "row"]

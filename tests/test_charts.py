"""Charts: axes enclose what is drawn, names are text, and every value can be read."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pages import Page, assert_sound

from us8k_batch.pages.charts import BROAD, DASHES, MARKS, SLIM, Interval, _axis, intervals, lines, mark
from us8k_batch.pages.shell import Section, render_page

EVIL = "<script>alert(1)</script>"
finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(finite, min_size=1, max_size=20))
def test_an_axis_encloses_its_values_with_a_few_round_ticks(values: list[float]) -> None:
    """Ascending, from at most the smallest to at least the largest value, not too many."""
    ticks = _axis(values)
    room = 1e-6 * (ticks[-1] - ticks[0])
    assert ticks[0] <= min(values) + room
    assert ticks[-1] >= max(values) - room
    assert 2 <= len(ticks) <= 12
    assert all(a < b for a, b in pairwise(ticks))


@given(
    st.dictionaries(
        st.text(min_size=1), st.lists(st.tuples(finite, finite), min_size=1, max_size=5), min_size=1, max_size=5
    )
)
def test_lines_stay_inside_and_can_be_read(series: dict[str, list[tuple[float, float]]]) -> None:
    """Whatever is drawn lies on the canvas, and each line has its name in the legend and a column in the table."""
    page = Page(lines(series, alternative="what is seen", x="x", y="y"))
    paths = [one["d"] for one in page.all("path") if one.get("stroke-width") == "2" and one["d"].count(",") > 0]
    for x, y in re.findall(r"([-\d.]+),([-\d.]+)", " ".join(paths)):
        assert 0 <= float(x) <= BROAD.width
        assert 0 <= float(y) <= 300
    assert len(page.all("li")) == len(series)
    assert len([one for one in page.all("th") if one.get("scope") == "col"]) == 1 + len(series)


def test_names_are_text_and_the_page_is_sound() -> None:
    """Charts with wild names on one page."""
    parts = (
        lines({EVIL: [(0, 1), (1, 2)]}, alternative=EVIL, x=EVIL, y=EVIL, markers=True, diagonal=True),
        intervals({EVIL: Interval(0.5, 0.4, 0.6)}, alternative=EVIL, x=EVIL, references={EVIL: 0.9}),
        mark(3),
    )
    page = assert_sound(render_page("page", [Section("s", parts)]))
    assert len(page.all("script")) == 1


def test_what_cannot_be_drawn_is_said() -> None:
    """No value, no chart."""
    assert "nothing to draw" in lines({}, alternative="losses", x="x", y="y")


def test_an_interval_is_as_long_as_it_is() -> None:
    """Its ends lie at their places on the axis, the value between them."""
    made = intervals({"a": Interval(50, 25, 75)}, alternative="a", x="x", x_range=(0, 100))
    drawn = zip(
        re.findall(r'class="c0" d="M([\d.]+),\d+H([\d.]+)"', made), re.findall(r'cx="([\d.]+)"', made), strict=True
    )
    for ends, value in drawn:
        left, right, at = map(float, (*ends, value))
        assert math.isclose(at - left, right - at, abs_tol=0.2)
        assert left < at


def test_a_chart_is_drawn_for_a_desk_and_for_a_telephone() -> None:
    """Both say the same; the one for a telephone has nothing beside what it has room for."""
    rows = {"a name as long as they may be": Interval(0.5, 0.2, 0.9), "b": Interval(0.1)}
    for made in (
        intervals(rows, alternative="what is seen", x="x", references={"chance": 0.85}),
        lines({"a": [(0, 1), (1, 2)]}, alternative="what is seen", x="x", y="y"),
    ):
        page = Page(made)
        drawings = [one for one in page.all("svg") if one.get("class", "").startswith("plot")]
        assert [one["class"] for one in drawings] == ["plot broad", "plot slim"]
        assert {one["aria-label"] for one in drawings} == {"what is seen"}
        slim = made.partition("plot slim")[2]
        assert all(0 <= float(x) <= SLIM.width for x in re.findall(r'(?:cx|<text x)="([-\d.]+)"', slim))


def test_colour_is_never_alone() -> None:
    """Series that share a colour differ in dash and marker."""
    assert len({(i % 8, i % len(MARKS)) for i in range(24)}) == 24
    assert len({(i % 8, i % len(DASHES)) for i in range(24)}) == 24

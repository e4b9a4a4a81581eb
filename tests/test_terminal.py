"""The recorder of ``docs/``: what programs write is what is seen, also where they write over it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.append(str(Path(__file__).parents[1] / "docs"))

from terminal import COLOURS, LONGEST, SHORTEST_STEP, Screen, draw, record


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"one\r\ntwo\r\n", ["one", "two", ""]),
        (b"10 %\r100 %", ["100 %"]),
        (b"bar\r\nmore\r\x1b[1A\x1b[2Kdone", ["done", "more"]),
        (b"a long one\r\x1b[Kshort", ["short"]),
        (b"\x1b[?25lhidden cursor\x1b[?25h", ["hidden cursor"]),
        (b"\x1b[1;31mred\x1b[0m, plain", ["red, plain"]),
    ],
)
def test_a_screen_holds_what_is_left(sent: bytes, seen: list[str]) -> None:
    """Carriage returns, the cursor's way up and erased lines, as bars use them; colours take no room."""
    screen = Screen()
    screen.feed(sent)
    assert ["".join(character for character, _ in line) for line in screen.lines] == seen


def test_colours_are_kept() -> None:
    """Those of 8, of 256 and of all, and none once they end."""
    screen = Screen()
    screen.feed(b"\x1b[31ma\x1b[38;5;232mb\x1b[38;2;1;2;3mc\x1b[39md")
    assert [style[0] for _, style in screen.lines[0]][:3] == [COLOURS[1], "rgb(8,8,8)", "rgb(1,2,3)"]
    assert screen.lines[0][3][1] == Screen().style


def test_a_recording_becomes_a_picture(tmp_path: Path) -> None:
    """Of a real terminal: the last state of each line stays, what it replaced is hidden, and text is text."""
    sent = record(["sh", "-c", "test -t 1 && printf '10 %%\\r' && echo '100 % <&>'"], tmp_path, columns=40)
    picture = ElementTree.fromstring(draw(sent, "make", columns=40, title="a title"))  # noqa: S314  # our own bytes
    texts = picture.findall("{*}text")
    assert ["".join(text.itertext()) for text in texts if text.get("class") != "w"] == ["$ make", "100 % <&>"]
    assert picture.findtext("{*}title") == "a title"


def test_a_long_recording_is_played_in_seconds() -> None:
    """Pauses are cut, and what is still too long is faster; a bar that moves all the time is not drawn each time."""
    sent = [(0.5 * i, f"{i} %\r".encode()) for i in range(1000)]
    picture = draw(sent, "make", columns=40, title="a title")
    starts = [float(start) for start in re.findall(r"not-yet ([\d.]+)s", picture)]
    assert max(starts) <= LONGEST
    assert picture.count("<text") <= LONGEST / SHORTEST_STEP + 3
    assert "999 %" in picture

"""The map of clips, drawn."""

from __future__ import annotations

import base64

import numpy as np
import pyarrow as pa
from pages import assert_sound

from us8k_batch.gallery.sound import Sound
from us8k_batch.pages.shell import Section, render_page
from us8k_batch.reporting.clip_map import SIZE, draw_map
from us8k_batch.reporting.projection import ClipMap

EVIL = '"><script>alert(1)</script>'


def clips(n: int) -> pa.Table:
    """Make clips of two classes, one of which has a wild name."""
    labels = [EVIL if i % 2 else "dog" for i in range(n)]
    return pa.table({"clip_id": [f"{EVIL}{i}" for i in range(n)], "label": labels, "fold": [1] * n})


def test_sounds_and_names_are_at_their_points() -> None:
    """A large point for each clip with a sound, the others in one path of their class; all on the canvas."""
    rng = np.random.default_rng(0)
    found = ClipMap(np.arange(50), rng.normal(size=(50, 2)) * 1e3, (0.5, 0.25))
    made = draw_map(
        found, clips(50), ["dog", EVIL], {3: Sound(b"three", "audio/mpeg"), 4: Sound(b"four", "audio/mpeg")}
    )
    page = assert_sound(render_page("page", [Section("s", (made,))]))
    points = [one for one in page.all("path") if one.get("role") == "button"]
    assert [base64.b64decode(one["data-sound"]) for one in points] == [b"four", b"three"]
    assert [one["aria-label"] for one in points] == [f"dog, {EVIL}4, fold 1", f"{EVIL}, {EVIL}3, fold 1"]
    dots = " ".join(one["d"] for one in page.all("path") if one.get("class") == "dots")
    assert dots.count("M") == 48
    for x, y in (place.split("h")[0].split(",") for place in dots.replace(" ", "").split("M")[1:]):
        assert 0 <= int(x) <= SIZE[0]
        assert 0 <= int(y) <= SIZE[1]
    assert "50 % of the variance" in page.said
    assert len(page.all("script")) == 1


def test_without_sounds_points_tell_their_names() -> None:
    """They can be chosen all the same, and there is no player."""
    found = ClipMap(np.arange(5), np.arange(10.0).reshape(5, 2), (0.5, 0.25))
    page = assert_sound(render_page("page", [Section("s", (draw_map(found, clips(5), ["dog", EVIL], {}),))]))
    assert len([one for one in page.all("path") if one.get("role") == "button"]) == 5
    assert page.all("audio") == []

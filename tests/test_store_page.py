"""The page about a store."""

from __future__ import annotations

from pathlib import Path

from pages import assert_sound
from stores import Clip, TinyRun, change, make_clips

from us8k_batch.reporting.store_page import store_page

EVIL = "<script>alert(1)</script>"


def page_of(folder: Path, clips: list[Clip]) -> str:
    """Make a store and its page."""
    TinyRun(store=str(folder), clips=clips).run()
    return store_page(str(folder), None, str)


def test_the_page_is_sound_and_tells_all(tmp_path: Path) -> None:
    """Sections for what is in it, what is odd, what failed, how it was made, and how long it took."""
    page = assert_sound(page_of(tmp_path, [*make_clips(), Clip(clip_id="broken", content="bad")]))
    for told in ("Clips per class and fold", "not_decodable", "n_mfcc", "made up", "Last runs"):
        assert told in page.said


def test_names_with_markup_stay_text(tmp_path: Path) -> None:
    """Class, clip, recording and reason may hold anything."""
    clips = [
        Clip(clip_id=EVIL, label=EVIL, group=EVIL, fold=1, content="1"),
        Clip(clip_id=f"{EVIL}2", label=EVIL, group=EVIL, fold=2, content="1"),
        Clip(clip_id=f"{EVIL}3", content=f"bad {EVIL}"),
    ]
    page = assert_sound(page_of(tmp_path, clips))
    assert len(page.all("script")) == 1
    assert page.said.count(EVIL) >= 9


def test_what_is_not_complete_says_so(tmp_path: Path) -> None:
    """A publication without every clip's result is marked at the top."""
    run = TinyRun(store=str(tmp_path), clips=make_clips())
    run.run()
    assert "Not complete" not in store_page(str(tmp_path), None, str)
    run.clips = change(run.clips, "c000", content="another", mtime_ns=5)
    run.publish()
    assert "Not complete" in store_page(str(tmp_path), None, str)


def test_more_classes_and_folds_than_fit_are_said_to_be_more(tmp_path: Path) -> None:
    """The first are shown, with how many there are."""
    clips = [Clip(clip_id=f"c{i:03d}", fold=i, label=f"class {i:03d}", content=str(i)) for i in range(120)]
    assert "the first 100 of 120 classes and the first 40 of 120 folds" in page_of(tmp_path, clips)

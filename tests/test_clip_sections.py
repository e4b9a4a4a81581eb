"""Sections about single clips, from a store of real audio."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from audio_stores import make_audio_store
from datasets import make_urbansound8k
from pages import Page, assert_sound

from us8k_batch.pages.shell import MOST_BYTES
from us8k_batch.reporting.store_page import store_page


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset in UrbanSound8K's layout."""
    return make_urbansound8k(tmp_path_factory.mktemp("dataset") / "d", clips=24)


@pytest.fixture(scope="module")
def text(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make the page of its store, with audio."""
    store = make_audio_store(dataset, tmp_path_factory.mktemp("store") / "s")
    return store_page(store, str(dataset), str)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    """Take it apart."""
    return assert_sound(text)


def test_each_class_can_be_seen_and_heard(page: Page) -> None:
    """A drawing and a player for each, named by class and clip."""
    drawn = [one["aria-label"] for one in page.all("svg") if one.get("class") == "drawn"]
    shown = [name.rpartition(" ")[2] for name in drawn if name.startswith("Waveform, mel spectrogram and MFCC")]
    heard = [one["aria-label"] for one in page.all("audio")]
    assert len(shown) >= 5
    assert all(any(name.startswith(f"{label}: ") for name in heard) for label in shown)
    assert {one["src"].split(";")[0] for one in page.all("audio") if "src" in one} == {
        "data:audio/mpeg",
        "data:audio/flac",
    }


def test_files_are_told_as_the_tutorial_tells_them(page: Page) -> None:
    """Channels, sample rates and bit depths, each with its share of the clips."""
    for kind in ("sample rate", "channels", "bit depth", "coding"):
        assert f"Clips per {kind}" in page.said
    assert re.search(r"16 bit \d+ \([\d.]+ %\)", page.said)


def test_the_comparison_of_a_stereo_clip_is_there(page: Page) -> None:
    """Its own rate, range and channels beside 22,050 Hz and mono."""
    assert "Before and after" in page.said
    assert "22,050 Hz" in page.said
    assert "int16" in page.said


def test_it_says_of_how_many_clips_it_speaks(page: Page, text: str) -> None:
    """All of so few; and the page is small."""
    assert "Read from the headers of all 24 clips" in page.said
    assert "all 24 clips were decoded" in page.said
    assert "The 24 large points can be heard" in page.said
    assert len(text) < MOST_BYTES / 5

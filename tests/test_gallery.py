"""What looking at and listening to a store's clips finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_stores import make_audio_store
from datasets import make_manifest, write_rows, write_tone

from us8k_batch.errors import RequestError
from us8k_batch.gallery import gallery as module
from us8k_batch.gallery.gallery import Gallery, make_gallery
from us8k_batch.reporting.store_facts import store_facts
from us8k_batch.store.reader import open_store


def gallery_of(store: str, dataset: Path) -> Gallery:
    """Make the gallery of a store."""
    opened = open_store(store)
    return make_gallery(opened, str(dataset), store_facts(store, opened).sha256, str)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make tones of two classes, one clip silent, one clipped, one in stereo."""
    folder = tmp_path_factory.mktemp("tones")
    rows = []
    for i, label in enumerate(("dog", "dog", "rain", "rain", "rain")):
        write_tone(folder / f"{i}.wav", channels=1 + (i == 3), rate=44100)
        rows.append({"path": f"{i}.wav", "label": label, "fold": "1"})
    soundfile.write(folder / "0.wav", np.zeros(8000), 8000)
    soundfile.write(folder / "2.wav", np.clip(np.sin(np.arange(9000) / 20) * 3, -1, 1), 44100, subtype="PCM_24")
    write_rows(folder / "manifest.csv", rows)
    return folder


@pytest.fixture(scope="module")
def store(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Extract it."""
    return make_audio_store(dataset, tmp_path_factory.mktemp("store") / "s")


def test_all_is_found(dataset: Path, store: str) -> None:
    """Formats, silent and clipped clips, one of each class, a stereo one compared, a sound for each."""
    found = gallery_of(store, dataset)
    assert found.census["sample rate"] == {"44,100 Hz": 4, "8,000 Hz": 1}
    assert found.census["channels"] == {"1": 4, "2": 1}
    assert found.census["bit depth"] == {"16 bit": 4, "24 bit": 1}
    assert found.census["coding"] == {"WAV PCM_16": 4, "WAV PCM_24": 1}
    assert (found.headers, found.heard) == (5, 5)
    assert found.silent == [(0, 0.0)]
    assert [place for place, _ in found.clipped] == [2]
    assert found.clipped[0][1] > 0.3
    assert list(found.portraits) == ["dog", "rain"]
    assert sorted(found.excerpts) == [0, 1, 2, 3, 4]
    assert found.comparison is not None
    assert (found.comparison.place, found.comparison.own.channels) == (3, 2)
    assert found.unheard == []


def test_a_page_costs_no_more_for_more_clips(dataset: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips are chosen, not all taken, once there are too many."""
    for name in ("HEADERS", "HEARD", "EXCERPTS", "PORTRAITS"):
        monkeypatch.setattr(module, name, {"HEADERS": 4, "HEARD": 3, "EXCERPTS": 2, "PORTRAITS": 1}[name])
    found = gallery_of(store, dataset)
    assert (found.headers, found.heard, len(found.excerpts), len(found.portraits)) == (4, 3, 2, 1)


def test_clips_that_are_gone_or_changed_are_named(dataset: Path, store: str, tmp_path: Path) -> None:
    """A page is made of the others; what changed is not decoded, and each is named once."""
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in dataset.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    (moved / "1.wav").unlink()
    write_tone(moved / "4.wav", frequency=100)
    found = gallery_of(store, moved)
    assert [place for place, _ in found.unheard] == [1, 4]
    assert "no such file" in found.unheard[0][1] or "missing" in found.unheard[0][1]
    assert "not the file any more" in found.unheard[1][1]
    assert sorted(found.excerpts) == [0, 2, 3]


def test_a_dataset_of_other_clips_is_refused(store: str, tmp_path: Path) -> None:
    """It says that none of the store's clips can be read there."""
    other = make_manifest(tmp_path, clips=2)
    with pytest.raises(RequestError, match=r"none of the clips of .* can be read there"):
        gallery_of(store, other)


def test_formats_whose_header_needs_the_end_are_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WAV, FLAC, Ogg and MP3 of more bytes than the head that is looked at first."""
    monkeypatch.setattr(module, "HEAD_BYTES", 600)
    dataset = make_manifest(tmp_path / "data", clips=4, seconds=1.0)
    found = gallery_of(make_audio_store(dataset, tmp_path / "store"), dataset)
    assert {coding.split()[0] for coding in found.census["coding"]} == {"WAV", "FLAC", "OGG", "MP3"}
    assert found.headers == 4

"""The synthetic dataset: UrbanSound8K's layout to the letter, the same bytes for the same seed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import change_rows, make_urbansound8k, read_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.catalog.synth import CLASSES, FORMATS, synthesise
from us8k_batch.errors import RequestError


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Make a dataset of 200 short clips."""
    return make_urbansound8k(tmp_path_factory.mktemp("made"), clips=200, seconds=0.5)


def test_the_layout_is_urbansound8ks(made):
    """Header, names, folders, folds, class numbers and names are as in the official metadata."""
    header = (made / "metadata/UrbanSound8K.csv").read_text().splitlines()[0]
    assert header == "slice_file_name,fsID,start,end,salience,fold,classID,class"
    rows = read_rows(made)
    assert len(rows) == 200
    for row in rows:
        recording, class_id, _, _ = re.fullmatch(r"(\d+)-(\d)-(\d+)-(\d+)\.wav", row["slice_file_name"]).groups()
        assert (recording, class_id) == (row["fsID"], row["classID"])
        assert CLASSES[int(class_id)] == row["class"]
        assert row["salience"] in ("1", "2")
    assert {row["fold"] for row in rows} == {str(fold) for fold in range(1, 11)}
    assert {row["class"] for row in rows} == set(CLASSES)
    on_disk = {path.relative_to(made).as_posix() for path in made.glob("audio/*/*")}
    assert on_disk == {f"audio/fold{row['fold']}/{row['slice_file_name']}" for row in rows}
    assert open_catalog(str(made)).clips["error"].null_count == 200


def test_the_official_classes_have_these_numbers(real_data):
    """Number and name of a class mean the same as in UrbanSound8K."""
    rows = read_rows(real_data / "UrbanSound8K")
    assert {(int(row["classID"]), row["class"]) for row in rows} == set(enumerate(CLASSES))


def test_a_recording_lies_in_one_fold(made):
    """And has one class; most are cut into several clips."""
    folds: dict[str, set[tuple[str, str]]] = {}
    for row in read_rows(made):
        folds.setdefault(row["fsID"], set()).add((row["fold"], row["class"]))
    assert all(len(seen) == 1 for seen in folds.values())
    counts = Counter(row["fsID"] for row in read_rows(made))
    assert sum(count > 1 for count in counts.values()) > len(counts) / 2


def test_start_and_end_are_those_of_the_file(made):
    """To a sample; no clip is longer than it may be."""
    for row in read_rows(made):
        info = soundfile.info(made / f"audio/fold{row['fold']}/{row['slice_file_name']}")
        assert float(row["end"]) - float(row["start"]) == pytest.approx(info.duration, abs=1.5 / info.samplerate)
        assert info.duration <= 0.5


def test_all_formats_occur(made):
    """Rates from 8 to 96 kHz, mono and stereo, 16 and 24 bits and float."""
    infos = [soundfile.info(path) for path in made.glob("audio/*/*.wav")]
    assert {(info.samplerate, info.channels, info.subtype) for info in infos} == set(FORMATS)
    assert {info.format for info in infos} == {"WAV", "WAVEX"}


@pytest.mark.parametrize("seconds", [0.05, 4.0])
def test_one_clip_is_shorter_than_a_window(tmp_path, seconds):
    """Fewer than 2,048 samples at 22,050 Hz, even in a small dataset."""
    folder = make_urbansound8k(tmp_path, clips=8, seconds=seconds)
    assert min(soundfile.info(path).duration for path in folder.glob("audio/*/*.wav")) * 22050 < 2048


def test_no_clip_is_silent_or_clipped(made):
    """Every one can be heard, and none reaches the end of its range."""
    for path in made.glob("audio/*/*.wav"):
        peak = np.abs(soundfile.read(path)[0]).max()
        assert 0 < peak < 1


@settings(max_examples=10)
@given(st.integers(1, 40), st.integers(0, 5))
def test_the_same_seed_gives_the_same_bytes(tmp_path_factory, clips, seed):
    """Every file, float ones included; and there are exactly as many clips as asked for."""
    one, other = (make_urbansound8k(tmp_path_factory.mktemp("s"), clips=clips, seed=seed, seconds=0.05) for _ in "ab")
    assert contents(one) == contents(other)
    assert len(read_rows(one)) == clips


def test_another_seed_gives_other_bytes(tmp_path):
    """No clip is the same."""
    one = contents(make_urbansound8k(tmp_path / "one", clips=20, seed=1, seconds=0.1))
    other = contents(make_urbansound8k(tmp_path / "other", clips=20, seed=2, seconds=0.1))
    assert not set(one.values()) & set(other.values())


def test_making_it_again_touches_nothing(tmp_path):
    """Modification times stay, so that a second extraction has nothing to do."""
    make_urbansound8k(tmp_path, clips=10)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    make_urbansound8k(tmp_path, clips=10)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_its_own_output_is_brought_up_to_date(tmp_path):
    """Damaged clips are mended, deleted ones come back, and those of a larger dataset go."""
    make_urbansound8k(tmp_path / "wanted", clips=10)
    folder = make_urbansound8k(tmp_path / "other", clips=25, seed=3)
    next(folder.glob("audio/*/*.wav")).write_bytes(b"damaged")
    change_rows(folder, lambda rows: rows[:5])
    make_urbansound8k(folder, clips=10)
    assert contents(folder) == contents(tmp_path / "wanted")


def test_a_folder_of_other_things_is_refused_untouched(tmp_path):
    """Nobody's recordings are overwritten by mistake."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RequestError, match="not empty, and not made by synth"):
        make_urbansound8k(tmp_path, clips=3)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_an_interrupted_run_is_resumed(tmp_path):
    """What it left behind is recognised as its own."""

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(str(tmp_path / "a"), clips=10, seconds=0.1, progress=stop)
    make_urbansound8k(tmp_path / "a", clips=10, seconds=0.1)
    assert contents(tmp_path / "a") == contents(make_urbansound8k(tmp_path / "b", clips=10, seconds=0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": 0}, "clips = 0: expected 1 to 1000000"),
        ({"clips": 1, "seed": -1}, "seed = -1: expected 0 or more"),
        ({"clips": 1, "seconds": 0.001}, r"seconds = 0\.001: expected 0\.01 to 60"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, options, message):
    """The message names the option, its value and the range; nothing is made."""
    with pytest.raises(RequestError, match=message):
        synthesise(str(tmp_path / "new"), **options)
    assert not (tmp_path / "new").exists()


def test_a_bucket_is_refused():
    """It is made locally, and copied."""
    with pytest.raises(RequestError, match="expected a local folder"):
        synthesise("s3://bucket/folder", clips=1)

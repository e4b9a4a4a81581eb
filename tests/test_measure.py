"""How long clips of a new store may be is decided by what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import flac_promising, make_audio, mp3_promising, vbr_mp3
from datasets import write_rows
from runs import SMALL, Heard, Runner, failed, published

from us8k_batch.errors import RequestError
from us8k_batch.store.reader import open_store

SHORT = {f"short{i}.wav": make_audio(seconds=1, seed=i) for i in range(4)}
NOTHING = np.zeros(8000 * 100, np.float32)


def write_dataset(folder: Path, clips: dict[str, bytes]) -> Path:
    """Write clips and a manifest; return the manifest's path."""
    folder.mkdir(parents=True)
    for name, data in clips.items():
        (folder / name).write_bytes(data)
    rows = [{"path": name, "label": "ab"[i % 2], "fold": str(1 + i % 2)} for i, name in enumerate(clips)]
    write_rows(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


def test_promises_do_not_widen_a_store(runner: Runner, tmp_path: Path) -> None:
    """Unknown, guessed and cut: the samples that are there decide, and all are kept."""
    flac = make_audio(seconds=2, format="FLAC")
    clips = {
        "piped.flac": flac_promising(flac, 0),
        "promising.flac": flac_promising(flac, 2**36 - 1),
        "cut.mp3": mp3_promising(make_audio(seconds=1.5, format="MP3"), 90_000),
        "guessed.mp3": vbr_mp3(loud_first=False, seconds=2.4),
    }
    manifest = write_dataset(tmp_path / "data", {**SHORT, **clips})
    assert runner.extract(manifest, tmp_path / "store", assignments=SMALL[:-1]).exit_status == 0
    store = open_store(str(tmp_path / "store"))
    assert store.config.max_seconds == 3.0
    durations = dict(zip(store.pooled["clip_id"], store.pooled["duration"], strict=True))
    assert (durations["piped.flac"], durations["promising.flac"]) == (2.0, 2.0)
    assert durations["guessed.mp3"] == pytest.approx(2.4, abs=0.1)


def test_an_odd_clip_costs_itself(runner: Runner, tmp_path: Path) -> None:
    """A header of 1 Hz and a recording far longer than the rest are named and fail; the others are as ever."""
    soundfile.write(tmp_path / "1hz.wav", NOTHING[:600_000], 1, subtype="PCM_16")
    soundfile.write(tmp_path / "night.wav", NOTHING, 8000, subtype="PCM_U8")
    odd = {name: (tmp_path / name).read_bytes() for name in ("1hz.wav", "night.wav")}
    heard = Heard()
    summary = runner.extract(
        write_dataset(tmp_path / "data", {**SHORT, **odd}), tmp_path / "store", heard, assignments=SMALL[:-1]
    )
    assert (summary.exit_status, summary.extracted) == (3, 4)
    assert failed(tmp_path / "store") == dict.fromkeys(odd, ("extract", "too_long"))
    (line,) = (line for line in heard.lines if "far longer" in line)
    assert "max_seconds is 1;" in line
    assert "1hz.wav (600000 s), night.wav (100 s)" in line
    assert "--set truncate=true" in line
    detail = open_store(str(tmp_path / "store")).failures.set_index("clip_id").loc["1hz.wav", "detail"]
    assert "600000 samples at 1 Hz" in detail
    without = write_dataset(tmp_path / "without", SHORT)
    runner.extract(without, tmp_path / "other", assignments=SMALL[:-1])
    assert published(tmp_path / "store") == published(tmp_path / "other")


def test_what_was_chosen_does_not_depend_on_the_order(runner: Runner, tmp_path: Path) -> None:
    """The store is the same when the manifest lists the odd clip first."""
    soundfile.write(tmp_path / "night.wav", NOTHING, 8000, subtype="PCM_U8")
    odd = {"night.wav": (tmp_path / "night.wav").read_bytes()}
    for name, clips in (("first", {**odd, **SHORT}), ("last", {**SHORT, **odd})):
        manifest = write_dataset(tmp_path / name, clips)
        rows = [{"path": path, "label": "a", "fold": "1"} for path in clips]
        write_rows(manifest, rows)
        runner.extract(manifest, tmp_path / f"{name}-store", assignments=SMALL[:-1])
    assert (tmp_path / "first-store/us8k.json").read_bytes() == (tmp_path / "last-store/us8k.json").read_bytes()


def test_a_given_max_seconds_is_taken(runner: Runner, tmp_path: Path) -> None:
    """The odd clip is kept where there is room for it, and nothing is measured."""
    soundfile.write(tmp_path / "night.wav", NOTHING, 8000, subtype="PCM_U8")
    manifest = write_dataset(tmp_path / "data", {**SHORT, "night.wav": (tmp_path / "night.wav").read_bytes()})
    heard = Heard()
    summary = runner.extract(manifest, tmp_path / "store", heard, assignments=[*SMALL[:-1], "max_seconds=100"])
    assert (summary.exit_status, summary.extracted) == (0, 5)
    assert not [line for line in heard.lines if "headers" in line]


def test_a_dataset_of_clips_too_long_for_any_store_is_refused(runner: Runner, tmp_path: Path) -> None:
    """If most are, that is no oddity: the message names one, and what to do; nothing is written."""
    soundfile.write(tmp_path / "long.wav", NOTHING, 8, subtype="PCM_U8")
    data = (tmp_path / "long.wav").read_bytes()
    manifest = write_dataset(tmp_path / "data", {f"long{i}.wav": data for i in range(3)})
    with pytest.raises(RequestError, match=r"most clips are longer.*long0.wav: 100000 s.*truncate=true"):
        runner.extract(manifest, tmp_path / "store", assignments=SMALL[:-1])
    assert not (tmp_path / "store/us8k.json").exists()

"""Damaged files, and what is no file: each is a clip, or fails with the same reason every time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from audio_files import make_audio, patched
from datasets import write_rows
from disturbed import Site, ended
from stores import files, flips

import us8k_batch

TRUNCATIONS, FLIPS = 200, 504
FORMATS = ("WAV", "FLAC", "OGG", "MP3")


def corpus() -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes."""
    whole = {format: make_audio(format=format, seconds=0.3) for format in FORMATS}
    dice = np.random.default_rng(4)
    for i in range(TRUNCATIONS):
        format = FORMATS[i % len(FORMATS)]
        yield f"cut{i:03d}.{format.lower()}", whole[format][: int(dice.integers(1, len(whole[format])))]
    for i, format in enumerate(FORMATS):
        for bit, data in flips(whole[format], most=FLIPS // len(FORMATS) // 2, seed=i):
            yield f"bit{bit:06d}.{format.lower()}", data
        for bit, data in flips(whole[format][:64], most=FLIPS // len(FORMATS) // 2, seed=i):
            yield f"head{bit:06d}.{format.lower()}", data + whole[format][64:]
    yield "empty.wav", b""
    yield "sample.wav", make_audio(n_samples=1)
    yield "nan.wav", make_audio(np.full((1000, 1), np.nan), subtype="FLOAT")
    yield "eight.wav", make_audio(channels=8)
    yield "none.wav", patched(make_audio(), 22, b"\0\0")


def make_bad_files(folder: Path) -> Path:
    """Make them, and what is no file; return the manifest."""
    (folder / "audio").mkdir(parents=True)
    names = []
    for name, data in corpus():
        (folder / "audio" / name).write_bytes(data)
        names.append(name)
    (folder / "audio/folder.wav").mkdir()
    os.mkfifo(folder / "audio/fifo.wav")
    (folder / "audio/loop.wav").symlink_to("loop.wav")
    with (folder / "audio/sparse.wav").open("wb") as file:
        file.truncate(4 << 30)
    names += ["folder.wav", "fifo.wav", "loop.wav", "sparse.wav", "missing.wav"]
    rows = [{"path": f"audio/{name}", "label": "dog", "fold": str(1 + i % 5)} for i, name in enumerate(names)]
    write_rows(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


def test_bad_files_cost_themselves(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Exit 3 and nothing hangs; a second extraction elsewhere gives the same results and reasons, byte for byte."""
    dataset = make_bad_files(tmp_path / "data")
    ends = []
    for name in ("one", "two"):
        site = Site(tmp_path / name, dataset, child=("noting_child.py", "real"))
        ended(site.client("--workers", 2), site, 3)
        ends.append(files(site.store))
    assert ends[0] == ends[1]
    store = us8k_batch.open_store(str(site.store))
    store.mfcc[:]
    reasons = {row.clip_id: (row.stage, row.error) for row in store.failures.itertuples()}
    n_clips = TRUNCATIONS + FLIPS // 8 * 8 + 10
    assert len(store) + len(reasons) == n_clips
    for name in ("folder", "fifo", "loop", "sparse", "missing"):
        assert reasons[f"audio/{name}.wav"][0] == "read", reasons[f"audio/{name}.wav"]
    for name in ("empty", "none"):
        assert reasons[f"audio/{name}.wav"][0] == "decode", reasons[f"audio/{name}.wav"]
    assert reasons["audio/nan.wav"] == ("extract", "not_finite")
    assert not {error for _, error in reasons.values()} & {"timeout", "crashed", "out_of_memory", "unreadable"}
    errors = Counter(error for _, error in reasons.values())
    told = ", ".join(f"{number} {error}" for error, number in errors.most_common())
    record_property("figure", f"{n_clips} files twice: {len(store)} results, {told}; equal, 0 hangs")

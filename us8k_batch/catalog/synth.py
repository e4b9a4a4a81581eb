"""Make a synthetic dataset in UrbanSound8K's exact layout, the same bytes for the same seed."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from us8k_batch.catalog.sounds import Canvas, render
from us8k_batch.errors import RequestError
from us8k_batch.objects import is_bucket, local_path

CLASSES = (
    "air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling",
    "engine_idling", "gun_shot", "jackhammer", "siren", "street_music",
)  # fmt: skip
"""UrbanSound8K's classes, by number."""
EVENTS = ("car_horn", "dog_bark", "gun_shot")
"""Classes of single events, cut one by one; the others go on, and are cut into overlapping slices."""
FOLDS = 10
HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"
FIRST_FSID = 1_000_000
"""Above every fsID of the genuine dataset, so that no clip is mistaken for one of its."""
MARK = "metadata/synthetic.json"
"""Written first: says that the folder is ours, and may be written again."""
FORMATS = (
    (44100, 2, "PCM_16"), (48000, 2, "PCM_24"), (44100, 1, "PCM_16"), (44100, 2, "FLOAT"), (22050, 1, "PCM_16"),
    (44100, 2, "PCM_16"), (96000, 2, "PCM_24"), (44100, 1, "PCM_16"), (8000, 1, "PCM_16"), (48000, 2, "PCM_16"),
    (44100, 2, "PCM_16"), (11025, 1, "PCM_16"), (44100, 2, "PCM_16"),
)  # fmt: skip
"""Rate (Hz), channels and coding of the recordings in turn; 13, so that no class or fold always has the same."""
SLICES = (1, 2, 3, 4, 6, 8, 12)
"""How many clips a recording may be cut into."""
SHORTEST = 0.05
"""Duration of the shortest clip, in seconds: less than one analysis window of 2,048 samples at 22,050 Hz."""
SHORT_RECORDING = CLASSES.index("dog_bark")
"""The recording that has this clip."""


@dataclass(frozen=True, slots=True)
class _Slice:
    occurrence: int
    number: int
    offset: float
    """Where it begins in what is drawn of the recording, in seconds."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _Recording:
    index: int
    slices: tuple[_Slice, ...]
    start: float
    """Where the drawn part lies in the recording that it pretends to be from, in seconds."""
    snr: float
    """Level above the background, in dB."""

    @property
    def class_id(self) -> int:
        return self.index % len(CLASSES)

    @property
    def fold(self) -> int:
        return 1 + (self.index // len(CLASSES) + self.class_id) % FOLDS

    @property
    def salience(self) -> int:
        """UrbanSound8K's: 1 in the foreground, 2 in the background."""
        return 1 if self.snr > 6 else 2

    def name(self, part: _Slice) -> str:
        return f"{FIRST_FSID + self.index}-{self.class_id}-{part.occurrence}-{part.number}.wav"

    def line(self, part: _Slice) -> str:
        begins = self.start + part.offset
        times = f"{round(begins, 6)},{round(begins + part.seconds, 6)}"
        ids = f"{self.name(part)},{FIRST_FSID + self.index}"
        return f"{ids},{times},{self.salience},{self.fold},{self.class_id},{CLASSES[self.class_id]}"


def synthesise(
    folder: str,
    *,
    clips: int,
    seed: int = 0,
    seconds: float = 4.0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Make a synthetic dataset: UrbanSound8K's metadata, names, folds and classes, with sounds drawn by chance.

    A recording lies in one fold and is cut into one clip or several. Rates from 8 to 96 kHz, mono and stereo, 16 and
    24 bits and float occur, and one clip is shorter than an analysis window. Twice the same call gives the same
    bytes, on the same type of CPU with the same numpy, scipy and soundfile; files that are already right are left
    alone, with their modification times.

    Parameters
    ----------
    folder : str
        Where to: a local folder that is new, empty, or was made by this function (then it is brought up to date, and
        clips beyond `clips` are deleted).
    clips : int
        Number of clips, 1 to 1,000,000.
    seed : int
        Chooses everything, 0 or more.
    seconds : float
        Longest duration of a clip, 0.01 to 60 s; the others scale with it.
    progress : callable, optional
        Told how many clips have been made.

    Raises
    ------
    RequestError
        If a number is out of range, or the folder holds something else.
    """
    _require(1 <= clips <= 1_000_000, f"clips = {clips}: expected 1 to 1000000")
    _require(seed >= 0, f"seed = {seed}: expected 0 or more")
    _require(0.01 <= seconds <= 60, f"seconds = {seconds:g}: expected 0.01 to 60")
    _require(not is_bucket(folder), f"{folder}: expected a local folder; copy it to the bucket afterwards")
    root = local_path(folder)
    _claim(root, {"made_by": "us8k synth", "clips": clips, "seed": seed, "seconds": seconds})
    for fold in range(1, FOLDS + 1):
        (root / f"audio/fold{fold}").mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()
    lines = [HEADER]
    for recording in _plan(clips, seed, seconds):
        rate, channels, subtype = FORMATS[recording.index % len(FORMATS)]
        signal = _draw(recording, seed, rate, channels)
        for part in recording.slices:
            first = round(part.offset * rate)
            path = root / f"audio/fold{recording.fold}" / recording.name(part)
            _write(path, _encode(signal[first : first + max(round(part.seconds * rate), 1)], rate, subtype))
            written.add(path)
            lines.append(recording.line(part))
        if progress is not None:
            progress(len(written))
    _write(root / "metadata/UrbanSound8K.csv", ("\n".join(lines) + "\n").encode())
    for stale in set(root.glob("audio/fold*/*.wav")) - written:
        stale.unlink()


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RequestError(message)


def _claim(root: Path, facts: dict[str, Any]) -> None:
    mark = root / MARK
    if root.exists() and not mark.exists() and any(root.iterdir()):
        raise RequestError(f"{root}: not empty, and not made by synth; expected a new or empty folder")
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{root}: {error.strerror}; expected a new or empty folder that can be written") from error
    _write(mark, (json.dumps(facts, indent=2) + "\n").encode())


def _plan(clips: int, seed: int, seconds: float) -> Iterator[_Recording]:
    """Decide on the recordings and how they are cut, before anything is drawn."""
    rng = np.random.default_rng([seed, 0])
    # In a small dataset, few clips per recording leave more recordings, and so more classes.
    choices = [count for count in SLICES if count <= max(2, clips // 20)]
    index = 0
    while clips > 0:
        count = min(int(rng.choice(choices)), clips)
        cut = _cut_events if CLASSES[index % len(CLASSES)] in EVENTS else _cut_continuous
        slices = tuple(cut(rng, count, seconds))
        if index == SHORT_RECORDING:
            slices = (replace(slices[0], seconds=min(SHORTEST, slices[0].seconds)), *slices[1:])
        yield _Recording(index, slices, round(rng.uniform(0, 30), 6), rng.uniform(-2, 20))
        clips -= count
        index += 1


def _cut_events(rng: np.random.Generator, count: int, seconds: float) -> Iterator[_Slice]:
    offset = 0.0
    for occurrence in range(count):
        length = round(min(rng.uniform(0.1, 1.2), 1.0) * seconds, 6)
        yield _Slice(occurrence, 0, offset, length)
        offset += length


def _cut_continuous(rng: np.random.Generator, count: int, seconds: float) -> Iterator[_Slice]:
    for place in range(count):
        last = place == count - 1 and rng.random() < 0.2
        length = round(seconds * rng.uniform(0.3, 1), 6) if last else seconds
        yield _Slice(0, place * 4, place * seconds / 2, length)


def _draw(recording: _Recording, seed: int, rate: int, channels: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, 1, recording.index])
    length = max(round(part.offset * rate) + max(round(part.seconds * rate), 1) for part in recording.slices)
    onsets = np.array([round(part.offset * rate) for part in recording.slices])
    mono = render(rng, recording.class_id, Canvas(length, rate, onsets), recording.snr)
    if channels == 1:
        return mono[:, None]
    delay, gain = int(rng.integers(0, 30)), np.float32(rng.uniform(0.5, 1))
    right = np.concatenate([np.zeros(min(delay, length), np.float32), mono[: max(length - delay, 0)]]) * gain
    right += rng.standard_normal(length, dtype=np.float32) * np.float32(0.001)
    return np.stack([mono, right], axis=1)


def _encode(signal: NDArray[np.float32], rate: int, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, signal, rate, format="WAVEX" if subtype == "PCM_24" else "WAV", subtype=subtype)
    data = bytearray(file.getbuffer())
    # libsndfile notes the time of writing in the PEAK chunk of float files: after name, size and version.
    peak = data.find(b"PEAK", 0, 200)
    if subtype == "FLOAT" and peak >= 0:
        struct.pack_into("<I", data, peak + 12, 0)
    return bytes(data)


def _write(path: Path, data: bytes) -> None:
    """Write a file, unless it is already the same."""
    if not (path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data):
        path.write_bytes(data)

"""Factories of audio files: every format that soundfile can write, and files that are wrong on purpose."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray


def make_samples(
    *, seconds: float = 0.5, n_samples: int | None = None, sample_rate: int = 16000, channels: int = 1, seed: int = 0
) -> NDArray[np.float32]:
    """Make a chord with noise and a slow swell, another one per seed and channel; shape (n_samples, channels)."""
    n = round(seconds * sample_rate) if n_samples is None else n_samples
    rng = np.random.default_rng(seed)
    time = np.arange(n)[:, np.newaxis] / sample_rate
    pitch = rng.uniform(100, min(3000, sample_rate / 4), (4, 1, channels))
    chord = np.sin(2 * np.pi * pitch * time).mean(axis=0)
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 1.5 * time)
    noise = rng.standard_normal((n, channels))
    return (0.5 * swell * chord + 0.02 * noise).clip(-0.99, 0.99).astype(np.float32)


def make_audio(
    samples: NDArray[np.floating] | None = None,
    *,
    format: str = "WAV",
    subtype: str | None = None,
    sample_rate: int = 16000,
    seconds: float = 0.5,
    n_samples: int | None = None,
    channels: int = 1,
    seed: int = 0,
) -> bytes:
    """Make the bytes of an audio file, from the samples given or from `make_samples`."""
    if samples is None:
        samples = make_samples(
            seconds=seconds, n_samples=n_samples, sample_rate=sample_rate, channels=channels, seed=seed
        )
    if format == "SD2":  # writes a resource fork beside the file, into the working directory if it has no name
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.sd2"
            soundfile.write(path, samples, sample_rate, format=format, subtype=subtype)
            return path.read_bytes()
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format=format, subtype=subtype)
    return file.getvalue()


def write_audio(path: Path, samples: NDArray[np.floating] | None = None, **options: object) -> Path:
    """Write what `make_audio` makes; the extension of the path means nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_audio(samples, **options))  # type: ignore[arg-type]
    return path


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    """Overwrite some bytes."""
    return data[:offset] + new + data[offset + len(new) :]


def wav_promising(data: bytes, n_bytes: int) -> bytes:
    """Change how many bytes of samples a WAV file's header promises."""
    return patched(data, data.index(b"data") + 4, struct.pack("<I", n_bytes))


def flac_promising(data: bytes, n_samples: int) -> bytes:
    """Change how many samples a FLAC file's header promises, up to 2**36 - 1."""
    high = (data[21] & 0xF0) | (n_samples >> 32)
    return patched(data, 21, bytes([high]) + struct.pack(">I", n_samples & 0xFFFFFFFF))


def mp3_promising(data: bytes, n_frames: int) -> bytes:
    """Change how many MPEG frames an MP3 file's Xing header promises."""
    return patched(data, data.index(b"Xing") + 8, struct.pack(">I", n_frames))


def formats() -> list[tuple[str, str]]:
    """List every format and subtype that soundfile names."""
    return [
        (format, subtype)
        for format in soundfile.available_formats()
        for subtype in soundfile.available_subtypes(format)
        if soundfile.check_format(format, subtype)
    ]


def bare_mp3(data: bytes) -> bytes:
    """Leave out the first frame of an MP3 file, which tells how many others there are."""
    from us8k_batch.audio.mpeg import _frames

    frames = _frames(memoryview(data))
    next(frames)
    return data[next(frames).at :]


def vbr_mp3(*, loud_first: bool, seconds: float = 2.0, sample_rate: int = 22050) -> bytes:
    """Make an MP3 file of variable bit rate without its first frame: noise and then silence, or the reverse."""
    rng = np.random.default_rng(1)
    noise, hush = rng.uniform(-0.8, 0.8, int(seconds / 4 * sample_rate)), np.zeros(int(seconds * 3 / 4 * sample_rate))
    file = io.BytesIO()
    samples = np.concatenate([noise, hush] if loud_first else [hush, noise])
    soundfile.write(
        file, samples, sample_rate, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE",
        compression_level=0.1,
    )  # fmt: skip
    return bare_mp3(file.getvalue())

"""What an audio file says of itself, and whether it is whole."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog.headers import UnreadableHeaderError, read_header
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError
from us8k_batch.features.audio import decode
from us8k_batch.features.clip_errors import TooLongError

TELLING = [
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAV", "ULAW"), ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("W64", "PCM_16"), ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"), ("OGG", "OPUS"),
]  # fmt: skip
"""Formats that tell when their end is missing."""
OTHERS = [("MP3", "MPEG_LAYER_III"), ("CAF", "PCM_16"), ("NIST", "PCM_16"), ("VOC", "PCM_16"), ("SVX", "PCM_16")]


def encode(format: str, subtype: str, *, samples: int = 24_000, rate: int = 48_000, channels: int = 2) -> bytes:
    """Make a file of soft noise."""
    file = io.BytesIO()
    wave = np.random.default_rng(0).standard_normal((samples, channels)) * 0.1
    soundfile.write(file, wave, rate, format=format, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(("format", "subtype"), TELLING + OTHERS)
def test_a_whole_file_is_whole(format, subtype):
    """Its rate, channels and length are those it was written with; nothing is missing."""
    channels = 1 if format == "SVX" else 2
    header = read_header(encode(format, subtype, channels=channels))
    assert (header.container, header.subtype) == (format, subtype)
    assert (header.sample_rate, header.channels, header.problem) == (48_000, channels, None)
    assert header.seconds == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("format", "subtype"), TELLING)
@pytest.mark.parametrize("lost", [1000, 0.3, 0.6])
def test_a_file_without_its_end_is_truncated(format, subtype, lost):
    """A header that promises more than the file holds is noticed, whether little or much is missing."""
    data = encode(format, subtype, samples=240_000)
    cut = data[: -lost if isinstance(lost, int) else int(len(data) * (1 - lost))]
    header = read_header(cut)
    assert header.problem == "truncated"
    assert "promises" in str(header.detail) or "Ogg page" in str(header.detail)


def test_a_wav_with_more_after_its_data_is_whole():
    """Chunks behind the data, and a padding byte, are no reason to worry."""
    data = encode("WAV", "PCM_16")
    assert read_header(data + b"LIST\x04\0\0\0abcd").problem is None


def test_no_samples_are_no_samples():
    """An empty recording is readable, and 0 s long."""
    assert read_header(encode("WAV", "PCM_16", samples=0)).samples == 0


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"no audio at all" * 100, bytes(1000), encode("OGG", "VORBIS")[:100]], ids=len
)
def test_what_is_no_audio_is_refused(data):
    """Text, zeros, or half a header."""
    with pytest.raises(UnreadableHeaderError, match=r"\S"):
        read_header(data)


@given(st.sampled_from(TELLING + OTHERS), st.integers(0, 400), st.integers(0, 255), st.integers(0, 30_000))
def test_a_damaged_file_is_read_or_refused(format, place, value, length):
    """One wrong byte in a header, or any cut, never ends in another error."""
    data = bytearray(encode(*format, samples=2000, channels=1)[:length])
    if place < len(data):
        data[place] = value
    try:
        header = read_header(bytes(data))
    except UnreadableHeaderError:
        return
    assert header.samples >= 0


FAILING = {"empty", "not_decodable", "unsupported_format", "not_finite"}


@given(
    st.sampled_from([*TELLING, *OTHERS[:1], ("WAV", "MS_ADPCM"), ("AIFF", "DWVW_16")]),
    st.integers(0, 9000),
    st.binary(min_size=1, max_size=3),
    st.integers(0, 30_000),
)
def test_check_and_extract_say_one_thing(format, place, damage, length):
    """Damaged or cut anywhere: what fails in one fails in the other, with the same word and length."""
    data = encode(*format, samples=4000, channels=1)[:length]
    data = data[:place] + damage + data[place + len(damage) :]
    try:
        header = read_header(data)
        word = header.problem
    except UnreadableHeaderError as error:
        header, word = None, error.word
    try:
        extracted = decode(data, FeatureConfig(max_seconds=86_400.0))
    except TooLongError:
        return  # a header that says few samples a second
    except ClipError as error:
        assert word == error.error or (word == "truncated" and error.error in ("empty", "not_decodable"))
        return
    assert word not in FAILING
    assert header is not None
    assert header.seconds == extracted.duration


def test_real_clips_are_whole(real_clips):
    """Genuine clips of UrbanSound8K and ESC-10 are not called truncated."""
    for path in real_clips:
        assert read_header(path.read_bytes()).problem is None

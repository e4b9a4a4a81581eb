"""WAV headers are believed where libsndfile, given the file by its path, says the same; all others are left to it."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fast_wav import LEFT, READ, assert_libsndfile_agrees, damaged, form, riff

from us8k_batch.audio.wav import HEAD_BYTES, read_layout, wav_seconds

RATE = 22050
BODY = bytes(range(1, 241)) * 10


def assert_durations_agree(data: bytes) -> bool:
    """Assert that the first bytes tell libsndfile's duration, by path, or none; tell whether they tell one.

    What follows the samples is out of their sight, so that it is not asked about.
    """
    seconds, layout = wav_seconds(data[:HEAD_BYTES], len(data)), read_layout(data)
    if seconds is None:
        assert layout is None
        return False
    if layout is None and _rest(data) > 0:
        return True
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        Path(file.name).write_bytes(data)
        try:
            info = soundfile.info(file.name)
        except soundfile.SoundFileError:  # a failure of its own when it is extracted
            assert layout is None
        else:
            assert seconds == info.frames / info.samplerate
            if layout is not None:
                told = (info.format, info.subtype, info.samplerate, info.channels, info.frames)
                said = (layout.container, layout.subtype, layout.sample_rate, layout.channels, layout.n_samples)
                assert said == told
    return True


def _rest(data: bytes) -> int:
    """Bytes behind the samples."""
    at = 12
    while data[at : at + 4] != b"data":
        at += 8 + struct.unpack_from("<I", data, at + 4)[0]
        at += at % 2
    size = struct.unpack_from("<I", data, at + 4)[0]
    return len(data) - (at + 8 + size + size % 2)


def with_sizes(whole: int | None = None, samples: int | None = None, **of_form: int) -> bytes:
    """Make a WAV file whose header tells these sizes."""
    data = bytearray(
        riff(form(**{"channels": 1, "rate": RATE} | of_form), b"data" + struct.pack("<I", len(BODY)) + BODY)
    )
    if whole is not None:
        struct.pack_into("<I", data, 4, whole)
    if samples is not None:
        struct.pack_into("<I", data, 40, samples)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        with_sizes(sample_bytes=4),
        with_sizes(sample_bytes=1),
        with_sizes(whole=8, samples=0),
        with_sizes(samples=0),
        b"ID3\3\0\0\0\0\0\5" + bytes(5) + with_sizes(),
        bytes(512) + with_sizes(),
        with_sizes(rate=0),
    ],
    ids=["aligned to 4", "aligned to 1", "not closed", "no data", "tag first", "zeros first", "no rate"],
)
def test_a_header_with_a_contradiction_is_left_to_libsndfile(data):
    """No duration is guessed from a wrong block alignment, a file that was never closed, or behind a tag."""
    assert wav_seconds(data[:HEAD_BYTES], len(data)) is None
    assert read_layout(data) is None


@pytest.mark.parametrize("whole", [None, 0xFFFFFFFF, 8, 0])
@pytest.mark.parametrize("samples", [0xFFFFFFFF, 0x7FFFFFFF, len(BODY) + 100, len(BODY)])
def test_a_length_that_was_not_written_promises_no_more_than_the_file_holds(whole, samples):
    """A file from a pipe is as long as its samples."""
    data = with_sizes(whole=whole, samples=samples)
    assert wav_seconds(data[:HEAD_BYTES], len(data)) == len(BODY) // 2 / RATE
    assert assert_durations_agree(data)


@pytest.mark.parametrize("bits", [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64), (6, 8), (7, 8)])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_common_encodings_are_measured_from_their_head(bits, channels):
    """So that a dataset need not be read to be measured."""
    body = bytes(480 * channels)
    data = riff(form(tag=bits[0], bits=bits[1], channels=channels), b"data" + struct.pack("<I", len(body)) + body)
    assert assert_durations_agree(data)


@pytest.mark.parametrize("name", [*READ, *LEFT])
def test_no_file_is_measured_otherwise_than_by_its_path(name):
    """Of well-formed and of odd files alike."""
    assert_durations_agree({**READ, **LEFT}[name])


sizes = st.one_of(
    st.integers(0, 300), st.sampled_from([0x7FFFFFFF, 1 << 31, 0xFFFFFFFE, 0xFFFFFFFF]), st.just(len(BODY))
)
prefixes = st.one_of(
    st.just(b""),
    st.integers(0, 40).map(bytes),
    st.integers(0, 127).map(lambda n: b"ID3\3\0\0\0\0\0" + bytes([n]) + bytes(n)),
    st.binary(max_size=12),
)


@settings(max_examples=100, deadline=None)
@given(
    prefix=prefixes,
    whole=st.one_of(st.none(), sizes),
    samples=st.one_of(st.none(), sizes),
    align=st.integers(0, 9),
    bits=st.sampled_from([8, 16, 24, 32]),
    damage=st.lists(st.tuples(st.sampled_from(["byte", "size", "cut"]), st.integers(0, 60), st.integers(0, 255))),
)
def test_prefixes_sizes_and_alignments_are_read_as_by_the_path(prefix, whole, samples, align, bits, damage):
    """Whatever precedes a file, and whatever lengths and alignment it tells: libsndfile's answer, or none."""
    data = prefix + with_sizes(whole, samples, sample_bytes=align, bits=bits)
    for how, at, value in damage[:1]:
        data = damaged(data, how, at, value)
    assert_durations_agree(data)
    assert_libsndfile_agrees(data)

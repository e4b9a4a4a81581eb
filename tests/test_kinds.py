"""Files that libsndfile does not read say what they are."""

from __future__ import annotations

import struct

import pytest
from audio_files import make_audio, patched
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.audio.kinds import explain, unsupported_kind
from us8k_batch.audio.opening import NotAudioError, open_audio


def ogg_of(packet: bytes) -> bytes:
    """Make one Ogg page with one packet."""
    return b"OggS\0\2" + bytes(20) + bytes((1, len(packet))) + packet


def wav_of(tag: int, bits: int) -> bytes:
    """Make a WAV file of some coding."""
    form = struct.pack("<HHIIHH", tag, 1, 8000, 8000 * bits // 8, bits // 8, bits)
    return (
        b"RIFF" + struct.pack("<I", 136) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data\x64\0\0\0" + bytes(100)
    )


def flac_of(bits: int) -> bytes:
    """Change how many bits a FLAC file says that it has."""
    data = make_audio(format="FLAC")
    both = (data[20] << 8 | data[21]) & 0xFE0F | (bits - 1) << 4
    return patched(data, 20, both.to_bytes(2, "big"))


AAC = b"\xff\xf1\x5c\x40\x02\x1f\xfc" + bytes(9)
KINDS = {
    "MP4": (b"\0\0\0\x1cftypM4A \0\0\2\0" + bytes(100), "AAC or ALAC in an MP4 file"),
    "ADTS": (AAC + AAC, "AAC"),
    "WebM": (b"\x1aE\xdf\xa3" + bytes(100), "WebM"),
    "AMR": (b"#!AMR\n" + bytes(100), "AMR"),
    "WMA": (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(100), "WMA"),
    "FLAC in Ogg": (ogg_of(b"\x7fFLAC\1\0\0\1fLaC" + bytes(40)), "FLAC in Ogg"),
    "Speex": (ogg_of(b"Speex   1.2" + bytes(60)), "Speex"),
    "FLAC of 12 bits": (flac_of(12), "FLAC of 12 bits"),
    "FLAC of 20 bits": (flac_of(20), "FLAC of 20 bits"),
    "FLAC of 32 bits": (flac_of(32), "FLAC of 32 bits"),
    "WAV of 40 bits": (wav_of(1, 40), "WAV of 40 bits"),
    "WAV of 64 bits": (wav_of(1, 64), "WAV of 64 bits"),
    "WAV of WMA": (wav_of(0x161, 16), "WAV that holds WMA"),
    "tag first": (b"ID3\4\0\0\0\0\0\4" + bytes(4) + AAC + AAC, "AAC"),
    "WavPack": (b"wvpk" + bytes(100), "WavPack"),
}


@pytest.mark.parametrize(("data", "name"), KINDS.values(), ids=KINDS)
def test_a_kind_that_is_not_read_is_named(data, name):
    """It is not called damaged; the message names the kinds that are read, and how to convert."""
    with pytest.raises(NotAudioError):
        open_audio(data)
    word, text = explain(data, "whatever")
    assert word == "unsupported_format"
    assert text.startswith(name)
    assert "WAV" in text
    assert "ffmpeg" in text


@pytest.mark.parametrize(
    ("data", "word", "text"),
    [
        (b"", "empty", "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "not_decodable", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "not_decodable", "web page"),
        (b"rubbish", "not_decodable", "libsndfile: Format not recognised."),
        (b"RIFF\0\0\0\0WAVE", "not_decodable", "libsndfile: Format not recognised."),
    ],
)
def test_what_is_no_such_kind_has_its_word(data, word, text):
    """An empty file, what is often found in place of audio, and anything else."""
    found = explain(data, "Format not recognised.")
    assert found[0] == word
    assert text in found[1]


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "W64", "RF64", "CAF", "AU"])
def test_what_is_read_is_no_such_kind(format):
    """A damaged file of a kind that is read stays damaged."""
    assert unsupported_kind(make_audio(format=format)) is None
    assert unsupported_kind(make_audio(format=format)[:100]) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_explained(data):
    """Whatever they are."""
    assert all(explain(data, "reason"))

"""MPEG frames are counted as a decoder meets them."""

from __future__ import annotations

import pytest
from audio_files import bare_mp3, make_audio
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.audio.mpeg import skip_id3, walk_mpeg

ID3 = b"ID3\4\0\0\0\0\1\0" + bytes(128)
MP3 = make_audio(seconds=2, format="MP3", sample_rate=22050)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_whole_stream_holds_what_it_promises(rate, channels):
    """Whatever the version of MPEG: as many frames as its first one says, 2 s with what the encoder adds."""
    stream = walk_mpeg(make_audio(seconds=2, format="MP3", sample_rate=rate, channels=channels))
    assert stream is not None
    assert (stream.promised, stream.streams) == (stream.frames, 1)
    assert stream.seconds == pytest.approx(2 + 0.1, abs=0.15)
    assert stream.promised_seconds == pytest.approx(stream.seconds)


@pytest.mark.parametrize(
    "before", [b"", ID3, ID3 + ID3, bytes(1000), b"\xff", ID3 + bytes(3000), b"\xff\xfb\x90\0" * 3]
)
@pytest.mark.parametrize("after", [b"", b"TAG" + bytes(125), bytes(1000)])
def test_what_lies_around_a_stream_does_not_count(before, after):
    """Tags, zeros and stray bytes are no frames."""
    assert walk_mpeg(before + MP3 + after) == walk_mpeg(MP3)


def test_a_cut_stream_holds_less_than_it_promises():
    """A frame of which a part is missing is not there."""
    whole, cut = walk_mpeg(MP3), walk_mpeg(MP3[: len(MP3) // 2])
    assert whole is not None
    assert cut is not None
    assert cut.promised == whole.frames
    assert cut.frames == pytest.approx(whole.frames / 2, abs=2)


def test_joined_streams_are_counted():
    """By their first frames, or by a change of the rate; the promise is the first one's."""
    other = make_audio(seconds=1, format="MP3", sample_rate=44100, channels=2)
    first, second = walk_mpeg(MP3), walk_mpeg(other)
    assert first is not None
    assert second is not None
    joined = walk_mpeg(MP3 + other)
    assert joined is not None
    assert (joined.streams, joined.promised) == (2, first.promised)
    assert joined.frames == first.frames + second.frames
    bare = walk_mpeg(bare_mp3(MP3) + bare_mp3(other))
    assert bare is not None
    assert (bare.streams, bare.promised, bare.frames) == (2, None, joined.frames)


def test_a_vbri_frame_promises_too():
    """Fraunhofer's encoder writes VBRI in place of Xing."""
    at = MP3.index(b"Xing") if b"Xing" in MP3 else MP3.index(b"Info")
    start = MP3.index(b"\xff")
    data = bytearray(MP3)
    data[at : at + 4] = bytes(4)
    data[start + 36 : start + 54] = b"VBRI" + bytes(10) + (77).to_bytes(4, "big")
    stream = walk_mpeg(bytes(data))
    assert stream is not None
    assert stream.promised == 77


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"RIFF" + bytes(100), bytes(5000), b"\xff" * 5000, b"\xff\xfb\x00\0" * 500]
)
def test_without_frames_there_is_no_stream(data):
    """Nor where a frame does not tell its length (free format)."""
    assert walk_mpeg(data) is None


@given(st.binary(max_size=200), st.integers(0, len(MP3)), st.binary(max_size=50))
def test_any_bytes_can_be_walked(before, place, between):
    """Whatever is in the file, and wherever it is cut or damaged, the walk ends."""
    stream = walk_mpeg(before + MP3[:place] + between + MP3[place:][:3000])
    assert stream is None or stream.frames >= 0


def test_a_tag_may_promise_more_than_there_is():
    """Its end is then behind the file's."""
    assert skip_id3(b"ID3\4\0\0\x7f\x7f\x7f\x7f") == 10 + (1 << 28) - 1
    assert skip_id3(b"ID3") == 0
    assert walk_mpeg(b"ID3\4\0\0\x7f\x7f\x7f\x7f" + MP3) is None

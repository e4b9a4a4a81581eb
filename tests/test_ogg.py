"""Ogg pages: whole files, cut ones, and streams one after the other."""

from __future__ import annotations

import pytest
from audio_files import make_audio
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.audio.ogg import walk_ogg

FILES = [make_audio(format="OGG", subtype=subtype, sample_rate=48000) for subtype in ("VORBIS", "OPUS")]


@pytest.mark.parametrize("data", FILES, ids=["VORBIS", "OPUS"])
def test_a_whole_file_has_one_link(data):
    """Its first packet names the coding."""
    ogg = walk_ogg(data)
    assert ogg is not None
    assert (ogg.whole, ogg.links) == (True, 1)
    assert b"vorbis" in ogg.first_packet or ogg.first_packet.startswith(b"OpusHead")


@pytest.mark.parametrize("lost", [1, 100, 2000])
def test_a_file_without_its_end_is_not_whole(lost):
    """Be it one byte that is missing."""
    ogg = walk_ogg(FILES[0][:-lost])
    assert ogg is not None
    assert not ogg.whole


def test_a_file_with_more_behind_its_end_is_not_whole():
    """What follows is no page."""
    ogg = walk_ogg(FILES[0] + b"TAG" + bytes(125))
    assert ogg is not None
    assert (ogg.whole, ogg.links) == (False, 1)


def test_streams_one_after_the_other_are_counted():
    """Each file that was appended is a link; streams that begin together are one."""
    vorbis, opus = FILES
    ogg = walk_ogg(vorbis + opus + vorbis)
    assert ogg is not None
    assert (ogg.whole, ogg.links) == (True, 3)
    first_page = opus[: 27 + opus[26] + sum(opus[27 : 27 + opus[26]])]
    together = walk_ogg(first_page + vorbis)
    assert together is not None
    assert together.links == 1


@given(st.binary(max_size=100), st.integers(0, 3000))
def test_any_bytes_can_be_walked(data, place):
    """What does not begin with a page is no Ogg; what does may go on as it likes."""
    assert walk_ogg(data) is None
    ogg = walk_ogg(FILES[0][:place] + data + FILES[0][place:])
    assert ogg is None or ogg.links >= 1

"""What libmpg123 prints is said with the clip's name, and only there."""

from __future__ import annotations

import logging
import os

import pytest

from us8k_batch.audio.notes import named_notes
from us8k_batch.audio.opening import NotAudioError, open_audio

JUNK = bytes(range(1, 200)) * 20
"""No MPEG frame is in it."""


def test_no_line_of_a_library_is_without_its_clip(capfd, caplog):
    """The notes name the clip; what Python prints meanwhile, and libraries afterwards, goes where it always went."""
    with named_notes("fold1/bird.mp3", JUNK):
        with pytest.raises(NotAudioError):
            open_audio(JUNK, "mp3")
        os.write(2, b"progress")
    assert caplog.messages
    assert all(line.startswith("fold1/bird.mp3: ") for line in caplog.messages)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert capfd.readouterr().err.startswith("progress")
    with pytest.raises(NotAudioError):
        open_audio(JUNK, "mp3")
    assert "MPEG" in capfd.readouterr().err


def test_a_clip_without_notes_says_nothing(caplog):
    """Nor does what cannot be MPEG."""
    for data in (b"", b"RIFF"):
        with named_notes("a.wav", data), pytest.raises(NotAudioError):
            open_audio(data)
    assert not caplog.messages

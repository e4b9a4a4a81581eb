"""Samples are counted by decoding them."""

from __future__ import annotations

import numpy as np
import pytest
from audio_files import flac_promising, make_audio, make_samples

from us8k_batch.audio import counting
from us8k_batch.audio.counting import MOST_SAMPLES, UNKNOWN, count_samples
from us8k_batch.audio.opening import open_audio


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "W64", "CAF"])
@pytest.mark.parametrize("block", [1000, 1 << 18])
def test_all_samples_are_counted(format, block, monkeypatch):
    """In blocks of any size as at once."""
    monkeypatch.setattr(counting, "_BLOCK_VALUES", block)
    with open_audio(make_audio(format=format, n_samples=16000, channels=2)) as file:
        assert count_samples(file, MOST_SAMPLES) == (16000, True, None)


@pytest.mark.parametrize("promised", [0, 20_000, 2**36 - 1])
def test_what_is_there_counts_whatever_is_promised(promised):
    """In FLAC, where 0 stands for a length that is not known."""
    with open_audio(flac_promising(make_audio(format="FLAC", n_samples=16000), promised)) as file:
        assert (file.frames > UNKNOWN) == (promised == 0)
        assert count_samples(file, MOST_SAMPLES) == (16000, True, None)


def test_what_is_not_finite_is_noticed():
    """Be it the last sample."""
    samples = make_samples(n_samples=300_000)
    samples[-1] = np.nan
    with open_audio(make_audio(samples, subtype="FLOAT")) as file:
        assert count_samples(file, MOST_SAMPLES) == (300_000, False, None)


def test_no_more_are_counted_than_asked_for():
    """What follows is not decoded."""
    with open_audio(make_audio(n_samples=16000)) as file:
        assert count_samples(file, 1234).samples == 1234


def test_an_error_is_returned_with_what_was_counted_before():
    """A FLAC that is cut within a frame."""
    data = make_audio(format="FLAC", n_samples=400_000)
    with open_audio(data[: len(data) // 2]) as file:
        counted = count_samples(file, MOST_SAMPLES)
    assert counted.samples < 400_000
    assert counted.error is not None


def test_what_follows_the_promised_samples_is_no_error():
    """Two FLAC files one after the other are read as the first."""
    data = make_audio(format="FLAC", n_samples=16000)
    with open_audio(data + data) as file:
        assert count_samples(file, MOST_SAMPLES) == (16000, True, None)

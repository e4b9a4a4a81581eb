"""One clip's sound: decoded only if it is the one, measured right, and small."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import write_tone

from us8k_batch.catalog.source import open_source
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError
from us8k_batch.features.audio import Header
from us8k_batch.gallery.sound import Heard, encode_flac, excerpt, hear, loudest

CONFIG = FeatureConfig(max_seconds=5.0)


def heard(samples: np.ndarray, *, subtype: str = "PCM_16", rate: int = 22050) -> Heard:
    """Make a clip that was decoded."""
    values = np.asarray(samples, dtype=np.float32)
    values = values[:, None] if values.ndim == 1 else values
    return Heard(Header("WAV", subtype, rate, values.shape[1], len(values)), values)


def test_a_file_that_is_another_one_is_not_decoded(tmp_path: Path) -> None:
    """Only bytes that the store's result was computed from are trusted; without a digest, any are."""
    write_tone(tmp_path / "a.wav", channels=2)
    source = open_source(str(tmp_path))
    with pytest.raises(ClipError, match="not the file any more that the store was made from"):
        hear(source, "a.wav", "0" * 64, CONFIG)
    clip = hear(source, "a.wav", None, CONFIG)
    assert (clip.header.channels, clip.samples.shape) == (2, (5512, 2))
    assert clip.peak == pytest.approx(0.5, abs=1e-3)


def test_no_more_is_decoded_than_the_store_allows(tmp_path: Path) -> None:
    """A clip longer than max_seconds costs no more memory than that."""
    write_tone(tmp_path / "a.wav", seconds=3.0)
    clip = hear(open_source(str(tmp_path)), "a.wav", None, FeatureConfig(max_seconds=1.0))
    assert len(clip.samples) == 22051


FULL = 1 - 2**-15


@pytest.mark.parametrize(
    ("samples", "subtype", "share"),
    [
        ([0, FULL, FULL, FULL, 0, 0], "PCM_16", 0.5),
        ([0, FULL, FULL, 0, FULL, FULL], "PCM_16", 0.0),
        ([-1, -1, -1, -1], "PCM_16", 1.0),
        ([FULL, FULL, FULL, 0], "FLOAT", 0.0),
        ([1.2, 1.1, 1.3, 0], "VORBIS", 0.75),
        ([[FULL, 0], [FULL, 0], [0, FULL], [0, FULL]], "PCM_16", 0.0),
        ([[FULL, 0], [FULL, 0], [FULL, 0], [0, 0]], "PCM_16", 3 / 8),
        (np.empty((0, 1)), "PCM_16", 0.0),
    ],
)
def test_clipping_is_three_samples_in_a_row_at_full_scale(samples: list[float], subtype: str, share: float) -> None:
    """In one channel, of either sign, by the coding's own full scale."""
    assert heard(np.array(samples, np.float32), subtype=subtype).clipped == share


def test_the_loudest_part_is_kept() -> None:
    """A click in silence is in the excerpt, however short that is."""
    samples = np.zeros(1000, np.float32)
    samples[700] = 1
    part = loudest(samples, 100, 2)
    assert (len(part), part.max()) == (200, 1)
    assert len(loudest(samples, 100, 20)) == 1000


@pytest.mark.parametrize(
    ("n", "rate", "channels"), [(1, 8000, 1), (50, 96000, 2), (200_000, 44100, 2), (9000, 8000, 6)]
)
def test_an_excerpt_of_anything_is_a_small_sound_that_can_be_played(n: int, rate: int, channels: int) -> None:
    """From one sample to many, any rate and number of channels."""
    rng = np.random.default_rng(0)
    sound = excerpt(heard(rng.normal(0, 0.3, (n, channels)), rate=rate), 2.0)
    samples, played = soundfile.read(io.BytesIO(sound.data))
    assert (sound.mime, played, samples.ndim) == ("audio/mpeg", 22050, 1)
    assert len(samples) / played <= 2.2
    assert len(sound.data) < 20_000


def test_flac_loses_nothing_but_bits() -> None:
    """What comes back differs by half a step of 16 bits; what is too loud is cut."""
    samples = np.array([[0.5, -0.25], [2.0, -2.0]], np.float32)
    back, rate = soundfile.read(io.BytesIO(encode_flac(samples, 44100).data))
    assert rate == 44100
    assert np.abs(back - np.clip(samples, -1, 1)).max() <= 2**-15

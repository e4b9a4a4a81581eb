"""Mono samples out of the values in a file: libsndfile's conversion and librosa's downmix, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from audio_files import make_audio
from hypothesis import given, settings
from hypothesis import strategies as st

from us8k_batch.config import FeatureConfig
from us8k_batch.features import audio
from us8k_batch.features.fast.arguments import FLOAT32, INT16, INT24, Source, source_of
from us8k_batch.features.fast.buffers import aligned
from us8k_batch.features.fast.library import load_library
from us8k_batch.features.fast.wav import read_wav

ENCODINGS = {"PCM_16": INT16, "PCM_24": INT24, "FLOAT": FLOAT32}


@settings(max_examples=100, derandomize=True)
@given(
    subtype=st.sampled_from(list(ENCODINGS)),
    channels=st.sampled_from([1, 2]),
    n_samples=st.integers(1, 200),
    first=st.integers(-250, 250),
    size=st.integers(0, 300),
)
def test_any_part_of_a_clip(subtype: str, channels: int, n_samples: int, first: int, size: int) -> None:
    """Every part has the bits of the downmix of what libsndfile decodes, and zeros where the clip does not reach."""
    rng = np.random.default_rng(n_samples)
    values = rng.choice([-1, 1, 0, 2**-15, -(2**-23), 0.3, 0.999], (n_samples, channels))
    data = make_audio(values * rng.uniform(0.5, 1, values.shape), subtype=subtype)
    whole = audio.downmix(audio.read_source(data, FeatureConfig(), None)[1])
    wav = read_wav(data)
    assert wav is not None
    mono = aligned(size)
    mono.fill(np.nan)
    source = Source(wav.values, ENCODINGS[subtype], channels, n_samples, n_samples)
    assert load_library().read_mono(source, first, mono)
    expected = [whole[i] if 0 <= i < n_samples else 0 for i in range(first, first + size)]
    assert np.array_equal(mono, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("value", "usual"),
    [(np.nan, False), (np.inf, False), (-np.inf, False), (3e38, False), (-1e10, False), (4e9, True), (-4e9, True)],
)
def test_what_is_not_usual(value: float, usual: bool, channels: int) -> None:
    """A sample that is not finite, or so large that its power might not be, is noticed in any place."""
    for place in (0, 1, 17, 63):
        values = np.zeros((64, channels), dtype=np.float32)
        values[place] = value
        assert load_library().read_mono(source_of(values), 0, aligned(64)) == usual
        assert load_library().read_mono(source_of(values), place + 1, aligned(64))

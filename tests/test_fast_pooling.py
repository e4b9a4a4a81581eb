"""Means and deviations of the kernel: numpy's, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from audio_files import make_audio
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.config import FeatureConfig
from us8k_batch.features import engine, pooling
from us8k_batch.features.fast.library import Library, load_library
from us8k_batch.features.fast.words import pack


@given(
    n_frames=st.one_of(st.integers(1, 600), st.integers(8000, 20_000)),
    seed=st.integers(0, 1000),
    offset=st.sampled_from([0.0, -500.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 300.0]),
)
def test_moments_are_numpys(n_frames: int, seed: int, offset: float, scale: float) -> None:
    """For any number of frames, and far from zero, both are numpy's before they are rounded to float32."""
    mfcc = np.random.default_rng(seed).normal(offset, scale, (3, n_frames)).astype(np.float32)
    frames = mfcc.astype(np.float64)
    moments = load_library().take_moments(pack(mfcc))
    assert np.array_equal(moments, (frames.mean(axis=1), frames.std(axis=1)))


def test_a_numpy_that_adds_up_in_another_order(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine notices it, says so and leaves pooling to numpy: stores hold what numpy gives."""
    usual = Library.take_moments
    monkeypatch.setattr(Library, "take_moments", lambda self, mfcc: np.nextafter(usual(self, mfcc), np.inf))
    made = engine.make_engine(FeatureConfig(), "auto")
    assert "numpy does not add up as it was measured to" in caplog.text
    monkeypatch.setattr(Library, "take_moments", lambda *_: None)
    features = made(make_audio())
    assert np.array_equal(features.pooled, pooling.pool(features.mfcc, ("mean", "std")))

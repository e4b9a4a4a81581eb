"""Pictures of clips: there are all parts, the same every time, and any clip can be drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pages import Page

from us8k_batch.config import FeatureConfig
from us8k_batch.features.mfcc import compute_mfcc
from us8k_batch.gallery.draw import draw_comparison, draw_portrait
from us8k_batch.pages.figure import inline_svg

CONFIG = FeatureConfig(sample_rate=8000, n_fft=512, hop_length=256, n_mels=32, n_mfcc=8, max_seconds=2.0)


def portrait(samples: np.ndarray) -> str:
    """Draw a clip."""
    values = samples.astype(np.float32)
    return draw_portrait(values, compute_mfcc(values, CONFIG), CONFIG)


def test_a_portrait_shows_waveform_spectrogram_and_mfcc() -> None:
    """Two images with axes that are named, in the ink of the page, and the same bytes again."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 8000)
    drawn = portrait(samples)
    assert drawn == portrait(samples)
    page = Page(inline_svg(drawn, "a clip", "one"))
    assert len(page.all("image")) == 2
    for name in ("waveform", "mel, Hz", "MFCC", "seconds"):
        assert name in page.said
    assert all("currentColor" in one.get("fill", "currentColor") for one in page.all("text"))
    assert len(drawn) < 300_000


@pytest.mark.parametrize("samples", [np.zeros(4000), np.ones(1), np.full(300, -1.0), np.r_[np.zeros(500), 1.0]])
def test_any_clip_can_be_drawn(samples: np.ndarray) -> None:
    """Silence, one sample, less than a window, a constant, a click."""
    assert len(Page(inline_svg(portrait(samples), "a clip", "one")).all("image")) == 2


def test_the_comparison_shows_the_file_in_its_own_range() -> None:
    """Each channel in the file's numbers, then the mean in [-1, 1]."""
    own = np.array([np.linspace(-20000, 20000, 500), np.linspace(20000, -20000, 500)]).T
    page = Page(inline_svg(draw_comparison(own, 44100, np.zeros(250, np.float32), 22050), "before", "one"))
    for name in ("channel 1", "channel 2", "mono"):
        assert name in page.said
    assert re.search(r"\b20000\b", page.said)

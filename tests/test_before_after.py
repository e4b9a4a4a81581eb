"""The tutorial's comparison, in numbers."""

from __future__ import annotations

import numpy as np
import pytest

from us8k_batch.features.audio import Header
from us8k_batch.gallery.before_after import LONGEST, compare
from us8k_batch.gallery.sound import Heard


@pytest.mark.parametrize(
    ("subtype", "kind", "scale"), [("PCM_16", "int16", 2**15), ("PCM_24", "int24", 2**23), ("FLOAT", "float", 1)]
)
def test_each_side_has_its_own_rate_range_and_channels(subtype: str, kind: str, scale: int) -> None:
    """The file's whole numbers come back exactly; after it there is one channel at 22.05 kHz in [-1, 1]."""
    samples = np.zeros((4410, 2), np.float32)
    samples[100], samples[200] = [0.5, 0.25], [-0.5, -0.75]
    made = compare(7, Heard(Header("WAV", subtype, 44100, 2, 4410), samples))
    own, ours = made.own, made.ours
    assert (made.place, own.rate, own.channels, own.values, own.kind) == (7, 44100, 2, 8820, kind)
    assert (own.low, own.high) == (-0.75 * scale, 0.5 * scale)
    assert (ours.rate, ours.channels, ours.values, ours.kind) == (22050, 1, 2205, "float32")
    assert -1 <= ours.low < 0 < ours.high <= 1
    assert own.sound.mime == ours.sound.mime == "audio/flac"


def test_a_long_clip_is_compared_in_part() -> None:
    """Two sounds without loss stay small."""
    samples = np.zeros((30 * 8000, 2), np.float32)
    made = compare(0, Heard(Header("WAV", "PCM_16", 8000, 2, len(samples)), samples))
    assert made.own.values == 2 * LONGEST * 8000

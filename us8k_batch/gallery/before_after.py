"""The tutorial's comparison: a clip as its file holds it, beside what features are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us8k_batch.gallery.draw import draw_comparison
from us8k_batch.gallery.sound import RATE, Heard, Sound, at_rate, encode_flac

BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
LONGEST = 10.0
"""Seconds that are compared at most, so that two sounds without loss stay small."""


@dataclass(frozen=True, slots=True)
class Side:
    """A sound, in numbers."""

    rate: int
    """In Hz."""
    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    channels: int
    values: int
    """Numbers that it is made of."""
    kind: str
    """What these are, such as ``int16``."""
    sound: Sound


@dataclass(frozen=True, slots=True)
class Comparison:
    """A clip before and after."""

    place: int
    """The clip's, in the store's table."""
    own: Side
    """As its file holds it."""
    ours: Side
    """At 22.05 kHz, mono, in [-1, 1]."""
    drawing: str
    """SVG of both."""


def compare(place: int, heard: Heard) -> Comparison:
    """Compare a clip with its mono mean at 22.05 kHz."""
    rate = heard.header.sample_rate
    samples = heard.samples[: round(LONGEST * rate)]
    bits = BITS.get(heard.header.subtype)
    # libsndfile divides whole numbers by their full scale, a power of two, so that this gives them back exactly.
    own: NDArray[np.float64] = samples.astype(np.float64) * (2.0 ** (bits - 1) if bits else 1.0)
    mono = at_rate(np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32)), rate)
    channels = samples.shape[1]
    return Comparison(
        place,
        Side(
            rate,
            float(own.min()),
            float(own.max()),
            channels,
            own.size,
            f"int{bits}" if bits else "float",
            encode_flac(samples[:, :2], rate),
        ),
        Side(RATE, float(mono.min()), float(mono.max()), 1, mono.size, "float32", encode_flac(mono, RATE)),
        draw_comparison(own, rate, mono, RATE),
    )

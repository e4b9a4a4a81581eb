"""The sounds of the synthetic dataset: they differ by class, and most of all by recording."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from us8k_batch.catalog.sounds import GENERATORS, Canvas, bursts, noise, render, tone

ONSETS = np.array([0])


def bands(signal: np.ndarray, rate: int) -> np.ndarray:
    """Return the level in each third of an octave, in dB."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    frequencies = np.fft.rfftfreq(len(signal), 1 / rate)
    edges = 50 * 2 ** (np.arange(25) / 3)
    sums = [power[(frequencies >= low) & (frequencies < high)].mean() for low, high in pairwise(edges)]
    return 10 * np.log10(np.array(sums) + 1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(1, 5000), st.sampled_from([8000, 22050, 96000]), st.integers(0, 2**32))
def test_every_sound_is_finite_and_in_range(class_id, samples, rate, seed):
    """Of any length, from one sample on, and at any rate."""
    signal = render(np.random.default_rng(seed), class_id, Canvas(samples, rate, ONSETS), snr=10)
    assert signal.dtype == np.float32
    assert signal.shape == (samples,)
    assert np.isfinite(signal).all()
    assert np.abs(signal).max() <= 0.9


@pytest.mark.parametrize("class_id", range(10))
def test_the_same_chance_gives_the_same_sound(class_id):
    """Bit for bit."""
    one, other = (render(np.random.default_rng(1), class_id, Canvas(8000, 8000, ONSETS), 10) for _ in "ab")
    assert one.tobytes() == other.tobytes()


def test_a_tone_has_the_frequency_and_harmonics_asked_for():
    """And none above half of the rate, where it would come back as another tone."""
    canvas = Canvas(22050, 22050, ONSETS)
    spectrum = np.abs(np.fft.rfft(tone(4000.0, canvas, np.array([1.0, 0.5, 0.25])))) / (canvas.samples / 2)
    assert spectrum[4000] == pytest.approx(1, abs=0.01)
    assert spectrum[8000] == pytest.approx(0.5, abs=0.01)
    spectrum[[4000, 8000]] = 0
    assert spectrum.max() < 0.01


def test_noise_is_loudest_at_its_centre():
    """Within its width, and of unit level."""
    canvas = Canvas(44100, 22050, ONSETS)
    signal = noise(np.random.default_rng(0), canvas, 1000, 1)
    assert np.sqrt(np.mean(signal**2)) == pytest.approx(1, abs=0.01)
    power = np.abs(np.fft.rfft(signal)) ** 2
    assert power[1800:2200].mean() > 100 * power[400:500].mean()
    assert power[1800:2200].mean() > 100 * power[8000:9000].mean()


def test_a_burst_rises_and_falls():
    """From nothing before its start to a third after its decay."""
    envelope = bursts(Canvas(10_000, 10_000, ONSETS), np.array([0.5]), 0.01, 0.1)
    assert envelope[4999] == 0
    assert envelope[5100:5110].max() > 0.85
    assert envelope[6000] == pytest.approx(np.exp(-1), abs=0.01)


def test_clips_of_one_recording_resemble_one_another_most():
    """The two halves of a recording are closer than other recordings of its class: so a random split leaks."""
    rate, count = 32000, 6
    canvas = Canvas(4 * rate, rate, np.array([0, 2 * rate]))
    nearest_is_own = []
    for class_id in range(len(GENERATORS)):
        halves = [
            [
                bands(half, rate)
                for half in np.split(render(np.random.default_rng([class_id, i]), class_id, canvas, 10), 2)
            ]
            for i in range(count)
        ]
        first, second = (np.array([pair[k] for pair in halves]) for k in (0, 1))
        distance = np.linalg.norm(first[:, None] - second[None], axis=-1)
        nearest_is_own.extend(distance.argmin(axis=1) == np.arange(count))
    assert np.mean(nearest_is_own) > 0.8

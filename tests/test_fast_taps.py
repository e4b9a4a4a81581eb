"""The resamplers' filters: resampy's as it interpolates them, soxr's as it answers impulses."""

from __future__ import annotations

import numpy as np
import pytest
import resampy
import soxr

from us8k_batch.features.fast.taps import kaiser_taps, load_window, soxr_halving_taps


@pytest.mark.parametrize("res_type", ["kaiser_fast", "kaiser_best"])
def test_the_window_is_resampys(res_type: str) -> None:
    """What is read from resampy's files is what resampy itself loads."""
    values, steps, _ = resampy.filters.get_filter(res_type)
    window = load_window(res_type)
    assert np.array_equal(window.values, values)
    assert window.steps == steps


@pytest.mark.parametrize("res_type", ["kaiser_fast", "kaiser_best"])
def test_resampys_taps(res_type: str) -> None:
    """The taps are resampy's answer to an impulse at an even and at an odd sample."""
    taps = kaiser_taps(load_window(res_type), 0.5)
    centre = len(taps) // 2
    for place in (600, 601):
        impulse = np.zeros(1200)
        impulse[place] = 1
        answer = resampy.resample(impulse, 2, 1, filter=res_type)
        offsets = place - 2 * np.arange(len(answer))
        expected = [taps[centre + offset] if abs(offset) <= centre else 0 for offset in offsets]
        assert np.abs(answer - expected).max() < 1e-12


def test_soxrs_taps() -> None:
    """The taps are symmetric, pass a constant unchanged, stop the upper half, and give soxr's samples."""
    taps = soxr_halving_taps("soxr_hq")
    assert len(taps) % 2 and np.array_equal(taps, taps[::-1])
    assert abs(taps.sum() - 1) < 1e-6
    response = np.abs(np.fft.rfft(taps, 8192))
    assert response[int(0.55 * 8192 / 2) :].max() < 1e-5
    noise = np.random.default_rng(0).uniform(-1, 1, 4000).astype(np.float32)
    ours = np.convolve(noise.astype(np.float64), taps, mode="same")[::2]
    assert np.abs(ours - soxr.resample(noise, 2, 1, quality="HQ")).max() < 1e-6


def test_no_resampy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where resampy is missing, the message names it and the parameter."""
    monkeypatch.setattr("us8k_batch.features.fast.taps.find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"kaiser_fast.*needs resampy"):
        load_window("kaiser_fast")

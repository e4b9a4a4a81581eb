"""Ways to the configured rate: halving and phases in pieces are the resamplers' samples, edges included."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from audio_files import make_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from us8k_batch.config import RES_TYPES, FeatureConfig
from us8k_batch.features import audio
from us8k_batch.features.fast import halve, phases
from us8k_batch.features.fast.arguments import COPY, HALVE, PHASES, source_of
from us8k_batch.features.fast.taps import load_window
from us8k_batch.features.fast.ways import choose_route, count_results, halve_with, resample
from us8k_batch.features.mel import mel_filters

CLOSE = 2e-6


def ours(samples: NDArray[np.float32], rate: int, config: FeatureConfig) -> NDArray[np.float32]:
    """Resample as the kernel does."""
    n_results, n_samples = count_results(len(samples), rate, config)
    made = resample(choose_route(rate, config), source_of(samples[:, np.newaxis])._replace(n_results=n_results))
    return np.pad(made, (0, n_samples - n_results))


@settings(max_examples=40, derandomize=True)
@given(
    res_type=st.sampled_from(["soxr_hq", "kaiser_fast", "kaiser_best"]),
    n_samples=st.integers(2, 50) | st.integers(2, 60_000),
    new_rate=st.sampled_from([8000, 16000, 22050]),
)
def test_halving(res_type: str, n_samples: int, new_rate: int) -> None:
    """Half the rate is made by our own kernel, and is soxr's or resampy's result for any length."""
    config = FeatureConfig(res_type=res_type, sample_rate=new_rate)
    samples = make_samples(n_samples=n_samples, sample_rate=2 * new_rate, seed=n_samples)[:, 0]
    route = choose_route(2 * new_rate, config)
    assert (route.way.way, route.by_library) == (HALVE, False)
    theirs = audio.resample(samples, 2 * new_rate, config)
    made = ours(samples, 2 * new_rate, config)
    assert made.shape == theirs.shape
    assert np.abs(made - theirs).max() <= CLOSE


@settings(max_examples=60, derandomize=True)
@given(
    res_type=st.sampled_from(["kaiser_fast", "kaiser_best"]),
    n_samples=st.integers(50, 300) | st.integers(50, 40_000),
    rates=st.sampled_from(
        [(48000, 22050), (44100, 16000), (32000, 22050), (8000, 22050), (11025, 22050), (22050, 44100),
         (96000, 22050), (44100, 8000), (12345, 22050), (192_000, 1000), (1000, 48000), (44100, 14700)]
    ),
)  # fmt: skip
def test_phases(res_type: str, n_samples: int, rates: tuple[int, int]) -> None:
    """Any other ratio of small numbers is made by our own kernel, and is resampy's result for any length."""
    rate, new_rate = rates
    n_samples = max(n_samples, -(-rate // new_rate))
    config = FeatureConfig(res_type=res_type, sample_rate=new_rate)
    samples = make_samples(n_samples=n_samples, sample_rate=rate, seed=n_samples)[:, 0]
    route = choose_route(rate, config)
    assert (route.way.way, route.by_library) == (PHASES, False)
    theirs = audio.resample(samples, rate, config)
    made = ours(samples, rate, config)
    assert made.shape == theirs.shape
    assert np.abs(made - theirs).max() <= CLOSE


def test_results_that_rounding_puts_before_their_sample() -> None:
    """Where resampy's float64 position lies just before the sample that a result is at, ours is the same."""
    config = FeatureConfig(res_type="kaiser_fast")
    at_samples = 49 * np.arange(500)  # every 49th result lies at every 20th sample
    assert np.any((at_samples * (1 / (22050 / 9000))).astype(np.int64) < 20 * np.arange(500))
    samples = make_samples(n_samples=10_000, sample_rate=9000)[:, 0]
    assert np.abs(ours(samples, 9000, config) - audio.resample(samples, 9000, config)).max() <= CLOSE


@pytest.mark.parametrize("res_type", RES_TYPES)
def test_the_same_rate_is_copied(res_type: str) -> None:
    """Samples at the configured rate are not touched."""
    config = FeatureConfig(res_type=res_type)
    samples = make_samples(n_samples=20_001)[:, 0]
    assert choose_route(22050, config).way.way == COPY
    assert np.array_equal(ours(samples, 22050, config), samples)


@pytest.mark.parametrize(
    ("res_type", "rate"), [("soxr_hq", 48000), ("soxr_vhq", 44100), ("soxr_qq", 44100), ("kaiser_best", 44101)]
)
def test_what_the_libraries_do_themselves(res_type: str, rate: int) -> None:
    """Ratios of soxr's that edges spoil, its other qualities, and filters without end are left to the libraries."""
    assert choose_route(rate, FeatureConfig(res_type=res_type)).by_library


def test_another_soxr(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """If soxr is not the filter that was measured, it resamples by itself, and the log says so."""
    monkeypatch.setattr(
        "us8k_batch.features.fast.ways.soxr_halving_taps", lambda _: 1.0001 * np.hanning(383) / np.hanning(383).sum()
    )
    with caplog.at_level(logging.WARNING):
        assert choose_route(44100, FeatureConfig()).by_library
    assert "resamples by itself" in caplog.text


@pytest.mark.parametrize("n_taps", [1, 3, 95, 383, 501])
def test_any_symmetric_filter_halves(n_taps: int) -> None:
    """Halving is convolution with the filter, at every second sample, zeros beyond the edges."""
    rng = np.random.default_rng(n_taps)
    taps = rng.uniform(-1, 1, n_taps) / n_taps
    taps += taps[::-1]
    samples = rng.uniform(-1, 1, 40_001).astype(np.float32)
    padded = np.pad(samples.astype(np.float64), n_taps // 2)
    expected = np.convolve(padded, taps, mode="valid")[::2]
    source = source_of(samples[:, np.newaxis])._replace(n_results=len(expected))
    assert np.abs(resample(halve_with(taps, FeatureConfig()), source) - expected).max() <= CLOSE


def test_a_filter_too_long_for_a_block() -> None:
    """A filter of which half a block would be waste is refused."""
    with pytest.raises(ValueError, match="1025 taps are too many"):
        halve.make_tables(np.ones(1025))


def test_how_many_weights() -> None:
    """The estimate that decides about the way is within a tenth of the truth."""
    window = load_window("kaiser_fast")
    for rate, new_rate in ((48000, 22050), (44100, 16000), (8000, 22050)):
        tables = phases.make_tables(window, rate, new_rate)
        assert 0.9 < np.count_nonzero(tables.weights) / phases.n_weights(window, rate, new_rate) < 1.1


def test_what_counts_as_loudness() -> None:
    """Power between the peaks of the first and the last band counts as it is, by its bands; left out, three times.

    Behind a filter it counts once for the transform, and with what the filter took away for the filter's rounding.
    """
    config = FeatureConfig(fmin=300.0, fmax=8000.0, res_type="kaiser_fast")
    power = np.zeros(1025)
    filters = mel_filters(config).astype(np.float64)
    for hertz, behind_filter in ((60, 4.0), (1000, 4.0), (7000, 4.0), (9900, 1 + 3 * 10**1.24)):
        power[:] = 0
        power[round(hertz * 2048 / 22050)] = 2.0
        for rate, expected in ((22050, 1.0), (44100, behind_filter), (48000, behind_filter)):
            way = choose_route(rate, config).way
            energies = filters @ power
            left_out = np.where(filters.any(axis=0), 0, power)
            loudness = way.band_gains @ energies + way.gains @ left_out
            assert loudness == pytest.approx(2 * expected * (3 if left_out.any() else 1), rel=0.1)

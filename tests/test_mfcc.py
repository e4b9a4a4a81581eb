"""MFCC: librosa's numbers for any configuration, and the laws of the frame count."""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
from audio_files import make_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from librosa_reference import assert_agrees, mfcc
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.features.clip_errors import EmptyClipError, NotFiniteError
from us8k_batch.features.mel import cosine_transform, empty_bands, hann_window, mel_filters
from us8k_batch.features.mfcc import MfccKernel, compute_mfcc

SIGNALS = ("noise", "tone", "silence", "click", "fading", "loud")


def make_signal(kind: str, n_samples: int, seed: int) -> NDArray[np.float32]:
    """Make one of the signals that a spectrum can go wrong on."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples)
    signal = {
        "noise": rng.standard_normal(n_samples),
        "tone": np.sin(time * rng.uniform(0, np.pi)),
        "silence": np.zeros(n_samples),
        "click": time == n_samples // 2,
        "fading": rng.standard_normal(n_samples) * np.exp(-time / 300),
        "loud": 1e6 * rng.standard_normal(n_samples),
    }[kind]
    return signal.astype(np.float32)


@st.composite
def configs(draw: st.DrawFn) -> FeatureConfig:
    """Any valid configuration, odd windows and hops longer than them included."""
    rate = draw(st.sampled_from([8000, 16000, 22050, 44100]))
    n_mels = draw(st.integers(1, 160))
    fmin = draw(st.floats(0, 0.9 * rate / 2))
    return FeatureConfig(
        sample_rate=rate,
        n_fft=draw(st.integers(16, 3000)),
        hop_length=draw(st.integers(20, 4000)),
        n_mels=n_mels,
        n_mfcc=draw(st.integers(1, n_mels)),
        fmin=fmin,
        fmax=draw(st.none() | st.floats(fmin + 10, rate / 2)),
        top_db=draw(st.sampled_from([80.0, 80.0, 10.0, 120.0, 400.0])),
    )


@settings(max_examples=150)
@given(configs(), st.sampled_from(SIGNALS), st.integers(1, 12000), st.integers(0, 99))
def test_any_configuration_gives_librosas_numbers(
    config: FeatureConfig, kind: str, n_samples: int, seed: int
) -> None:
    """For any valid configuration, signal and length the frames are librosa's, in number and value."""
    samples = make_signal(kind, n_samples, seed)
    ours = compute_mfcc(samples, config)
    assert ours.shape == (config.n_mfcc, config.frames_of(n_samples))
    assert ours.flags.c_contiguous
    assert_agrees(ours, mfcc(samples, config))


@settings(max_examples=60)
@given(configs())
def test_the_constant_matrices(config: FeatureConfig) -> None:
    """Window and mel filters are librosa's; the cosine transform is orthonormal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty bands
        theirs = librosa.filters.mel(
            sr=config.sample_rate,
            n_fft=config.n_fft,
            n_mels=config.n_mels,
            fmin=config.fmin,
            fmax=config.fmax,
        )
    assert np.allclose(mel_filters(config), theirs, rtol=1e-6, atol=1e-9)
    window = librosa.filters.get_window("hann", config.n_fft, fftbins=True)
    assert np.allclose(hann_window(config.n_fft), window, rtol=0, atol=1e-12)
    transform = cosine_transform(config.n_mfcc, config.n_mels)
    assert np.allclose(transform @ transform.T, np.eye(config.n_mfcc))


@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(),
        FeatureConfig(sample_rate=8000),
        FeatureConfig(n_mels=256, n_fft=1024),
        FeatureConfig(sample_rate=44100, n_fft=512, hop_length=256),
        FeatureConfig(n_fft=512, n_mels=3, n_mfcc=3, fmin=290.0, fmax=300.0),
    ],
)
def test_empty_bands_are_told_where_librosa_warns(config: FeatureConfig) -> None:
    """Bands in which no frequency lies are counted exactly where librosa warns of them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theirs = librosa.filters.mel(
            sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.fmin, fmax=config.fmax
        )
    told = empty_bands(config)
    assert bool(told) == any("Empty filters" in str(warning.message) for warning in caught)
    if told:
        assert told.startswith(f"{np.count_nonzero(~theirs.any(axis=1))} of {config.n_mels} mel bands are empty")


def test_four_seconds_are_173_frames() -> None:
    """The tutorial's clip of 4 s has the tutorial's shape."""
    assert compute_mfcc(np.zeros(88200, dtype=np.float32), FeatureConfig()).shape == (40, 173)


@pytest.mark.parametrize("top_db", [80.0, 400.0])
@pytest.mark.parametrize("frequency", [440, 1000, 10_900, 11_000, 12_000, 20_000])
def test_where_there_is_no_signal_there_is_no_rounding_either(frequency: float, top_db: float) -> None:
    """Beside a full-scale tone, and of one that the resampler removed, only librosa's own residue is left."""
    config = FeatureConfig(top_db=top_db)
    tone = np.sin(2 * np.pi * frequency * np.arange(2 * 44100) / 44100)
    as_16_bit = (np.round(20_000 * tone) / 32_768).astype(np.float32)
    samples = librosa.resample(as_16_bit, orig_sr=44100, target_sr=22050)
    assert_agrees(compute_mfcc(samples, config), mfcc(samples, config))


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=6))
@settings(max_examples=30)
def test_a_clip_does_not_depend_on_those_before_it(lengths: list[int]) -> None:
    """One kernel gives every clip the same bits as a kernel of its own."""
    config = FeatureConfig(n_fft=1024, hop_length=256)
    kernel = MfccKernel(config)
    for seed, n_samples in enumerate(lengths):
        samples = make_samples(n_samples=n_samples, seed=seed)[:, 0]
        assert np.array_equal(kernel(samples), compute_mfcc(samples, config))


def test_the_floor_is_relative_to_the_whole_clip() -> None:
    """A loud moment at the end raises the floor of the quiet first frame; with a larger top_db it does not."""
    samples = 1e-5 * make_samples(n_samples=40_000)[:, 0]
    samples[-100:] = 0.9
    near, far = (compute_mfcc(samples, FeatureConfig(top_db=top_db)) for top_db in (80.0, 300.0))
    alone = compute_mfcc(samples[:20_000], FeatureConfig())
    assert np.abs(near[:, 0] - alone[:, 0]).max() > 1
    assert np.abs(far[:, 0] - alone[:, 0]).max() < 1e-3


def test_nothing_to_compute_from() -> None:
    """No sample at all is an empty clip, not librosa's finite frame."""
    with pytest.raises(EmptyClipError, match="at least one"):
        compute_mfcc(np.empty(0, dtype=np.float32), FeatureConfig())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(bad: float) -> None:
    """A NaN or infinity is refused, even where no window looks."""
    samples = np.zeros(5000, dtype=np.float32)
    samples[100] = bad
    with pytest.raises(NotFiniteError, match="NaN or infinite"):
        compute_mfcc(samples, FeatureConfig(n_fft=64, hop_length=2000))


def test_samples_too_large_for_their_power() -> None:
    """Finite samples whose power is not are refused, where librosa gives NaN."""
    samples = np.full(5000, 1e25, dtype=np.float32)
    with pytest.raises(NotFiniteError, match="too large"):
        compute_mfcc(samples, FeatureConfig())
    assert not np.isfinite(mfcc(samples, FeatureConfig())).all()

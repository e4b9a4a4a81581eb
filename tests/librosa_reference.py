"""What librosa itself computes: the measure of every engine."""

from __future__ import annotations

import warnings
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig

TOLERANCE = 2e-3
"""Largest difference of an MFCC that counts as agreement."""


def load(path: Path, config: FeatureConfig, duration: float | None = None) -> NDArray[np.float32]:
    """Load with ``librosa.load``, as a user would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return librosa.load(path, sr=config.sample_rate, res_type=config.res_type, duration=duration)[0]


def mfcc(samples: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Compute with ``librosa.feature.mfcc``, whose `top_db` can only be chosen one step earlier."""
    options = {
        "sr": config.sample_rate,
        "n_fft": config.n_fft,
        "hop_length": config.hop_length,
        "n_mels": config.n_mels,
        "fmin": config.fmin,
        "fmax": config.fmax,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if config.top_db == 80:
            return librosa.feature.mfcc(y=samples, n_mfcc=config.n_mfcc, **options)
        power = librosa.feature.melspectrogram(y=samples, **options)
        return librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=config.top_db), n_mfcc=config.n_mfcc)


def assert_agrees(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """Assert the same shape, and values within the tolerance."""
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= TOLERANCE

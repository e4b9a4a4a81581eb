"""The constant matrices of an MFCC: window, mel filter bank, cosine transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from us8k_batch.config import FeatureConfig

# Slaney's scale: 3 mel per 200 Hz up to 1 kHz (15 mel), then 27 mel per factor of 6.4.
_HZ_PER_MEL = 200 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def hann_window(n_fft: int) -> NDArray[np.float64]:
    """Return the periodic Hann window, shape (n_fft,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def mel_filters(config: FeatureConfig) -> NDArray[np.float32]:
    """Build the mel filter bank, as ``librosa.filters.mel`` does.

    Built here because importing ``librosa.filters`` takes seconds in every fresh process.

    Returns
    -------
    float32 array, shape (n_mels, 1 + n_fft // 2)
        Triangles with equal spacing on Slaney's mel scale and area 1 in Hz.

    References
    ----------
    Slaney 1998, Auditory Toolbox, Interval Research Technical Report 1998-010.
    """
    corners = mel_corners(config)
    bins = np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate)
    widths = np.diff(corners)
    rising = (bins - corners[:-2, np.newaxis]) / widths[:-1, np.newaxis]
    falling = (corners[2:, np.newaxis] - bins) / widths[1:, np.newaxis]
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    triangles *= (2 / (corners[2:] - corners[:-2]))[:, np.newaxis]
    return triangles


def empty_bands(config: FeatureConfig) -> str:
    """Say how many bands are so narrow that no frequency lies in them, as librosa warns; nothing if there is none."""
    empty = ~mel_filters(config).any(axis=1)
    if not (empty & (mel_corners(config)[:-2] > 0)).any():  # librosa does not mind those that begin at 0 Hz
        return ""
    return (
        f"{np.count_nonzero(empty)} of {config.n_mels} mel bands are empty: no frequency of a transform of n_fft = "
        f"{config.n_fft} points lies in them, and they count as silence; use fewer n_mels, or a larger n_fft"
    )


def mel_corners(config: FeatureConfig) -> NDArray[np.float64]:
    """Return where the triangles begin, peak and end, in Hz: three neighbours each; shape (n_mels + 2,)."""
    fmax = config.sample_rate / 2 if config.fmax is None else config.fmax
    return _hz_of(np.linspace(_mel_of(config.fmin), _mel_of(fmax), config.n_mels + 2))


def cosine_transform(n_mfcc: int, n_mels: int) -> NDArray[np.float64]:
    """Return the first rows of the orthonormal DCT-II, shape (n_mfcc, n_mels)."""
    rows = np.arange(n_mfcc)[:, np.newaxis]
    matrix = np.cos(np.pi * rows * (2 * np.arange(n_mels) + 1) / (2 * n_mels)) * np.sqrt(2 / n_mels)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


def _mel_of(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _HZ_PER_MEL
    return float(_KNEE_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def _hz_of(mel: ArrayLike) -> NDArray[np.float64]:
    mels = np.asarray(mel, dtype=np.float64)
    linear = mels * _HZ_PER_MEL
    return np.where(mels < _KNEE_MEL, linear, _KNEE_HZ * np.exp(_LOG_STEP * (mels - _KNEE_MEL)))

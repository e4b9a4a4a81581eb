"""Compute the MFCC frames of one clip, as ``librosa.feature.mfcc`` does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.features.clip_errors import EmptyClipError, NotFiniteError
from us8k_batch.features.mel import cosine_transform, hann_window, mel_filters

_BLOCK_SAMPLES = 1 << 16
"""Samples that are transformed together: as float64 they fit a core's second-level cache."""
_FLOOR = np.float32(1e-10)
"""Power below which everything counts as silence, librosa's ``amin``."""


def compute_mfcc(samples: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Compute the MFCC frames of one clip, as ``librosa.feature.mfcc`` does.

    Parameters
    ----------
    samples : float32 array, shape (n_samples,)
        Mono waveform in [-1, 1] at ``config.sample_rate``.
    config : FeatureConfig

    Returns
    -------
    mfcc : float32 array, shape (n_mfcc, n_frames)
        ``n_frames = config.frames_of(n_samples)``. Dimensionless (DCT of dB).

    Raises
    ------
    EmptyClipError
        If there is no sample.
    NotFiniteError
        If a sample is not finite, or so large that its power is not.

    References
    ----------
    Davis & Mermelstein 1980, IEEE TASSP 28(4).
    """
    return MfccKernel(config)(samples)


class MfccKernel:
    """`compute_mfcc` with window, filters and buffers made once; for one thread at a time.

    Frames are windowed and transformed in float64, as librosa does. float32 would take a quarter less time and
    agree as well down to 100 dB below the loudest band; with a larger `top_db` its rounding, at about -140 dB,
    would show where there is no signal, by up to 0.07. So pure tones agree too, near half the rate as well.
    """

    def __init__(self, config: FeatureConfig) -> None:
        self._config = config
        self._window = hann_window(config.n_fft)
        self._filters = np.ascontiguousarray(mel_filters(config).T)
        self._transform = cosine_transform(config.n_mfcc, config.n_mels)
        frames = max(1, _BLOCK_SAMPLES // config.n_fft)
        n_bins = 1 + config.n_fft // 2
        self._windowed = np.empty((frames, config.n_fft))
        self._spectrum = np.empty((frames, n_bins), dtype=np.complex128)
        self._power = np.empty((frames, n_bins), dtype=np.float32)
        self._scratch = np.empty((frames, n_bins), dtype=np.float32)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute one clip's frames; see `compute_mfcc`."""
        if not len(samples):
            raise EmptyClipError("no sample to compute from; expected at least one")
        if not np.isfinite(samples).all():
            raise NotFiniteError("a sample is NaN or infinite; expected finite samples")
        with np.errstate(over="ignore", invalid="ignore"):
            decibels = self._mel_power(samples)
            np.maximum(decibels, _FLOOR, out=decibels)
            np.log10(decibels, out=decibels)
            decibels *= np.float32(10)
            # The floor is relative to the whole clip, so no frame is final before the last one is known.
            np.maximum(decibels, decibels.max() - np.float32(self._config.top_db), out=decibels)
            mfcc = (self._transform @ decibels.T).astype(np.float32)
        if not np.isfinite(mfcc).all():
            raise NotFiniteError("the samples are too large for float32 power; expected about -1 to 1")
        return np.ascontiguousarray(mfcc)

    def _mel_power(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mel power of every frame, shape (n_frames, n_mels)."""
        n_fft, hop = self._config.n_fft, self._config.hop_length
        padded = np.zeros(len(samples) + 2 * (n_fft // 2), dtype=np.float32)
        padded[n_fft // 2 : n_fft // 2 + len(samples)] = samples
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
        mel = np.empty((len(frames), self._config.n_mels), dtype=np.float32)
        for start in range(0, len(frames), len(self._windowed)):
            block = frames[start : start + len(self._windowed)]
            n = len(block)
            np.multiply(block, self._window, out=self._windowed[:n])
            spectrum = np.fft.rfft(self._windowed[:n], axis=1, out=self._spectrum[:n])
            power, scratch = self._power[:n], self._scratch[:n]
            np.multiply(spectrum.real, spectrum.real, out=power, casting="same_kind")
            np.multiply(spectrum.imag, spectrum.imag, out=scratch, casting="same_kind")
            np.add(power, scratch, out=power)
            np.dot(power, self._filters, out=mel[start : start + n])
        return mel

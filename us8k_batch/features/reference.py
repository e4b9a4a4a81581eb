"""The same computation by librosa itself, which ours is measured by."""

from __future__ import annotations

import warnings

import librosa
import numpy as np
from numpy.typing import NDArray

from us8k_batch.audio import counting
from us8k_batch.audio.opening import FileBytes
from us8k_batch.config import FeatureConfig
from us8k_batch.features.audio import (
    Audio,
    OnHeader,
    check_finite,
    check_length,
    check_resampy,
    header_of,
    open_clip,
    samples_wanted,
)
from us8k_batch.features.clip_errors import NotDecodableError, NotFiniteError, refusal


def decode(data: FileBytes, config: FeatureConfig, on_header: OnHeader, extension: str = "") -> Audio:
    """Load one clip in the steps of ``librosa.load``; see `us8k_batch.features.audio.decode`."""
    with open_clip(data, extension) as file:
        header = header_of(file)
        on_header(header)
        wanted = samples_wanted(header, config)
        # librosa makes room for all that it is asked for, and a header may promise anything.
        there = counting.count_samples(file, counting.MOST_SAMPLES if wanted is None else wanted)
    if there.error is not None:
        raise refusal(data, there.error)
    # librosa.load takes int(duration * rate) samples; the half keeps that from rounding one off.
    duration = (there.samples + 0.5) / header.sample_rate
    try:
        with open_clip(data, extension) as file:  # what librosa.load makes of a path, before it does the rest
            source, rate = librosa.load(file, sr=None, mono=False, duration=duration)
    except (RuntimeError, ValueError) as error:  # libsndfile's, and soundfile's about formats that cannot seek
        raise NotDecodableError(f"librosa: {getattr(error, 'error_string', error)}") from None
    n_source = source.shape[-1]
    check_length(n_source, header, config)
    check_finite(source)
    samples = librosa.to_mono(source)
    if rate != config.sample_rate:
        if config.res_type.startswith("kaiser"):
            check_resampy(n_source, rate, config)
        samples = librosa.resample(samples, orig_sr=rate, target_sr=config.sample_rate, res_type=config.res_type)
    return Audio(samples, header, n_source / rate)


def compute_mfcc(samples: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Compute with ``librosa.feature.mfcc``; see `us8k_batch.features.mfcc.compute_mfcc`."""
    check_finite(samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clips shorter than a window, empty mel bands, overflow
        power = librosa.feature.melspectrogram(
            y=samples,
            sr=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            fmin=config.fmin,
            fmax=config.fmax,
        )
        # What librosa.feature.mfcc does with samples, whose top_db cannot be chosen there.
        decibels = librosa.power_to_db(power, top_db=config.top_db)
        mfcc = librosa.feature.mfcc(S=decibels, n_mfcc=config.n_mfcc)
    if not np.isfinite(mfcc).all():
        raise NotFiniteError("the samples are too large for float32 power; expected about -1 to 1")
    return np.ascontiguousarray(mfcc, dtype=np.float32)

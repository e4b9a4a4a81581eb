"""Which configurations the fast engine computes; imports nothing heavy."""

from __future__ import annotations

from us8k_batch.config import FeatureConfig

MOST_TOP_DB = 80.0
"""The fast engine transforms in float32, whose rounding lies about 140 dB below the loudest frequency of a frame."""
MOST_FMIN, LEAST_FMAX = 300.0, 2000.0
"""In Hz. Otherwise what is left out is often so much louder than what is computed that the rounding shows; where that
happens all the same, the fast engine notices, and the plain one computes the clip."""
LEAST_FFT, MOST_FFT = 512, 16384


def why_not(config: FeatureConfig) -> str | None:
    """Tell why the fast engine does not compute a configuration; None if it does.

    Everything else is free. Every resampler is possible, but only the kaisers and, to half the rate, ``soxr_hq``
    are computed by our own kernel, the others by soxr itself.
    """
    nyquist = config.sample_rate / 2
    fmax = nyquist if config.fmax is None else config.fmax
    rules = (
        (config.n_fft & (config.n_fft - 1) == 0, f"n_fft = {config.n_fft} is not a power of two"),
        (
            LEAST_FFT <= config.n_fft <= MOST_FFT,
            f"n_fft = {config.n_fft} is not between {LEAST_FFT} and {MOST_FFT}",
        ),
        (
            config.hop_length <= config.n_fft,
            f"hop_length = {config.hop_length} leaves gaps between windows of {config.n_fft}",
        ),
        (config.top_db <= MOST_TOP_DB, f"top_db = {config.top_db:g} is above {MOST_TOP_DB:g}"),
        (config.fmin <= MOST_FMIN, f"fmin = {config.fmin:g} Hz is above {MOST_FMIN:g}"),
        (fmax >= min(LEAST_FMAX, nyquist), f"fmax = {fmax:g} Hz is below {LEAST_FMAX:g}"),
    )
    return next((reason for holds, reason in rules if not holds), None)

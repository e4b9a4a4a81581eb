"""Which configurations the fast engine computes; imports nothing heavy."""

from __future__ import annotations

from us8k_batch.config import FeatureConfig

MOST_TOP_DB = 80.0
"""The fast engine transforms in float32, whose rounding lies about 140 dB below the loudest frequency of a frame."""
MOST_FMIN = 300.0
"""Above it, what is left out may be so much louder than what is computed that the rounding shows, in Hz."""
LEAST_FFT, MOST_FFT = 512, 16384


def why_not(config: FeatureConfig) -> str | None:
    """Tell why the fast engine does not compute a configuration; None if it does.

    Everything else is free. Every resampler is possible, but only the kaisers and, to half the rate, ``soxr_hq``
    are computed by our own kernel, the others by soxr itself.
    """
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
    )
    return next((reason for holds, reason in rules if not holds), None)

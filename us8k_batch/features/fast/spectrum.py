"""Constants of MFCC frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.features.fast import fft
from us8k_batch.features.fast.fft import LANES
from us8k_batch.features.mel import cosine_transform, hann_window, mel_filters

_MOST_LEFT_OUT = 0.003
"""Seconds. With more, differences from float64 exceeded 1e-3 for some of 450 real clips in nine configurations whose
bands left most frequencies out; with ten times as much they reached 4e-3, with a thousand times 0.1."""


class Tables(NamedTuple):
    """Constants of one configuration."""

    window: NDArray[np.float32]
    """Half of the window, because a real transform made of a complex one is twice too large."""
    twiddles: NDArray[np.complex64]
    order: NDArray[np.int64]
    """See `fft.Plan`; of the complex transform, of ``n_fft // 2`` points."""
    turns: NDArray[np.complex64]
    """What joins the spectra of even and odd samples at each frequency, shape (n_fft // 2 + 1,)."""
    first_bin: NDArray[np.int64]
    """Lowest frequency in each mel band, shape (n_mels,)."""
    first_weight: NDArray[np.int64]
    """Where the weights of each mel band begin, and where the last ones end, shape (n_mels + 1,)."""
    weights: NDArray[np.float32]
    """Mel filters without their zeros, band after band, each an even number."""
    cosines: NDArray[np.float32]
    """Cosine transform in groups of eight coefficients, for pairs of opposite bands; shape (groups, pairs, 8)."""
    root: NDArray[np.float32]
    """Square root of the number of mel bands, shape (1,): what the first coefficient is of their mean."""
    top_db: np.float32
    """How far below the loudest band the floor is, in dB."""
    hop: int
    """Distance between frames, in samples."""
    below: int
    above: int
    """Frequencies below one and from the other on are left out by all bands. Neighbours of what is in a band do not
    count, because the window spreads what is there, such as an offset, into that band."""
    most_left_out: np.float32
    """Power in them, in one frame, per energy of the loudest band, with which float32 suffices."""


def make_tables(config: FeatureConfig) -> Tables:
    """Compute the constants of a configuration whose ``n_fft`` is a power of two."""
    half = config.n_fft // 2
    plan = fft.make_plan(half)
    filters = np.pad(mel_filters(config), ((0, 0), (0, 1)))
    used = [np.flatnonzero(band) for band in filters]
    first_bin = [band[0] if len(band) else 0 for band in used]
    n_bins = [2 * ((band[-1] - band[0]) // 2 + 1) if len(band) else 0 for band in used]
    groups, n_pairs = -(-config.n_mfcc // LANES), (config.n_mels + 1) // 2
    cosines = np.zeros((groups * LANES, n_pairs))
    cosines[: config.n_mfcc] = cosine_transform(config.n_mfcc, config.n_mels)[:, :n_pairs]
    if config.n_mels % 2:
        cosines[:, -1] /= 2  # the middle band, which is added to itself
    return Tables(
        window=(0.5 * hann_window(config.n_fft)).astype(np.float32),
        twiddles=plan.twiddles,
        order=plan.order,
        turns=(-1j * np.exp(-1j * np.pi * np.arange(half + 1) / half)).astype(np.complex64),
        first_bin=np.array(first_bin, dtype=np.int64),
        first_weight=np.cumsum([0, *n_bins], dtype=np.int64),
        weights=np.concatenate([w[i : i + n] for w, i, n in zip(filters, first_bin, n_bins, strict=True)]),
        cosines=np.ascontiguousarray(cosines.reshape(groups, LANES, -1).swapaxes(1, 2), dtype=np.float32),
        root=np.array([np.sqrt(config.n_mels)], dtype=np.float32),
        top_db=np.float32(config.top_db),
        hop=config.hop_length,
        below=min((band[0] - 1 for band in used if len(band)), default=half + 1),
        above=max((band[-1] + 2 for band in used if len(band)), default=half + 1),
        most_left_out=np.float32(_MOST_LEFT_OUT * config.sample_rate),
    )

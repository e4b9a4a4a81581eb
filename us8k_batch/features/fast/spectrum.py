"""Constants of MFCC frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.features.fast import fft
from us8k_batch.features.fast.fft import LANES
from us8k_batch.features.mel import cosine_transform, hann_window, mel_corners, mel_filters

_MOST_RATIO = 5.6e7
"""Largest ratio of a frame's power to its bands', in the mean over bands, with which float32 suffices for 2048
points. Rounding is spread evenly over all frequencies, so a coefficient's error follows the root of this ratio. The
largest differences from librosa were 1.2e-7 times the root in 6,000 clips of tones, chirps and bursts of 0.5 to
10.4 kHz with noise 38 to 90 dB below: 9e-4 at this ratio, which 8 of 410 real clips exceed. In shorter transforms
rounding weighs more in each band; a ratio that follows the root of their length keeps most real clips here."""


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
    least: np.float32
    """The floor's energy, per energy of the loudest band."""
    hop: int
    """Distance between frames, in samples."""
    below: int
    above: int
    """Frequencies below one and from the other on are left out by all bands."""
    shares: NDArray[np.float32]
    """Per band; over the band's energy, times the frame's power, and added up, they are 1 where the rounding of
    float32 is as large as may be; shape (n_mels,)."""


def make_tables(config: FeatureConfig) -> Tables:
    """Compute the constants of a configuration whose ``n_fft`` is a power of two."""
    half = config.n_fft // 2
    plan = fft.make_plan(half)
    filters = np.pad(mel_filters(config), ((0, 0), (0, 1)))
    used = [np.flatnonzero(band) for band in filters]
    first_bin = [band[0] if len(band) else 0 for band in used]
    n_bins = [2 * ((band[-1] - band[0]) // 2 + 1) if len(band) else 0 for band in used]
    groups, n_pairs = -(-config.n_mfcc // LANES), (config.n_mels + 1) // 2
    corners = mel_corners(config)
    most_ratio = _MOST_RATIO * np.sqrt(config.n_fft / 2048)
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
        least=np.float32(10 ** (-config.top_db / 10)),
        hop=config.hop_length,
        below=min((band[0] for band in used if len(band)), default=half + 1),
        above=max((band[-1] + 1 for band in used if len(band)), default=half + 1),
        # A band's energy times half its width is the power in it.
        shares=(2 / (corners[2:] - corners[:-2]) / (config.n_mels * most_ratio)).astype(np.float32),
    )

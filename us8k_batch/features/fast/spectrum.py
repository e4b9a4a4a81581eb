"""MFCC frames out of samples, eight frames side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.features.fast import fft
from us8k_batch.features.fast.fft import Rows, conjugate, load_row
from us8k_batch.features.fast.jit import inlined
from us8k_batch.features.fast.lanes import (
    LANES,
    Lanes,
    load,
    load_columns,
    logarithm,
    maximum,
    spread,
    store,
)
from us8k_batch.features.mel import cosine_transform, hann_window, mel_filters

FLOOR = np.float32(1e-10)
"""Power below which everything counts as silence, librosa's ``amin``."""
_MOST_LEFT_OUT = 0.003
"""Seconds. With more, differences from float64 exceeded 1e-3 for some of 450 real clips in nine configurations whose
bands left most frequencies out; with ten times as much they reached 4e-3, with a thousand times 0.1."""
_DECIBELS = np.float32(10 / np.log(10))


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
        top_db=np.float32(config.top_db),
        hop=config.hop_length,
        below=min((band[0] - 1 for band in used if len(band)), default=half + 1),
        above=max((band[-1] + 2 for band in used if len(band)), default=half + 1),
        most_left_out=np.float32(_MOST_LEFT_OUT * config.sample_rate),
    )


@inlined
def transform(
    samples: NDArray[np.float32],
    start: int,
    hop: int,
    window: NDArray[np.float32],
    twiddles: NDArray[np.complex64],
    rows: Rows,
) -> None:
    """Window eight frames and transform them as if even and odd samples were real and imaginary parts."""
    n_fft = len(window)
    for i in range(0, n_fft, LANES):
        columns = load_columns(samples, start + i, hop)
        for j in range(LANES):
            store(rows, LANES * (i + j), window[i + j] * columns[j])
    fft.forward(rows, n_fft // 2, twiddles)


@inlined
def take_power(
    rows: Rows, order: NDArray[np.int64], turns: NDArray[np.complex64], power: NDArray[np.float32]
) -> None:
    """Compute the squared magnitude of the real transforms from the complex ones."""
    half = len(order) - 1
    for k in range(half // 2 + 1):
        low, high = load_row(rows, order[k]), conjugate(load_row(rows, order[half - k]))
        even, odd = low + high, turns[k] * (low - high)
        store(power, LANES * k, _squared(even + odd))
        store(power, LANES * (half - k), _squared(even - odd))


@inlined
def _squared(value: Lanes) -> Lanes:
    return value.real * value.real + value.imag * value.imag


@inlined
def weigh(power: NDArray[np.float32], first_bin: int, weights: NDArray[np.float32], first: int, last: int) -> Lanes:
    """Sum the power in one mel band; two sums at a time, because one would wait for itself."""
    even, odd = spread(np.float32(0)), spread(np.float32(0))
    at = LANES * first_bin
    for i in range(first, last, 2):
        even = even + weights[i] * load(power, at)
        odd = odd + weights[i + 1] * load(power, at + LANES)
        at += 2 * LANES
    return even + odd


@inlined
def add_power(power: NDArray[np.float32], first: int, last: int) -> Lanes:
    """Sum the power in the frequencies from `first` on, without `last`."""
    sums = spread(np.float32(0))
    for k in range(first, last):
        sums = sums + load(power, LANES * k)
    return sums


@inlined
def to_decibels(power: Lanes) -> Lanes:
    """Compute the level of a power that is not less than `FLOOR`."""
    return _DECIBELS * logarithm(power)


@inlined
def transform_cosine(
    decibels: NDArray[np.float32],
    start: int,
    n_mels: int,
    floor: Lanes,
    cosines: NDArray[np.float32],
    lane: NDArray[np.float32],
    mfcc: NDArray[np.float32],
    first: int,
) -> None:
    """Compute all coefficients of eight frames, in groups of eight; `lane` is room for eight times eight.

    Levels are counted from each frame's mean, because large sums are rounded coarsely; only the first coefficient
    depends on it, and gets it back. Cosines are symmetric or antisymmetric about the middle band, so opposite bands
    are added for the even coefficients and subtracted for the odd ones.
    """
    n_mfcc, n_frames = mfcc.shape
    groups, n_pairs, _ = cosines.shape
    mean = spread(np.float32(0))
    for band in range(n_mels):
        mean = mean + maximum(load(decibels, start + LANES * band), floor)
    mean = np.float32(1 / n_mels) * mean
    for pair in range(n_pairs):
        low, high = start + LANES * pair, start + LANES * (n_mels - 1 - pair)
        one, other = maximum(load(decibels, low), floor) - mean, maximum(load(decibels, high), floor) - mean
        store(decibels, high, one - other)
        store(decibels, low, one + other)
    for group in range(groups):
        zero = spread(np.float32(0))
        a, b, c, d, e, f, g, h = zero, zero, zero, zero, zero, zero, zero, zero
        for pair in range(n_pairs):
            even = load(decibels, start + LANES * pair)
            odd = load(decibels, start + LANES * (n_mels - 1 - pair))
            a = a + cosines[group, pair, 0] * even
            b = b + cosines[group, pair, 1] * odd
            c = c + cosines[group, pair, 2] * even
            d = d + cosines[group, pair, 3] * odd
            e = e + cosines[group, pair, 4] * even
            f = f + cosines[group, pair, 5] * odd
            g = g + cosines[group, pair, 6] * even
            h = h + cosines[group, pair, 7] * odd
        if group == 0:
            a = a + np.float32(np.sqrt(n_mels)) * mean
        for i, sums in enumerate((a, b, c, d, e, f, g, h)):
            store(lane, LANES * i, sums)
        for i in range(min(LANES, n_mfcc - LANES * group)):
            for j in range(min(LANES, n_frames - first)):
                mfcc[LANES * group + i, first + j] = lane[LANES * i + j]

"""MFCC frames out of samples, eight frames side by side; see `fast.spectrum`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.fft import LANES
from us8k_batch.features.fast.kernels import fft
from us8k_batch.features.fast.kernels.fft import Rows, conjugate, load_row
from us8k_batch.features.fast.kernels.jit import inlined
from us8k_batch.features.fast.kernels.lanes import (
    Lanes,
    load,
    load_columns,
    logarithm,
    maximum,
    reciprocal_above,
    spread,
    store,
)

FLOOR = np.float32(1e-10)
"""Power below which everything counts as silence, librosa's ``amin``."""
_DECIBELS = np.float32(10 / np.log(10))


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
def add_power(power: NDArray[np.float32], gains: NDArray[np.float32], first: int, last: int) -> Lanes:
    """Sum the power in the frequencies from `first` on, without `last`, times their gains."""
    sums = spread(np.float32(0))
    for k in range(first, last):
        sums = sums + gains[k] * load(power, LANES * k)
    return sums


@inlined
def take_decibels(
    energies: NDArray[np.float32], start: int, lowest: Lanes, floor: Lanes, shares: NDArray[np.float32]
) -> tuple[Lanes, Lanes]:
    """Turn energies of eight frames into levels, not less than the floor; `lowest` is the floor as an energy.

    Returns
    -------
    mean : Lanes
        Of each frame's levels.
    weakness : Lanes
        What rounding matters in each frame: bands at the floor are not computed from what was rounded.
    """
    n_mels = len(shares)
    mean, weakness = spread(np.float32(0)), spread(np.float32(0))
    for at in range(n_mels):
        energy = load(energies, start + LANES * at)
        level = maximum(to_decibels(energy), floor)
        store(energies, start + LANES * at, level)
        mean = mean + level
        weakness = weakness + shares[at] * reciprocal_above(energy, lowest)
    return np.float32(1 / n_mels) * mean, weakness


@inlined
def to_decibels(power: Lanes) -> Lanes:
    """Compute the level of a power that is not less than `FLOOR`."""
    return _DECIBELS * logarithm(power)


@inlined
def transform_cosine(
    decibels: NDArray[np.float32],
    start: int,
    n_mels: int,
    mean: Lanes,
    cosines: NDArray[np.float32],
    root: NDArray[np.float32],
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
    for pair in range(n_pairs):
        low, high = start + LANES * pair, start + LANES * (n_mels - 1 - pair)
        one, other = load(decibels, low) - mean, load(decibels, high) - mean
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
            a = a + root[0] * mean
        for i, sums in enumerate((a, b, c, d, e, f, g, h)):
            store(lane, LANES * i, sums)
        for i in range(min(LANES, n_mfcc - LANES * group)):
            for j in range(min(LANES, n_frames - first)):
                mfcc[LANES * group + i, first + j] = lane[LANES * i + j]

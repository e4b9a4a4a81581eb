"""The kernel: from the values in a file to MFCC frames, a piece at a time, so that it stays in the cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.arguments import COPY, HALVE, Source, Way, Work
from us8k_batch.features.fast.fft import LANES
from us8k_batch.features.fast.kernels import halve, phases, spectrum
from us8k_batch.features.fast.kernels.jit import inlined, kernel
from us8k_batch.features.fast.kernels.lanes import largest, load, maximum, spread, store
from us8k_batch.features.fast.kernels.mono import read_mono
from us8k_batch.features.fast.spectrum import Tables


@kernel
def extract(source: Source, way: Way, tables: Tables, work: Work, mfcc: NDArray[np.float32]) -> bool:
    """Compute the MFCC frames of one clip.

    Parameters
    ----------
    source, way, tables, work
    mfcc : float32 array, shape (n_mfcc, n_frames), C-contiguous
        Is overwritten.

    Returns
    -------
    bool
        False if float32 does not suffice, because samples are too large, or not finite, or a frame is too loud
        beside its weak bands; `mfcc` is then meaningless.
    """
    # Arrays are handed on one by one: those of a tuple would be counted as used and released at every call.
    signal, rows, power, decibels, lane = work.signal, work.rows, work.power, work.decibels, work.lane
    loudness, gains, band_gains, shares = work.loudness, way.gains, way.band_gains, tables.shares
    window, twiddles, order, turns = tables.window, tables.twiddles, tables.order, tables.turns
    first_bin, first_weight, weights, cosines = tables.first_bin, tables.first_weight, tables.weights, tables.cosines
    hop, below, above = tables.hop, tables.below, tables.above
    n_fft, n_mels, n_frames = len(window), len(first_bin), mfcc.shape[1]
    span = (LANES - 1) * hop + n_fft
    usual = True
    loudest, rounding = spread(spectrum.FLOOR), spread(np.float32(0))
    begin = -(n_fft // 2)
    end = begin + n_fft // 2
    for i in range(n_fft // 2):
        signal[i] = 0
    for first in range(0, n_frames, LANES):
        start = first * hop - n_fft // 2
        if end < start + span:
            _keep(signal, start - begin, end - begin)
            begin = start
        while end < start + span:
            usual = make_signal(source, way, work, end, end - begin) and usual
            end += way.step
        for i in range(LANES):
            lane[i] = first + i < n_frames
        present = load(lane, 0)
        spectrum.transform(signal, start - begin, hop, window, twiddles, rows)
        spectrum.take_power(rows, order, turns, power)
        loud = spectrum.add_power(power, gains, 0, below) + spectrum.add_power(power, gains, above, n_fft // 2 + 1)
        for band in range(n_mels):
            energy = spectrum.weigh(power, first_bin[band], weights, first_weight[band], first_weight[band + 1])
            energy = maximum(present * energy, spread(spectrum.FLOOR))
            loudest = maximum(loudest, energy)
            loud = loud + band_gains[band] * energy
            store(decibels, first * n_mels + LANES * band, energy)
        store(loudness, first, loud)
    while end < source.n_results:  # no frame reaches so far, but the clip's last samples are to be checked too
        nowhere = int(np.int64(0))  # a literal would be a type of its own, compiled once more
        usual = make_signal(source, way, work, end, nowhere) and usual
        end += way.step
    loudest = spread(largest(loudest))
    floor = spectrum.to_decibels(loudest) - spread(tables.top_db)
    lowest = maximum(tables.least * loudest, spread(spectrum.FLOOR))
    for first in range(0, n_frames, LANES):
        mean, weakness = spectrum.take_decibels(decibels, first * n_mels, lowest, floor, shares)
        rounding = maximum(load(loudness, first) * weakness, rounding)
        spectrum.transform_cosine(decibels, first * n_mels, n_mels, mean, cosines, tables.root, lane, mfcc, first)
    return usual and largest(rounding) <= np.float32(1)


@inlined
def _keep(signal: NDArray[np.float32], start: int, stop: int) -> None:
    """Move what is still needed to the front."""
    for i in range(0, stop - start, LANES):
        store(signal, i, load(signal, start + i))


@kernel
def make_signal(source: Source, way: Way, work: Work, first: int, at: int) -> bool:
    """Make the results of one step, from number `first` on, at index `at`; return whether all samples are usual."""
    signal, samples = work.signal, work.samples
    n_results = min(way.step, max(0, source.n_results - first))
    usual = True
    if n_results > 0:
        if way.way == COPY:
            usual = _read(source, first, signal[at : at + n_results])
        elif way.way == HALVE:
            tables = way.halving
            usual = _read(source, 2 * (first - tables.reach), samples[: way.n_samples])
            halve.halve(
                samples, tables.twiddles, tables.order, tables.even, tables.odd, tables.reach, tables.valid,
                work.rows, work.more_rows, signal, at,
            )  # fmt: skip
        else:
            ratio = way.phases
            reach = ratio.weights.shape[1]
            first_sample = int(first * ratio.distance) - reach
            n_samples = int((first + n_results) * ratio.distance) + reach - first_sample
            usual = _read(source, first_sample, samples[:n_samples])
            phases.resample(
                samples, first_sample, ratio.weights, ratio.start, ratio.advance, ratio.distance,
                first, n_results, signal, at,
            )  # fmt: skip
    for i in range(at + n_results, at + way.step):
        signal[i] = 0
    return usual


@inlined
def _read(source: Source, first: int, mono: NDArray[np.float32]) -> bool:
    return read_mono(source.values, source.encoding, source.channels, source.n_samples, first, mono)

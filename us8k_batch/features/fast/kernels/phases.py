"""Resampling by any ratio of whole numbers, one short filter per position between samples; see `fast.phases`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.fft import LANES
from us8k_batch.features.fast.kernels.jit import inlined
from us8k_batch.features.fast.kernels.lanes import load, spread, total


@inlined
def resample(
    samples: NDArray[np.float32],
    first_sample: int,
    weights: NDArray[np.float32],
    start: NDArray[np.int64],
    advance: int,
    distance: float,
    first_result: int,
    n_results: int,
    results: NDArray[np.float32],
    at: int,
) -> None:
    """Make results from number `first_result` on, at index `at`; see `fast.phases.Tables` for the constants.

    `samples` begin at number `first_sample`, and there are a filter's length of them around each result.
    """
    n_phases = len(start) - 1
    size = weights.shape[1]
    for t in range(first_result, first_result + n_results):
        phase = t % n_phases
        before = int(t * distance)
        if before < t // n_phases * advance + phase * advance // n_phases:
            phase = n_phases
        sample = before + start[phase] - first_sample
        even, odd = spread(np.float32(0)), spread(np.float32(0))  # two sums, because one waits for itself
        for i in range(phase * size, (phase + 1) * size, 2 * LANES):
            even = even + load(weights, i) * load(samples, sample)
            odd = odd + load(weights, i + LANES) * load(samples, sample + LANES)
            sample += 2 * LANES
        results[at + t - first_result] = total(even + odd)

"""Constants of resampling to half the rate with one symmetric filter, by overlap-save, sixteen blocks side by side.

The even and odd input samples become the real and imaginary parts of one complex signal, so that one transform
serves both, and the results of two blocks are the real and imaginary parts of one inverse transform.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast import fft
from us8k_batch.features.fast.fft import LANES

BLOCK = 1024
"""Complex points of one transform: twice as many samples, and at most as many results."""
_BLOCKS = 2 * LANES


class Tables(NamedTuple):
    """Constants of one filter."""

    twiddles: NDArray[np.complex64]
    order: NDArray[np.int64]
    """See `fft.Plan`."""
    even: NDArray[np.complex64]
    """Response to the even samples at each frequency, shape (BLOCK // 2 + 1,)."""
    odd: NDArray[np.complex64]
    """Response to the odd samples, turned likewise."""
    reach: int
    """Results at either end of a block that are not valid."""
    valid: int
    """Results of a block that are, a multiple of eight."""


def make_tables(taps: NDArray[np.float64]) -> Tables:
    """Compute the constants of a filter.

    Parameters
    ----------
    taps : float64 array, shape (2 * n + 1,)
        Result ``t`` is the sum of ``taps[n + j] * samples[2 * t + j]`` over ``j``.

    Raises
    ------
    ValueError
        If the filter is too long for a block.
    """
    centre = len(taps) // 2
    reach = centre // 2 + 1
    valid = (BLOCK - 2 * reach) // LANES * LANES
    if valid < BLOCK // 2:
        raise ValueError(f"{len(taps)} taps are too many for a block of {BLOCK}")
    parts = np.zeros((BLOCK, 2))
    for j in range(-centre, centre + 1):
        parts[-(j // 2) % BLOCK, j % 2] += taps[centre + j]
    even, odd = np.fft.fft(parts, axis=0)[: BLOCK // 2 + 1].T * (0.5 / BLOCK)
    plan = fft.make_plan(BLOCK)
    return Tables(
        plan.twiddles, plan.order, even.astype(np.complex64), (-1j * odd).astype(np.complex64), reach, valid
    )


def results_per_step(tables: Tables) -> int:
    """Return how many results `halve` makes at once."""
    return _BLOCKS * tables.valid


def samples_per_step(tables: Tables) -> int:
    """Return how many samples `halve` reads at once, beginning ``2 * tables.reach`` before the first result."""
    return 2 * ((_BLOCKS - 1) * tables.valid + BLOCK)

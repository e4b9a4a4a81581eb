"""Resampling to half the rate with one symmetric filter, sixteen blocks side by side; see `fast.halve`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.fft import LANES, ROW
from us8k_batch.features.fast.halve import BLOCK
from us8k_batch.features.fast.kernels import fft
from us8k_batch.features.fast.kernels.fft import Rows, conjugate, load_row, store_row, turn
from us8k_batch.features.fast.kernels.jit import inlined
from us8k_batch.features.fast.kernels.lanes import Lanes, load, load_columns, store, store_columns


@inlined
def halve(
    samples: NDArray[np.float32],
    twiddles: NDArray[np.complex64],
    order: NDArray[np.int64],
    even: NDArray[np.complex64],
    odd: NDArray[np.complex64],
    reach: int,
    valid: int,
    rows: Rows,
    more_rows: Rows,
    results: NDArray[np.float32],
    at: int,
) -> None:
    """Make the results of one step, from index `at` on; see `fast.halve.Tables` for the constants."""
    size = len(order) - 1
    _transform(samples, 0, 2 * valid, size, twiddles, rows)
    _transform(samples, 2 * LANES * valid, 2 * valid, size, twiddles, more_rows)
    _filter(rows, more_rows, order, even, odd)
    fft.inverse(rows, size, twiddles)
    _write(rows, 0, reach, valid, results, at)
    _write(rows, LANES, reach, valid, results, at + LANES * valid)


@inlined
def _transform(
    samples: NDArray[np.float32], start: int, distance: int, size: int, twiddles: NDArray[np.complex64], rows: Rows
) -> None:
    """Transform eight blocks of samples."""
    for i in range(0, 2 * size, LANES):
        columns = load_columns(samples, start + i, distance)
        for j in range(LANES):
            store(rows, LANES * (i + j), columns[j])
    fft.forward(rows, size, twiddles)


@inlined
def _filter(
    rows: Rows, more_rows: Rows, order: NDArray[np.int64], even: NDArray[np.complex64], odd: NDArray[np.complex64]
) -> None:
    """Filter two sets of eight blocks; `rows` gets the results of the first as real, of the second as imaginary."""
    for k in range(BLOCK // 2 + 1):
        low, high = order[k], order[BLOCK - k]
        one = _respond(rows, low, high, even[k], odd[k])
        two = _respond(more_rows, low, high, even[k], odd[k])
        store_row(rows, high, conjugate(one) + turn(conjugate(two)))
        store_row(rows, low, one + turn(two))  # last, because at both ends it is the same row


@inlined
def _respond(rows: Rows, low: int, high: int, even: np.complex64, odd: np.complex64) -> Lanes:
    """Return the filter's response at one frequency, from the even and odd samples' parts of the spectrum."""
    a, b = load_row(rows, low), conjugate(load_row(rows, high))
    return even * (a + b) + odd * (a - b)


@inlined
def _write(rows: Rows, part: int, reach: int, valid: int, results: NDArray[np.float32], at: int) -> None:
    """Write the valid results of eight blocks; `part` is 0 for the real and 8 for the imaginary parts."""
    for i in range(0, valid, LANES):
        row = ROW * (reach + i) + part
        columns = (
            load(rows, row),
            load(rows, row + ROW),
            load(rows, row + 2 * ROW),
            load(rows, row + 3 * ROW),
            load(rows, row + 4 * ROW),
            load(rows, row + 5 * ROW),
            load(rows, row + 6 * ROW),
            load(rows, row + 7 * ROW),
        )
        store_columns(results, at + i, valid, columns)

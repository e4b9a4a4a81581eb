"""Eight Fourier transforms side by side, in place, for any power of two from 2 on.

The forward transform leaves frequency `k` at row ``order[k]``, which spares sorting; the inverse transform takes
that order. A row is one complex number of each of the eight transforms: 16 float32, real parts first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.fft import LANES, ROW
from us8k_batch.features.fast.kernels.jit import inlined, kernel
from us8k_batch.features.fast.kernels.lanes import Lanes, load, pair, store

_CACHED = 256
"""Rows that fit the first-level cache (16 kB): a part of this size is transformed to its end before the next."""

Rows = NDArray[np.float32]


@inlined
def load_row(rows: Rows, row: int) -> Lanes:
    """Read one complex number of each transform."""
    return pair(load(rows, ROW * row), load(rows, ROW * row + LANES))


@inlined
def store_row(rows: Rows, row: int, value: Lanes) -> None:
    """Write one complex number of each transform."""
    store(rows, ROW * row, value.real)
    store(rows, ROW * row + LANES, value.imag)


@inlined
def conjugate(value: Lanes) -> Lanes:
    """Mirror at the real axis."""
    return pair(value.real, np.float32(-1) * value.imag)


@inlined
def turn(value: Lanes) -> Lanes:
    """Multiply by the imaginary unit."""
    return pair(np.float32(-1) * value.imag, value.real)


@kernel
def forward(rows: Rows, size: int, twiddles: NDArray[np.complex64]) -> None:
    """Transform in place."""
    part = size
    while part > _CACHED:
        for start in range(0, size, part):
            _split(rows, start, part, twiddles, (size - part) // 3)
        part //= 4
    for first in range(0, size, part):
        piece = part
        while piece > 4:
            for start in range(first, first + part, piece):
                _split(rows, start, piece, twiddles, (size - piece) // 3)
            piece //= 4
        if piece == 4:
            _transform_fours(rows, first, part)
        else:
            _transform_twos(rows, first, part)


@kernel
def inverse(rows: Rows, size: int, twiddles: NDArray[np.complex64]) -> None:
    """Undo `forward`, times `size`."""
    part = size
    while part > _CACHED:
        part //= 4
    for first in range(0, size, part):
        piece = part
        while piece > 4:
            piece //= 4
        if piece == 4:
            _invert_fours(rows, first, part)
        else:
            _transform_twos(rows, first, part)
        while piece < part:
            piece *= 4
            for start in range(first, first + part, piece):
                _merge(rows, start, piece, twiddles, (size - piece) // 3)
    while part < size:
        part *= 4
        for start in range(0, size, part):
            _merge(rows, start, part, twiddles, (size - part) // 3)


@inlined
def _split(rows: Rows, first: int, size: int, twiddles: NDArray[np.complex64], at: int) -> None:
    """Turn one transform of `size` points into four of a quarter."""
    quarter = size // 4
    for i in range(quarter):
        row = first + i
        a, b = load_row(rows, row), load_row(rows, row + quarter)
        c, d = load_row(rows, row + 2 * quarter), load_row(rows, row + 3 * quarter)
        outer, outer_difference, inner, inner_difference = a + c, a - c, b + d, turn(b - d)
        store_row(rows, row, outer + inner)
        store_row(rows, row + quarter, twiddles[at + i, 0] * (outer_difference - inner_difference))
        store_row(rows, row + 2 * quarter, twiddles[at + i, 1] * (outer - inner))
        store_row(rows, row + 3 * quarter, twiddles[at + i, 2] * (outer_difference + inner_difference))


@inlined
def _merge(rows: Rows, first: int, size: int, twiddles: NDArray[np.complex64], at: int) -> None:
    """Undo `_split`, times 4."""
    quarter = size // 4
    for i in range(quarter):
        row = first + i
        a = load_row(rows, row)
        b = twiddles[at + i, 0].conjugate() * load_row(rows, row + quarter)
        c = twiddles[at + i, 1].conjugate() * load_row(rows, row + 2 * quarter)
        d = twiddles[at + i, 2].conjugate() * load_row(rows, row + 3 * quarter)
        outer, outer_difference, inner, inner_difference = a + c, a - c, b + d, turn(b - d)
        store_row(rows, row, outer + inner)
        store_row(rows, row + quarter, outer_difference + inner_difference)
        store_row(rows, row + 2 * quarter, outer - inner)
        store_row(rows, row + 3 * quarter, outer_difference - inner_difference)


@inlined
def _transform_fours(rows: Rows, first: int, size: int) -> None:
    for row in range(first, first + size, 4):
        a, b, c, d = load_row(rows, row), load_row(rows, row + 1), load_row(rows, row + 2), load_row(rows, row + 3)
        outer, outer_difference, inner, inner_difference = a + c, a - c, b + d, turn(b - d)
        store_row(rows, row, outer + inner)
        store_row(rows, row + 1, outer_difference - inner_difference)
        store_row(rows, row + 2, outer - inner)
        store_row(rows, row + 3, outer_difference + inner_difference)


@inlined
def _invert_fours(rows: Rows, first: int, size: int) -> None:
    for row in range(first, first + size, 4):
        a, b, c, d = load_row(rows, row), load_row(rows, row + 1), load_row(rows, row + 2), load_row(rows, row + 3)
        outer, outer_difference, inner, inner_difference = a + c, a - c, b + d, turn(b - d)
        store_row(rows, row, outer + inner)
        store_row(rows, row + 1, outer_difference + inner_difference)
        store_row(rows, row + 2, outer - inner)
        store_row(rows, row + 3, outer_difference - inner_difference)


@inlined
def _transform_twos(rows: Rows, first: int, size: int) -> None:
    for row in range(first, first + size, 2):
        a, b = load_row(rows, row), load_row(rows, row + 1)
        store_row(rows, row, a + b)
        store_row(rows, row + 1, a - b)

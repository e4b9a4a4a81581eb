"""Mono samples out of the values in a file, bit for bit as libsndfile and librosa make them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.arguments import INT16, INT24
from us8k_batch.features.fast.kernels.jit import inlined, kernel

_MAGNITUDE = 0x7FFFFFFF
"""Bits of a float32 without its sign; as integers they are in the order of the numbers, infinity and NaN last."""
_TOO_LARGE = 0x4F800000
"""2**32, as an integer: what is smaller has a power that float32 can hold."""


@kernel
def read_mono(
    data: NDArray[np.uint8], encoding: int, channels: int, n_samples: int, first: int, mono: NDArray[np.float32]
) -> bool:
    """Read a part of a clip, with zeros where the clip does not reach.

    Parameters
    ----------
    data : uint8 array
        Values of one or two channels in turn, little-endian; aligned as their encoding needs.
    encoding : int
        What a value is.
    channels, n_samples : int
        1 or 2; and how many samples each of them has.
    first : int
        Sample that the part begins at; may be negative.
    mono : float32 array
        Gets the part.

    Returns
    -------
    bool
        Whether all samples are usual: finite, and below 2**32.
    """
    start = min(max(first, 0), n_samples)
    stop = max(min(first + len(mono), n_samples), start)
    filled = min(max(start - first, 0), len(mono))
    _clear(mono[:filled])
    part = mono[filled : filled + stop - start]
    _clear(mono[filled + stop - start :])
    if encoding == INT16:
        _mix_int16(data[2 * channels * start : 2 * channels * stop].view(np.int16), channels, part)
        return True
    if encoding == INT24:
        _mix_int24(data[3 * channels * start : 3 * channels * stop], channels, part)
        return True
    return _mix_float32(data[4 * channels * start : 4 * channels * stop].view(np.float32), channels, part)


@inlined
def _mix_int16(values: NDArray[np.int16], channels: int, mono: NDArray[np.float32]) -> None:
    if channels == 1:
        for i in range(len(mono)):
            mono[i] = np.float32(values[i]) * np.float32(2.0**-15)
    else:
        for i in range(len(mono)):  # the sum of two is exact
            mono[i] = np.float32(np.int32(values[2 * i]) + np.int32(values[2 * i + 1])) * np.float32(2.0**-16)


@inlined
def _mix_int24(values: NDArray[np.uint8], channels: int, mono: NDArray[np.float32]) -> None:
    if channels == 1:
        for i in range(len(mono)):
            mono[i] = _int24(values, 3 * i) * np.float32(2.0**-31)
    else:
        for i in range(len(mono)):  # the sum of two is rounded to float32
            mono[i] = (_int24(values, 6 * i) + _int24(values, 6 * i + 3)) * np.float32(2.0**-32)


@inlined
def _int24(values: NDArray[np.uint8], at: int) -> np.float32:
    """Return a value times 256: in the upper three bytes, so that its highest bit is the sign."""
    return np.float32(
        np.int32(np.int32(values[at]) << 8 | np.int32(values[at + 1]) << 16 | np.int32(values[at + 2]) << 24)
    )


@inlined
def _mix_float32(values: NDArray[np.float32], channels: int, mono: NDArray[np.float32]) -> bool:
    odd = np.int32(0)
    if channels == 1:
        for i in range(len(mono)):
            mono[i] = values[i]
            odd |= np.int32((np.float32(mono[i]).view(np.int32) & _MAGNITUDE) >= _TOO_LARGE)
    else:
        for i in range(len(mono)):
            mono[i] = (values[2 * i] + values[2 * i + 1]) * np.float32(0.5)
            odd |= np.int32((np.float32(mono[i]).view(np.int32) & _MAGNITUDE) >= _TOO_LARGE)
    return bool(odd == 0)


@inlined
def _clear(values: NDArray[np.float32]) -> None:
    for i in range(len(values)):
        values[i] = 0

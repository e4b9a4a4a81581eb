"""Means and standard deviations over frames, bit for bit as `features.pooling` has them from numpy.

Numpy adds up halves of halves, down to 128 numbers, of which it adds every eighth; that decides the last bits. Its
dozen calls took longer than all sums, because each finds nothing of itself in the cache after a clip.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from us8k_batch.features.fast.kernels.jit import exact

_BLOCK = 128
_LEAST = 8


@exact
def take_moments(mfcc: NDArray[np.float32], moments: NDArray[np.float64]) -> None:
    """Compute the mean and the standard deviation of each coefficient.

    Parameters
    ----------
    mfcc : float32 array, shape (n_mfcc, n_frames)
        At least one frame.
    moments : float64 array, shape (2, n_mfcc)
        Gets the means and the deviations.
    """
    n_mfcc, n_frames = mfcc.shape
    for i in range(n_mfcc):
        mean = _add(mfcc[i], np.float64(0), False) / n_frames
        moments[0, i] = mean
        moments[1, i] = _square_root(_add(mfcc[i], mean, True) / n_frames)


@exact
def _add(values: NDArray[np.float32], mean: float, squared: bool) -> float:
    """Add up the distances from a mean, or their squares, in numpy's order."""
    n = len(values)
    if n < _LEAST:
        total = 0.0
        for i in range(n):
            total += _term(values, i, mean, squared)
        return total
    if n > _BLOCK:
        half = n // 2 - n // 2 % _LEAST
        return _add(values[:half], mean, squared) + _add(values[half:], mean, squared)
    a, b = _term(values, 0, mean, squared), _term(values, 1, mean, squared)
    c, d = _term(values, 2, mean, squared), _term(values, 3, mean, squared)
    e, f = _term(values, 4, mean, squared), _term(values, 5, mean, squared)
    g, h = _term(values, 6, mean, squared), _term(values, 7, mean, squared)
    whole = n - n % _LEAST
    for i in range(_LEAST, whole, _LEAST):
        a += _term(values, i, mean, squared)
        b += _term(values, i + 1, mean, squared)
        c += _term(values, i + 2, mean, squared)
        d += _term(values, i + 3, mean, squared)
        e += _term(values, i + 4, mean, squared)
        f += _term(values, i + 5, mean, squared)
        g += _term(values, i + 6, mean, squared)
        h += _term(values, i + 7, mean, squared)
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(whole, n):
        total += _term(values, i, mean, squared)
    return total


@exact
def _term(values: NDArray[np.float32], i: int, mean: float, squared: bool) -> float:
    distance = np.float64(values[i]) - mean
    return distance * distance if squared else distance


@intrinsic
def _square_root(_context: Any, _value: Any) -> Any:
    """Compute a square root by the processor's instruction, where numba would call the C library."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [ir.DoubleType()]), arguments)

    return types.float64(types.float64), generate

"""Hand nested tuples of arrays and numbers to machine code, as words of 64 bits in the order of their fields."""

from __future__ import annotations

import ctypes
import struct
from array import array
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Byte: Any = ctypes.c_char  # whose stub knows no arrays


@dataclass(slots=True, eq=False)
class Packed:
    """A tuple as words; what it was packed from lives as long."""

    address: int
    """Where the words are."""
    layout: str
    """What they are, which machine code takes for granted: ``i`` and ``f`` are numbers, ``<f4 2`` is an array."""
    values: Any
    """What was packed."""
    _words: Any

    def refill(self, values: Any, *numbers: int) -> None:
        """Pack other values of the same layout in place of these, at a quarter of the time.

        Parameters
        ----------
        values
            Kept as long as these were.
        numbers : int
            What `pack` would make of them: of an array `address_of` it and its shape, of a whole number itself.

        Raises
        ------
        ValueError
            If they are more or fewer words.
        """
        if len(numbers) != len(self._words):
            raise ValueError(f"{len(numbers)} words; expected {len(self._words)}, for {self.layout}")
        self._words[:] = array("q", numbers)
        self.values = values


def pack(values: Any) -> Packed:
    """Pack an array, a number, or a tuple of these and of tuples.

    An array is its address and its shape, a whole number itself, any other number a float64.

    Raises
    ------
    ValueError
        If an array is not C-contiguous and aligned.
    TypeError
        If a value is something else.
    """
    numbers: list[int] = []
    layout: list[str] = []
    _append(values, numbers, layout)
    words = array("q", numbers)
    return Packed(words.buffer_info()[0], ",".join(layout), values, words)


def address_of(values: bytes | memoryview | NDArray[Any]) -> int:
    """Return where contiguous memory begins; it may move when nobody refers to it any more."""
    if isinstance(values, np.ndarray):
        address: int = values.__array_interface__["data"][0]
        return address
    if isinstance(values, memoryview) and not values.readonly and values:
        return ctypes.addressof(_Byte.from_buffer(values))  # in an eighth of numpy's time
    return address_of(np.frombuffer(values, np.uint8))


def _append(values: Any, numbers: list[int], layout: list[str]) -> None:
    if isinstance(values, np.ndarray):
        flags = values.flags
        if not (flags.c_contiguous and flags.aligned):
            raise ValueError(f"an array with strides {values.strides}; expected a C-contiguous, aligned one")
        numbers.append(address_of(values))
        numbers.extend(values.shape)
        layout.append(_name(values.dtype, values.ndim))
    elif isinstance(values, int | np.integer):
        numbers.append(int(values))
        layout.append("i")
    elif isinstance(values, tuple):
        for value in values:
            _append(value, numbers, layout)
    elif isinstance(values, float | np.floating):
        numbers.extend(struct.unpack("=q", struct.pack("=d", values)))
        layout.append("f")
    else:
        raise TypeError(f"a {type(values).__name__}; expected arrays and numbers")


@cache
def _name(dtype: np.dtype[Any], ndim: int) -> str:
    return f"{dtype.str} {ndim}"

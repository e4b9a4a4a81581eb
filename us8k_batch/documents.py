"""JSON from a stranger: one object of plain values, or an error; never a crash, nor more memory than its size."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MOST_BYTES = 64 << 20
"""Largest document that is read, in bytes."""
LARGEST = 1 << 53
"""Counts and places stay below this; they are multiplied, and must fit int64."""


def read_document(data: bytes | str, most: int = MOST_BYTES) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    data : bytes or str
        UTF-8, if bytes.
    most : int
        Largest size, in bytes or characters.

    Raises
    ------
    ValueError
        If it is too large, nested too deeply, holds NaN or a number that is infinite, or is no object.
    """
    if len(data) > most:
        raise ValueError(f"{len(data)} bytes of JSON, expected at most {most}")
    try:
        value = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {type(value).__name__}")  # noqa: TRY004  # of what was read
    return value


def natural(value: object) -> int:
    """Return a whole number from 0 that can be counted with.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise ValueError(f"{str(value)[:40]}: expected a whole number from 0")
    return value


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is beyond what a float64 holds")
    return value

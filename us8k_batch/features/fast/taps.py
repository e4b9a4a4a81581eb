"""The filters of the resamplers: resampy's from its tables, soxr's measured from soxr itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NOISE = 1.5e-8
"""Measured taps at either end that are smaller are rounding errors of soxr's, which computes in float32."""
_FARTHEST = 400
"""More than how far from its centre soxr's filter for half the rate reaches, in samples."""


class Window(NamedTuple):
    """A resampler's filter as resampy keeps it: its right half, finely sampled."""

    values: NDArray[np.float64]
    """From the centre on."""
    steps: int
    """Values per zero crossing."""


def load_window(res_type: str) -> Window:
    """Load a filter that resampy brings; resampy itself is not imported, because that takes a second.

    Parameters
    ----------
    res_type : str
        ``kaiser_fast`` or ``kaiser_best``.

    Raises
    ------
    ImportError
        If resampy is not installed.
    """
    found = find_spec("resampy")
    if found is None or found.origin is None:
        raise ImportError(f"res_type = {res_type!r} needs resampy: install it")
    with np.load(Path(found.origin).parent / "data" / f"{res_type}.npz") as file:
        return Window(np.asarray(file["half_window"], dtype=np.float64), int(file["precision"]))


def wings(window: Window, ratio: float, fraction: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interpolate the weights of a result that lies between two samples, as ``resampy.resample`` does.

    Parameters
    ----------
    window : Window
    ratio : float
        New rate over old rate.
    fraction : float
        Where between the samples, in [0, 1).

    Returns
    -------
    left, right : float64 arrays
        Weights of the sample before and those before that; and of the sample after and those after that.
    """
    values = window.values
    scale = min(1.0, ratio)
    step = int(scale * window.steps)  # rounded down, as in resampy

    def wing(position: float) -> NDArray[np.float64]:
        index = position * window.steps
        offset = int(index)
        at = offset + step * np.arange((len(values) - offset) // step)
        following = np.minimum(at + 1, len(values) - 1)
        return np.asarray(scale * (values[at] + (index - offset) * (values[following] - values[at])))

    return wing(scale * fraction), wing(scale - scale * fraction)


def kaiser_taps(window: Window, ratio: float) -> NDArray[np.float64]:
    """Return resampy's filter for results that lie at samples, as all do at half the rate; shape (2 * n + 1,).

    Parameters
    ----------
    window : Window
    ratio : float
        New rate over old rate.
    """
    left, right = wings(window, ratio, 0.0)
    taps = np.zeros(2 * max(len(left) - 1, len(right)) + 1)
    centre = len(taps) // 2
    taps[centre - len(left) + 1 : centre + 1] = left[::-1]
    taps[centre + 1 : centre + 1 + len(right)] = right
    return taps


def respond(taps: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the response of a symmetric filter at some frequencies, in cycles per sample."""
    places = np.arange(len(taps)) - len(taps) // 2
    return np.asarray(np.cos(2 * np.pi * np.outer(frequencies, places)) @ taps)


def soxr_halving_taps(res_type: str) -> NDArray[np.float64]:
    """Measure the filter with which soxr halves the rate, shape (2 * n + 1,): it is linear, and the same anywhere.

    The answers to impulses at even and odd samples are the filter's even and odd taps. They are averaged over
    several impulses and over both sides, because each holds soxr's rounding errors.
    """
    import soxr

    distance = 2 * _FARTHEST + 1
    places = distance * np.arange(1, 17)
    impulses = np.zeros(distance * 18, dtype=np.float32)
    impulses[places] = 1
    answer = soxr.resample(impulses, 2, 1, quality=res_type).astype(np.float64)
    taps = np.zeros(2 * _FARTHEST + 1)
    for place in places:
        first = -(-(place - _FARTHEST) // 2)
        results = np.arange(first, (place + _FARTHEST) // 2 + 1)
        taps[_FARTHEST + place - 2 * results] += answer[results] / (len(places) // 2)
    taps = (taps + taps[::-1]) / 2
    farthest = np.abs(np.flatnonzero(np.abs(taps) > _NOISE) - _FARTHEST).max()
    return taps[_FARTHEST - farthest : _FARTHEST + farthest + 1]

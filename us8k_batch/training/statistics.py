"""Statistics over the frames of many clips at once, coefficient by coefficient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from us8k_batch.errors import RequestError

Values = NDArray[np.float64]
BLOCK_VALUES = 1 << 17
"""Values worked on at a time: their float64 copies stay in a core's cache, which is five times as fast."""


def describe(
    frames: NDArray[np.float32], n_frames: NDArray[np.int64], statistics: Sequence[str]
) -> NDArray[np.float32]:
    """Compute statistics over each clip's frames.

    Parameters
    ----------
    frames : float32 array, shape (n_clips, n_mfcc, max_frames)
        Whatever stands behind a clip's last frame is not looked at.
    n_frames : int64 array, shape (n_clips,)
        Number of frames of each clip, at least 1.
    statistics : sequence of str
        Names out of `STATISTICS`.

    Returns
    -------
    float32 array, shape (n_clips, len(statistics) * n_mfcc)
        Statistic by statistic, in the order of `column_names`; computed in float64, always finite.

    Notes
    -----
    Variances are the population's. Skewness and kurtosis (excess, so 0 for a normal distribution) of a
    coefficient that does not vary are 0. A derivative is the difference of neighbouring frames; a clip too
    short to have one (1 frame, or 2 for the second) has derivatives of mean 0 and variance 0. Quantiles are
    linearly interpolated.

    Raises
    ------
    RequestError
        If a name is unknown.
    """
    refuse_unknown(statistics)
    out = np.empty((len(frames), len(statistics), frames.shape[1]), dtype=np.float32)
    step = max(1, BLOCK_VALUES // max(1, frames.shape[1] * frames.shape[2]))
    for start in range(0, len(frames), step):
        part = slice(start, start + step)
        batch = _Batch(frames[part], n_frames[part])
        for i, name in enumerate(statistics):
            out[part, i] = STATISTICS[name](batch)
    return out.reshape(len(frames), -1)


def column_names(statistics: Sequence[str], n_mfcc: int) -> list[str]:
    """Return the names of the values of `describe`, such as ``mfcc_skewness_07``."""
    return [f"mfcc_{name}_{i:02d}" for name in statistics for i in range(n_mfcc)]


def refuse_unknown(statistics: Sequence[str]) -> None:
    """Refuse statistics that are not known, are named twice, or are none.

    Raises
    ------
    RequestError
        Naming what is known.
    """
    unknown = [name for name in statistics if name not in STATISTICS]
    if unknown or not statistics or len(set(statistics)) != len(statistics):
        said = f"unknown statistic {', '.join(unknown)}" if unknown else f"statistics {','.join(statistics)!r}"
        raise RequestError(f"{said}: expected each once, out of {', '.join(STATISTICS)}")


class _Batch:
    """The frames of some clips, and what several statistics have in common."""

    def __init__(self, frames: NDArray[np.float32], n_frames: NDArray[np.int64]) -> None:
        self._frames = frames
        self._n = n_frames
        self._derivatives: dict[int, tuple[Values, NDArray[np.int64]]] = {}

    @cached_property
    def sorted(self) -> NDArray[np.float32]:
        """Values of each coefficient, ascending; what is behind a clip's frames comes last."""
        behind = np.arange(self._frames.shape[2]) >= self._n[:, None]
        return np.sort(np.where(behind[:, None], np.float32(np.inf), self._frames), axis=2)

    @cached_property
    def mean(self) -> Values:
        return self._mean_over(self._values, self._n)

    @cached_property
    def variance(self) -> Values:
        return self._mean_over(self._squares, self._n)

    @cached_property
    def skewness(self) -> Values:
        return self._where_it_varies(self._mean_over(self._squares * self._centred, self._n), 1.5)

    @cached_property
    def kurtosis(self) -> Values:
        fourth = self._where_it_varies(self._mean_over(self._squares * self._squares, self._n), 2.0)
        excess: Values = np.where(fourth > 0, fourth - 3.0, 0.0)
        return excess

    def quantile(self, share: float) -> Values:
        """Return a quantile, shape (n_clips, n_mfcc)."""
        place = share * (self._n - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, self._n - 1)
        weight = (place - low)[:, None]
        below = np.take_along_axis(self.sorted, low[:, None, None], axis=2)[..., 0].astype(np.float64)
        above = np.take_along_axis(self.sorted, high[:, None, None], axis=2)[..., 0].astype(np.float64)
        between: Values = below * (1 - weight) + above * weight
        return between

    def derivative_mean(self, order: int) -> Values:
        """Return the mean of the differences of an order, shape (n_clips, n_mfcc)."""
        return self._mean_over(*self._derivative(order))

    def derivative_variance(self, order: int) -> Values:
        """Return the variance of the differences of an order, shape (n_clips, n_mfcc)."""
        values, n = self._derivative(order)
        centred = self._inside(values - self._mean_over(values, n)[..., None], n)
        return self._mean_over(centred * centred, n)

    @cached_property
    def _values(self) -> Values:
        return self._inside(self._frames.astype(np.float64), self._n)

    @cached_property
    def _centred(self) -> Values:
        return self._inside(self._values - self.mean[..., None], self._n)

    @cached_property
    def _squares(self) -> Values:
        return self._centred * self._centred

    def _where_it_varies(self, moment: Values, power: float) -> Values:
        """Return a central moment in units of the deviation; 0 where nothing varies."""
        # The mean of equal values may be off by its last bit, and that must not look like variation.
        varies = self.variance > 1e-24 * np.maximum(1.0, self.mean**2)
        scale = np.power(self.variance, power, out=np.ones_like(moment), where=varies)
        standardised: Values = np.where(varies, moment / scale, 0.0)
        return standardised

    def _derivative(self, order: int) -> tuple[Values, NDArray[np.int64]]:
        if order not in self._derivatives:
            n = np.maximum(self._n - order, 0)
            self._derivatives[order] = (self._inside(np.diff(self._values, n=order, axis=2), n), n)
        return self._derivatives[order]

    @staticmethod
    def _inside(values: Values, n: NDArray[np.int64]) -> Values:
        """Put 0 behind each clip's frames, where it changes no sum."""
        return np.where((np.arange(values.shape[2]) < n[:, None])[:, None], values, 0.0)

    @staticmethod
    def _mean_over(values: Values, n: NDArray[np.int64]) -> Values:
        mean: Values = values.sum(axis=2) / np.maximum(n, 1)[:, None]
        return mean


STATISTICS: dict[str, Callable[[_Batch], Values]] = {
    "mean": lambda batch: batch.mean,
    "std": lambda batch: np.sqrt(batch.variance),
    "min": lambda batch: batch.quantile(0.0),
    "max": lambda batch: batch.quantile(1.0),
    "median": lambda batch: batch.quantile(0.5),
    "variance": lambda batch: batch.variance,
    "skewness": lambda batch: batch.skewness,
    "kurtosis": lambda batch: batch.kurtosis,
    "d1_mean": lambda batch: batch.derivative_mean(1),
    "d1_variance": lambda batch: batch.derivative_variance(1),
    "d2_mean": lambda batch: batch.derivative_mean(2),
    "d2_variance": lambda batch: batch.derivative_variance(2),
    "p10": lambda batch: batch.quantile(0.10),
    "p25": lambda batch: batch.quantile(0.25),
    "p75": lambda batch: batch.quantile(0.75),
    "p90": lambda batch: batch.quantile(0.90),
}
"""Every statistic by name; ``d1`` and ``d2`` are the first and second derivative, ``p10`` the 10th percentile."""

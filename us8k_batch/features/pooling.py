"""Pool the frames of one clip into a vector of statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float64]
Statistic = Callable[[Frames, Frames], Frames]
"""Of frames, given their means too."""


def _std(frames: Frames, mean: Frames) -> Frames:
    """Compute what ``frames.std(axis=1)`` does, bit for bit, without computing the means once more."""
    distances = frames - mean[:, np.newaxis]
    distances *= distances
    return np.asarray(np.sqrt(np.add.reduce(distances, axis=1) / frames.shape[1]))


_STATISTICS: dict[str, Statistic] = {
    "mean": lambda _, mean: mean,
    "std": _std,
    "min": lambda frames, _: frames.min(axis=1),
    "max": lambda frames, _: frames.max(axis=1),
    "median": lambda frames, _: np.median(frames, axis=1),
}


def pool(mfcc: NDArray[np.float32], statistics: Sequence[str]) -> NDArray[np.float32]:
    """Compute statistics over a clip's frames.

    Parameters
    ----------
    mfcc : float32 array, shape (n_mfcc, n_frames)
        At least one frame.
    statistics : sequence of str
        Names out of ``config.STATISTICS``. ``std`` is the population's, with divisor ``n_frames``.

    Returns
    -------
    float32 array, shape (len(statistics) * n_mfcc,)
        Statistic by statistic, in the order of `FeatureConfig.pooled_names`; computed in float64.
    """
    frames = mfcc.astype(np.float64)
    mean = np.add.reduce(frames, axis=1) / frames.shape[1]
    return np.concatenate([_STATISTICS[name](frames, mean) for name in statistics]).astype(np.float32)

"""Pool the frames of one clip into a vector of statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_STATISTICS: dict[str, Statistic] = {
    "mean": lambda frames: frames.mean(axis=1),
    "std": lambda frames: frames.std(axis=1),
    "min": lambda frames: frames.min(axis=1),
    "max": lambda frames: frames.max(axis=1),
    "median": lambda frames: np.median(frames, axis=1),
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
    return np.concatenate([_STATISTICS[name](frames) for name in statistics]).astype(np.float32)

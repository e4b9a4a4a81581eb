"""What the benchmarks' clips sound like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def make_sound(rng: np.random.Generator, rate: int, channels: int) -> NDArray[np.float64]:
    """Make 4 s of noise under a sweeping tone, shape (samples, channels), between -1 and 1."""
    times = np.arange(4 * rate) / rate
    tone = np.sin(2 * np.pi * (100 + 3000 * rng.random()) * times * (1 + 0.1 * times))
    noise = rng.standard_normal((len(times), channels)) * 0.1
    return np.clip(0.3 * tone[:, None] + noise, -1, 1)

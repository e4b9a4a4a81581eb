"""Which clip decides how long clips may be: the longest one, but not an odd one far longer than the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY = 86_400.0
"""Seconds that no clip is believed to last: 600,000 samples of a header that says 1 Hz are "167 hours"."""
FAR = 10
"""A clip is far longer than the rest if it lasts more than so many times as long as the next,"""
MINUTE = 60.0
"""and more than these seconds, below which the room for it costs little."""
ONE_OF = 100
"""As many of the clips as one of so many may be odd, at least one,"""
MOST_ODD = 100
"""and no more than these,"""
OTHERS = 3
"""if so many are left: of two clips nobody can say which is the odd one."""


@dataclass(frozen=True, slots=True)
class Longest:
    """What decides how long clips may be; clips by their place in the list that was given."""

    seconds: float
    """The longest duration that counts; 0 if there is none."""
    aside: tuple[int, ...]
    """Clips that do not count, longest first."""
    looked_at: tuple[int, ...]
    """Those, the one that counts, and further ones whose durations the choice depends on, longest first."""


def find_longest(seconds: NDArray[np.float64], room: float) -> Longest:
    """Find the longest clip that counts; it depends on the durations alone.

    Parameters
    ----------
    seconds : float64 array, shape (n_clips,)
        Durations; 0 for clips that cannot be read.
    room : float
        Seconds for which there can be room at all. Longer clips do not count, unless they are the majority: then
        it is the caller's to refuse them.

    Returns
    -------
    Longest
    """
    order = np.argsort(-seconds, kind="stable")
    order = order[: int(np.count_nonzero(seconds > 0))]
    if not len(order):
        return Longest(0.0, (), ())
    ordered = seconds[order]
    odd = int(np.count_nonzero(ordered > room))
    if 2 * odd > len(order):
        odd = 0
    few = min(MOST_ODD, max(1, len(order) // ONE_OF))
    for more in range(min(few, len(order) - odd - OTHERS), 0, -1):
        shortest, following = ordered[odd + more - 1], ordered[odd + more]
        if shortest > MINUTE and shortest > FAR * following:
            odd += more
            break
    aside, looked_at = order[:odd], order[: odd + few + 1]
    return Longest(float(ordered[odd]), tuple(aside.tolist()), tuple(looked_at.tolist()))

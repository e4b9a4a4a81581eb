"""Which clip decides how long clips may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog.longest import DAY, MINUTE, find_longest


@pytest.mark.parametrize(
    ("seconds", "longest", "aside"),
    [
        ([], 0, []),
        ([0, 0], 0, []),
        ([4.0], 4, []),
        ([1, 1, 1, 1, 1, 1, 10800], 1, [6]),
        ([1, 1, 1, 1, 600_000, 1], 1, [4]),
        ([2, 2, 2, 1e14], 2, [3]),  # a FLAC of unknown length
        ([1, 3600], 3600, []),  # of two clips, nobody can say which is odd
        ([1, 1, 3600], 3600, []),
        ([1, 1, 1, 3600], 1, [3]),
        ([1, 5, 20, 80, 300], 300, []),  # a dataset that varies
        ([0.1] * 99 + [59], 59, []),  # costs little
        ([4] * 50 + [300, 300], 300, []),  # two of fifty are no accident
        ([4] * 298 + [3000, 2000], 4, [298, 299]),
        ([4] * 98 + [5000, 400], 400, [98]),
        ([200_000, 1], 1, [0]),
        ([200_000, 200_000, 200_000, 1], 200_000, []),  # most of them: for the caller to refuse
        ([200_000], 200_000, []),
    ],
)
def test_the_longest_believable_clip_counts(seconds, longest, aside):
    """Not one beyond a day, nor one in a hundred far longer than the rest; in doubt it counts."""
    found = find_longest(np.array(seconds, np.float64), DAY)
    assert (found.seconds, list(found.aside)) == (longest, aside)


def test_what_no_store_has_room_for_does_not_count():
    """However many there are, up to half of the clips."""
    seconds = np.array([10_000.0, 3000, 12_000, 2000, 2500])
    found = find_longest(seconds, 9000)
    assert (found.seconds, found.aside) == (3000, (2, 0))


@given(st.lists(st.floats(0, 1e6), max_size=60), st.randoms())
def test_the_order_of_clips_does_not_matter(seconds, random):
    """The same durations give the same choice; those aside are the longest, and few."""
    values = np.array(seconds, np.float64)
    found = find_longest(values, DAY)
    shuffled = list(seconds)
    random.shuffle(shuffled)
    assert find_longest(np.array(shuffled, np.float64), DAY).seconds == found.seconds
    assert all(values[place] > found.seconds for place in found.aside)
    assert found.looked_at[: len(found.aside)] == found.aside
    assert found.seconds == max((value for i, value in enumerate(seconds) if i not in found.aside), default=0)


@given(st.lists(st.floats(0.01, MINUTE), min_size=1, max_size=60))
def test_usual_datasets_keep_all_their_clips(seconds):
    """Where no clip is longer than a minute, the longest counts."""
    assert find_longest(np.array(seconds), DAY).seconds == max(seconds)

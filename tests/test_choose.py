"""Which clips a page shows: bounded, of every class, the same ones every time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.gallery.choose import by_class, evenly, spread, tells_salience, typical

labels = st.lists(st.sampled_from("abcde"), max_size=60)


def table(names: list[str], **columns: list[object]) -> pa.Table:
    """Make a table of clips with these labels."""
    return pa.table({"label": pa.array(names, pa.string()), **columns})


@given(labels, st.integers(1, 30))
def test_no_more_than_asked_for_and_as_many_of_each_class_as_of_any_other(names: list[str], most: int) -> None:
    """A class has fewer than another only if it has no more clips; all are chosen if they are few enough."""
    places = spread(table(names), most)
    assert len(places) == min(most, len(names)) or len(places) <= most
    assert sorted(set(places.tolist())) == places.tolist()
    if len(names) <= most:
        assert len(places) == len(names)
    chosen, there = Counter(names[i] for i in places), Counter(names)
    for one in there:
        assert chosen[one] == there[one] or chosen[one] >= max(chosen.values()) - 1


@given(labels)
def test_every_clip_is_of_one_class(names: list[str]) -> None:
    """Classes in order, their places ascending, every place once."""
    parts = by_class(table(names))
    assert list(parts) == sorted(set(names))
    assert sorted(np.concatenate(list(parts.values())).tolist() if parts else []) == list(range(len(names)))
    for name, places in parts.items():
        assert {names[i] for i in places} == {name}
        assert places.tolist() == sorted(places)


@given(st.integers(0, 50), st.integers(1, 20))
def test_places_are_spread_over_all(n: int, most: int) -> None:
    """The first and the last are among them; gaps differ by one at most."""
    places = evenly(np.arange(n), most)
    assert len(places) == min(n, most)
    if len(places) > 1:
        assert (places[0], places[-1]) == (0, n - 1)
        assert np.ptp(np.diff(places)) <= 1


def test_a_class_is_shown_by_a_clip_in_the_foreground_of_usual_length() -> None:
    """Neither the short one, nor the one in the background; without salience, the first that is long enough."""
    clips = {"duration": [0.1, 4.0, 4.0, 3.0], "salience": [1, 2, 1, 1]}
    assert typical(table(["a"] * 4, **clips), np.arange(4)) == 2
    assert typical(table(["a"] * 4, duration=clips["duration"]), np.arange(4)) == 1
    assert typical(table(["a"], duration=[4.0], salience=[2]), np.arange(1)) == 0


def test_a_salience_of_another_meaning_chooses_nothing() -> None:
    """Text, other numbers, or nothing at all in a column of that name are the dataset's own affair."""
    for other in (["loud", "1"], [0, 1], [1.0, 2.0], [None, None]):
        assert typical(table(["a"] * 2, duration=[4.0, 4.0], salience=other), np.arange(2)) == 0
        assert not tells_salience(table(["a"] * 2, salience=other))
    assert tells_salience(table(["a"] * 3, salience=[1, 2, None]))

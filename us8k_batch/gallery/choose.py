"""Choose the few clips that a page shows: so many of each class, spread evenly, the same ones every time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Places = NDArray[np.int64]
"""Places of clips in their table, ascending."""


def tells_salience(clips: pa.Table) -> bool:
    """Tell whether clips have UrbanSound8K's ``salience``, 1 or 2, and no column of another meaning."""
    if "salience" not in clips.column_names or not pa.types.is_integer(clips["salience"].type):
        return False
    return bool(pc.all(pc.is_in(clips["salience"].drop_null(), value_set=pa.array([1, 2])), min_count=1).as_py())


def evenly(places: Places, most: int) -> Places:
    """Return at most so many places, evenly spread, with the first and the last."""
    if len(places) <= most:
        return places
    return places[np.linspace(0, len(places) - 1, most).round().astype(np.int64)]


def by_class(clips: pa.Table) -> dict[str, Places]:
    """Return the places of each class's clips; classes in order."""
    if not len(clips):
        return {}
    names = pc.unique(clips["label"])
    numbers = pc.index_in(clips["label"], value_set=names).to_numpy()
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=len(names)))
    parts = np.split(order.astype(np.int64), ends[:-1])
    return dict(sorted(zip(names.to_pylist(), parts, strict=True)))


def spread(clips: pa.Table, most: int) -> Places:
    """Choose at most so many clips, as many of each class as of any other where there are so many."""
    left = dict(sorted(by_class(clips).items(), key=lambda item: len(item[1])))
    chosen: list[Places] = []
    for done, places in enumerate(left.values()):
        share = (most - sum(map(len, chosen))) // (len(left) - done)
        chosen.append(evenly(places, share))
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def typical(clips: pa.Table, places: Places) -> int:
    """Choose one clip of a class that is fit to be shown: in the foreground if it is told, and of usual length.

    The first, in the table's order, of those in the foreground that are as long as at least half of the class.
    """
    part = clips.take(pa.array(places))
    seconds = part["duration"].to_numpy()
    fit = seconds >= np.median(seconds)
    if tells_salience(clips):
        foreground = pc.fill_null(pc.equal(part["salience"], 1), False).to_numpy(zero_copy_only=False)
        fit = fit & foreground if (fit & foreground).any() else fit
    return int(places[np.flatnonzero(fit)[0]])

"""Which clips a model learns from and which it is tested on: three protocols, and what each of them leaks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us8k_batch.errors import RequestError
from us8k_batch.training.data import Dataset

KNOWN_CROSSINGS = {
    "77751": frozenset({2, 7}),
    "106905": frozenset({1, 8}),
    "132016": frozenset({1, 4}),
    "176638": frozenset({1, 4}),
    "180937": frozenset({1, 9}),
}
"""Recordings that the genuine UrbanSound8K has in two folds each, under different labels; and those folds."""
ARTICLE_SEED = 127
"""The tutorial's ``random_state``; its split never depends on the run's own seed."""
GROUPED_SPLITS = 5
MOST_NAMED = 10
"""Classes that a message names; it counts the others."""
NEEDS = {
    "folds": "a class needs clips in at least two folds: add clips, move one to another fold, or leave the class "
    "out of the dataset",
    "grouped": "the parts are drawn by recording: add recordings of it, draw others with --seed, or leave the class "
    "out of the dataset",
    "article": "a fifth of the clips is drawn at random, whatever their class: add clips, leave the class out of the "
    "dataset, or use --protocol folds",
    "inner": "where parameters are searched a class needs clips in at least three folds, because one is tested and "
    "each of the others is held out: add clips, move one to another fold, leave the class out of the dataset, or use "
    "us8k train, which needs two",
}
"""What each protocol asks of a class, and what to do where that is not there."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One part of a protocol: a model learns from `train` and is asked about `test`."""

    name: str
    """The fold that is tested, or the protocol's name where there is one split only."""
    train: NDArray[np.int64]
    """Places of the clips that may be learnt from, ascending unless the protocol fixes an order."""
    test: NDArray[np.int64]
    """Places of the clips that are tested."""


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """A protocol applied to a dataset."""

    protocol: str
    """``folds``, ``grouped`` or ``article``."""
    parts: tuple[Split, ...]
    """In the order of their folds."""
    crossing: NDArray[np.bool_]
    """Clips, shape (n_clips,), of UrbanSound8K's known recordings that sit in two folds."""
    warnings: tuple[str, ...] = ()
    """What a reader of the score has to know."""


def make_splits(data: Dataset, protocol: str, seed: int = 0) -> Splits:
    """Apply a protocol.

    Parameters
    ----------
    data : Dataset
        Whose folds, recordings and labels decide; features are not looked at.
    protocol : str
        ``folds``: every predefined fold is the test set once. ``grouped``: `GROUPED_SPLITS` parts by recording,
        about the same mixture of classes in each. ``article``: one random split, as in the tutorial.
    seed : int
        Which parts `grouped` draws; the others have nothing to draw.

    Returns
    -------
    Splits

    Raises
    ------
    RequestError
        If the protocol is unknown or cannot be applied, would put one recording on both sides where that is
        not its purpose, or leaves a class without a clip to learn from.
    """
    if protocol not in PROTOCOLS:
        raise RequestError(f"protocol {protocol!r}: expected one of {', '.join(PROTOCOLS)}")
    splits = PROTOCOLS[protocol](data, seed)
    refuse_unlearnable(splits.parts, data.y, data.classes, NEEDS[protocol])
    return splits


def inner_splits(data: Dataset, outer: Split) -> tuple[Split, ...]:
    """Split the training clips of an outer split by their predefined folds, for tuning and early stopping.

    Where a known recording sits in two of these folds, its clips leave the training side: no recording is
    ever on both.

    Raises
    ------
    RequestError
        If fewer than two folds are left, or a class has no clip to learn from.
    """
    folds = np.unique(data.folds[outer.train])
    if len(folds) < 2:
        raise RequestError(
            f"split {outer.name}: only fold {folds[0]} is left to choose parameters on, and a choice is tested on a "
            "fold that it was not learnt from; give the dataset three folds, or use us8k train, which needs two"
        )
    parts = []
    for fold in folds:
        here = data.folds[outer.train] == fold
        test, train = outer.train[here], outer.train[~here]
        known = _known(data, train) & np.isin(data.groups[train], data.groups[test])
        parts.append(Split(str(fold), train[~known], test))
    refuse_shared(parts, data.groups, data.group_names)
    refuse_unlearnable([outer, *parts], data.y, data.classes, NEEDS["inner"])
    return tuple(parts)


def grouped_parts(
    y: NDArray[np.int64], groups: NDArray[np.int64], n_parts: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split clips by recording, about the same mixture of classes in each part.

    Parameters
    ----------
    y, groups : int64 arrays, shape (n_clips,)
        Codes of labels and recordings; a clip with recording -1 stands alone.
    n_parts : int
        Number of parts; fewer if no class has so many clips.
    seed : int
        Which parts are drawn.

    Returns
    -------
    list of (train, test), each an int64 array of places

    Raises
    ------
    RequestError
        If no class has two clips.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_parts = min(n_parts, int(np.bincount(y).max()))
    if n_parts < 2:
        raise RequestError("every class has one clip only; expected two or more, to learn from one and test another")

    alone = groups < 0
    recordings = np.where(alone, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    drawn = StratifiedGroupKFold(n_parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A rare class is no failure; whoever cannot do without it looks for it (`refuse_unlearnable`).
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(drawn.split(np.zeros(len(y)), y, recordings))


def shared_clips(split: Split, groups: NDArray[np.int64]) -> int:
    """Count the test clips that have another clip of their recording among the training clips."""
    test = groups[split.test]
    return int((np.isin(test, groups[split.train]) & (test >= 0)).sum())


def refuse_shared(parts: Sequence[Split], groups: NDArray[np.int64], names: Sequence[str]) -> None:
    """Refuse splits with one recording on both sides.

    Raises
    ------
    RequestError
        Naming the recording and the split.
    """
    for part in parts:
        both = np.intersect1d(groups[part.train], groups[part.test])
        both = both[both >= 0]
        if len(both):
            raise RequestError(
                f"split {part.name}: recording {names[int(both[0])]} has clips on both sides"
                f"{f', and so have {len(both) - 1} more' if len(both) > 1 else ''}; the score would be too good. "
                "Mend the folds in the dataset, or use --protocol grouped, which splits by recording"
            )


def refuse_unlearnable(parts: Sequence[Split], y: NDArray[np.int64], classes: Sequence[str], needs: str) -> None:
    """Refuse splits in which a class has no clip to learn from, or only one class is left.

    Raises
    ------
    RequestError
        Naming the class and the split, and what it `needs`.
    """
    if len(classes) < 2:
        raise RequestError(f"every clip is labelled {classes[0]}; expected two or more classes")
    for part in parts:
        lacking = np.flatnonzero(np.bincount(y[part.train], minlength=len(classes)) == 0)
        if len(lacking):
            names = some([classes[int(i)] for i in lacking])
            raise RequestError(f"split {part.name}: no clip of {names} is left to learn from; {needs}")


def some(names: Sequence[str]) -> str:
    """Write names in a line, and count those that there is no room for."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _folds(data: Dataset, seed: int) -> Splits:  # noqa: ARG001  # nothing is drawn: the folds are the dataset's
    folds = np.unique(data.folds)
    if len(folds) < 2:
        raise RequestError(
            f"{data.url}: every clip is in fold {folds[0]}, and a fold is tested by models that learnt from the "
            "others; give the dataset two folds or more, or use --protocol grouped"
        )
    parts = [
        Split(str(fold), np.flatnonzero(data.folds != fold), np.flatnonzero(data.folds == fold)) for fold in folds
    ]
    crossing = _known(data, np.arange(len(data)))
    refuse_shared(parts, np.where(crossing, -1, data.groups), data.group_names)
    return Splits("folds", tuple(parts), crossing, (*_crossing_warning(data, crossing), *_lacking(parts, data)))


def _grouped(data: Dataset, seed: int) -> Splits:
    if data.ungrouped:
        raise RequestError(
            f"{data.url}: {data.ungrouped} of {len(data)} clips have no recording (column group), so a split by "
            "recording cannot be made; use --protocol folds, or add the column to the manifest"
        )
    rarest = min(
        (len(np.unique(data.groups[data.y == code])), name) for code, name in enumerate(data.classes)
    )  # fmt: skip
    if rarest[0] < 2:
        raise RequestError(f"all clips of {rarest[1]} come from one recording; expected two recordings or more")
    drawn = grouped_parts(data.y, data.groups, min(GROUPED_SPLITS, len(data.group_names)), seed)
    parts = [Split(str(i), train, test) for i, (train, test) in enumerate(drawn, 1)]
    refuse_shared(parts, data.groups, data.group_names)
    return Splits("grouped", tuple(parts), np.zeros(len(data), np.bool_), tuple(_lacking(parts, data)))


def _article(data: Dataset, seed: int) -> Splits:  # noqa: ARG001  # the tutorial's seed is part of the protocol
    from sklearn.model_selection import train_test_split

    if len(data) < 5:
        raise RequestError(f"{data.url}: {len(data)} clips; the article's split needs at least 5")
    # UrbanSound8K.csv is sorted by file name: in that order this is the tutorial's own split, clip by clip.
    order = np.argsort(data.clip_ids.astype(str), kind="stable")
    train, test = train_test_split(order, test_size=0.2, random_state=ARTICLE_SEED)
    part = Split("article", train, test)
    if data.ungrouped:
        leak = "how many test clips share a recording with training clips is unknown"
    else:
        shared = shared_clips(part, data.groups)
        leak = f"{shared} of {len(test)} test clips share a recording with training clips"
    return Splits("article", (part,), np.zeros(len(data), np.bool_), (f"a random split: {leak}",))


def _known(data: Dataset, clips: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which clips are of UrbanSound8K's five recordings, in the folds that they officially sit in."""
    if "fsID" not in data.columns:
        return np.zeros(len(clips), np.bool_)
    known = np.zeros(len(data), np.bool_)
    for name, folds in KNOWN_CROSSINGS.items():
        if name in data.group_names:
            mine = data.groups == data.group_names.index(name)
            known |= mine & (set(data.folds[mine].tolist()) == folds)
    return known[clips]


def _crossing_warning(data: Dataset, crossing: NDArray[np.bool_]) -> list[str]:
    names = [data.group_names[code] for code in np.unique(data.groups[crossing])]
    if not names:
        return []
    return [
        f"{int(crossing.sum())} clips of {len(names)} recordings ({', '.join(names)}) sit in two of the official "
        "folds; the score without them is given too"
    ]


def _lacking(parts: Sequence[Split], data: Dataset) -> list[str]:
    found = []
    for part in parts:
        counts = np.bincount(data.y[part.test], minlength=len(data.classes))
        lacking = [data.classes[i] for i in np.flatnonzero(counts == 0)]
        if lacking:
            found.append(f"split {part.name} tests no clip of {some(lacking)}")
    return found


PROTOCOLS: dict[str, Callable[[Dataset, int], Splits]] = {"folds": _folds, "grouped": _grouped, "article": _article}
"""How each protocol is applied."""

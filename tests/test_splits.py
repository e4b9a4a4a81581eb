"""Splits: everybody is tested once, and no recording is on both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feature_stores import make_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from us8k_batch.catalog.genuine import load_genuine
from us8k_batch.errors import RequestError
from us8k_batch.training.data import Dataset
from us8k_batch.training.splits import (
    KNOWN_CROSSINGS,
    Split,
    grouped_parts,
    inner_splits,
    make_splits,
    refuse_shared,
    shared_clips,
)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Draw clips whose recordings each sit in one fold and have one label, every class in three folds or more."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_classes, n_folds = draw(st.integers(2, 4)), draw(st.integers(3, 6))
    recordings = [(c, f) for c in range(n_classes) for f in range(n_folds) for _ in range(draw(st.integers(1, 2)))]
    y, folds, groups = [], [], []
    for group, (label, fold) in enumerate(recordings):
        for _ in range(int(rng.integers(1, 4))):
            y.append(label)
            folds.append(fold * 3 + 1)
            groups.append(group)
    order = rng.permutation(len(y))
    return make_dataset(y=np.array(y)[order], folds=np.array(folds)[order], groups=np.array(groups)[order])


@pytest.fixture(scope="module")
def urbansound8k() -> Dataset:
    """Return the genuine folds, labels and recordings, without features."""
    paths = sorted(load_genuine()["path"].to_pylist())
    names = [Path(path).name.split("-") for path in paths]
    folds = [int(Path(path).parent.name.removeprefix("fold")) for path in paths]
    recordings, groups = np.unique([name[0] for name in names], return_inverse=True)
    data = make_dataset(
        y=[int(name[1]) for name in names],
        folds=folds,
        groups=groups,
        group_names=recordings.tolist(),
        columns=("clip_id", "fsID", "slice_file_name"),
    )
    data.clip_ids[:] = [Path(path).name for path in paths]
    return data


@settings(max_examples=50)
@given(datasets(), st.sampled_from(["folds", "grouped"]), st.integers(0, 3))
def test_every_clip_is_tested_exactly_once(data: Dataset, protocol: str, seed: int) -> None:
    """The test sides tile the dataset, each disjoint from its training side, which has all other clips."""
    parts = make_splits(data, protocol, seed).parts
    tested = np.concatenate([part.test for part in parts])
    assert sorted(tested) == list(range(len(data)))
    for part in parts:
        assert sorted([*part.train, *part.test]) == list(range(len(data)))


@settings(max_examples=50)
@given(datasets(), st.sampled_from(["folds", "grouped"]), st.integers(0, 3))
def test_no_recording_is_on_both_sides(data: Dataset, protocol: str, seed: int) -> None:
    """Whatever is drawn, no test clip shares its recording with a training clip, and every class can be learnt."""
    for part in make_splits(data, protocol, seed).parts:
        assert not np.intersect1d(data.groups[part.train], data.groups[part.test]).size
        assert set(data.y[part.train]) == set(range(len(data.classes)))


@settings(max_examples=30)
@given(datasets())
def test_inner_splits_never_see_the_outer_test_fold(data: Dataset) -> None:
    """Inner splits tile the outer training clips by fold, keep recordings on one side, and hold no test clip."""
    for outer in make_splits(data, "folds").parts:
        inner = inner_splits(data, outer)
        assert sorted(np.concatenate([part.test for part in inner])) == list(outer.train)
        for part in inner:
            assert not {*part.train, *part.test} & set(outer.test)
            assert not np.intersect1d(data.groups[part.train], data.groups[part.test]).size


@settings(max_examples=30)
@given(datasets(), st.data())
def test_a_recording_in_two_folds_is_refused(data: Dataset, draw: st.DataObject) -> None:
    """Moving one clip of a recording to another fold is noticed, with the recording's name."""
    sizes = np.bincount(data.groups)
    several = np.flatnonzero(sizes > 1)
    if not len(several):
        return
    group = int(draw.draw(st.sampled_from(several.tolist())))
    clip = np.flatnonzero(data.groups == group)[0]
    data.folds[clip] = next(fold for fold in np.unique(data.folds) if fold != data.folds[clip])
    with pytest.raises(RequestError, match=rf"recording-{group} has clips on both sides.*--protocol grouped"):
        make_splits(data, "folds")


def test_a_number_of_the_known_five_is_no_pass_elsewhere() -> None:
    """A manifest's recording that happens to be called 77751 is refused like any other."""
    groups, names = [0, 0, 1, 2, 3, 4], ["77751", "a", "b", "c", "d"]
    data = make_dataset(y=[0, 0, 0, 1, 1, 1], folds=[2, 7, 2, 2, 7, 7], groups=groups, group_names=names)
    with pytest.raises(RequestError, match="77751"):
        make_splits(data, "folds")


def test_a_known_recording_in_other_folds_is_refused() -> None:
    """Only the folds that the genuine dataset has it in are allowed."""
    groups, names = [0, 0, 1, 2, 3, 4], ["77751", "a", "b", "c", "d"]
    kind = ("fsID",)
    data = make_dataset(
        y=[0, 0, 0, 1, 1, 1], folds=[2, 5, 2, 2, 5, 5], groups=groups, group_names=names, columns=kind
    )
    with pytest.raises(RequestError, match="77751"):
        make_splits(data, "folds")


def test_the_official_folds_are_allowed_counted_and_marked(urbansound8k: Dataset) -> None:
    """The genuine UrbanSound8K splits into its ten folds; its 152 crossing clips are named and told apart."""
    splits = make_splits(urbansound8k, "folds")
    assert [part.name for part in splits.parts] == [str(fold) for fold in range(1, 11)]
    assert int(splits.crossing.sum()) == 152
    assert {urbansound8k.group_names[code] for code in urbansound8k.groups[splits.crossing]} == set(KNOWN_CROSSINGS)
    assert splits.warnings[0].startswith("152 clips of 5 recordings (106905, 132016, 176638, 180937, 77751)")


def test_without_the_known_clips_the_official_folds_do_not_leak(urbansound8k: Dataset) -> None:
    """No clip that is scored without the 152 shares a recording with its training side."""
    splits = make_splits(urbansound8k, "folds")
    leaking = sum(shared_clips(part, urbansound8k.groups) for part in splits.parts)
    assert leaking == 152
    for part in splits.parts:
        counted = Split(part.name, part.train, part.test[~splits.crossing[part.test]])
        assert shared_clips(counted, urbansound8k.groups) == 0


def test_inner_splits_of_the_official_folds_do_not_leak(urbansound8k: Dataset) -> None:
    """A known recording in two inner folds leaves the training side, and the tested clips stay whole."""
    outer = make_splits(urbansound8k, "folds").parts[2]
    inner = inner_splits(urbansound8k, outer)
    assert sorted(np.concatenate([part.test for part in inner])) == list(outer.train)
    assert sum(shared_clips(part, urbansound8k.groups) for part in inner) == 0


def test_the_article_split_is_the_tutorials_clip_by_clip(urbansound8k: Dataset) -> None:
    """On the genuine dataset it tests what ``train_test_split`` of the CSV's rows tests, and says the leak.

    UrbanSound8K.csv lists the clips by name.
    """
    train, test = train_test_split(np.sort(urbansound8k.clip_ids), test_size=0.2, random_state=127)
    splits = make_splits(urbansound8k, "article", seed=5)
    (part,) = splits.parts
    assert list(urbansound8k.clip_ids[part.train]) == list(train)
    assert list(urbansound8k.clip_ids[part.test]) == list(test)
    assert "1681 of 1747 test clips share a recording" in splits.warnings[0]


def test_the_csv_lists_the_clips_by_name(real_data: Path) -> None:
    """The order that the article's split takes for the tutorial's is the genuine file's."""
    rows = pd.read_csv(real_data / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv")["slice_file_name"]
    assert list(rows) == sorted(rows)


def test_grouped_draws_by_seed() -> None:
    """The same seed draws the same parts, another one others."""
    data = make_dataset(y=[0, 1] * 30, folds=[1] * 60, groups=np.arange(60) // 2 * 2 + np.arange(60) % 2)
    drawn = [make_splits(data, "grouped", seed).parts for seed in (1, 1, 2)]
    same = [all(np.array_equal(a.test, b.test) for a, b in zip(drawn[0], other, strict=True)) for other in drawn[1:]]
    assert same == [True, False]


def test_clips_without_a_recording_stand_alone() -> None:
    """Unknown recordings are not one big recording."""
    parts = grouped_parts(np.array([0, 1] * 10), np.full(20, -1), 4, 0)
    assert [len(test) for _, test in parts] == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("change", "protocol", "message"),
    [
        ({"folds": [1] * 12}, "folds", r"every clip is in fold 1.*--protocol grouped"),
        ({"groups": [-1] * 12}, "grouped", r"12 of 12 clips have no recording.*--protocol folds"),
        ({"y": [0] * 12}, "folds", r"every clip is labelled class-0; expected two or more classes"),
        ({"y": [0, 0, 0, 0] + [1] * 8}, "folds", r"split 1: no clip of class-0 is left to learn from"),
        (
            {"groups": [0] * 4 + list(range(1, 9)), "y": [0] * 4 + [1] * 8},
            "grouped",
            r"class-0 come from one recording",
        ),
        ({}, "random", r"protocol 'random': expected one of folds, grouped, article"),
    ],
)
def test_what_cannot_be_split_is_refused(change: dict[str, list[int]], protocol: str, message: str) -> None:
    """Each error names what stands in the way and what to do."""
    values = {"y": [0, 1] * 6, "folds": [1] * 4 + [2] * 4 + [3] * 4, "groups": list(range(12)), **change}
    with pytest.raises(RequestError, match=message):
        make_splits(make_dataset(**values), protocol)


def test_a_fold_without_a_class_is_a_warning() -> None:
    """A class that one fold lacks is still learnt from the others and tested there."""
    data = make_dataset(y=[0, 1, 0, 1, 0, 0], folds=[1, 1, 2, 2, 3, 3], groups=range(6))
    assert make_splits(data, "folds").warnings == ("split 3 tests no clip of class-1",)


def test_refusing_counts_the_other_recordings() -> None:
    """The first recording is named, the others are counted."""
    groups = np.array([0, 1, 2, 0, 1, 2])
    with pytest.raises(RequestError, match="recording a has clips on both sides, and so have 2 more"):
        refuse_shared([Split("1", np.arange(3), np.arange(3, 6))], groups, ["a", "b", "c"])


def test_grouped_makes_no_more_parts_than_a_class_has_clips() -> None:
    """Three clips of each class are split in three, not refused because five are usual."""
    data = make_dataset(y=[0, 1] * 3, folds=[1] * 6, groups=range(6))
    parts = make_splits(data, "grouped").parts
    assert len(parts) == 3
    assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(6))


def test_classes_of_one_clip_cannot_be_split() -> None:
    """One clip cannot be learnt and tested: an error of ours, with what was expected."""
    with pytest.raises(RequestError, match="one clip only; expected two"):
        grouped_parts(np.arange(4), np.arange(4), 3, 0)


@pytest.mark.parametrize("folds", [2, 3])
def test_tuning_needs_a_class_in_three_folds_and_says_so(folds: int) -> None:
    """One is tested and each of the others is held out; the message names the class, three, and what needs two."""
    where = [1, 2, 3, 1, 2, 3, *range(1, folds + 1)]
    data = make_dataset(y=[0, 0, 0, 1, 1, 1, *[2] * folds], folds=where, groups=range(6 + folds))
    outer = make_splits(data, "folds").parts[0]
    if folds == 3:
        assert len(inner_splits(data, outer)) == 2
    else:
        with pytest.raises(RequestError, match=r"no clip of class-2 .*at least three folds.*us8k train"):
            inner_splits(data, outer)


def test_a_message_about_many_classes_has_an_end() -> None:
    """Hundreds of classes that a fold lacks are counted, not listed: a run's document has no room for more."""
    data = replace(
        make_dataset(y=[*range(900), *range(900), 0], folds=[1] * 900 + [2] * 900 + [3], groups=range(1801)),
        classes=tuple(f"a class with a long name, number {i}" for i in range(900)),
    )
    (warning,) = make_splits(data, "folds").warnings
    assert len(warning) < 600
    assert warning.endswith("and 889 more")

"""Check a dataset: what is missing, damaged, doubled or not genuine, and what it consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.dataset import Catalog, open_catalog
from us8k_batch.catalog.genuine import load_genuine
from us8k_batch.catalog.listing import one_array
from us8k_batch.catalog.locate import URBANSOUND8K
from us8k_batch.catalog.longest import DAY, find_longest
from us8k_batch.catalog.report import EXAMPLES, CheckReport, Crossing, Duplicate, Durations, Part
from us8k_batch.catalog.survey import survey
from us8k_batch.likeness import lookalikes

EDGES = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 5.0, 10.0, 30.0, 60.0, 600.0)
"""Where the ranges of the histogram of durations begin, in seconds; the last one is open."""
CENSUS = ("container", "subtype", "sample_rate", "channels")


def check(
    dataset: str, progress: Callable[[int], None] | None = None, columns: Mapping[str, str] | None = None
) -> CheckReport:
    """Check a dataset; every clip is read once, none is changed.

    Parameters
    ----------
    dataset : str
        As `open_catalog` takes it.
    progress : callable, optional
        Told, now and then, how many clips have been read.
    columns : mapping, optional
        As `open_catalog` takes them.

    Returns
    -------
    report : CheckReport
        Its `findings` are what ought to be otherwise: problems of single clips, sets of clips with the same bytes,
        recordings in several folds, labels and groups that look alike, and class names that contradict their
        numbers. The five recordings that the genuine UrbanSound8K has in two folds each are reported, but are no
        finding: it cannot be had without them.

    Raises
    ------
    DatasetError
        If it is no dataset; see `open_catalog`.
    StorageError
        If the storage does not answer as it should, even after retries.
    """
    catalog = open_catalog(dataset, columns)
    clips = catalog.clips
    surveyed = survey(catalog, progress)
    official = _official(catalog)
    problems = [_unread(clips), _damaged(clips, surveyed), _far_longer(clips, surveyed)]
    if official is not None:
        problems.append(_not_genuine(clips, surveyed, official))
    groups = clips.filter(pc.is_valid(clips["group"]))
    return CheckReport(
        dataset=catalog.url,
        layout=catalog.layout,
        clips=clips.num_rows,
        present=surveyed.num_rows,
        size=pc.sum(clips["size"]).as_py() or 0,
        recordings=pc.count_distinct(groups["group"]).as_py() if groups.num_rows else None,
        problems=pa.concat_tables(problems).sort_by([("problem", "ascending"), ("path", "ascending")]),
        duplicates=_duplicates(clips, surveyed),
        crossings=_crossings(groups, official),
        lookalikes=lookalikes(clips),
        contradictions=_contradictions(clips),
        classes=_classes(clips),
        census={kind: _counts(surveyed[kind]) for kind in CENSUS},
        durations=_durations(surveyed),
        genuine=None if official is None else _genuine_counts(clips, problems[-1], official),
    )


def _official(catalog: Catalog) -> pa.Table | None:
    """Return the genuine clips if this is UrbanSound8K, or claims to be: if it has one of its clips."""
    if catalog.layout != URBANSOUND8K:
        return None
    official = load_genuine()
    if pc.all(pc.match_substring_regex(catalog.clips["path"], "^fold")).as_py():  # UrbanSound8K.csv beside fold1
        paths = pc.replace_substring_regex(official["path"], "^audio/", "")
        official = official.set_column(0, "path", paths)
    return official if pc.any(pc.is_in(catalog.clips["path"], official["path"])).as_py() else None


def _problems(clips: pa.Table, problem: Any, detail: Any) -> pa.Table:
    columns = [clips["clip_id"], clips["path"], problem, detail]
    return pa.table(columns, names=["clip_id", "path", "problem", "detail"])


def _unread(clips: pa.Table) -> pa.Table:
    absent = clips.filter(pc.is_valid(clips["error"]))
    return _problems(absent, absent["error"], absent["detail"])


def _damaged(clips: pa.Table, surveyed: pa.Table) -> pa.Table:
    damaged = surveyed.filter(pc.is_valid(surveyed["problem"]))
    return _problems(clips.take(damaged["row"]), damaged["problem"], damaged["detail"])


def _far_longer(clips: pa.Table, surveyed: pa.Table) -> pa.Table:
    """Name clips that do not decide how long clips of a new store may be, and would fail there."""
    seconds = surveyed["seconds"].fill_null(0.0).to_numpy()
    longest = find_longest(seconds, DAY)
    found = clips.take(surveyed["row"].take(pa.array(longest.aside, pa.int64())))
    detail = [
        f"{seconds[place]:.6g} s, far longer than the rest (the next is {longest.seconds:.6g} s): extract will make "
        "no room for it, unless max_seconds or truncate is set"
        for place in longest.aside
    ]
    return _problems(found, pa.repeat("too_long", found.num_rows), pa.array(detail, pa.string()))


def _not_genuine(clips: pa.Table, surveyed: pa.Table, official: pa.Table) -> pa.Table:
    read = surveyed.filter(pc.is_valid(surveyed["sha256"]))
    found = clips.take(read["row"])
    genuine = official.take(pc.index_in(found["path"], value_set=one_array(official["path"])))
    other = pc.not_equal(read["sha256"], genuine["sha256"])
    found, genuine = found.filter(other), genuine.filter(other)
    same_size = pc.equal(found["size"], genuine["size"])
    sizes = pc.binary_join_element_wise(
        found["size"].cast(pa.string()), genuine["size"].cast(pa.string()), " bytes, the genuine one has "
    )
    detail = pc.if_else(same_size, "as long as the genuine one, but of other content", sizes)
    return _problems(found, pa.repeat("not_genuine", found.num_rows), detail)


def _genuine_counts(clips: pa.Table, differing: pa.Table, official: pa.Table) -> dict[str, int]:
    listed = clips.filter(pc.is_in(clips["path"], value_set=one_array(official["path"])))
    present = listed.num_rows - pc.sum(pc.is_valid(listed["error"])).as_py()
    return {
        "genuine": present - differing.num_rows,
        "differ": differing.num_rows,
        "absent": official.num_rows - present,
        "foreign": clips.num_rows - listed.num_rows,
    }


def _duplicates(clips: pa.Table, surveyed: pa.Table) -> tuple[Duplicate, ...]:
    read = surveyed.filter(
        pc.and_(pc.is_valid(surveyed["sha256"]), pc.not_equal(pc.fill_null(surveyed["problem"], ""), "empty"))
    )
    counts = read.group_by("sha256").aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))["sha256"]
    members = read.filter(pc.is_in(read["sha256"], value_set=one_array(repeated)))
    found = clips.take(members["row"]).select(["clip_id", "fold", "label"]).append_column("sha256", members["sha256"])
    sets = found.group_by("sha256").aggregate([("clip_id", "list"), ("fold", "distinct"), ("label", "distinct")])
    return tuple(
        Duplicate(
            sha256=row["sha256"].hex(),
            clips=len(row["clip_id_list"]),
            clip_ids=tuple(sorted(row["clip_id_list"])[:EXAMPLES]),
            folds=tuple(sorted(row["fold_distinct"])),
            labels=tuple(sorted(row["label_distinct"])),
        )
        for row in sets.sort_by("sha256").to_pylist()
    )


def _crossings(groups: pa.Table, official: pa.Table | None) -> tuple[Crossing, ...]:
    folds = groups.group_by("group").aggregate([("fold", "count_distinct")])
    several = folds.filter(pc.greater(folds["fold_count_distinct"], 1))["group"]
    found = groups.filter(pc.is_in(groups["group"], value_set=one_array(several)))
    genuine = (
        pa.repeat(False, found.num_rows) if official is None else pc.is_in(found["path"], one_array(official["path"]))
    )
    keys = ["group", "fold", "label"]
    counts = (
        found.select(keys)
        .append_column("genuine", genuine)
        .group_by(keys)
        .aggregate([([], "count_all"), ("genuine", "all")])
        .sort_by([(key, "ascending") for key in keys])
    )
    recordings = groupby(counts.to_pylist(), key=lambda row: row["group"])
    return tuple(_crossing(group, list(rows)) for group, rows in recordings)


def _crossing(group: str, rows: list[dict[str, Any]]) -> Crossing:
    parts = tuple(Part(fold=row["fold"], label=row["label"], clips=row["count_all"]) for row in rows)
    return Crossing(group=group, parts=parts, known=all(row["genuine_all"] for row in rows))


def _contradictions(clips: pa.Table) -> tuple[str, ...]:
    """Compare UrbanSound8K's class numbers with its class names."""
    if not {"classID", "class"} <= set(clips.column_names):
        return ()
    pairs = clips.group_by(["classID", "class"]).aggregate([]).to_pylist()
    found = []
    for one, other in (("classID", "class"), ("class", "classID")):
        for value in sorted({pair[one] for pair in pairs if pair[one] is not None}):
            others = sorted(pair[other] for pair in pairs if pair[one] == value and pair[other] is not None)
            if len(others) > 1:
                found.append(f"{one} {value} has several {other}: {', '.join(map(str, others))}, expected one")
    return tuple(found)


def _classes(clips: pa.Table) -> dict[str, dict[int, int]]:
    counts = clips.group_by(["label", "fold"]).aggregate([([], "count_all")])
    table: dict[str, dict[int, int]] = {}
    for row in counts.sort_by([("label", "ascending"), ("fold", "ascending")]).to_pylist():
        table.setdefault(row["label"], {})[row["fold"]] = row["count_all"]
    return table


def _counts(column: Any) -> Mapping[str, int]:
    pairs = pc.value_counts(column.drop_null()).to_pylist()
    return {str(pair["values"]): pair["counts"] for pair in sorted(pairs, key=lambda p: (-p["counts"], p["values"]))}


def _durations(surveyed: pa.Table) -> Durations | None:
    seconds = surveyed["seconds"].drop_null().to_numpy()
    if len(seconds) == 0:
        return None
    counts, _ = np.histogram(seconds, [*EDGES, np.inf])
    ranges = [f"{low:g} to {high:g}" for low, high in pairwise(EDGES)]
    return Durations(
        minimum=float(seconds.min()),
        median=float(np.median(seconds)),
        maximum=float(seconds.max()),
        histogram=dict(zip([*ranges, f"{EDGES[-1]:g} and more"], counts.tolist(), strict=True)),
    )

"""What a check found out about a dataset, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.likeness import Lookalike

EXAMPLES = 20
"""Clips named for each kind of problem, and for each set of duplicates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Clips of one recording that share fold and label."""

    fold: int
    """Their fold."""
    label: str
    """Their label."""
    clips: int
    """How many they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """A recording whose clips sit in several folds: a model may be tested on what it was trained on."""

    group: str
    """The recording."""
    parts: tuple[Part, ...]
    """Its clips by fold and label."""
    known: bool
    """Whether the genuine UrbanSound8K has it in just these folds; then it is reported, but no finding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """Several clips with the same bytes."""

    sha256: str
    """Their digest, in hex."""
    clips: int
    """How many they are."""
    clip_ids: tuple[str, ...]
    """The first of them."""
    folds: tuple[int, ...]
    """Folds that they are in."""
    labels: tuple[str, ...]
    """Labels that they have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Durations:
    """How long the clips are, in seconds."""

    minimum: float
    """The shortest."""
    median: float
    """Half of the clips are no longer."""
    maximum: float
    """The longest."""
    histogram: Mapping[str, int]
    """Clips by range, such as ``0.1 to 0.5``: from the first, below the second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport:
    """What `check` found out."""

    dataset: str
    """The dataset as a person would write it."""
    layout: str
    """``urbansound8k`` or ``manifest``."""
    clips: int
    """Clips that the metadata lists."""
    present: int
    """Clips that are there."""
    size: int
    """Their bytes."""
    recordings: int | None
    """Number of recordings; None if the dataset does not say which clip is of which."""
    problems: pa.Table
    """``clip_id``, ``path``, ``problem`` and ``detail`` of each problem of a single clip; a clip may have several."""
    duplicates: tuple[Duplicate, ...]
    """Sets of clips with the same bytes."""
    crossings: tuple[Crossing, ...]
    """Recordings in several folds."""
    lookalikes: tuple[Lookalike, ...]
    """Labels and groups that differ in space, case or Unicode form only."""
    contradictions: tuple[str, ...]
    """Class numbers with several names, and names with several numbers."""
    classes: Mapping[str, Mapping[int, int]]
    """Number of clips by label and fold."""
    census: Mapping[str, Mapping[str, int]]
    """Number of clips by ``container``, ``subtype``, ``sample_rate`` (Hz) and ``channels``."""
    durations: Durations | None
    """None if no clip could be read."""
    genuine: Mapping[str, int] | None
    """UrbanSound8K's clips: ``genuine``, ``differ`` and ``absent``, and ``foreign`` ones; None for other datasets."""

    @property
    def findings(self) -> int:
        """Number of things that ought to be otherwise; known crossings and the census are none."""
        unknown = sum(not crossing.known for crossing in self.crossings)
        return len(self.problems) + len(self.duplicates) + unknown + len(self.lookalikes) + len(self.contradictions)

    @property
    def problem_counts(self) -> dict[str, int]:
        """Number of problems of single clips by kind, most frequent first."""
        counts = pc.value_counts(self.problems["problem"]).to_pylist()
        return {
            pair["values"]: pair["counts"]
            for pair in sorted(counts, key=lambda pair: (-pair["counts"], pair["values"]))
        }

    def examples(self, problem: str) -> list[dict[str, str]]:
        """Return the first clips with a problem, with their details."""
        found = self.problems.filter(pc.equal(self.problems["problem"], problem)).slice(0, EXAMPLES)
        return [{key: row[key] for key in ("clip_id", "path", "detail")} for row in found.to_pylist()]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; of long lists of clips the beginning, beside their number."""
        return {
            "dataset": self.dataset,
            "layout": self.layout,
            "clips": self.clips,
            "present": self.present,
            "size": self.size,
            "recordings": self.recordings,
            "findings": self.findings,
            "problems": {
                problem: {"clips": count, "examples": self.examples(problem)}
                for problem, count in self.problem_counts.items()
            },
            "duplicates": [asdict(duplicate) for duplicate in self.duplicates],
            "crossings": [asdict(crossing) for crossing in self.crossings],
            "lookalikes": [asdict(lookalike) for lookalike in self.lookalikes],
            "contradictions": list(self.contradictions),
            "classes": {label: {str(fold): n for fold, n in folds.items()} for label, folds in self.classes.items()},
            "census": {kind: dict(counts) for kind, counts in self.census.items()},
            "durations": None if self.durations is None else asdict(self.durations),
            "genuine": None if self.genuine is None else dict(self.genuine),
        }

    def lines(self) -> Iterator[str]:
        """Give the report as lines of text for a person."""
        yield f"{self.dataset}: {self.clips:,} clips, {self.present:,} there, {self.size:,} bytes"
        for problem, count in self.problem_counts.items():
            yield f"{problem}: {count:,}"
            for example in self.examples(problem)[:3]:
                yield f"    {example['path']}: {example['detail']}"
        for duplicate in self.duplicates[:EXAMPLES]:
            folds = ", ".join(map(str, duplicate.folds))
            named = ", ".join(duplicate.clip_ids[:3]) + _more(duplicate.clips, 3)
            yield f"same bytes: {named}; folds {folds}, labels {', '.join(duplicate.labels)}"
        if len(self.duplicates) > EXAMPLES:
            yield f"same bytes: {len(self.duplicates):,} sets in all"
        for crossing in self.crossings[:EXAMPLES]:
            parts = ", ".join(f"{part.clips} {part.label} in fold {part.fold}" for part in crossing.parts)
            official = "; so it is in the genuine UrbanSound8K" if crossing.known else ""
            yield f"recording {crossing.group} in several folds: {parts}{official}"
        if len(self.crossings) > EXAMPLES:
            yield f"recordings in several folds: {len(self.crossings):,} in all"
        yield from map(str, self.lookalikes[:EXAMPLES])
        if len(self.lookalikes) > EXAMPLES:
            yield f"labels and groups that look alike: {len(self.lookalikes):,} sets in all"
        yield from self.contradictions
        if self.recordings is None:
            yield "recordings: unknown, so whether folds share any is unknown too"
        if self.genuine is not None:
            yield "UrbanSound8K: " + ", ".join(f"{count:,} {kind}" for kind, count in self.genuine.items())
        yield from self._class_table()
        for kind, counts in self.census.items():
            yield f"{kind.replace('_', ' ')}: " + ", ".join(f"{value} {count:,}" for value, count in counts.items())
        if self.durations is not None:
            shape = self.durations
            yield f"seconds: {shape.minimum:.3f} shortest, {shape.median:.3f} median, {shape.maximum:.3f} longest"
            yield "    " + ", ".join(f"{limits} s: {count:,}" for limits, count in shape.histogram.items() if count)
        yield f"{self.findings:,} findings" if self.findings != 1 else "1 finding"

    def _class_table(self) -> Iterator[str]:
        folds = sorted({fold for counts in self.classes.values() for fold in counts})
        width = max(map(len, self.classes), default=0)
        yield "clips by class and fold" + (
            ":" if len(folds) <= EXAMPLES else f": {len(folds):,} folds, too many to show"
        )
        if len(folds) > EXAMPLES:
            return
        yield f"    {'':{width}} " + "".join(f"{fold:>6}" for fold in folds)
        for label, counts in list(self.classes.items())[:50]:
            yield f"    {label:{width}} " + "".join(f"{counts.get(fold, 0):>6}" for fold in folds)


def _more(count: int, shown: int) -> str:
    return f" and {count - shown:,} more" if count > shown else ""

"""Text that differs in space, case or Unicode form only: what a reader takes for one, and a program for several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookalike:
    """Several spellings of what looks like one label or recording."""

    column: str
    """``label`` or ``group``."""
    spellings: tuple[tuple[str, int], ...]
    """Each spelling and its number of clips, most frequent first."""
    folds: tuple[int, ...]
    """Folds that the clips of all spellings are in."""

    def __str__(self) -> str:
        """Quote the spellings, and say what they are to whoever compares them exactly."""
        told = ", ".join(f"{quoted(name)} ({n:,} clip{'s' if n > 1 else ''})" for name, n in self.spellings)
        kind, several = ("class", "classes") if self.column == "label" else ("recording", "recordings")
        text = f"{self.column}s that look like one {kind}, and are {len(self.spellings)} {several}: {told}"
        if self.column == "group" and len(self.folds) > 1:
            text += f"; in folds {', '.join(map(str, self.folds))}, a leak if they are one"
        return text


def likeness(values: Any) -> Any:
    """Return what a reader sees of each text: without its Unicode form, case, outer and doubled spaces.

    Parameters
    ----------
    values : string Array or ChunkedArray
        Null stays null.
    """
    plain = pc.utf8_lower(pc.utf8_normalize(values, form="NFKC"))
    plain = pc.replace_substring_regex(plain, r"\p{Cf}", "")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, r"\s+", " "))


def lookalikes(table: pa.Table) -> tuple[Lookalike, ...]:
    """Find labels and groups that differ in space, case or Unicode form only.

    Parameters
    ----------
    table : Table
        ``fold`` (whole numbers), ``label`` and, where the dataset tells, ``group``, as strings.
    """
    found: list[Lookalike] = []
    for column in ("label", "group"):
        if column not in table.column_names or not pa.types.is_string(table[column].type):
            continue
        counts = pc.value_counts(table[column].drop_null())
        values, numbers = counts.field("values"), counts.field("counts")
        alike = likeness(values)
        sizes = pc.value_counts(alike)
        several = sizes.filter(pc.greater(sizes.field("counts"), 1)).field("values")
        mask = pc.is_in(alike, value_set=several)
        sets: dict[str, list[tuple[str, int]]] = {}
        folds = _folds(table, column, values.filter(mask), alike.filter(mask))
        columns = (part.filter(mask).to_pylist() for part in (alike, values, numbers))
        for key, spelling, clips in zip(*columns, strict=True):
            sets.setdefault(key, []).append((spelling, clips))
        for key in sorted(sets):
            spellings = tuple(sorted(sets[key], key=lambda pair: (-pair[1], pair[0])))
            found.append(Lookalike(column=column, spellings=spellings, folds=tuple(sorted(folds[key]))))
    return tuple(found)


def warnings(found: tuple[Lookalike, ...], most: int = 5) -> list[str]:
    """Say a line for each of the first ones, and how many more there are."""
    lines = [str(one) for one in found[:most]]
    if len(found) > most:
        lines.append(f"and {len(found) - most:,} more labels and groups that look alike; us8k check names them")
    return lines


def _folds(table: pa.Table, column: str, spellings: pa.Array, alike: pa.Array) -> dict[str, set[int]]:
    """Return the folds of the clips with one of these spellings, by what they look like."""
    clips = table.select([column, "fold"]).filter(pc.is_in(table[column], value_set=spellings))
    keys = alike.take(pc.index_in(clips[column], value_set=spellings).combine_chunks())
    folds: dict[str, set[int]] = {}
    for key, fold in zip(keys.to_pylist(), clips["fold"].to_pylist(), strict=True):
        folds.setdefault(key, set()).add(fold)
    return folds


def quoted(text: str) -> str:
    """Quote a text so that no two spellings look the same: what is not ASCII is given by its code too."""
    return repr(text) if repr(text) == ascii(text) else f"{text!r} = {text!a}"

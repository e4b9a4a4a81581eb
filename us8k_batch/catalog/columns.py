"""Columns of a dataset's metadata: their names, their types, and what their values may be."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.metadata import Metadata, separated_otherwise
from us8k_batch.errors import DatasetError

PUBLISHED_NAMES = (
    "clip_id", "path", "fold", "label", "group", "row", "n_frames", "duration", "digest", "state",
    "size", "mtime_ns", "etag", "source_sha256", "stage", "error", "detail", "versions",
    "plan", "shard_sha256", "commit_sha256",
)  # fmt: skip
"""Names that the published tables give a meaning; no other column of a dataset may have one."""
PUBLISHED_PREFIX = "mfcc_"
"""Beginning of the pooled columns' names."""

CONTROL = r"\p{Cc}"
WHOLE = r"^-?[0-9]{1,18}(\.0*)?$"
"""Whole numbers, also as they are written of a column that had gaps: ``1.0``."""
FRACTION = r"\.0*$"
FLOAT_WHOLE = r"^-?[0-9]{1,18}\.0$"
EXACT = 2.0**53
"""Numbers of smaller magnitude are whole in float64 if they say so."""
DECIMAL = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
CANONICAL_WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
CANONICAL_DECIMAL = r"^-?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$"
"""Without leading zeros, nor more digits before the point than float64 keeps."""
FEW = 1000
"""Rows looked at first: most columns of text show there that they are no numbers."""


def read_columns(assignments: Sequence[str]) -> dict[str, str]:
    """Read what was given of ``--columns``: ``path=filename,label=category``.

    Raises
    ------
    DatasetError
        If a part of it is no assignment, or a column is named twice.
    """
    columns: dict[str, str] = {}
    for text in assignments:
        for part in next(csv.reader([text]), []):
            ours, mark, theirs = part.partition("=")
            if not (mark and ours.strip() and theirs.strip()):
                raise DatasetError(f"--columns {part!r}: expected an assignment, such as path=filename")
            if ours.strip() in columns:
                raise DatasetError(f"--columns: {ours.strip()} is named twice, expected once")
            columns[ours.strip()] = theirs.strip()
    return columns


def with_columns(metadata: Metadata, columns: Mapping[str, str], known: tuple[str, ...]) -> Metadata:
    """Give columns of a table the names that we know them by.

    They keep their own names beside, and travel; a column that has the name already is not used.

    Parameters
    ----------
    metadata : Metadata
        The table as it is.
    columns : mapping
        By our name, the name in the table.
    known : tuple of str
        Our names.

    Raises
    ------
    DatasetError
        If a name is none of ours, or the table has no such column.
    """
    table = metadata.table
    for ours, theirs in columns.items():
        if ours not in known:
            raise DatasetError(f"--columns {ours}={theirs}: expected one of {', '.join(known)} before the =")
        if theirs not in metadata.table.column_names:
            found = ", ".join(map(repr, metadata.table.column_names[:20]))
            raise DatasetError(f"{metadata.name}: --columns {ours}={theirs}: no column {theirs!r}; found {found}")
        if ours in table.column_names:
            table = table.drop_columns([ours])
        table = table.append_column(ours, metadata.table[theirs])
    spent = {name for name in columns.values() if is_published(name) and name not in known}
    return replace(metadata, table=table.drop_columns(sorted(spent)), given=dict(columns))


def is_published(name: str) -> bool:
    """Tell whether a name is one of the published tables'."""
    return name in PUBLISHED_NAMES or name.startswith(PUBLISHED_PREFIX)


def require_columns(metadata: Metadata, required: tuple[str, ...], hint: str) -> None:
    """Refuse a table without one of these columns."""
    names = metadata.table.column_names
    absent = [name for name in required if name not in names]
    if absent:
        found = ", ".join(map(repr, names[:20]))
        hint = separated_otherwise(names) or hint
        raise DatasetError(f"{metadata.name}: no column {', '.join(absent)}; found {found}. {hint}")


def text(metadata: Metadata, column: str) -> Any:
    """Return a column as strings; whole numbers become their digits, null stays.

    Numbers that pandas made floats of, because the column has gaps, are the whole numbers that they were.

    Raises
    ------
    DatasetError
        If the column is of another type, or a value holds a control character.
    """
    values = metadata.table[column]
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float64())
    if pa.types.is_integer(values.type) or pa.types.is_null(values.type):
        return values.cast(pa.string())
    if pa.types.is_floating(values.type) and _are_whole(values):
        return pc.if_else(pc.is_nan(values), None, values).cast(pa.int64()).cast(pa.string())
    if not pa.types.is_string(values.type):
        raise DatasetError(f"{metadata.name}: column {column} is {values.type}: expected text")
    metadata.require(
        pc.fill_null(pc.invert(pc.match_substring_regex(values, CONTROL)), True),
        column,
        "text without control characters",
    )
    return values


def names_of_recordings(metadata: Metadata, column: str) -> Any:
    """Return a column as `text` does; if all its values are such as ``77751.0``, as whole numbers."""
    values = text(metadata, column)
    if metadata.data is not None and pc.all(pc.match_substring_regex(values, FLOAT_WHOLE), min_count=1).as_py():
        values = pc.replace_substring_regex(values, FRACTION, "")
    return values


def filled_text(metadata: Metadata, column: str) -> Any:
    """Return a column as `text` does, and refuse a row that has nothing there."""
    values = text(metadata, column)
    metadata.require(pc.match_substring_regex(values, r"\S"), column, "something else than blanks")
    return values


def whole_numbers(metadata: Metadata, column: str, bits: Any) -> Any:
    """Return a column as whole numbers of an Arrow integer type; refuse a row with anything else, or nothing."""
    values = metadata.table[column]
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float64())
    expected = f"a whole number of {bits.bit_width} bits"
    if pa.types.is_string(values.type):
        metadata.require(pc.match_substring_regex(values, WHOLE), column, expected)
        values = pc.replace_substring_regex(values, FRACTION, "")
    elif pa.types.is_floating(values.type):
        metadata.require(_is_whole(values), column, expected)
    elif not pa.types.is_integer(values.type):
        metadata.require(pa.repeat(False, len(values)), column, expected)
    # Unsafe turns a number beyond int64 into one that the next line refuses.
    values = values.cast(pa.int64(), safe=pa.types.is_string(values.type))
    if bits.bit_width < 64:
        most = 2 ** (bits.bit_width - 1)
        fits = pc.and_(pc.less(values, most), pc.greater_equal(values, -most))
    else:
        fits = pc.is_valid(values)
    metadata.require(fits, column, expected)
    return values.cast(bits)


def decimals(metadata: Metadata, column: str) -> Any:
    """Return a column of a CSV as float64; refuse a row with anything else than a number, or nothing."""
    metadata.require(pc.match_substring_regex(metadata.table[column], DECIMAL), column, "a number")
    return metadata.table[column].cast(pa.float64())


def _is_whole(values: Any) -> Any:
    """Tell which values of a floating column are whole numbers, exactly known; null where there is none."""
    return pc.and_(pc.equal(values, pc.floor(values)), pc.less(pc.abs(values), EXACT))


def _are_whole(values: Any) -> bool:
    """Tell whether a floating column holds whole numbers and gaps."""
    return bool(pc.all(pc.or_(pc.is_nan(values), _is_whole(values)), min_count=0).as_py())


def settled(values: Any) -> Any:
    """Give a column of a CSV the type that its values, all of them, call for.

    Whole numbers are int64; numbers with a point or exponent, or both kinds, float64; everything else stays text,
    such as ``007``, whole numbers of more than 18 digits, dates, ``true`` and ``nan``. An empty cell is null and says
    nothing about the type. It follows from the set of values alone, so that neither their order nor the version of a
    library changes it.
    """
    if not pa.types.is_string(values.type) or values.null_count == len(values):
        return values
    for pattern, kind in ((CANONICAL_WHOLE, pa.int64()), (CANONICAL_DECIMAL, pa.float64())):
        if all(
            pc.all(pc.match_substring_regex(part, pattern), min_count=0).as_py()
            for part in (values.slice(0, FEW), values)
        ):
            return values.cast(kind)
    return values

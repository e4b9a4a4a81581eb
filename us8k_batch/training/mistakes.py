"""The clips that a run was most sure about, and wrong."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from us8k_batch.errors import DamageError
from us8k_batch.parquet_bounds import check_size

COLUMNS = {
    "clip_id": pa.string(), "protocol": pa.string(), "split": pa.string(), "label": pa.string(),
    "predicted": pa.string(), "confidence": pa.float32(),
}  # fmt: skip
TEXTS = [name for name, kind in COLUMNS.items() if kind == pa.string()]
ROWS = 16_384
"""Predictions looked at at a time."""
MOST_BYTES = 256 << 20
"""Of the columns that are read, in one row group; ours have 131,072 rows."""
LONGEST = 1000
"""Characters of a name that are kept."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One clip that was taken for something else by a model that had not learnt it."""

    clip_id: str
    split: str
    label: str
    predicted: str
    confidence: float
    """Probability that the model gave to the wrong class."""


def worst_mistakes(file: Path, protocol: str, most: int) -> list[Mistake]:
    """Read the surest mistakes of a protocol, in bounded memory, from a table that anybody may have written.

    Parameters
    ----------
    file : Path
        ``predictions.parquet`` of a run.
    protocol : str
        The rows of which protocol count.
    most : int
        How many at most.

    Returns
    -------
    list of Mistake
        The surest first; equally sure ones by name.

    Raises
    ------
    DamageError
        If it is not such a table.
    """
    worst = pa.schema(list(COLUMNS.items())).empty_table()
    try:
        _refuse_bomb(file)
        with pq.ParquetFile(file, read_dictionary=TEXTS, page_checksum_verification=True) as table:
            _refuse_other(table, file)
            for batch in table.iter_batches(ROWS, columns=list(COLUMNS)):
                worst = _sorted(pa.concat_tables([worst, _wrong(batch, protocol)])).slice(0, most)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DamageError(f"{file}: not the predictions of a run ({error}); train again") from error
    return [
        Mistake(*(row[name] for name in ("clip_id", "split", "label", "predicted", "confidence")))
        for row in worst.to_pylist()
    ]


def _refuse_bomb(file: Path) -> None:
    """Refuse a file that would take more memory than its size can justify, before Arrow sees it."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        check_size(cast(bytes, mapped))  # it looks at slices alone, and they are bytes


def _wrong(batch: pa.RecordBatch, protocol: str) -> pa.Table:
    """Choose the rows that are wrong before their texts are unpacked: a dictionary may hold a long one once."""
    table = pa.Table.from_batches([batch]).select(list(COLUMNS)).unify_dictionaries()
    one = table.filter(pc.equal(_short(table["protocol"]), protocol))
    kept = one.filter(pc.not_equal(_short(one["label"]), _short(one["predicted"])))
    kept = kept.filter(pc.is_finite(kept["confidence"]))
    return pa.table({name: _short(kept[name]) if name in TEXTS else kept[name] for name in COLUMNS})


def _short(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts, cut where they are too long: those of the dictionary, and then by row."""
    chunks = [pc.utf8_slice_codeunits(chunk.dictionary, 0, LONGEST).take(chunk.indices) for chunk in column.chunks]
    return pa.chunked_array(chunks, pa.string())


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([("confidence", "descending"), ("clip_id", "ascending")])


def _refuse_other(table: pq.ParquetFile, file: Path) -> None:
    schema, metadata = table.schema_arrow, table.metadata
    for name, kind in COLUMNS.items():
        found = schema.field(name).type
        if found != (pa.dictionary(pa.int32(), kind) if name in TEXTS else kind):
            raise DamageError(f"{file}: {name} is {found}, expected {kind}; train again")
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        columns = (group.column(j) for j in range(group.num_columns))
        size = sum(one.total_uncompressed_size for one in columns if one.path_in_schema in COLUMNS)
        if size > MOST_BYTES:
            raise DamageError(f"{file}: {size} bytes in row group {i}, expected up to {MOST_BYTES}; train again")

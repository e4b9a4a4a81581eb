"""Fuzz the metadata reader: a table of clips, or an error that names the row; nothing else."""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["us8k_batch.catalog", "us8k_batch.parquet_bounds"]):
    from us8k_batch.catalog.layouts import CLIP_COLUMNS, describe_clips
    from us8k_batch.catalog.locate import MANIFEST, URBANSOUND8K
    from us8k_batch.catalog.metadata import parse_csv, parse_parquet

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fuzzing import GOLDEN, fuzz

from us8k_batch.errors import DatasetError

URBANSOUND8K_CSV = b"slice_file_name,fsID,start,end,salience,fold,classID,class\n1-2-0-0.wav,1,0.0,4.0,1,2,2,dog\n"


def target(data: bytes) -> None:
    """Read one metadata file, whose first byte tells what it is taken for."""
    kind, data = data[:1], data[1:]
    layout = URBANSOUND8K if kind == b"U" else MANIFEST
    try:
        clips = describe_clips(layout, (parse_parquet if kind == b"P" else parse_csv)("metadata", data))
    except DatasetError:
        return
    assert clips.column_names[: len(CLIP_COLUMNS)] == list(CLIP_COLUMNS)
    assert clips["clip_id"].null_count == clips["fold"].null_count == clips["path"].null_count == 0
    assert not pc.any(pc.match_substring_regex(clips["path"], r"(^|/)\.\.(/|$)|^/")).as_py()


def as_parquet(compression: str) -> bytes:
    """Make a manifest."""
    sink = pa.BufferOutputStream()
    table = pa.table({"path": ["a.wav", "b.wav"], "label": ["dog", "cat"], "fold": [1, 2]})
    pq.write_table(table, sink, compression=compression)
    return bytes(sink.getvalue())


if __name__ == "__main__":
    manifest = (GOLDEN / "dataset/manifest.csv").read_bytes()
    parquets = [b"P" + as_parquet(compression) for compression in ("none", "zstd", "snappy")]
    fuzz(target, [b"M" + manifest, b"U" + URBANSOUND8K_CSV, b'M"a\nb",x\r\n\r\n1,2\n', *parquets], 8192)

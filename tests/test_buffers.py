"""Arrow is given memory and files of its own: see us8k_batch/buffers.py."""

from __future__ import annotations

import tempfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from us8k_batch.buffers import arrow_file, arrow_map, arrow_reader
from us8k_batch.catalog import metadata
from us8k_batch.store import parquet

TABLE = pa.table({f"n{number}": [1.0, 2.0] for number in range(50)})


def written() -> bytes:
    """Return the table as any program writes it."""
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink)
    return sink.getvalue().to_pybytes()


READERS = {
    "csv": (metadata.pa_csv, "read_csv", lambda data: metadata.parse_csv("a.csv", data)),
    "parquet": (pq, "ParquetFile", lambda data: metadata.parse_parquet("a.parquet", data)),
    "object": (pq, "ParquetFile", lambda data: parquet.decode(data, "a.parquet")),
    "footer": (pq, "read_metadata", parquet.is_written_here),
}


@pytest.mark.parametrize("reader", READERS)
def test_arrow_is_never_given_bytes_of_the_interpreter(reader, monkeypatch):
    """While it reads, ours can be made longer: nothing points into them, so no thread of its will free them."""
    data = bytearray(b"path,label\na.wav,rain\n" if reader == "csv" else written())
    place, name, read = READERS[reader]
    really, seen = getattr(place, name), []

    def watched(source, *given, **named):
        data.append(0)  # BufferError if anything pointed into them
        data.pop()
        seen.append(source)
        return really(source, *given, **named)

    monkeypatch.setattr(place, name, watched)
    read(data)
    assert seen


def test_what_is_read_is_what_was_given(tmp_path):
    """In memory, of a file, of a mapped one; an empty one too."""
    assert arrow_reader(b"").read() == b""
    assert arrow_reader(b"abc").read() == b"abc"
    with tempfile.TemporaryFile() as file:
        file.write(b"abc")
        file.flush()
        assert (arrow_file(file).read(), arrow_map(file).read()) == (b"abc", b"abc")
        assert file.tell() == 3


def test_a_long_table_is_read_by_a_file_of_arrows(tmp_path, monkeypatch):
    """Row group by row group, with the same rows."""
    monkeypatch.setattr(parquet, "HELD_BYTES", 1)
    place = tmp_path / "a.parquet"
    place.write_bytes(parquet.encode(TABLE, {}))
    with place.open("rb") as file:
        assert parquet.Pieces(file, "a.parquet").read(0).equals(TABLE)

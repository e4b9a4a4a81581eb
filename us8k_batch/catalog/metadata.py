"""A dataset's metadata as a table: a CSV or Parquet file read whole, each row findable again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from us8k_batch.buffers import arrow_reader
from us8k_batch.errors import DatasetError
from us8k_batch.parquet_bounds import check_size

BLOCK = 8 << 20
"""Bytes that Arrow parses at a time; also the longest row that a CSV may have."""
SMALL = 1 << 20
"""Bytes up to which a CSV is parsed by the calling thread: threads that Arrow still starts when a refusal ends the
process abort it."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "vertical bars"}
"""What tables are separated by that are not separated by commas."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The rows of one metadata file, in their order."""

    name: str
    """Path or URL of the file, for messages."""
    table: pa.Table
    """All columns: text from a CSV (an empty cell is null), its own types from Parquet."""
    data: bytes | None
    """The CSV file, to find the line of a row; None for Parquet."""
    given: Mapping[str, str] = field(default_factory=dict)
    """By the name of a column, what it is called in the file, where that is another name."""

    def refuse(self, row: int, text: str) -> DatasetError:
        """Make the error for one row (counted from 0), naming where a person finds it.

        For a CSV that is the line as an editor counts it, from 1, the header being line 1 unless lines before it
        are empty; for Parquet it is the row, counted from 1.
        """
        if self.data is None:
            return DatasetError(f"{self.name}, row {row + 1} (counted from 1): {text}")
        line = next((line for number, (line, _) in enumerate(_records(self.data)) if number == row + 1), None)
        where = f"line {line}" if line else f"row {row + 1} below the header"
        return DatasetError(f"{self.name}, {where}: {text}")

    def require(self, mask: Any, column: str, expected: str) -> None:
        """Refuse the first row for which `mask` (bool, one per row) is not true, quoting its value of `column`."""
        row = pc.index(pc.fill_null(mask, False), False).as_py()
        if row >= 0:
            value = self.table[column][row].as_py()
            told = "nothing" if value is None else repr(value)
            raise self.refuse(row, f"{self.given.get(column, column)} = {told}: expected {expected}")


def parse_csv(name: str, data: bytes) -> Metadata:
    """Parse a CSV file with a header: commas, double quotes, UTF-8; empty lines are left out.

    Raises
    ------
    DatasetError
        If it is not UTF-8, a line has more or fewer values than the header, two columns share a name, or there is
        no row.
    """
    header = _header(name, data)
    if "\t" in header[0] and len(header) == 1:
        raise DatasetError(f"{name}: {separated_otherwise(header)}")
    try:
        table = pa_csv.read_csv(
            arrow_reader(data),
            read_options=pa_csv.ReadOptions(block_size=BLOCK, use_threads=len(data) > SMALL),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _diagnose(name, data, header, error) from error
    return _checked(Metadata(name, table, data))


def parse_parquet(name: str, data: bytes) -> Metadata:
    """Parse a Parquet file; text comes back as plain strings, however it is encoded.

    Raises
    ------
    DatasetError
        If it is no Parquet file, two columns share a name, a column is nested, or there is no row.
    """
    try:
        check_size(data)
        table = pq.ParquetFile(arrow_reader(data)).read()
        table.validate(full=True)
        _ = table.column_names  # decoded only now
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"{name}: expected a Parquet file: {(str(error) or 'damaged').splitlines()[0]}") from error
    metadata = _checked(Metadata(name, table.replace_schema_metadata(None), None))
    table = metadata.table
    for place, column in enumerate(table.schema):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_nested(kind):
            raise DatasetError(f"{name}: column {column.name} is {kind}: expected plain values, such as text")
        if pa.types.is_large_string(kind) or kind == pa.string_view():
            kind = pa.string()
        if kind != column.type:
            table = table.set_column(place, column.name, table[column.name].cast(kind))
    return Metadata(name, table, None)


def separated_otherwise(header: list[str]) -> str:
    """Say what the columns of a CSV are separated by, if it is no commas; else return nothing."""
    for mark, name in SEPARATORS.items():
        if len(header) == 1 and mark in header[0]:
            return f"its columns are separated by {name}, expected commas"
    return ""


def _header(name: str, data: bytes) -> list[str]:
    try:
        first = next(_records(data), None)
    except UnicodeDecodeError as error:
        raise _not_utf8(name, data) from error
    if first is None:
        raise DatasetError(f"{name}: the file is empty, expected a header and one line per clip")
    return first[1]


def _checked(metadata: Metadata) -> Metadata:
    names = metadata.table.column_names
    for name in names:
        if not name.strip() or not name.isprintable():
            raise DatasetError(
                f"{metadata.name}: a column is named {name!r}, expected printable text; "
                "an unnamed first column is often a saved index, so save without it"
            )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DatasetError(f"{metadata.name}: column {', '.join(doubled)} stands there twice, expected once")
    if metadata.table.num_rows == 0:
        raise DatasetError(f"{metadata.name}: there is no row below the header, expected one per clip")
    return metadata


def _diagnose(name: str, data: bytes, header: list[str], error: pa.ArrowInvalid) -> DatasetError:
    """Find the line that Arrow, which parses in parallel, does not name."""
    try:
        for line, record in _records(data):
            if len(record) != len(header):
                told = f"{len(record)} values, expected {len(header)} as in the header"
                return DatasetError(f"{name}, line {line}: {separated_otherwise(header) or told}")
    except UnicodeDecodeError:
        return _not_utf8(name, data)
    return DatasetError(f"{name}: expected a CSV file with commas: {str(error).splitlines()[0][:200]}")


def _not_utf8(name: str, data: bytes) -> DatasetError:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        return DatasetError(f"{name}, line {line}: byte 0x{byte:02x} is not UTF-8; save it as CSV UTF-8")
    return DatasetError(f"{name}: expected UTF-8")


def _records(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Give each record that is not an empty line, with the line on which it begins, counted from 1."""
    text = io.TextIOWrapper(io.BytesIO(data.removeprefix(BYTE_ORDER_MARK)), "utf-8", newline="")
    reader = csv.reader(text)
    begins = 1
    while True:
        try:
            record = next(reader, None)
        except csv.Error:  # a value longer than the module takes: its line is not known, but Arrow's message is
            return
        if record is None:
            return
        if record:
            yield begins, record
        begins = reader.line_num + 1

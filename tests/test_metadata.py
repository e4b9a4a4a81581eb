"""Metadata files: parsed whole, and each row found again where an editor shows it."""

from __future__ import annotations

import csv
import io
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog import metadata
from us8k_batch.catalog.metadata import parse_csv, parse_parquet
from us8k_batch.errors import DatasetError

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


def as_parquet(table: pa.Table) -> bytes:
    """Write a table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20))
def test_csv_cells_come_back_as_they_were_written(rows):
    """Commas, quotes, line breaks and any script survive; every cell is text."""
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    table = parse_csv("m.csv", file.getvalue().encode()).table
    assert list(zip(table["a"].to_pylist(), table["b"].to_pylist(), strict=True)) == rows


def test_a_line_break_may_lie_where_arrow_divides_the_file(monkeypatch):
    """Arrow parses a file in blocks; a quoted line break does not end a row, wherever a block ends."""
    monkeypatch.setattr(metadata, "BLOCK", 64)
    data = "note,x\n" + "".join(f'"line\n{i}\n",{i}\n' for i in range(100))
    assert parse_csv("m.csv", data.encode()).table["note"].to_pylist() == [f"line\n{i}\n" for i in range(100)]


@given(st.lists(st.sampled_from(["one", '"two\nlines"', '"three\r\nlines\nhere"', ""]), min_size=1, max_size=12))
def test_a_refused_row_is_named_by_the_line_that_an_editor_shows(lines):
    """Empty lines and quoted line breaks before a row are counted, as an editor counts them."""
    text = "note,x\n" + "".join(f"{line},1\n" if line else "\n" for line in lines) + "wanted,2\n"
    parsed = parse_csv("m.csv", text.encode())
    expected = text[: text.index("wanted")].count("\n") + 1
    assert f"m.csv, line {expected}: why" in str(parsed.refuse(parsed.table.num_rows - 1, "why"))


def test_a_parquet_row_is_counted_from_one():
    """There are no lines in a Parquet file, so the message says how the row is counted."""
    parsed = parse_parquet("m.parquet", as_parquet(pa.table({"fold": [1, 2]})))
    assert str(parsed.refuse(1, "why")) == "m.parquet, row 2 (counted from 1): why"


def test_a_byte_order_mark_is_not_part_of_the_first_name():
    """Excel's CSV UTF-8 begins with one."""
    assert parse_csv("m.csv", "\ufeffpath,fold\na,1\n".encode()).table.column_names == ["path", "fold"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings_do_not_matter(ending):
    """Linux's, Windows's and old Macs' files say the same."""
    data = ending.join(["a,b", "1,2", "3,4", ""]).encode()
    assert parse_csv("m.csv", data).table.to_pydict() == {"a": ["1", "3"], "b": ["2", "4"]}


def test_an_empty_cell_is_null_quoted_or_not():
    """Nothing between commas and nothing between quotes mean the same: nothing."""
    assert parse_csv("m.csv", b'a,b\n,1\n"",2\n').table["a"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"path,label,fold\n", "no row below the header"),
        (b"path,label\na,b\n\nc,d,e\n", "line 4: 3 values, expected 2"),
        (b"path,label\na,b\nc\n", "line 3: 1 values, expected 2"),
        (b'path,label\n"a\nb",c\nd,e,f\n', "line 4: 3 values, expected 2"),
        ("path,label\na,b\nc,\xe4\n".encode("latin-1"), "line 3: byte 0xe4 is not UTF-8"),
        ("pfad\xe4,label\na,b\n".encode("latin-1"), "line 1: byte 0xe4 is not UTF-8"),
        ("path,label\na,b\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        (b"path\tlabel\na\tb\n", "columns are separated by tabs, expected commas"),
        (b"path\tlabel\na,1\tb\n", "columns are separated by tabs, expected commas"),
        (b"path;label\na,1;b\n", "columns are separated by semicolons, expected commas"),
        (b"path,path\na,b\n", "column path stands there twice"),
        (b",path\n0,a\n", "a column is named ''"),
        (b"pa\x00th,label\na,b\n", "expected printable text"),
    ],
)
def test_a_csv_that_is_no_table_is_refused_where_it_goes_wrong(data, message):
    """Empty, ragged, doubled, unnamed or not UTF-8: the message names the line or column."""
    with pytest.raises(DatasetError, match=message.replace("'", ".")):
        parse_csv("m.csv", data)


def test_a_long_csv_is_refused_at_the_right_line():
    """Arrow parses blocks in parallel, and the line is right all the same."""
    data = b"path,label\n" + b"some/quite/long/path.wav,dog\n" * 400_000 + b"x,y,z\n"
    with pytest.raises(DatasetError, match="line 400002: 3 values, expected 2"):
        parse_csv("m.csv", data)


def test_parquet_text_comes_back_plain():
    """Dictionaries, large and view strings are text like any other; numbers keep their types."""
    table = pa.table(
        {
            "dictionary": pa.array(["a", "b"]).dictionary_encode(),
            "large": pa.array(["a", "b"], pa.large_string()),
            "small": pa.array([1, 2], pa.int16()),
            "time": pa.array([1, 2], pa.timestamp("ms")),
        }
    )
    schema = parse_parquet("m.parquet", as_parquet(table)).table.schema
    assert dict(zip(schema.names, schema.types, strict=True)) == {
        "dictionary": pa.string(),
        "large": pa.string(),
        "small": pa.int16(),
        "time": pa.timestamp("ms"),
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no parquet", "expected a Parquet file"),
        (as_parquet(pa.table({"path": pa.array([], pa.string())})), "no row"),
        (as_parquet(pa.table({"path": ["a"], "tags": [["x", "y"]]})), "column tags is list.*expected plain values"),
    ],
)
def test_a_parquet_file_that_is_no_table_is_refused(data, message):
    """Damaged, empty or nested: the message says which."""
    with pytest.raises(DatasetError, match=message):
        parse_parquet("m.parquet", data)


def test_a_small_csv_is_parsed_without_threads_for_it():
    """Threads that are still starting when a refusal ends the process would abort it."""
    code = """
import os
from us8k_batch.catalog.metadata import parse_csv
before = len(os.listdir("/proc/self/task"))
parse_csv("m.csv", b"a,b\\n" + b"1,2\\n" * 1000)
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) <= 1  # the one that hands on the bytes

"""Parquet from a stranger: refused before it is decoded, if it would take more memory than its size can justify."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hostile import parquet_bytes, repeated
from hypothesis import given
from hypothesis import strategies as st
from stores import flips, make_catalog, make_clips

from us8k_batch.parquet_bounds import FREE_BYTES, check_size


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_what_anybody_writes_is_let_through(compression: str, version: str) -> None:
    """Whatever codec and pages, with and without rows, nulls, dictionaries, lists."""
    import pyarrow.parquet as pq

    whole = make_catalog(make_clips(50)).append_column("list", pa.array([[1.0, 2.0]] * 50, pa.list_(pa.float32(), 2)))
    for table in (whole, whole.slice(0, 0)):
        for dictionary in (True, False):
            sink = pa.BufferOutputStream()
            pq.write_table(
                table, sink, compression=compression, data_page_version=version, use_dictionary=dictionary,
                row_group_size=20,
            )  # fmt: skip
            check_size(bytes(sink.getvalue()))


def test_a_text_that_is_repeated_a_million_times_is_refused() -> None:
    """A dictionary of one long value: 4 KB of file, 100 GB of table."""
    data = repeated("x" * 100_000, 1_000_000)
    assert len(data) < 20_000
    with pytest.raises(ValueError, match="would decode to"):
        check_size(data)


def test_zeros_without_end_are_refused() -> None:
    """A page that zstd made thousands of times smaller."""
    zeros = pa.array(np.zeros(1 << 21, np.int64))
    data = parquet_bytes(pa.table({f"c{i}": zeros for i in range(40)}), use_dictionary=False)
    assert len(data) < 1 << 20
    with pytest.raises(ValueError, match="would decode to"):
        check_size(data)


def test_what_is_allowed_grows_with_the_file() -> None:
    """Numbers that do not compress are let through, however many there are."""
    rng = np.random.default_rng(0)
    check_size(parquet_bytes(pa.table({"x": rng.random(1 << 18)})))
    assert FREE_BYTES >= 1 << 30


def test_damage_is_an_error_of_one_kind() -> None:
    """Whatever bit is flipped, and wherever it is cut: nothing but a ValueError, or nothing at all."""
    data = parquet_bytes(make_catalog(make_clips(10)))
    cut = [data[:length] for length in range(0, len(data), 97)]
    for damaged in [*cut, *(flipped for _, flipped in flips(data, most=600))]:
        try:
            check_size(damaged)
        except ValueError:
            continue


@given(st.binary(max_size=200))
def test_any_footer_is_read_or_refused(footer: bytes) -> None:
    """Thrift from nowhere."""
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    try:
        check_size(data)
    except ValueError as error:
        assert str(error)

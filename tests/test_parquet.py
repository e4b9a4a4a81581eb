"""Parquet: bytes that are a pure function of their table, and damage that shows."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import flips, make_catalog, make_clips

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import LocalObjects, open_objects
from us8k_batch.store import parquet

VECTOR = pa.list_(pa.field("element", pa.float32()), 3)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Draw a small table of the types that stores hold, with nulls."""
    n = draw(st.integers(0, 12))

    def column(values: st.SearchStrategy[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(draw(st.lists(st.one_of(st.none(), values), min_size=n, max_size=n)), kind)

    return pa.table(
        {
            "text": column(st.text(max_size=5), pa.string()),
            "whole": column(st.integers(-(2**63), 2**63 - 1), pa.int64()),
            "small": column(st.integers(-5, 5), pa.int32()),
            "number": column(st.floats(), pa.float64()),
            "vector": column(st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3), VECTOR),
        }
    )


def chunked(table: pa.Table, cuts: list[int]) -> pa.Table:
    """Return the same table in other chunks."""
    edges = sorted({0, len(table), *(cut % (len(table) + 1) for cut in cuts)})
    return pa.concat_tables([table.slice(a, b - a) for a, b in pairwise(edges)] or [table])


@given(tables(), st.lists(st.integers(0, 100), max_size=4))
def test_the_same_table_has_the_same_bytes(table: pa.Table, cuts: list[int]) -> None:
    """Neither chunks nor slices nor foreign metadata show in the bytes."""
    data = parquet.encode(table, {"b": 1, "a": 2})
    other = chunked(table, cuts).replace_schema_metadata({"pandas": "foreign"})
    assert parquet.encode(other, {"a": 2, "b": 1}) == data
    padded = pa.concat_tables([table.slice(0, min(1, len(table))), table])
    assert parquet.encode(padded.slice(min(1, len(table))), {"a": 2, "b": 1}) == data


@given(tables(), st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none())))
def test_what_is_encoded_is_decoded(table: pa.Table, metadata: dict[str, Any]) -> None:
    """Rows, types and metadata come back, and would be written as the same bytes again."""
    data = parquet.encode(table, metadata)
    back = parquet.decode(data, "key")
    assert parquet.same(back.replace_schema_metadata(None), table)
    assert parquet.metadata_of(back, "key") == metadata
    assert parquet.is_as_written(data, "key")


@given(tables(), st.lists(st.integers(0, 100), max_size=4), st.integers(1, 5))
def test_a_table_in_pieces_has_the_bytes_of_the_whole(table: pa.Table, cuts: list[int], rows: int) -> None:
    """However it is cut, and whatever a row group holds: written, digested, and read back piece by piece."""
    edges = sorted({0, len(table), *(cut % (len(table) + 1) for cut in cuts)})
    pieces = [table.slice(a, b - a) for a, b in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP_ROWS", rows)
        data = parquet.encode(table, {"a": 1})
        sink = io.BytesIO()
        parquet.write(sink, table.schema, pieces, {"a": 1})
        digest = parquet.digest(table.schema, pieces, {"a": 1})
    assert sink.getvalue() == data
    assert digest == hashlib.sha256(data).digest()
    groups = list(parquet.Pieces(io.BytesIO(data), "key"))
    assert [len(group) for group in groups[:-1]] == [rows] * (len(groups) - 1)
    assert len(groups) == max(1, math.ceil(len(table) / rows))
    assert parquet.same(pa.concat_tables(groups).replace_schema_metadata(None), table)


def test_only_text_that_comes_again_has_a_dictionary() -> None:
    """Of numbers and digests it would be larger than what it stands for; and nobody asks for a feature's bounds."""
    commit = pa.table(
        {
            "row": pa.array(range(64)),
            "clip_id": [f"clip{i}" for i in range(64)],
            "label": ["bark", "siren"] * 32,
            "mfcc_mean_00": pa.array(np.arange(64), pa.float32()),
            "pooled": pa.array(np.arange(128).reshape(64, 2).tolist(), pa.list_(pa.float32(), 2)),
        }
    )
    group = pq.ParquetFile(io.BytesIO(parquet.encode(commit, {}))).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert {c.path_in_schema for c in columns if c.has_dictionary_page} == {"label"}
    assert {c.path_in_schema for c in columns if c.statistics is not None} == {"row", "clip_id", "label"}


def test_row_groups_tell_what_they_hold_before_they_are_read() -> None:
    """Least and greatest of a column; some columns of a group; nothing where nothing is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP_ROWS", 4)
        data = parquet.encode(pa.table({"row": range(10), "x": [None] * 10}), {})
    pieces = parquet.Pieces(io.BytesIO(data), "key")
    assert [pieces.bounds(number, "row") for number in range(len(pieces))] == [(0, 3), (4, 7), (8, 9)]
    assert pieces.bounds(0, "x") is None
    assert pieces.read(2, ["row"]).to_pydict() == {"row": [8, 9]}
    with pytest.raises(DamageError, match="key: not the Parquet"):
        parquet.Pieces(io.BytesIO(data[:-9]), "key")


def test_every_flipped_bit_shows() -> None:
    """Damage is refused when it is read, or found by writing the table again; it never ends in a foreign error."""
    data = parquet.encode(make_catalog(make_clips(20)), {"format": 1, "snapshot_id": "0" * 64})
    quiet = []
    for bit, damaged in flips(data, most=700):
        with contextlib.suppress(DamageError):
            if parquet.is_as_written(damaged, "key"):
                quiet.append(bit)
    # The writer's own name decides whether bytes can be compared at all.
    writer = data.index(b"parquet-cpp")
    assert [bit for bit in quiet if not writer - 2 <= bit // 8 <= writer + 40] == []


@pytest.mark.parametrize("keep", [0, 1, 11, 12, 100, -1])
def test_a_cut_off_object_is_refused(keep: int) -> None:
    """Half an object is damage, however little is missing."""
    data = parquet.encode(make_catalog(make_clips(3)), {})[:keep]
    with pytest.raises(DamageError, match="key: "):
        parquet.decode(data, "key")


def test_bytes_of_another_writer_are_not_compared() -> None:
    """A store that was written with another pyarrow is read, and its bytes are not held against it."""
    data = parquet.encode(make_catalog(make_clips(3)), {})
    version = pa.__version__.encode()
    assert data.count(version) == 1
    other = data.replace(version, version[:-1] + b"9")
    assert other != data
    assert parquet.is_as_written(other, "key")


def test_a_table_that_is_not_ours_says_so() -> None:
    """Parquet without our metadata, or with other JSON in its place, was not written by this program."""
    foreign = pa.table({"a": [1]})
    with pytest.raises(DamageError, match="not written by this program"):
        parquet.metadata_of(foreign, "key")
    for value in (b"[1]", b"3"):
        with pytest.raises(DamageError, match="expected a JSON object"):
            parquet.metadata_of(foreign.replace_schema_metadata({parquet.METADATA_KEY: value}), "key")
    with pytest.raises(DamageError, match="not written by this program"):
        parquet.metadata_of(foreign.replace_schema_metadata({parquet.METADATA_KEY: b"{"}), "key")


class Counting(LocalObjects):
    """Local objects that count the bytes read."""

    read = 0

    def get_tail(self, key: str, length: int) -> bytes:
        """Return the end of a file, and count it."""
        data = LocalObjects.get_tail(self, key, length)
        Counting.read += len(data)
        return data


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Counting]:
    """Open an empty root that counts what is read of it."""
    Counting.read = 0
    yield Counting(tmp_path)


@pytest.mark.parametrize("padding", [0, 70_000, 300_000])
def test_metadata_are_read_from_the_end_of_an_object(counting: Counting, padding: int) -> None:
    """The footer is found however long it is, and the rows are not read for it."""
    metadata = {"padding": "x" * padding}
    table = pa.table({"a": np.random.default_rng(0).integers(0, 2**62, 200_000)})
    counting.create("key", parquet.encode(table, metadata))
    assert parquet.read_metadata(counting, "key") == metadata
    # Arrow repeats the metadata in its own schema, as base64.
    assert Counting.read <= 2 * (65_536 + 3 * padding)


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"x" * 100, b"PAR1" + b"\0" * 100 + b"\xff\xff\xff\x7fPAR1", b"\0" * 92 + b"\x05\0\0\0PAR1"],
)
def test_an_end_that_is_no_footer_is_damage(tmp_path: Path, data: bytes) -> None:
    """Whatever stands at the end, the error is ours and names the object."""
    objects = open_objects(str(tmp_path))
    objects.create("some/key", data)
    with pytest.raises(DamageError, match="some/key: "):
        parquet.read_metadata(objects, "some/key")
    with pytest.raises(ObjectNotFoundError):
        parquet.read_metadata(objects, "other/key")


def test_every_flipped_bit_of_a_footer_is_refused_or_read(tmp_path: Path) -> None:
    """Reading only the footer of a damaged object never ends in a foreign error."""
    data = parquet.encode(make_catalog(make_clips(4)), {"format": 1})
    objects = open_objects(str(tmp_path))
    footer = int.from_bytes(data[-8:-4], "little") + 8
    for _, damaged in flips(data[-footer:], most=250):
        (tmp_path / "key").write_bytes(data[:-footer] + damaged)
        with contextlib.suppress(DamageError):
            assert isinstance(parquet.read_metadata(objects, "key"), dict)


def test_a_nan_is_the_same_as_a_nan() -> None:
    """Tables are the same if every value is, NaN and null apart from each other."""

    def table(*values: float | None) -> pa.Table:
        return pa.table({"x": pa.array(values, pa.float64())})

    assert parquet.same(table(1, math.nan, None), table(1, math.nan, None))
    assert parquet.same(chunked(table(1, math.nan), [1]), table(1, math.nan))
    assert not parquet.same(table(1, math.nan), table(1, None))
    assert not parquet.same(table(1, math.nan), table(1, 0.0))
    assert not parquet.same(table(1, math.nan), table(math.nan, 1))
    assert not parquet.same(table(1, math.nan), table(1, math.nan, 1))
    assert not parquet.same(table(1.0), table(1.0).cast(pa.schema([("x", pa.float32())])))
    assert not parquet.same(table(1.0), table(1.0).rename_columns(["y"]))


def test_metadata_are_plain_json(tmp_path: Path) -> None:
    """Any Parquet library shows them: one key, JSON with sorted names."""
    path = tmp_path / "table.parquet"
    path.write_bytes(parquet.encode(pa.table({"a": [1]}), {"b": 1, "a": [2]}))
    assert json.loads(pq.read_schema(path).metadata[b"us8k"]) == {"a": [2], "b": 1}

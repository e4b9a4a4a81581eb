"""Spool: what is too long for memory lies in a temporary file, and reads as if it did not."""

from __future__ import annotations

import mmap
import tempfile
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import make_catalog, make_clips

from us8k_batch.store import spool
from us8k_batch.store.spool import gather, spooled

TABLE = make_catalog(make_clips(12))


@given(st.lists(st.integers(0, 12), max_size=5))
def test_pieces_put_together_are_the_table(cuts: list[int]) -> None:
    """However many pieces there are, and however long each is; nulls and text included."""
    edges = sorted({0, 12, *cuts})
    pieces = [TABLE.slice(a, b - a) for a, b in pairwise(edges)]
    assert gather(TABLE.schema, iter(pieces)).equals(TABLE)


def test_no_piece_is_an_empty_table() -> None:
    """Of the same columns."""
    assert gather(TABLE.schema, []).equals(TABLE.schema.empty_table())


def test_several_pieces_take_no_memory_and_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are pages of a file that has no name any more; they can still be read."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    piece = pa.table({"x": pa.array(range(100_000), pa.int64())})
    before = pa.total_allocated_bytes()
    whole = gather(piece.schema, (piece for _ in range(20)))
    assert pa.total_allocated_bytes() - before < piece.nbytes
    assert list(tmp_path.iterdir()) == []
    assert (len(whole), whole["x"][1_999_999].as_py()) == (2_000_000, 99_999)


@pytest.mark.parametrize(("held", "kind"), [(10, bytes), (9, mmap.mmap)])
def test_what_was_written_is_given_back(monkeypatch: pytest.MonkeyPatch, held: int, kind: type) -> None:
    """From memory as long as it fits, else from the pages of a file."""
    monkeypatch.setattr(spool, "HELD_BYTES", held)
    with spooled(lambda file: file.writelines([b"01234", b"56789"])) as data:
        assert isinstance(data, kind)
        assert data[:] == b"0123456789"

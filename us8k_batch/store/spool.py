"""What is too long for memory: written to a temporary file piece by piece, then mapped."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, cast

import pyarrow as pa

from us8k_batch.buffers import arrow_map
from us8k_batch.objects import Data

HELD_BYTES = 16 << 20
"""Bytes that are held in memory, at least 1; what is longer lies in the temporary folder (``TMPDIR``)."""


@contextlib.contextmanager
def spooled(write: Callable[[BinaryIO], None]) -> Iterator[Data]:
    """Let `write` fill a file, and give what it holds for as long as the block runs."""
    with tempfile.SpooledTemporaryFile(HELD_BYTES) as file:
        write(cast("BinaryIO", file))
        if file.tell() <= HELD_BYTES:
            file.seek(0)
            yield file.read()
            return
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def gather(schema: pa.Schema, pieces: Iterable[pa.Table]) -> pa.Table:
    """Put pieces of a table together; if there are several, memory holds only the columns that are looked at.

    Parameters
    ----------
    schema : pa.Schema
        Of every piece.
    pieces : iterable of pa.Table
        Each is written as one chunk.
    """
    left = iter(pieces)
    first = list(itertools.islice(left, 2))
    if len(first) < 2:
        return first[0] if first else schema.empty_table()
    with tempfile.TemporaryFile() as file:
        with pa.ipc.new_file(file, schema) as writer:
            for piece in itertools.chain(first, left):
                writer.write_table(piece.combine_chunks())
        file.flush()
        # The pages belong to a file: the system takes them back when memory is short.
        return pa.ipc.open_file(arrow_map(file)).read_all()

"""How much memory a Parquet file from a stranger would take, found out before anything of it is decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from us8k_batch.thrift import Fields, read_struct

FREE_BYTES = 1 << 30
"""What any file may take, in bytes."""
RATIO = 64
"""How many times its own size a file may take beyond that."""
LARGEST_DICTIONARY = 8 << 20
"""Dictionary pages are looked into up to this size, in bytes; writers end theirs at 1 MiB."""
CHEAP_BYTES = 4 << 20
"""A column that would take less if every value were its whole dictionary is not looked into."""

_WIDTH = 8
"""Bytes that one value takes at most beside its text, with what says whether it is null."""
_BYTE_ARRAY, _FIXED = 6, 7
_DELTA_BYTE_ARRAY = 7
_DICTIONARY_PAGE = 2
_LENGTH = struct.Struct("<I")
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}


def check_size(data: bytes) -> None:
    """Refuse a file that would take more memory than its size can justify.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ValueError
        Saying what it promises, or that its pages are not where its footer says.

    Notes
    -----
    zstd makes a page of equal bytes 30,000 times smaller, and a dictionary stores once what a billion rows repeat:
    a file of some kilobytes can decode to terabytes. So the headers of all pages are read for what they decode
    to, and dictionaries for their longest value; what is counted is more than what Arrow takes. Arrow's own
    objects are not asked: what Python reads of a damaged footer can end the process.
    """
    allowed = FREE_BYTES + RATIO * len(data)
    footer = _footer(data)
    lengths = [_number(leaf, 2) for leaf in _structs(footer, 2) if not leaf.get(5)]
    taken = 0
    for group in _structs(footer, 4):
        columns = _structs(group, 1)
        if len(columns) > len(lengths):
            raise ValueError("a row group has more columns than the schema")
        for chunk, length in zip(columns, lengths, strict=False):
            taken += _chunk_bytes(data, chunk.get(3), length)
            if taken > allowed:
                raise ValueError(
                    f"{len(data)} bytes would decode to {taken >> 20} MiB or more, "
                    f"expected at most {allowed >> 20} MiB"
                )


def _footer(data: bytes) -> Fields:
    if len(data) < 12 or data[-4:] != b"PAR1":
        raise ValueError("does not end as Parquet does")
    (length,) = struct.unpack("<I", data[-8:-4])
    if length > len(data) - 12:
        raise ValueError("its footer is longer than the file")
    return read_struct(memoryview(data)[len(data) - 8 - length : len(data) - 8], 0)[0]


def _structs(fields: Fields, field: int) -> list[Fields]:
    found = fields.get(field, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("its footer is not what Parquet has")
    return found


def _number(fields: Fields, field: int) -> int:
    value = fields.get(field, 0)
    if not isinstance(value, int) or value < 0:
        raise ValueError("its footer is not what Parquet has")
    return value


def _chunk_bytes(data: bytes, chunk: Any, length: int) -> int:
    """Return what a column chunk decodes to: its pages, and the values made of them."""
    if not isinstance(chunk, dict):
        raise ValueError("a column has no description")  # noqa: TRY004  # of what was read
    kind, codec, n_values = (_number(chunk, field) for field in (1, 4, 5))
    # A column without rows has a dictionary and no other page, which then is at 0.
    start = min((place for field in (9, 11) if (place := _number(chunk, field))), default=4)
    end = start + _number(chunk, 7)
    if not 4 <= start <= end <= len(data):
        raise ValueError("a column lies outside of the file")
    encodings = chunk.get(2)
    if isinstance(encodings, list) and _DELTA_BYTE_ARRAY in encodings:
        raise ValueError("a column is encoded as DELTA_BYTE_ARRAY, which is not read here: save it anew")
    total = longest = 0
    for header, body in _pages(data, start, end):
        total += header[2]
        if header.get(1) == _DICTIONARY_PAGE and kind == _BYTE_ARRAY:
            cheap = header[2] * n_values < CHEAP_BYTES
            longest = max(longest, header[2] if cheap else _longest_value(body, header[2], codec))
    return total + n_values * (_WIDTH + longest + (length if kind == _FIXED else 0))


def _pages(data: bytes, at: int, end: int) -> Iterator[tuple[Fields, memoryview]]:
    """Yield the header of each page (1 type, 2 size decoded, 3 size stored), and what it stores."""
    view = memoryview(data)[:end]
    while at < end:
        header, at = read_struct(view, at)
        decoded, stored = header.get(2), header.get(3)
        if not (isinstance(decoded, int) and isinstance(stored, int) and decoded >= 0 <= stored <= end - at):
            raise ValueError("a page has an impossible size")
        yield header, view[at : at + stored]
        at += stored


def _longest_value(body: memoryview, size: int, codec: int) -> int:
    """Return the length of the longest value of a dictionary page of strings; its own size if that is not known."""
    if codec:
        if codec not in _CODECS or size > LARGEST_DICTIONARY:
            return size
        try:
            body = memoryview(pa.Codec(_CODECS[codec]).decompress(bytes(body), size))
        except (pa.ArrowException, OSError):
            return size  # it will not decode then either
    longest = at = 0
    end = len(body) - 4
    while at <= end:  # over every name of a dataset, so that nothing is called that need not be
        (length,) = _LENGTH.unpack_from(body, at)
        if length > longest:  # noqa: PLR1730
            longest = length
        at += 4 + length
    return min(longest, len(body))

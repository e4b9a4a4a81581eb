"""zstd frames from a store: never decoded to more than they should hold, whatever they promise."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = bytes.fromhex("28b52ffd")
"""First bytes of a frame (RFC 8878, section 3.1.1)."""
HEADER_BYTES = 32
"""More than any header has."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a frame says of itself."""

    length: int
    """Length of the header, in bytes."""
    content: int | None
    """Length of what it decodes to, in bytes; None if it does not say."""
    has_checksum: bool


def read_header(data: bytes) -> FrameHeader:
    """Read the header of the frame that bytes begin with.

    Raises
    ------
    ValueError
        If there is none.
    """
    if data[:4] != MAGIC or len(data) < 5:
        raise ValueError("not a zstd frame")
    descriptor = data[4]
    single = descriptor >> 5 & 1
    dictionary = (0, 1, 2, 4)[descriptor & 3]
    flag = descriptor >> 6
    size_bytes = 1 << flag if flag or single else 0
    at = 5 + (1 - single) + dictionary
    if len(data) < at + size_bytes:
        raise ValueError("the header of a zstd frame is cut off")
    content = int.from_bytes(data[at : at + size_bytes], "little") + (256 if flag == 1 else 0) if size_bytes else None
    return FrameHeader(at + size_bytes, content, bool(descriptor >> 2 & 1))


def frame_length(data: bytes) -> int:
    """Return the length of the frame that bytes begin with, from the headers of its blocks.

    Raises
    ------
    ValueError
        If it is cut off.
    """
    header = read_header(data)
    at, last = header.length, False
    while not last:
        if at + 3 > len(data):
            raise ValueError("a zstd frame is cut off")
        (block,) = struct.unpack("<I", data[at : at + 3] + b"\0")
        last = bool(block & 1)
        # A block of one repeated byte (type 1) holds that byte alone, whatever its size.
        at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
    return at + 4 * header.has_checksum


def bounded_decode(data: bytes, size: int) -> bytes:
    """Decode one frame that holds exactly `size` bytes.

    Raises
    ------
    ValueError
        If it does not decode, or promises another size; memory is taken for `size` bytes only.
    """
    from numcodecs.zstd import Zstd

    content = read_header(data).content
    if content != size or frame_length(data) != len(data):
        raise ValueError(f"a chunk promises {content} bytes, expected one of {size}")
    try:
        decoded: bytes = Zstd().decode(data)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return decoded

"""Walk the pages of an Ogg file: is its end there, and how many streams follow each other (RFC 3533)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from us8k_batch.audio.opening import FileBytes

_PAGE = b"OggS"
_HEADER = struct.Struct("<4sBBqIIIB")
"""Capture pattern, version, flags, granule position, serial number, page number, checksum, segments."""
_FIRST, _LAST = 0x02, 0x04


@dataclass(frozen=True, slots=True)
class OggFile:
    """What the pages of a file add up to."""

    whole: bool
    """Whether its last page is all there, and marked as the last of its stream."""
    links: int
    """Groups of streams one after the other; libsndfile reads the first of several."""
    first_packet: bytes
    """What the first page holds: it names the coding."""


def walk_ogg(data: FileBytes) -> OggFile | None:
    """Walk a file from page to page; nothing is decoded.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file, or its beginning.

    Returns
    -------
    OggFile or None
        None if it does not begin with an Ogg page.
    """
    view = memoryview(data)
    at = links = 0
    flags, whole, beginning = 0, False, False
    packet = b""
    while (page := _read(view, at)) is not None:
        flags, start, end = page
        first = bool(flags & _FIRST)
        # Streams that are played together begin with their first pages in a row.
        if first and not beginning:
            links += 1
        beginning = first
        if not at:
            packet = bytes(view[start:end])
        whole = end <= len(view)
        at = end
    return OggFile(whole and bool(flags & _LAST) and at >= len(view), links, packet) if links else None


def _read(view: memoryview, at: int) -> tuple[int, int, int] | None:
    """Return a page's flags, and where its body begins and ends; None if there is no page."""
    if len(view) < at + _HEADER.size:
        return None
    capture, _, flags, _, _, _, _, segments = _HEADER.unpack_from(view, at)
    table = view[at + _HEADER.size : at + _HEADER.size + segments]
    if capture != _PAGE or len(table) < segments:
        return None
    start = at + _HEADER.size + segments
    return flags, start, start + sum(table)

"""Walk the frames of an MPEG audio stream (MP3): how many there are, and what its first frame says of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from us8k_batch.audio.opening import FileBytes

_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by version (1, or 2 for MPEG-2 and 2.5) and layer; the header counts from 1, 0 stands for a free format."""
_RATES = {0: (11_025, 12_000, 8_000), 2: (22_050, 24_000, 16_000), 3: (44_100, 48_000, 32_000)}
"""Hz, by the two bits of the version: MPEG-2.5, 2 and 1."""
_XING = (b"Xing", b"Info")
_HAS_FRAMES = 1
"""Flag of a Xing frame: the number of frames is in it."""
_AGREEING = 2
"""Headers in a row that must agree before a stream is believed to begin with the first of them."""


class Frame(NamedTuple):
    """One MPEG frame, by its header."""

    at: int
    """Its first byte's place in the file."""
    length: int
    """Its length, in bytes, with the header."""
    samples: int
    """Samples of one channel that it decodes to."""
    rate: int
    """Sample rate, in Hz."""
    kind: int
    """What all frames of one stream have in common: version, layer and sample rate, as bits of the header."""
    side_info: int
    """Distance from its first byte to where a Xing header is, in bytes."""


@dataclass(frozen=True, slots=True)
class MpegStream:
    """What the frames of a file add up to."""

    frames: int
    """Frames that hold audio and are all there; a Xing, Info or VBRI frame holds none."""
    seconds: float
    """How long their audio is, in seconds; encoders add up to about 0.1 s."""
    promised: int | None
    """Frames that the Xing, Info or VBRI frame in front promises; None where there is none."""
    promised_seconds: float | None
    """The same, in seconds."""
    streams: int
    """Streams joined one after the other, by their Xing, Info and VBRI frames and changes of rate."""


def walk_mpeg(data: FileBytes) -> MpegStream | None:
    """Walk a file from frame to frame; nothing is decoded.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file.

    Returns
    -------
    MpegStream or None
        None if it has no MPEG frames, or such of a free format, whose length is not told.
    """
    view = memoryview(data)
    frames = streams = kind = 0
    seconds = 0.0
    promised: int | None = None
    promised_seconds: float | None = None
    for frame in _frames(view):
        told = _promise(view, frame)
        first = not streams
        if first or told is not None or frame.kind != kind:
            # An encoder that tells nothing may change its rate too, which is another stream to a decoder.
            streams += 1
        kind = frame.kind
        if told is None:
            frames += 1
            seconds += frame.samples / frame.rate
        elif first:
            promised = told or None
            promised_seconds = None if promised is None else promised * frame.samples / frame.rate
    return MpegStream(frames, seconds, promised, promised_seconds, streams) if streams else None


def skip_id3(data: FileBytes, at: int = 0) -> int:
    """Return where ID3v2 tags that begin at some place end."""
    while bytes(data[at : at + 3]) == b"ID3" and at + 10 <= len(data):
        flags, *size = struct.unpack_from(">5B", data, at + 5)
        length = sum((part & 0x7F) << shift for part, shift in zip(size, (21, 14, 7, 0), strict=True))
        at += 10 + length + (10 if flags & 0x10 else 0)
    return at


def _frames(view: memoryview) -> Iterator[Frame]:
    """Yield the frames that are all there; what lies between them is skipped."""
    at = skip_id3(view)
    found = False
    whole = bytes(view)  # what can be searched
    while at + 4 <= len(view):
        frame = _read(view, at)
        if frame is None or not (found or _is_followed(view, frame)):
            found = False
            at = skip_id3(view, at)
            at = whole.find(b"\xff", at + 1)
            if at < 0:
                return
            continue
        found = True
        at += frame.length
        if at > len(view):
            return
        yield frame


def _is_followed(view: memoryview, frame: Frame) -> bool:
    """Tell whether more frames of the same kind follow, or the file ends."""
    for _ in range(_AGREEING):
        end = frame.at + frame.length
        if end == len(view):
            return True
        after = _read(view, end)
        if after is None or after.kind != frame.kind:
            return False
        frame = after
    return True


def _read(view: memoryview, at: int) -> Frame | None:
    """Read the header at some place; None if there is none, or one of a free format."""
    if at + 4 > len(view) or view[at] != 0xFF or view[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = view[at + 1] >> 3 & 3, 4 - (view[at + 1] >> 1 & 3)
    bitrate, rate, padding = view[at + 2] >> 4, view[at + 2] >> 2 & 3, view[at + 2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    bits = 1000 * _BITRATES[1 if version == 3 else 2, layer][bitrate - 1]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    length = 4 * (12 * bits // hertz + padding) if layer == 1 else samples // 8 * bits // hertz + padding
    mono = view[at + 3] >> 6 == 3
    side_info = 4 + (17 if mono else 32) if version == 3 else 4 + (9 if mono else 17)
    kind = (view[at + 1] & 0x1E) << 8 | rate
    return Frame(at, length, samples, hertz, kind, side_info)


def _promise(view: memoryview, frame: Frame) -> int | None:
    """Return how many frames a Xing, Info or VBRI frame promises, 0 if it does not say; None for a usual frame."""
    body = view[frame.at : frame.at + frame.length]
    xing = bytes(body[frame.side_info : frame.side_info + 12])
    if xing[:4] in _XING and len(xing) == 12:
        flags, frames = struct.unpack(">II", xing[4:])
        return int(frames) if flags & _HAS_FRAMES else 0
    vbri = bytes(body[36:54])  # always behind 32 bytes, whatever the version
    if vbri[:4] == b"VBRI" and len(vbri) == 18:
        return int(struct.unpack(">I", vbri[14:])[0])
    return None

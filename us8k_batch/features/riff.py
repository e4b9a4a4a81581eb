"""How long a plain WAV clip is, from its first bytes alone: measuring a dataset need not read it all."""

from __future__ import annotations

import struct

HEAD_BYTES = 4096
"""How much of a clip `wav_seconds` wants to see."""
_PLAIN = (1, 3, 6, 7, 0xFFFE)
"""Format tags whose every sample takes the same number of bytes: PCM, float, A-law, mu-law, extensible."""


def wav_seconds(head: bytes, size: int) -> float | None:
    """Return the duration that a WAV header tells, never more than the file can hold.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of the clip, or all of it.
    size : int
        Size of the whole clip, in bytes.

    Returns
    -------
    float or None
        Duration in seconds; None if this is not a plain WAV whose header lies within `head`: ask libsndfile.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at = 12
    rate = frame_bytes = 0
    while at + 8 <= len(head):
        name, length = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        at += 8
        if name == b"fmt " and length >= 16 and at + 16 <= len(head):
            tag, _, rate, _, frame_bytes, _ = struct.unpack_from("<HHIIHH", head, at)
            if tag not in _PLAIN:
                return None
        if name == b"data":
            if not rate or not frame_bytes:
                return None
            n_samples: int = min(length, size - at) // frame_bytes
            return n_samples / rate
        at += length + length % 2
    return None

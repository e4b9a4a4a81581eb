"""Messages between a decoder and its child: fixed little-endian layouts, lengths checked before use."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from us8k_batch.config import FeatureConfig
from us8k_batch.errors import Failure
from us8k_batch.features.audio import Header
from us8k_batch.features.engine import Features


class Wanted(IntEnum):
    """What a request asks for; the bytes of its clip are in shared memory, see `handover`."""

    FEATURES = 1
    HEADER = 2
    LENGTH = 3
    """Its header, with the number of samples that it decodes to."""


class Told(IntEnum):
    """What a reply is."""

    READY = 1
    """Its body is empty, or `COMPILED`."""
    FEATURES = 2
    HEADER = 3
    FAILURE = 4
    COMPILING = 5
    """Its body is empty; it comes again and again before READY while kernels are compiled, here or elsewhere."""


REQUEST = struct.Struct("<BIQ4s")
"""A `Wanted`, the number of the request, the length of the clip, and what `extension_of` says of its path."""
PREFIX = struct.Struct("<BIQ")
"""Of every reply: a `Told`, the number of the request, the length of the reply's body."""

COMPILED = b"compiled"
"""What a child adds to READY that had to compile its kernels first."""

OUT_OF_MEMORY = "out_of_memory"
"""Error word of a child whose memory did not suffice; it is tried again in a fresh one."""

_HEADER = struct.Struct("<16s24siiq")
"""Format, subtype, sample rate (Hz), channels, samples."""
_FEATURES = struct.Struct("<IIIddd")
"""n_mfcc, n_frames, length of the pooled vector, duration, seconds decoding, seconds computing; arrays follow."""
_FAILURE = struct.Struct("<32s32s")
"""Stage and error; the detail follows as UTF-8."""
_DETAIL_BYTES = 4096
_BODY_BYTES = {
    Told.READY: len(COMPILED),
    Told.COMPILING: 0,
    Told.HEADER: _HEADER.size,
    Told.FAILURE: _FAILURE.size + _DETAIL_BYTES,
}
"""Most bytes of each reply but features."""
_TOLD = {int(told): told for told in Told}


class WireError(Exception):
    """A message is not in the agreed form."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a believable reply cannot exceed."""

    n_mfcc: int
    n_pooled: int
    n_frames: int

    @classmethod
    def of(cls, config: FeatureConfig, memory_bytes: int) -> Limits:
        """Derive the limits from what is computed and from the memory that the child has for it."""
        n_frames = memory_bytes // (4 * config.n_mfcc)
        if config.max_seconds is not None:
            n_frames = min(n_frames, config.frames)
        return cls(config.n_mfcc, len(config.statistics) * config.n_mfcc, n_frames)

    def body_bytes(self, told: Told) -> int:
        """Return how long the body of a reply may be."""
        if told is Told.FEATURES:
            return _FEATURES.size + 4 * (self.n_mfcc * self.n_frames + self.n_pooled)
        return _BODY_BYTES[told]


def pack(told: Told, number: int, *body: bytes | memoryview) -> bytes:
    """Join prefix and parts of the body of a reply."""
    return b"".join((PREFIX.pack(told, number, sum(map(len, body))), *body))


def pack_request(wanted: Wanted, number: int, length: int, extension: str) -> bytes:
    """Pack a request, all of it: the bytes of its clip are in shared memory."""
    return REQUEST.pack(wanted, number, length, extension.encode())


def unpack_request(data: bytes) -> tuple[Wanted, int, int, str]:
    """Return what is wanted, the number of the request, the length of its clip and the extension of its path."""
    wanted, number, length, extension = REQUEST.unpack(data)
    return Wanted(wanted), number, length, _text(extension)


def pack_header(header: Header) -> bytes:
    """Pack a clip's header."""
    return _HEADER.pack(
        header.format.encode(),
        header.subtype.encode(),
        header.sample_rate,
        header.channels,
        header.n_samples,
    )


def pack_features(features: Features) -> tuple[bytes, memoryview, memoryview]:
    """Pack a clip's features, in parts: the arrays are not copied before they are sent."""
    start = _FEATURES.pack(
        *features.mfcc.shape,
        len(features.pooled),
        features.duration,
        features.seconds["decode"],
        features.seconds["compute"],
    )
    mfcc, pooled = (np.ascontiguousarray(values, "<f4") for values in (features.mfcc, features.pooled))
    return start, mfcc.data.cast("B"), pooled.data.cast("B")


def pack_failure(failure: Failure) -> bytes:
    """Pack a failure; a long detail is cut."""
    detail = failure.detail.encode(errors="replace")[:_DETAIL_BYTES]
    return (
        _FAILURE.pack(
            failure.stage.encode(),
            failure.error.encode(),
        )
        + detail
    )


def unpack_prefix(data: bytes | bytearray, number: int, limits: Limits) -> tuple[Told, int]:
    """Return what a reply is and the length of its body.

    Raises
    ------
    WireError
        If it is no reply to this request, or longer than believable.
    """
    kind, told_number, length = PREFIX.unpack(data)
    told = _TOLD.get(kind)
    if told is None or told_number != number:
        raise WireError(f"a reply {kind} to request {told_number}; expected one to request {number}")
    if length > limits.body_bytes(told):
        raise WireError(f"a {told.name} reply of {length} bytes; expected at most {limits.body_bytes(told)}")
    return told, length


def unpack_header(body: bytearray) -> Header:
    """Return a clip's header; raise `WireError`."""
    _expect(len(body) == _HEADER.size)
    format_name, subtype, rate, channels, n_samples = _HEADER.unpack(body)
    _expect(rate > 0 and channels > 0 and n_samples >= 0)
    return Header(_text(format_name), _text(subtype), rate, channels, n_samples)


def unpack_features(body: bytearray, limits: Limits) -> Features:
    """Return a clip's features, whose arrays share the memory of `body`; raise `WireError`."""
    _expect(len(body) >= _FEATURES.size)
    n_mfcc, n_frames, n_pooled, duration, decode, compute = _FEATURES.unpack_from(body)
    n_values = n_mfcc * n_frames
    _expect(
        n_mfcc == limits.n_mfcc
        and n_pooled == limits.n_pooled
        and 1 <= n_frames <= limits.n_frames
        and len(body) == _FEATURES.size + 4 * (n_values + n_pooled)
        and duration >= 0  # and no NaN
        and decode >= 0
        and compute >= 0
    )
    values = np.frombuffer(body, dtype="<f4", offset=_FEATURES.size)
    return Features(
        values[:n_values].reshape(n_mfcc, n_frames),
        values[n_values:],
        duration,
        {"decode": decode, "compute": compute},
    )


def unpack_failure(body: bytearray) -> Failure:
    """Return a failure; raise `WireError`."""
    _expect(len(body) >= _FAILURE.size)
    stage, error = _FAILURE.unpack_from(body)
    detail = body[_FAILURE.size :].decode(errors="replace")
    return Failure(_text(stage), _text(error), detail)


def _text(field: bytes) -> str:
    try:
        return field.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError as error:
        raise WireError("a name is not ASCII") from error


def _expect(holds: bool) -> None:
    if not holds:
        raise WireError("a reply whose lengths or numbers contradict each other")

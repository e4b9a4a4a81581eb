"""Read WAV files that leave no doubt; whatever does leave one is for libsndfile."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us8k_batch.audio.opening import FileBytes
from us8k_batch.features.audio import Header

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_USUAL = struct.Struct("<4sI8sIHHIIHH4sI")
"""A file's first 44 bytes, if its format takes 16 of them and its samples follow."""
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the format tag in the GUID of PCM and of float."""
_ENCODINGS = {
    (_PCM, 16): ("PCM_16", 2),
    (_PCM, 24): ("PCM_24", 1),
    (_FLOAT, 32): ("FLOAT", 4),
}
"""By tag and bits: soundfile's name, and the alignment that reading the values needs."""
_HARMLESS = frozenset((b"PEAK", b"bext", b"JUNK", b"PAD "))
"""Chunks that change nothing about the samples, whatever is in them."""
_FACT_BYTES = 4
"""What libsndfile reads of a fact chunk, even where it is shorter and the next chunk has begun."""
_TEXTS = frozenset(
    (b"IART", b"ICMT", b"ICOP", b"ICRD", b"IENG", b"IGNR", b"INAM", b"IPRD", b"ISBJ", b"ISFT", b"ISRC", b"ITRK")
)
"""What libsndfile takes for a text; other names mean other things to it, whatever list they are in."""
_TEXT_BYTES = 2048
"""Texts are shorter, or libsndfile does not read them."""


@dataclass(frozen=True, slots=True, eq=False)
class Wav:
    """A WAV file's samples, not converted yet."""

    header: Header
    """What libsndfile would say about it."""
    values: NDArray[np.uint8]
    """The bytes of all channels' values in turn; a view of the file."""


def read_wav(data: FileBytes) -> Wav | None:
    """Read a WAV file of 16 or 24 bits or float32, of one or two channels, in which every size fits.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file.

    Returns
    -------
    Wav or None
        None if libsndfile must judge.
    """
    chunks = _find_usual(data) or _find_chunks(data)
    if chunks is None:
        return None
    form, start, size = chunks
    container, tag, channels, rate, bits = form
    if (tag, bits) not in _ENCODINGS or channels not in (1, 2) or not 1000 <= rate <= 384_000:
        return None
    subtype, alignment = _ENCODINGS[tag, bits]
    sample_bytes = channels * bits // 8
    if size % sample_bytes or size == 0 or start % alignment:
        return None
    values = np.frombuffer(data, dtype=np.uint8, count=size, offset=start)
    values.flags.writeable = False  # as in bytes, whatever the file lies in: the kernels are compiled for one type
    return Wav(Header(container, subtype, rate, channels, size // sample_bytes), values)


_Form = tuple[str, int, int, int, int]
"""Container, format tag, channels, sample rate, bits."""


def _find_usual(data: FileBytes) -> tuple[_Form, int, int] | None:
    """Find the same as `_find_chunks` where there are two chunks, as in most files, and both are as usual."""
    if len(data) < _USUAL.size:
        return None
    riff, length, wave, form_size, tag, channels, rate, byte_rate, sample_bytes, bits, name, size = (
        _USUAL.unpack_from(data)
    )
    if (riff, wave, form_size, name) != (b"RIFF", b"WAVEfmt ", 16, b"data") or tag == _EXTENSIBLE:
        return None
    if length + 8 != len(data) or _USUAL.size + size + size % 2 != len(data):
        return None
    if not _fits(channels, rate, byte_rate, sample_bytes, bits):
        return None
    return ("WAV", tag, channels, rate, bits), _USUAL.size, size


def _fits(channels: int, rate: int, byte_rate: int, sample_bytes: int, bits: int) -> bool:
    return sample_bytes == channels * bits // 8 and byte_rate == rate * sample_bytes


def _find_chunks(data: FileBytes) -> tuple[_Form, int, int] | None:
    """Return the format, and where the samples are and how many bytes, if the file is made of known chunks only."""
    if data[:4] != b"RIFF" or data[8:16] != b"WAVEfmt " or struct.unpack_from("<I", data, 4)[0] + 8 != len(data):
        return None
    form: _Form | None = None
    samples: tuple[int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if at + size > len(data):
            return None
        if name == b"fmt " and form is None:
            form = _read_form(data[at : at + size])
            if form is None:
                return None
        elif name == b"data" and samples is None:
            samples = at, size
        elif not _is_harmless(name, data[at : at + size]):
            return None
        at += size + size % 2
    if at != len(data) or form is None or samples is None:
        return None
    return form, *samples


def _is_harmless(name: bytes, body: FileBytes) -> bool:
    """Tell whether libsndfile skips a chunk and goes on at its end."""
    if name == b"fact":
        return len(body) == _FACT_BYTES
    if name == b"LIST":
        return _is_list_of_texts(body)
    return name in _HARMLESS


def _is_list_of_texts(body: FileBytes) -> bool:
    """Tell whether texts fill a list to its end; where they seem to go on, libsndfile reads on into the samples."""
    if body[:4] != b"INFO":
        return False
    at = 4
    while at + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, at)
        if name not in _TEXTS or not 0 < size < _TEXT_BYTES:
            return False
        at += 8 + size + size % 2
    return at == len(body)


def _read_form(body: FileBytes) -> _Form | None:
    """Read a format chunk in which nothing contradicts."""
    if len(body) not in (16, 18, 40):
        return None
    tag, channels, rate, byte_rate, sample_bytes, bits = struct.unpack_from("<HHIIHH", body)
    container = "WAV"
    if len(body) > 16 and struct.unpack_from("<H", body, 16)[0] != len(body) - 18:
        return None
    if (tag == _EXTENSIBLE) != (len(body) == 40):
        return None
    if tag == _EXTENSIBLE:
        container = "WAVEX"
        valid_bits, _, tag = struct.unpack_from("<HIH", body, 18)
        if valid_bits != bits or body[26:] != _GUID_TAIL:
            return None
    if not _fits(channels, rate, byte_rate, sample_bytes, bits):
        return None
    return container, tag, channels, rate, bits

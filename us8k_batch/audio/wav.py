"""Read WAV headers that leave no doubt; whatever does leave one is for libsndfile.

No other module knows WAV headers. A header is believed where all of it fits together, and in nothing else: behind a
tag, with a wrong block alignment or in a file that was never closed, libsndfile decides.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from us8k_batch.audio.opening import FileBytes

HEAD_BYTES = 4096
"""How much of a clip `wav_seconds` wants to see."""
_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_USUAL = struct.Struct("<4sI8sIHHIIHH4sI")
"""A file's first 44 bytes, if its format takes 16 of them and its samples follow."""
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the format tag in the GUID of PCM and of float."""
_SUBTYPES = {
    (_PCM, 8): "PCM_U8",
    (_PCM, 16): "PCM_16",
    (_PCM, 24): "PCM_24",
    (_PCM, 32): "PCM_32",
    (_FLOAT, 32): "FLOAT",
    (_FLOAT, 64): "DOUBLE",
    (_ALAW, 8): "ALAW",
    (_ULAW, 8): "ULAW",
}
"""By tag and bits: soundfile's name."""
_HARMLESS = frozenset((b"bext", b"JUNK", b"PAD "))
"""Chunks that change nothing about the samples, whatever is in them."""
_FACT_BYTES = 4
"""What libsndfile reads of a fact chunk, even where it is shorter and the next chunk has begun."""
_TEXTS = frozenset(
    (b"IART", b"ICMT", b"ICOP", b"ICRD", b"IENG", b"IGNR", b"INAM", b"IPRD", b"ISBJ", b"ISFT", b"ISRC", b"ITRK")
)
"""What libsndfile takes for a text; other names mean other things to it, whatever list they are in."""
_TEXT_BYTES = 2048
"""Texts are shorter, or libsndfile does not read them."""


_Form = tuple[str, int, int, int, int]
"""Container, format tag, channels, sample rate, bits."""


@dataclass(frozen=True, slots=True)
class WavLayout:
    """Where a WAV file's samples are, and what libsndfile would say about it."""

    container: str
    """``WAV`` or ``WAVEX``."""
    subtype: str
    """Encoding, by soundfile's name."""
    sample_rate: int
    """Rate, in Hz."""
    channels: int
    """Number of channels."""
    bits: int
    """Bits of one value."""
    start: int
    """Where the samples begin, in bytes from the file's beginning."""
    size: int
    """How many bytes of samples there are."""

    @property
    def n_samples(self) -> int:
        """Samples of one channel."""
        return self.size // (self.channels * self.bits // 8)


def read_layout(data: FileBytes) -> WavLayout | None:
    """Read the header of a WAV file in which every size fits.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file.

    Returns
    -------
    WavLayout or None
        None if libsndfile must judge.
    """
    return _layout(_find_usual(data) or _find_chunks(data))


def wav_seconds(head: bytes, size: int) -> float | None:
    """Return the duration of a WAV file, from its first bytes alone: measuring a dataset need not read it all.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of the clip, or all of it.
    size : int
        Size of the whole clip, in bytes.

    Returns
    -------
    float or None
        Duration in seconds, of no more samples than the file can hold; None if libsndfile must judge. What follows
        the samples is not looked at.
    """
    layout = _layout(_find_data(head))
    if layout is None or layout.start > size:
        return None
    n_bytes = min(layout.size, size - layout.start)
    return n_bytes // (layout.channels * layout.bits // 8) / layout.sample_rate


def _layout(found: tuple[_Form, int, int] | None) -> WavLayout | None:
    if found is None:
        return None
    (container, tag, channels, rate, bits), start, size = found
    subtype = _SUBTYPES.get((tag, bits))
    if subtype is None or 0 in (channels, rate, size):
        return None
    return WavLayout(container, subtype, rate, channels, bits, start, size)


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
    found = _find_data(data)
    if found is None or struct.unpack_from("<I", data, 4)[0] + 8 != len(data):
        return None
    form, start, size = found
    at = start + size + size % 2
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if at + size > len(data) or not _is_harmless(name, data[at : at + size], form[2]):
            return None
        at += size + size % 2
    return found if at == len(data) else None


def _find_data(head: FileBytes) -> tuple[_Form, int, int] | None:
    """Return the format, and where the samples are and how many bytes, if all before them is known."""
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt ":
        return None
    form: _Form | None = None
    at = 12
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        at += 8
        if name == b"data":
            return None if form is None else (form, at, size)
        body = head[at : at + size]
        if len(body) < size:
            return None
        if name == b"fmt " and form is None:
            form = _read_form(body)
            if form is None:
                return None
        elif form is None or not _is_harmless(name, body, form[2]):
            return None
        at += size + size % 2
    return None


def _is_harmless(name: bytes, body: FileBytes, channels: int) -> bool:
    """Tell whether libsndfile skips a chunk and goes on at its end."""
    if name == b"fact":
        return len(body) == _FACT_BYTES
    if name == b"PEAK":  # of another length, libsndfile refuses the file
        return len(body) == 8 + 8 * channels
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

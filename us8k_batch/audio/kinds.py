"""Recognise, by their first bytes, files that libsndfile does not read, and say how to convert them."""

from __future__ import annotations

import struct

from us8k_batch.audio.mpeg import skip_id3
from us8k_batch.audio.ogg import walk_ogg
from us8k_batch.audio.opening import FileBytes

READ_HERE = (
    "what is read: WAV, AIFF, AU, CAF, W64, RF64, FLAC of 8, 16 and 24 bits, Ogg Vorbis, Ogg Opus, MP3, and the "
    "rarer kinds of libsndfile; convert it, for example with ffmpeg -i IN OUT.wav"
)
"""Ends the message about a file of another kind."""
_BEGINNINGS = (
    (b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (b"#!AMR", "AMR"),
    (b"#!SILK", "SILK"),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "WMA or another ASF file"),
    (b"wvpk", "WavPack"),
    (b"MAC ", "Monkey's Audio"),
    (b"TTA1", "True Audio"),
    (b"MPCK", "Musepack"),
    (b"MP+", "Musepack"),
    (b"OFR ", "OptimFROG"),
    (b".RMF", "RealAudio"),
    (b".ra\xfd", "RealAudio"),
    (b"FLV\x01", "Flash video"),
    (b"DSD ", "DSD"),
    (b"FRM8", "DSD"),
    (b"ADIF", "AAC"),
    (b"\x0bw", "AC-3"),
    (b"\x7f\xfe\x80\x01", "DTS"),
    (b"\x00\x00\x01\xba", "an MPEG video"),
    (b"MThd", "MIDI, which holds notes and no audio"),
)
"""First bytes of a file, and what it is."""
_NOT_AUDIO = (
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself: run git lfs pull"),
    (b"<!doctype html", "a web page; a download that failed?"),
    (b"<html", "a web page; a download that failed?"),
    (b"<?xml", "an XML document; a download that failed?"),
    (b"\x00\x05\x16\x07", "what macOS keeps beside a file (._NAME) and not the file itself"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "compressed by gzip"),
)
"""First bytes, in lower case, of what is often found under a clip's name."""
_OGG_PACKETS = (
    (b"\x7fFLAC", "FLAC in Ogg"),
    (b"Speex   ", "Speex"),
    (b"\x80theora", "Ogg video"),
    (b"fishead\0", "Ogg with a skeleton"),
)
_WAV_TAGS = {
    0x0001: "PCM",
    0x0003: "floating point",
    0x0045: "G.726",
    0x00FF: "AAC",
    0x0160: "WMA",
    0x0161: "WMA",
    0x0162: "WMA",
    0x0163: "WMA",
    0x028F: "G.722",
    0x2000: "AC-3",
    0x2001: "DTS",
}
_WAV_BITS = (8, 16, 24, 32)
_FLAC_BITS = (8, 16, 24)


def unsupported_kind(data: FileBytes) -> str | None:
    """Name what a file is, if it is a known kind of audio that libsndfile does not read.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file, which libsndfile refused.

    Returns
    -------
    str or None
        For example ``AAC or ALAC in an MP4 file``; None if it is no such kind, so that it may be damaged.
    """
    view = memoryview(data)
    view = view[skip_id3(view) :]
    head = bytes(view[:64])
    for beginning, name in _BEGINNINGS:
        if head.startswith(beginning):
            return name
    if head[4:8] == b"ftyp":
        return "AAC or ALAC in an MP4 file (.m4a, .mp4, .3gp)"
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "an AVI video"
    if head[:4] == b"caff" and head[28:32] == b"alac":
        return "ALAC in a CAF file, of a variant"
    return _unsupported_ogg(view) or _unsupported_flac(head) or _unsupported_wav(view) or _adts(view)


def explain(data: FileBytes, reason: str) -> tuple[str, str]:
    """Say why a file cannot be opened or decoded: the one word and sentence for it, in every command.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file.
    reason : str
        libsndfile's words.

    Returns
    -------
    tuple of str
        The word in ``failures.parquet`` (``empty``, ``unsupported_format`` or ``not_decodable``), and the sentence.
    """
    if not len(data):
        return "empty", "0 bytes; expected an audio file"
    kind = unsupported_kind(data)
    if kind is not None:
        return "unsupported_format", f"{kind} is not read here; {READ_HERE}"
    other = what_else(data)
    if other is not None:
        return "not_decodable", f"no audio but {other}"
    return "not_decodable", f"libsndfile: {reason}"


def what_else(data: FileBytes) -> str | None:
    """Say what a file is that is no audio at all, if it is often found in place of audio."""
    head = bytes(data[:64]).lstrip().lower()
    return next((name for beginning, name in _NOT_AUDIO if head.startswith(beginning)), None)


def _unsupported_ogg(view: memoryview) -> str | None:
    ogg = walk_ogg(view[:65_536])
    if ogg is None:
        return None
    return next((name for beginning, name in _OGG_PACKETS if ogg.first_packet.startswith(beginning)), None)


def _unsupported_flac(head: bytes) -> str | None:
    """Look at the bits per sample in STREAMINFO (RFC 9639, section 8.2)."""
    if head[:4] != b"fLaC" or head[4] & 0x7F or len(head) < 26:
        return None
    bits = ((head[20] & 1) << 4 | head[21] >> 4) + 1
    return None if bits in _FLAC_BITS else f"FLAC of {bits} bits"


def _unsupported_wav(view: memoryview) -> str | None:
    """Look at the coding and the bits in the format chunk."""
    if bytes(view[:4]) not in (b"RIFF", b"RF64") or bytes(view[8:12]) != b"WAVE":
        return None
    at = 12
    while at + 24 <= len(view):
        name, size = struct.unpack_from("<4sI", view, at)
        if name == b"fmt ":
            tag, _, _, _, _, bits = struct.unpack_from("<HHIIHH", view, at + 8)
            if tag == 0xFFFE and at + 34 <= len(view):
                tag = struct.unpack_from("<H", view, at + 32)[0]
            coding = _WAV_TAGS.get(tag)
            if tag == 1:
                return None if bits in _WAV_BITS else f"WAV of {bits} bits"
            return None if coding is None or tag == 3 else f"WAV that holds {coding}"
        at += 8 + size + size % 2
    return None


def _adts(view: memoryview) -> str | None:
    """Find two frames of AAC in a row: their first bytes resemble MPEG's, of a layer that there is not."""
    at = 0
    for _ in range(2):
        if len(view) < at + 7 or view[at] != 0xFF or view[at + 1] & 0xF6 != 0xF0:
            return None
        length = (view[at + 3] & 3) << 11 | view[at + 4] << 3 | view[at + 5] >> 5
        if length < 7:
            return None
        at += length
    return "AAC"

"""What an audio file says of itself: container, coding, rate, channels and length, and whether it is whole."""

from __future__ import annotations

import re
from dataclasses import dataclass

import soundfile

from us8k_batch.audio.opening import NotAudioError, open_audio

PROMISE = re.compile(r"^\s*([A-Za-z0-9 ]+?)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
"""A line of libsndfile's log: a part of the file, the length in its header, the length that is there."""
DATA_PARTS = ("data", "ssnd", "data size")
WHOLE_PARTS = ("riff", "riff size")
"""Length of the whole file: in WAV often wrong by a few bytes without harm, so it counts in W64 and RF64 only."""
OGG_PAGE = b"OggS"
OGG_LAST = 0x04
BLOCK = 65536


class UnreadableHeaderError(Exception):
    """libsndfile cannot make sense of the file."""


@dataclass(frozen=True, slots=True)
class Header:
    """What one audio file says of itself."""

    container: str
    """soundfile's name of the container, such as ``WAV``."""
    subtype: str
    """soundfile's name of the coding, such as ``PCM_16``."""
    sample_rate: int
    """Rate, in Hz."""
    channels: int
    """Number of channels."""
    samples: int
    """Samples per channel that are there, as far as the header and the file's length tell."""
    truncated: str | None
    """What is missing of what the header promises; None if nothing is, or the format cannot tell."""

    @property
    def seconds(self) -> float:
        """Duration, in seconds."""
        return self.samples / self.sample_rate


def read_header(data: bytes, extension: str = "") -> Header:
    """Read the header of an audio file.

    Parameters
    ----------
    data : bytes
        The whole file.
    extension : str
        `extension_of` its path.

    Returns
    -------
    header : Header
        MP3 has no length in its header that a cut file would belie, so a cut one is not `truncated`.

    Raises
    ------
    UnreadableHeaderError
        If it is no audio file that libsndfile knows, or its header is damaged.
    """
    try:
        with open_audio(data, extension) as file:
            return Header(
                container=file.format,
                subtype=file.subtype,
                sample_rate=file.samplerate,
                channels=file.channels,
                samples=file.frames,
                truncated=_missing(file, data),
            )
    except NotAudioError as error:
        raise UnreadableHeaderError(str(error)) from error


def _missing(file: soundfile.SoundFile, data: bytes) -> str | None:
    parts = DATA_PARTS if file.format not in ("W64", "RF64") else DATA_PARTS + WHOLE_PARTS
    for name, promised, there in PROMISE.findall(file.extra_info):
        if name.lower() in parts and int(promised) > int(there):
            return f"its header promises {promised} bytes ({name}), the file holds {there}"
    if file.format == "OGG" and not _ogg_is_whole(data):
        return "its last Ogg page is cut off, or not marked as the last"
    if file.format == "FLAC":
        return _flac_missing(file)
    return None


def _ogg_is_whole(data: bytes) -> bool:
    """Tell whether the last page ends the stream and is all there (RFC 3533, section 6)."""
    page = data.rfind(OGG_PAGE)
    if page < 0 or len(data) < page + 27 or not data[page + 5] & OGG_LAST:
        return False
    table = data[page + 27 : page + 27 + data[page + 26]]
    return len(table) == data[page + 26] and len(data) >= page + 27 + len(table) + sum(table)


def _flac_missing(file: soundfile.SoundFile) -> str | None:
    """Count the samples by decoding: a FLAC header says nothing of bytes."""
    samples = 0
    try:
        for block in file.blocks(BLOCK, dtype="int32"):
            samples += len(block)
    except soundfile.SoundFileError:
        pass
    if samples >= file.frames:
        return None
    return f"its header promises {file.frames} samples, and not all of them can be decoded"

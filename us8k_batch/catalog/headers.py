"""What one audio file is: container, coding, rate, channels and length, and what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import soundfile

from us8k_batch.audio.counting import MOST_SAMPLES, UNKNOWN, Counted, count_samples
from us8k_batch.audio.kinds import explain
from us8k_batch.audio.mpeg import walk_mpeg
from us8k_batch.audio.ogg import walk_ogg
from us8k_batch.audio.opening import NotAudioError, open_audio

PROMISE = re.compile(r"^\s*([A-Za-z0-9 ]+?)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
"""A line of libsndfile's log: a part of the file, the length in its header, the length that is there."""
DATA_PARTS = ("data", "ssnd", "data size")
WHOLE_PARTS = ("riff", "riff size")
"""Length of the whole file: in WAV often wrong by a few bytes without harm, so it counts in W64 and RF64 only."""
NOT_WRITTEN = range(0x7FFF0000, 1 << 32), range((1 << 63) - (1 << 16), 1 << 64)
"""Lengths that a program writes which cannot go back to fill them in: the largest ones, or nearly."""
LINEAR = frozenset(("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW"))
"""Codings of which every byte is a valid sample: their length follows from the header and the file's size."""
LINEAR_CONTAINERS = frozenset(("WAV", "WAVEX", "W64", "RF64", "AIFF", "AU"))
LOST = 0.05
"""Seconds of an MP3 that may be left out before it is named: encoders and decoders differ in a frame."""
GUESSED = 0.1
"""Seconds by which the length of an MP3 may be guessed wrong before it is named; or 5 %."""


class UnreadableHeaderError(Exception):
    """A clip cannot be opened, or its data cannot be decoded."""

    def __init__(self, word: str, detail: str) -> None:
        """Keep the word that ``failures.parquet`` has for it, and the reason."""
        super().__init__(detail)
        self.word = word


@dataclass(frozen=True, slots=True)
class Header:
    """What one audio file is."""

    container: str
    """soundfile's name of the container, such as ``WAV``."""
    subtype: str
    """soundfile's name of the coding, such as ``PCM_16``."""
    sample_rate: int
    """Rate, in Hz."""
    channels: int
    """Number of channels."""
    samples: int
    """Samples per channel that are there."""
    problem: str | None = None
    """``empty``, ``not_finite``, ``truncated``, ``joined`` or ``wrong_length``; None if nothing is wrong."""
    detail: str | None = None
    """The problem in words."""

    @property
    def seconds(self) -> float:
        """Duration, in seconds."""
        return self.samples / self.sample_rate


def read_header(data: bytes, extension: str = "") -> Header:
    """Read an audio file's header, and decode it where the header alone does not tell what is there.

    Parameters
    ----------
    data : bytes
        The whole file.
    extension : str
        `extension_of` its path.

    Raises
    ------
    UnreadableHeaderError
        If extracting it would fail because it cannot be decoded.
    """
    try:
        with open_audio(data, extension) as file:
            promised = file.frames
            counted = _count(file)
            header = Header(file.format, file.subtype, file.samplerate, file.channels, counted.samples)
            log = file.extra_info
            if counted.error is not None and not (header.container == "FLAC" and promised < UNKNOWN):
                raise counted.error
    except NotAudioError as error:
        raise UnreadableHeaderError(*explain(data, str(error))) from error
    found = _wrong(header, promised, counted, data, log)
    return header if found is None else replace(header, problem=found[0], detail=found[1])


def _count(file: soundfile.SoundFile) -> Counted:
    if file.subtype in LINEAR and file.format in LINEAR_CONTAINERS and file.frames < UNKNOWN:
        return Counted(max(0, file.frames), True, None)
    return count_samples(file, MOST_SAMPLES)


def _wrong(header: Header, promised: int, counted: Counted, data: bytes, log: str) -> tuple[str, str] | None:
    """Find the first of what can be wrong; what costs the clip its features comes first."""
    if not counted.finite:
        return "not_finite", "a sample is NaN or infinite; expected finite samples"
    missing = _missing(header, promised, counted, data, log)
    if missing is not None:
        return "truncated", missing
    if header.samples == 0:
        return "empty", f"no sample in this {header.container} file; expected at least one"
    if header.container == "OGG":
        ogg = walk_ogg(data)
        if ogg is not None and ogg.links > 1:
            return "joined", f"{ogg.links} Ogg streams one after the other, of which only the first is read"
    if header.subtype.startswith("MPEG"):
        return _wrong_mpeg(header, promised, data)
    return None


def _missing(header: Header, promised: int, counted: Counted, data: bytes, log: str) -> str | None:
    """Say what is missing of what the header promises; None if nothing is, or the format cannot tell."""
    parts = DATA_PARTS if header.container not in ("W64", "RF64") else DATA_PARTS + WHOLE_PARTS
    for name, told, there in PROMISE.findall(log):
        if name.lower() in parts and int(told) > int(there) and not any(int(told) in all_ for all_ in NOT_WRITTEN):
            return f"its header promises {told} bytes ({name}), the file holds {there}"
    if header.container == "OGG":
        ogg = walk_ogg(data)
        return None if ogg is None or ogg.whole else "its last Ogg page is cut off, or not marked as the last"
    if header.container == "FLAC" and header.samples < promised < UNKNOWN:
        there = f"its header promises {promised} samples, "
        if counted.error is None:
            return f"{there}the file holds {counted.samples}"
        # Within a frame, libsndfile gives up, and extracting it fails.
        return f"{there}and not all of them can be decoded: not_decodable (libsndfile: {counted.error})"
    if header.subtype.startswith("MPEG"):
        mpeg = walk_mpeg(data)
        if mpeg is not None and mpeg.promised is not None and mpeg.frames + 1 < mpeg.promised:
            return (
                f"its first frame promises {mpeg.promised} MPEG frames ({mpeg.promised_seconds:.3f} s), "
                f"the file holds {mpeg.frames} ({mpeg.seconds:.3f} s)"
            )
    return None


def _wrong_mpeg(header: Header, promised: int, data: bytes) -> tuple[str, str] | None:
    """Compare what is decoded with the MPEG frames that are there."""
    mpeg = walk_mpeg(data)
    if mpeg is None:
        return None
    lost = mpeg.seconds - header.seconds
    more = "" if mpeg.promised is None else f", its first frame promises {mpeg.promised_seconds:.3f} s"
    if mpeg.streams > 1 and lost > LOST:
        return "joined", (
            f"{mpeg.streams} MPEG streams one after the other: {header.seconds:.3f} s of {mpeg.seconds:.3f} s "
            f"are read{more}"
        )
    guessed = promised / header.sample_rate
    # Encoder's delay and padding, up to 0.1 s, are in the frames and not in the samples.
    if mpeg.promised is None and (lost > LOST or guessed - header.seconds > max(GUESSED, 0.05 * header.seconds)):
        return "wrong_length", (
            f"no frame tells its length, which is taken for {guessed:.3f} s; its {mpeg.frames} MPEG frames are "
            f"{mpeg.seconds:.3f} s, of which {header.seconds:.3f} s are read"
        )
    return None

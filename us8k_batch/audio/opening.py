"""Open audio that is in memory exactly as libsndfile opens the file by its path.

Through callbacks (``soundfile.SoundFile(io.BytesIO(data))``) libsndfile 1.2.2 reads some files otherwise than by
their path: it drops as many bytes of audio as an ID3v2 tag in front is long, goes on after seeks that a file
refuses, and never asks the file's name. So the bytes become a file without a place on any disk, and that is opened
by a path.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import soundfile

FileBytes = bytes | memoryview
"""All bytes of a clip's file."""


class ClipFile(NamedTuple):
    """What decides how a clip is read."""

    data: FileBytes
    """The whole file."""
    extension: str = ""
    """`extension_of` its path."""


EXTENSIONS = frozenset(("au", "gsm", "mp3", "snd", "vox", "vox6", "vox8"))
"""Extensions by which libsndfile knows data whose beginning it does not: MP3 after junk, and headerless codings."""
_UNRECOGNISED = 1
"""libsndfile's SF_ERR_UNRECOGNISED_FORMAT."""
_BAD_FILE = "File does not exist"
"""How libsndfile's words begin for MPEG data in which there is no frame."""


class NotAudioError(Exception):
    """libsndfile cannot open the data; the message holds no path or address, so it is the same in every run."""


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # untyped
    """A clip that is read forward only: soundfile seeks after each read, which some decodable files cannot do."""

    def seekable(self) -> bool:
        """Say no, so that soundfile does not seek."""
        return False


def extension_of(path: str) -> str:
    """Return what of a clip's path can decide how it is read: one of `EXTENSIONS`, or nothing.

    Parameters
    ----------
    path : str
        Path, URL or name of a file.
    """
    extension = path.rpartition("/")[2].rpartition(".")[2].lower()
    return extension if extension in EXTENSIONS and "." in path.rpartition("/")[2] else ""


def open_audio(data: FileBytes, extension: str = "") -> soundfile.SoundFile:
    """Open a clip as ``soundfile.SoundFile(path)`` and thus ``librosa.load(path)`` do.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file.
    extension : str
        `extension_of` its path.

    Returns
    -------
    soundfile.SoundFile
        At its first sample. It holds a copy of the data until it is closed.

    Raises
    ------
    NotAudioError
        If libsndfile cannot open it.
    MemoryError
        If there is no memory for it.
    """
    try:
        return _open(data, extension)
    except soundfile.LibsndfileError as error:
        raise describe_error(error) from None


def describe_error(error: Exception) -> Exception:
    """Translate what soundfile raises about a clip into `NotAudioError` or `MemoryError`."""
    # error_string, because str(error) holds the path of the data: failures must be the same in every run.
    reason = str(getattr(error, "error_string", "") or type(error).__name__)
    if "malloc" in reason:
        return MemoryError(reason)
    return NotAudioError("no MPEG frame found" if reason.startswith(_BAD_FILE) else reason)


def _open(data: FileBytes, extension: str) -> soundfile.SoundFile:
    with _nameless_file(data) as path:
        try:
            return _ForwardFile(path)
        except soundfile.LibsndfileError as error:
            if error.code != _UNRECOGNISED or not extension:
                raise
        with tempfile.TemporaryDirectory(prefix="us8k-") as folder:
            named = Path(folder) / f"clip.{extension}"
            named.symlink_to(path)
            return _ForwardFile(str(named))


@contextmanager
def _nameless_file(data: FileBytes) -> Iterator[str]:
    """Yield a path by which the data can be opened while the context lasts, and be read for as long as it is open."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("us8k-clip")
        try:
            _write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        # In a folder of its own: libsndfile reads a file named ._NAME beside data that it does not know.
        with tempfile.TemporaryDirectory(prefix="us8k-") as folder:
            path = Path(folder) / "clip"
            path.write_bytes(data)
            yield str(path)


def _write(descriptor: int, data: FileBytes) -> None:
    rest = memoryview(data)
    while rest:  # Linux writes 2 GiB at most at a time
        rest = rest[os.write(descriptor, rest) :]

"""Why one clip cannot be read: an error for each kind, and which errors of the system mean which."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from us8k_batch.errors import ClipError, StorageError


class MissingClipError(ClipError):
    """No file or object is there."""

    stage = "read"
    error = "missing"


class NotAFileError(ClipError):
    """Something else than a regular file is there, such as a folder, a pipe or a loop of links."""

    stage = "read"
    error = "not_a_file"


class PermissionDeniedError(ClipError):
    """The file or object is there, but may not be read."""

    stage = "read"
    error = "permission_denied"


class OutsideRootError(ClipError):
    """A symbolic link leads out of the dataset."""

    stage = "read"
    error = "outside_root"


class TooLargeError(ClipError):
    """The file or object holds more bytes than may be read."""

    stage = "read"
    error = "too_large"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a clip cannot be read."""

    kind: type[ClipError]
    """The error that it is."""
    text: str
    """What was found and expected; the same for every clip, and without any address."""

    def at(self, path: str) -> ClipError:
        """Make the error for one clip."""
        return self.kind(f"{path}: {self.text}")


MISSING = Fault(MissingClipError, "no such file")
NO_FOLDER = Fault(MissingClipError, "no such file: a part of its path is not a folder")
NAME_TOO_LONG = Fault(MissingClipError, "no such file: the name is too long for this file system")
DENIED = Fault(PermissionDeniedError, "may not be read")
FOLDER = Fault(NotAFileError, "a folder, expected a regular file")
LOOP = Fault(NotAFileError, "a loop of symbolic links, expected a regular file")
SPECIAL = Fault(NotAFileError, "a pipe, socket or device, expected a regular file")
OUTSIDE = Fault(OutsideRootError, "a symbolic link leads out of the dataset, expected clips below its folder")
FAULTS = (MISSING, NO_FOLDER, NAME_TOO_LONG, DENIED, FOLDER, LOOP, SPECIAL, OUTSIDE)
"""All of them; a scan notes a clip's fault by its place here."""

_MEANING = {
    errno.ENOENT: MISSING,
    errno.ENOTDIR: NO_FOLDER,
    errno.ENAMETOOLONG: NAME_TOO_LONG,
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
    errno.EISDIR: FOLDER,
    errno.ELOOP: LOOP,
    errno.ENXIO: SPECIAL,
    errno.ENODEV: SPECIAL,
}


def fault_of_error(error: OSError) -> Fault | None:
    """Tell which fault of a clip an error of the system means; None if the storage is at fault, not the clip."""
    return _MEANING.get(error.errno or 0)


def fault_of_mode(mode: int) -> Fault | None:
    """Tell why something of this file type is no clip; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return FOLDER if stat.S_ISDIR(mode) else SPECIAL


def translate(path: str, error: OSError) -> ClipError | StorageError:
    """Make our error for one clip out of the system's; its text holds no address, so it can be recorded."""
    fault = fault_of_error(error)
    if fault is not None:
        return fault.at(path)
    number = error.errno or errno.EIO
    return StorageError(f"{path}: cannot be read: {errno.errorcode.get(number, number)} ({os.strerror(number)})")

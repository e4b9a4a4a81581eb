"""Unpack a tar archive from a stranger: regular files below one folder, and nothing that could be anything else."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from us8k_batch.errors import JobError

MOST_FILES = 100_000
MOST_PARTS = 6
"""Folders that a name may go through."""
MOST_HEADER = 1 << 20
"""Bytes of a header that says something about the next one; Python would read any number of them into memory."""
_BUFFER = 1 << 20
_SPECIAL = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK)  # fmt: skip
FAULTS = (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, RecursionError)
"""What Python's readers raise of an archive that is none; their OSError is told from the disk's by the caller."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One file of an archive, on disk."""

    path: str
    """Relative to the archive's only folder."""
    size: int
    """Bytes."""
    sha256: bytes


class _Header(tarfile.TarInfo):
    """A header that does not make Python read a gigabyte."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> _Header:
        """Read a header, and refuse it if it announces too much."""
        header = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]
        if header.type in _HEADERS and header.size > MOST_HEADER:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


def unpack(archive: IO[bytes], top: str, folder: Path, most_bytes: int, only: str = "") -> Iterator[Unpacked]:
    """Unpack a gzipped tar file as it is read, file by file.

    Parameters
    ----------
    archive : binary file
        Is read once, from its present position on; it need not be seekable.
    top : str
        The folder that everything in the archive lies in.
    folder : Path
        Where the contents of that folder go; what is there is never overwritten.
    most_bytes : int
        Most bytes that may be written.
    only : str
        Unpack only what has this beginning, below `top`.

    Yields
    ------
    Unpacked
        Of each regular file whose name does not begin with a dot.

    Raises
    ------
    JobError
        If the archive cannot be read, or holds anything but files and folders below `top`, or too much.
    """
    written = 0
    name = getattr(archive, "name", "the archive")
    try:
        with tarfile.open(fileobj=archive, mode="r|gz", tarinfo=_Header) as tar:
            for number, member in enumerate(tar):
                path = _path_of(member, top)
                if number >= MOST_FILES or written + member.size > most_bytes:
                    raise ValueError(f"more than {MOST_FILES} files or {most_bytes} bytes")
                if not member.isreg() or path.name.startswith(".") or not str(path).startswith(only):
                    continue
                source = tar.extractfile(member)
                if source is None:
                    raise ValueError(f"{member.name!r} has no content")
                written += member.size
                yield Unpacked(str(path), member.size, _copy(source, folder / path, member.size))
    except FAULTS as error:
        raise JobError(f"{name}: not the archive that was expected: {error}") from error


def _path_of(member: tarfile.TarInfo, top: str) -> PurePosixPath:
    """Return a member's path below `top`.

    Raises
    ------
    ValueError
        If it is no file or folder below it.
    """
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise ValueError(f"{member.name!r} is {_SPECIAL.get(member.type, 'special')}, not a file or folder")
    parts = member.name.split("/")
    named = [part for part in parts if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts or "\0" in member.name or "\\" in member.name:
        raise ValueError(f"{member.name!r} leads out of {top}/")
    if not named or named[0] != top or len(named) > MOST_PARTS:
        raise ValueError(f"{member.name!r} does not lie in {top}/")
    return PurePosixPath(*named[1:])


def _copy(source: IO[bytes], target: Path, size: int) -> bytes:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while piece := source.read(_BUFFER):
            digest.update(piece)
            file.write(piece)
        if file.tell() != size:
            raise EOFError(f"{target.name} ends early")
    return digest.digest()

"""Name the clip in what a C library prints about it: libmpg123 writes to standard error, and names no file."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from us8k_batch.audio.opening import FileBytes

logger = logging.getLogger(__name__)

_LOCK = threading.Lock()
"""There is one C stream for all threads."""
_MOST_BYTES = 2000


@contextmanager
def named_notes(path: str, data: FileBytes, level: int = logging.WARNING) -> Iterator[None]:
    """Log the lines that libraries print while a clip is read in this context, with the clip's path.

    glibc lets a program replace its stream ``stderr``, which Python's own output does not use; so nothing that others
    print to the file descriptor meanwhile is lost. With another C library the lines are printed as they are.

    Parameters
    ----------
    path : str
        The clip's.
    data : bytes or memoryview
        The whole file. Only libmpg123 prints, so what other formats begin with need not wait for another thread.
    level : int
        Level of the messages.
    """
    libc = _glibc()
    if libc is None or bytes(data[:4]) in (b"RIFF", b"FORM", b"fLaC", b"OggS", b"RF64", b"riff", b"caff"):
        yield
        return
    with _LOCK, tempfile.TemporaryFile() as file:
        stream = libc.fdopen(os.dup(file.fileno()), b"w")
        variable = ctypes.c_void_p.in_dll(libc, "stderr")
        usual, variable.value = variable.value, stream
        try:
            yield
        finally:
            variable.value = usual
            libc.fclose(stream)
            file.seek(0)
            for note in dict.fromkeys(filter(None, map(_plain, file.read(_MOST_BYTES).splitlines()))):
                logger.log(level, "%s: %s", path, note)


def _plain(line: bytes) -> str:
    """Return a line without the place in libmpg123's source that some begin with."""
    text = line.decode(errors="replace").strip()
    return text.partition("] ")[2] or text if text.startswith("[") else text


@cache
def _glibc() -> Any:
    if platform.libc_ver()[0] != "glibc":
        return None
    libc = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    libc.fclose.argtypes = [ctypes.c_void_p]
    return libc

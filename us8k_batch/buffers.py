"""Bytes handed to Arrow so that its threads never need the interpreter to let go of them.

A thread of Arrow's may drop the last reference to a buffer after the call that used it has returned. If a Python
object is behind that buffer, the thread asks for the interpreter's lock; and where the interpreter is just ending, it
is ended itself in the middle of a destructor, and takes the process with it: SIGABRT, "terminate called without an
active exception". So Arrow is given memory and files of its own.
"""

from __future__ import annotations

import mmap
from typing import BinaryIO

import numpy as np
import pyarrow as pa


def arrow_reader(data: bytes | mmap.mmap) -> pa.NativeFile:
    """Copy bytes into memory of Arrow's, and give them as a file."""
    buffer = pa.allocate_buffer(len(data))
    np.frombuffer(buffer, np.uint8)[:] = np.frombuffer(data, np.uint8)
    return pa.BufferReader(buffer)  # noqa: TID251  # there is no Python object behind it


def arrow_file(file: BinaryIO) -> pa.NativeFile:
    """Open once more what is open, by its descriptor; both are closed apart."""
    return pa.OSFile(f"/dev/fd/{file.fileno()}")


def arrow_map(file: BinaryIO) -> pa.NativeFile:
    """Map an open file of our own, which nobody makes shorter."""
    return pa.memory_map(f"/dev/fd/{file.fileno()}")

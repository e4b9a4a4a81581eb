"""Clips on a local disk or a mounted share."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from us8k_batch.catalog.listing import EARLIEST, FINE, LATEST, by_folder, seen_table, split_paths
from us8k_batch.catalog.room import Room, new_room
from us8k_batch.catalog.unreadable import (
    DENIED,
    FAULTS,
    MISSING,
    OUTSIDE,
    Fault,
    TooLargeError,
    fault_of_error,
    fault_of_mode,
    translate,
)
from us8k_batch.errors import ClipError
from us8k_batch.objects.retry import Threads, retry

THREADS = 4
"""Folders looked at together: on a network share the answers are waited for, not computed."""
FOLDERS_IN_HAND = 4096
"""Folders handed to the threads at once, so that memory does not grow with their number."""
ENTRIES_IN_HAND = 16384
"""Entries of one folder that are Python objects at a time."""
LOOKUPS = 16
"""Most times that a folder's names are looked up together: each time they are all hashed."""
READABLE_BY_ALL = 0o444
EFFECTIVE = os.access in os.supports_effective_ids
"""Whether permission can be asked for as opening a file would judge it."""
READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""A pipe, opened plainly, would block for ever."""
FINDING = os.O_PATH | os.O_CLOEXEC if hasattr(os, "O_PATH") and os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112
"""What finds a file without opening it, and so can do nothing to a device; 0 where the system cannot."""
UNSAYABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no path of a dataset may hold."""
TAIL = 65536
"""Bytes asked for at once beyond the size that a file had when it was opened."""
T = TypeVar("T")
Seen = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]
"""Size in bytes, modification time in ns and fault of each clip of one folder."""


class LocalSource:
    """Clips as files below a folder."""

    def __init__(self, root: str, sleep: Callable[[float], None] | None = None) -> None:
        self.root = root
        # Resolved once: if a link above the dataset is changed in mid-run, its clips still come from one place.
        self._real = os.path.realpath(root)
        self._below = self._real.rstrip("/") + "/"
        self._sleep = sleep
        self._folder: _Folder | None = None

    def scan(self, paths: Any) -> pa.Table:
        """List each folder once; only clips that are there cost a call of their own."""
        folders, names = split_paths(paths)
        size = np.empty(len(names), np.int64)
        mtime = np.empty(len(names), np.int64)
        fault = np.empty(len(names), np.int16)
        places = list(by_folder(folders))

        def look(place: tuple[str, NDArray[np.int64]]) -> Seen:
            folder, rows = place
            wanted = names.take(pa.array(rows)).cast(pa.binary())
            return retry(lambda: self._look(folder, wanted), folder, self._sleep)

        with Threads(THREADS) as pool:
            for start in range(0, len(places), FOLDERS_IN_HAND):
                part = places[start : start + FOLDERS_IN_HAND]
                for (_, rows), seen in zip(part, pool.map(look, part), strict=True):
                    size[rows], mtime[rows], fault[rows] = seen
        return seen_table(size, mtime, pa.nulls(len(names), pa.string()), fault)

    def read(self, path: str, limit: int) -> bytes:
        """Open without blocking, make sure that it is a regular file below the root, read it whole."""
        return self.read_into(path, limit, new_room).tobytes()

    def read_into(self, path: str, limit: int, room: Room) -> memoryview:
        """Open as `read` does, and read it whole into memory that is there already."""
        read = partial(_read_whole, path=path, limit=limit, room=room)
        return retry(partial(self._open, path, read), path, self._sleep)

    def read_head(self, path: str, length: int) -> tuple[bytes, int]:
        """Open as `read` does, and read the beginning."""
        return retry(lambda: self._open(path, lambda file, size: (os.read(file, length), size)), path, self._sleep)

    def names(self, folder: str) -> tuple[list[str], list[str]]:
        """List a folder; a name that is not UTF-8, or holds control characters, is left out."""
        real = os.path.realpath(os.path.join(self._real, folder))  # noqa: PTH118
        found: tuple[list[str], list[str]] = ([], [])
        try:
            if not self._holds(real):
                raise OUTSIDE.at(folder)
            with os.scandir(real) as entries:
                for entry in entries:
                    if not UNSAYABLE.search(entry.name):
                        found[not entry.is_dir()].append(entry.name)
        except OSError as error:
            raise translate(folder or ".", error) from error
        return sorted(found[0]), sorted(found[1])

    def _open(self, path: str, use: Callable[[int, int], T]) -> T:
        """Let `use` read an open clip: it is given the descriptor, and the size in bytes."""
        try:
            file = self._open_beside(path)
            if file is None:
                file = self._open_found(path) if FINDING else self._open_resolved(path)
            try:
                status = os.fstat(file)
                fault = fault_of_mode(status.st_mode)
                if fault is not None:
                    raise fault.at(path)
                return use(file, status.st_size)
            finally:
                os.close(file)
        except OSError as error:
            raise translate(path, error) from error

    def _open_beside(self, path: str) -> int | None:
        """Open a clip in the folder that the last one was in, if there is a regular file there; else return None.

        The folder was found below the root, and nothing leads out of it from there: most clips are opened by half of
        the calls that finding each costs.
        """
        folder, _, name = path.rpartition("/")
        found = self._folder  # it stays open while it is used, whatever another thread puts in its place
        try:
            if found is None or found.path != folder:
                if not FINDING:
                    return None
                found = self._folder = _Folder(folder, self._find(folder))
            if not stat.S_ISREG(os.stat(name, dir_fd=found.descriptor, follow_symlinks=False).st_mode):
                return None
            return os.open(name, READING | os.O_NOFOLLOW, dir_fd=found.descriptor)
        except (OSError, ClipError):
            self._folder = None  # what is wrong is found out by looking at the clip itself
            return None

    def _open_found(self, path: str) -> int:
        """Open what was found to be a regular file, and nothing else."""
        place = self._find(path)
        try:
            fault = fault_of_mode(os.fstat(place).st_mode)
            if fault is not None:
                raise fault.at(path)
            return os.open(f"/proc/self/fd/{place}", READING)
        finally:
            os.close(place)

    def _find(self, path: str) -> int:
        """Return a descriptor of what is below the root, which says where it is and opens nothing yet."""
        try:
            place = os.open(self._below + path, FINDING)
        except OSError:
            # Nobody is to learn from a link what there is outside.
            if not self._holds(os.path.realpath(os.path.join(self._real, path))):  # noqa: PTH118
                raise OUTSIDE.at(path) from None
            raise
        if not self._holds(os.readlink(f"/proc/self/fd/{place}")):  # noqa: PTH115  # pathlib would look for the file
            os.close(place)
            raise OUTSIDE.at(path)
        return place

    def _open_resolved(self, path: str) -> int:
        """Open what is below the root; where a folder becomes a link in this moment, what it leads to."""
        real = os.path.realpath(os.path.join(self._real, path))  # noqa: PTH118
        if not self._holds(real):
            raise OUTSIDE.at(path)
        return os.open(real, READING | os.O_NOFOLLOW)

    def _look(self, folder: str, names: Any) -> Seen:
        """Look at the clips of one folder; a name that is not UTF-8 is none of theirs."""
        size = np.zeros(len(names), np.int64)
        mtime = np.zeros(len(names), np.int64)
        fault = np.full(len(names), FAULTS.index(MISSING), np.int16)
        at_once = max(ENTRIES_IN_HAND, len(names) // LOOKUPS)
        real = os.path.realpath(os.path.join(self._real, folder))  # noqa: PTH118
        try:
            if not self._holds(real):
                fault[:] = FAULTS.index(OUTSIDE)
                return size, mtime, fault
            with os.scandir(os.fsencode(real)) as entries:
                while part := list(itertools.islice(entries, at_once)):
                    found = pa.array([entry.name for entry in part], pa.binary())
                    places = pc.fill_null(pc.index_in(found, value_set=names), -1).to_numpy()
                    wanted = np.flatnonzero(places >= 0)
                    seen = np.array([self._status(part[at]) for at in wanted.tolist()], np.int64).reshape(-1, 3)
                    size[places[wanted]], mtime[places[wanted]], fault[places[wanted]] = seen.T
        except OSError as error:
            whole = fault_of_error(error)
            if whole is None:
                raise translate(folder or ".", error) from error
            fault[:] = FAULTS.index(whole)
        # A path may be asked for twice: all of them are as the first.
        first = pc.index_in(names, value_set=names).to_numpy()
        return size[first], mtime[first], fault[first]

    def _status(self, entry: os.DirEntry[bytes]) -> tuple[int, int, int]:
        try:
            if entry.is_symlink() and not self._holds(os.fsdecode(os.path.realpath(entry.path))):
                return 0, 0, FAULTS.index(OUTSIDE)
            status = entry.stat()
        except OSError as error:
            fault: Fault | None = fault_of_error(error)
            if fault is None:
                raise
            return 0, 0, FAULTS.index(fault)
        fault = fault_of_mode(status.st_mode)
        if fault is None and status.st_mode & READABLE_BY_ALL != READABLE_BY_ALL:
            fault = None if os.access(entry.path, os.R_OK, effective_ids=EFFECTIVE) else DENIED
        return (
            status.st_size,
            max(EARLIEST, min(status.st_mtime_ns, LATEST)),
            FINE if fault is None else FAULTS.index(fault),
        )

    def _holds(self, real: str) -> bool:
        return real.startswith(self._below) or real == self._real


class _Folder:
    """An open folder, for as long as somebody refers to it."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


def _read_whole(descriptor: int, size: int, *, path: str, limit: int, room: Room) -> memoryview:
    """Read to the end, wherever it is by now, but never more than one byte past the limit."""
    length = 0
    # One byte more than expected, or the end would take a call of its own to find.
    space = room(min(size, limit) + 1)
    while max(size, length) <= limit:
        if length == len(space):  # it has grown since it was opened
            begun = space.tobytes()
            space = room(min(length + TAIL, limit + 1))
            space[:length] = begun
        n = os.readv(descriptor, [space[length : limit + 1]])
        if n == 0:
            return space[:length]
        length += n
    raise TooLargeError(f"{path}: holds {max(size, length)} bytes or more, expected at most {limit}")

"""Where the kernels' machine code is kept, so that one process per machine compiles and the others load.

Whoever can write what is loaded here runs code in our name. So its folder is our own and closed to everybody else, or
there is none. The folder's name tells versions, processor and sources. A file is created under another name and
renamed, and begins with its digest: what was cut off or overwritten is compiled anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import llvmlite
import numpy as np

from us8k_batch.features.fast.object_code import name_processor

logger = logging.getLogger(__name__)

FILE = "kernels.o"
_LOCK = "lock"
_DIGEST_BYTES = 32
_HARMLESS = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS")
"""Settings of numba's that do not change the code."""


class MachineCode:
    """Machine code in a folder of the machine, or in memory only where there is no safe folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        """Private folder, or None."""

    def load(self, compile_anew: Callable[[], bytes]) -> tuple[bytes, bool]:
        """Load machine code, or compile it and keep it, while others wait for that, as long as this process lives.

        What cannot be kept, on a full disk, is used all the same.

        Returns
        -------
        code : bytes
        compiled : bool
            Whether this process compiled it.
        """
        if self.folder is None:
            return compile_anew(), True
        code = self.find()
        if code is not None:
            return code, False
        with _locked(self.folder):
            code = self.find()  # perhaps there is one by now
            if code is not None:
                return code, False
            if (self.folder / FILE).exists():
                logger.warning("%s is damaged; compiling anew", self.folder / FILE)
            code = compile_anew()
            self._keep(code)
            return code, True

    def find(self) -> bytes | None:
        """Return machine code that a process of this machine has kept, if it is whole; else None."""
        if self.folder is None:
            return None
        try:
            data = (self.folder / FILE).read_bytes()
        except OSError:
            return None
        digest, code = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return code if hashlib.sha256(code).digest() == digest else None

    def is_being_compiled(self) -> bool:
        """Tell whether a process compiles, be it this one; where no lock tells, whether nothing is kept yet."""
        if self.folder is None:
            return True
        try:
            with (self.folder / _LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return self.find() is None
        return False

    def _keep(self, code: bytes) -> None:
        if self.folder is None:
            return
        try:
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix="new-", delete=False) as file:
                try:
                    file.write(hashlib.sha256(code).digest() + code)
                    file.flush()
                    Path(file.name).replace(self.folder / FILE)
                except BaseException:
                    Path(file.name).unlink()
                    raise
        except OSError as error:
            logger.warning("compiled kernels cannot be kept in %s: %s", self.folder, error)


def open_machine_code() -> MachineCode:
    """Find a safe folder, and make it where necessary; without one, every process compiles for itself."""
    name = f"kernels-{_fingerprint()}"
    for place in _places():
        folder = make_private(place / name)
        if folder is not None:
            return MachineCode(folder)
    logger.warning(
        "no private folder for compiled kernels: every process compiles its own, for about 20 s; "
        "set XDG_CACHE_HOME to a folder that only this user can write"
    )
    return MachineCode(None)


def make_private(folder: Path) -> Path | None:
    """Make a folder that nobody else can write or replace; return None where that is not possible.

    It must be ours with mode 0700, and its ancestors must belong to us or to root and be writable by nobody else,
    unless they are sticky.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = folder.parent.resolve() / folder.name
        folder.mkdir(exist_ok=True, mode=0o700)
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if not private or not all(map(_keeps_names, folder.parents)):
            return None
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


def _keeps_names(folder: Path) -> bool:
    """Tell whether nobody else can rename what lies in a folder and is ours."""
    found = folder.stat()
    others_write = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
    return found.st_uid in (0, os.geteuid()) and not others_write


def _places() -> Iterator[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen).absolute()
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():
        caches = Path(os.path.expanduser("~/.cache"))  # noqa: PTH111 (Path.expanduser raises where there is no home)
    if caches.is_absolute():
        yield caches / "us8k-batch"
    yield Path(tempfile.gettempdir()) / f"us8k-batch-{os.geteuid()}"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Be the only process that compiles, if the file system has locks, which end with the process that has them."""
    try:
        file = (folder / _LOCK).open("wb")
    except OSError:  # a folder that vanished, or a full disk: nothing can be kept there either
        yield
        return
    with file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fingerprint() -> str:
    digest = hashlib.sha256()
    settings = sorted(
        item for item in os.environ.items() if item[0].startswith("NUMBA_") and item[0] not in _HARMLESS
    )
    versions = (sys.version, llvmlite.__version__, np.__version__)
    digest.update(repr((versions, name_processor(), settings)).encode())
    for source in (*_version_of_numba(), *sorted(Path(__file__).parent.rglob("*.py"))):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _version_of_numba() -> list[Path]:
    """Find the files that tell numba's version: asking numba itself, or the package's metadata, takes longer."""
    found = find_spec("numba")
    return [] if found is None or found.origin is None else sorted(Path(found.origin).parent.glob("_version.py"))

"""Where compiled kernels are kept, so that one process per machine compiles and the others load.

Numba unpickles what it finds there and runs it. So the folder is our own and closed to everybody else, or there is
none. Its name tells versions, processor and our sources: numba itself looks at one source file only, and two
processors that share a home directory would write the same file names. Within the folder numba replaces files as a
whole, and every process would write the same, so that several may compile at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config as settings
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

logger = logging.getLogger(__name__)


class MachineCode:
    """Kernels' machine code in a folder of the machine, or in memory only where there is no safe folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        """Private folder, or None."""

    def load(self, kernel: Callable[..., Any], *arguments: Any) -> None:
        """Load or compile a kernel for arguments of these types, by calling it.

        What cannot be loaded is removed, compiled and kept anew: a file may be cut off after a power failure. What
        cannot be kept, on a full disk, is used all the same.
        """
        with global_compiler_lock:  # numba's own, because `_use_folder` changes a setting of the process
            self._use_folder(kernel)
            for tries_left in (2, 1, 0):
                try:
                    kernel(*arguments)
                    return
                except Exception as error:
                    if self.folder is None or not tries_left:
                        raise
                    logger.warning("%s: %s: %s; compiling anew", self.folder, type(error).__name__, error)
                    for entry in self.folder.glob("*"):  # the folder itself stays, because its mode matters
                        shutil.rmtree(entry, ignore_errors=True)

    def _use_folder(self, kernel: Any) -> None:
        if self.folder is None or kernel.signatures:
            return
        before = settings.CACHE_DIR
        settings.CACHE_DIR = str(self.folder)
        try:
            kernel.enable_caching()
        finally:
            settings.CACHE_DIR = before


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


def _fingerprint() -> str:
    digest = hashlib.sha256()
    processor = cpu_target.target_context.codegen().magic_tuple()
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    digest.update(repr((versions, processor)).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]

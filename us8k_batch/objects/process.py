"""obstore in this process: its threads do not survive a fork, so a child that needs it loads it once more."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import obstore
import obstore.exceptions
import obstore.store  # noqa: F401  # loaded again with the others

from us8k_batch.errors import RequestError

LIBRARY = "obstore._obstore"
"""The part of obstore that is compiled; all of its state is in there."""


@dataclass(slots=True)
class _Process:
    """What obstore was used for in this process, and in those that it was forked from."""

    forks: int = 0
    """Forks that lie between the first process and this one."""
    used: bool = False
    """Whether the obstore that is loaded may have threads in this process."""
    stale: bool = False
    """Whether it had its threads in another process, and would wait for them for ever in this one."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: list[Any] = field(default_factory=list)
    """What belongs to other processes' threads: to free it here could wait for them too."""


_process = _Process()


def _after_fork() -> None:
    _process.forks += 1
    _process.stale |= _process.used
    _process.used = False
    _process.lock = threading.Lock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)


def use_obstore() -> int:
    """Make obstore usable in this process; return a number that changes when stores must be opened anew.

    Raises
    ------
    RequestError
        If this process was forked from one that used it, and it cannot be loaded once more.

    Notes
    -----
    One runtime of Tokio serves all stores of a process. A forked child is not told that its threads are gone
    (developmentseed/obstore#441), and waits for ever. A second copy of the library has state of its own.
    """
    with _process.lock:
        if _process.stale:
            try:
                _load_again()
            except (OSError, ImportError, AttributeError) as error:
                raise RequestError(
                    f"this process was forked from one that had opened a bucket ({error}); start it with "
                    "multiprocessing's 'spawn' or 'forkserver', or open the bucket in the child only"
                ) from error
            _process.stale = False
        _process.used = True
        return _process.forks


def keep(thing: Any) -> None:
    """Keep something of another process's obstore from being freed in this one."""
    _process.kept.append(thing)


def _load_again() -> None:
    """Load a copy of the library, and put what it defines into the modules that others have imported."""
    old = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "obstore"}
    _process.kept.append({name: dict(vars(module)) for name, module in old.items()})
    try:
        for name in old:
            del sys.modules[name]
        sys.modules[LIBRARY] = _load_copy(Path(str(old[LIBRARY].__file__)))
        for name, module in old.items():
            vars(module).update(vars(importlib.import_module(name)))
    finally:
        sys.modules.update(old)


def _load_copy(library: Path) -> ModuleType:
    # The system's loader gives the same library again for the same file or name. So the copy is another file, without
    # a name of its own, and stays open: a child of this child must find another number for it.
    file = os.memfd_create("obstore", os.MFD_CLOEXEC)
    with library.open("rb") as source:
        while os.sendfile(file, source.fileno(), None, 1 << 30):
            pass
    loader = importlib.machinery.ExtensionFileLoader(LIBRARY, f"/proc/self/fd/{file}")
    spec = importlib.util.spec_from_loader(LIBRARY, loader)
    if spec is None:
        raise ImportError(f"{LIBRARY}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[LIBRARY] = module
    loader.exec_module(module)
    module.__file__ = str(library)  # a child of this child copies it too
    return module

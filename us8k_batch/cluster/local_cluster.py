"""A cluster of this machine's own, and why it could not be started."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from distributed import LocalCluster

from us8k_batch.cluster.where import GUARD
from us8k_batch.errors import RequestError
from us8k_batch.settings import Settings

MOST_SAID = 300
"""Characters that are told of an error of somebody else's class."""
_INSTEAD = (
    "name a scheduler that was started outside of it (--scheduler, or scheduler= from Python), or a cluster file "
    "whose workers are threads (kwargs: {processes: false}, see cluster/local)"
)
_CAUSES = (
    ("daemonic processes are not allowed", f"this process is daemonic and may start no others; {_INSTEAD}"),
    ("finished its bootstrapping phase", GUARD),
    (
        "TLS expects a `ssl_context`",
        "Dask's settings require encryption and name no certificates: name them (cluster/tls), or set "
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=false for this command: its cluster listens on the loopback only",
    ),
    ("can't start new thread", "a limit of this machine allows no more threads or memory: see `ulimit -u` and -v"),
    ("Resource temporarily unavailable", "a limit of this machine allows no more processes: see `ulimit -u`"),
    ("Too many open files", "a limit of this machine allows no more open files: see `ulimit -n`"),
    ("Cannot allocate memory", "there is too little memory, or a limit forbids more: see `ulimit -v`"),
)
"""What is in the first cause, and what to say in its place."""


def start_local(settings: Settings) -> LocalCluster:
    """Start workers on this machine, each a process of one thread.

    Raises
    ------
    RequestError
        If it cannot be started here; says why, and what to do.
    """
    if script := _unimportable_script():
        raise RequestError(
            f"a local cluster cannot be started from {script}, which its workers would have to import: save the "
            f'script as a file (with `if __name__ == "__main__":`), or {_INSTEAD}'
        )
    host, _, port = settings.dashboard.rpartition(":")
    # Dask says of a cluster that did not start that it was closed, with tracebacks; the first cause is said below.
    for name in ("distributed.deploy", "distributed.nanny"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with interrupts_ignored():
            return LocalCluster(
                n_workers=settings.workers,
                threads_per_worker=1,
                processes=True,
                # A worker whose heartbeat meets the end of the run would tell it as an error, with a traceback.
                silence_logs=logging.CRITICAL,
                host="127.0.0.1",
                dashboard_address=f"{host or '127.0.0.1'}:{port if _is_free(host, port) else 0}",
            )
    except Exception as error:  # Dask wraps whatever happened in its own, several times
        logging.getLogger(__name__).debug("a local cluster", exc_info=True)
        raise RequestError(f"a local cluster cannot be started here: {why_not_started(error)}") from error


def why_not_started(error: BaseException) -> str:
    """Return the first cause of a cluster that could not be started, and what to do where that is known."""
    cause = error
    while (before := cause.__cause__ or cause.__context__) is not None:
        cause = before
    told = str(cause)
    if isinstance(cause, MemoryError):
        told = "Cannot allocate memory"
    for words, meaning in _CAUSES:
        if words in told:
            return meaning
    if "Nanny failed to start worker process" in told:
        return (
            "a worker's process ended at once, and may have said why above; if this was called from a script, "
            f"{GUARD}; otherwise look at the limits of memory and threads (`ulimit -a`)"
        )
    return " ".join(f"{type(cause).__name__}: {told}".split())[:MOST_SAID]


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Start children that ignore Ctrl-C, which a terminal sends to them too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _unimportable_script() -> str:
    """Name what workers would fail to import, as a script that came through stdin; empty if there is nothing."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or getattr(main, "__spec__", None) is not None or Path(file).exists():
        return ""
    return "a script that came through stdin" if file == "<stdin>" else f"{file}, which is not there any more"


def _is_free(host: str, port: str) -> bool:
    with contextlib.suppress(OSError, ValueError, OverflowError), socket.socket() as probe:
        probe.bind((host or "127.0.0.1", int(port)))
        return True
    return False

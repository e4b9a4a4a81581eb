"""The lease: a courtesy that keeps two runs from doing the same work; safety never rests on it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from us8k_batch.documents import natural, read_document
from us8k_batch.errors import LeaseHeldError, ObjectNotFoundError, RequestError, StorageError
from us8k_batch.objects import Objects
from us8k_batch.objects.retry import given_up_by
from us8k_batch.store.layout import DOCUMENT_BYTES, LEASE

HEARTBEAT_SECONDS = 2.0
ANSWER_SECONDS = 4.5
"""A holder whose heartbeat moves within this time is alive."""
SILENCE_SECONDS = 15.0
"""A holder on another host whose heartbeat has not moved for this long is taken for dead."""
POLL_SECONDS = 0.25

_EPOCH = re.compile(rf"{LEASE}/epoch-(\d{{6}})\.json")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on a store."""

    run_id: str
    host: str
    pid: int
    machine: str
    """Boot and process namespace: only where they are equal does the pid mean anything; empty if not known."""
    started: float
    """When the process started, in clock ticks since the boot: a pid is used again, and the clock is set."""

    def __str__(self) -> str:
        """Say who it is in a message."""
        return f"run {self.run_id} (process {self.pid} on {self.host})"

    @property
    def is_dead(self) -> bool:
        """Whether it certainly does not live any more: it was on this machine, and is not there."""
        if not self.machine or self.machine != _machine():
            return False
        return _start_of(self.pid) != self.started

    @property
    def is_here(self) -> bool:
        """Whether it certainly lives: it was on this machine, and still is."""
        return bool(self.machine) and self.machine == _machine() and not self.is_dead


def this_process(run_id: str) -> Holder:
    """Describe the present process as a holder."""
    return Holder(run_id, socket.gethostname(), os.getpid(), _machine(), _start_of(os.getpid()) or 0)


@contextlib.contextmanager
def hold(
    objects: Objects,
    holder: Holder,
    *,
    force: bool = False,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the lease of a store while the block runs; nothing is left of it if a `RequestError` ends the block.

    Parameters
    ----------
    objects : Objects
        The store.
    holder : Holder
        Who wants it.
    force : bool
        Take it over, whoever holds it.
    clock, wait : callable
        Tell and let pass time, in seconds.
    tell : callable
        Told what takes long.

    Raises
    ------
    LeaseHeldError
        If another run holds it and lives; says which, within `ANSWER_SECONDS`.
    """
    epoch = _acquire(objects, holder, force, lambda newest: _wait_until_free(objects, newest, clock, wait, tell))
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(objects, epoch, stop), name="us8k-lease", daemon=True)
    beat.start()
    refused = False
    try:
        yield
    except RequestError:
        refused = True
        raise
    finally:
        stop.set()
        beat.join()
        with contextlib.suppress(StorageError, OSError):
            if refused:  # as if it had never been asked for
                _forget(objects, epoch)
            else:
                objects.replace(_beat_key(epoch), json.dumps({"released": True}).encode())


def _acquire(objects: Objects, holder: Holder, force: bool, wait_until_free: Callable[[int], None]) -> int:
    while True:
        newest = max(_epochs(objects), default=0)
        if newest and not force:
            wait_until_free(newest)
        epoch = newest + 1
        created = objects.create(_epoch_key(epoch), json.dumps(asdict(holder)).encode())
        # A bucket says "exists" too if the answer to a first try of ours was lost.
        if not created and _read_holder(objects, epoch) != holder:
            continue
        epochs = _epochs(objects)
        if max(epochs, default=epoch) > epoch:
            # Others held the lease since we looked, and cleaned up behind them.
            objects.delete(_epoch_key(epoch))
            continue
        for old in epochs:
            if old < epoch:
                _forget(objects, old)
        return epoch


def _wait_until_free(
    objects: Objects,
    epoch: int,
    clock: Callable[[], float],
    wait: Callable[[float], None],
    tell: Callable[[str], None],
) -> None:
    holder = _read_holder(objects, epoch)
    first = _read_beat(objects, epoch)
    if holder is None or first.get("released") or holder.is_dead:
        return
    start = clock()
    told = False
    while clock() - start < SILENCE_SECONDS:
        now = _read_beat(objects, epoch)
        if now.get("released") or max(_epochs(objects), default=0) != epoch:
            return
        if holder.is_here or now != first:
            raise LeaseHeldError(
                f"{objects.url}: {holder} is working on this store; wait for it, stop it, or use --force "
                "(both may then do the same work; nothing is lost)"
            )
        if not told and clock() - start > ANSWER_SECONDS:
            tell(f"{holder} holds the store and is silent; taking over in {SILENCE_SECONDS:.0f} s")
            told = True
        wait(POLL_SECONDS)


def _beat(objects: Objects, epoch: int, stop: threading.Event) -> None:
    count = 0
    while True:
        count += 1
        # A heartbeat that cannot be written costs at most the lease, which nothing depends on.
        with contextlib.suppress(StorageError, OSError), given_up_by(stop):
            objects.replace(_beat_key(epoch), json.dumps({"beat": count}).encode())
        if stop.wait(HEARTBEAT_SECONDS):
            return


def _forget(objects: Objects, epoch: int) -> None:
    objects.delete(_epoch_key(epoch))
    objects.delete(_beat_key(epoch))


def _epochs(objects: Objects) -> list[int]:
    found = (_EPOCH.fullmatch(info.key) for info in objects.list(LEASE))
    return [int(match[1]) for match in found if match]


def _epoch_key(epoch: int) -> str:
    return f"{LEASE}/epoch-{epoch:06d}.json"


def _beat_key(epoch: int) -> str:
    return f"{LEASE}/beat-{epoch:06d}.json"


def _read_beat(objects: Objects, epoch: int) -> dict[str, Any]:
    try:
        return read_document(objects.get_tail(_beat_key(epoch), DOCUMENT_BYTES + 1), DOCUMENT_BYTES)
    except (ObjectNotFoundError, ValueError):
        return {}


def _read_holder(objects: Objects, epoch: int) -> Holder | None:
    try:
        found = read_document(objects.get_tail(_epoch_key(epoch), DOCUMENT_BYTES + 1), DOCUMENT_BYTES)
        run_id, host, machine = (str(found[name]) for name in ("run_id", "host", "machine"))
        return Holder(run_id, host, natural(found["pid"]), machine, float(found["started"]))
    except (ObjectNotFoundError, ValueError, TypeError, KeyError):
        return None


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: the heartbeat alone tells who lives
        return ""


def _start_of(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot; None if it is gone or was killed.

    The system's own count: a time of day would move whenever somebody sets the clock (`proc_pid_stat(5)`).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A zombie was killed, and its parent has not asked how it ended: in a container nobody may ever do.
    return None if fields[0] in ("Z", "X") else int(fields[19])

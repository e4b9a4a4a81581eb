"""Epochs on their way from the thread or process that learns to the one that shows them; none is waited for."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

MOST_BYTES = 65536
"""Of one epoch on its way."""
LEAST_SECONDS = 0.1
"""Time between two epochs of one model that are told; nobody reads faster."""
LISTENING_SECONDS = 0.5
"""Time after which whoever listens looks whether it is over, if nothing else told."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """How far one model has come."""

    split: str
    """What it is being fitted for: an inner split while a search tries its parameters."""
    trial: int | None
    """Number of the trial of a search; None outside of one."""
    unit: str
    """``epoch``, or ``round`` of boosting."""
    number: int
    """Those that are done."""
    of: int
    """Those that were asked for; it may stop early."""
    values: Mapping[str, float] = field(default_factory=dict)
    """What was measured: ``train_loss``, ``train_accuracy``, ``validation_loss``, ``validation_accuracy``."""
    best: int | None = None
    """The epoch with the least validation loss so far; None where nothing is held out."""


Told = Callable[[str, int, int, Mapping[str, float], int | None], None]
"""Takes unit, number, of, values and best of an `Epoch`, from a model that knows neither its split nor its trial."""


@contextlib.contextmanager
def listening(told: Callable[[Epoch], None]) -> Iterator[str | None]:
    """Hear of epochs, in a thread of its own, until the block is left.

    Parameters
    ----------
    told : callable
        Told of each epoch that comes. Some are lost where they come faster than it takes them.

    Yields
    ------
    str or None
        The address for `teller`: a socket in a folder that only this user can enter. None where there can be none,
        such as where the temporary folder's name is too long for one: then nothing is heard.
    """
    with (
        tempfile.TemporaryDirectory(prefix="us8k-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours,
    ):
        address = str(Path(folder, "epochs"))
        try:
            ours.bind(address)
        except OSError:
            yield None
            return
        ours.settimeout(LISTENING_SECONDS)
        over = threading.Event()
        thread = threading.Thread(target=_hear, args=(ours, over, told), daemon=True)
        thread.start()
        try:
            yield address
        finally:
            over.set()
            _send(address, b"")
            thread.join()


def teller(address: str | None, split: str, trial: int | None) -> Told:
    """Give what a model tells its epochs to, in whatever process of this machine it learns."""
    last = 0.0

    def tell(unit: str, number: int, of: int, values: Mapping[str, float], best: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if address is not None and (now - last >= LEAST_SECONDS or number == of):
            last = now
            epoch = Epoch(split, trial, unit, number, of, dict(values), best)
            _send(address, json.dumps(asdict(epoch)).encode())

    return tell


def _send(address: str, data: bytes) -> None:
    """Send without waiting: a model never learns slower because somebody looks on, or has gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs, contextlib.suppress(OSError):
        theirs.setblocking(False)
        theirs.sendto(data, address)


def _hear(ours: socket.socket, over: threading.Event, told: Callable[[Epoch], None]) -> None:
    while True:
        try:
            data = ours.recv(MOST_BYTES)
        except TimeoutError:
            data = b""
        if data:
            try:
                told(Epoch(**json.loads(data)))
            except OSError:
                return  # who looked on has closed the terminal
        elif over.is_set():
            return

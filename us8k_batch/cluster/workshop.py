"""What a worker keeps between tasks, and how tasks find it."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from distributed import Client, WorkerPlugin, get_worker, secede

from us8k_batch.errors import JobError

PLUGIN = "us8k-workshop"


class Workshop(Protocol):
    """What a worker keeps between tasks."""

    def close(self) -> None:
        """Give everything back."""


MakeWorkshop = Callable[[Callable[[], None], Callable[[float], object]], Workshop]
"""Makes a workshop; is told how a task gives its thread to the next one, to be finished beside it, and whom to tell
that kernels are compiled, and for how many seconds so far."""
OnCompiling = Callable[[float, str], object]
"""Told by a worker that kernels are compiled: for how many seconds so far, and on which machine."""
_COMPILING = "us8k-compiling"
"""Topic of the scheduler's events."""


class WorkshopPlugin(WorkerPlugin):  # type: ignore[misc]
    """Gives every worker a workshop, which tasks find by name."""

    name = PLUGIN
    idempotent = True  # a second run on the same workers uses the same workshop

    def __init__(self, make: MakeWorkshop, interruptible: bool) -> None:
        self._make = make
        self._interruptible = interruptible

    def setup(self, worker: Any) -> None:
        """Make the workshop; keep a local worker from dying of the Ctrl-C that is meant for the run."""
        self.workshop = self._make(secede, partial(_announce, worker))
        if not self._interruptible and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Any) -> None:  # noqa: ARG002
        """Close the workshop."""
        self.workshop.close()


def _announce(worker: Any, seconds: float) -> None:
    worker.log_event(_COMPILING, {"seconds": seconds, "machine": socket.gethostname()})


def heed_compiling(client: Client, on_compiling: OnCompiling) -> None:
    """Have a client told, in its event loop's thread, while workers wait for kernels."""

    def heed(event: tuple[float, dict[str, Any]]) -> None:
        told = event[1]
        here = told["machine"] == socket.gethostname()
        on_compiling(told["seconds"], "this machine" if here else told["machine"])

    client.subscribe_topic(_COMPILING, heed)


class WorkshopMissingError(JobError):
    """A task came to a worker of a restarted scheduler, which has not been told of the workshop yet."""


def call_on_worker(function: Callable[[Any, Any], Any], payload: Any) -> Any:
    """Call ``function(workshop, payload)`` in a task."""
    return _call(get_worker(), function, payload)


def call_in_loop(function: Callable[[Any, Any], Any], payload: Any, dask_worker: Any) -> Any:
    """Call ``function(workshop, payload)`` in a worker's event loop, outside any task."""
    return _call(dask_worker, function, payload)


def _call(worker: Any, function: Callable[[Any, Any], Any], payload: Any) -> Any:
    plugin = worker.plugins.get(PLUGIN)
    if plugin is None:
        raise WorkshopMissingError(f"{worker.address}: has no workshop")
    return function(plugin.workshop, payload)

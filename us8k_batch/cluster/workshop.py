"""What a worker keeps between tasks, and how tasks find it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from distributed import Client, WorkerPlugin, get_worker, secede
from distributed.protocol.pickle import dumps

PLUGIN = "us8k-workshop"


class Workshop(Protocol):
    """What a worker keeps between tasks."""

    def close_idle(self) -> None:
        """Give back what no task is using."""

    def close(self) -> None:
        """Give everything back."""


MakeWorkshop = Callable[[Callable[[], None], Callable[[float], object]], Workshop]
"""Makes a workshop; is told how a task gives its thread to the next one, to be finished beside it, and whom to tell
that kernels are compiled, and for how many seconds so far."""
OnCompiling = Callable[[float, str], object]
"""Told by a worker that kernels are compiled: for how many seconds so far, and on which machine."""
_COMPILING = "us8k-compiling"
"""Topic of the scheduler's events."""


@dataclass(frozen=True, slots=True)
class WorkerCall:
    """A function for the workers of a run; it makes the workshop of a worker that has none yet.

    Nothing is registered with the scheduler, which may be a shared one: it would hand a plugin of ours to every
    worker that starts, and one without this package could not start any more.
    """

    make: MakeWorkshop
    function: Callable[[Any, Any], Any]

    def in_task(self, payload: Any) -> Any:
        """Call ``function(workshop, payload)`` in a task."""
        return self.function(_workshop(get_worker(), self.make), payload)

    async def beside_tasks(self, payload: Any, dask_worker: Any) -> Any:
        """Call it outside any task, in a thread of its own: a mount that hangs does not stop the worker's loop."""
        return await asyncio.to_thread(self.function, _workshop(dask_worker, self.make), payload)


def unpacked() -> Callable[..., Any]:
    """Return what runs a packed call in a task, after one argument that was packed by itself, if there is one.

    A worker without this package would end, with its connection, on a message that holds a name of ours; on bytes its
    task fails. So this function travels as it is, and not by its name.
    """

    def call(data: bytes, *first: bytes) -> Any:
        import pickle

        function, arguments, more = pickle.loads(data)  # noqa: S301  # the scheduler's clients may run anything
        return function(*(pickle.loads(one) for one in first), *arguments, **more)  # noqa: S301

    return call


def packed(function: Callable[..., Any], *arguments: Any, **more: Any) -> bytes:
    """Pack a call for `unpacked`."""
    return bytes(dumps((function, arguments, more)))


def close_idle(dask_worker: Any) -> None:
    """Have a worker give back what no task is using, of this run or of another one."""
    kept = dask_worker.plugins.get(PLUGIN)
    if kept is not None:
        kept.workshop.close_idle()


class InterruptsIgnored(WorkerPlugin):  # type: ignore[misc]
    """Keeps the workers of a cluster of our own from dying of the Ctrl-C that is meant for the run."""

    name = "us8k-interrupts"
    idempotent = True

    def setup(self, worker: Any) -> None:  # noqa: ARG002  # the signature is Dask's
        """Ignore Ctrl-C, if the worker is a process of its own."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Kept(WorkerPlugin):  # type: ignore[misc]
    """A workshop among a worker's plugins, so that it is closed with the worker."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def teardown(self, worker: Any) -> None:  # noqa: ARG002  # the signature is Dask's
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


def _workshop(worker: Any, make: MakeWorkshop) -> Workshop:
    kept = worker.plugins.get(PLUGIN)
    if kept is None:
        # Of several threads that make one at the same time, all take the first.
        kept = worker.plugins.setdefault(PLUGIN, _Kept(make(secede, partial(_announce, worker))))
    return kept.workshop  # type: ignore[no-any-return]

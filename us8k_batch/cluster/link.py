"""The link to a scheduler whose workers come and go, and that may be gone for a while itself."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import Any

from distributed import Client

from us8k_batch.cluster.client import open_client
from us8k_batch.errors import JobError
from us8k_batch.settings import Settings

PACKAGE = __name__.partition(".")[0]
TICK_SECONDS = 0.5
ANSWER_SECONDS = 5.0
"""How long the scheduler may take to answer; if it lost its connections, Dask would wait for half a minute."""
SILENT_SECONDS = 10.0
"""How long workers may take to answer before it is said that they are waited for."""
LOST = (CancelledError, OSError, RuntimeError, ValueError, AttributeError)
"""What a client raises whose scheduler is gone, in whatever state that left it; TimeoutError is an OSError."""


class SilentWorkerError(JobError):
    """A worker that the scheduler knows does not answer."""


class Link:
    """A client, which is opened anew when the scheduler was lost and is back."""

    def __init__(self, client: Client, settings: Settings, tell: Callable[[str], None]) -> None:
        self.client = client
        self.address = str(client.scheduler.address)
        self.settings = settings
        self._tell = tell
        self._opening = threading.Lock()
        self.strangers: set[str] = set()
        """Workers that came without this package, as somebody else's on a shared scheduler; they get no task."""

    def close(self) -> None:
        """Disconnect."""
        # Dask tells, as an error and with a traceback, that it gives up looking for a scheduler that was lost.
        dask = logging.getLogger("distributed.client")
        level = dask.level
        dask.setLevel(logging.CRITICAL)
        try:
            with contextlib.suppress(*LOST):
                self.client.close(ANSWER_SECONDS)
        finally:
            dask.setLevel(level)

    def workers(self) -> dict[str, int]:
        """Return the number of threads of every worker that takes tasks, by address; empty without a scheduler.

        A worker that Dask paused, because its memory is nearly full, takes none.
        """
        try:
            answer = self.client.sync(self.client.scheduler.ncores_running, callback_timeout=ANSWER_SECONDS)
            return {address: threads for address, threads in answer.items() if address not in self.strangers}
        except LOST:
            return {}

    def paused(self) -> list[str]:
        """Return the addresses of the workers that are there and take no tasks."""
        try:
            known = dict(self.client.nthreads(callback_timeout=ANSWER_SECONDS))
        except LOST:
            return []
        return sorted(known.keys() - self.workers().keys() - self.strangers)

    def await_workers(self, stop: Callable[[], bool]) -> bool:
        """Wait until there is a worker that takes tasks; return false if the run is asked to stop before.

        Raises
        ------
        JobError
            If there is none before the deadline.
        """
        deadline = time.monotonic() + self.settings.worker_deadline
        pause = threading.Event()
        told = False
        while not self.workers():
            if stop():
                return False
            paused = self.paused()
            if time.monotonic() > deadline:
                raise self._no_workers(paused)
            if paused and not told:
                self._tell(f"{_all_paused(paused)}; waiting for up to {self.settings.worker_deadline:g} s")
                told = True
            if self.client.status == "closed":
                with self._opening, contextlib.suppress(*LOST):
                    if self.client.status == "closed":
                        self.client = open_client(self.address, timeout=ANSWER_SECONDS)
            pause.wait(TICK_SECONDS)
        return True

    def on_each_worker(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Call a function once on every worker; an error is returned in place of a result.

        One that does not answer by the deadline is given a `SilentWorkerError`, which says what to do.

        Raises
        ------
        JobError
            If the scheduler does not answer.
        """
        try:
            workers = list(self.client.nthreads(callback_timeout=ANSWER_SECONDS))
            return dict(self.client.sync(self._ask, workers, function, arguments))
        except LOST as error:
            raise self.no_scheduler(error) from error

    def allowed(self) -> list[str] | None:
        """Return the workers that tasks are restricted to; None, which the scheduler likes better, for any."""
        return [*self.workers()] if self.strangers else None

    def is_lost(self, allowed: list[str] | None) -> bool:
        """Tell whether all workers that a task was restricted to are gone while there are others."""
        here = self.workers() if allowed is not None else {}
        return bool(here) and not here.keys() & {*(allowed or ())}

    def avoid_strangers(self, allowed: list[str] | None) -> bool:
        """Avoid workers that came without this package; return whether a task may have failed for one of them.

        `allowed` is what the task was restricted to.
        """
        found = self.on_each_worker(importlib.util.find_spec, PACKAGE)
        strangers = {address for address, spec in found.items() if spec is None} - self.strangers
        if strangers:
            self.strangers |= strangers
            self._tell(f"{_some(sorted(strangers))} has no {PACKAGE}, and gets no tasks: it may be somebody else's")
        return bool(self.strangers if allowed is None else self.strangers & {*allowed})

    async def _ask(self, workers: list[str], function: Callable[..., Any], arguments: Any) -> dict[str, Any]:
        asked = {address: asyncio.ensure_future(self._ask_one(address, function, arguments)) for address in workers}
        if not asked:
            return {}
        patience = self.settings.worker_deadline
        _, silent = await asyncio.wait(asked.values(), timeout=min(SILENT_SECONDS, patience))
        if silent and patience > SILENT_SECONDS:
            names = _some([address for address, one in asked.items() if not one.done()])
            self._tell(f"waiting for {names}, for up to {patience:g} s: no answer yet")
            await asyncio.wait(silent, timeout=patience - SILENT_SECONDS)
        answers: dict[str, Any] = {}
        for address, one in asked.items():
            if one.done():
                failed = one.exception()
                answers[address] = one.result() if failed is None else failed
            else:
                one.cancel()
                answers[address] = SilentWorkerError(
                    f"does not answer for {patience:g} s; is its host overloaded, stopped, or waiting for a disk? "
                    "Stop that worker, then run the same command again"
                )
        return answers

    def _ask_one(self, address: str, function: Callable[..., Any], arguments: Any) -> Awaitable[Any]:
        async def ask() -> Any:
            # Dask's own `run` waits for all workers together, and could not tell which one is silent.
            told = await self.client._run(function, *arguments, workers=[address], on_error="return")
            return told.get(address, OSError("it is gone"))

        return ask()

    def fetch(self, future: Any) -> list[Any]:
        """Return a future's result in a list, or an empty one if the task is to be submitted again.

        Raises
        ------
        Exception
            What the task raised; or `distributed.KilledWorker`, if the scheduler gave it up with its workers.
        """
        failed: BaseException | None = None
        try:
            if future.status == "finished":
                result = future.result(timeout=ANSWER_SECONDS)
                future.release()
                return [result]
            if future.status == "error":
                failed = future.exception(timeout=ANSWER_SECONDS)
        except (CancelledError, OSError):
            return []  # the result lay on a worker that is gone, or the scheduler is gone
        except Exception as error:  # it lay on a worker that is gone, and computing it again failed
            failed = error
        if failed is not None:
            raise failed
        return []

    def died(self, key: str, deaths: int, remedy: str) -> JobError:
        """Make the error of a task whose worker died too often."""
        return JobError(
            f"{key}: its worker died {deaths} times (out of memory?); look at the workers' logs, {remedy}, and run "
            "the same command again"
        )

    def no_scheduler(self, error: BaseException) -> JobError:
        """Make the error of a scheduler that is gone."""
        return JobError(
            f"{self.address}: the scheduler does not answer any more ({error}); run the same command again"
        )

    def _no_workers(self, paused: list[str]) -> JobError:
        seconds = f"{self.settings.worker_deadline:g} s"
        if paused:
            return JobError(
                f"no worker for {seconds} that takes tasks: {_all_paused(paused)}; give workers more memory "
                "(--memory-limit), or stop what else fills it, then run the same command again"
            )
        return JobError(
            f"no worker for {seconds}; what is committed stays: start workers (and the scheduler), then run the "
            "same command again"
        )


def _all_paused(paused: list[str]) -> str:
    return f"Dask has paused {_some(paused)}, because its memory is nearly full"


def _some(addresses: list[str]) -> str:
    """Name one worker, and count the others."""
    first, others = addresses[0], len(addresses) - 1
    return f"worker {first}" + (f" and {others} more" if others else "")

"""Start schedulers and workers as a person would by hand, and take them away as an accident would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from distributed import Client

from us8k_batch.settings import Settings, load_settings

PATIENCE = 200.0
"""Longest wait for something that is on its way, in seconds."""


def wait_until(happened: Callable[[], object], what: str, *, patience: float = PATIENCE) -> None:
    """Wait until something has happened; fail naming it if it does not."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not happened():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {what}"
        pause.wait(0.005)


def wait_until_idle(address: str) -> None:
    """Wait until no worker has a task in hand, not even one that nobody wants any more."""
    in_hand = lambda dask_worker: len(dask_worker.state.all_running_tasks)  # noqa: E731  # shipped by value
    with Client(address, set_as_default=False) as client:
        wait_until(lambda: not any(client.run(in_hand).values()), "the workers to end their tasks")


def make_settings(**values: object) -> Settings:
    """Make settings for tests: the defaults, with a shorter wait for workers."""
    return load_settings({"worker_deadline": 30, **values})


@dataclass(kw_only=True)
class HandStarted:
    """A scheduler and its workers, each a process of its own, on the loopback."""

    folder: Path
    """Where processes may write."""
    environment: Mapping[str, str] = field(default_factory=dict)
    nanny: bool = False
    """Whether each worker has a nanny, which replaces it when it dies."""
    dashboard: bool = False
    """Whether the scheduler's page has more than numbers; it takes a second longer to start."""
    tls: Path | None = None
    """Certificates as ``cluster/tls/make.sh`` makes them, each role with its own folder; None means plain TCP."""
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()

    @property
    def scheduler_file(self) -> Path:
        """The file in which the scheduler notes its address."""
        return self.folder / "scheduler.json"

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return str(json.loads(self.scheduler_file.read_text())["address"])

    def start_scheduler(self) -> Self:
        """Start the scheduler; one that was there before gets its old address again."""
        port = self.address.rpartition(":")[2] if self.scheduler_file.exists() else "0"
        self.scheduler_file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", port, "--dashboard-address", "127.0.0.1:0", "--no-show",
            *(() if self.dashboard else ("--no-dashboard",)), "--scheduler-file", str(self.scheduler_file),
        )  # fmt: skip
        wait_until(
            lambda: self.scheduler_file.exists() and self.scheduler_file.read_text().endswith("}"), "scheduler"
        )
        return self

    def start_workers(self, n: int = 2, *, program: str | None = None, memory: str = "auto") -> Self:
        """Start workers; `program` is Python that runs in the worker's process before it is a worker.

        One that takes more than 80 % of `memory` is paused by Dask.
        """
        options = ("--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(self.folder))
        nanny = "--nanny" if self.nanny else "--no-nanny"
        for _ in range(n):
            limit = ("--memory-limit", memory)
            self.workers.append(self._start("worker", self.address, nanny, *limit, *options, program=program))
        return self

    def wait_for_workers(self, n: int = 2) -> Self:
        """Wait until so many workers are known to the scheduler."""
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(n, timeout=PATIENCE)
        return self

    def kill_workers(self) -> None:
        """SIGKILL every worker, and its nanny."""
        for worker in self.workers:
            kill(worker)
        self.workers.clear()

    def kill_all(self) -> None:
        """SIGKILL the scheduler and every worker."""
        self.kill_workers()
        if self.scheduler is not None:
            kill(self.scheduler)
            self.scheduler = None

    def _start(self, *arguments: str, program: str | None = None) -> subprocess.Popen[bytes]:
        # Workers import tasks of tests.
        path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        tls = {} if self.tls is None else {"DASK_CONFIG": str(self.tls / arguments[0])}
        command = ["-c", f"{program}; from dask.cli import run_cli; run_cli()"] if program else ["-m", "dask"]
        return subprocess.Popen(
            [sys.executable, *command, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **self.environment, **tls},
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log.txt").open("ab"),
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
